"""Thresholds that hold what they promise, and refuse what they cannot."""

import json

import numpy as np
import pandas as pd
import pytest
from nmfp.evaluation.calibration import (
    accept,
    calibrate,
    halves,
    recordings_needed,
    statistic,
    threshold,
    tradeoff,
    upper_bound,
)
from nmfp.files import write_json
from search_world import rule


def answers(rng, recordings, known, per=6, lengths=(1, 19), mean=0.0):
    """analysis.csv of made-up scores: known queries score higher."""
    rows = []
    for length in lengths:
        n = recordings * per
        score = rng.normal(mean + (0.25 if known else 0), 0.08, n)
        rows.append(
            pd.DataFrame(
                {
                    "query_id": np.repeat([f"q{i}" for i in range(recordings)], per),
                    "seq_len": length,
                    "gt_track_path": np.repeat([f"t{i}" if known else "" for i in range(recordings)], per),
                    "pred_track_path": np.repeat([f"t{i}" for i in range(recordings)], per),
                    "query_start_segment": 0,
                    "pred_start_segment": 0,
                    "score": score,
                    "runner_up_score": score - np.abs(rng.normal(0.2 if known else 0.02, 0.02, n)),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def test_recordings_needed_is_the_rule_of_three():
    assert [recordings_needed(rate) for rate in (0.1, 0.05, 0.01, 0.001)] == [29, 59, 299, 2995]
    for rate in (0.1, 0.01):
        n = recordings_needed(rate)
        assert upper_bound(0, n) <= rate < upper_bound(0, n - 1)


def test_upper_bound_is_the_binomial_tail():
    bound = upper_bound(2 / 50, 50)
    from math import comb

    assert sum(comb(50, k) * bound**k * (1 - bound) ** (50 - k) for k in range(3)) == pytest.approx(0.05)
    assert upper_bound(1, 10) == 1 and upper_bound(0, 0) == 1


def test_threshold_is_the_lowest_that_keeps_the_bound():
    values = np.arange(1000) / 1000
    at = threshold(values, 1000, 0.1)
    accepted = int((values >= at).sum())
    assert upper_bound(accepted / 1000, 1000) <= 0.1 < upper_bound((accepted + 1) / 1000, 1000)


def test_equal_values_are_not_accepted_in_part():
    values = np.r_[np.zeros(500), np.ones(500)]
    assert (values >= threshold(values, 1000, 0.1)).sum() == 0


def test_too_few_recordings_are_refused_however_many_sequences():
    values = np.arange(10_000) / 10_000
    assert threshold(values, 298, 0.01) is None
    assert threshold(values, 299, 0.01) is not None
    assert threshold(np.array([]), 1000, 0.1) is None


def test_sequences_without_an_answer_are_never_accepted():
    values = np.full(100, -np.inf)
    table = pd.DataFrame({"score": [np.nan, 0.5], "runner_up_score": [np.nan, np.nan]})
    assert statistic(table, "score").tolist() == [-np.inf, 0.5]
    assert statistic(table, "score_and_lead").tolist() == [-np.inf, 1.0]
    at = threshold(np.r_[values, 0.3], 101, 0.1)
    assert np.isfinite(at) or (values >= at).all()


def test_halves_keep_recordings_whole_and_depend_on_the_seed_alone():
    ids = pd.Series(np.repeat([f"q{i}" for i in range(101)], 6))
    half = halves(ids, 1)
    assert half.sum() == 51 * 6
    assert all(len(set(part)) == 1 for part in half.reshape(-1, 6))
    shuffled = ids.sample(frac=1, random_state=0)
    assert (halves(shuffled, 1) == half[shuffled.index]).all()
    assert (halves(ids, 2) != half).any()


def test_rates_hold_on_the_other_half_and_unsupported_ones_are_refused():
    rng = np.random.default_rng(0)
    table = calibrate(answers(rng, 700, True), answers(rng, 700, False), [0.01, 0.001], 1)
    assert len(table) == 2 * 2 * 3
    supported = table[table["supported"]]
    assert (supported["false_accept_rate"] == 0.01).all() and len(supported) == 6
    assert (supported["measured_false_accept_rate"] <= 0.01).all()
    assert (supported["upper_bound"] > supported["measured_false_accept_rate"]).all()
    refused = table[~table["supported"]]
    assert refused["threshold"].isna().all() and not refused["chosen"].any()
    assert (refused["reason"] == "350 unknown recordings calibrate; 0.001 needs at least 2995").all()
    # leads tell known from unknown better in this world
    chosen = table[table["chosen"]]
    assert len(chosen) == 2 and (chosen["statistic"] != "score").all()
    assert (chosen["true_accept_rate"] > 0.95).all()


def test_wrong_answers_that_are_accepted_are_counted():
    rng = np.random.default_rng(1)
    known = answers(rng, 100, True, lengths=(19,))
    known.loc[known.index % 2 == 0, "pred_track_path"] = "other"
    table = calibrate(known, answers(rng, 100, False, lengths=(19,)), [0.1], 1)
    best = table[table["chosen"]].iloc[0]
    assert best["true_accept_rate"] == pytest.approx(0.5, abs=0.05)
    assert best["wrong_accept_rate"] == pytest.approx(0.5, abs=0.05)


def test_no_unknown_queries_support_no_rate():
    known = answers(np.random.default_rng(0), 5, True)
    table = calibrate(known, known[:0], [0.1], 1)
    assert sorted(set(table["query_segments"])) == [1, 19] and len(table) == 2 * 3
    assert not table["supported"].any() and not table["chosen"].any() and table["threshold"].isna().all()
    assert set(table["reason"]) == {"0 unknown recordings calibrate; 0.1 needs at least 29"}
    assert tradeoff(known, known[:0], {}, 1).empty


def test_tradeoff_is_monotone_and_ends_at_the_corners():
    rng = np.random.default_rng(2)
    curve = tradeoff(answers(rng, 60, True), answers(rng, 60, False), {19: "lead"}, 1)
    for _, part in curve.groupby("query_seconds"):
        assert len(part) <= 200
        assert (np.diff(part["false_accept_rate"]) <= 0).all() and (np.diff(part["miss_rate"]) >= 0).all()
        assert part["false_accept_rate"].iloc[0] == 1 or part["miss_rate"].iloc[0] == 0


def test_the_rule_for_a_query_is_that_of_the_longest_length_it_reaches():
    rows = [
        {
            "query_segments": n,
            "false_accept_rate": 0.01,
            "chosen": True,
            "statistic": "lead",
            "threshold": n / 100,
        }
        for n in (1, 5, 19)
    ]
    rows.append(rows[2] | {"chosen": False, "threshold": 0})
    assert accept(rows, 7, 0.01)["query_segments"] == 5
    assert accept(rows, 100, 0.01)["threshold"] == 0.19
    assert accept(rows, 19, 0.001) is None
    assert accept(rows[1:], 4, 0.01) is None


def test_the_stage_stores_json_without_nan(tmp_path):
    import calibrate as stage

    rng = np.random.default_rng(3)
    names = ("query_audio_path", "runner_up_track_path")
    numbers = (
        "seq_start_idx",
        "query_chunk_bound",
        "true_start_seconds",
        "pred_start_seconds",
        "true_track_rank",
    )
    paths = {}
    for name, known in (("known", True), ("unknown", False)):
        table = answers(rng, 80, known).assign(**dict.fromkeys(names, ""), **dict.fromkeys(numbers, 1))
        paths[name] = [tmp_path / f"{name}.csv"]
        table.to_csv(paths[name][0], index=False)
    write_json(tmp_path / "database.json", {"model_digest": "m1", "sha256": "d1"})
    params = {"seed": 1, "indexes": ["flat"], "queries": "queries_degraded", "rates": [0.1, 0.01]}
    output = tmp_path / "calibration.json"
    inputs = paths | {"database_info": tmp_path / "database.json"}
    stage.main(rule(tmp_path, inputs, {"calibration": output}, params))
    stored = json.loads(output.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert stored["model_digest"] == "m1" and stored["database_sha256"] == "d1"
    rows = stored["indexes"]["flat"]
    assert accept(rows, 19, 0.1)["threshold"] is not None
    assert accept(rows, 19, 0.01) is None
    assert {row["threshold"] for row in rows if not row["supported"]} == {None}
