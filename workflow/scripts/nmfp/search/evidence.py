"""How far an answer stands out from its crowd: the other tracks and rows that the search found anyway.

A score says little by itself: noise lowers those of right answers, and unknown music may be like something. What the
rest of the database scores on the same query tells the one from the other. Tracks that hold the same music as the
answer (a duplicate, a compilation) are no rivals of it and are left out of its crowd. Other places of its own track
stay in: what fits a track in many places by a little fits it by chance.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nmfp.search.matching import Bounds

# Answers that are looked at: a rival is among them unless all hold the same music
RANKED = 20
# Aligned rows of two tracks this alike are the same music; so many rows are compared, or as many as the query has.
SAME_MUSIC = 0.9
COMPARED_ROWS = 19
# Rows found for each segment that are looked at, however many were asked for
FOUND = 20
# Of the softmax over what a segment found; the networks are trained at 0.05 to 0.1 (specification, losses)
TEMPERATURE = 0.05


class Evidence(NamedTuple):
    """What speaks for an answer; NaN where there is nothing to compare with.

    Attributes:
        segments: of the query that sound.
        score: mean inner product of the aligned pairs.
        lead: score less that of the best rival.
        share: mean over segments of the aligned row's softmax share among the rows found for that segment.
        same: other tracks (indices) that hold the same music at that place.
    """

    segments: int
    score: float
    lead: float
    share: float
    same: tuple[int, ...] = ()


class Crowd:
    """All that was found for one query, to compare its answers with."""

    def __init__(
        self,
        vectors: np.ndarray,
        silent: np.ndarray,
        neighbours: np.ndarray,
        answers: Sequence[tuple[int, int, float]],
        database: np.ndarray,
        database_silent: np.ndarray,
        bounds: Bounds,
    ):
        """Take a query and its answers.

        Args:
            vectors: (m, d) float32 and silent (m,) bool: the query.
            neighbours: (m, k) int64: rows found for each segment, -1 for none.
            answers: (track, place, score) of every track proposed, best first (`Ranked.answers`).
            database, database_silent, bounds: as in `match`.
        """
        sounding = ~np.asarray(silent)
        self._vectors, self._neighbours = vectors[sounding], neighbours[sounding, :FOUND]
        self._offsets = np.flatnonzero(sounding)
        self._segments = len(vectors)
        self._answers = answers[:RANKED]
        self._database, self._silent, self._bounds = database, database_silent, bounds
        found = self._neighbours >= 0
        rows = self._rows(np.maximum(self._neighbours, 0))
        self._similar = np.where(found, np.einsum("mkd,md->mk", rows, self._vectors), -np.inf)
        self._tracks = np.where(found, np.searchsorted(bounds.start, self._neighbours, side="right") - 1, -1)

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        taken = np.asarray(self._database).view(np.ndarray).take(rows, axis=0, mode="clip")
        return taken.astype(np.float32, copy=False)

    def evidence(self, rank: int) -> Evidence:
        """For the answer of this rank, from 0."""
        track, place, score = self._answers[rank]
        same = self._same_music(rank)
        rivals = [s for i, (t, _, s) in enumerate(self._answers) if i != rank and t not in same]
        rows = place + self._offsets
        inside = (rows >= self._bounds.start[track]) & (rows < self._bounds.end[track])
        inside &= ~self._silent.take(rows, mode="clip")
        share = np.nan
        if rivals and inside.any():
            rows = rows[inside]
            aligned = np.einsum("md,md->m", self._rows(rows), self._vectors[inside])
            # the row before and after overlap with the aligned one by half
            others = np.abs(self._neighbours[inside] - rows[:, None]) > 1
            others &= ~np.isin(self._tracks[inside], [-1, *same])
            similar = np.where(others, self._similar[inside], -np.inf)
            weights = np.exp((similar - 1) / TEMPERATURE)
            own = np.exp((aligned - 1) / TEMPERATURE)
            share = float(np.mean(own / (own + weights.sum(axis=1))))
        lead = score - rivals[0] if rivals else np.nan
        return Evidence(len(self._vectors), score, lead, share, tuple(same))

    def _same_music(self, rank: int) -> list[int]:
        """Tracks among the answers whose rows are the answer's own."""
        if len(self._answers) < 2:
            return []
        track = np.array([a[0] for a in self._answers])
        place = np.array([a[1] for a in self._answers])
        rows = place[:, None] + np.arange(max(self._segments, COMPARED_ROWS))[:: max(1, self._segments // 64)]
        inside = (rows >= self._bounds.start[track][:, None]) & (rows < self._bounds.end[track][:, None])
        inside &= ~self._silent.take(rows, mode="clip")
        taken = self._rows(rows)
        alike = np.einsum("awd,wd->aw", taken, taken[rank])
        pairs = inside & inside[rank]
        count = pairs.sum(axis=1)
        mean = np.where(pairs, alike, 0).sum(axis=1) / np.maximum(count, 1)
        same = (count > 0) & (mean >= SAME_MUSIC) & (np.arange(len(track)) != rank)
        return track[same].tolist()
