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

from nmfp import index
from nmfp.errors import NmfpError
from nmfp.files import read_json

log = logging.getLogger("nmfp")

LAST = "last"
# A database that has grown so far has lists and codes that its quantisers were not trained for
RETRAIN_GROWTH = 4


def grown_from(path: Path, trained: dict, vectors: np.ndarray) -> faiss.Index | None:
    """The index that was finished last, where `vectors` begin with the rows that it holds; None otherwise.

    Args:
        path: index.faiss to be written; the one of before is looked for in the folder `last` beside it.
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
        found, _ = index.read(last, {})
    except NmfpError as error:
        log.warning("%s; filling from the first row", error)
        return None
    return found if found.ntotal == rows else None


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


def advise(trained: dict, rows: int) -> str:
    """A sentence when the database has grown so far that training again is advised, else nothing."""
    if not trained.get("rows") or rows < RETRAIN_GROWTH * trained["rows"]:
        return ""
    return (
        f"The database has grown from {trained['rows']} to {rows} fingerprints since the index was trained; "
        "delete trained.faiss to train it again."
    )


def _digest(vectors: np.ndarray) -> str:
    """SHA-256 of the bytes of rows, read in blocks."""
    state = hashlib.sha256()
    for start in range(0, len(vectors), index.BLOCK_ROWS):
        state.update(np.ascontiguousarray(vectors[start : start + index.BLOCK_ROWS]).data)
    return state.hexdigest()
