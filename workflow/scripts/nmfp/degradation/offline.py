"""Noise, room and microphone in NumPy, on recordings of any length; the graph does it to training segments.

Order (specification, section 4): background noise at an SNR, room response, microphone response, each
followed by a peak normalisation. Signals are one-dimensional floats.
"""

import numpy as np
from scipy.signal import oaconvolve

ALL = slice(None)


def unit_rms(signal: np.ndarray, measured: slice = ALL) -> np.ndarray:
    """A signal scaled so that the measured part has an RMS of 1; where that part is silent it stays as it
    is."""
    part = signal[measured]
    rms = np.sqrt(np.mean(np.square(part))) if part.size else 0.0
    return signal / rms if rms > 0 else signal


def normalise_peak(signal: np.ndarray) -> np.ndarray:
    """A signal scaled so that its largest magnitude is 1; silence stays silence."""
    peak = np.max(np.abs(signal), initial=0.0)
    return signal / peak if peak > 0 else signal


def take_noise(recording: np.ndarray, start: int, before: int, samples: int) -> np.ndarray:
    """`samples` of a recording, looped, so that its sample `start` comes after the first `before` of them."""
    return np.take(recording, np.arange(start - before, start - before + samples), mode="wrap")


def add_noise(music: np.ndarray, noise: np.ndarray, snr_db: float, kept: slice = ALL) -> np.ndarray:
    """`10^(SNR/20) * music + noise`, both at unit RMS over the part that is kept; peak 1.

    Args:
        music, noise: (samples,).
        kept: the part that is used in the end, over which the SNR holds.
    """
    return normalise_peak(10 ** (snr_db / 20) * unit_rms(music, kept) + unit_rms(noise, kept))


def apply_response(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Full linear convolution with an impulse response, cut to the signal's length; peak 1."""
    return normalise_peak(oaconvolve(signal, response)[: len(signal)])


def past_samples(*responses: np.ndarray | None) -> int:
    """Samples before a cut that still sound in it after these
    responses: with so much past a part equals the whole."""
    return sum(len(response) - 1 for response in responses if response is not None)


def degrade(
    music: np.ndarray,
    noise: np.ndarray | None = None,
    snr_db: float = 0.0,
    room: np.ndarray | None = None,
    microphone: np.ndarray | None = None,
    kept: slice = ALL,
) -> np.ndarray:
    """The kept part of a degraded recording, peak 1; None switches a degradation off.

    Args:
        music: (samples,): the recording, or a part of it that starts `past_samples` before what is kept.
        noise: (samples,): as long as the music, see `take_noise`.
        room, microphone: impulse responses of any length.
    """
    degraded = music
    if noise is not None:
        degraded = add_noise(degraded, noise, snr_db, kept)
    for response in (room, microphone):
        if response is not None:
            degraded = apply_response(degraded, response)
    return normalise_peak(degraded[kept])
