"""Snakemake on our Snakefile, for every suite that runs the workflow."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


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
    root: Path = ROOT,
) -> Run:
    """Run Snakemake on our Snakefile, or on that of a copy of the repository, with results in `directory`."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(root / "Snakefile"),
        "--directory",
        str(directory),
    ]
    command += ["--cores", str(cores), *arguments, "--configfile", str(configfile)]
    environment = {**os.environ, "COLUMNS": "200", "TF_CPP_MIN_LOG_LEVEL": "2"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, timeout=timeout)
    return Run(run.returncode, run.stdout + run.stderr)
