"""Noise, room and microphone in NumPy, on recordings of any length; the graph does it to training segments.

Order (specification, section 4): background noise at an SNR, room response, microphone response, each
followed by a peak normalisation. Signals are one-dimensional floats.
"""

from typing import NamedTuple

import numpy as np
from scipy.signal import oaconvolve

ALL = slice(None)


class Levels(NamedTuple):
    """RMS of the music and of the noise between which an SNR holds, full scale 1."""

    music: float
    noise: float


def rms(signal: np.ndarray) -> float:
    """Root of the mean square, 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(signal)))) if signal.size else 0.0


def looped_rms(recording: np.ndarray, start: int, before: int, samples: int) -> float:
    """RMS of what `take_noise` gives for these arguments, in time and memory of one turn of the recording."""
    squares = np.square(recording)
    turns, rest = divmod(samples, len(recording))
    part = np.take(squares, np.arange(start - before, start - before + rest), mode="wrap")
    return float(np.sqrt((turns * squares.sum() + part.sum()) / samples))


def normalise_peak(signal: np.ndarray) -> np.ndarray:
    """A signal scaled so that its largest magnitude is 1; silence stays silence."""
    peak = np.max(np.abs(signal), initial=0.0)
    return signal / peak if peak > 0 else signal


def take_noise(recording: np.ndarray, start: int, before: int, samples: int) -> np.ndarray:
    """`samples` of a recording, looped, so that its sample `start` comes after the first `before` of them."""
    return np.take(recording, np.arange(start - before, start - before + samples), mode="wrap")


def add_noise(
    music: np.ndarray, noise: np.ndarray, snr_db: float, kept: slice = ALL, levels: Levels | None = None
) -> np.ndarray:
    """`10^(SNR/20) * music + noise`, both divided by their levels (silence stays silence); peak 1.

    Args:
        music, noise: (samples,).
        kept: the part that is used in the end.
        levels: None for those of the part that is kept, over which the SNR then holds.
    """
    levels = levels or Levels(rms(music[kept]), rms(noise[kept]))
    return normalise_peak(10 ** (snr_db / 20) * music / (levels.music or 1) + noise / (levels.noise or 1))


def apply_response(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Full linear convolution with an impulse response, cut to the signal's length; peak 1."""
    return normalise_peak(oaconvolve(signal, response)[: len(signal)])


def reverberation_samples(*responses: np.ndarray | None) -> int:
    """Samples before a cut that still sound in it after these responses: with so much past a part equals the whole."""
    return sum(len(response) - 1 for response in responses if response is not None)


def degrade(
    music: np.ndarray,
    noise: np.ndarray | None = None,
    snr_db: float = 0.0,
    room: np.ndarray | None = None,
    microphone: np.ndarray | None = None,
    kept: slice = ALL,
    levels: Levels | None = None,
) -> np.ndarray:
    """The kept part of a degraded recording, peak 1; None switches a degradation off.

    Args:
        music: (samples,): the recording, or a part of it that starts `reverberation_samples` before what is kept.
        noise: (samples,): as long as the music, see `take_noise`.
        room, microphone: impulse responses of any length.
        levels: see `add_noise`.
    """
    degraded = music
    if noise is not None:
        degraded = add_noise(degraded, noise, snr_db, kept, levels)
    for response in (room, microphone):
        if response is not None:
            degraded = apply_response(degraded, response)
    return normalise_peak(degraded[kept])
