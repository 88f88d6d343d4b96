"""From the nearest rows of single segments to the place of a whole query: propose starts, align, score, rank.

A row r found for the segment that lies i segments after a window's start proposes that the window begins at
row r - i (the window's *place*). A place is scored by the mean inner product of the aligned pairs on the
uncompressed fingerprints; the best score wins, ties go to the smaller row. All lengths that begin at one
segment share their proposals and inner products: a shorter one takes the proposals of its own segments and
the first part of the sums.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

# Scores are compared, and stored, to six decimals: float32 inner products carry no more, and segments of
# equal audio fingerprinted in different batches may differ in the seventh.
SCORE_STEPS = 1_000_000
NOTHING = np.iinfo(np.int64).min
_INDEX_BITS = 32
# Windows aligned in one go: small enough that what was gathered is still in the cache when it is multiplied.
_CHUNK = 256


class Windows(NamedTuple):
    """Starts of sequences within the queries of a batch."""

    query: np.ndarray  # (w,) int64: which query
    start: np.ndarray  # (w,) int64: first segment, counted in the query
    row: np.ndarray  # (w,) int64: the same, counted in the batch
    room: np.ndarray  # (w,) int64: the longest length that is asked for there


class Bounds(NamedTuple):
    """First and end rows of the tracks of a database, ascending, without empty tracks."""

    start: np.ndarray
    end: np.ndarray


class Overhang(NamedTuple):
    """Identification's rule: silent rows take no part, windows may hang over the edges of a track."""

    query_silent: np.ndarray  # (rows of the batch,) bool
    database_silent: np.ndarray  # (rows of the database,) bool
    share: float = 0.5  # of the query's sounding segments that must find a sounding row to be scored on


class Match(NamedTuple):
    """Answers of a batch: best place and runner-up of every window and length; track -1 where there is
    none."""

    windows: Windows
    lengths: np.ndarray  # (l,) int64
    track: np.ndarray  # (w, l) int64: index into Bounds
    place: (
        np.ndarray
    )  # (w, l) int64: database row under the first segment (outside the track where it hangs over)
    score: np.ndarray  # (w, l) float64, NaN without an answer
    runner_up_track: np.ndarray  # (w, l) int64: the best of all other tracks
    runner_up_place: np.ndarray
    runner_up_score: np.ndarray
    ranked: "Ranked"


class Ranked(NamedTuple):
    """The best place of every proposed track: (g,) and (g, l), ordered by window and track."""

    window: np.ndarray
    track: np.ndarray
    code: np.ndarray  # (g, l) int64: rounded score above, place below; NOTHING where the track is no answer
    place: np.ndarray  # (g, l) int64

    def rank_of(self, track: np.ndarray, windows: int) -> np.ndarray:
        """Rank, from 1, of a given track in every window and
        length: (w, l) int64, 0 where it is not among the answers."""
        wanted = np.full((windows, self.code.shape[1]), NOTHING)
        right = self.track == track[self.window]
        wanted[self.window[right]] = self.code[right]
        better = np.zeros_like(wanted)
        np.add.at(better, self.window, self.code > wanted[self.window])
        return np.where(wanted == NOTHING, 0, better + 1)

    def within(self, groups: slice) -> "Ranked":
        """Only these groups, for instance those of one window."""
        return Ranked(self.window[groups], self.track[groups], self.code[groups], self.place[groups])

    def answers(self, window: int, length: int) -> list[tuple[int, int, float]]:
        """All tracks proposed for a window and length (its index), best first: (track, place, score)."""
        rows = np.flatnonzero((self.window == window) & (self.code[:, length] != NOTHING))
        rows = rows[np.argsort(-self.code[rows, length], kind="stable")]
        scores = (self.code[rows, length] >> _INDEX_BITS) / SCORE_STEPS
        return list(
            zip(self.track[rows].tolist(), self.place[rows, length].tolist(), scores.tolist(), strict=True)
        )


