"""Self-contained HTML pages: sortable tables, and the misses with players."""

import base64
import html
import io
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile

from nmfp.segments import SAMPLE_RATE

_STYLE = """
:root { --ink: #22272e; --quiet: #6b7480; --rule: #d9dde2; --accent: #0072b2; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink);
       margin: 2rem auto; max-width: 74rem; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .2rem; }
p { max-width: 52rem; margin: .3rem 0 .8rem; color: var(--quiet); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem; text-align: right; white-space: nowrap;
         border-bottom: 1px solid var(--rule); }
th { position: sticky; top: 0; background: #fff; cursor: pointer; font-weight: 600;
     user-select: none; }
th:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort=ascending]::after { content: " \\2191"; } th[aria-sort=descending]::after { content: " \\2193"; }
th.text, td.text { text-align: left; }
td.text.sentence { white-space: normal; min-width: 24rem; max-width: 30rem; }
nav ul { columns: 20rem; margin: .6rem 0; padding-left: 1.2rem; } a { color: var(--accent); }
tbody tr:hover { background: #f3f6f9; }
small { color: var(--quiet); }
audio { width: 17rem; height: 2.2rem; }
.miss { border-top: 1px solid var(--rule); padding: .9rem 0; display: grid; gap: .4rem 1.4rem;
        grid-template-columns: repeat(3, minmax(17rem, 1fr)); }
.miss h3 { grid-column: 1 / -1; font-size: 1rem; margin: 0; } .miss h3 small { font-weight: normal; }
.miss div { display: flex; flex-direction: column; } .miss audio { margin-top: auto; }
.name { overflow-wrap: anywhere; }
"""
_SORT = """
for (const head of document.querySelectorAll("th")) {
  const sort = () => {
    const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const order = (a, b) => {
      const x = value(a), y = value(b), n = Number(x) - Number(y);
      if (x === "" || y === "") return (x === "") - (y === "");
      return (Number.isNaN(n) ? x.localeCompare(y) : n) * (down ? -1 : 1);
    };
    body.append(...[...body.rows].sort(order));
  };
  head.tabIndex = 0;
  head.addEventListener("click", sort);
  head.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
  });
}
"""


def page(title: str, body: str, script: str = "") -> str:
    """A complete document that loads nothing from anywhere."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style></head>\n'
        f"<body>\n{body}\n"
        f"<script>{script}</script></body></html>\n"
    )


# Characters from which on a cell is broken into lines
_SENTENCE = 40


def table_html(table: pd.DataFrame, text: list[str]) -> str:
    """A table whose columns sort by a click; cells that hold (shown, value) pairs sort by the value."""
    heads = "".join(
        f'<th class="{"text" if c in text else "number"}">{html.escape(str(c))}</th>' for c in table
    )
    rows = []
    decimals = [_decimals(table[c]) for c in table]
    for row in table.itertuples(index=False):
        cells = []
        for name, places, cell in zip(table.columns, decimals, row, strict=True):
            shown, value = cell if isinstance(cell, tuple) else (_shown(cell, places), _value(cell))
            kind = "text" if name in text else "number"
            if len(shown) > _SENTENCE:
                kind += " sentence"  # a line or two, not a column of single words
            cells.append(
                f'<td class="{kind}" data-value="{html.escape(str(value))}">{html.escape(shown)}</td>'
            )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head, body = f"<thead><tr>{heads}</tr></thead>", "\n".join(rows)
    return f'<div class="scroll"><table>{head}\n<tbody>{body}</tbody></table></div>'


class Section(NamedTuple):
    """A table of tables.html; `text` names its columns that hold no numbers."""

    heading: str
    explanation: str
    table: pd.DataFrame
    text: list[str]


def tables_page(sections: list[Section]) -> str:
    """All sections, with links to each at the top.

    A text column that says the same in every row is told once, above the table.
    """
    links = "".join(f'<li><a href="#{i}">{html.escape(s.heading)}</a></li>' for i, s in enumerate(sections))
    body = [
        "<h1>Tables</h1><p>Click a column's head to sort by it, again for the other direction.</p>"
        f"<nav><ul>{links}</ul></nav>"
    ]
    for i, (heading, explanation, table, text) in enumerate(sections):
        same = [name for name in text if len(table) > 1 and table[name].nunique() == 1]
        told = ", ".join(f"{name} {table[name].iloc[0]}" for name in same)
        body.append(f'<h2 id="{i}">{html.escape(heading)}</h2><p>{html.escape(explanation)}</p>')
        body.append(f"<p>In all rows: {html.escape(told)}.</p>" if told else "")
        shown = table.drop(columns=same)
        body.append(table_html(shown, text) if len(table) else "<p>Nothing to show.</p>")
    return page("Tables", "\n".join(body), _SORT)


def evaluation_page(table: pd.DataFrame, remarks: list[str], database: str) -> str:
    """Hit rates of one's own queries (columns of hit_rates.csv), and what must be known to read them."""
    names = {"track": "right track", "exact": "exactly the right row", "near": "right within 0.5 s"}
    names["far"] = "right track, more than 0.5 s off"
    body = [f"<h1>Hit rates</h1><p>Database: {html.escape(database)}</p>"]
    body += [f"<p><b>{html.escape(remark)}</b></p>" for remark in remarks]
    for criterion in table["criterion"].unique():
        body.append(
            f"<h2>{names[criterion]}</h2><p>Hit rate in % by query length, with its 95 % interval.</p>"
        )
        body.append(table_html(side_by_side(table, criterion), ["model", "index", "queries"]))
    return page("Hit rates", "\n".join(body), _SORT)


