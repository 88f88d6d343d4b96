"""Divisions of queries by their circumstances; ranks and time errors."""

import numpy as np
import pandas as pd
import pytest
from nmfp.evaluation.breakdowns import accuracy, breakdowns, decay_time, decay_times, describe_queries


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.5])
def test_decay_time_of_noise_that_decays(seconds):
    n = int(8000 * 1.3 * seconds)
    response = np.random.default_rng(0).normal(size=n) * 10 ** (-3 * np.arange(n) / 8000 / seconds)
    assert decay_time(response) == pytest.approx(seconds, rel=0.08)


def test_decay_time_where_there_is_none():
    assert np.isnan(decay_time(np.zeros(100)))
    assert np.isnan(decay_time(np.array([], dtype=np.int16)))
    assert np.isnan(decay_time(np.r_[1.0, np.zeros(99)][:1]))


def test_decay_times_are_cut_from_the_packed_array():
    n = 8000
    slow = np.random.default_rng(1).normal(size=n) * 10 ** (-3 * np.arange(n) / 8000 / 0.8)
    fast = np.random.default_rng(2).normal(size=n) * 10 ** (-3 * np.arange(n) / 8000 / 0.2)
    table = pd.DataFrame({"id": ["slow", "fast"], "start_sample": [0, n], "samples": [n, n]})
    found = decay_times((np.r_[slow, fast] * 5000).astype(np.int16), table)
    assert found["slow"] == pytest.approx(0.8, rel=0.1) and found["fast"] == pytest.approx(0.2, rel=0.1)


def provenance():
    return pd.DataFrame(
        {
            "id": ["q0", "q1", "q2", "q3"],
            "track_id": ["a", "a", "b", "c"],
            "start_sample": [0, 70, 50, 10],
            "snr_db": ["0.5", "9.99", "10.0", ""],
            "room_id": ["r", "s", "r", ""],
            "microphone_id": ["m", "n", "m", ""],
        }
    )


def test_every_query_has_its_groups():
    groups = describe_queries(provenance(), {"r": 0.2, "s": 3.0}, {"a": 100, "b": 100})
    assert groups["snr"].tolist()[:3] == ["0 to 2 dB", "8 to 10 dB", "8 to 10 dB"]
    assert groups["snr"].cat.categories.tolist() == ["0 to 2 dB", "8 to 10 dB"]
    assert groups["reverberation"].tolist()[:3] == ["under 0.3 s", "2.5 s and more", "under 0.3 s"]
    assert groups["microphone"].tolist()[:3] == ["m", "n", "m"]
    assert groups["position"].tolist()[:3] == ["first quarter", "third quarter", "third quarter"]
    assert groups.loc["q3"].isna().all()


def analysis():
    rows = [
        ("q0", 1, "a", "a", 1.0, 10.0, 10.2),
        ("q0", 19, "a", "a", 1.0, 10.0, 9.9),
        ("q1", 1, "a", "b", 3.0, 20.0, 50.0),
        ("q2", 1, "b", "", np.nan, 30.0, np.nan),
        ("q3", 1, "c", "c", 1.0, 0.0, 0.4),
        ("u0", 1, "", "c", np.nan, np.nan, 0.4),
    ]
    columns = [
        "query_id", "seq_len", "gt_track_path", "pred_track_path", "true_track_rank", "true_start_seconds",
        "pred_start_seconds",
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    table["query_start_segment"] = table["pred_start_segment"] = 0
    table["score"] = np.where(table["pred_track_path"] == "", np.nan, 0.5)
    return table


def test_hits_are_counted_in_their_groups():
    groups = describe_queries(provenance(), {"r": 0.2, "s": 3.0}, {"a": 100, "b": 100})
    table = breakdowns(analysis(), groups, seed=1, resamples=20)
    row = table.set_index(["by", "group", "query_seconds"])
    assert row.loc[("snr", "0 to 2 dB", 1), ["hits", "sequences"]].tolist() == [1, 1]
    assert row.loc[("snr", "8 to 10 dB", 1), ["hits", "sequences"]].tolist() == [0, 2]
    assert row.loc[("snr", "0 to 2 dB", 10), "hit_rate"] == 1
    # q3 met no noise and unknown queries have no track to hit
    assert table[(table["by"] == "snr") & (table["query_seconds"] == 1)]["sequences"].sum() == 3
    assert ((table["ci_low"] <= table["hit_rate"]) & (table["hit_rate"] <= table["ci_high"])).all()


def test_ranks_and_time_errors():
    table = accuracy(analysis()).set_index("query_seconds")
    one = table.loc[1]
    assert one["sequences"] == 4 and one["answered"] == 0.75
    assert (one["top_1"], one["top_5"]) == (0.5, 0.75)
    assert one["median_time_error"] == pytest.approx(0.3) and one["time_error_95"] == pytest.approx(0.39)
    assert table.loc[10, "median_time_error"] == pytest.approx(0.1)
