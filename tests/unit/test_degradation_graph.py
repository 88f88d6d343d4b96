"""Degradation in the graph equals degradation in NumPy, and the convolution equals the reference."""

from pathlib import Path

import numpy as np
import pytest
from nmfp.degradation import graph, offline

REFERENCE = np.load(Path(__file__).parents[1] / "reference/convolution.npz")
RNG = np.random.default_rng(11)


def int16(*shape):
    return RNG.integers(-20_000, 20_000, shape).astype(np.int16)


def packed(lengths):
    parts = [(int16(n) * np.exp(-6 * np.arange(n) / n)).astype(np.int16) for n in lengths]
    starts = np.cumsum([0, *lengths[:-1]])
    return np.concatenate(parts), starts, np.array(lengths), parts


def test_reference_convolution():
    responses = np.round(REFERENCE["impulse_response"] * 10_000).astype(np.int16)
    flat, starts = responses.reshape(-1), np.arange(3) * 4000
    spectra = graph.response_spectra(flat, starts, np.full(3, 4000), past=8000)
    signal = REFERENCE["signal"]
    # the graph keeps the last second: compare it at its own peak
    result = np.asarray(graph.peak_normalize(graph.convolve(signal, spectra)))
    kept = REFERENCE["degraded"][:, 8000:]
    np.testing.assert_allclose(result, kept / np.abs(kept).max(axis=1, keepdims=True), atol=2e-4)


@pytest.mark.parametrize("past", [0, 2000, 8000, 12_000])
@pytest.mark.parametrize("on", ["noise room microphone", "noise", "room", "microphone", "noise room", ""])
def test_equals_offline(past, on):
    n, window, on = 4, past + 8000, on.split()
    music, noise = int16(n, window), int16(n, window)
    missing = np.array([0, past, past // 2, 0], np.int32)
    rooms, room_starts, room_samples, room_parts = packed([500, 30_000, 7_000])
    microphones, microphone_starts, microphone_samples, microphone_parts = packed([200, 9_000])
    drawn = {
        "snr_db": RNG.uniform(0, 10, n).astype("float32"),
        "room": np.array([0, 1, 2, 1], np.int32),
        "microphone": np.array([1, 0, 1, 0], np.int32),
    }
    degrader = graph.Degrader(
        "noise" in on,
        graph.response_spectra(rooms, room_starts, room_samples, past) if "room" in on else None,
        graph.response_spectra(microphones, microphone_starts, microphone_samples, 0)
        if "microphone" in on
        else None,
    )
    result = np.asarray(degrader({"music": music, "noise": noise, "missing": missing, **drawn}))
    kept = slice(-8000, None)
    for i in range(n):
        signal = music[i, missing[i] :] / 32768
        if "noise" in on:
            signal = offline.add_noise(signal, noise[i, missing[i] :] / 32768, drawn["snr_db"][i], kept)
        if "room" in on:
            signal = offline.apply_response(signal, room_parts[drawn["room"][i]][:window].astype(float))
        signal = signal[kept]
        if "microphone" in on:
            response = microphone_parts[drawn["microphone"][i]][:8000].astype(float)
            signal = offline.apply_response(signal, response)
        expected = offline.normalise_peak(signal) if on else signal
        np.testing.assert_allclose(result[i], expected, atol=1e-4)


@pytest.mark.parametrize("snr_db", [0.0, 10.0])
def test_snr_holds_over_the_kept_part_even_after_a_loud_past(snr_db):
    music, noise = int16(1, 16_000), int16(1, 16_000)
    music[:, 8000:] //= 50
    x = {"music": music, "missing": np.zeros(1, np.int32), "snr_db": np.float32([snr_db])}
    degrader = graph.Degrader(True, None, None)
    mixed = np.asarray(degrader(x | {"noise": noise}))[0]
    music_part, noise_part = (
        a[0, 8000:] / np.sqrt(np.mean(np.square(a[0, 8000:], dtype=float))) for a in (music, noise)
    )
    gains = np.linalg.lstsq(np.stack([music_part, noise_part], axis=1), mixed, rcond=None)[0]
    assert 20 * np.log10(gains[0] / gains[1]) == pytest.approx(snr_db, abs=0.01)


def test_silence_stays_silence():
    zeros, noise = np.zeros((1, 8000), np.int16), int16(1, 8000)
    x = {"missing": np.zeros(1, np.int32), "snr_db": np.float32([5])}
    degrader = graph.Degrader(True, None, None)
    np.testing.assert_array_equal(degrader(x | {"music": zeros, "noise": zeros}), 0)
    np.testing.assert_allclose(
        np.asarray(degrader(x | {"music": zeros, "noise": noise}))[0],
        noise[0] / np.abs(noise).max(),
        atol=1e-5,
    )


@pytest.mark.parametrize("past", [0, 800, 8000, 20_000])
@pytest.mark.parametrize("longest", [1, 800, 7_999, 8000, 16_000, 28_000])
def test_transform_is_long_enough_and_even(past, longest):
    """Nothing of the convolution with the longest response wraps into the segment."""
    size = graph.fft_size(past, longest)
    wrapped_end = past + 8000 + longest - 1 - size
    assert wrapped_end <= past and size >= past + 8000 and size % 2 == 0
