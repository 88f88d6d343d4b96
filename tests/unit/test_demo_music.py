"""The composer and the renderer: different pieces, no copies inside a piece, the same samples every time."""

import time

import numpy as np
import pytest
import soundfile
from nmfp.demo.composer import compose, plan
from nmfp.demo.harmony import MODES, Chord, Key, progression
from nmfp.demo.renderer import SAMPLE_RATE, render, synthesise, write_audio
from nmfp.files import generator


def notes_of(midi):
    return [
        (i.name, i.program, n.start, n.end, n.pitch, n.velocity) for i in midi.instruments for n in i.notes
    ]


@pytest.fixture(scope="module")
def piece():
    midi = compose(27, 103, 20)
    return midi, render(27, 103, midi, 20)


def test_plans_are_varied():
    plans = [plan(generator(1, n), 100) for n in range(200)]
    assert {p.metre for p in plans} == {"4/4", "3/4", "6/8"}
    assert {p.key.mode for p in plans} == set(MODES)
    assert {p.key.tonic for p in plans} == set(range(12))
    assert len({p.style for p in plans}) >= 12
    tempi = [p.tempo for p in plans]
    assert 70 <= min(tempi) < 80 and 155 < max(tempi) <= 170


def test_same_number_same_piece_other_number_other_piece():
    first, again, other, other_seed = (
        notes_of(compose(*key, 12)) for key in ((5, 1), (5, 1), (5, 2), (6, 1))
    )
    assert first == again
    assert first != other and first != other_seed


@pytest.mark.parametrize("number", range(8))
def test_a_piece_has_parts_and_fills_its_time(number):
    midi = compose(3, number, 30)
    assert midi.get_end_time() >= 30
    assert len(midi.instruments) <= 16 and len(midi.instruments) >= 3
    assert {"bass", "comp"} <= {i.name for i in midi.instruments}
    for instrument in midi.instruments:
        velocities = {note.velocity for note in instrument.notes}
        assert all(0 <= note.pitch <= 127 and note.end > note.start for note in instrument.notes)
        assert all(1 <= v <= 127 for v in velocities)
        assert len(instrument.notes) < 10 or len(velocities) > 5, "nobody hits every note equally hard"


def test_form_returns_but_never_as_a_copy():
    # bars of one piece on a grid of 50 ms: a copy would have the same pitches at the same places
    midi = compose(27, 11, 100)
    onsets = np.array([(n.start, n.pitch) for i in midi.instruments if not i.is_drum for n in i.notes])
    roll = np.zeros((2400, 128), bool)
    inside = onsets[:, 0] < 119
    roll[(onsets[inside, 0] * 20).astype(int), onsets[inside, 1].astype(int)] = True
    windows = np.lib.stride_tricks.sliding_window_view(roll[:2000], 60, axis=0)[::5].reshape(-1, 128 * 60)
    windows = windows[windows.sum(axis=1) >= 10].astype(np.float32)
    assert len(np.unique(windows, axis=0)) == len(windows)
    classes = roll.reshape(2400, -1)[:, :120].reshape(2400, 10, 12).any(axis=1).mean(axis=0)
    assert np.sort(classes)[-7:].sum() > 0.8 * classes.sum(), "a key: seven pitch classes carry the piece"


def test_progressions_stay_in_the_scale():
    chords = progression(generator(0), 8, 0, 0.5)
    key = Key(2, "dorian")
    scale = {(2 + step) % 12 for step in MODES["dorian"]}
    assert len(chords) == 8 and chords[0].root == 0
    for chord in chords:
        voicing = chord.voicing(key, 60)
        assert {pitch % 12 for pitch in voicing} <= scale
        assert voicing == sorted(voicing) and all(abs(pitch - 60) <= 12 for pitch in voicing)


def test_degrees_are_pitches():
    assert Key(0, "ionian").pitch(0, 5) == 60
    assert [Key(9, "aeolian").pitch(d, 4) for d in (0, 2, 7, -1)] == [57, 60, 69, 55]
    assert Chord(4, "seventh").degrees == (4, 6, 8, 10)


def test_rendered_audio_is_loud_and_never_clips(piece):
    _, audio = piece
    assert audio.shape == (20 * SAMPLE_RATE,) and audio.dtype == np.float32
    assert 0.6 < np.abs(audio).max() < 0.96
    level = 20 * np.log10(np.sqrt(np.mean(audio.reshape(40, -1)[:-3] ** 2, axis=1)))
    assert level.min() > -40, "no half second without music"


def test_rendering_twice_gives_the_same_samples(piece):
    midi, audio = piece
    compose_again = compose(27, 103, 20)
    synthesise(compose(27, 4, 2), 2)  # what was rendered before must not ring on
    np.testing.assert_array_equal(render(27, 103, compose_again, 20), audio)
    assert notes_of(midi) == notes_of(compose_again)


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg", "wav"])
def test_files_hold_the_audio_and_the_same_bytes(piece, tmp_path, suffix):
    audio = piece[1][: 5 * SAMPLE_RATE + 77]
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    write_audio(first, audio)
    if suffix == "ogg":
        time.sleep(1.1)  # serial numbers from the clock would show
    write_audio(second, audio)
    assert first.read_bytes() == second.read_bytes()
    decoded, rate = soundfile.read(first)
    # an mp3 may end up to a frame later
    assert rate == SAMPLE_RATE and 0 <= len(decoded) - len(audio) < (576 if suffix == "mp3" else 1)
    assert np.corrcoef(decoded[: len(audio)], audio)[0, 1] > 0.99
    assert sorted(p.name for p in tmp_path.iterdir()) == [first.name, second.name], "no temporary file stays"
