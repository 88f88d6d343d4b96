"""A piece of music from a seed and a number: its plan, its players, and the MIDI that they leave behind."""

from typing import NamedTuple

import numpy as np
import pretty_midi

from nmfp.demo.harmony import MODES, Chord, Key, pick, progression
from nmfp.demo.melody import Theme, perform, theme
from nmfp.demo.players import Accompanist, Bar, Bassist, Drummer, Note, groove_for, sustain
from nmfp.demo.styles import FAMILIES, STYLES, Style
from nmfp.files import generator

# sixteenths in a bar and in a beat
METRES = {"4/4": (16, 4), "3/4": (12, 4), "6/8": (12, 6)}
FORMS = (
    "intro verse chorus verse chorus bridge chorus",
    "intro verse verse chorus verse chorus chorus",
    "chorus verse chorus bridge verse chorus",
    "verse chorus verse bridge chorus chorus",
    "intro chorus verse bridge verse chorus",
)
ENERGY = {"intro": 0.35, "verse": 0.5, "chorus": 1.0, "bridge": 0.65}


class Plan(NamedTuple):
    """The decisions that hold for a whole piece; `tempo` in quarters a minute, `tuning` in cents."""

    style: str
    key: Key
    metre: str
    tempo: float
    swing: float
    tuning: float
    section_bars: int
    form: tuple[str, ...]
    key_change: int


def plan(rng: np.random.Generator, seconds: float) -> Plan:
    """Draw what a piece of `seconds` seconds is to be."""
    name = pick(rng, list(STYLES))
    style = STYLES[name]
    metre = pick(rng, style.metres)
    low, high = style.tempo
    mode = pick(rng, style.modes)
    return Plan(
        style=name,
        key=Key(int(rng.random() * 12), mode),
        metre=metre,
        tempo=low + (high - low) * rng.random(),
        swing=style.swing[0] + (style.swing[1] - style.swing[0]) * rng.random(),
        tuning=float(np.clip(12 * rng.standard_normal(), -35, 35)),
        section_bars=4 if seconds < 60 else pick(rng, (4, 8, 8)),
        form=tuple(pick(rng, FORMS).split()),
        key_change=pick(rng, (0, 0, 0, 1, 2, 3, -2)),
    )


