"""Spectrogram masking: one mask for the whole batch, drawn on the host, applied in the graph.

Cutout is a rectangle centred anywhere with sides between 1/10 and 1/2.5 of each axis; horizontal a band of
5 to 19 mel bins; vertical 5 to 15 frames (Chang et al. 2021, after SpecAugment and Cutout).
"""

import numpy as np

CUTOUT_SIDES = (1 / 10, 1 / 2.5)
HORIZONTAL_BINS = (5, 19)
VERTICAL_FRAMES = (5, 15)


def draw_mask(
    rng: np.random.Generator, masking: dict, shape: tuple[int, int], floor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the mask of one step.

    Args:
        rng: generator of the step.
        masking: section of a model configuration: cutout, horizontal, vertical, masks (how many of each), probability,
            fill.
        shape: mel bins and frames of a spectrogram.
        floor: smallest value a spectrogram can hold, for fill "min".

    Returns:
        keep float32 `shape`, 0 where masked; fill float32 `shape`, 0 where kept.
    """
    masked = np.zeros(shape, bool)
    if rng.random() < masking["probability"]:
        for _ in range(masking["masks"]):
            if masking["cutout"]:
                masked[_cutout(rng, shape[0]), _cutout(rng, shape[1])] = True
            if masking["horizontal"]:
                masked[_band(rng, shape[0], HORIZONTAL_BINS)] = True
            if masking["vertical"]:
                masked[:, _band(rng, shape[1], VERTICAL_FRAMES)] = True
    fill = masking["fill"]
    if isinstance(fill, list) or fill == "random":
        low, high = fill if isinstance(fill, list) else (-1.0, 1.0)
        values = rng.uniform(low, high, masked.shape).astype("float32")
    else:
        values = np.float32({"zeros": 0.0, "min": floor}[fill])
    return (~masked).astype("float32"), np.where(masked, values, np.float32(0))


def apply_mask(mel, keep, fill):
    """Spectrograms (B, n_mels, 33) with the masked part replaced."""
    return mel * keep + fill


def _cutout(rng: np.random.Generator, size: int) -> slice:
    """One side of the rectangle: it may hang over the edge, where it is cut."""
    length = rng.uniform(*CUTOUT_SIDES) * size
    start = rng.uniform(0, size) - length / 2
    return slice(max(0, round(start)), max(0, round(start + length)))


def _band(rng: np.random.Generator, size: int, lengths: tuple[int, int]) -> slice:
    length = int(rng.integers(lengths[0], lengths[1] + 1))
    start = int(rng.integers(0, size - length + 1))
    return slice(start, start + length)
