"""One real run of the workflow at toy size, shared by all tests of this folder; each test copies it before changing it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from loopback import server  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]


class Run(NamedTuple):
    returncode: int
    output: str

    @property
    def jobs(self) -> dict[str, int]:
        """Rules and how often they ran (or would), from Snakemake's own summary."""
        table = re.search(r"Job stats:\n.*?\n-+ +-+\n(.*?)\ntotal ", self.output, re.DOTALL)
        if table is None:
            return {}
        counts = dict(line.split() for line in table.group(1).splitlines())
        return {rule: int(n) for rule, n in counts.items() if rule != "all"}


def snakemake(
    directory: Path,
    *arguments: str,
    configfile: str | Path = ROOT / "config/test.yaml",
    cores: int = 2,
    timeout: float = 900,
) -> Run:
    """Run Snakemake on our Snakefile with results in `directory`."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--directory",
        str(directory),
    ]
    command += ["--cores", str(cores), *arguments, "--configfile", str(configfile)]
    environment = {**os.environ, "COLUMNS": "200", "TF_CPP_MIN_LOG_LEVEL": "2"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=timeout)
    return Run(run.returncode, run.stdout + run.stderr)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder in which the workflow ran to its end with config/test.yaml."""
    directory = tmp_path_factory.mktemp("finished")
    run = snakemake(directory)
    assert run.returncode == 0, run.output[-6000:]
    return directory


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    """A copy of the finished run, times of files kept, to change at will."""
    directory = tmp_path / "run"
    shutil.copytree(finished, directory, symlinks=True)
    return directory
