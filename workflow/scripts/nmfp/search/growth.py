"""Filling an index again after the database has grown: only the new rows are added.

Snakemake deletes a rule's outputs before it runs, so the finished index keeps a second name (a hard link)
in a folder `last` beside it. When the rows that it holds are still the first rows of the database, filling
goes on from there, and the result is the same as filling from the first row.
"""

import hashlib
import logging
import os
import shutil
from pathlib import Path

import faiss
import numpy as np

from nmfp.errors import NmfpError
from nmfp.files import read_json
from nmfp.search import index

log = logging.getLogger("nmfp")

LAST = "last"
# A database that has grown so far has lists and codes that its quantisers were not trained for
RETRAIN_GROWTH = 4
GROWTH_COLUMNS = ["model", "index", "factory", "trained_rows", "rows", "growth", "advice"]


def grown_from(path: Path, trained: dict, vectors: np.ndarray) -> faiss.Index | None:
    """The index that was finished last, where `vectors` begin with the rows that it holds; None otherwise.

    Args:
        path: index.faiss to be written; the earlier one is looked for in the folder `last` beside it.
        trained: trained.json of the quantisers.
        vectors: the whole database (rows, dimension), may be a memmap.
    """
    last = path.parent / LAST / path.name
    if not (last.exists() and last.with_suffix(".json").exists()):
        return None
    try:
        known = read_json(last.with_suffix(".json"))
        rows = known.get("rows", 0)
        if known.get("trained_sha256") != trained["sha256"] or rows > len(vectors):
            return None
        if _digest(vectors[:rows]) != known.get("database_sha256"):
            return None
        found, info = index.read(last, {})
    except NmfpError as error:
        log.warning("%s; filling from the first row", error)
        return None
    if info["every"] != trained["every"] or found.ntotal != index.rows_held(rows, info["every"]):
        return None
    return found


def keep(path: Path) -> None:
    """Give the finished index and its description second names in the folder `last`, without a copy."""
    last = path.parent / LAST
    shutil.rmtree(last, ignore_errors=True)
    last.mkdir(parents=True)
    try:
        for name in (path.name, path.with_suffix(".json").name):
            os.link(path.parent / name, last / name)
    except OSError as error:
        log.info("no second name for the index on this file system (%s)", error.strerror)
        shutil.rmtree(last)


def growth(trained: str | Path, rows: int) -> dict:
    """How far the database has outgrown an index: a row of report/indexes.csv, keys GROWTH_COLUMNS.

    Args:
        trained: index/<model>/<index>/trained.json.
        rows: fingerprints in the database now.
    """
    path, known = Path(trained), read_json(trained)
    values = (
        path.parents[1].name,
        path.parent.name,
        known["resolved"],
        known["rows"],
        rows,
        round(rows / known["rows"], 2),
        advise(known["rows"], rows, path.with_suffix(".faiss")),
    )
    return dict(zip(GROWTH_COLUMNS, values, strict=True))


def advise(trained_rows: int, rows: int, quantisers: str | Path) -> str:
    """A sentence when the database has grown so far that training again is advised, else nothing.

    Args:
        trained_rows, rows: fingerprints in the database when the index was trained, and now.
        quantisers: trained.faiss.
    """
    if rows < RETRAIN_GROWTH * trained_rows:
        return ""
    return (
        f"The database has grown from {trained_rows} to {rows} fingerprints since this index was trained; "
        f"to train it again, add --forcerun {quantisers} to your call of snakemake."
    )


def _digest(vectors: np.ndarray) -> str:
    """SHA-256 of the bytes of rows, read in blocks."""
    state = hashlib.sha256()
    for start in range(0, len(vectors), index.BLOCK_ROWS):
        state.update(np.ascontiguousarray(vectors[start : start + index.BLOCK_ROWS]).data)
    return state.hexdigest()
