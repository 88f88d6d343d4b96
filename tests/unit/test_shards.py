"""Neighbours found in parts are the neighbours of the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nmfp.errors import NmfpError
from nmfp.search import index as nn
from nmfp.search.shards import merge_neighbours, search_shard, shard_rows


@given(st.integers(0, 1000), st.integers(1, 50), st.integers(1, 4))
def test_shards_are_disjoint_and_complete_and_begin_with_a_row_that_is_held(rows, shards, every):
    ranges = [shard_rows(rows, i, shards, every) for i in range(shards)]
    assert all(a % every == 0 for a, b in ranges if a < b)
    sizes = [len(range(a, b, every)) for a, b in ranges]
    assert sum(sizes) == nn.rows_held(rows, every) and max(sizes) - min(sizes) <= 1
    assert ranges[0][0] == 0 and ranges[-1][1] == rows
    assert all(a[1] == b[0] for a, b in zip(ranges, ranges[1:], strict=False))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 12), st.integers(1, 40), st.integers(1, 3)
)
def test_merging_is_exact_ties_included(seed, shards, k, rows, every):
    rng = np.random.default_rng(seed)
    # few different vectors of halves: many equal distances, all of them exact
    vectors = rng.integers(0, 2, (rows, 3)).astype(np.float32) / 2
    queries = rng.integers(0, 2, (5, 3)).astype(np.float32) / 2
    distances = ((queries[:, None] - vectors[None]) ** 2).sum(axis=2)
    expected = np.full((5, k), -1)
    order = np.argsort(distances[:, ::every], axis=1, kind="stable")[:, :k] * every
    expected[:, : order.shape[1]] = order
    parts = []
    for shard in range(shards):
        first, end = shard_rows(rows, shard, shards, every)
        index = nn.faiss.IndexFlatL2(3)
        nn.fill(index, vectors[first:end:every])
        parts.append(search_shard(index, first, queries, k, every=every, block=2))
    merged = merge_neighbours([d for d, _ in parts], [r for _, r in parts], k)
    np.testing.assert_array_equal(merged, expected)


def test_neighbours_of_different_queries_are_refused():
    with pytest.raises(NmfpError, match="different queries"):
        merge_neighbours([np.zeros((3, 2)), np.zeros((4, 2))], [np.zeros((3, 2)), np.zeros((4, 2))], 2)
