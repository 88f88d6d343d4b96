"""Seconds become samples here, once; everything after is integer arithmetic (rounding seconds later moves segments)."""

from typing import NamedTuple

SAMPLE_RATE = 8000
SEGMENT_SAMPLES = 8000
HOP_SAMPLES = 4000


class Segmentation(NamedTuple):
    """How many segments a recording holds and how many samples the last hop leaves over."""

    n_segments: int
    remainder: int


def seconds_to_samples(seconds: float, sample_rate: int = SAMPLE_RATE) -> int:
    """Nearest whole number of samples."""
    return int(round(seconds * sample_rate))


def count_segments(
    samples: int, length: int = SEGMENT_SAMPLES, hop: int = HOP_SAMPLES, discard_remainder: bool = True
) -> Segmentation:
    """Segments of `length` samples every `hop` samples in a recording of `samples` samples.

    A remainder is dropped for databases and queries; training chunks keep it, zero-padded, as one more segment.
    A recording shorter than one segment holds none (or one padded one).
    """
    if samples < length:
        n, remainder = 0, samples
    else:
        n, remainder = 1 + (samples - length) // hop, (samples - length) % hop
    if not discard_remainder and remainder:
        n += 1
    return Segmentation(n, remainder)


def true_row(start_sample: int, hop: int = HOP_SAMPLES) -> int:
    """The database row nearest to a cut that starts at any sample (halves go up)."""
    return (2 * start_sample + hop) // (2 * hop)
