"""What a finished run plans again when its code changes: what follows from the change, and nothing else.

Each test edits a copy of the repository's code in which the finished run's results lie, and only plans.
"""

import os
import re
import shutil
import time
from pathlib import Path

import pytest
from workflow_runs import ROOT, Run, snakemake

pytestmark = pytest.mark.slow

LIBRARY = "workflow/scripts/nmfp"
FOLLOWS_TRAINING = {"train", "extract", "merge", "search", "hit_rates", "calibrate", "report"}
DATA = {
    "demo_music",
    "demo_degradations",
    "convert",
    "tracks",
    "split_music",
    "pack_chunks",
    "pack_degradations",
}


@pytest.fixture
def clone(finished, tmp_path):
    """The repository anew beside the old one, every file as young as a checkout makes it, with the old one's results."""
    copy = tmp_path / "clone"
    copy.mkdir()
    shutil.copy(ROOT / "Snakefile", copy)
    for name in ("rules", "workflow", "profiles", "config", "envs"):
        shutil.copytree(
            ROOT / name,
            copy / name,
            ignore=shutil.ignore_patterns("__pycache__"),
            copy_function=shutil.copyfile,
        )
    shutil.copytree(finished, copy, symlinks=True, dirs_exist_ok=True)
    return copy


def plan(clone: Path, *arguments: str) -> Run:
    run = snakemake(clone, "-n", *arguments, configfile=clone / "config/test.yaml", root=clone)
    assert run.returncode == 0, run.output[-3000:]
    return run


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first place of a text that must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_clone_with_touched_and_reformatted_code_has_nothing_to_do(clone):
    later = time.time() + 60
    for path in (clone / LIBRARY).rglob("*.py"):
        text = re.sub(r'"""', '"""As every module here: ', path.read_text(), count=1)
        text = re.sub(r"^(def |class )", r"# what follows is a definition\n\n\1", text, flags=re.MULTILINE)
        path.write_text(text.replace(" -> None:", ":"))
    for folder in ("workflow", "rules", "envs", "config"):
        for path in (clone / folder).rglob("*"):
            os.utime(path, (later, later))
    run = plan(clone)
    assert "Nothing to be done" in run.output and run.jobs == {}


def test_without_what_snakemake_remembers_times_decide(clone):
    shutil.rmtree(clone / ".snakemake")
    assert plan(clone).jobs == {}


def test_a_sign_in_a_loss_trains_again(clone):
    edit(clone / LIBRARY / "training/losses.py", "maximum(d_positive - d", "maximum(d_positive + d")
    jobs = set(plan(clone).jobs)
    assert jobs >= FOLLOWS_TRAINING and not jobs & {*DATA, "degrade", "queries"}


def test_a_plots_colour_makes_the_report_again(clone):
    edit(clone / LIBRARY / "report/plots.py", 'TRUE = "#5ce0b8"', 'TRUE = "#5ce0b9"')
    assert plan(clone).jobs == {"report": 1}
