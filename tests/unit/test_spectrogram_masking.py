"""Masks: as large as they should be, the same for the whole batch, filled as asked."""

import numpy as np
import pytest
from nmfp.training.masking import apply_mask, draw_mask

SHAPE = (256, 33)
OFF = {
    "cutout": False,
    "horizontal": False,
    "vertical": False,
    "masks": 1,
    "probability": 1.0,
    "fill": "zeros",
}


def masks(n=300, **masking):
    return [draw_mask(np.random.default_rng(i), OFF | masking, SHAPE, -1.0) for i in range(n)]


def test_horizontal_is_a_band_of_5_to_19_bins():
    heights = set()
    for keep, _ in masks(horizontal=True):
        rows = np.flatnonzero((keep == 0).all(axis=1))
        assert (keep == 0).sum() == 33 * len(rows) and (np.diff(rows) == 1).all()
        heights.add(len(rows))
    assert heights == set(range(5, 20))


def test_several_masks_cover_more_and_the_first_is_the_single_one():
    single, three = masks(horizontal=True), masks(horizontal=True, masks=3)
    heights = [int((keep == 0).all(axis=1).sum()) for keep, _ in three]
    assert max(heights) > 30 and max(heights) <= 57
    for (one, _), (many, _) in zip(single, three, strict=True):
        assert ((many == 0) >= (one == 0)).all()


def test_vertical_is_5_to_15_frames():
    widths = {int((keep == 0).all(axis=0).sum()) for keep, _ in masks(vertical=True)}
    assert widths == set(range(5, 16))


def test_cutout_is_one_rectangle_of_bounded_size():
    areas = []
    for keep, _ in masks(cutout=True):
        rows, columns = np.flatnonzero((keep == 0).any(axis=1)), np.flatnonzero((keep == 0).any(axis=0))
        assert (keep == 0).sum() == len(rows) * len(columns)
        assert len(rows) <= 103 and len(columns) <= 14
        areas.append((len(rows), len(columns)))
    assert max(a for a, _ in areas) > 95 and max(b for _, b in areas) > 11


@pytest.mark.parametrize(
    ("fill", "low", "high"), [("zeros", 0, 0), ("min", -1, -1), ("random", -1, 1), ([2, 3], 2, 3)]
)
def test_fill(fill, low, high):
    keep, values = masks(1, cutout=True, horizontal=True, fill=fill)[0]
    mel = np.full((2, *SHAPE), 7.0, "float32")
    masked = apply_mask(mel, keep, values)
    assert (masked[:, keep == 1] == 7).all()
    inside = masked[:, keep == 0]
    assert inside.min() >= low and inside.max() <= high and (masked[0] == masked[1]).all()


def test_probability():
    share = np.mean([(keep == 0).any() for keep, _ in masks(400, horizontal=True, probability=0.25)])
    assert 0.17 < share < 0.33
    assert all(
        (keep == 1).all() and not fill.any() for keep, fill in masks(5, horizontal=True, probability=0.0)
    )
