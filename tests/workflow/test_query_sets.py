"""Two models of two sets of degradations on three query sets, one of them of one's own recordings: one experiment."""

import numpy as np
import pandas as pd
import paper_world as world
import pytest
import yaml
from workflow_runs import ROOT, snakemake

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]


def write_config(path, studio, **loud):
    config = yaml.safe_load((ROOT / "config/test.yaml").read_text())
    config["models"] = ["test", "test-clean"]
    config["degradations"] = {
        "studio": {"noise": str(studio / "noise"), "room": str(studio / "room"), "microphone": None}
    }
    config["queries"]["sets"] = {
        "studio": {"degradations": "studio", "degradation": loud},
        "clean": {"degradations": "clean"},
    }
    path.write_text(yaml.safe_dump(config))
    return path


def test_models_by_query_sets(tmp_path):
    studio = tmp_path / "studio"
    for kind, seconds in (("noise", 40.0), ("room", 0.2)):
        (studio / kind).mkdir(parents=True)
        for number in range(2):
            sound = 0.2 * world.decay(number, seconds, 8000)
            (studio / kind / f"{number}.wav").write_bytes(world.wav(sound))
    config = write_config(tmp_path / "sets.yaml", studio)
    run = snakemake(tmp_path, configfile=config, timeout=1200)
    assert run.returncode == 0, run.output[-6000:]
    assert run.jobs["train"] == 2 or "train" in run.output

    data, report = tmp_path / "results/test/data", tmp_path / "results/test/report"
    made = {
        s: pd.read_csv(data / s / "provenance.csv") for s in ("queries", "queries-clean", "queries-studio")
    }
    places = ["id", "track_id", "start_sample", "start_sample_shifted"]
    for provenance in made.values():
        pd.testing.assert_frame_equal(provenance[places], made["queries"][places])
    assert made["queries"].microphone_id.notna().all()
    assert set(made["queries-studio"].noise_id) <= {"0.wav", "1.wav"}
    assert made["queries-studio"].microphone_id.isna().all(), "the studio has no microphones"
    assert made["queries-clean"][["noise_id", "room_id", "microphone_id"]].isna().all(axis=None)

    crossed = pd.read_csv(report / "cross_table.csv")
    corpora = [f"{s}_degraded_shifted" for s in made]
    assert list(crossed.columns) == ["model", "trained_on", "index", "criterion", "query_seconds", *corpora]
    assert dict(zip(crossed.model, crossed.trained_on, strict=True)) == {
        "test": "demo",
        "test-clean": "clean",
    }
    assert np.isfinite(crossed[corpora].to_numpy()).all()
    track = crossed[crossed.criterion == "track"].groupby("model")[corpora].sum()
    assert (track["queries-clean_degraded_shifted"] >= track["queries_degraded_shifted"]).all()
    assert "queries-studio with studio" in (report / "tables.html").read_text()

    again = snakemake(tmp_path, configfile=config)
    assert again.returncode == 0 and "Nothing to be done" in again.output

    louder = write_config(tmp_path / "louder.yaml", studio, snr_db=[-5, 0])
    plan = snakemake(tmp_path, "--dry-run", configfile=louder)
    assert plan.returncode == 0, plan.output[-3000:]
    assert plan.jobs["degrade"] == 2 and plan.jobs["search"] == plan.jobs["hit_rates"] == 2
    assert set(plan.jobs) <= {
        "degrade", "queries", "partition_tracks", "extract", "merge", "search", "hit_rates", "report"
    }  # fmt: skip
