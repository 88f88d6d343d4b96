"""Matching against an oracle that does nothing but loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matching_oracle import oracle
from nmfp.search.matching import SCORE_STEPS, Bounds, Overhang, match, sequence_windows


def assert_equal(found, expected):
    seen = 0
    for w in range(len(found.windows.query)):
        for column, length in enumerate(found.lengths):
            key = (found.windows.query[w], found.windows.start[w], length)
            if length > found.windows.room[w]:
                assert found.track[w, column] == -1 and key not in expected
                continue
            seen += 1
            answers = expected[key]
            got = [(-round(s * SCORE_STEPS), p, t) for t, p, s in found.ranked.answers(w, column)]
            assert got == answers
            for rank, fields in enumerate(
                [
                    (found.track, found.place, found.score),
                    (found.runner_up_track, found.runner_up_place, found.runner_up_score),
                ]
            ):
                track, place, score = (f[w, column] for f in fields)
                if len(answers) > rank:
                    assert (-round(score * SCORE_STEPS), place, track) == answers[rank]
                else:
                    assert track == -1 and np.isnan(score)
    assert seen == len(expected)


@st.composite
def worlds(draw):
    """A small database, queries and neighbours; few different vectors, so that ties abound."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows_of_tracks = draw(st.lists(st.integers(1, 9), min_size=1, max_size=5))
    gaps = rng.integers(0, 2, len(rows_of_tracks)) * draw(st.integers(0, 2))
    start = np.cumsum(np.array(rows_of_tracks) + gaps) - rows_of_tracks
    bounds = Bounds(start, start + rows_of_tracks)
    n = int(bounds.end[-1] + gaps[0])
    # halves and quarters: products and sums are exact in any order
    alphabet = rng.integers(-2, 3, (draw(st.integers(1, 4)), 3)) / 2
    database = alphabet[rng.integers(0, len(alphabet), n)].astype(np.float32)
    rows_of_queries = draw(st.lists(st.integers(0, 8), min_size=1, max_size=4))
    query_rows = np.concatenate([[0], np.cumsum(rows_of_queries)])
    m = int(query_rows[-1])
    queries = alphabet[rng.integers(0, len(alphabet), m)].astype(np.float32)
    neighbours = rng.integers(-1, n, (m, draw(st.integers(1, 6))))
    lengths = tuple(sorted(draw(st.sets(st.sampled_from([1, 2, 3, 5, 7]), min_size=1))))
    silent = (rng.random(m) < 0.3, rng.random(n) < 0.3)
    return queries, query_rows, neighbours, database, bounds, lengths, draw(st.integers(1, 4)), silent


@settings(max_examples=300, deadline=None)
@given(worlds(), st.integers(1, 3))
def test_plain_rule_is_the_oracles(world, threads):
    *world, _ = world
    assert_equal(match(*world, threads=threads), oracle(*world))


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_identification_is_the_oracles(world):
    *world, silent = world
    assert_equal(match(*world, overhang=Overhang(*silent)), oracle(*world, silent=silent))


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers(0, 6))
def test_rank_of_a_track(world, track):
    *world, _ = world
    found = match(*world)
    ranks = found.ranked.rank_of(
        np.full(len(world[1]) - 1, track)[found.windows.query], len(found.windows.query)
    )
    for w in range(len(found.windows.query)):
        for column in range(len(found.lengths)):
            order = [t for t, _, _ in found.ranked.answers(w, column)]
            assert ranks[w, column] == (order.index(track) + 1 if track in order else 0)


def unit(rng, *shape):
    x = rng.normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def whole_database(tracks, rows):
    start = np.arange(tracks) * rows
    return Bounds(start, start + rows)