def side_by_side(table: pd.DataFrame, criterion: str) -> pd.DataFrame:
    """Rows models (with index and queries), columns query seconds: the layout in which the paper compares models."""
    chosen = table[table["criterion"] == criterion]
    seconds = sorted(chosen["query_seconds"].unique())
    rows = []
    for run, part in chosen.groupby(["model", "index", "queries"], sort=False):
        by_length = part.set_index("query_seconds")
        row = dict(zip(["model", "index", "queries"], run, strict=True))
        for s in seconds:
            if s in by_length.index:
                cell = by_length.loc[s]
                row[f"{s:g} s"] = (
                    f"{100 * cell['hit_rate']:.1f} ({100 * cell['ci_low']:.1f}–{100 * cell['ci_high']:.1f})",
                    cell["hit_rate"],
                )
            else:
                row[f"{s:g} s"] = ("", "")
        rows.append(row)
    return pd.DataFrame(rows)


def audio_player(samples: np.ndarray) -> str:
    """A player with its sound inside: int16 at 8 kHz as MP3, a twentieth of the size of the samples."""
    buffer = io.BytesIO()
    soundfile.write(
        buffer, samples, SAMPLE_RATE, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.5
    )
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<audio controls preload="none" src="data:audio/mpeg;base64,{data}"></audio>'


def misses_page(misses: list[dict]) -> str:
    """Wrong answers, worst first.

    Args:
        misses: dictionaries with heading, detail (one line of text) and sounds: three (title, name, int16
            samples or None where there is nothing to hear).
    """
    body = [
        "<h1>The worst misses</h1><p>Queries that were answered with the wrong track, "
        "the most confident first (one a query, the longest sequences first). Listen "
        "to what was asked, what would have been right, and what was answered. A wrong "
        "answer that sounds the same may be the same recording under two names.</p>"
    ]
    if not misses:
        body.append("<p>There is none: every sequence of every query was answered with the right track.</p>")
    silence = "<small>nothing to hear</small>"
    for number, miss in enumerate(misses, 1):
        sounds = "".join(
            f'<div><b>{html.escape(title)}</b><small class="name">{html.escape(name)}</small>'
            f"{silence if samples is None or not len(samples) else audio_player(samples)}</div>"
            for title, name, samples in miss["sounds"]
        )
        body.append(
            f'<section class="miss"><h3>{number}. {html.escape(miss["heading"])} '
            f"<small>{html.escape(miss['detail'])}</small></h3>{sounds}</section>"
        )
    return page("The worst misses", "\n".join(body))


def _decimals(column: pd.Series) -> int:
    """Decimals that all numbers of a column are shown with, so that their points stand one under another."""
    numbers = [x for x in column if isinstance(x, float) and np.isfinite(x)]
    most = 4 if max(map(abs, numbers), default=0) < 100 else 1
    return next((n for n in range(most) if all(round(x, n) == round(x, most) for x in numbers)), most)


def _shown(cell, decimals: int) -> str:
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    if isinstance(cell, float):
        return f"{cell:.{decimals}f}"
    return str(cell)


def _value(cell):
    return "" if cell is None or (isinstance(cell, float) and np.isnan(cell)) else cell
