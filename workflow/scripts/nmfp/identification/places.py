"""One query: which tracks may it be, where in them, and is the answer worth believing.

Candidates, alignment and scores are those of `nmfp.search.matching` by the rule of identification: silent segments take no
part, and a query may hang over a track's edges.
"""

from typing import NamedTuple

import numpy as np

from nmfp.identification.reference import Reference
from nmfp.search.evidence import RANKED, Crowd, Evidence
from nmfp.search.matching import Bounds, Overhang, match

# Places of one track that score this close to the best one cannot be told from it: measured on queries at 0 to 10 dB,
# the score of the right place moves by about as much with where the query's grid of half seconds falls.
AMBIGUOUS_MARGIN = 0.05
# Aligned pairs computed for one query: bounds time and memory for queries of minutes
PAIR_BUDGET = 1 << 19


class Place(NamedTuple):
    """A track and a place in it.

    Attributes:
        track: index into the reference's tracks.
        start: row of the track under the query's first segment; negative where the query begins before the track.
        score: mean inner product of the aligned pairs, at most 1.
        others: starts of other places in this track that fit as well, best first.
        evidence: how it stands out from the other tracks; None beyond the best twenty.
    """

    track: int
    start: int
    score: float
    others: tuple[int, ...] = ()
    evidence: Evidence | None = None


class Answer(NamedTuple):
    """What became of one query: places best first, segments and how many of them sound."""

    places: list[Place]
    segments: int
    sounding: int


def identify(
    vectors: np.ndarray, silent: np.ndarray, reference: Reference, top: int = 1, places: bool = True
) -> Answer:
    """The best place of each of the `top` most likely tracks.

    Args:
        vectors: (m, d) float32, the query's fingerprints.
        silent: (m,) bool.
        places: whether to look for other places in each track that fit as well.
    """
    m, sounding = len(vectors), int((~silent).sum())
    longest = int((reference.bounds.end - reference.bounds.start).max())
    if not sounding or sounding > 2 * longest:
        return Answer([], m, sounding)  # the rule of half an overlap cannot be met
    neighbours = reference.neighbours(vectors)
    neighbours = _most_proposed(neighbours, silent, max(reference.candidates, PAIR_BUDGET // m))
    found = match(
        vectors,
        np.array([0, m]),
        neighbours,
        reference.vectors,
        reference.bounds,
        (m,),
        1,
        Overhang(silent, reference.silent),
        reference.threads,
    )
    answers = found.ranked.answers(0, 0)
    crowd = Crowd(vectors, silent, neighbours, answers, reference.vectors, reference.silent, reference.bounds)
    best = []
    for rank, (track, place, score) in enumerate(answers[:top]):
        start = place - int(reference.bounds.start[track])
        others = other_places(vectors, silent, reference, track, start) if places else ()
        best.append(Place(track, start, score, others, crowd.evidence(rank) if rank < RANKED else None))
    return Answer(best, m, sounding)


def _most_proposed(neighbours: np.ndarray, silent: np.ndarray, limit: int) -> np.ndarray:
    """Neighbours of which only the `limit` places that most segments propose are left (a long query has too many)."""
    if neighbours.size <= limit:
        return neighbours
    place = neighbours - np.arange(len(neighbours))[:, None]
    usable = (neighbours >= 0) & ~silent[:, None]
    places, votes = np.unique(place[usable], return_counts=True)
    if len(places) <= limit:
        return neighbours
    kept = np.sort(places[np.argsort(-votes, kind="stable")[:limit]])
    return np.where(np.isin(place, kept) & usable, neighbours, -1)


def diagonal_scores(
    vectors: np.ndarray, silent: np.ndarray, rows: np.ndarray, rows_silent: np.ndarray, share: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a query at every place of one track.

    Args:
        vectors: (m, d) float32 and silent (m,): the query.
        rows: (n, d) and rows_silent (n,): the track.
        share: of the query's sounding segments that must lie on sounding rows.

    Returns:
        starts (n + m - 1,) int64 from 1 - m to n - 1, and scores of the same shape, NaN where too little overlaps.
    """
    m, n = len(vectors), len(rows)
    pairs = np.outer(~silent, ~rows_silent)
    products = np.where(pairs, vectors @ np.asarray(rows, np.float32).T, 0)
    total, count = _diagonal_sums(products), _diagonal_sums(pairs.astype(np.float32))
    valid = (count > 0) & (count >= share * (~silent).sum())
    return np.arange(1 - m, n), np.where(valid, total / np.maximum(count, 1), np.nan)


def _diagonal_sums(matrix: np.ndarray) -> np.ndarray:
    """Sums over i of matrix[i, i + s] for s from 1 - m to n - 1, of a (m, n) matrix."""
    m, n = matrix.shape
    # each row shifted left by its number: rows of a (m, n + m) array, read as rows of length n + m - 1
    wide = np.zeros((m, n + m), np.float64)
    wide[:, m - 1 : m - 1 + n] = matrix[:, :]
    flat = np.concatenate([wide.ravel(), np.zeros(m)])
    shifted = np.lib.stride_tricks.as_strided(
        flat, (m, n + m - 1), (flat.strides[0] * (n + m + 1), flat.strides[0]), writeable=False
    )
    return shifted.sum(axis=0)


def other_places(
    vectors: np.ndarray, silent: np.ndarray, reference: Reference, track: int, start: int, limit: int = 10
) -> tuple[int, ...]:
    """Starts of up to `limit` other places in a track that fit the query as well as `start` does (a chorus)."""
    bounds: Bounds = reference.bounds
    part = slice(bounds.start[track], bounds.end[track])
    if len(vectors) * (part.stop - part.start) > 1 << 24:
        return ()  # queries of many minutes are not ambiguous
    starts, scores = diagonal_scores(vectors, silent, reference.vectors[part], reference.silent[part])
    scores = np.nan_to_num(scores, nan=-1.0)
    here = scores[start - starts[0]]
    padded = np.pad(scores, 2, constant_values=-1.0)
    peak = scores >= np.lib.stride_tricks.sliding_window_view(padded, 5).max(axis=1)
    fits = peak & (scores >= here - AMBIGUOUS_MARGIN) & (np.abs(starts - start) > 2)
    chosen = starts[fits][np.argsort(-scores[fits], kind="stable")]
    return tuple(int(s) for s in chosen[:limit])
