"""Scales, chords and progressions, in scale degrees: the key is chosen when pitches are asked for."""

from typing import NamedTuple

import numpy as np

MODES = {
    "ionian": (0, 2, 4, 5, 7, 9, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "aeolian": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
}

# how often one degree follows another (rows: from I, ii, iii, IV, V, vi, vii): habits of pop and folk
_FOLLOWS = np.array(
    [
        [0, 3, 2, 6, 5, 5, 2],
        [2, 0, 1, 2, 8, 1, 1],
        [1, 2, 0, 5, 1, 7, 0],
        [5, 2, 1, 0, 7, 2, 1],
        [7, 1, 1, 4, 0, 5, 0],
        [2, 4, 2, 7, 4, 0, 1],
        [7, 0, 3, 2, 1, 2, 0],
    ],
    dtype=float,
)
# thirds stacked on the root, in scale degrees
_SHAPES = {
    "triad": (0, 2, 4),
    "seventh": (0, 2, 4, 6),
    "sus": (0, 3, 4),
    "ninth": (0, 2, 4, 8),
    "power": (0, 4, 7),
}


class Key(NamedTuple):
    """A tonic (pitch class 0-11) and a mode."""

    tonic: int
    mode: str

    def pitch(self, degree: int, octave: int) -> int:
        """MIDI pitch of a scale degree (any integer, 0 is the tonic) above an octave (5 starts at 60)."""
        return 12 * (octave + degree // 7) + self.tonic + MODES[self.mode][degree % 7]


class Chord(NamedTuple):
    """A root degree and a shape."""

    root: int
    shape: str

    @property
    def degrees(self) -> tuple[int, ...]:
        """Scale degrees of its notes, root first."""
        return tuple(self.root + step for step in _SHAPES[self.shape])

    def voicing(self, key: Key, centre: int, size: int = 4) -> list[int]:
        """Its pitches nearest to MIDI pitch `centre`, ascending: near voicings lead smoothly."""
        classes = {key.pitch(degree, 0) % 12 for degree in self.degrees}
        near = sorted(
            (abs(pitch - centre), pitch) for pitch in range(centre - 12, centre + 13) if pitch % 12 in classes
        )
        return sorted(pitch for _, pitch in near[:size])


def pick(rng: np.random.Generator, options, weights=None):
    """One of `options`, by weight; several times faster than Generator.choice on short lists."""
    if weights is None:
        return options[int(rng.random() * len(options))]
    total = np.cumsum(np.asarray(weights, dtype=float))
    return options[int(np.searchsorted(total, rng.random() * total[-1], side="right"))]


def progression(rng: np.random.Generator, chords: int, start: int, richness: float) -> list[Chord]:
    """A walk over degrees that begins on `start` and ends where it can begin again.

    Args:
        chords: how many.
        start: degree of the first.
        richness: share of chords with more than three notes, 0 to 1.
    """
    walk = [start]
    for place in range(1, chords):
        weights = _FOLLOWS[walk[-1]].copy()
        if place == chords - 1:
            weights *= _FOLLOWS[:, start] + 0.5
        walk.append(pick(rng, range(7), weights))
    shapes = ("triad", "seventh", "ninth", "sus")
    weights = (1 - richness, 0.6 * richness, 0.2 * richness, 0.2 * richness)
    return [Chord(root, pick(rng, shapes, weights)) for root in walk]
