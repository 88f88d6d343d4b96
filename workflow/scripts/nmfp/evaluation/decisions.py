"""What the decision "right or not" is learnt from: queries of known truth, asked of parts of a database of several sizes.

A query whose track is not in the part at hand is unknown to it, so one set of queries gives both kinds at every size.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import faiss
import numpy as np
import pandas as pd

from nmfp.database.fingerprints import Fingerprints
from nmfp.errors import NmfpError
from nmfp.evaluation.sequences import bounds_of
from nmfp.files import generator
from nmfp.search.confidence import LENGTHS, Confidence, learn
from nmfp.search.evidence import Crowd, Evidence
from nmfp.search.matching import Bounds, Overhang, match

log = logging.getLogger("nmfp")

SIZES = (10, 30, 100, 300, 1000, 3000)
# Parts of a size that are asked, without a track in common
PARTS = 3
# Queries of each set, and excerpts of each query
QUERIES, EXCERPTS = 500, 3
CANDIDATES = 20


class Part(NamedTuple):
    """A database in memory: vectors (n, d) float32, silent (n,), bounds, and which track of the whole each is."""

    vectors: np.ndarray
    silent: np.ndarray
    bounds: Bounds
    tracks: np.ndarray


class Asked(NamedTuple):
    """One excerpt asked of one part: evidence of the best answer, whose track it is and whether it is in the part."""

    evidence: Evidence
    tracks: int
    length: int
    right: bool
    unknown: bool
    recording: object


def parts_of(database: Fingerprints, seed: int) -> Iterator[Part]:
    """Parts of a database of every size that it has tracks for; the whole where it is smaller than the smallest."""
    bounds, table = bounds_of(database)
    sizes = [size for size in SIZES if size <= len(table)] or [len(table)]
    for size in sizes:
        drawn = generator(seed, "parts", size).permutation(len(table))
        for n in range(min(PARTS, len(table) // size)):
            yield part_of(database, bounds, np.sort(drawn[n * size : (n + 1) * size]))


def part_of(database: Fingerprints, bounds: Bounds, tracks: np.ndarray) -> Part:
    """Some tracks of a database, copied."""
    rows = [slice(bounds.start[t], bounds.end[t]) for t in tracks]
    vectors = np.concatenate([np.asarray(database.vectors[r], np.float32) for r in rows])
    silent = np.concatenate([np.asarray(database.silent[r]) for r in rows])
    end = np.cumsum([r.stop - r.start for r in rows])
    return Part(vectors, silent, Bounds(np.concatenate([[0], end[:-1]]), end), tracks)


def excerpts_of(
    queries: Fingerprints, truth: Sequence[int], seed: int
) -> tuple[np.ndarray, np.ndarray, list]:
    """Excerpts without silence, of the longest length: vectors (e, n, d) float32, true track (e,), recording (e)."""
    longest = LENGTHS[-1]
    vectors, tracks, names = [], [], []
    table = queries.tracks
    chosen = generator(seed, "excerpts", len(table)).permutation(len(table))[:QUERIES]
    for row in np.sort(chosen):
        start, end = int(table["row_start"].iloc[row]), int(table["row_end"].iloc[row])
        for first in range(start, end - longest + 1, longest)[:EXCERPTS]:
            part = slice(first, first + longest)
            if not queries.silent[part].any():
                vectors.append(np.asarray(queries.vectors[part], np.float32))
                tracks.append(truth[row])
                names.append(table["id"].iloc[row])
    empty = np.zeros((0, longest, queries.vectors.shape[1]), np.float32)
    return np.stack(vectors) if vectors else empty, np.array(tracks, np.int64), names


def true_tracks(queries: Fingerprints, provenance: pd.DataFrame, database: Fingerprints) -> np.ndarray:
    """Which track of the database (as `bounds_of` counts) each query was cut from: (queries,) int64, -1 for none."""
    known = provenance.drop_duplicates("id").set_index("id")["track_id"]
    wanted = known.reindex(queries.tracks["id"])
    return pd.Index(bounds_of(database)[1]["id"]).get_indexer(wanted).astype(np.int64)


def ask(
    part: Part, vectors: np.ndarray, truth: np.ndarray, recordings: Sequence, threads: int
) -> Iterator[Asked]:
    """Every excerpt at every length, asked of a part.

    Args:
        vectors: (e, n, d) float32, n = LENGTHS[-1].
        truth: (e,) the track in the whole database, -1 for none.
        recordings: (e) the recording that each was cut from.
    """
    longest = LENGTHS[-1]
    flat = vectors.reshape(-1, vectors.shape[-1])
    index = faiss.IndexFlatIP(flat.shape[1])
    faiss.omp_set_num_threads(threads)
    index.add(part.vectors)
    neighbours = index.search(np.ascontiguousarray(flat), min(CANDIDATES, len(part.vectors)))[1]
    neighbours[part.silent[neighbours] & (neighbours >= 0)] = -1
    none = np.zeros(len(flat), bool)
    found = match(
        flat,
        np.arange(0, len(flat) + 1, longest),
        neighbours,
        part.vectors,
        part.bounds,
        LENGTHS,
        longest,
        Overhang(none, part.silent),
        threads,
    )
    held = set(part.tracks.tolist())
    edges = np.searchsorted(found.ranked.window, np.arange(len(vectors) + 1))
    for w in range(len(vectors)):
        here = found.ranked.within(slice(edges[w], edges[w + 1]))
        for n, length in enumerate(LENGTHS):
            answers = here.answers(w, n)
            if not answers:
                continue
            asked = slice(w * longest, w * longest + length)
            crowd = Crowd(
                flat[asked], none[asked], neighbours[asked], answers, part.vectors, part.silent, part.bounds
            )
            unknown = truth[w] not in held
            right = not unknown and part.tracks[answers[0][0]] == truth[w]
            yield Asked(crowd.evidence(0), len(part.tracks), length, bool(right), unknown, recordings[w])


def learn_decision(
    database: Fingerprints, sets: Sequence[tuple[Fingerprints, Sequence[int]]], seed: int, threads: int = 1
) -> tuple[Confidence, list[Asked]]:
    """Learn a network's decision, and return what it was learnt from.

    Args:
        database: tracks of which parts are asked.
        sets: queries, and for each of them the track of the database that it was cut from, -1 for none.

    Raises:
        NmfpError: there are too few queries to learn from.
    """
    bounds_of(database)  # says so where it is empty
    drawn = [excerpts_of(queries, truth, seed) for queries, truth in sets]
    vectors = np.concatenate([part for part, _, _ in drawn])
    truth = np.concatenate([part for _, part, _ in drawn])
    recordings = [name for _, _, names in drawn for name in names]
    if not len(vectors):
        raise NmfpError("no query holds ten seconds of music, so no decision can be learnt.")
    asked = [a for part in parts_of(database, seed) for a in ask(part, vectors, truth, recordings, threads)]
    model = learn(
        [a.evidence for a in asked],
        [a.tracks for a in asked],
        np.array([a.right for a in asked]),
        np.array([a.unknown for a in asked]),
        np.array([a.length for a in asked]),
        np.array([a.recording for a in asked], object),
    )
    log.info(
        "decision learnt from %d answers, %d of them right; %d recordings were unknown",
        len(asked),
        sum(a.right for a in asked),
        model.unknown_recordings,
    )
    return model, asked
