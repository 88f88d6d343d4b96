"""The whole workflow at toy size: what comes out, and what reruns after which change."""

import subprocess
import sys

import pandas as pd
import pytest
import yaml
from workflow_runs import ROOT, snakemake

pytestmark = pytest.mark.slow


@pytest.fixture
def overlay(tmp_path):
    """Write config/test.yaml with changes and return its path."""

    def write(**changes):
        config = yaml.safe_load((ROOT / "config/test.yaml").read_text())
        for section, values in changes.items():
            config[section] = {**config.get(section, {}), **values}
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    return write


def test_hit_rates_cover_every_model_length_and_criterion(finished):
    table = pd.read_csv(finished / "results/test/report/hit_rates.csv")
    assert list(table.columns) == [
        "model", "index", "queries", "criterion", "query_seconds", "hits", "sequences", "hit_rate", "ci_low", "ci_high",
    ]  # fmt: skip
    assert set(table.model) == {"test"}
    assert set(table.criterion) == {"track", "exact", "near", "far"}
    assert sorted(set(table.query_seconds)) == [1, 2, 3, 5, 10]
    assert len(table) == 20
    # 4 queries of 59 fingerprints, started at 0, 7, ... while 19 are left: 6 sequences each
    assert set(table.sequences) == {24}
    assert table.hit_rate.between(0, 1).all()
    assert (table.ci_low <= table.hit_rate).all() and (table.hit_rate <= table.ci_high).all()


def test_a_second_run_does_nothing(finished):
    run = snakemake(finished)
    assert run.returncode == 0
    assert "Nothing to be done" in run.output


def test_nprobe_reruns_search_and_what_follows_only(finished, overlay):
    config = overlay(indexes={"ivfpq": {"factory": "IVF256,PQ64x8", "nprobe": 7}})
    run = snakemake(finished, "--dry-run", configfile=config)
    assert run.jobs == {"search": 2, "recall": 1, "hit_rates": 1, "calibrate": 1, "report": 1}


def test_degradation_of_queries_reruns_queries_but_not_training(finished, overlay):
    run = snakemake(finished, "--dry-run", configfile=overlay(queries={
        **yaml.safe_load((ROOT / "config/test.yaml").read_text())["queries"],
        "degradation": {"snr_db": [5, 5], "snr_reference": "excerpt"},
    }))  # fmt: skip
    assert "degrade" in run.jobs and "search" in run.jobs
    assert not {"demo_music", "convert", "pack_chunks", "train"} & set(run.jobs)


def test_report_is_one_page_with_our_captions(finished):
    page = finished / "results/test/report/report.html"
    run = snakemake(finished, "--report", str(page))
    assert run.returncode == 0, run.output[-3000:]
    html = page.read_text()
    assert "hit_rates.svg" in html and "Hit rates" in html


def test_every_rule_leaves_a_log(finished):
    logs = [p for p in (finished / "results/test/logs").rglob("*.log")]
    assert len(logs) > 20
    empty = [p.name for p in logs if "train" in p.parts and p.stat().st_size == 0]
    assert not empty


def test_same_bytes_with_one_core(finished, tmp_path):
    """Everything before training is the same for 1 and 2 jobs."""
    targets = [
        "results/test/data/train/audio.npy",
        "results/test/data/degradations/test/room.npy",
        "results/test/data/queries/provenance.csv",
    ]
    run = snakemake(tmp_path, *targets, cores=1)
    assert run.returncode == 0, run.output[-3000:]
    for target in targets:
        assert (tmp_path / target).read_bytes() == (finished / target).read_bytes(), target
    audio = sorted(
        p.relative_to(tmp_path) for p in tmp_path.glob("results/test/data/queries_*/audio/**/*.wav")
    )
    assert len(audio) == 16
    for path in audio:
        assert (tmp_path / path).read_bytes() == (finished / path).read_bytes(), path


def test_what_every_stage_cost(finished):
    """benchmarks/stages.py finds the units, the files and the logged processor time of every job."""
    program = [sys.executable, str(ROOT / "benchmarks/stages.py"), str(finished / "results/test")]
    run = subprocess.run([*program, "--extrapolate", "1000,2000"], capture_output=True, text=True)
    assert run.returncode == 0 and not run.stderr, run.stderr
    measured = [[cell.strip() for cell in line.split("|")[1:-1]] for line in run.stdout.splitlines()]
    stages = {row[0]: row for row in measured if len(row) == 9}
    sheets = len(list((finished / "results/test/benchmarks").rglob("*.tsv")))
    assert sum(int(row[2]) for name, row in stages.items() if name not in ("stage", "---")) == sheets
    database = pd.read_csv(finished / "results/test/fingerprints/test/database/tracks.csv")
    rows = int((database.row_end - database.row_start).sum())
    assert stages["extract test database"][1] == stages["merge test database"][1] == f"{rows:,} fingerprints"
    assert "their logs do not say" not in run.stdout
    assert "| 1,000 tracks | 2,000 tracks |" in run.stdout
