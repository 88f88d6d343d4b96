"""What an index gives up for its size and speed: its answers beside those of exact search.

The other hit rates are of whole sequences, whose places are scored on the uncompressed fingerprints again; here single
segments are asked, so that what the index itself loses can be seen.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import faiss
import numpy as np
import pandas as pd

from nmfp.files import generator
from nmfp.search import index as nn
from nmfp.search.matching import SCORE_STEPS

SEGMENTS = 2_000
ANSWERS = 10
REPEATS = 3
COLUMNS = [
    "model", "index", "factory", "probes", "every", "rows", "bytes_per_fingerprint", "segments", "recall_1",
    "recall_10", "segments_per_second", "threads", "device",
]  # fmt: skip


class Recall(NamedTuple):
    """Shares of segments, in [0, 1]."""

    recall_1: float  # the first answer is the nearest row
    recall_10: float  # the nearest row is among the first ten answers


def sample_rows(tracks: pd.DataFrame, seed: int) -> np.ndarray:
    """Rows (n,) int64, ascending, of at most SEGMENTS segments, drawn by the seed.

    Args:
        tracks: of the query fingerprints, columns row_start and row_end.
    """
    ranges = [np.arange(a, b) for a, b in zip(tracks["row_start"], tracks["row_end"], strict=True)]
    rows = np.concatenate([np.zeros(0, np.int64), *ranges])
    if len(rows) <= SEGMENTS:
        return rows
    return np.sort(generator(seed, "recall segments", len(rows)).choice(rows, SEGMENTS, replace=False))


def nearest_rows(vectors: np.ndarray, queries: np.ndarray, threads: int = 1) -> np.ndarray:
    """The nearest row of each query among all rows, by exact search: (n,) int64; any of equal ones.

    Args:
        vectors: (rows, d) float32 or float16, may be a memmap; read block by block.
        queries: (n, d) float32.
    """
    faiss.omp_set_num_threads(threads)
    least = np.full(len(queries), np.inf, np.float32)
    nearest = np.full(len(queries), -1, np.int64)
    for start in range(0, len(vectors), nn.BLOCK_ROWS):
        block = np.ascontiguousarray(vectors[start : start + nn.BLOCK_ROWS], dtype=np.float32)
        distances, rows = faiss.knn(queries, block, 1)
        nearer = distances[:, 0] < least
        least[nearer], nearest[nearer] = distances[nearer, 0], rows[nearer, 0] + start
    return nearest


def timed(search: Callable[[], tuple]) -> tuple[tuple, float]:
    """What a search returns, and the least seconds of several calls after a first one that warms up."""
    found, seconds = search(), []
    for _ in range(REPEATS):
        start = time.perf_counter()
        search()
        seconds.append(time.perf_counter() - start)
    return found, min(seconds)


def compare(vectors: np.ndarray, queries: np.ndarray, nearest: np.ndarray, answers: np.ndarray) -> Recall:
    """How often an index answers what exact search does.

    A row that lies as near as the nearest one is as right: music repeats itself, and so do fingerprints.

    Args:
        vectors: (rows, d) float32 or float16, may be a memmap.
        queries: (n, d) float32.
        nearest: (n,) int64: the nearest row of each.
        answers: (n, k) int64: rows that the index answered, nearest first, -1 for none.
    """
    answers = answers[:, :ANSWERS]
    best = np.einsum("nd,nd->n", queries, vectors[nearest].astype(np.float32))
    answered = vectors[np.maximum(answers, 0)].astype(np.float32)
    products = np.einsum("nd,nkd->nk", queries, answered)
    # products are as exact as scores are compared
    right = (answers >= 0) & (products >= best[:, None] - 1 / SCORE_STEPS)
    return Recall(float(right[:, 0].mean()), float(right.any(axis=1).mean()))
