"""A recording of any length: which tracks are in it, from when to when, as soon as that is certain.

The recording is looked at through overlapping windows. A window that is identified begins a *run*: a track that plays
from some moment on. A run remembers which row of its track lies under segment 0 of the recording (its offset), and is
extended segment by segment; a playback that is a little too fast or slow moves the offset by a row now and then. When
nothing has spoken for a run for a while, its similarities from its first segment to its last decide where it began and
ended. Memory holds the last windows' fingerprints, the open runs, and nothing else.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from nmfp.identification.identify_files import HOP_SECONDS
from nmfp.identification.places import AMBIGUOUS_MARGIN, identify
from nmfp.identification.reference import Reference
from nmfp.search.evidence import Evidence
from nmfp.segments import SAMPLE_RATE, SEGMENT_SAMPLES

# A segment this close to the best score of a run is that run's music and no cross-fade.
OUTRIGHT = 0.8
# Below this share of its best score a segment speaks against a run: about halfway down to the similarity of any noise.
EDGE = 0.6
SMOOTHING = 5
SEGMENT_SECONDS = SEGMENT_SAMPLES / SAMPLE_RATE


@dataclass(frozen=True)
class Settings:
    """How a recording is looked at; all in segments (half a second each).

    Attributes:
        window: what is identified at once.
        step: from one window to the next.
        patience: how long a run may go without support before it is over.
        shortest: what is shorter is not reported.
        minimum_score: of a window, where no calibrated decision is made.
    """

    window: int = 19
    step: int = 4
    patience: int = 20
    shortest: int = 5
    minimum_score: float = 0.5


@dataclass
class Sighting:
    """A track in the recording: seconds of begin and end in the recording, place of its begin in the track."""

    track: str
    begin: float
    end: float
    track_begin: float
    score: float
    confidence: float | None


@dataclass(eq=False)
class _Run:
    """A track that is playing: similarities (n,) of its segments from `first` on, along the offset.

    Once it is over, `listed` holds the segments of the recording that were reported as its own.
    """

    number: int
    track: int
    offset: int
    first: int
    supported: int
    similar: list[float] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    best: float = 0.0
    confidence: float | None = None
    listed: tuple[int, int] | None = None


class Monitor:
    """Finds tracks in a stream of fingerprints: `feed` what comes, `finish` at the end; both yield sightings."""

    def __init__(self, reference: Reference, judge, settings: Settings | None = None):
        """Take a database and a function (segments, score, evidence=...) -> Verdict."""
        self.reference, self.judge, self.settings = reference, judge, settings or Settings()
        self._vectors = np.zeros((0, reference.vectors.shape[1]), np.float32)
        self._silent = np.zeros(0, bool)
        self._first = 0  # number of the first segment that is held
        self._begun = 0  # runs so far
        self._next = 0  # first segment of the next window
        self._runs: list[_Run] = []
        self._over: list[_Run] = []  # those that may still explain segments of open ones

    @property
    def _end(self) -> int:
        return self._first + len(self._vectors)

    def feed(self, vectors: np.ndarray, silent: np.ndarray) -> Iterator[Sighting]:
        """Fingerprints float32 (m, d) and silent flags bool (m,) that follow those fed before."""
        self._vectors = np.concatenate([self._vectors, vectors])
        self._silent = np.concatenate([self._silent, silent])
        while self._end - self._next >= self.settings.window:
            yield from self._look(self.settings.window)
            self._next += self.settings.step
            # a run that is found late may have begun within the patience before its window
            keep = max(0, self._next - self._first - self.settings.patience - self.settings.window)
            self._vectors, self._silent = self._vectors[keep:], self._silent[keep:]
            self._first += keep

    def finish(self) -> Iterator[Sighting]:
        """The recording is over: the last window, and all runs that are open."""
        left = self._end - self._next
        if left >= 1:
            self._next = max(self._first, self._end - self.settings.window)
            yield from self._look(self._end - self._next)
        yield from self._close(self._runs)

    def _look(self, length: int) -> Iterator[Sighting]:
        """Identify one window, support or begin runs, close those that are over."""
        part = slice(self._next - self._first, self._next - self._first + length)
        vectors, silent = self._vectors[part], self._silent[part]
        stop = self._next + length
        answer = identify(vectors, silent, self.reference, top=2, places=False)
        bar = max((p.score for p in answer.places), default=0.0) - AMBIGUOUS_MARGIN
        accepted = [
            (p, v) for p in answer.places if (v := self._accepted(answer.sounding, p.score, p.evidence))
        ]
        for run in self._runs:
            score = self._extend(run, stop, length)
            # the run's own place counts if nothing in the database fits clearly better than it, or if it is one of
            # two tracks in a cross-fade
            again = any(self._continues(run, place) for place, _ in accepted)
            if score is not None and (again or score >= bar):
                verdict = self._accepted(answer.sounding, score)
                if verdict:
                    run.supported, run.best = stop, max(run.best, score)
                    sure = [c for c in (run.confidence, verdict.confidence) if c is not None]
                    run.confidence = max(sure, default=None)
        playing = {run.track for run in self._runs if run.supported == stop}
        for place, verdict in accepted:
            if place.track not in playing:
                self._begin(place, verdict, stop)
        yield from self._close([r for r in self._runs if stop - r.supported >= self.settings.patience])

    def _continues(self, run: _Run, place) -> bool:
        return place.track == run.track and abs(place.start - self._next - run.offset) <= 1

    def _accepted(self, sounding: int, score: float, evidence: Evidence | None = None):
        verdict = self.judge(sounding, score, evidence=evidence)
        if verdict.word == "match" or (
            verdict.word == "uncalibrated" and score >= self.settings.minimum_score
        ):
            return verdict
        return None

    def _begin(self, place, verdict, stop: int) -> None:
        offset = place.start - self._next
        self._begun += 1
        run = _Run(
            self._begun,
            place.track,
            offset,
            self._first,
            stop,
            best=place.score,
            confidence=verdict.confidence,
        )
        self._append(run, self._first, stop)
        self._runs.append(run)

    def _extend(self, run: _Run, stop: int, length: int) -> float | None:
        """Add the segments up to `stop` to a run, moving its offset by a row where that fits better; its score there."""
        start = stop - length
        drifts = [(self._mean(run.track, run.offset + d, start, stop), -abs(d), d) for d in (0, -1, 1)]
        known = [d for d in drifts if d[0] is not None]
        if known:
            stay, best = drifts[0][0], max(known)
            if stay is None or best[0] > stay + AMBIGUOUS_MARGIN / 2:
                run.offset += best[2]
        self._append(run, run.first + len(run.similar), stop)
        return self._mean(run.track, run.offset, start, stop)

    def _append(self, run: _Run, start: int, stop: int) -> None:
        similar, valid = self._similar(run.track, run.offset, start, stop)
        run.similar += np.where(valid, similar, 0.0).tolist()
        run.offsets += [run.offset] * (stop - start)

    def _mean(self, track: int, offset: int, start: int, stop: int) -> float | None:
        """Score of segments start to stop on a track's rows from start + offset on; None under half an overlap."""
        similar, valid = self._similar(track, offset, start, stop)
        sounding = ~self._silent[start - self._first : stop - self._first]
        if not valid.any() or 2 * valid.sum() < sounding.sum():
            return None
        return float(similar[valid].mean())

    def _similar(self, track: int, offset: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Inner products (n,) of segments with the rows under them, and where both exist and sound."""
        bounds = self.reference.bounds
        rows = np.arange(start, stop) + offset + bounds.start[track]
        held = slice(start - self._first, stop - self._first)
        inside = (rows >= bounds.start[track]) & (rows < bounds.end[track])
        rows = np.where(inside, rows, bounds.start[track])
        valid = inside & ~self._silent[held] & ~self.reference.silent[rows]
        return np.einsum(
            "ij,ij->i", self._vectors[held], self.reference.vectors[rows].astype(np.float32)
        ), valid

    def _close(self, over: list[_Run]) -> list[Sighting]:
        """Report runs that are over, in the order in which they began; each is the stretch that gains most."""
        found = []
        for run in over:
            begin, end = self._left(run, *self._stretch(run))
            if end - begin < self.settings.shortest:
                continue
            score = float(np.mean(run.similar[begin:end]))
            if verdict := self._accepted(end - begin, score):
                sure = [c for c in (run.confidence, verdict.confidence) if c is not None]
                place = run.first + begin
                run.listed = (place, run.first + end)
                found.append(
                    Sighting(
                        str(self.reference.names[run.track]),
                        place * HOP_SECONDS,
                        (run.first + end - 1) * HOP_SECONDS + SEGMENT_SECONDS,
                        (place + run.offsets[begin]) * HOP_SECONDS,
                        score,
                        max(sure, default=None),
                    )
                )
        self._runs = [run for run in self._runs if run not in over]
        oldest = min((run.first for run in self._runs), default=self._first)
        self._over = [r for r in [*self._over, *over] if r.first + len(r.similar) > min(oldest, self._first)]
        return sorted(found, key=lambda s: (s.begin, s.track))

    def _stretch(self, run: _Run) -> tuple[int, int]:
        """Begin and end of the part of a run that gains most, counted from its first segment.

        A segment gains what its similarity exceeds a share (EDGE) of the run's best score by. Where another run explains it
        outright, it loses instead: music that is like other music in the database must not be reported beside it.
        """
        similar = np.array(run.similar)
        return best_stretch(np.where(self._explained(run, similar), 0.0, similar) - EDGE * run.best)

    def _others(self, run: _Run) -> Iterator[_Run]:
        return (other for other in (*self._runs, *self._over) if other is not run)

    def _left(self, run: _Run, begin: int, end: int) -> tuple[int, int]:
        """What is left of a run's stretch beside other runs of the same track: those reported already, and better ones
        that still play. (0, 0) where most of it is theirs, so that it is an echo."""
        whole = end - begin
        for other in self._others(run):
            if other.track != run.track:
                continue
            if other.listed:
                first, last = (i - run.first for i in other.listed)
            elif other in self._runs and _outranks(other, run):
                first, last = (i + other.first - run.first for i in self._stretch(other))
            else:
                continue
            if 2 * (min(last, end) - max(first, begin)) > whole:
                return 0, 0
            if first <= begin < last:
                begin = last
            elif begin < first < end:
                end = first
        return begin, end

    def _explained(self, run: _Run, similar: np.ndarray) -> np.ndarray:
        """Which segments (n,) of a run another run, at least as good, fits nearly as well as it ever does."""
        explained = np.zeros(len(similar), bool)
        for other in self._others(run):
            # where a track repeats itself, several of its places fit; one of two runs must yield and the other must
            # not, or each explains the other away and none is left
            again = other.track == run.track
            if again and not _outranks(other, run) or other.best < run.best - AMBIGUOUS_MARGIN:
                continue
            mine, theirs = (smooth(part) for part in _in_common(run, other))
            better = (theirs >= OUTRIGHT * other.best) & (
                theirs > mine + (-AMBIGUOUS_MARGIN if again else AMBIGUOUS_MARGIN)
            )
            start = max(run.first, other.first) - run.first
            explained[start : start + len(better)] |= better
        return explained


def _in_common(run: _Run, other: _Run) -> tuple[np.ndarray, np.ndarray]:
    """Similarities (n,) of two runs over the segments that both know."""
    start = max(run.first, other.first)
    stop = max(start, min(r.first + len(r.similar) for r in (run, other)))
    return tuple(np.array(r.similar[start - r.first : stop - r.first]) for r in (run, other))


def _outranks(run: _Run, other: _Run) -> bool:
    """Whether a run fits better than another wherever both can be judged; the earlier one of equals."""
    mine, theirs = _in_common(run, other)
    judged = (mine != 0) & (theirs != 0)
    return (mine[judged].sum(), -run.number) > (theirs[judged].sum(), -other.number)


def smooth(values: np.ndarray) -> np.ndarray:
    """Means (n,) over SMOOTHING values around each; single segments vary too much to be compared."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    here = np.arange(len(values))
    low, high = np.maximum(here - SMOOTHING // 2, 0), np.minimum(here + SMOOTHING // 2 + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def best_stretch(gains: np.ndarray) -> tuple[int, int]:
    """Begin and end (exclusive) of the consecutive gains (n,) whose sum is largest; (0, 0) if none is positive."""
    total = np.concatenate([[0.0], np.cumsum(gains)])
    lowest = np.minimum.accumulate(total)
    end = int(np.argmax(total - lowest))
    if total[end] <= lowest[end]:
        return 0, 0
    return int(np.argmin(total[: end + 1])), end


def monitor(
    fingerprints: Iterable[tuple[np.ndarray, np.ndarray]],
    reference: Reference,
    judge,
    settings: Settings | None = None,
) -> Iterator[Sighting]:
    """Sightings of a stream of (vectors, silent), in the order in which they end."""
    watcher = Monitor(reference, judge, settings)
    for vectors, silent in fingerprints:
        yield from watcher.feed(vectors, silent)
    yield from watcher.finish()
