"""Drummer, bassist and accompanist: one bar at a time, never twice the same.

A bar is counted in sixteenths. Players return notes (step, length in steps, MIDI pitch, loudness 0-1); the
composer adds tempo, swing and human error. What a player draws once (a pattern) makes a section
recognisable; what is drawn again in every bar keeps two places of a track from being copies of each other.
"""

from typing import NamedTuple

import numpy as np

from nmfp.demo.harmony import Chord, Key, pick
from nmfp.demo.styles import GROOVES

Note = tuple[float, float, int, float]

DRUMS = {
    "kick": 36, "snare": 38, "rim": 37, "clap": 39, "hat": 42, "pedal": 44, "open hat": 46, "ride": 51,
    "crash": 49, "cymbal": 57, "tom": 45, "shaker": 70, "maracas": 82, "tambourine": 54, "cowbell": 56,
    "conga": 63, "bongo": 60, "clave": 75, "triangle": 81,
}  # fmt: skip
_FILL_TOMS = (50, 48, 47, 45, 43, 41)
EXTRAS = ("shaker", "tambourine", "conga", "cowbell", "bongo", "clave", "triangle", "maracas")


class Bar(NamedTuple):
    """What every player sees of one bar."""

    steps: int
    beat: int
    chords: tuple[tuple[int, Chord], ...]
    energy: float
    opens: bool
    fill: bool

    def chord_at(self, step: float) -> Chord:
        """The chord that sounds at a step."""
        return [chord for start, chord in self.chords if start <= step][-1]


def groove_for(rng: np.random.Generator, grooves: tuple[str, ...], steps: int) -> str:
    """A groove whose bar has `steps` sixteenths: one of the style's where there is one."""
    fitting = [name for name in grooves if len(next(iter(GROOVES[name].values()))) == steps]
    return pick(rng, fitting or (["half time"] if steps == 16 else ["six eight", "waltz"]))


class Drummer:
    """Keeps a pattern for each kind of section and plays it with ghosts, gaps, fills and crashes."""

    def __init__(self, rng: np.random.Generator, groove: str):
        self.groove = GROOVES[groove]
        chances = {drum: np.array([int(c) for c in line]) / 9 for drum, line in self.groove.items()}
        self.pattern = {drum: rng.random(len(p)) < p for drum, p in chances.items()}
        self.chances = chances
        steps = len(next(iter(chances.values())))
        self.extra = pick(rng, EXTRAS)
        every = pick(rng, (1, 2, 2, 4, 3))
        self.extra_pattern = ((np.arange(steps) % every == 0) & (rng.random(steps) < 0.8)) | (
            rng.random(steps) < 0.12
        )
        self.cymbal = pick(rng, ("hat", "hat", "ride", "open hat", "tambourine"))
        self.ghosts = 0.02 + 0.08 * rng.random()

    def play(self, rng: np.random.Generator, bar: Bar, busy: bool) -> list[Note]:
        """One bar; `busy` sections swap the hi-hat for the section's cymbal and add a percussion line."""
        notes: list[Note] = []
        fill_from = bar.steps - pick(rng, (4, 6, 8)) if bar.fill else bar.steps
        for drum, hits in self.pattern.items():
            # strokes that are not obligatory are decided afresh in a fifth of the cases
            free = (rng.random(bar.steps) < 0.2) & (self.chances[drum] < 1)
            struck = np.where(free, rng.random(bar.steps) < self.chances[drum], hits)
            voice = DRUMS[self.cymbal if busy and drum == "hat" else drum]
            loud = 0.62 + 0.2 * (np.arange(bar.steps) % bar.beat == 0) + 0.1 * rng.standard_normal(bar.steps)
            for step in np.flatnonzero(struck):
                if step >= fill_from and drum != "kick":
                    continue
                if drum == "hat" and not busy and rng.random() < 0.04:
                    voice_now = DRUMS["open hat"]
                else:
                    voice_now = voice
                notes.append((int(step), 0.9, voice_now, float(loud[step])))
        if "snare" in self.pattern:
            for step in np.flatnonzero(rng.random(fill_from) < self.ghosts):
                notes.append((int(step), 0.5, DRUMS["snare"], 0.22 + 0.12 * rng.random()))
        if busy:
            for step in np.flatnonzero(self.extra_pattern & (rng.random(bar.steps) < 0.88)):
                notes.append((int(step), 0.9, DRUMS[self.extra], 0.4 + 0.3 * rng.random()))
        if bar.opens and rng.random() < 0.75:
            notes.append((0, 2, DRUMS[pick(rng, ("crash", "cymbal"))], 0.75))
        if bar.fill:
            notes += self._fill(rng, fill_from, bar.steps)
        return notes

    @staticmethod
    def _fill(rng: np.random.Generator, start: int, stop: int) -> list[Note]:
        snare_roll = rng.random() < 0.35
        notes = []
        for step in range(start, stop):
            place = (step - start) / (stop - start)
            if rng.random() < 0.78:
                voice = DRUMS["snare"] if snare_roll else _FILL_TOMS[min(5, int(place * 6 + rng.random()))]
                notes.append((step, 0.9, voice, 0.5 + 0.35 * place + 0.1 * rng.random()))
            if rng.random() < 0.15:
                notes.append((step + 0.5, 0.4, DRUMS["snare"], 0.4))
        return notes


