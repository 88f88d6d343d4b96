"""Blocks of samples of any length become overlapping segments, without copying them."""

import numpy as np

from nmfp.segments import HOP_SAMPLES, SEGMENT_SAMPLES, count_segments

# -60 dBFS of int16 full scale, squared: a mean square below it is silence.
SILENT_MEAN_SQUARE = 32768.0**2 * 10 ** (-60 / 10)


class Segmenter:
    """Cuts one recording, fed block by block, into segments of `length` samples every `hop` samples.

    The segments are those of the whole recording at once, whatever the sizes of the blocks; a remainder at
    the end is dropped (specification of segmentation: n = (N - length) // hop + 1).

    Attributes:
        samples: how many have been fed so far.
    """

    def __init__(self, length: int = SEGMENT_SAMPLES, hop: int = HOP_SAMPLES):
        if not 0 < hop <= length:
            raise ValueError(f"hop must lie between 1 and {length} samples, got {hop}")
        self.length, self.hop, self.samples = length, hop, 0
        self._rest = np.zeros(0, np.int16)

    def feed(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Segments that are complete now: a read-only view int16 (n, length), and bool (n,) for silent ones.

        Args:
            block: int16 (samples,), any number of them.
        """
        self.samples += len(block)
        signal = np.concatenate([self._rest, block]) if self._rest.size else block
        n = count_segments(len(signal), self.length, self.hop).n_segments
        self._rest = signal[n * self.hop :].copy()
        if not n:
            return np.zeros((0, self.length), np.int16), np.zeros(0, bool)
        windows = np.lib.stride_tricks.sliding_window_view(signal, self.length)
        return windows[: n * self.hop : self.hop], silent(signal, n, self.length, self.hop)


def silent(signal: np.ndarray, n: int, length: int = SEGMENT_SAMPLES, hop: int = HOP_SAMPLES) -> np.ndarray:
    """Which of the first n segments of int16 (samples,) have an RMS below -60 dBFS: bool (n,).

    Sums of squares are exact integers, so the answer does not depend on how the signal was cut into blocks.
    """
    energy = np.concatenate([[0], np.cumsum(np.square(signal, dtype=np.int64))])
    start = np.arange(n) * hop
    return energy[start + length] - energy[start] < length * SILENT_MEAN_SQUARE
