"""One's own evaluation: queries of which it is known what they are, against any database.

The ground truth is a CSV with a row a query: `query` (an audio file, or a .npy of `nmfp fingerprint`; relative to the
table), `track` (its name in the database, or `unknown`), `start` (where in the track the query begins, in seconds;
empty where that is not known).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from nmfp.database.fingerprints import Fingerprints
from nmfp.errors import NmfpError
from nmfp.evaluation.hit_rates import hit_rates
from nmfp.evaluation.sequences import ANALYSIS_COLUMNS, Plan, Truth, analyse, place_queries
from nmfp.files import progress, read_csv
from nmfp.identification.reference import Reference
from nmfp.segments import SAMPLE_RATE, true_row

COLUMNS = ["query", "track", "start"]
UNKNOWN = "unknown"


class Query(NamedTuple):
    """One row of the ground truth; id, path and reason as of any recording that is fingerprinted."""

    id: str
    path: str
    track: str  # "" where it is in no database
    start: float  # seconds, NaN where it is not known
    reason: str = ""


def read_ground_truth(path: str | Path) -> list[Query]:
    """The table's rows, in order.

    Raises:
        NmfpError: it cannot be read; a query is named twice or is no file; a start is no time. Names the line.
    """
    path = Path(path)
    table = read_csv(path, COLUMNS, text=tuple(COLUMNS))
    if table.empty:
        raise NmfpError(f"{path} has no rows; write query,track,start and a row a query.")
    queries: dict[str, Query] = {}
    for line, row in enumerate(table[COLUMNS].itertuples(index=False), start=2):
        name, track, start = (cell.strip() for cell in row)
        where = f"{path}, line {line}"
        file = path.parent / name
        if name in queries:
            raise NmfpError(f"{where}: the query {name} stands in an earlier line, too; one row a query.")
        if not name or not file.is_file():
            raise NmfpError(
                f"{where}: the query {name!r} is no file; write its path from the table's folder."
            )
        if not track:
            raise NmfpError(f"{where}: the track is empty; name one of the database, or write {UNKNOWN}.")
        try:
            seconds = float(start) if start else np.nan
        except ValueError:
            seconds = -1.0
        if seconds < 0 or seconds == np.inf:
            raise NmfpError(
                f"{where}: the start {start!r} is no time in seconds; write 12.5, or leave it empty."
            )
        known = track != UNKNOWN
        queries[name] = Query(name, str(file), track if known else "", seconds if known else np.nan)
    return list(queries.values())


def check_tracks(queries: list[Query], reference: Reference, path: str | Path) -> None:
    """Insist that every track of the ground truth is in the database and lasts until the query's start.

    Raises:
        NmfpError: it is not, or does not; names the line.
    """
    rows = dict(zip(reference.names, reference.bounds.end - reference.bounds.start, strict=True))
    for line, query in enumerate(queries, start=2):
        where = f"{path}, line {line}"
        if query.track and query.track not in rows:
            raise NmfpError(
                f"{where}: the track {query.track!r} has no fingerprints in {reference.folder}; write it as "
                f"`nmfp database info --tracks` does, or {UNKNOWN}."
            )
        if query.track and np.isfinite(query.start) and _row(query.start) >= rows[query.track]:
            raise NmfpError(
                f"{where}: {query.track!r} has ended before {query.start:g} s; correct the start, or leave it empty."
            )


def _row(seconds: float) -> int:
    return int(true_row(seconds * SAMPLE_RATE))


def evaluate(
    queries: list[Query], prints: list[tuple[np.ndarray, np.ndarray]], reference: Reference, plan: Plan
) -> pd.DataFrame:
    """Search every query; the rows of analysis.csv (docs/formats.md).

    Args:
        prints: fingerprints float32 (m, d) and silent flags of each query.
    """
    ends = np.cumsum([len(vectors) for vectors, _ in prints])
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    asked = _fingerprints(
        np.concatenate([vectors for vectors, _ in prints]),
        np.concatenate([silent for _, silent in prints]),
        np.array([query.id for query in queries], object),
        starts,
        ends,
        reference.folder,
    )
    database = _fingerprints(
        reference.vectors, reference.silent, reference.names, *reference.bounds, reference.folder
    )
    names = pd.Index(reference.names)
    truth = Truth(
        id=np.array([query.id for query in queries], object),
        audio_path=np.array([query.path for query in queries], object),
        track=names.get_indexer([query.track for query in queries]).astype(np.int64),
        start_sample=np.array([query.start * SAMPLE_RATE for query in queries]),
    )

    def neighbours(rows: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return reference.neighbours(vectors, plan.candidates)

    found = place_queries(asked, database, neighbours, plan, reference.threads)
    tables = [
        analyse(part, answers, truth, reference.bounds, reference.names)
        for part, answers in progress(found, unit="batch", label="search")
    ]
    return pd.concat(tables, ignore_index=True)[ANALYSIS_COLUMNS]


def _fingerprints(vectors, silent, ids, starts, ends, folder) -> Fingerprints:
    tracks = pd.DataFrame({"id": ids, "row_start": starts, "row_end": ends})
    return Fingerprints(folder, vectors, silent, tracks, {})


def rates(analysis: pd.DataFrame, run: tuple[str, str, str], seed: int, resamples: int) -> pd.DataFrame:
    """hit_rates.csv: one row a criterion and query length.

    Args:
        run: model, index and queries, the first three columns.
    """
    table = hit_rates(analysis, seed, resamples)
    for at, (name, value) in enumerate(zip(("model", "index", "queries"), run, strict=True)):
        table.insert(at, name, value)
    return table


def remarks(queries: list[Query], analysis: pd.DataFrame) -> list[str]:
    """What a reader of the hit rates must know: of how many queries the places are known, and who is left out."""
    known = [query for query in queries if query.track]
    placed = sum(np.isfinite(query.start) for query in known)
    said = []
    if known and not placed:
        said.append(
            "No query has a start in the ground truth: only track hits are reported, and nothing about places."
        )
    elif placed < len(known):
        said.append(
            f"{placed} of {len(known)} queries have a start in the ground truth: exact, near and far are of these alone."
        )
    if len(known) < len(queries):
        scores = analysis.loc[analysis["gt_track_path"] == "", "score"]
        said.append(
            f"{len(queries) - len(known)} queries are unknown to the database and count in no hit rate; the highest score "
            f"of their {len(scores)} sequences is {scores.max():.3f}."
        )
    short = {query.id for query in queries} - set(analysis["query_id"])
    if short:
        said.append(f"{len(short)} queries are shorter than the shortest sequence and were not searched.")
    return said
