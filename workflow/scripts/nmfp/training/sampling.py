"""Which segments make up the batches of an epoch: every one once, different recordings in a batch, always full.

No Keras and no loop over segments: an epoch is a permutation that is dealt out like cards
and then mixed by exchanges that keep the recordings of a batch apart.
"""

from typing import NamedTuple

import numpy as np

from nmfp.errors import NmfpError
from nmfp.files import generator
from nmfp.segments import HOP_SAMPLES, count_segments

_MIXING_ROUNDS = 8


class Grid(NamedTuple):
    """All grid segments of a set of chunks; arrays (segments,)."""

    chunk: np.ndarray
    segment: np.ndarray
    track: np.ndarray
    last_start: np.ndarray

    @property
    def size(self) -> int:
        """Number of segments."""
        return len(self.chunk)


def make_grid(samples: np.ndarray, tracks: np.ndarray, chunk_samples: int) -> Grid:
    """List the segments of chunks; segments that lie wholly in the padding do not exist.

    Args:
        samples: int (chunks,), real samples in each chunk.
        tracks: (chunks,) name of the track each chunk comes from.
        chunk_samples: length of a chunk with padding.
    """
    counts = np.array(
        [count_segments(min(int(n), chunk_samples), discard_remainder=False).n_segments for n in samples], int
    )
    most = count_segments(chunk_samples).n_segments
    counts = np.minimum(counts, most)
    chunk = np.repeat(np.arange(len(counts)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    segment = np.arange(len(chunk)) - first
    track = np.unique(np.asarray(tracks), return_inverse=True)[1][chunk] if len(chunk) else chunk
    return Grid(chunk, segment, track, (np.repeat(counts, counts) - 1) * HOP_SAMPLES)


def steps_per_epoch(grid: Grid, anchors: int) -> int:
    """Batches of an epoch; the last one is completed."""
    return -(-grid.size // anchors)


def epoch_batches(seed: int, epoch: int, grid: Grid, anchors: int) -> np.ndarray:
    """The batches of an epoch: int64 (steps, anchors), rows of `grid`.

    Every segment appears once, and as many as complete the last batch appear a second time. The segments of a
    batch come from different tracks where that is possible, else from different chunks where that is
    possible, else they are spread as evenly as can be. The same (seed, epoch) gives the same batches.

    Raises:
        NmfpError: fewer segments than anchors.
    """
    if grid.size < anchors:
        raise NmfpError(
            f"batch.anchors is {anchors}, but there are only {grid.size} training segments; lower it."
        )
    rng = generator(seed, "batches", epoch)
    steps = steps_per_epoch(grid, anchors)
    for group in (grid.track, grid.chunk):
        sizes = np.bincount(group)
        if np.count_nonzero(sizes) >= anchors and sizes.max() <= steps:
            break
    items = np.concatenate(
        [np.arange(grid.size), _completion(rng, group, steps, steps * anchors - grid.size)]
    )
    batches = _deal(rng, items, group, steps)
    for _ in range(_MIXING_ROUNDS):
        _exchange(rng, batches, group)
    return batches[rng.permutation(steps)]


def _rank_within(group: np.ndarray) -> np.ndarray:
    """How many earlier entries of `group` are equal to each entry."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.empty(len(group), int)
    rank[order] = np.arange(len(group)) - np.repeat(starts, np.diff(np.r_[starts, len(group)]))
    return rank


def _completion(rng: np.random.Generator, group: np.ndarray, steps: int, wanted: int) -> np.ndarray:
    """Different segments that are drawn again, from groups that some batch still lacks as far as there are any."""
    order = rng.permutation(len(group))
    sizes = np.bincount(group)
    fits = _rank_within(group[order]) < (steps - sizes)[group[order]]
    return np.concatenate([order[fits], order[~fits]])[:wanted]


def _deal(rng: np.random.Generator, items: np.ndarray, group: np.ndarray, steps: int) -> np.ndarray:
    """Deal items out to `steps` batches in turn, group after group: a group of at most `steps` never meets itself."""
    items = rng.permutation(items)
    shuffled = rng.permutation(int(group.max()) + 1)
    items = items[np.argsort(shuffled[group[items]], kind="stable")]
    return np.ascontiguousarray(items.reshape(-1, steps).T)


def _exchange(rng: np.random.Generator, batches: np.ndarray, group: np.ndarray) -> None:
    """Pair the batches at random and deal out anew, in each pair, the items of the groups
    that only one of both holds."""
    steps, anchors = batches.shape
    pairs = steps // 2
    if not pairs:
        return
    rows = rng.permutation(steps)[: 2 * pairs].reshape(pairs, 2)
    both = batches[rows].reshape(pairs, 2 * anchors)
    # items of a group that occurs once in the pair go first, in random order; the others stay where they were
    keys = group[both] + np.arange(pairs)[:, None] * (int(group.max()) + 1)
    _, inverse, counts = np.unique(keys.ravel(), return_inverse=True, return_counts=True)
    free = (counts[inverse] == 1).reshape(both.shape)
    position = np.arange(2 * anchors)
    source = np.argsort(np.where(free, rng.random(both.shape), 2.0 + position), axis=1)
    target = np.argsort(np.where(free, position, 2 * anchors + position), axis=1)
    mixed = both.copy()
    np.put_along_axis(mixed, target, np.take_along_axis(both, source, axis=1), axis=1)
    batches[rows] = mixed.reshape(pairs, 2, anchors)
