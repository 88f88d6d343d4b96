"""Hit rates with intervals that know that sequences of one recording resemble each other."""

import numpy as np
import pandas as pd
from scipy.special import betaincinv

from nmfp.files import generator, read_csv

COLUMNS = [
    "model", "index", "queries", "criterion", "query_seconds", "hits", "sequences", "hit_rate", "ci_low",
    "ci_high",
]  # fmt: skip
CRITERIA = ("track", "exact", "near", "far")
LEVEL = 0.95
# With fewer recordings, resampling them says little about
# others; beta quantiles on their number are wide and honest.
FEW_RECORDINGS = 10
_TEXT = ("query_audio_path", "gt_track_path", "pred_track_path", "query_id", "runner_up_track_path")
_NUMBERS = [
    "query_start_segment", "seq_start_idx", "query_chunk_bound", "seq_len", "pred_start_segment", "score",
    "true_start_seconds", "pred_start_seconds", "runner_up_score", "true_track_rank",
]  # fmt: skip


def read_analysis(path) -> pd.DataFrame:
    """Read analysis.csv: names as text, everything else as numbers, NaN where empty.

    Raises:
        NmfpError: missing, unreadable or without one of its columns.
    """
    table = read_csv(path, [*_TEXT, *_NUMBERS], text=_TEXT)
    table[_NUMBERS] = table[_NUMBERS].apply(pd.to_numeric)
    return table


def seconds_of(segments) -> float:
    """Length in seconds of consecutive segments of 1 s every 0.5 s: 1, 3, 5, 9, 19 are 1, 2, 3, 5, 10 s."""
    return (segments + 1) / 2


def hits(analysis: pd.DataFrame) -> pd.DataFrame:
    """Columns track, exact, near, far: whether each sequence's answer is a hit.

    track: the right track; exact: and the right row; near: or within one row (500 ms); far: the right track,
    farther off than that. Sequences whose place in the track is not known hit the track alone.
    """
    track = (analysis["gt_track_path"] != "") & (analysis["pred_track_path"] == analysis["gt_track_path"])
    off = (analysis["pred_start_segment"] - analysis["query_start_segment"]).abs()
    return pd.DataFrame(
        {"track": track, "exact": track & (off == 0), "near": track & (off <= 1), "far": track & (off > 1)}
    )


def hit_rates(analysis: pd.DataFrame, seed: int, resamples: int) -> pd.DataFrame:
    """Hit rate and 95 % interval for every criterion and query length; columns COLUMNS[3:].

    Sequences without a true track (unknown queries) are left out; exact, near and far are of those whose place is
    known. Intervals resample recordings, not sequences, since those of one recording hit and miss together.
    """
    analysis = analysis[analysis["gt_track_path"] != ""]
    placed = analysis["query_start_segment"].notna()
    hit = hits(analysis)
    rows = []
    for length in sorted(analysis["seq_len"].unique()):
        for criterion in CRITERIA:
            chosen = (analysis["seq_len"] == length) & (placed | (criterion == "track"))
            if not chosen.any():
                continue
            recording = analysis["gt_track_path"][chosen]
            of = hit[criterion][chosen]
            low, high = interval(of.to_numpy(), recording.to_numpy(), seed, resamples)
            rows.append((criterion, seconds_of(int(length)), int(of.sum()), len(of), of.mean(), low, high))
    table = pd.DataFrame(rows, columns=COLUMNS[3:])
    table["criterion"] = pd.Categorical(table["criterion"], CRITERIA)
    table = table.sort_values(["criterion", "query_seconds"], kind="stable", ignore_index=True)
    table["criterion"] = table["criterion"].astype(str)
    if (table["query_seconds"] % 1 == 0).all():
        table["query_seconds"] = table["query_seconds"].astype(int)
    return table.round({"hit_rate": 6, "ci_low": 6, "ci_high": 6})


def interval(hit: np.ndarray, recording: np.ndarray, seed: int, resamples: int) -> tuple[float, float]:
    """95 % interval of a rate by drawing recordings with replacement (percentile bootstrap over clusters).

    Where resampling cannot show any spread (all hit, none hit, few recordings), quantiles of the beta
    distribution with the recordings as trials (Clopper and Pearson 1934) are used: wide, as they should be.

    Args:
        hit: (n,) bool.
        recording: (n,) name of the recording that each sequence was cut from.
    """
    _, owner = np.unique(recording, return_inverse=True)
    sequences = np.bincount(owner)
    found = np.bincount(owner, weights=hit)
    recordings, rate = len(sequences), found.sum() / sequences.sum()
    if recordings < FEW_RECORDINGS or rate in (0, 1):
        return clopper_pearson(rate * recordings, recordings)
    rng = generator(seed, "bootstrap", recordings)
    rates = np.empty(resamples)
    step = max(1, 10_000_000 // recordings)
    for first in range(0, resamples, step):
        # How often each recording is drawn; the same draws for every criterion and length of a run
        drawn = rng.multinomial(recordings, np.full(recordings, 1 / recordings), min(step, resamples - first))
        rates[first : first + step] = (drawn @ found) / (drawn @ sequences)
    low, high = np.quantile(rates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(min(low, rate)), float(max(high, rate))


def clopper_pearson(successes: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Exact interval of a binomial proportion; two-sided at `level`."""
    tail = (1 - level) / 2
    low = betaincinv(successes, trials - successes + 1, tail) if successes > 0 else 0.0
    high = betaincinv(successes + 1, trials - successes, 1 - tail) if successes < trials else 1.0
    return float(low), float(high)


def format_table(table: pd.DataFrame) -> str:
    """The hit rates as text for a terminal: a block a model, index and query set; rows criteria, columns seconds."""
    blocks = []
    for (model, index, queries), block in table.groupby(["model", "index", "queries"], sort=False):
        seconds = sorted(block["query_seconds"].unique())
        lines = [
            f"{model} · {index} · {queries}",
            "  query    " + "".join(f"{s:>9g} s        " for s in seconds),
        ]
        for criterion in [c for c in CRITERIA if c in set(block["criterion"])]:
            rows = block[block["criterion"] == criterion].set_index("query_seconds")
            cells = [_cell(rows.loc[s]) if s in rows.index else " " * 19 for s in seconds]
            lines.append(f"  {criterion:<7}" + "".join(cells))
        blocks.append("\n".join(lines))
    return (
        "\n\n".join(blocks)
        + "\nhit rate [95 % interval]; near: within 0.5 s of the right place; far: the right track elsewhere"
    )


def _cell(row: pd.Series) -> str:
    text = f"{row['hit_rate']:.3f} [{row['ci_low']:.2f}-{row['ci_high']:.2f}]"
    return f"{text:>19}"
