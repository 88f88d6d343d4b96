"""Figures that take a result apart: the open-set trade-off and hit rates by the query's circumstances."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy.special import ndtri

from nmfp.report.plots import INK, PALETTE, STYLE, empty_figure

# one hue from light to dark: longer queries are darker
LENGTH_COLOURS = ["#a9cfe6", "#6aaed6", "#3787c0", "#125ea6", "#08306b"]
DIVISIONS = {
    "snr": "signal-to-noise ratio",
    "reverberation": "reverberation time of the room",
    "microphone": "microphone",
    "position": "place in the track",
}
_RATES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9]
_MOST_GROUPS = 10
_PANELS_A_ROW = 3


def length_colours(count: int) -> list[str]:
    """Colours of `count` query lengths, shortest first."""
    return [LENGTH_COLOURS[round(i)] for i in np.linspace(0 if count > 1 else 3, 4, count)]


def det_figure(curves: dict[str, pd.DataFrame], operating: dict[str, pd.DataFrame]) -> Figure:
    """Miss rate against false-accept rate on normal-deviate axes (Martin et al. 1997): a panel a run, a line a length.

    Args:
        curves: calibration.tradeoff of each run by its label.
        operating: rows of calibration.calibrate of each run, by the same labels; chosen thresholds become points.
    """
    if all(curve.empty for curve in curves.values()):
        return empty_figure(
            "There were no queries of music outside the database: nothing can be accepted falsely."
        )
    columns = min(len(curves), _PANELS_A_ROW)
    rows = -(-len(curves) // columns)
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            rows, columns, figsize=(1.8 + 4.2 * columns, 0.4 + 4.3 * rows), squeeze=False, sharey=True,
            layout="constrained",
        )  # fmt: skip
        for panel in panels.flat[len(curves) :]:
            panel.set_visible(False)
        for panel, (label, curve) in zip(panels.flat, curves.items(), strict=False):
            seconds = sorted(curve["query_seconds"].unique())
            rates = curve[["false_accept_rate", "miss_rate"]].to_numpy()
            shown = rates[(rates > 0) & (rates < 1)]
            low = max(min(0.01, shown.min(initial=0.01) / 1.3), 5e-4)
            for value, colour in zip(seconds, length_colours(len(seconds)), strict=True):
                part = curve[curve["query_seconds"] == value]
                x, y = (part[name].clip(low * 0.7, 1 - 1e-3) for name in ("false_accept_rate", "miss_rate"))
                panel.plot(
                    ndtri(x),
                    ndtri(y),
                    color=colour,
                    linewidth=1.8,
                    label=f"{value:g} s",
                    drawstyle="steps-post",
                )
                points = operating[label]
                points = points[(points["query_seconds"] == value) & points["chosen"]]
                points = points[points["measured_false_accept_rate"].notna()]
                panel.plot(
                    ndtri(points["measured_false_accept_rate"].astype(float).clip(low, 0.95)),
                    ndtri((1 - points["true_accept_rate"].astype(float)).clip(low, 0.95)),
                    "o", color=colour, markeredgecolor="white", markersize=7, zorder=3,
                )  # fmt: skip
            ticks = [t for t in _RATES if t >= low]
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_ticks(ndtri(ticks), [f"{100 * t:g}" for t in ticks])
            panel.set_xlim(ndtri(low), ndtri(0.95))
            panel.set_ylim(ndtri(low), ndtri(0.95))
            panel.set_title(label)
            panel.set_xlabel("unknown queries accepted, in %")
        for panel in panels[:, 0]:
            panel.set_ylabel("known queries missed, in %")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", title="query")
    return figure


def breakdowns_figure(table: pd.DataFrame, title: str) -> Figure:
    """Track hit rate by SNR, reverberation, microphone and position, with 95 % intervals; a colour a query length.

    Args:
        table: breakdowns.COLUMNS of one run.
    """
    present = [by for by in DIVISIONS if (table["by"] == by).any()]
    with plt.rc_context(STYLE):
        if not present:
            figure = plt.figure(figsize=(7, 1.6))
            figure.text(
                0.5, 0.5, "The queries were not degraded: there is nothing to divide them by.", ha="center"
            )
            return figure
        figure, panels = plt.subplots(
            2, 2, figsize=(10.4, 7.4), squeeze=False, sharey=True, layout="constrained"
        )
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11)
        seconds = sorted(table["query_seconds"].unique())
        seconds = seconds if len(seconds) <= 3 else [seconds[0], seconds[len(seconds) // 2], seconds[-1]]
        for panel in panels.flat[len(present) :]:
            panel.set_visible(False)
        for panel, by in zip(panels.flat, present, strict=False):
            part = table[table["by"] == by]
            groups = part.drop_duplicates("group").sort_values("order")["group"].tolist()
            counts = part[part["query_seconds"] == seconds[-1]].set_index("group")["sequences"]
            if by == "microphone":
                groups = sorted(groups, key=lambda g: -counts.get(g, 0))[:_MOST_GROUPS]
            for i, (value, colour) in enumerate(zip(seconds, length_colours(len(seconds)), strict=True)):
                rows = part[part["query_seconds"] == value].set_index("group").reindex(groups)
                at = np.arange(len(groups)) + 0.16 * (i - (len(seconds) - 1) / 2)
                spread = np.abs(rows[["ci_low", "ci_high"]].to_numpy().T - rows["hit_rate"].to_numpy())
                panel.errorbar(
                    at, rows["hit_rate"], yerr=spread, color=colour, fmt="o", markersize=5, elinewidth=1.2,
                    capsize=2, label=f"{value:g} s",
                )  # fmt: skip
            panel.set_title(DIVISIONS[by])
            names = [f"{_short(g)}\n{counts.get(g, 0)}" for g in groups]
            crowded = by == "microphone" and len(groups) > 4
            turn = {"rotation": 28, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
            panel.set_xticks(np.arange(len(groups)), names, fontsize=8, **turn)
            panel.set_xlim(-0.6, len(groups) - 0.4)
            panel.set_ylim(-0.02, 1.03)
            panel.grid(axis="x", visible=False)
        for panel in panels[:, 0]:
            panel.set_ylabel("track hit rate", color=INK)
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), title="query length")
    return figure


def recall_figure(table: pd.DataFrame) -> Figure:
    """Indexes against exact search: recall, size and speed, a line an index.

    Args:
        table: recall.COLUMNS.
    """
    names = table["index"] if table["model"].nunique() == 1 else table["model"] + " · " + table["index"]
    at = np.arange(len(table))
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            1, 3, figsize=(10.4, 1.5 + 0.4 * len(table)), sharey=True, width_ratios=[1.4, 1, 1],
            layout="constrained",
        )  # fmt: skip
        shares, size, speed = panels
        shares.hlines(at, table["recall_1"], table["recall_10"], color=PALETTE[0], linewidth=1.8)
        shares.plot(table["recall_1"], at, "o", color=PALETTE[0], label="named first")
        shares.plot(
            table["recall_10"], at, "o", color=PALETTE[0], markerfacecolor="white", zorder=1.9,
            label="among the first ten",
        )  # fmt: skip
        shares.set_yticks(at, names)
        shares.set_ylim(len(table) - 0.4, -0.6)
        shares.set_xlim(-0.02, 1.03)
        shares.xaxis.set_major_formatter(PercentFormatter(1, 0))
        shares.set_title("the nearest fingerprint is ...")
        for panel, column, title in (
            (size, "bytes_per_fingerprint", "bytes a fingerprint"),
            (speed, "segments_per_second", "segments searched a second"),
        ):
            bars = panel.barh(at, table[column], height=0.55, color=LENGTH_COLOURS[0])
            panel.bar_label(bars, [f"{value:,.0f}" for value in table[column]], padding=4, fontsize=8.5)
            panel.set_xlim(0, 1.18 * table[column].max())
            panel.set_title(title)
            panel.set_xticks([])
            panel.tick_params(left=False)
            panel.spines["bottom"].set_visible(False)
            panel.grid(visible=False)
        figure.legend(*shares.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


def _short(name: str, most: int = 18) -> str:
    """The end of a long name, where names of files differ."""
    name = name.rsplit("/", 1)[-1].removesuffix(".wav")
    return name if len(name) <= most else "…" + name[-most + 1 :]
