"""Melodies: a motif, phrases made of it, and a performance that varies what was heard before."""

import numpy as np

from nmfp.demo.harmony import Key, pick
from nmfp.demo.players import Bar, Note

Theme = list[list[tuple[int, int, int]]]


def _rhythm(rng: np.random.Generator, steps: int, beat: int, density: float) -> list[int]:
    grid = np.arange(steps)
    weight = np.where(grid % beat == 0, 1.0, np.where(grid % 2 == 0, 0.62, 0.12))
    onsets = [int(s) for s in np.flatnonzero(rng.random(steps) < density * weight)]
    return onsets or [0, beat]


def _line(rng: np.random.Generator, onsets: list[int], steps: int, start: int) -> list[tuple[int, int, int]]:
    degree = start
    notes = []
    for place, step in enumerate(onsets):
        stop = onsets[place + 1] if place + 1 < len(onsets) else steps
        notes.append((step, min(stop - step, 8), degree))
        pull = -0.25 * (degree - 4)
        degree += int(round(pull * rng.random() + pick(rng, (-4, -3, -2, -1, -1, -1, 0, 1, 1, 1, 2, 3, 5))))
    return notes


def theme(rng: np.random.Generator, bars: int, steps: int, beat: int, density: float) -> Theme:
    """Notes (step, length, scale degree above the tonic) for each of `bars` bars.

    A motif of one or two bars opens; it returns transposed, with another ending, and every phrase of four
    bars ends on a long note: enough sameness to be recognised, enough difference to tell the bars apart.
    """
    motifs = [
        _line(rng, _rhythm(rng, steps, beat, density), steps, pick(rng, (0, 2, 4, 5, 7))) for _ in range(2)
    ]
    plan = pick(rng, ([0, 1, 0, 2], [0, 0, 1, 2], [0, 1, 1, 2], [0, 1, 0, 1], [0, 2, 0, 2]))
    result: Theme = []
    for bar in range(bars):
        choice = plan[bar % 4]
        if choice == 2:
            line = _line(rng, _rhythm(rng, steps, beat, density), steps, pick(rng, (2, 4, 6)))
        else:
            lift = pick(rng, (0, 0, 1, -1, 2, -2, 3)) if bar > 1 else 0
            line = [(step, length, degree + lift) for step, length, degree in motifs[choice]]
        if bar % 4 == 3:
            keep = [note for note in line if note[0] < steps // 2] or line[:1]
            step, _, degree = keep[-1]
            line = [*keep[:-1], (step, steps - step - 2, degree)]
        result.append(line)
    return result


def perform(
    rng: np.random.Generator,
    line: list[tuple[int, int, int]],
    bar: Bar,
    key: Key,
    octave: int,
    freedom: float,
) -> list[Note]:
    """One bar of a theme as it is played this time.

    Args:
        line: notes (step, length, degree).
        freedom: share of notes that are ornamented, shifted, split or left out, 0 to 1.
    """
    notes: list[Note] = []
    for step, length, degree in line:
        chord = bar.chord_at(step)
        tones = {tone % 7 for tone in chord.degrees}
        if (step % bar.beat == 0 or length >= 4) and degree % 7 not in tones:
            # strong and long notes belong to the chord
            degree += 1 if (degree + 1) % 7 in tones else -1
        loud = 0.72 + 0.1 * bar.energy + 0.08 * (step % bar.beat == 0) + 0.06 * rng.standard_normal()
        if rng.random() < freedom:
            change = pick(rng, ("split", "turn", "shift", "drop", "other", "octave", "grace"))
            if change == "drop" and len(line) > 2:
                continue
            if change == "split" and length >= 2:
                half = length / 2
                notes.append((step, 0.9 * half, key.pitch(degree, octave), loud))
                step, length, degree = step + half, half, degree + pick(rng, (0, 1, -1, 2, -2))
            elif change == "turn" and length >= 3:
                for extra in (0, 1):
                    notes.append((step + 0.5 * extra, 0.5, key.pitch(degree + 1 - extra, octave), loud))
                step, length, degree = step + 1, length - 1, degree - 1 + 2 * int(rng.random() * 2)
            elif change == "shift":
                step = min(max(0, step + pick(rng, (-1, 1, 2))), bar.steps - 1)
            elif change == "other":
                degree = pick(rng, chord.degrees) + 7 * int(rng.random() * 2)
            elif change == "octave":
                degree += 7 if degree < 5 else -7
            elif change == "grace":
                notes.append((step, 0.3, key.pitch(degree + pick(rng, (-1, 1)), octave), 0.8 * loud))
                step += 0.3
        notes.append((step, length * (0.75 + 0.22 * rng.random()), key.pitch(degree, octave), loud))
    return notes
