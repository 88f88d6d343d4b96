"""Everything random about a step, drawn on the host from (seed, epoch, step): two runs, any threads, a
resumed run agree."""

from typing import NamedTuple

import numpy as np

from nmfp.files import generator
from nmfp.segments import HOP_SAMPLES, seconds_to_samples
from nmfp.training.data import Recordings
from nmfp.training.masking import draw_mask
from nmfp.training.sampling import Grid


class Step(NamedTuple):
    """What one step uses. N anchors, M = N x positives rows of positives, anchor by anchor.

    chunk, anchor_start: int64 (N,). positive_chunk, positive_start: int64 (M,), samples in the chunk. noise,
    noise_start, room, microphone: int64 (M,), recording and first sample in it. snr_db: float32 (M,). keep,
    fill: float32 (n_mels, 33).
    """

    chunk: np.ndarray
    anchor_start: np.ndarray
    positive_chunk: np.ndarray
    positive_start: np.ndarray
    noise: np.ndarray
    noise_start: np.ndarray
    snr_db: np.ndarray
    room: np.ndarray
    microphone: np.ndarray
    keep: np.ndarray
    fill: np.ndarray


def past_samples(model: dict) -> int:
    """Samples of past context that come with every positive."""
    return seconds_to_samples(model["degradation"]["past_context_seconds"])


def _near(rng: np.random.Generator, place: np.ndarray, shift: int, last: np.ndarray) -> np.ndarray:
    """Starts uniform within `shift` samples of `place`, inside [0, last]."""
    return rng.integers(np.maximum(place - shift, 0), np.minimum(place + shift, last) + 1)


def draw_batch_degradations(
    rng: np.random.Generator, n: int, degradation: dict, recordings: dict[str, Recordings], window: int
) -> dict[str, np.ndarray]:
    """Draw noise, noise_start, snr_db, room and microphone for n segments; zeros where a degradation is
    off."""
    zeros = np.zeros(n, np.int64)
    drawn = {name: zeros for name in ("noise", "noise_start", "room", "microphone")}
    drawn["snr_db"] = rng.uniform(*degradation["snr_db"], n).astype("float32")
    for name, kind in recordings.items():
        drawn[name] = rng.integers(0, len(kind.starts), n)
    if "noise" in recordings:
        samples = recordings["noise"].samples[drawn["noise"]]
        # a recording shorter than the window is repeated and may start anywhere
        drawn["noise_start"] = rng.integers(0, np.where(samples >= window, samples - window + 1, samples))
    return drawn


def draw_step(
    seed: int,
    epoch: int,
    step: int,
    rows: np.ndarray,
    grid: Grid,
    model: dict,
    recordings: dict[str, Recordings],
    window: int,
) -> Step:
    """Draw a step.

    Args:
        seed, epoch, step: key of the draw.
        rows: int (N,), the anchors' rows of `grid`.
        grid: segments of the training chunks.
        model: resolved model configuration.
        recordings: degradations that are on.
        window: samples of noise that a positive needs.
    """
    rng = generator(seed, "step", epoch, step)
    shift = seconds_to_samples(model["batch"]["max_shift_seconds"])
    positives = model["batch"]["positives"]
    last = grid.last_start[rows]
    anchor = _near(rng, grid.segment[rows] * HOP_SAMPLES, shift, last)
    positive = _near(rng, np.repeat(anchor, positives), shift, np.repeat(last, positives))
    drawn = draw_batch_degradations(rng, len(positive), model["degradation"], recordings, window)
    front_end = model["front_end"]
    floor = -1.0 if front_end["scale"] else -front_end["dynamic_range_db"]
    keep, fill = draw_mask(rng, model["masking"], (front_end["n_mels"], 33), floor)
    chunk = grid.chunk[rows]
    return Step(chunk, anchor, np.repeat(chunk, positives), positive, **drawn, keep=keep, fill=fill)
