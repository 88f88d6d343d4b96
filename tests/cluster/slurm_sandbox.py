#!/usr/bin/env python3
"""A throw-away one-node SLURM in a temp folder: real munged, slurmctld, slurmd, loopback only.

  slurm_sandbox.py CMD...    run CMD against it, then stop everything; exit status of CMD
  env: CPUS (2), MEM (4000), DBD=1 (also slurmdbd + private MariaDB), SLURM_EXTRA (more slurm.conf
       lines, ';' between), KEEP=1 (leave the folder)

A host process (a child subreaper) owns the daemons and all job processes; when its stdin closes,
because we finished, crashed or were killed, it ends all of them. No systemd, nothing in /etc or /var.
"""

import ctypes
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

CONF = """\
ClusterName=sandbox
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/munge/munge.sock
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
{accounting}
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=86400
KillWait=2
GresTypes=gpu
DefMemPerCPU=200
{extra}
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={mem} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=5 State=UP
PartitionName=gpu  Nodes=ALL MaxTime=INFINITE DefaultTime=5 State=UP
"""
DBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={root}/munge/munge.sock
CommunicationParameters=NoInAddrAny
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={dbd_port}
SlurmUser={user}
LogFile={root}/log/slurmdbd.log
PidFile={root}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql_port}
StorageUser=slurm
StoragePass=x
StorageLoc=slurm_acct
"""
TOOLS = "srun sbatch salloc squeue scancel scontrol sinfo sacct sacctmgr sshare".split()
SBIN = ":/usr/sbin:/sbin"


# ---- the host process -------------------------------------------------------------------------
def descendants():
    parent = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass
    found = {os.getpid()}
    while more := {pid for pid, pp in parent.items() if pp in found} - found:
        found |= more
    return found - {os.getpid()}


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def host():
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGCHLD, lambda *_: reap())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    daemons = []
    for line in iter(sys.stdin.readline, ""):
        job = json.loads(line)
        log = open(job["log"], "ab")
        pid = subprocess.Popen(
            job["cmd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=job["env"],
            start_new_session=True,
        ).pid
        daemons.append(pid)
        print(pid, flush=True)

    def alive(pid):
        return pid in descendants()

    for pid in reversed(daemons):
        if alive(pid):
            os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + 10
            while alive(pid) and time.monotonic() < end:
                time.sleep(0.02)
    left = {}
    while now := descendants():
        for pid in now:
            try:
                left.setdefault(
                    pid, pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:90]
                )
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.02)
        reap()
    try:
        print(json.dumps([c for c in left.values() if c]), flush=True)
    except BrokenPipeError:
        pass


# ---- the user's side --------------------------------------------------------------------------
def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


class Sandbox:
    def __init__(self, cpus=2, mem=4000, dbd=False, extra="", parent=None):
        self.cpus, self.mem, self.dbd, self.extra = cpus, mem, dbd, extra
        self.root = pathlib.Path(
            tempfile.mkdtemp(prefix="slurm.", dir=parent)
        )  # short: socket paths end at 107 bytes
        self.pids = {}
        self.host = None

    def out(self, *cmd):
        r = subprocess.run(cmd, capture_output=True, text=True, env=self.env, timeout=30)
        return r.stdout if r.returncode == 0 else ""

    def wait(self, what, test, seconds):
        end = time.monotonic() + seconds
        while not test():
            for name, pid in self.pids.items():
                if not os.path.exists(f"/proc/{pid}"):
                    raise RuntimeError(f"{name} ended while waiting for: {what}")
            if time.monotonic() > end:
                raise RuntimeError(f"timed out: {what}")
            time.sleep(0.02)

    def spawn(self, *cmd):
        job = {"cmd": cmd, "env": self.env, "log": str(self.root / "log" / f"{cmd[0]}.out")}
        print(json.dumps(job), file=self.host.stdin, flush=True)
        self.pids[cmd[0]] = int(self.host.stdout.readline())

    def start(self):
        root, m = self.root, self.root / "munge"
        root.chmod(0o755)  # munged refuses a socket below a folder that others cannot enter
        for d in ("munge", "state", "spool", "log", "run", "bin"):
            (root / d).mkdir(mode=0o755)
        (m / "munge.key").write_bytes(os.urandom(128))
        (m / "munge.key").chmod(0o400)
        names = dict(
            root=root,
            host=socket.gethostname().split(".")[0],
            user=pwd.getpwuid(os.geteuid()).pw_name,
            cpus=self.cpus,
            mem=self.mem,
            extra=self.extra.replace(";", "\n"),
        )
        names.update(zip(("ctld_port", "slurmd_port", "dbd_port", "sql_port"), free_ports(4), strict=False))
        names["accounting"] = (
            "AccountingStorageType=accounting_storage/none"
            if not self.dbd
            else (
                "AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=127.0.0.1\n"
                "AccountingStoragePort={dbd_port}\nAccountingStoragePass={root}/munge/munge.sock\n"
                "AccountingStoreFlags=job_comment\nAccountingStorageTRES=gres/gpu"
            ).format(**names)
        )
        (root / "slurm.conf").write_text(CONF.format(**names))
        (root / "gres.conf").write_text(
            "AutoDetect=off\nNodeName={host} Name=gpu Count=1 File=/dev/null\n".format(**names)
        )
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
        self.env["SLURM_CONF"] = str(root / "slurm.conf")
        # The plugin drops SLURM_* (so SLURM_CONF) before its nested srun: wrappers first on PATH put it back.
        for tool in TOOLS:
            if real := shutil.which(tool):
                (root / "bin" / tool).write_text(
                    f'#!/bin/sh\nSLURM_CONF={root}/slurm.conf exec {real} "$@"\n'
                )
                (root / "bin" / tool).chmod(0o755)
        self.env["PATH"] = f"{root}/bin:" + self.env.get("PATH", "") + SBIN
        self.host = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--host"],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.spawn(
            "munged",
            "--foreground",
            f"--socket={m}/munge.sock",
            f"--key-file={m}/munge.key",
            f"--log-file={m}/munged.log",
            f"--pid-file={m}/munged.pid",
            f"--seed-file={m}/munged.seed",
        )
        self.wait("munge socket", (m / "munge.sock").exists, 10)
        if self.dbd:
            self.start_dbd(names)
        self.spawn("slurmctld", "-D", "-i", "-f", f"{root}/slurm.conf")
        self.wait("slurmctld", lambda: "is UP" in self.out("scontrol", "ping"), 30)
        self.spawn("slurmd", "-D", "-f", f"{root}/slurm.conf")
        self.wait("idle node", lambda: self.out("sinfo", "-h", "-o", "%T").split()[:1] == ["idle"], 30)
        return self

    def start_dbd(self, names):
        root, user = self.root, names["user"]
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                f"--datadir={root}/db",
                f"--user={user}",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            ],
            check=True,
            capture_output=True,
        )
        sql = root / "run" / "sql.sock"
        self.spawn(
            "mariadbd",
            "--no-defaults",
            f"--datadir={root}/db",
            f"--user={user}",
            "--bind-address=127.0.0.1",
            f"--port={names['sql_port']}",
            f"--socket={sql}",
            f"--pid-file={root}/run/sql.pid",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=64M",
            "--innodb-lock-wait-timeout=900",
            "--innodb-flush-log-at-trx-commit=0",
        )
        self.wait("mariadb", sql.exists, 30)
        subprocess.run(
            [
                "mariadb",
                "--no-defaults",
                f"--socket={sql}",
                "-uroot",
                "-e",
                "create user slurm@'127.0.0.1' identified by 'x';"
                "grant all on slurm_acct.* to slurm@'127.0.0.1'",
            ],
            check=True,
        )
        (root / "slurmdbd.conf").write_text(DBD_CONF.format(**names))
        (root / "slurmdbd.conf").chmod(0o600)
        self.spawn("slurmdbd", "-D")
        self.wait("slurmdbd", lambda: "ControlHost" in self.out("sacctmgr", "list", "cluster"), 30)
        for what in (
            ["cluster", "sandbox"],
            ["account", "proj", "Cluster=sandbox"],
            ["user", user, "Account=proj", "Cluster=sandbox"],
        ):
            self.out("sacctmgr", "-i", "add", *what)

    def stop(self):
        """Ends everything; returns the command lines that had to be killed."""
        if not self.host:
            return []

        def queue():
            return sorted(set(self.out("squeue", "-h", "-o", "%A").split()))

        if ids := queue():
            subprocess.run(["scancel", *ids], env=self.env, timeout=30)
            try:
                self.wait("empty queue", lambda: not queue(), 15)
            except RuntimeError as e:
                print(f"[sandbox] {e}", file=sys.stderr)
        self.host.stdin.close()
        left = json.loads(self.host.stdout.readline() or "[]")
        self.host.wait(60)
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.root, ignore_errors=True)
        return left

    def logs(self):
        return "\n".join(
            f"--- {p.name}\n" + "\n".join(p.read_text(errors="replace").splitlines()[-15:])
            for p in sorted((self.root / "log").glob("*.out"))
        )


def main():
    t0 = time.monotonic()
    sb = Sandbox(
        cpus=int(os.environ.get("CPUS", "2")),
        mem=int(os.environ.get("MEM", "4000")),
        dbd=bool(os.environ.get("DBD")),
        extra=os.environ.get("SLURM_EXTRA", ""),
    )
    rc = 99
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that finally runs
    try:
        sb.start()
        print(f"[sandbox] up in {time.monotonic() - t0:.2f}s at {sb.root}", file=sys.stderr)
        rc = subprocess.run(sys.argv[1:], env=sb.env).returncode
    except RuntimeError as e:
        print(f"[sandbox] {e}\n{sb.logs()}", file=sys.stderr)
    finally:
        t1 = time.monotonic()
        left = sb.stop()
        print(
            f"[sandbox] rc={rc}, down in {time.monotonic() - t1:.2f}s, killed at the end: {left}",
            file=sys.stderr,
        )
    sys.exit(rc)


if __name__ == "__main__":
    host() if sys.argv[1:] == ["--host"] else main()