class _Section:
    """What is drawn once for the verse, the chorus and so on, and returns with it."""

    def __init__(self, rng: np.random.Generator, piece: Plan, style: Style, kind: str):
        steps, beat = METRES[piece.metre]
        self.steps, self.beat = steps, beat
        length = pick(rng, (4, 4, 8)) if piece.section_bars == 8 else 4
        first = 0 if kind == "verse" else pick(rng, (0, 5, 3, 4))
        chords = progression(rng, 2 * length, first, style.richness)
        halves = rng.random(length) < pick(rng, (0.0, 0.15, 0.5))
        power = "distorted guitar" in style.comping and rng.random() < 0.4
        self.chords: list[tuple[tuple[int, Chord], ...]] = []
        for bar in range(length):
            pair = chords[2 * bar], chords[2 * bar + 1]
            if power:
                pair = tuple(Chord(chord.root, "power") for chord in pair)
            self.chords.append(((0, pair[0]), (steps // 2, pair[1])) if halves[bar] else ((0, pair[0]),))
        self.drummer = Drummer(rng, groove_for(rng, style.grooves, steps)) if style.grooves else None
        self.bassist = Bassist(rng, pick(rng, style.bass_habits), steps, beat)
        self.comp = Accompanist(rng, pick(rng, style.comping_habits), steps, 55 + int(10 * rng.random()))
        self.second = Accompanist(
            rng, pick(rng, ("arpeggio", "stabs", "syncopated")), steps, 66 + int(8 * rng.random())
        )
        density = 0.3 + 0.4 * rng.random() + 0.08 * (kind == "chorus")
        self.theme: Theme = theme(rng, piece.section_bars, steps, beat, density)
        self.octave = pick(rng, (5, 5, 6)) if kind == "chorus" else 5

    def bar(self, place: int, bars: int, energy: float) -> Bar:
        """Bar `place` of `bars` of this section."""
        return Bar(
            steps=self.steps,
            beat=self.beat,
            chords=self.chords[place % len(self.chords)],
            energy=energy,
            opens=place == 0,
            fill=place == bars - 1 or (bars == 8 and place == 3),
        )


class _Band:
    """Instruments by part; notes are collected in sixteenths from the start of the piece."""

    def __init__(self, rng: np.random.Generator, style: Style):
        def program(families: tuple[str, ...]) -> int:
            return pick(rng, FAMILIES[pick(rng, families)])

        self.programs = {
            "bass": program(style.bass),
            "comp": program(style.comping),
            "second": program(style.comping + style.colour),
            "pad": program(style.colour),
            "verse lead": program(style.lead),
            "chorus lead": program(style.lead),
            "bridge lead": program(style.lead),
            "answer": program(style.lead + style.colour),
        }
        self.kit = pick(rng, style.kits) if style.kits else None
        # fader positions (General MIDI volume): lead and drums in front, as in a mix
        self.faders = {part: int(66 + 22 * rng.random()) for part in self.programs}
        self.faders.update({part: int(88 + 20 * rng.random()) for part in self.programs if "lead" in part})
        self.faders["bass"] = int(84 + 20 * rng.random())
        self.faders["drums"] = int(78 + 26 * rng.random())
        self.notes: dict[str, list[Note]] = {part: [] for part in [*self.programs, "drums"]}

    def add(self, part: str, start: float, notes: list[Note], gain: float) -> None:
        """Append a bar's notes of one part."""
        self.notes[part] += [
            (start + step, length, pitch, loud * gain) for step, length, pitch, loud in notes
        ]


def _play_section(
    rng: np.random.Generator,
    band: _Band,
    section: _Section,
    kind: str,
    visit: int,
    piece: Plan,
    key: Key,
    start: int,
) -> int:
    """Let the band play one section; returns its length in bars.

    The first visit introduces the material; later ones bring other layers, more freedom and louder playing.
    """
    bars = piece.section_bars if kind != "intro" else min(4, piece.section_bars)
    energy = min(1.0, ENERGY[kind] + 0.12 * visit)
    layers = {
        "drums": kind != "intro" or rng.random() < 0.5,
        "bass": kind != "intro" or rng.random() < 0.6,
        "pad": rng.random() < (0.75 if kind in ("chorus", "bridge", "intro") else 0.3),
        "second": rng.random() < (0.7 if kind == "chorus" else 0.3 + 0.2 * visit),
        "answer": rng.random() < (0.35 if kind == "chorus" else 0.15 + 0.15 * visit),
        "lead": kind != "intro" or rng.random() < 0.35,
    }
    lead = {"chorus": "chorus lead", "bridge": "bridge lead"}.get(kind, "verse lead")
    if visit and rng.random() < 0.3:
        lead = pick(rng, ("verse lead", "chorus lead", "bridge lead"))
    freedom = 0.12 + 0.14 * min(visit, 2)
    doubled = kind == "chorus" and visit > 0 and rng.random() < 0.35
    busy = kind == "chorus" or (visit > 0 and rng.random() < 0.5)
    for place in range(bars):
        bar = section.bar(place, bars, energy)
        at = start + place * section.steps
        gain = (0.78 + 0.22 * energy) * (1 + 0.04 * rng.standard_normal())
        if layers["drums"] and section.drummer:
            band.add("drums", at, section.drummer.play(rng, bar, busy), gain)
        if layers["bass"]:
            following = section.chords[(place + 1) % len(section.chords)][0][1]
            band.add("bass", at, section.bassist.play(rng, bar, key, following), gain)
        band.add("comp", at, section.comp.play(rng, bar, key), gain)
        if layers["second"]:
            band.add("second", at, section.second.play(rng, bar, key), 0.8 * gain)
        if layers["pad"]:
            band.add("pad", at, sustain(rng, bar, key, 60), gain)
        if layers["lead"]:
            line = section.theme[place % len(section.theme)]
            notes = perform(rng, line, bar, key, section.octave, freedom)
            band.add(lead, at, notes, gain)
            if doubled:
                band.add("answer", at, [(s, n, p - 12, 0.8 * v) for s, n, p, v in notes], gain)
        if layers["answer"] and not doubled and place % 2:
            # call and response: fragments of the theme where the lead holds its breath
            line = [
                note
                for note in section.theme[(place + 2) % len(section.theme)]
                if note[0] >= section.steps // 2
            ]
            band.add("answer", at, perform(rng, line, bar, key, 5, 0.4), 0.8 * gain)
    return bars


def _bar_seconds(rng: np.random.Generator, piece: Plan, bars: int) -> np.ndarray:
    """Start of each of `bars` + 1 bars in seconds: a steady tempo that breathes by one or two per cent."""
    steps, _ = METRES[piece.metre]
    drift = np.cumsum(0.004 * rng.standard_normal(bars))
    drift -= np.linspace(0, drift[-1], bars)
    lengths = steps * 15 / piece.tempo * (1 + drift + 0.003 * rng.standard_normal(bars))
    return np.concatenate([[0.0], np.cumsum(lengths)])


def _instrument(
    rng: np.random.Generator,
    notes: list[Note],
    piece: Plan,
    bar_starts: np.ndarray,
    program: int | None,
    name: str,
) -> pretty_midi.Instrument:
    """Notes in sixteenths become MIDI notes in seconds, with swing, uneven hands and uneven force."""
    steps, _ = METRES[piece.metre]
    table = np.array(sorted(notes), dtype=float).reshape(-1, 4)
    step, length = table[:, 0], table[:, 1]
    # swing: the second half of each eighth pair (or sixteenth pair, where the style is slow) comes late
    pair = 4 if piece.style in ("swing", "reggae") else 2
    inside = step % pair
    late = np.where(
        inside < pair / 2, inside * (1 + piece.swing / 2), inside + piece.swing / 2 * (pair - inside)
    )
    step = step - inside + late
    grid = np.arange(len(bar_starts)) * steps
    begin = np.interp(step, grid, bar_starts) + rng.normal(rng.normal(0, 0.004), 0.007, len(step))
    end = np.maximum(np.interp(step + length, grid, bar_starts), begin + 0.05)
    velocity = np.clip(np.round(118 * table[:, 3] + 5 * rng.standard_normal(len(step))), 12, 127)
    instrument = pretty_midi.Instrument(program=program or 0, is_drum=name == "drums", name=name)
    instrument.notes = [
        pretty_midi.Note(velocity=int(v), pitch=int(p), start=float(b), end=float(e))
        for v, p, b, e in zip(velocity, table[:, 2], np.maximum(begin, 0), end, strict=True)
        if 0 <= p <= 127
    ]
    return instrument


def compose(seed: int, number: int, seconds: float) -> pretty_midi.PrettyMIDI:
    """The piece with this number: at least `seconds` seconds of MIDI, the same for the same arguments.

    Instruments carry their volume as control change 7 and their tuning as a pitch bend (range +-2 semitones).
    """
    rng = generator(seed, "demo composer", number)
    piece = plan(rng, seconds)
    style = STYLES[piece.style]
    band = _Band(rng, style)
    sections = {kind: _Section(rng, piece, style, kind) for kind in ("verse", "chorus", "bridge")}
    steps, _ = METRES[piece.metre]
    bar_length = steps * 15 / piece.tempo
    form = piece.form if seconds >= 45 else piece.form[int(rng.random() * 3) :]
    visits: dict[str, int] = {}
    bars, place, key = 0, 0, piece.key
    while bars * bar_length < 1.03 * seconds + 2:
        kind = form[place] if place < len(form) else pick(rng, ("verse", "chorus", "bridge", "chorus"))
        if piece.key_change and kind == "chorus" and visits.get("chorus", 0) == 2:
            key = Key((piece.key.tonic + piece.key_change) % 12, piece.key.mode)
        section = sections["verse" if kind == "intro" else kind]
        visit = visits.get(kind, 0)
        bars += _play_section(rng, band, section, kind, visit, piece, key, bars * steps)
        visits[kind] = visit + 1
        place += 1
    bar_starts = _bar_seconds(rng, piece, bars)
    midi = pretty_midi.PrettyMIDI(initial_tempo=piece.tempo)
    numerator, denominator = (int(n) for n in piece.metre.split("/"))
    midi.time_signature_changes.append(pretty_midi.TimeSignature(numerator, denominator, 0))
    minor = MODES[piece.key.mode][2] == 3
    midi.key_signature_changes.append(pretty_midi.KeySignature(piece.key.tonic + 12 * minor, 0))
    for part, notes in band.notes.items():
        if not notes:
            continue
        program = band.kit if part == "drums" else band.programs[part]
        instrument = _instrument(rng, notes, piece, bar_starts, program, part)
        instrument.control_changes.append(pretty_midi.ControlChange(7, band.faders[part], 0))
        if part != "drums":
            cents = piece.tuning + 3 * rng.standard_normal()
            instrument.pitch_bends.append(pretty_midi.PitchBend(int(round(cents / 200 * 8192)), 0))
        midi.instruments.append(instrument)
    return midi
