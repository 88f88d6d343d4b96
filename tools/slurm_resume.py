"""Go on after the main process of a run on SLURM has died: kill -9, a closed terminal, a login node rebooted.

    slurm_resume.py [--cancel] [--patience MINUTES] -- SNAKEMAKE ARGUMENTS

SLURM jobs outlive the Snakemake that submitted them, and Snakemake does not find them again: started at once,
it would submit their work a second time. So this looks for jobs of this folder by the profile's name prefix,
cancels those that have not begun, waits for those that run (or cancels them too), unlocks the folder and
starts Snakemake again, which keeps what is finished. While another main process works in this folder, or
while SLURM does not answer, it refuses.
"""

import argparse
import getpass
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from nmfp.errors import NmfpError

log = logging.getLogger("nmfp")

PREFIX = "nmfp"  # slurm-jobname-prefix of profiles/slurm
ATTEMPTS = 6


class Job(NamedTuple):
    """One line of squeue."""

    number: str
    name: str
    state: str
    folder: str
    comment: str


def old_jobs(folder: Path, prefix: str = PREFIX, pause: float = 10.0) -> list[Job]:
    """Jobs of this user, not yet ended, that a run in `folder` submitted.

    Raises:
        NmfpError: SLURM does not answer. Silence is not an empty queue.
    """
    form = "%A\t%j\t%T\t%Z\t%k"  # number, name, state, working directory, comment (rule and wildcards)
    command = ["squeue", "--noheader", "--user", getpass.getuser(), "--format", form]
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause)
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except FileNotFoundError:
            raise NmfpError("squeue is not on the PATH; run this where sbatch works.") from None
        except subprocess.TimeoutExpired:
            log.warning("squeue did not answer within a minute")
            continue
        if run.returncode == 0:
            jobs = [
                Job(*(line.split("\t") + [""] * 5)[:5]) for line in run.stdout.splitlines() if line.strip()
            ]
            return [j for j in jobs if j.name.startswith(f"{prefix}_") and Path(j.folder) == folder]
        log.warning("squeue failed: %s", run.stderr.strip())
    raise NmfpError("SLURM does not answer (squeue failed); nothing was changed, run this again later.")


def clear(folder: Path, cancel: bool, patience: float, prefix: str = PREFIX, pause: float = 10.0) -> None:
    """Return when no job of `folder` is left: waiting ones are cancelled, running ones end or are cancelled.

    Raises:
        NmfpError: some still run after `patience` minutes, or SLURM does not answer.
    """
    deadline = time.monotonic() + 60 * patience
    told: set[Job] = set()
    while jobs := old_jobs(folder, prefix, pause):
        doomed = [job.number for job in jobs if cancel or job.state == "PENDING"]
        if doomed:
            # one that began or ended since squeue answered is no failure: the next round looks again
            subprocess.run(["scancel", *doomed], timeout=60)
        for job in sorted(set(jobs) - told):
            verb = "cancelling" if job.number in doomed else "waiting for"
            log.info("%s job %s (%s, %s)", verb, job.number, job.state.lower(), job.comment or job.name)
        told |= set(jobs)
        if time.monotonic() > deadline:
            numbers = ", ".join(job.number for job in jobs)
            raise NmfpError(
                f"Jobs {numbers} still run after {patience:g} minutes; wait longer or use --cancel."
            )
        time.sleep(min(pause, 2.0) if doomed else pause)


def main_process(folder: Path) -> int | None:
    """The process id of a Snakemake that works in `folder` on this machine, outside any SLURM job."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if not any(os.path.basename(word) == b"snakemake" for word in words[:3]):
                continue
            if Path(os.readlink(entry / "cwd")) != folder or int(entry.name) == os.getpid():
                continue
            if b"\0SLURM_JOB_ID=" not in b"\0" + (entry / "environ").read_bytes():
                return int(entry.name)
        except OSError:
            continue  # it has ended, or belongs to somebody else
    return None


def main(arguments: list[str] | None = None) -> None:
    """Clear the old jobs away, unlock, and become the new Snakemake."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cancel", action="store_true", help="cancel running jobs instead of waiting for them"
    )
    parser.add_argument(
        "--patience", type=float, default=2880, help="minutes to wait for running jobs (two days)"
    )
    parser.add_argument("--prefix", default=PREFIX, help="slurm-jobname-prefix of the profile")
    parser.add_argument("--pause", type=float, default=10.0, help="seconds between two questions to SLURM")
    words = sys.argv[1:] if arguments is None else arguments
    cut = words.index("--") if "--" in words else len(words)
    options, rest = parser.parse_args(words[:cut]), words[cut + 1 :]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    folder = Path.cwd()
    command = [sys.executable, "-m", "snakemake"]
    try:
        if process := main_process(folder):
            raise NmfpError(
                f"A Snakemake works in {folder} (process {process}); end it first: kill -INT {process}"
            )
        clear(folder, options.cancel, options.patience, options.prefix, options.pause)
    except NmfpError as error:
        log.error("%s", error)
        sys.exit(1)
    # our options come first: --configfile and its like would take what follows them
    unlocked = subprocess.run([*command, "--unlock", *rest])
    if unlocked.returncode:
        sys.exit(unlocked.returncode)
    sys.stderr.flush()
    os.execv(command[0], [*command, "--rerun-incomplete", *rest])


if __name__ == "__main__":
    main()
