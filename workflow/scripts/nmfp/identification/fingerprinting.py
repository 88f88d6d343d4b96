"""Audio files become fingerprints in this process, as a stream: for a few queries a process of its own is too slow."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nmfp.audio.wav import AudioError, TruncatedAudio, stream
from nmfp.extraction.segmenting import Segmenter
from nmfp.segments import SAMPLE_RATE, SEGMENT_SAMPLES


def fingerprint_blocks(
    blocks: Iterable[np.ndarray], engine: Callable[[], object]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Fingerprints of a stream of samples, as soon as they can be had.

    Args:
        blocks: int16 (n,) at 8 kHz, any sizes.
        engine: function that returns the engine; first called when there are segments to compute.

    Yields:
        float32 (m, d) and bool (m,) for silent ones, in order.
    """
    segmenter = Segmenter()
    for block in blocks:
        segments, silent = segmenter.feed(block)
        if len(segments):
            yield engine()(segments), silent


def too_short(path: str | Path | BinaryIO, samples: int) -> AudioError:
    """The error that says so of a recording with fewer samples than a segment."""
    return AudioError(path, f"too short, {samples / SAMPLE_RATE:.2f} s; a second at least is needed")


def fingerprint_file(path: str | Path, engine: Callable[[], object]) -> tuple[np.ndarray, np.ndarray, int]:
    """All fingerprints of a recording: float32 (m, d), bool (m,), and its length in samples at 8 kHz.

    What a truncated file holds is used.

    Raises:
        AudioError: not audio, or shorter than one segment.
    """
    vectors, silent, samples = [], [], 0

    def counted():
        nonlocal samples
        try:
            for block in stream(path):
                samples += len(block)
                yield block
        except TruncatedAudio:
            if samples < SEGMENT_SAMPLES:
                raise

    for v, s in fingerprint_blocks(counted(), engine):
        vectors.append(v)
        silent.append(s)
    if not vectors:
        raise too_short(path, samples)
    return np.concatenate(vectors), np.concatenate(silent), samples
