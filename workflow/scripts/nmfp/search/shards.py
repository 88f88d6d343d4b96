"""A database in several indexes: each searched by a job of its own, their answers merged exactly.

Shards are ranges of rows and share one set of trained quantisers, so a distance does not depend on the shard
that reports it, and the k best of all shards are the k best of the whole.
"""

import faiss
import numpy as np

from nmfp.errors import NmfpError
from nmfp.search import index as nn


def shard_rows(rows: int, shard: int, shards: int, every: int = 1) -> tuple[int, int]:
    """First and end row of a shard; the ranges are disjoint, cover all rows, and begin with a row that the index holds.

    Args:
        every: the index holds the rows 0, every, 2 every ... of the database.
    """
    held = nn.rows_held(rows, every)
    first, end = held * shard // shards, held * (shard + 1) // shards
    return min(first * every, rows), min(end * every, rows)


def search_shard(
    index: faiss.Index,
    first_row: int,
    vectors: np.ndarray,
    k: int,
    threads: int = 1,
    every: int = 1,
    block: int = 1 << 13,
) -> tuple[np.ndarray, np.ndarray]:
    """Search all query rows in one shard, block by block.

    Args:
        first_row: row of the database that the shard's row 0 is.
        vectors: (n, d) float32 or float16, may be a memmap.
        every: rows of the database from one row of the shard to the next.

    Returns:
        Squared distances (n, k) float32 and rows of the database (n, k) int64, -1 for none.
    """
    distances = np.full((len(vectors), k), np.inf, np.float32)
    rows = np.full((len(vectors), k), -1, np.int64)
    for start in range(0, len(vectors), block):
        part = slice(start, start + block)
        queries = np.ascontiguousarray(vectors[part], dtype=np.float32)
        distances[part], rows[part] = nn.search(index, queries, k, threads, first_row, every)
    return distances, rows


def merge_neighbours(distances: list[np.ndarray], rows: list[np.ndarray], k: int) -> np.ndarray:
    """The k nearest of what all shards found: (n, k) int64, nearer first, smaller rows first among equals, then -1.

    Args:
        distances: per shard (n, k') float32; rows: per shard (n, k') int64, -1 for none.

    Raises:
        NmfpError: the shards were not asked the same queries.
    """
    if len({len(d) for d in distances}) != 1:
        raise NmfpError("The neighbours of the shards are of different queries; delete them and run again.")
    all_rows = np.concatenate(rows, axis=1)
    all_distances = np.where(all_rows < 0, np.inf, np.concatenate(distances, axis=1))
    by_row = np.argsort(all_rows, axis=1, kind="stable")
    all_rows = np.take_along_axis(all_rows, by_row, axis=1)
    nearest = np.argsort(np.take_along_axis(all_distances, by_row, axis=1), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(all_rows, nearest, axis=1)