def test_first_and_last_window_of_first_and_last_track_are_found():
    rng = np.random.default_rng(1)
    database = unit(rng, 40, 16)
    bounds = whole_database(4, 10)
    for place in (0, 5, 30, 35):
        query = database[place : place + 5]
        neighbours = np.arange(place, place + 5)[:, None]
        found = match(query, np.array([0, 5]), neighbours, database, bounds, (1, 5), 7)
        assert found.track.tolist() == [[place // 10] * 2]
        assert found.place.tolist() == [[place] * 2]
        np.testing.assert_allclose(found.score, 1, atol=1e-6)


def test_a_window_across_two_tracks_is_no_answer():
    database = unit(np.random.default_rng(2), 20, 8)
    found = match(
        database[8:12],
        np.array([0, 4]),
        np.array([[8], [9], [10], [11]]),
        database,
        whole_database(2, 10),
        (1, 4),
        7,
    )
    assert found.track.tolist() == [[0, -1]]
    assert np.isnan(found.score[0, 1])


def test_identical_tracks_are_both_named_and_the_earlier_wins():
    track = unit(np.random.default_rng(3), 12, 128)
    other = unit(np.random.default_rng(4), 12, 128)
    database = np.concatenate([other, track, track])
    neighbours = np.stack([np.arange(24, 31), np.arange(12, 19)], axis=1)
    found = match(track[:7], np.array([0, 7]), neighbours, database, whole_database(3, 12), (1, 3, 7), 7)
    assert found.track.tolist() == [[1, 1, 1]]
    assert found.runner_up_track.tolist() == [[2, 2, 2]]
    assert (found.score == found.runner_up_score).all()
    assert [t for t, _, s in found.ranked.answers(0, 2) if s == found.score[0, 2]] == [1, 2]


def test_half_precision_and_memmap_databases(tmp_path):
    rng = np.random.default_rng(5)
    database = unit(rng, 50, 32)
    neighbours = rng.integers(0, 50, (9, 4))
    arguments = (np.array([0, 9]), neighbours)
    rest = (whole_database(5, 10), (1, 3, 5, 9), 2)
    expected = match(database[3:12], *arguments, database, *rest)
    np.save(tmp_path / "database.npy", database)
    on_disk = match(database[3:12], *arguments, np.load(tmp_path / "database.npy", mmap_mode="r"), *rest)
    half = match(database[3:12], *arguments, database.astype(np.float16), *rest)
    np.testing.assert_array_equal(on_disk.place, expected.place)
    np.testing.assert_array_equal(on_disk.score, expected.score)
    np.testing.assert_allclose(half.score, expected.score, atol=2e-3)


def test_starts_leave_room_for_the_longest_length():
    windows = sequence_windows(np.array([0, 59, 60, 60, 70]), np.array([1, 3, 5, 9, 19]), 7)
    assert windows.start[windows.query == 0].tolist() == [0, 7, 14, 21, 28, 35]
    assert windows.start[windows.query == 1].tolist() == [0]
    assert not (windows.query == 2).any()
    # ten segments: the longest length that fits is 9
    assert windows.start[windows.query == 3].tolist() == [0]
    assert windows.room.tolist() == [19] * 6 + [1] + [9]
    assert windows.row.tolist() == [0, 7, 14, 21, 28, 35, 59, 60]


def test_a_paper_query_gives_sixty_thousand_sequences_per_length():
    query_rows = np.arange(10_001) * 59
    assert len(sequence_windows(query_rows, np.array([1, 3, 5, 9, 19]), 7).query) == 60_000


@pytest.mark.parametrize("silent_query", [True, False])
def test_silence_is_no_evidence(silent_query):
    database = unit(np.random.default_rng(6), 10, 8)
    neighbours = np.arange(4)[:, None]
    overhang = Overhang(np.full(4, silent_query), np.full(10, not silent_query))
    found = match(
        database[:4],
        np.array([0, 4]),
        neighbours,
        database,
        whole_database(1, 10),
        (1, 4),
        1,
        overhang=overhang,
    )
    assert (found.track == -1).all()


def test_a_query_longer_than_its_track_is_scored_over_the_overlap():
    rng = np.random.default_rng(7)
    database = unit(rng, 12, 16)
    bounds = Bounds(np.array([0, 6]), np.array([6, 12]))
    query = np.concatenate([unit(rng, 2, 16), database[6:12], unit(rng, 2, 16)])
    neighbours = np.full((10, 1), -1)
    neighbours[3] = 7
    arguments = (query, np.array([0, 10]), neighbours, database, bounds, (10,), 1)
    assert match(*arguments).track[0, 0] == -1
    found = match(*arguments, overhang=Overhang(np.zeros(10, bool), np.zeros(12, bool)))
    assert (found.track[0, 0], found.place[0, 0]) == (1, 4)
    assert found.score[0, 0] == pytest.approx(1, abs=1e-6)


def sparse(path, shape, dtype, end):
    """A read-only array on disk that is zero but for its last rows, which take the only space."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    array[shape[0] - len(end) :] = end
    array.flush()
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("rule", ["plain", "overhang"])
def test_ten_thousand_million_rows_and_millions_of_tracks(tmp_path, rule):
    rng = np.random.default_rng(6)
    small, bounds, lengths = unit(rng, 60, 4), whole_database(6, 10), (1, 7, 500)
    queries, query_rows = unit(rng, 503, 4), np.array([0, 501, 503])
    neighbours, quiet = rng.integers(-1, 60, (503, 3)), rng.random(60) < 0.2
    rows, before, step = 10**10, 2_000_000, 4000
    shift = rows - len(small)
    fillers = np.arange(before) * step
    huge = Bounds(np.r_[fillers, bounds.start + shift], np.r_[fillers + 5, bounds.end + shift])
    database = sparse(tmp_path / "database.npy", (rows, 4), np.float32, small)
    of_small = of_huge = None
    if rule == "overhang":
        silent = sparse(tmp_path / "silent.npy", (rows,), bool, quiet)
        of_small = Overhang(np.zeros(503, bool), quiet, 0.02)
        of_huge = Overhang(np.zeros(503, bool), silent, 0.02)
    moved = np.where(neighbours < 0, -1, neighbours + shift)
    expected = match(queries, query_rows, neighbours, small, bounds, lengths, 3, of_small)
    found = match(queries, query_rows, moved, database, huge, lengths, 3, of_huge)
    none = expected.track < 0
    assert not none[0, :2].any()
    np.testing.assert_array_equal(found.track, np.where(none, -1, expected.track + before))
    np.testing.assert_array_equal(found.place, np.where(none, -1, expected.place + shift))
    np.testing.assert_array_equal(found.score, expected.score)
    np.testing.assert_array_equal(found.ranked.code, expected.ranked.code)
