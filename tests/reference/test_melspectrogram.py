"""The front end against the arrays of the specification, and against essentia where it is installed."""

from pathlib import Path

import numpy as np
import pytest
from nmfp.model.melspectrogram import LogMelSpectrogram, filter_blocks, filterbank

ARRAYS = np.load(Path(__file__).parent / "melspectrogram.npz")


def test_scaled_spectrograms_agree():
    mel = np.asarray(LogMelSpectrogram(f_min=160)(ARRAYS["audio"]))
    assert mel.shape == (8, 256, 33) and mel.dtype == np.float32
    np.testing.assert_allclose(mel, ARRAYS["mel_fmin160_scaled"], atol=5e-4)


def test_decibels_agree():
    mel = np.asarray(LogMelSpectrogram(f_min=300, scale=False)(ARRAYS["audio"]))
    np.testing.assert_allclose(mel, ARRAYS["mel_fmin300_db"], atol=0.05)


def test_int16_is_full_scale_float():
    audio = np.round(np.clip(ARRAYS["audio"], -1, 0.9999) * 32767).astype(np.int16)
    layer = LogMelSpectrogram()
    np.testing.assert_allclose(layer(audio), layer(audio.astype("float32") / 32768), atol=1e-5)


def test_silence_is_constant_one():
    assert (np.asarray(LogMelSpectrogram()(np.zeros((2, 8000), np.int16))) == 1).all()


def test_filters_have_unit_area_and_blocks_lose_nothing():
    # drawn finely, a triangle of unit area sums to one over the bin width
    bank = filterbank(160, 4000, 256)
    wide = bank[:, 200:].sum(axis=0) * 8000 / 1024
    np.testing.assert_allclose(wide, 1, atol=0.06)
    whole = np.zeros_like(bank)
    for i, (start, stop, weights) in enumerate(filter_blocks(bank, 32)):
        whole[start:stop, 32 * i : 32 * (i + 1)] = weights
    np.testing.assert_allclose(whole, bank, atol=1e-7)


def test_essentia_agrees():
    essentia = pytest.importorskip("essentia.standard")
    audio = np.random.default_rng(5).normal(0, 0.1, 8000).astype("float32")
    window = essentia.Windowing(type="hann", normalized=False, symmetric=False, zeroPhase=False, size=1024)
    spectrum = essentia.Spectrum(size=1024)
    bands = essentia.MelBands(
        inputSize=513, numberBands=256, sampleRate=8000, lowFrequencyBound=160, highFrequencyBound=4000, type="magnitude",
        warpingFormula="slaneyMel", weighting="linear", normalize="unit_tri",
    )  # fmt: skip
    padded = np.concatenate([np.zeros(512, "float32"), audio, np.zeros(704, "float32")])
    mel = np.stack([bands(spectrum(window(padded[256 * i : 256 * i + 1024]))) for i in range(33)], axis=1)
    decibels = 20 * np.log10(np.maximum(mel, 1e-5))
    expected = 1 + np.maximum(decibels - decibels.max(), -80) / 40
    np.testing.assert_allclose(np.asarray(LogMelSpectrogram()(audio[None]))[0], expected, atol=5e-4)
