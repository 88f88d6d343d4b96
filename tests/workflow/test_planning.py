"""The paper's experiment with 95,000 tracks is planned in seconds, and every job says what it needs."""

import re
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import planning

pytestmark = pytest.mark.slow
TRACKS = 95_000


def jobs_with_resources(output: str) -> dict[str, str]:
    """The resources line of one job of every rule in a dry run."""
    block = r"^( *)(?:local)?(?:rule|checkpoint) (\w+):\n((?:\1 {4}.*\n)+)"  # jobs of a group are indented
    blocks = re.findall(block, output, flags=re.MULTILINE)
    return {rule: "".join(re.findall(r"resources: (.*)", body)) for _, rule, body in blocks}


@pytest.mark.parametrize(
    ("converted", "expected"),
    [
        (False, {"convert": 220, "train": 1}),
        (True, {"extract": 95 + 10 + 1, "merge": 3, "train": 1, "search": 2}),
    ],
)
def test_planned_in_a_minute_with_resources_for_every_job(tmp_path, converted, expected):
    planning.lay_out(tmp_path, TRACKS, converted)
    jobs, seconds, gigabytes, output = planning.plan(tmp_path)
    print(f"planned in {seconds:.1f} s, {gigabytes:.2f} GB: {jobs}")
    assert seconds < 60
    assert expected.items() <= jobs.items()
    resources = jobs_with_resources(output)
    assert set(resources) == set(jobs)
    for rule, line in resources.items():
        if rule != "all":
            assert re.search(r"mem_mb=\d+", line) and re.search(r"runtime=\d+", line), rule
            on_gpu = rule in ("train", "extract", "search", "recall")  # the paper's index has a GPU form
            assert f"slurm_partition={'gpu' if on_gpu else 'main'}" in line
            assert ("gpu=1" in line) == on_gpu
