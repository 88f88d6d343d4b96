"""When to say "not in the database": thresholds with a stated false-accept rate.

A query is accepted when a statistic of its answer (score; lead over the best other track; their sum) reaches
a threshold. Thresholds come from one half of the queries whose track is in no database, their error is
reported on the other half. Sequences of one recording are dependent, so recordings, not sequences, are the
trials behind every bound.
"""

import math

import numpy as np
import pandas as pd
from scipy.special import betaincinv

from nmfp.evaluation.hit_rates import hits, seconds_of
from nmfp.files import generator

STATISTICS = ("score", "lead", "score_and_lead")
CONFIDENCE = 0.95


def statistic(answers: pd.DataFrame, name: str) -> np.ndarray:
    """What is compared with the threshold: (n,) float64, -inf where there is no answer.

    Args:
        answers: columns score and runner_up_score (analysis.csv); without a runner-up the lead is over a
            score of 0.
    """
    score = answers["score"].to_numpy(np.float64)
    lead = score - np.nan_to_num(answers["runner_up_score"].to_numpy(np.float64), nan=0.0)
    values = {"score": score, "lead": lead, "score_and_lead": score + lead}[name]
    return np.where(np.isnan(score), -np.inf, values)


def upper_bound(rate: float, trials: int, confidence: float = CONFIDENCE) -> float:
    """One-sided upper confidence bound of an error rate (Clopper and Pearson 1934)."""
    if rate >= 1 or trials == 0:
        return 1.0
    return float(betaincinv(rate * trials + 1, trials - rate * trials, confidence))


