"""Figures of the report, as SVG whose bytes depend on nothing but the data."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.signal import stft

from nmfp.evaluation.hit_rates import hits, seconds_of
from nmfp.files import atomic
from nmfp.segments import SAMPLE_RATE

INK, QUIET, RULE = "#22272e", "#6b7480", "#d9dde2"
# Okabe and Ito's colours, told apart with any kind of colour
# vision; the order keeps neighbours apart in grey, too
PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f"]
RIGHT, WRONG, UNKNOWN = PALETTE[0], PALETTE[1], "#8c95a1"
TRUE = "#5ce0b8"
MEANING = {
    "track": "right track",
    "near": "and within 0.5 s of the right place",
    "exact": "and exactly the right row",
}
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "text.color": INK,
    "figure.facecolor": "white",
    "svg.hashsalt": "nmfp",
    "svg.fonttype": "path",
}


def save(figure: Figure, path: str | Path) -> None:
    """Write the figure atomically, without dates, and close it."""
    with atomic(path) as temporary, plt.rc_context(STYLE):
        metadata = {"Date": None, "Creator": None} if Path(path).suffix == ".svg" else None
        figure.savefig(temporary, metadata=metadata, dpi=120)
    plt.close(figure)


def run_labels(runs: pd.DataFrame) -> list[str]:
    """Names of runs (columns model, index, queries) with only the parts in which they differ."""
    parts = [name for name in ("model", "index", "queries") if runs[name].nunique() > 1] or ["model"]
    return runs[parts].agg(" · ".join, axis=1).tolist()


def hit_rates_figure(table: pd.DataFrame) -> Figure:
    """Hit rate against query length: a panel a criterion, a line a run, bars are 95 % intervals."""
    runs = table[["model", "index", "queries"]].drop_duplicates()
    names = [c for c in ("track", "near", "exact") if c in set(table["criterion"])]
    seconds = np.sort(table["query_seconds"].unique())
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            1,
            len(names),
            figsize=(1.2 + 3.1 * len(names), 3.9),
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        for panel, criterion in zip(panels[0], names, strict=True):
            for i, (run, label) in enumerate(
                zip(runs.itertuples(index=False), run_labels(runs), strict=True)
            ):
                rows = table[(table[["model", "index", "queries"]] == list(run)).all(axis=1)]
                rows = rows[rows["criterion"] == criterion].sort_values("query_seconds")
                rate = rows["hit_rate"].to_numpy()
                spread = np.abs(rows[["ci_low", "ci_high"]].to_numpy().T - rate)
                # side by side, so that the bars of several runs can be read
                at = rows["query_seconds"] * 1.035 ** (i - (len(runs) - 1) / 2)
                panel.errorbar(
                    at, rate, yerr=spread, color=PALETTE[i % len(PALETTE)], label=label, marker="o",
                    markersize=4.5, linewidth=1.8, elinewidth=1, capsize=2.5, capthick=1,
                    linestyle=["-", "--", ":"][i // 7 % 3],
                )  # fmt: skip
            panel.set_title(criterion, pad=20)
            panel.annotate(
                MEANING[criterion],
                (0, 1),
                (0, 6),
                "axes fraction",
                textcoords="offset points",
                color=QUIET,
                fontsize=8.5,
            )
            panel.set_xscale("log")
            panel.set_xticks(seconds, [f"{s:g}" for s in seconds])
            panel.minorticks_off()
            panel.set_xlabel("query length in seconds")
            panel.set_ylim(-0.02, 1.03)
        panels[0, 0].set_ylabel("hit rate")
        panels[0, 0].yaxis.set_major_formatter(PercentFormatter(1, 0))
        if len(table):
            handles, labels = panels[0, 0].get_legend_handles_labels()
            # long enough to tell a dashed line
            figure.legend(
                handles, labels, loc="outside lower center", ncols=min(len(labels), 4), handlelength=3.5
            )
    return figure


def training_figure(histories: dict[str, pd.DataFrame]) -> Figure:
    """Loss, and validation hit rates where there are any, against epochs; a column a model (losses do not compare)."""
    if not histories:
        return empty_figure("No network was trained in this experiment: its weights were imported.")
    validated = any(
        history.filter(like="validation_").notna().any(axis=None) for history in histories.values()
    )
    with plt.rc_context(STYLE):
        rows = 2 if validated else 1
        figure, panels = plt.subplots(
            rows, len(histories), figsize=(1.0 + 3.6 * len(histories), 2.6 * rows + 0.4), squeeze=False,
            sharex="col", layout="constrained",
        )  # fmt: skip
        for column, (model, history) in enumerate(histories.items()):
            panel = panels[0, column]
            marker = {"marker": "o", "markersize": 3.5} if len(history) < 40 else {}
            panel.plot(history["epoch"], history["loss"], color=INK, linewidth=1.8, **marker)
            panel.set_title(model)
            if validated:
                panel = panels[1, column]
                for criterion, colour in zip(("track", "near", "exact"), PALETTE, strict=False):
                    name = f"validation_{criterion}"
                    if name in history and history[name].notna().any():
                        known = history[history[name].notna()]
                        panel.plot(
                            known["epoch"],
                            known[name],
                            color=colour,
                            linewidth=1.8,
                            label=criterion,
                            **marker,
                        )
                panel.set_ylim(-0.02, 1.03)
                panel.yaxis.set_major_formatter(PercentFormatter(1, 0))
                if panel.lines:
                    panel.legend(loc="lower right", title="hit")
            panel.set_xlabel("epoch")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panels[0, 0].set_ylabel("training loss")
        if validated:
            panels[1, 0].set_ylabel("hit rate, validation")
        figure.align_ylabels()
    return figure


def scores_figure(analyses: dict[str, pd.DataFrame], unknown: dict[str, pd.DataFrame]) -> Figure:
    """Densities of the best score: right and wrong answers, and queries that are in no database; a row a run.

    Args:
        analyses: analysis.csv of each run by its label.
        unknown: the same of unknown queries, by the same labels.
    """
    lengths = sorted(set().union(*(set(a["seq_len"].unique()) for a in analyses.values())))
    everything = pd.concat([*analyses.values(), *unknown.values()])["score"].dropna()
    low = min(0.0, np.floor(everything.min() * 10) / 10) if len(everything) else 0.0
    bins = np.linspace(low, 1, int(round((1 - low) / 0.025)) + 1)
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, panels = plt.subplots(
            len(analyses), len(lengths), figsize=(1.2 + 2.1 * len(lengths), 0.9 + 1.9 * len(analyses)),
            sharex=True, squeeze=False, layout="constrained",
        )  # fmt: skip
        for row, (label, analysis) in enumerate(analyses.items()):
            right = hits(analysis)["track"]
            for column, length in enumerate(lengths):
                panel = panels[row, column]
                chosen = analysis["seq_len"] == length
                others = unknown.get(label)
                parts = [
                    ("right track", analysis["score"][chosen & right], RIGHT),
                    ("wrong track", analysis["score"][chosen & ~right], WRONG),
                    ("not in the database", others["score"][others["seq_len"] == length], UNKNOWN)
                    if others is not None
                    else ("not in the database", pd.Series(dtype=float), UNKNOWN),
                ]
                tops = [1e-9]
                for name, scores, colour in parts:
                    scores = scores.dropna()
                    # Shares of each kind, not counts: with few wrong answers their shape would vanish.
                    height = np.histogram(scores, bins)[0] / max(len(scores), 1)
                    tops.append(height.max())
                    panel.stairs(height, bins, fill=True, color=colour, alpha=0.22)
                    panel.stairs(height, bins, color=colour, linewidth=1.5, label=name)
                panel.set_yticks([])
                panel.spines["left"].set_visible(False)
                panel.set_xlim(low, 1)
                panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
                panel.set_ylim(0, 1.06 * max(tops))
                if row == 0:
                    panel.set_title(f"{seconds_of(length):g} s")
                if row == len(analyses) - 1:
                    panel.set_xlabel("score")
            panels[row, 0].set_ylabel(
                f"{label}\nshare of answers" if len(analyses) > 1 else "share of answers"
            )
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def spectrogram(audio: np.ndarray, low: float = 160, bands: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Decibels below the loudest band (bands, frames), and the bands' frequencies in Hz, evenly spaced in octaves.

    Args:
        audio: int16 or float (n,) at 8 kHz.
    """
    frequency, _, bins = stft(audio.astype(np.float64), SAMPLE_RATE, nperseg=512, noverlap=352, nfft=1024)
    wanted = np.geomspace(low, SAMPLE_RATE / 2, bands)
    magnitude = np.abs(bins)
    # linear interpolation between the two nearest bins of every band
    below = np.clip(np.searchsorted(frequency, wanted, side="right") - 1, 0, len(frequency) - 2)
    share = ((wanted - frequency[below]) / (frequency[1] - frequency[0]))[:, None]
    magnitude = magnitude[below] * (1 - share) + magnitude[below + 1] * share
    return 20 * np.log10(np.maximum(magnitude, 1e-12) / max(magnitude.max(), 1e-12)), wanted


