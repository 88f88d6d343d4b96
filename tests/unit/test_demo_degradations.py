"""Noises, rooms and microphones of the embedded corpus have the properties that their names promise."""

import numpy as np
import pytest
from nmfp.demo import microphones, noises, rooms
from nmfp.files import generator

RATE = 8000


def spectrum_db(signal, edges):
    power = np.abs(np.fft.rfft(signal)) ** 2
    frequency = np.fft.rfftfreq(len(signal), 1 / RATE)
    return [10 * np.log10(power[(frequency >= a) & (frequency < b)].mean()) for a, b in edges]


@pytest.mark.parametrize("kind", sorted({k.__name__ for kinds in noises.KINDS.values() for k in kinds}))
def test_every_noise_fills_its_time(kind):
    make = getattr(noises, kind)
    first, again, other = (make(generator(7, key), 8 * RATE) for key in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.2
    assert first.shape == (8 * RATE,) and np.isfinite(first).all()
    level = np.sqrt(np.mean((first / first.std()).reshape(16, -1) ** 2, axis=1))
    assert level.min() > 0.05, "a noise with holes would leave the music clean"
    low, high = spectrum_db(first, ((100, 500), (2000, 3500)))
    assert abs(low - high) < 60, "a noise in one band only would be no disturbance in the others"


def test_noise_files_are_normalised_and_test_kinds_are_new():
    signal = noises.noise(generator(1), "train", 0, seconds=2.0)
    assert signal.dtype == np.float32 and signal.shape == (2 * RATE,)
    assert np.abs(signal).max() == pytest.approx(0.9)
    assert set(noises.KINDS["test"]) - set(noises.KINDS["train"]), "queries also meet noises of unknown kinds"


def test_coloured_noise_falls_towards_the_treble():
    bands = ((60, 150), (1500, 3500))
    falls = [np.subtract(*spectrum_db(noises.coloured(generator(k), 4 * RATE), bands)) for k in range(12)]
    assert np.median(falls) > 8


def test_babble_has_pitch_and_syllables():
    voice = noises._voice(generator(2), 8 * RATE)
    envelope = np.sqrt(np.mean(voice.reshape(-1, 80) ** 2, axis=1))
    modulation = np.abs(np.fft.rfft(envelope - envelope.mean()))
    rate = np.fft.rfftfreq(len(envelope), 0.01)
    speech, flutter = modulation[(rate > 2) & (rate < 9)].mean(), modulation[(rate > 25) & (rate < 45)].mean()
    assert speech > 4 * flutter, "speech is modulated at syllable rate"


def reverberation_time(response):
    """T20 of Schroeder's backward integral, in seconds."""
    energy = np.cumsum(response[::-1].astype(float) ** 2)[::-1]
    decay = 10 * np.log10(energy / energy[0] + 1e-12)
    start, stop = np.argmax(decay < -5), np.argmax(decay < -25)
    return 3 * (stop - start) / RATE


@pytest.mark.parametrize("place", range(0, 12, 3))
def test_rooms_reverberate_as_long_as_they_should(place):
    low, high = rooms.RT60_RANGE
    shortest, longest = (low * (high / low) ** (p / 12) for p in (place, place + 1))
    response = rooms.room_response(generator(3, place), place, 12)
    assert 0.8 * shortest < reverberation_time(response) < 1.25 * longest
    assert len(response) >= shortest * RATE
    assert np.abs(response).max() == pytest.approx(0.95)
    onset = np.argmax(np.abs(response) > 0.05)
    assert onset < 24, "the direct sound stands at the start: fingerprints of music and query stay aligned"
    energy = response.astype(float) ** 2
    assert energy[80:].sum() > 0.1 * energy.sum(), "reverberation that nobody hears is no degradation"


def test_room_is_reproducible():
    first, again = (rooms.room_response(generator(3, 1), 1, 2) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32


@pytest.mark.parametrize("role", ["train", "test"])
@pytest.mark.parametrize("place", range(8))
def test_microphones_are_short_and_limit_the_band(role, place):
    response = microphones.microphone_response(generator(4, role, place), role, place)
    assert response.dtype == np.float32 and 0.02 * RATE <= len(response) <= 0.06 * RATE
    assert np.abs(response).max() == pytest.approx(0.95)
    gain = 20 * np.log10(np.abs(np.fft.rfft(response, 8192)) + 1e-9)
    frequency = np.fft.rfftfreq(8192, 1 / RATE)
    assert gain[frequency < 20].mean() < gain.max() - 10, "no microphone of these carries deep bass"
    assert gain[(frequency > 300) & (frequency < 3000)].std() > 1, "flat would be no degradation"
    assert np.argmax(np.abs(response)) < 40


def test_minimum_phase_keeps_the_magnitude_and_comes_first():
    frequency = np.linspace(0, 1, 513)
    magnitude = 0.1 + np.exp(-8 * (frequency - 0.3) ** 2)
    response = microphones.minimum_phase(magnitude)
    np.testing.assert_allclose(np.abs(np.fft.rfft(response)), magnitude, atol=1e-6)
    zero_phase = np.fft.irfft(magnitude)
    energy = np.cumsum(response**2) / np.sum(response**2)
    assert energy[40] > 0.99
    assert energy[5] > np.cumsum(np.roll(zero_phase, 512) ** 2)[5] / np.sum(zero_phase**2)