def sequence_windows(query_rows: np.ndarray, lengths: np.ndarray, start_every: int) -> Windows:
    """Starts 0, `start_every`, 2 `start_every` ... of each query that
    leave room for the longest length that fits into it.

    Args:
        query_rows: (queries + 1,) int64: query q holds the rows
            query_rows[q] to query_rows[q + 1] of the batch.
        lengths: segments a sequence, ascending.
    """
    rows = np.diff(query_rows)
    fitting = np.searchsorted(lengths, rows, side="right")
    room = np.where(fitting > 0, lengths[np.maximum(fitting - 1, 0)], 0)
    starts = np.where(fitting > 0, (rows - room) // start_every + 1, 0)
    query = np.repeat(np.arange(len(rows)), starts)
    start = (np.arange(len(query)) - np.repeat(np.cumsum(starts) - starts, starts)) * start_every
    return Windows(query, start, query_rows[query] + start, room[query])


def match(
    queries: np.ndarray,
    query_rows: np.ndarray,
    neighbours: np.ndarray,
    database: np.ndarray,
    bounds: Bounds,
    lengths: tuple[int, ...],
    start_every: int,
    overhang: Overhang | None = None,
    threads: int = 1,
) -> Match:
    """Place every sequence of a batch of queries in the database.

    Args:
        queries: (m, d) float32: fingerprints of the batch, one query after another.
        query_rows: (q + 1,) where each begins.
        neighbours: (m, k) int64: database rows found for every segment, -1 for none.
        database: (n, d) float32 or float16, may be a memmap.
        bounds: rows of the tracks.
        lengths: segments a sequence, ascending.
        start_every: segments between the starts of sequences.
        overhang: None for the rule of the paper's figures.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    windows = sequence_windows(np.asarray(query_rows, dtype=np.int64), lengths, start_every)
    window, track, place, offset = _propose(windows, neighbours, bounds, lengths, overhang)
    code = np.full((len(window), len(lengths)), NOTHING)
    edges = np.searchsorted(window, np.arange(len(windows.query) + 1))
    # A plain view: the memmap class makes every slice a Python object of its own.
    database = np.asarray(database).view(np.ndarray)

    def score(w: int) -> None:
        for low in range(edges[w], edges[w + 1], _CHUNK):
            part = slice(low, min(low + _CHUNK, edges[w + 1]))
            scores = _score(
                queries,
                windows.row[w],
                windows.room[w],
                database,
                bounds,
                track[part],
                place[part],
                lengths,
                overhang,
            )
            valid = np.isfinite(scores) & (offset[part, None] < lengths)
            steps = np.rint(np.where(valid, scores, 0) * SCORE_STEPS).astype(np.int64)
            # Candidates are ordered by row within a window: the
            # earlier of two equal scores is the smaller row.
            ties = (1 << _INDEX_BITS) - 1 - (np.arange(part.start, part.stop) - edges[w])
            code[part] = np.where(valid, (steps << _INDEX_BITS) + ties[:, None], NOTHING)

    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(score, range(len(windows.query)), chunksize=8))
    else:
        for w in range(len(windows.query)):
            score(w)
    return _rank(windows, lengths, window, track, place, code, edges)


def _propose(windows, neighbours, bounds, lengths, overhang):
    """Distinct (window, track, place), ordered so, each
    with the offset of the first segment that proposes it."""
    width = int(lengths[-1])
    neighbours = np.asarray(neighbours, dtype=np.int64)
    track = np.searchsorted(bounds.start, neighbours, side="right") - 1
    # Rows between tracks belong to removed ones.
    usable = (neighbours >= 0) & (track >= 0) & (neighbours < bounds.end[track])
    if overhang is not None:
        usable &= ~overhang.query_silent[:, None]
        usable[usable] &= ~overhang.database_silent[neighbours[usable]]
    # Tracks are numbered among those found here, and each has `width` rows of room before it for windows that hang
    # over: one number says track and place, and stays below 2**63 for any database and any query of less than a day.
    found, number = np.unique(track[usable], return_inverse=True)
    key = np.full(neighbours.shape, NOTHING)
    key[usable] = (neighbours[usable] + (number + 1) * width) * width
    first = bounds.start[found] + np.arange(len(found)) * width

    offsets = np.arange(width)
    segment = np.minimum(windows.row[:, None] + offsets, max(len(neighbours) - 1, 0))
    moved = key[segment]  # (w, width, k)
    moved = np.where(moved == NOTHING, NOTHING, moved - offsets[:, None] * (width - 1))
    moved[offsets >= windows.room[:, None]] = NOTHING
    moved = moved.reshape(len(windows.row), width * neighbours.shape[1])
    moved.sort(axis=1)
    pair = moved // width
    fresh = moved != NOTHING
    fresh[:, 1:] &= pair[:, 1:] != pair[:, :-1]

    window, column = np.nonzero(fresh)
    pair, offset = np.divmod(moved[window, column], width)
    number = np.searchsorted(first, pair, side="right") - 1
    track, place = found[number], pair - (number + 1) * width
    if overhang is None:
        shortest = lengths[np.minimum(np.searchsorted(lengths, offset, side="right"), len(lengths) - 1)]
        inside = (place >= bounds.start[track]) & (place + shortest <= bounds.end[track])
        window, track, place, offset = window[inside], track[inside], place[inside], offset[inside]
    return window, track, place, offset


def _score(queries, row, room, database, bounds, track, place, lengths, overhang):
    """Mean inner products (candidates, lengths) of one window's
    candidates, NaN where a length has no valid window."""
    rows = place[:, None] + np.arange(room)
    aligned = database.take(rows, axis=0, mode="clip").astype(np.float32, copy=False)
    # The sum over a row's numbers does not depend on where the row lies: equal rows have equal products.
    products = np.einsum("cwd,wd->cw", aligned, queries[row : row + room])
    fits = lengths <= room
    last = np.minimum(lengths, room) - 1
    inside = (rows >= bounds.start[track][:, None]) & (rows < bounds.end[track][:, None])
    if overhang is None:
        valid = inside[:, last] & inside[:, :1] & fits
        return np.where(valid, np.cumsum(products, axis=1, dtype=np.float64)[:, last] / lengths, np.nan)
    sounding = ~overhang.query_silent[row : row + room]
    pairs = inside & sounding & ~overhang.database_silent.take(rows, mode="clip")
    count = np.cumsum(pairs, axis=1)[:, last]
    needed = overhang.share * np.cumsum(sounding)[last]
    total = np.cumsum(np.where(pairs, products, 0), axis=1, dtype=np.float64)[:, last]
    valid = (count > 0) & (count >= needed) & fits
    return np.where(valid, total / np.maximum(count, 1), np.nan)


def _rank(windows, lengths, window, track, place, code, edges) -> Match:
    """Best place of every track, best track of every window, best of the others."""
    shape = (len(windows.query), len(lengths))
    new_track = np.ones(len(window), dtype=bool)
    new_track[1:] = (window[1:] != window[:-1]) | (track[1:] != track[:-1])
    first = np.flatnonzero(new_track)
    best = np.maximum.reduceat(code, first, axis=0) if len(first) else code[:0]
    group_window, group_track = window[first], track[first]
    base = edges[group_window][:, None]
    position = base + (1 << _INDEX_BITS) - 1 - (best & ((1 << _INDEX_BITS) - 1))
    group_place = (
        np.where(best == NOTHING, 0, place[np.where(best == NOTHING, 0, position)]) if len(first) else best
    )

    def winners(codes):
        top = np.full(shape, NOTHING)
        starts = np.flatnonzero(np.r_[True, group_window[1:] != group_window[:-1]]) if len(first) else first
        if len(starts):
            top[group_window[starts]] = np.maximum.reduceat(codes, starts, axis=0)
        hit = (codes == top[group_window]) & (codes != NOTHING)
        group, length = np.nonzero(hit)
        tracks, places = np.full(shape, -1), np.full(shape, -1)
        tracks[group_window[group], length] = group_track[group]
        places[group_window[group], length] = group_place[group, length]
        scores = np.where(top == NOTHING, np.nan, (top >> _INDEX_BITS) / SCORE_STEPS)
        return tracks, places, scores, hit

    *answer, hit = winners(best)
    *runner_up, _ = winners(np.where(hit, NOTHING, best))
    return Match(windows, lengths, *answer, *runner_up, Ranked(group_window, group_track, best, group_place))
