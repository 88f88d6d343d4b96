"""What the tests do with the one-node SLURM: run the workflow, look at its jobs, stop one in its tracks."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from slurm_sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel")
MISSING = [p for p in PROGRAMS if not shutil.which(p, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]

# All limits of time, multiplied: a machine that does other work needs more.
PATIENCE = float(os.environ.get("NMFP_TEST_PATIENCE", "1"))
# Two jobs of two cores and the memory that the rules ask for; the machine need not have it.
CPUS, MEMORY_MB = 8, 32_000
# The profile as it stands, but impatient: it asks after a second instead of forty, and for two cores a job.
HASTE = ["--slurm-init-seconds-before-status-checks", "1", "--max-status-checks-per-second", "1"]
ARGUMENTS = [
    "--profile",
    "profiles/slurm",
    *HASTE,
    "--max-threads",
    "2",
    "--configfile",
    "config/test.yaml",
]

FIELDS = {"JobID": 12, "State": 14, "Partition": 12, "tres-per-job": 32, "TimeLimit": 14, "StartTime": 24}
FIELDS |= {"EndTime": 24, "WorkDir": 160, "Comment": 160}


class Job(NamedTuple):
    """One job that SLURM knows of, also after its end."""

    number: str
    state: str
    partition: str
    devices: str
    limit: str
    start: str
    end: str
    folder: str
    comment: str

    @property
    def rule(self) -> str:
        """Its rule, from the comment that the executor gives; a group's job names the group first."""
        return re.match(r"rule_(.+?)(?:_wildcards_|$)", self.comment)[1]


class Cluster:
    """A running sandbox."""

    def __init__(self):
        self.sandbox = Sandbox(cpus=CPUS, mem=MEMORY_MB)

    def start(self) -> "Cluster":
        """Bring it up; once more if another program took one of its ports in between."""
        try:
            self.sandbox.start()
        except RuntimeError:
            self.sandbox.stop()
            self.sandbox = Sandbox(cpus=CPUS, mem=MEMORY_MB)
            self.sandbox.start()
        return self

    def run(
        self, command: list[str], directory: Path, log: Path, limit: int, **environment
    ) -> subprocess.Popen:
        """Start a command in the background, with its own time limit; Python shall not outlive the test."""
        words = ["timeout", "--signal=INT", "--kill-after=30", str(limit * PATIENCE), *map(str, command)]
        env = {**self.sandbox.env, "PYTHONUNBUFFERED": "1", **environment}
        with log.open("wb") as out:
            return subprocess.Popen(
                words, cwd=directory, env=env, stdout=out, stderr=out, start_new_session=True
            )

    def snakemake(
        self, directory: Path, *targets: str, options=(), limit=600, **environment
    ) -> subprocess.Popen:
        """The workflow with results in `directory`."""
        command = [sys.executable, "-m", "snakemake", *workflow(directory), *options, "--", *targets]
        return self.run(command, directory, directory / "snakemake.log", limit, **environment)

    def resume(self, directory: Path, *targets: str, options=(), limit=400) -> subprocess.Popen:
        """What `make slurm-resume` runs."""
        script = ROOT / "tools/slurm_resume.py"
        command = [
            sys.executable,
            script,
            "--pause",
            "1",
            *options,
            "--",
            *workflow(directory),
            "--",
            *targets,
        ]
        return self.run(command, directory, directory / "resume.log", limit)

    def jobs(self, directory: Path, rule: str | None = None) -> list[Job]:
        """All jobs of a folder, ended ones too, in the order of their numbers."""
        form = ",".join(f"{name}:{width}" for name, width in FIELDS.items())
        lines = self.sandbox.out("squeue", "--states=all", "--noheader", "--Format", form).splitlines()
        jobs = [Job(*(cut.strip() for cut in split_widths(line, FIELDS.values()))) for line in lines]
        ours = [job for job in jobs if job.folder == str(directory)]
        return sorted((j for j in ours if rule in (None, j.rule)), key=lambda job: int(job.number))

    def scancel(self, number: str) -> None:
        """Cancel a job as a user or an administrator would."""
        subprocess.run(["scancel", number], env=self.sandbox.env, check=True, timeout=30)


def workflow(directory: Path) -> list[str]:
    """Snakemake's arguments for a run in another folder than the repository."""
    words = [str(ROOT / word) if (ROOT / word).exists() and "/" in word else word for word in ARGUMENTS]
    return ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(directory), *words]


def split_widths(line: str, widths) -> list[str]:
    """Columns of fixed widths."""
    cuts, start = [], 0
    for width in widths:
        cuts.append(line[start : start + width])
        start += width
    return cuts


def wait_for(what: str, look, seconds: float):
    """The first true answer of `look`, asked five times a second; none in time fails the test."""
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        if answer := look():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds} s in vain for {what}")


def script_process(directory: Path, rule: str) -> int | None:
    """The process that runs a rule's script in `directory`."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            if (
                words[1:2]
                and words[1].endswith(f".{rule}.py")
                and Path(os.readlink(entry / "cwd")) == directory
            ):
                return int(entry.name)
        except OSError:
            continue  # ended meanwhile
    return None


def log_of(process: subprocess.Popen, path: Path, limit: float) -> str:
    """Wait for a process; its log, which must end well."""
    code = process.wait(limit * PATIENCE)
    text = path.read_text(errors="replace")
    assert code == 0, f"status {code}\n{text[-5000:]}"
    return text
