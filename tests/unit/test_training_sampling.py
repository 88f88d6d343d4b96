"""Batches of an epoch: complete, full, apart, and the same for the same key."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nmfp.errors import NmfpError
from nmfp.training import sampling

CHUNK = 240_000


def grid_of(samples, tracks=None):
    tracks = range(len(samples)) if tracks is None else tracks
    return sampling.make_grid(np.array(samples), np.array(tracks), CHUNK)


def distinct(batches, names):
    return np.array([len(set(row)) for row in names[batches]])


@settings(deadline=None, max_examples=150)
@given(
    chunks=st.integers(2, 40),
    samples=st.integers(8_000, CHUNK),
    anchors=st.integers(2, 40),
    epoch=st.integers(0, 5),
)
def test_equal_chunks(chunks, samples, anchors, epoch):
    anchors = min(anchors, chunks)
    grid = grid_of([samples] * chunks)
    batches = sampling.epoch_batches(3, epoch, grid, anchors)
    seen = np.bincount(batches.ravel(), minlength=grid.size)
    assert batches.shape == (sampling.steps_per_epoch(grid, anchors), anchors)
    assert seen.min() >= 1 and seen.max() <= 2 and seen.sum() - grid.size < anchors
    assert (distinct(batches, grid.chunk) == anchors).all()


@settings(deadline=None, max_examples=150)
@given(
    samples=st.lists(st.integers(1, CHUNK), min_size=2, max_size=25),
    tracks=st.integers(1, 25),
    anchors=st.integers(2, 25),
)
def test_any_chunks(samples, tracks, anchors):
    grid = grid_of(samples, np.arange(len(samples)) % tracks)
    anchors = min(anchors, len(samples), grid.size)
    if anchors < 2:
        return
    batches = sampling.epoch_batches(3, 0, grid, anchors)
    seen = np.bincount(batches.ravel(), minlength=grid.size)
    assert seen.min() >= 1 and seen.max() <= 2 and seen.sum() - grid.size < anchors


@settings(deadline=None, max_examples=50)
@given(tracks=st.integers(2, 20), per_track=st.integers(1, 4), anchors=st.integers(2, 20))
def test_tracks_are_kept_apart_where_there_are_enough(tracks, per_track, anchors):
    anchors = min(anchors, tracks)
    grid = grid_of([CHUNK] * (tracks * per_track), np.repeat(np.arange(tracks), per_track))
    batches = sampling.epoch_batches(1, 2, grid, anchors)
    assert (distinct(batches, grid.track) == anchors).all()


def test_same_key_same_batches_other_epoch_others():
    grid = grid_of([CHUNK] * 10)
    one = sampling.epoch_batches(3, 4, grid, 5)
    np.testing.assert_array_equal(one, sampling.epoch_batches(3, 4, grid, 5))
    assert (one != sampling.epoch_batches(3, 5, grid, 5)).any()
    assert (one != sampling.epoch_batches(4, 4, grid, 5)).any()


def test_neighbours_change():
    """A chunk meets nearly all others in an epoch, as in a
    random permutation, not the same few again and again."""
    grid = grid_of([CHUNK] * 200)
    batches = sampling.epoch_batches(0, 0, grid, 20)
    beside = batches[(grid.chunk[batches] == 0).any(axis=1)]
    meetings = np.bincount(grid.chunk[beside].ravel(), minlength=200)[1:]
    assert np.count_nonzero(meetings) > 190 and meetings.max() < 20


def test_padding_has_no_segments():
    grid = grid_of([CHUNK, 8_000, 8_001, 12_000, 100])
    assert np.bincount(grid.chunk).tolist() == [59, 1, 2, 2, 1]
    assert grid.last_start[[0, 59, 60, 62, 64]].tolist() == [232_000, 0, 4_000, 4_000, 0]


def test_too_few_segments_are_refused():
    with pytest.raises(NmfpError, match="only 2 training segments"):
        sampling.epoch_batches(0, 0, grid_of([8_000, 8_000]), 3)
