"""Runs one stage's script as Snakemake would: run_stage.py <stage> <json of input, output, params ...>.

Work is committed as often as it can be, so that a kill finds as many states as possible.
"""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow" / "scripts"))


class Named(dict):
    """What Snakemake passes: items by name as attributes."""

    __getattr__ = dict.__getitem__


if __name__ == "__main__":
    from nmfp.extraction import partition, progress

    progress.COMMIT_SECONDS = 0.0
    partition.PART_ROWS = 16
    described = json.loads(sys.argv[2])
    fields = {key: Named(described[key]) for key in ("input", "output", "params", "wildcards")}
    job = SimpleNamespace(**fields, log=[described["log"]], threads=described["threads"])
    importlib.import_module(sys.argv[1]).main(job)
