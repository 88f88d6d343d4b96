"""Noise, rooms and microphones in the compiled graph: the mathematics of `degradation.offline`, batched, in float32.

Peak normalisation in between only scales what the next step scales again, so it is done
once, at the end. Responses come as spectra computed once, so a convolution costs one
forward and one inverse FFT. Only the last `SEGMENT_SAMPLES` samples are kept: the
transform may be as short as lets the wrapped end fall on what is dropped.
"""

import keras
import numpy as np
from keras import ops
from scipy.fft import next_fast_len

from nmfp.model.melspectrogram import FULL_SCALE
from nmfp.segments import SEGMENT_SAMPLES


def fft_size(past: int, longest: int) -> int:
    """Shortest good circular transform for signals of past + segment samples, keeping the last segment.

    The linear convolution with a response of `longest` samples is past + segment + longest - 1 samples long;
    what lies beyond the transform wraps to its beginning and must not reach the segment, which starts at
    `past`. Sizes are even products of 2, 3 and 5, for which transforms are fast.
    """
    return 2 * next_fast_len(-(-max(SEGMENT_SAMPLES + past, SEGMENT_SAMPLES + longest - 1) // 2), real=True)


def response_spectra(audio: np.ndarray, starts: np.ndarray, samples: np.ndarray, past: int) -> np.ndarray:
    """Spectra of impulse responses cut to past + segment samples.

    Args:
        audio: int16, responses one after another.
        starts, samples: where each begins and how long it is.
        past: samples of past context.

    Returns:
        float32 (responses, 2, fft_size // 2 + 1): real and imaginary parts. Scale is arbitrary (peak 1 in time).
    """
    lengths = np.minimum(samples, SEGMENT_SAMPLES + past)
    size = fft_size(past, int(lengths.max()))
    spectra = np.empty((len(starts), 2, size // 2 + 1), "float32")
    for i, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        response = np.asarray(audio[start : start + length], float)
        spectrum = np.fft.rfft(response / max(np.abs(response).max(initial=0), 1), size)
        spectra[i] = spectrum.real, spectrum.imag
    return spectra


def to_float(audio):
    """int16 -> float32 in [-1, 1)."""
    return ops.cast(audio, "float32") * (1 / FULL_SCALE)


def _inverse_rms(signal):
    """1 / RMS over the last segment, (B, 1); 1 where that is silent, so that silence stays silence."""
    power = ops.mean(ops.square(signal[:, -SEGMENT_SAMPLES:]), axis=1, keepdims=True)
    return ops.where(power > 0, ops.rsqrt(ops.maximum(power, 1e-30)), 1.0)


def add_noise(music, noise, snr_db):
    """10^(SNR/20) music + noise, both at unit RMS over the part that is kept.

    Args:
        music, noise: float32 (B, past + 8000).
        snr_db: float32 (B,).
    """
    gain = ops.expand_dims(ops.exp(snr_db * (np.log(10) / 20)), 1)
    return music * (gain * _inverse_rms(music)) + noise * _inverse_rms(noise)


def convolve(signal, spectra):
    """Linear convolution of (B, past + 8000) with responses given as spectra (B, 2, bins); the last 8000 samples."""
    size = 2 * (spectra.shape[-1] - 1)
    past = signal.shape[1] - SEGMENT_SAMPLES
    real, imaginary = ops.rfft(signal, size)
    a, b = spectra[:, 0], spectra[:, 1]
    convolved = ops.irfft((real * a - imaginary * b, real * b + imaginary * a), size)
    return convolved[:, past : past + SEGMENT_SAMPLES]


def peak_normalize(signal):
    """(B, n) with largest magnitude 1; silence stays silence."""
    peak = ops.max(ops.abs(signal), axis=1, keepdims=True)
    return signal * ops.where(peak > 0, 1 / ops.maximum(peak, 1e-30), 0.0)


class Degrader(keras.layers.Layer):
    """Positives made bad: noise, then room, then microphone, each where it is switched on.

    Args:
        room, microphone: tables of spectra from `response_spectra`, or None where that degradation is off.
        noise: whether background noise is on.

    Call with a dictionary of music and noise int16 (B, past + 8000), missing int32 (B,): how many samples
    at the beginning lie before the chunk and are taken as zeros in both, snr_db float32 (B,), room and
    microphone int32 (B,): rows of the tables. Returns float32 (B, 8000), peak 1 where anything is on.
    """

    def __init__(self, noise: bool, room: np.ndarray | None, microphone: np.ndarray | None, **kwargs):
        super().__init__(autocast=False, trainable=False, dtype="float32", **kwargs)
        self.noise = noise
        self.tables = {}
        for name, table in (("room", room), ("microphone", microphone)):
            if table is not None:
                self.tables[name] = self.add_weight(
                    table.shape, "zeros", trainable=False, name=f"{name}_spectra"
                )
                self.tables[name].assign(table)
        self.built = True

    def call(self, x):
        """Degraded segments float32 (B, 8000) of a batch `x`."""
        past = x["music"].shape[1] - SEGMENT_SAMPLES
        signal = to_float(x["music"])
        real = None
        if past:
            real = ops.cast(ops.arange(past + SEGMENT_SAMPLES) >= ops.expand_dims(x["missing"], 1), "float32")
            signal = signal * real
        if self.noise:
            noise = to_float(x["noise"])
            signal = add_noise(signal, noise if real is None else noise * real, x["snr_db"])
        if "room" in self.tables:
            signal = convolve(signal, ops.take(self.tables["room"], x["room"], axis=0))
        else:
            signal = signal[:, past:]
        if "microphone" in self.tables:
            signal = convolve(signal, ops.take(self.tables["microphone"], x["microphone"], axis=0))
        return ops.stop_gradient(peak_normalize(signal) if self.noise or self.tables else signal)