def recordings_needed(rate: float, confidence: float = CONFIDENCE) -> int:
    """Fewest unknown recordings that can bound a false-accept
    rate: none of them accepted leaves the bound at `rate`."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - rate))


def halves(recordings: pd.Series, seed: int) -> np.ndarray:
    """(n,) bool: whether a row belongs to the half that calibrates; all rows of a recording lie in one
    half."""
    names = np.sort(recordings.unique())
    chosen = generator(seed, "calibration", len(names)).permutation(names)[: (len(names) + 1) // 2]
    return recordings.isin(chosen).to_numpy()


def threshold(values: np.ndarray, recordings: int, rate: float) -> float | None:
    """The lowest threshold whose false-accept rate on `values` is at most `rate` with confidence.

    Args:
        values: statistic of unknown sequences; those at or above the threshold are false accepts.
        recordings: how many recordings they come from.

    Returns:
        None where that many recordings cannot support the rate.
    """
    if len(values) == 0 or recordings < recordings_needed(rate):
        return None
    ordered = np.sort(values)[::-1]
    # k false accepts: the largest k whose bound stays below the rate (bounds grow with k)
    low, high = 0, len(ordered)
    while low < high:
        k = (low + high + 1) // 2
        if upper_bound(k / len(ordered), recordings) <= rate:
            low = k
        else:
            high = k - 1
    if low == len(ordered):
        return float(ordered[-1])
    # just above the first value that must not be accepted; equal values fall with it
    return float(np.nextafter(ordered[low], np.inf)) if np.isfinite(ordered[low]) else float(ordered[low])


def calibrate(known: pd.DataFrame, unknown: pd.DataFrame, rates: list[float], seed: int) -> pd.DataFrame:
    """Thresholds of every query length, statistic and false-accept rate, with what they do to the other half.

    Args:
        known: analysis.csv of queries whose track is in the
            database; unknown: of queries whose track is in none.
        rates: false-accept rates asked for.

    Returns:
        One row each: query_segments, query_seconds, statistic,
            false_accept_rate (asked for), supported, threshold,
        measured_false_accept_rate and its upper bound, true_accept_rate (right track and
        accepted), wrong_accept_rate (another track and accepted), unknown_recordings,
        unknown_sequences, reason, chosen (the statistic of highest true-accept rate on
        the half that calibrates). Without unknown queries no rate is supported.
    """
    known_half, unknown_half = halves(known["query_id"], seed), halves(unknown["query_id"], seed)
    right = hits(known)["track"].to_numpy()
    rows = []
    lengths = set(known["seq_len"]) if unknown.empty else set(unknown["seq_len"]) & set(known["seq_len"])
    for length in sorted(lengths):
        k, u = (known["seq_len"] == length).to_numpy(), (unknown["seq_len"] == length).to_numpy()
        recordings = [unknown["query_id"][u & half].nunique() for half in (unknown_half, ~unknown_half)]
        for rate in rates:
            group = []
            for name in STATISTICS:
                values, answers = statistic(unknown, name), statistic(known, name)
                at = threshold(values[u & unknown_half], recordings[0], rate)
                row = {
                    "query_segments": int(length),
                    "query_seconds": seconds_of(int(length)),
                    "statistic": name,
                    "false_accept_rate": rate,
                    "supported": at is not None,
                    "threshold": at,
                    "unknown_recordings": recordings[1],
                    "unknown_sequences": int((u & ~unknown_half).sum()),
                }
                if at is None:
                    need = recordings_needed(rate)
                    row["reason"] = (
                        f"{recordings[0]} unknown recordings calibrate; {rate:g} needs at least {need}"
                    )
                else:
                    measured = (
                        float((values[u & ~unknown_half] >= at).mean()) if (u & ~unknown_half).any() else None
                    )
                    row["measured_false_accept_rate"] = measured
                    row["upper_bound"] = None if measured is None else upper_bound(measured, recordings[1])
                    accepted = answers >= at
                    others = k & ~known_half if (k & ~known_half).any() else k
                    row["true_accept_rate"] = float((accepted & right)[others].mean())
                    row["wrong_accept_rate"] = float((accepted & ~right)[others].mean())
                    row["_learnt"] = float((accepted & right)[k & known_half].mean())
                    row["reason"] = ""
                group.append(row)
            best = max(range(len(group)), key=lambda i: group[i].get("_learnt", -1.0))
            for i, row in enumerate(group):
                row["chosen"] = row["supported"] and i == best
                row.pop("_learnt", None)
            rows += group
    columns = [
        "query_segments", "query_seconds", "statistic", "chosen", "false_accept_rate", "supported",
        "threshold", "measured_false_accept_rate", "upper_bound", "true_accept_rate", "wrong_accept_rate",
        "unknown_recordings", "unknown_sequences", "reason",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def tradeoff(
    known: pd.DataFrame, unknown: pd.DataFrame, statistics: dict[int, str], seed: int, points: int = 200
) -> pd.DataFrame:
    """The detection error trade-off on the halves that do not calibrate.

    Args:
        statistics: which statistic is compared with the threshold,
            by query length in segments; score where not named.

    Returns:
        query_seconds, threshold, false_accept_rate, miss_rate (right track not accepted, or not answered):
        at most `points` rows a length, thresholds ascending.
    """
    known = known[~halves(known["query_id"], seed)]
    unknown = unknown[~halves(unknown["query_id"], seed)]
    parts = []
    for length in sorted(set(unknown["seq_len"]) & set(known["seq_len"])):
        of_length = known[known["seq_len"] == length]
        name = statistics.get(int(length), "score")
        accepted = np.sort(statistic(of_length, name)[hits(of_length)["track"].to_numpy()])
        rejected = np.sort(statistic(unknown[unknown["seq_len"] == length], name))
        values = np.unique(np.concatenate([accepted, rejected]))
        values = values[np.isfinite(values)]
        if len(values) > points:
            values = values[np.linspace(0, len(values) - 1, points).round().astype(int)]
        parts.append(
            pd.DataFrame(
                {
                    "query_seconds": seconds_of(int(length)),
                    "threshold": values,
                    "false_accept_rate": 1 - np.searchsorted(rejected, values) / max(len(rejected), 1),
                    "miss_rate": 1
                    - (len(accepted) - np.searchsorted(accepted, values)) / max(len(of_length), 1),
                }
            )
        )
    columns = ["query_seconds", "threshold", "false_accept_rate", "miss_rate"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def accept(table: list[dict], segments: int, false_accept_rate: float) -> dict | None:
    """The rule for a query of `segments` fingerprints: that of the longest calibrated length not above it.

    A longer query tells unknown music apart better than the length it is judged by, so the rate holds.

    Args:
        table: the rows of an index in calibration.json.

    Returns:
        The row, with statistic and threshold, or None where
        the query is too short or the rate is not supported.
    """
    rows = [
        row
        for row in table
        if row["chosen"]
        and row["false_accept_rate"] == false_accept_rate
        and row["query_segments"] <= segments
    ]
    return max(rows, key=lambda row: row["query_segments"]) if rows else None
