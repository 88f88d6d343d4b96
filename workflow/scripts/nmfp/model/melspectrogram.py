"""Log-mel spectrogram of one-second segments, in batches and inside the compiled graph.

A segment becomes 33 frames of 1,024 samples every 256, the first centred on its first sample; periodic Hann
window, magnitude spectrum, triangular filters of unit area on the Slaney mel scale, decibels below the
segment's maximum, scaled to [-1, 1]. Essentia's FrameGenerator/Windowing/Spectrum/MelBands computes the same
frame by frame.
"""

import math

import keras
import numpy as np
from keras import ops

from nmfp.segments import SAMPLE_RATE, SEGMENT_SAMPLES

WINDOW_SAMPLES = 1024
FRAME_HOP_SAMPLES = 256
FRAMES = 1 + math.ceil(SEGMENT_SAMPLES / FRAME_HOP_SAMPLES)
FLOOR = 1e-5
FULL_SCALE = 32768.0

# Filters are products of small dense blocks: a block of neighbouring filters touches few frequency bins.
_FILTERS_PER_BLOCK = 32


def hz_to_mel(hz: np.ndarray | float) -> np.ndarray:
    """Slaney's mel scale: linear below 1 kHz (200/3 Hz a mel), logarithmic above (27 mels for a factor of 6.4)."""
    hz = np.asarray(hz, float)
    return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))


def mel_to_hz(mel: np.ndarray | float) -> np.ndarray:
    """Inverse of `hz_to_mel`."""
    mel = np.asarray(mel, float)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((np.maximum(mel, 15) - 15) * np.log(6.4) / 27))


def filterbank(f_min: float, f_max: float, n_mels: int) -> np.ndarray:
    """Triangular filters of unit area.

    Args:
        f_min, f_max: lower edge of the first filter and upper edge of the last, Hz.
        n_mels: number of filters.

    Returns:
        float64 (513, n_mels): weight of each FFT bin in each filter; height 2 / (right - left) with edges in Hz.
    """
    edges = mel_to_hz(np.linspace(hz_to_mel(f_min), hz_to_mel(f_max), n_mels + 2))
    bins = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / SAMPLE_RATE)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    triangle = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    return np.maximum(triangle, 0) * 2 / (right - left)


def filter_blocks(bank: np.ndarray, size: int = _FILTERS_PER_BLOCK) -> list[tuple[int, int, np.ndarray]]:
    """Cut a filterbank (bins, filters) into blocks (first bin, end bin, weights of those bins in `size` filters)."""
    blocks = []
    for first in range(0, bank.shape[1], size):
        weights = bank[:, first : first + size]
        used = np.flatnonzero(weights.any(axis=1))
        start, stop = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
        blocks.append((start, stop, weights[start:stop].astype("float32")))
    return blocks


class LogMelSpectrogram(keras.layers.Layer):
    """Segments (B, 8000), int16 or float in [-1, 1] -> log-mel spectrograms float32 (B, n_mels, 33).

    Args:
        f_min, f_max: frequency range of the filters, Hz.
        n_mels: number of filters.
        dynamic_range_db: floor below the segment's maximum.
        scale: map [-dynamic_range_db, 0] dB to [-1, 1]; otherwise decibels come out.

    Always computes in float32 whatever the precision of the network: 80 dB do not fit half precision. No
    gradient passes: nothing before it is learnt.
    """

    def __init__(self, f_min=160.0, f_max=4000.0, n_mels=256, dynamic_range_db=80.0, scale=True, **kwargs):
        kwargs.setdefault("dtype", "float32")
        kwargs.setdefault("trainable", False)
        super().__init__(autocast=False, **kwargs)
        self.settings = {
            "f_min": f_min,
            "f_max": f_max,
            "n_mels": n_mels,
            "dynamic_range_db": dynamic_range_db,
            "scale": scale,
        }
        self.n_mels, self.dynamic_range_db, self.scale = n_mels, float(dynamic_range_db), bool(scale)
        self.blocks = filter_blocks(filterbank(f_min, f_max, n_mels))
        self.window = np.hanning(WINDOW_SAMPLES + 1)[:-1].astype("float32")

    def get_config(self):
        """Settings for serialisation."""
        return {**super().get_config(), **self.settings}

    def compute_output_spec(self, audio):
        """Shape and type without tracing the FFT."""
        return keras.KerasTensor((audio.shape[0], self.n_mels, FRAMES), "float32")

    def call(self, audio):
        """Log-mel spectrograms of a batch of segments."""
        if keras.backend.standardize_dtype(audio.dtype) == "int16":
            audio = ops.cast(audio, "float32") * (1 / FULL_SCALE)
        # a frame is four hops side by side, so framing is four shifted views of (B, 36, 256)
        left = WINDOW_SAMPLES // 2
        right = (FRAMES - 1) * FRAME_HOP_SAMPLES + WINDOW_SAMPLES - left - SEGMENT_SAMPLES
        hops = ops.reshape(ops.pad(audio, [[0, 0], [left, right]]), (-1, FRAMES + 3, FRAME_HOP_SAMPLES))
        frames = ops.concatenate([hops[:, i : i + FRAMES] for i in range(4)], axis=-1) * self.window
        real, imaginary = ops.rfft(frames)
        magnitude = ops.sqrt(real * real + imaginary * imaginary)
        mel = ops.concatenate([ops.matmul(magnitude[..., a:b], w) for a, b, w in self.blocks], axis=-1)
        mel = ops.log(ops.maximum(mel, FLOOR)) * (20 / math.log(10))
        mel = ops.maximum(mel - ops.max(mel, axis=(1, 2), keepdims=True), -self.dynamic_range_db)
        if self.scale:
            mel = 1 + mel * (2 / self.dynamic_range_db)
        return ops.stop_gradient(ops.transpose(mel, (0, 2, 1)))
