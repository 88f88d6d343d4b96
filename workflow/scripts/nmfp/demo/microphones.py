"""Microphone responses: a magnitude drawn as engineers would describe it, made causal as minimum phase."""

from typing import NamedTuple

import numpy as np

SAMPLE_RATE = 8000
_FFT = 4096


class Kind(NamedTuple):
    """Ranges of a kind: cut-off frequencies in Hz, slopes and tilt in dB an octave, resonances in dB."""

    low: tuple[float, float]
    low_slope: tuple[float, float]
    high: tuple[float, float]
    high_slope: tuple[float, float]
    resonances: int
    gain_db: tuple[float, float]
    tilt_db: tuple[float, float]
    echo: float = 0.0


_TELEPHONE = Kind((260, 400), (18, 36), (2800, 3400), (24, 60), 3, (-4, 8), (-1, 3))
_LAPTOP = Kind((150, 350), (6, 12), (3200, 3900), (6, 18), 4, (-6, 10), (0, 3), 0.5)
_HEADSET = Kind((120, 280), (6, 18), (2600, 3800), (12, 24), 3, (-5, 9), (-2, 3))
_POCKET = Kind((60, 150), (6, 12), (900, 1900), (6, 14), 2, (-6, 6), (-3, 0))
_CARBON = Kind((350, 600), (12, 24), (2200, 3000), (18, 36), 3, (0, 14), (0, 3))
_TABLE = Kind((80, 200), (6, 12), (3300, 3900), (6, 12), 3, (-4, 6), (-1, 1), 0.8)
_CAMERA = Kind((100, 220), (12, 18), (3000, 3900), (6, 18), 4, (-8, 8), (-1, 3), 0.3)
_INTERCOM = Kind((300, 500), (12, 30), (2500, 3300), (18, 48), 4, (-3, 12), (-2, 4))

KINDS = {
    "train": (_TELEPHONE, _LAPTOP, _HEADSET, _POCKET, _CARBON, _TABLE),
    "test": (_HEADSET, _CAMERA, _TELEPHONE, _LAPTOP, _INTERCOM, _TABLE, _POCKET),
}


def minimum_phase(magnitude: np.ndarray) -> np.ndarray:
    """Impulse response (n,) of minimum phase with this magnitude (n // 2 + 1,), by folding the real cepstrum.

    Source: Oppenheim and Schafer, Discrete-Time Signal Processing, section on the complex cepstrum.
    """
    n = 2 * (len(magnitude) - 1)
    cepstrum = np.fft.irfft(np.log(np.maximum(magnitude, 1e-5)), n)
    fold = np.zeros(n)
    fold[0] = fold[n // 2] = 1
    fold[1 : n // 2] = 2
    return np.fft.irfft(np.exp(np.fft.rfft(cepstrum * fold)), n)


def microphone_response(rng: np.random.Generator, role: str, place: int) -> np.ndarray:
    """Response number `place` of a role: float32 (samples,) of 20 to 60 ms, peak 0.95."""
    kind = KINDS[role][place % len(KINDS[role])]
    frequency = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE)
    octaves = np.log2(np.maximum(frequency, 20) / 1000)
    # Butterworth slopes: 6 dB an octave for each order
    low, high = rng.uniform(*kind.low), rng.uniform(*kind.high)
    low_order, high_order = rng.uniform(*kind.low_slope) / 6, rng.uniform(*kind.high_slope) / 6
    gain_db = -10 * np.log10(1 + (low / np.maximum(frequency, 1)) ** (2 * low_order))
    gain_db -= 10 * np.log10(1 + (frequency / high) ** (2 * high_order))
    gain_db += rng.uniform(*kind.tilt_db) * octaves
    for _ in range(kind.resonances):
        centre, width = rng.uniform(np.log2(low / 1000), np.log2(high / 1000)), rng.uniform(0.06, 0.4)
        gain_db += rng.uniform(*kind.gain_db) * np.exp(-0.5 * ((octaves - centre) / width) ** 2)
    gain_db += 0.7 * np.interp(octaves, np.linspace(-6, 2, 60), rng.standard_normal(60))
    response = minimum_phase(10 ** (np.maximum(gain_db, -60) / 20))
    if kind.echo:
        # the table or the lid throws the sound back once: a comb
        delayed = np.roll(response, round(rng.uniform(0.0003, 0.0018) * SAMPLE_RATE))
        response = response + kind.echo * rng.uniform(0.4, 1.0) * delayed
    samples = round(rng.uniform(0.02, 0.06) * SAMPLE_RATE)
    response = response[:samples] * np.minimum(1, np.linspace(5, 0, samples))
    return (0.95 * response / np.abs(response).max()).astype(np.float32)
