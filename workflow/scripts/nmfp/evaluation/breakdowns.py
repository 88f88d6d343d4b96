"""Hit rates of parts of the queries: by noise, room, microphone and place; ranks and time errors of
answers."""

import numpy as np
import pandas as pd

from nmfp.evaluation.hit_rates import hits, interval, seconds_of
from nmfp.segments import SAMPLE_RATE

COLUMNS = ["by", "group", "order", "query_seconds", "hits", "sequences", "hit_rate", "ci_low", "ci_high"]
SNR_STEP = 2
DECAY_EDGES = [0.0, 0.3, 0.6, 1.0, 1.5, 2.5, np.inf]
POSITIONS = ["first quarter", "second quarter", "third quarter", "last quarter"]
TOP = (1, 5, 10, 20)


def decay_time(response: np.ndarray, sample_rate: int = SAMPLE_RATE) -> float:
    """Reverberation time in seconds of an impulse response: time to fall by 60 dB.

    Backward integration (Schroeder 1965), a straight line through -5 to -25 dB, or to -15 dB where the
    response is cut before that; NaN where it does not fall so far.
    """
    energy = np.cumsum(np.asarray(response, dtype=np.float64)[::-1] ** 2)[::-1]
    if not len(energy) or energy[0] <= 0:
        return float("nan")
    level = 10 * np.log10(np.maximum(energy / energy[0], 1e-12))
    for lowest in (-25, -15):
        part = np.flatnonzero((level <= -5) & (level >= lowest))
        if level[-1] < lowest and len(part) > 2:
            slope = np.polyfit(part / sample_rate, level[part], 1)[0]
            return float(-60 / slope) if slope < 0 else float("nan")
    return float("nan")


def decay_times(audio: np.ndarray, table: pd.DataFrame) -> dict[str, float]:
    """Reverberation time of every packed response by its id.

    Args:
        audio: int16, all responses one after another.
        table: columns id, start_sample, samples.
    """
    return {
        row.id: decay_time(audio[row.start_sample : row.start_sample + row.samples])
        for row in table.itertuples(index=False)
    }


def describe_queries(
    provenance: pd.DataFrame, decays: dict[str, float], samples: dict[str, int]
) -> pd.DataFrame:
    """The group of every query in each division: columns snr, reverberation, microphone,
    position; index the query's id.

    Args:
        provenance: docs/formats.md.
        decays: reverberation time by room id.
        samples: length of tracks by id.

    Empty where a degradation was off or a length is unknown.
    Ordered categories, so that groups sort as they should.
    """
    snr = pd.to_numeric(provenance["snr_db"], errors="coerce")
    low = np.floor(snr / SNR_STEP) * SNR_STEP
    # the upper edge of the range is drawn with probability zero: it belongs to the last step
    low = low.where(~((snr == snr.max()) & (low == snr) & (low > low.min())), low - SNR_STEP)
    steps = np.sort(low.dropna().unique())
    decay = provenance["room_id"].map(decays).astype(float)
    names = [_between(a, b) for a, b in zip(DECAY_EDGES[:-1], DECAY_EDGES[1:], strict=True)]
    length = provenance["track_id"].map(samples).astype(float)
    share = pd.to_numeric(provenance["start_sample"], errors="coerce") / length
    return pd.DataFrame(
        {
            "snr": pd.Categorical(low.map(_decibels), [_decibels(s) for s in steps], ordered=True),
            "reverberation": pd.cut(decay, DECAY_EDGES, labels=names, right=False),
            "microphone": pd.Categorical(
                provenance["microphone_id"].where(provenance["microphone_id"] != "")
            ),
            "position": pd.cut(share, [0, 0.25, 0.5, 0.75, 1.0], labels=POSITIONS, right=False),
        }
    ).set_axis(provenance["id"], axis=0)


def breakdowns(analysis: pd.DataFrame, groups: pd.DataFrame, seed: int, resamples: int) -> pd.DataFrame:
    """Track hit rate with its interval for every division, group and query length; columns COLUMNS."""
    analysis = analysis[analysis["gt_track_path"] != ""]
    hit = hits(analysis)["track"].to_numpy()
    recording = analysis["gt_track_path"].to_numpy()
    rows = []
    for by in groups:
        group = groups[by].cat.codes.reindex(analysis["query_id"]).to_numpy()
        for code, name in enumerate(groups[by].cat.categories):
            for length in sorted(analysis["seq_len"].unique()):
                chosen = (group == code) & (analysis["seq_len"] == length).to_numpy()
                if chosen.any():
                    bounds = interval(hit[chosen], recording[chosen], seed, resamples)
                    counts = (int(hit[chosen].sum()), int(chosen.sum()), hit[chosen].mean())
                    rows.append((by, str(name), code, seconds_of(int(length)), *counts, *bounds))
    return pd.DataFrame(rows, columns=COLUMNS).round({"hit_rate": 6, "ci_low": 6, "ci_high": 6})


def accuracy(analysis: pd.DataFrame) -> pd.DataFrame:
    """How far down the right track is found, and how far off in time right tracks are, by query length.

    Columns: query_seconds, sequences, answered (share), top_1, top_5, top_10, top_20 (share of sequences whose
    track is among the best so many tracks), median_time_error and time_error_95 (seconds, of the answers that
    name the right track; queries begin between rows, so a perfect answer is off by up to 0.25 s).
    """
    analysis = analysis[analysis["gt_track_path"] != ""]
    error = (
        (analysis["pred_start_seconds"] - analysis["true_start_seconds"]).abs().where(hits(analysis)["track"])
    )
    rows = []
    for length, part in analysis.groupby("seq_len"):
        errors = error[part.index].dropna()
        quantiles = np.quantile(errors, [0.5, 0.95]) if len(errors) else (np.nan, np.nan)
        top = [(part["true_track_rank"] <= k).mean() for k in TOP]
        rows.append((seconds_of(int(length)), len(part), part["score"].notna().mean(), *top, *quantiles))
    columns = [
        "query_seconds",
        "sequences",
        "answered",
        *(f"top_{k}" for k in TOP),
        "median_time_error",
        "time_error_95",
    ]
    return pd.DataFrame(rows, columns=columns).round(6)


def _between(low: float, high: float) -> str:
    if low == 0:
        return f"under {high:g} s"
    return f"{low:g} to {high:g} s" if np.isfinite(high) else f"{low:g} s and more"


def _decibels(low: float) -> str | float:
    return f"{low:g} to {low + SNR_STEP:g} dB" if np.isfinite(low) else np.nan
