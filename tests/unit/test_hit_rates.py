"""Hits, intervals and the printed table."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nmfp.evaluation.hit_rates import (
    COLUMNS,
    clopper_pearson,
    format_table,
    hit_rates,
    hits,
    interval,
    seconds_of,
)


def analysis(rows):
    """(gt, pred, true row, answered row, length) as the columns that count."""
    columns = ["gt_track_path", "pred_track_path", "query_start_segment", "pred_start_segment", "seq_len"]
    return pd.DataFrame(rows, columns=columns)


def test_lengths_are_reported_as_the_seconds_they_last():
    assert [seconds_of(n) for n in (1, 3, 5, 9, 19)] == [1, 2, 3, 5, 10]


def test_what_counts_as_a_hit():
    table = analysis(
        [
            ("a", "a", 10, 10, 1),
            ("a", "a", 10, 11, 1),
            ("a", "a", 10, 9, 1),
            ("a", "a", 10, 12, 1),
            ("a", "b", 10, 10, 1),
            ("a", "", 10, np.nan, 1),
            ("", "b", 10, 10, 1),
            ("", "", np.nan, np.nan, 1),
        ]
    )
    found = hits(table)
    assert found["track"].tolist() == [True] * 4 + [False] * 4
    assert found["exact"].tolist() == [True] + [False] * 7
    assert found["near"].tolist() == [True] * 3 + [False] * 5
    assert found["far"].tolist() == [False] * 3 + [True] + [False] * 4


def test_misses_count_and_unknown_queries_do_not():
    table = hit_rates(analysis([("a", "a", 1, 1, 3), ("a", "", 1, np.nan, 3), ("", "b", 1, 1, 3)]), 1, 50)
    assert table[["criterion", "query_seconds", "hits", "sequences", "hit_rate"]].to_numpy().tolist() == [
        ["track", 2, 1, 2, 0.5],
        ["exact", 2, 1, 2, 0.5],
        ["near", 2, 1, 2, 0.5],
        ["far", 2, 0, 2, 0.0],
    ]


def test_without_known_places_there_is_only_the_track():
    table = hit_rates(analysis([("a", "a", np.nan, 4, 1), ("b", "a", np.nan, 4, 1)]), 1, 50)
    assert table["criterion"].tolist() == ["track"] and table["hit_rate"].tolist() == [0.5]


def test_places_count_where_they_are_known():
    table = hit_rates(analysis([("a", "a", 4, 4, 1), ("b", "b", np.nan, 4, 1), ("c", "c", 4, 9, 1)]), 1, 50)
    assert table[["criterion", "hits", "sequences"]].to_numpy().tolist() == [
        ["track", 3, 3],
        ["exact", 1, 2],
        ["near", 1, 2],
        ["far", 1, 2],
    ]


def test_no_sequences_give_an_empty_table_and_no_division_by_zero():
    assert hit_rates(analysis([]), 1, 50).empty


@pytest.mark.parametrize("recordings", [1, 2, 9])
def test_few_recordings_give_wide_intervals(recordings):
    """Nine recordings of six equal sequences are nine observations, not fifty-four."""
    hit = np.repeat(np.arange(recordings) % 2 == 0, 6)
    low, high = interval(hit, np.repeat(np.arange(recordings), 6), 1, 500)
    assert (low, high) == clopper_pearson(hit.mean() * recordings, recordings)
    assert high - low > 0.55


def test_certainty_needs_recordings():
    ten = interval(np.ones(600, bool), np.repeat(np.arange(10), 60), 1, 500)
    many = interval(np.ones(600, bool), np.arange(600), 1, 500)
    assert ten[1] == many[1] == 1
    assert ten[0] == pytest.approx(0.025 ** (1 / 10)) and many[0] == pytest.approx(0.025 ** (1 / 600))
    assert interval(np.zeros(600, bool), np.arange(600), 1, 500)[0] == 0


def test_resampling_recordings_is_wider_than_resampling_sequences():
    """Sixty recordings whose six sequences agree: the interval is that of sixty draws."""
    rng = np.random.default_rng(0)
    of_recording = rng.random(60) < 0.7
    hit = np.repeat(of_recording, 6)
    low, high = interval(hit, np.repeat(np.arange(60), 6), 1, 2000)
    p = of_recording.mean()
    width = 2 * 1.96 * np.sqrt(p * (1 - p) / 60)
    assert high - low == pytest.approx(width, rel=0.15)
    independent = interval(hit, np.arange(360), 1, 2000)
    assert independent[1] - independent[0] == pytest.approx(width / 6**0.5, rel=0.15)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(2)
    covered = 0
    for trial in range(200):
        rates = rng.beta(2, 1, 40)
        hit = rng.random((40, 6)) < rates[:, None]
        low, high = interval(hit.ravel(), np.repeat(np.arange(40), 6), trial, 300)
        covered += low <= 2 / 3 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_the_seed_decides():
    rng = np.random.default_rng(3)
    hit, recording = rng.random(300) < 0.5, np.repeat(np.arange(50), 6)
    assert interval(hit, recording, 1, 200) == interval(hit, recording, 1, 200)
    assert interval(hit, recording, 1, 200) != interval(hit, recording, 2, 200)


def test_exact_interval_against_published_values():
    # Clopper and Pearson's interval of 15 in 148 (Brown, Cai
    # and DasGupta give the method; value by binomial sums)
    low, high = clopper_pearson(15, 148)
    tails = []
    for p, beyond in ((low, range(15, 149)), (high, range(16))):
        from math import comb

        tails.append(sum(comb(148, k) * p**k * (1 - p) ** (148 - k) for k in beyond))
    assert tails == pytest.approx([0.025, 0.025])
    assert clopper_pearson(0, 10)[0] == 0 and clopper_pearson(10, 10)[1] == 1


def full_table():
    rows = [
        ("m", "flat", "queries_degraded", c, s, 5, 10, r, r - 0.1, r + 0.05)
        for c, r in (("track", 0.9), ("exact", 0.5), ("near", 0.75), ("far", 0.15))
        for s in (1, 10)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_the_printed_table():
    lines = format_table(full_table()).splitlines()
    assert lines[0] == "m · flat · queries_degraded"
    assert lines[1].split() == ["query", "1", "s", "10", "s"]
    assert lines[2].split() == ["track", "0.900", "[0.80-0.95]", "0.900", "[0.80-0.95]"]
    assert [line.split()[0] for line in lines[2:6]] == ["track", "exact", "near", "far"]
    assert len({len(line) for line in lines[2:6]}) == 1


def test_printing_from_a_shell(tmp_path):
    script = Path(__file__).parents[2] / "tools/print_hit_rates.py"
    full_table().to_csv(tmp_path / "hit_rates.csv", index=False)
    command = [sys.executable, "-X", "importtime", str(script)]
    done = subprocess.run([*command, str(tmp_path / "hit_rates.csv")], capture_output=True, text=True)
    assert done.returncode == 0 and "0.900 [0.80-0.95]" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "nmfp.evaluation.hit_rates" in imported
    assert not imported & {"tensorflow", "keras", "faiss", "matplotlib", "scipy.stats"}
    done = subprocess.run([*command, str(tmp_path / "none.csv")], capture_output=True, text=True)
    assert done.returncode == 1 and "none.csv does not exist" in done.stderr