def match_figure(
    query: np.ndarray, track: np.ndarray, start: float, answer: float, true: float, title: str
) -> Figure:
    """A degraded query above the part of the track that was answered.

    Args:
        query: int16 audio of the sequence.
        track: int16 audio of the track around the answered place.
        start: where `track` begins in the track, in seconds.
        answer: where the sequence was placed in the track, in seconds; true: where it was cut from.
        title: what is shown.
    """
    seconds = len(query) / SAMPLE_RATE
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, panels = plt.subplots(2, 1, figsize=(9.2, 5.6), sharex=True, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        for panel, audio, offset in ((panels[0], query, answer), (panels[1], track, start)):
            decibels, frequency = spectrogram(audio)
            octaves = np.log2(frequency)
            image = panel.imshow(
                decibels,
                cmap="magma",
                vmin=-70,
                vmax=0,
                origin="lower",
                aspect="auto",
                extent=(offset, offset + len(audio) / SAMPLE_RATE, octaves[0], octaves[-1]),
            )
            panel.set_yticks(np.log2([200, 500, 1000, 2000, 4000]), ["200", "500", "1k", "2k", "4k"])
            panel.set_ylabel("frequency in Hz")
        panels[0].set_title("what the microphone heard: the query, with noise, room and microphone")
        panels[1].set_title("what the database answered: the clean track around the place found")
        for edge in (answer, answer + seconds):
            panels[1].axvline(edge, color="white", linewidth=1.6)
        panels[1].axvline(true, color=TRUE, linewidth=1.6, linestyle="--")
        box = {"boxstyle": "round,pad=0.25", "facecolor": "black", "edgecolor": "none", "alpha": 0.75}
        for x, text, colour, side, height in (
            (true, f"cut from {true:.2f} s", TRUE, "right", 175),
            (answer + seconds, f"found at {answer:.1f} s", "white", "left", 175),
        ):
            shift = 7 if side == "left" else -7
            panels[1].annotate(
                text,
                (x, np.log2(height)),
                (shift, 0),
                textcoords="offset points",
                color=colour,
                fontsize=8.5,
                ha=side,
                bbox=box,
            )
        panels[1].set_xlabel("seconds in the track")
        panels[1].set_xlim(start, start + len(track) / SAMPLE_RATE)
        figure.colorbar(image, ax=panels, label="dB below the loudest band", shrink=0.6, pad=0.01)
    return figure


def empty_figure(sentence: str) -> Figure:
    """A figure that says why there is nothing to show."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(7, 1.6))
        figure.text(0.5, 0.5, sentence, ha="center", va="center", color=QUIET)
    return figure
