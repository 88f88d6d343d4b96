"""benchmarks/stages.py knows every rule that is measured, and multiplies as it says."""

import argparse
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nmfp import files

ROOT = Path(__file__).parents[2]
# by its path: tests/crash has a module of that name
SPEC = importlib.util.spec_from_file_location("stage_costs", ROOT / "benchmarks/stages.py")
stage_costs = importlib.util.module_from_spec(SPEC)
sys.modules["stage_costs"] = stage_costs
SPEC.loader.exec_module(stage_costs)


def measured_rules() -> dict[str, tuple[str, str]]:
    """Paths of log and benchmark file, without folder and suffix, of every rule that has a benchmark file."""
    text = "\n".join(path.read_text() for path in sorted(ROOT.glob("rules/*.smk")))
    parts = re.split(r"^\s*(?:rule|checkpoint) (\w+):$", text, flags=re.MULTILINE)[1:]
    found = {}
    for rule, body in zip(parts[::2], parts[1::2], strict=True):
        if sheet := re.search(r"\{BENCHMARKS\}/(.*)\.tsv", body):
            found[rule] = (re.search(r"\{LOGS\}/(.*)\.log", body).group(1), sheet.group(1))
    return found


def test_every_measured_rule_has_a_unit_and_a_log_beside_its_benchmark_file():
    rules = measured_rules()
    assert set(rules) == set(stage_costs.UNITS)
    for rule, (log, sheet) in rules.items():
        assert log == sheet and sheet.split("/")[0] == rule


def test_a_job_says_what_it_cost_with_the_programs_it_called(tmp_path):
    log = tmp_path / "rule.log"
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    code = (
        "import subprocess, sys; from nmfp.files import script_log\n"
        f"with script_log({str(log)!r}): subprocess.run([sys.executable, '-c', {busy!r}])"
    )
    environment = {"PYTHONPATH": str(Path(files.__file__).parents[1]), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    total, starting = map(float, re.search(stage_costs.LOGGED, log.read_text()).groups())
    assert starting > 0 and total - starting > 0.4


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.01234, "0.0123"), (9.999, "10.0"), (147.6, "148"), (48_349, "48,300")]
)
def test_three_digits(value, text):
    assert stage_costs.digits(value) == text


def test_the_arithmetic():
    """Two million tracks of 588 fingerprints, 294.5 s each, by hand."""
    options = argparse.Namespace(
        fingerprints=588, nodes=100, cores=4, fill_cores=8, shard_gb=14, disk=1, job_start=3.6
    )
    cost = stage_costs.Cost
    costs = {
        "convert": cost(start=9, unit=22, bytes=57.6e6, memory=100, work=1),
        "extract": cost(start=36, unit=0.01, bytes=512, memory=500, work=1),
        "merge": cost(start=1, unit=1e-6, bytes=512, memory=100, work=1),
        "fill_index": cost(start=1, unit=4e-5, bytes=73, memory=100, work=1),
    }
    found = stage_costs.extrapolate(2_000_000, costs, options)
    assert found["fingerprints"] == "1,176,000,000"
    assert found["music"] == "163,611 h"
    assert found["8 kHz WAVs"] == "9.42 TB"
    # 400 x 9 s + 163,611 x 22 s; 200 x 36 s + 1.176e9 x 0.01 s
    assert found["convert"] == "1,000 core-hours, 400 jobs of 5,000 files"
    assert found["fingerprint"] == "3,270 core-hours, 200 jobs of 10,000 tracks, 4.09 h each on 4 cores"
    assert found["both on 100 nodes of 4 cores"] == "10.7 h"
    assert found["database.npy"] == "602 GB"
    assert found["index"] == "85.8 GB: 7 shards of 12.3 GB of memory each"
    # 1.176e9 x 1 us; 3 x 602 GB
    assert found["merge, one job"] == (
        "19.6 min of one core, or as long as reading, writing and reading back take: 30.1 min at 1 GB/s"
    )
    assert found["fill"] == "13.1 core-hours, 14.0 min in 7 jobs at once on 8 cores"
    assert found["SLURM's own"] == "0.610 core-hours for 610 jobs"
    fewer = stage_costs.extrapolate(100_000, costs, options)
    assert "200 jobs of 500 files" in fewer["convert"] and "100 jobs of 1,000 tracks" in fewer["fingerprint"]
