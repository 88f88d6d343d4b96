"""Packed audio in the accelerator's memory, so that only the places of windows travel to it.

Windows are cut in the graph from blocks: a gather of whole blocks and a shift inside
them, so that indices stay small (10,000 chunks of 30 s are more samples than 32 bits
count). They are the same windows that `batches` cuts on the host.
"""

import keras
import numpy as np
from keras import ops

from nmfp.training.data import Recordings

BLOCK = 4000
# Share of the accelerator's memory that audio may take where the configuration says auto.
_SHARE = 0.4


class Places:
    """One-dimensional audio with silence before it, and where windows lie in it.

    Args:
        audio: int16 (samples,).
        window: length of the windows, samples; they may begin that much before the first sample.
    """

    def __init__(self, audio: np.ndarray, window: int):
        self.audio, self.window = audio, window
        self.before = -(-window // BLOCK) * BLOCK
        self.per_window = -(-window // BLOCK) + 1
        self.blocks = (self.before + len(audio)) // BLOCK + self.per_window

    def __call__(self, starts: np.ndarray) -> np.ndarray:
        """Start samples int64 (n,) -> int32 (n, 2): first block and offset in it."""
        return np.stack(np.divmod(starts + self.before, BLOCK), axis=1).astype(np.int32)

    def fill(self, shape, dtype=None) -> np.ndarray:
        """The blocks int16 (blocks, BLOCK), in the form of a Keras initialiser."""
        table = np.zeros(shape, np.int16)
        table.reshape(-1)[self.before : self.before + len(self.audio)] = self.audio
        return table


def repeat_short(recordings: Recordings, window: int) -> Recordings:
    """Recordings of which every window that may be drawn is one run of samples: the short ones repeated."""
    parts = []
    for start, samples in zip(recordings.starts, recordings.samples, strict=True):
        part = recordings.audio[start : start + samples]
        parts.append(part if samples >= window else np.resize(part, samples + window))
    lengths = [len(part) for part in parts]
    return Recordings(np.concatenate(parts), np.cumsum([0, *lengths[:-1]]), np.array(lengths))


class DeviceAudio(keras.layers.Layer):
    """Audio on the device: places int32 (n, 2) -> windows int16 (n, window).

    Call with the places from `Places` of the same audio and the length wanted, at most its window.
    """

    def __init__(self, places: Places, **kwargs):
        super().__init__(autocast=False, trainable=False, **kwargs)
        self.per_window = places.per_window
        self.table = self.add_weight(
            (places.blocks, BLOCK), places.fill, dtype="int16", trainable=False, name="audio"
        )
        self.built = True

    def call(self, places, length):
        """Windows int16 (n, length) at `places` int32 (n, 2)."""
        rows = ops.expand_dims(places[:, 0], 1) + ops.arange(self.per_window, dtype="int32")
        runs = ops.reshape(ops.take(self.table, rows, axis=0), (-1, self.per_window * BLOCK))
        inside = ops.expand_dims(places[:, 1], 1) + ops.arange(length, dtype="int32")
        return ops.take_along_axis(runs, inside, axis=1)


def fits_on_device(audio_bytes: int) -> bool:
    """Whether the Keras backend's accelerator has room for so much audio; False without one, and on TensorFlow.

    TensorFlow gathers 16-bit integers on the host, so nothing would be won there.
    """
    if keras.backend.backend() != "jax":
        return False
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return False
    limit = (device.memory_stats() or {}).get("bytes_limit", 0)
    return audio_bytes < _SHARE * limit