class Bassist:
    """Plays the roots, in a rhythm that belongs to the section and with steps towards the next chord."""

    def __init__(self, rng: np.random.Generator, habit: str, bar_steps: int, beat: int):
        self.habit = habit
        fixed = {
            "roots": [0, bar_steps // 2] if rng.random() < 0.5 else [0],
            "fifths": list(range(0, bar_steps, 2 * beat if bar_steps == 16 else beat)),
            "pulse": list(range(0, bar_steps, 2)),
            "octaves": list(range(0, bar_steps, 2)),
            "offbeat": list(range(2, bar_steps, 4)),
            "walking": list(range(0, bar_steps, 4)),
            "tumbao": [0, 6, 8, 14] if bar_steps == 16 else [0, 6, 10],
        }
        if habit == "syncopated":
            onsets = [0, *(s for s in range(2, bar_steps) if rng.random() < (0.38 if s % 2 == 0 else 0.2))]
        else:
            onsets = fixed[habit]
        self.onsets = onsets
        self.leap = 0.1 + 0.3 * rng.random()

    def play(self, rng: np.random.Generator, bar: Bar, key: Key, following: Chord) -> list[Note]:
        """One bar between F1 and D3; `following` is the next bar's first chord."""
        onsets = [s for s in self.onsets if s == 0 or rng.random() < 0.93]
        onsets = sorted(
            {*onsets, *(s for s in range(2, bar.steps, 2) if rng.random() < 0.04 + 0.04 * bar.energy)}
        )
        notes = []
        for place, step in enumerate(onsets):
            stop = onsets[place + 1] if place + 1 < len(onsets) else bar.steps
            root = bar.chord_at(step).root
            degree = root
            if self.habit == "octaves" and step % 4 == 2:
                degree = root + 7
            elif self.habit == "walking" and step:
                degree = root + pick(rng, (1, 2, 3, 4, 6, 7, -1, -3))
            elif self.habit == "fifths" and place % 2:
                degree = root + pick(rng, (4, -3, 2))
            elif step and rng.random() < self.leap:
                degree = root + pick(rng, (4, 7, 2, -3))
            if place == len(onsets) - 1 and step and rng.random() < 0.35:
                degree = following.root + pick(rng, (-1, 1, 4))
            pitch = key.pitch(degree, 3)
            pitch -= 12 * (pitch > 50)
            pitch += 12 * (pitch < 29)
            length = (stop - step) * (0.55 + 0.4 * rng.random())
            notes.append((step, length, pitch, 0.7 + 0.12 * (step == 0) + 0.06 * rng.standard_normal()))
        return notes


class Accompanist:
    """Chords in a habit: strummed, broken, stabbed; rhythm is the section's, details are the bar's."""

    def __init__(self, rng: np.random.Generator, habit: str, bar_steps: int, centre: int):
        self.habit = habit
        self.centre = centre
        self.size = pick(rng, (3, 3, 4))
        self.rate = pick(rng, (2, 2, 1)) if habit in ("arpeggio", "sixteenths") else 2
        self.order = (
            [int(rng.random() * 5) for _ in range(8)]
            if rng.random() < 0.5
            else pick(
                rng,
                ([0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 2, 1], [0, 2, 1, 2], [0, 1, 2, 3, 2, 1], [0, 2, 1, 3]),
            )
        )
        busy = {"stabs": 0.3, "syncopated": 0.42, "sixteenths": 0.7, "strum": 0.75}.get(habit, 0.0)
        self.hits = [s for s in range(bar_steps) if rng.random() < busy * (1.3 if s % 2 == 0 else 0.55)]
        self.short = 0.35 + 0.5 * rng.random()

    def play(self, rng: np.random.Generator, bar: Bar, key: Key) -> list[Note]:
        """One bar around the section's register."""
        broken = self.habit in ("arpeggio", "alberti")
        notes: list[Note] = []
        for place, step in enumerate(self._onsets(rng, bar)):
            tones = bar.chord_at(step).voicing(key, self.centre, self.size)
            accent = 0.58 + 0.1 * (step % bar.beat == 0) + 0.06 * rng.standard_normal()
            if broken:
                order = [0, 2, 1, 2] if self.habit == "alberti" else self.order
                tone = tones[order[place % len(order)] % len(tones)]
                if rng.random() < 0.12:
                    tone = pick(rng, tones) + pick(rng, (0, 12))
                notes.append((step, self.rate * (1 + rng.random()), tone, accent))
                continue
            if len(tones) > 2 and rng.random() < 0.15:
                tones.pop(int(rng.random() * len(tones)))
            spread = (0.14 if self.habit == "strum" else 0.03) * (-1 if step % 4 == 2 else 1)
            length = 4 * self.short if self.habit in ("stabs", "offbeat", "sixteenths", "oompah") else 3.2
            for string, tone in enumerate(tones):
                delay = spread * (string if spread > 0 else string - len(tones) + 1)
                notes.append((step + abs(delay), length, tone, accent + 0.05 * rng.standard_normal()))
        return notes

    def _onsets(self, rng: np.random.Generator, bar: Bar) -> list[int]:
        if self.habit in ("arpeggio", "alberti"):
            return [s for s in range(0, bar.steps, self.rate) if rng.random() < 0.95]
        if self.habit == "pulse":
            return [s for s in range(0, bar.steps, 2) if s == 0 or rng.random() < 0.88]
        if self.habit == "offbeat":
            return [s for s in range(2, bar.steps, 4) if rng.random() < 0.95] + [
                s for s in (15,) if rng.random() < 0.1
            ]
        if self.habit == "oompah":
            return [s for s in range(4, bar.steps, 4) if rng.random() < 0.95]
        changed = [s for s in self.hits if rng.random() < 0.85]
        added = [
            s for s in range(0, bar.steps, 1 if self.habit == "sixteenths" else 2) if rng.random() < 0.07
        ]
        return sorted({*changed, *added, *(start for start, _ in bar.chords if rng.random() < 0.7)})


def sustain(rng: np.random.Generator, bar: Bar, key: Key, centre: int) -> list[Note]:
    """Held chords for strings, choirs and pads: one breath a chord, sometimes with a moving inner voice."""
    notes: list[Note] = []
    starts = [start for start, _ in bar.chords] + [bar.steps]
    for (start, chord), stop in zip(bar.chords, starts[1:], strict=True):
        loud = 0.42 + 0.12 * bar.energy + 0.05 * rng.standard_normal()
        tones = chord.voicing(key, centre, 3)
        moving = int(rng.random() * 9)
        for place, tone in enumerate(tones):
            if place == moving:
                half = (stop - start) / 2
                other = pick(rng, chord.voicing(key, centre + 5, 4))
                notes += [(start, half, tone, loud), (start + half, half, other, loud)]
            else:
                notes.append((start, stop - start - 0.1, tone, loud))
    return notes
