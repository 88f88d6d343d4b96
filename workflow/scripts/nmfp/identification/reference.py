"""A database ready to be searched: fingerprints, bounds of its tracks, nearest neighbours, the model's folder."""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nmfp.database.fingerprints import Fingerprints, open_fingerprints
from nmfp.errors import NmfpError
from nmfp.identification.store import is_store, open_stable
from nmfp.model.folder import read_model
from nmfp.search.matching import Bounds
from nmfp.segments import HOP_SAMPLES

log = logging.getLogger("nmfp")

CANDIDATES = 20
BLOCK_ROWS = 1 << 16
# Inner products held at once by exact search: with what orders them 16 bytes each
BLOCK_PRODUCTS = 1 << 22


@dataclass
class Reference:
    """What a query is compared with.

    Attributes:
        vectors: (rows, d) float32 or float16, may be a memmap.
        silent: (rows,) bool.
        bounds: rows of the tracks that hold any.
        names: (tracks,) id of each.
        digest: of the model that made the fingerprints, "" where it is not known.
        folder: where the files lie.
        index: a FAISS index over the rows, or None: exact search.
        every: the index holds the rows 0, every, 2 every ...
        candidates: rows that a search returns for each fingerprint of a query.
        content: SHA-256 of the vectors, "" where it is not known.
    """

    vectors: np.ndarray
    silent: np.ndarray
    bounds: Bounds
    names: np.ndarray
    digest: str
    folder: Path
    index: object = None
    content: str = ""
    every: int = 1
    candidates: int = CANDIDATES
    threads: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))

    def neighbours(self, queries: np.ndarray, k: int | None = None) -> np.ndarray:
        """The k (None: `candidates`) nearest rows (m, k) int64 of queries float32 (m, d), -1 where there are
        fewer."""
        k = k or self.candidates
        if self.index is not None:
            from nmfp.search import index as nn

            return nn.search(self.index, queries, k, self.threads, every=self.every)[1]
        return nearest_rows(self.vectors, self.silent, queries, k)


def nearest_rows(vectors: np.ndarray, silent: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Exact search by inner product among the rows that sound; (m, k) int64, best first.

    Ties go to the smaller row; which of several equal rows is the k-th and last is left open. Memory beyond the
    answers is bounded, however many queries and rows there are.
    """
    best = np.full((len(queries), k), -np.inf, np.float32)
    rows = np.full((len(queries), k), -1, np.int64)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = np.asarray(vectors[start : start + BLOCK_ROWS], np.float32)
        quiet = silent[start : start + BLOCK_ROWS]
        step = max(1, BLOCK_PRODUCTS // len(block))
        for first in range(0, len(queries), step):
            part = slice(first, first + step)
            products = queries[part] @ block.T
            products[:, quiet] = -np.inf
            if products.shape[1] > k:
                chosen = np.argpartition(-products, k - 1, axis=1)[:, :k]
            else:
                chosen = np.broadcast_to(np.arange(products.shape[1]), products.shape)
            scores = np.concatenate([best[part], np.take_along_axis(products, chosen, axis=1)], axis=1)
            found = np.concatenate([rows[part], chosen + start], axis=1)
            order = np.lexsort((found, -scores), axis=1)[:, :k]
            best[part] = np.take_along_axis(scores, order, axis=1)
            rows[part] = np.take_along_axis(found, order, axis=1)
    rows[~np.isfinite(best)] = -1
    return rows


def from_database(database: Fingerprints) -> Reference:
    """A merged database without its index.

    Raises:
        NmfpError: it holds no fingerprints, or of another hop.
    """
    if database.info["hop_samples"] != HOP_SAMPLES:
        raise NmfpError(
            f"{database.folder} has a fingerprint every {database.info['hop_samples']} samples; this version compares "
            f"those of every {HOP_SAMPLES}."
        )
    tracks = database.tracks[database.tracks["row_end"] > database.tracks["row_start"]]
    if tracks.empty:
        raise NmfpError(
            f"{database.folder} holds no fingerprints; add recordings to it, or see its failures.csv."
        )
    bounds = Bounds(tracks["row_start"].to_numpy(np.int64), tracks["row_end"].to_numpy(np.int64))
    return Reference(
        database.vectors,
        database.silent,
        bounds,
        tracks["id"].to_numpy(object),
        database.info["model_digest"],
        database.folder,
        content=database.info["sha256"],
    )


def open_reference(folder: str | Path) -> Reference:
    """A store or a workflow's database, with the index that lies beside the files.

    Raises:
        NmfpError: missing, inconsistent or empty; its index is of another database or damaged.
    """

    return open_stable(folder, open_files)


def open_files(folder: Path) -> Reference:
    """As `open_reference`, of the folder that holds the files themselves."""
    database = open_fingerprints(folder)
    reference = from_database(database)
    if (folder / "index.faiss").exists():
        reference.index, reference.every = _read_index(folder / "index.faiss", database.info)
    return reference


def _read_index(path: Path, info: dict):
    from nmfp.search import index as nn

    found, described = nn.read(path, {key: info[key] for key in ("rows", "dimension", "model_digest")})
    nn.set_search_parameters(found)
    return found, described["every"]


def find_model_of(folder: str | Path, digest: str) -> Path:
    """The model that made a database: kept inside a store, beside the fingerprints in the workflow's results.

    Raises:
        NmfpError: it is not where it belongs, or is another one.
    """
    folder = Path(folder)
    if is_store(folder):
        places = [folder / "model"]
    else:
        # results/<experiment>/fingerprints/<model>/database
        files = folder.resolve()
        places = [files.parents[2] / "models" / files.parent.name] if len(files.parents) > 2 else []
    for place in places:
        if (place / "model.json").is_file():
            check_model(place, digest, folder)
            return place
    raise NmfpError(f"the model that made {folder} is not beside it; name its folder by --model.")


def check_model(model: Path, digest: str, folder: str | Path) -> None:
    """Insist that a model made a database.

    Raises:
        NmfpError: it did not.
    """
    found = read_model(model)["digest"]
    if digest and found != digest:
        raise NmfpError(
            f"{folder} was made by another model ({digest[:12]}) than {model} ({found[:12]}): their fingerprints cannot "
            "be compared; use that database's own model, or make the database again."
        )
