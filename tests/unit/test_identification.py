"""Identification: places, decisions, and the track list of a recording, on fingerprints made of random numbers."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nmfp.errors import NmfpError
from nmfp.identification import background, decision, stream
from nmfp.identification.places import _most_proposed, diagonal_scores, identify, other_places
from nmfp.identification.reference import Reference, nearest_rows
from nmfp.search.matching import Bounds
from search_world import write_fingerprints

DIMENSION = 24


def unit(rng, *shape):
    vectors = rng.standard_normal((*shape, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def noisy(rng, vectors, amount=0.7):
    """Vectors whose inner product with the originals is about 0.8 for 0.7."""
    out = vectors + amount * unit(rng, len(vectors))
    return (out / np.linalg.norm(out, axis=1, keepdims=True)).astype(np.float32)


def make_reference(tracks, silent=None) -> Reference:
    lengths = np.array([len(t) for t in tracks])
    end = np.cumsum(lengths)
    vectors = np.concatenate(tracks)
    silent = np.zeros(len(vectors), bool) if silent is None else silent
    names = np.array([f"track {i}.mp3" for i in range(len(tracks))], object)
    return Reference(vectors, silent, Bounds(end - lengths, end), names, "m", Path("db"), threads=1)


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(5)
    return make_reference([unit(rng, n) for n in (60, 1, 90, 120, 45)])


def sounding(vectors):
    return np.zeros(len(vectors), bool)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 7), st.integers(1, 12))
def test_exact_search_equals_sorting(seed, rows, queries, k):
    rng = np.random.default_rng(seed)
    vectors, asked, silent = unit(rng, rows), unit(rng, queries), rng.random(rows) < 0.3
    found = nearest_rows(vectors, silent, asked, k)
    for i in range(queries):
        usable = np.flatnonzero(~silent)
        order = usable[np.argsort(-(vectors[usable] @ asked[i]), kind="stable")][:k]
        assert found[i, : len(order)].tolist() == order.tolist()
        assert (found[i, len(order) :] == -1).all()


def test_exact_search_in_blocks_is_the_same(monkeypatch):
    rng = np.random.default_rng(1)
    vectors, asked = unit(rng, 333), unit(rng, 9)
    whole = nearest_rows(vectors, np.zeros(333, bool), asked, 20)
    monkeypatch.setattr("nmfp.identification.reference.BLOCK_ROWS", 50)
    assert (nearest_rows(vectors, np.zeros(333, bool), asked, 20) == whole).all()


def test_many_queries_at_once_cost_bounded_memory():
    rng = np.random.default_rng(8)
    vectors, asked, silent = unit(rng, 9000), unit(rng, 2400), rng.random(9000) < 0.1
    tracemalloc.start()
    try:
        found = nearest_rows(vectors, silent, asked, 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150e6  # all at once: 2400 * 9000 products, their negatives, and places of 8 bytes
    usable = np.flatnonzero(~silent)
    for i in (0, 1234, 2399):
        best = usable[np.argsort(-(vectors[usable] @ asked[i]), kind="stable")][:20]
        assert found[i].tolist() == best.tolist()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 15))
def test_scores_at_every_place_equal_a_loop(seed, m, n):
    rng = np.random.default_rng(seed)
    q, rows, q_silent, r_silent = unit(rng, m), unit(rng, n), rng.random(m) < 0.3, rng.random(n) < 0.3
    starts, scores = diagonal_scores(q, q_silent, rows, r_silent)
    assert starts.tolist() == list(range(1 - m, n))
    for start, score in zip(starts, scores, strict=True):
        pairs = [
            float(q[i] @ rows[start + i])
            for i in range(m)
            if 0 <= start + i < n and not q_silent[i] and not r_silent[start + i]
        ]
        if pairs and len(pairs) >= 0.5 * (~q_silent).sum():
            assert score == pytest.approx(np.mean(pairs), abs=1e-5)
        else:
            assert np.isnan(score)


@pytest.mark.parametrize(
    "track, start, length", [(0, 10, 9), (2, 0, 19), (3, 100, 20), (4, 44, 1), (1, 0, 1)]
)
def test_an_excerpt_is_found_where_it_was(world, track, start, length):
    rng = np.random.default_rng(start)
    first = world.bounds.start[track] + start
    query = noisy(rng, world.vectors[first : first + length], 0.5)
    answer = identify(query, sounding(query), world)
    assert (answer.places[0].track, answer.places[0].start) == (track, start)
    assert 0.5 < answer.places[0].score < 1


@pytest.mark.parametrize("start", [-4, 40])
def test_a_query_may_hang_over_a_tracks_edge(world, start):
    rng = np.random.default_rng(3)
    query = unit(rng, 9)
    inside = [i for i in range(9) if 0 <= start + i < 45]
    query[inside] = world.vectors[world.bounds.start[4] + start + np.array(inside)]
    place = identify(query, sounding(query), world).places[0]
    assert (place.track, place.start) == (4, start) and place.score == pytest.approx(1, abs=1e-4)


def test_a_query_longer_than_its_track(world):
    query = np.concatenate(
        [unit(np.random.default_rng(0), 20), world.vectors[-45:], unit(np.random.default_rng(1), 20)]
    )
    place = identify(query, sounding(query), world).places[0]
    assert (place.track, place.start) == (4, -20)


def test_a_query_longer_than_twice_the_longest_track_has_no_answer(world):
    query = unit(np.random.default_rng(0), 241)
    assert identify(query, sounding(query), world).places == []


def test_a_query_of_minutes_costs_bounded_work(world):
    """Half of it is the third track; its places are still among those that most segments propose."""
    rng = np.random.default_rng(0)
    start = world.bounds.start[3]
    query = np.concatenate([world.vectors[start : start + 110], unit(rng, 90)])
    neighbours = world.neighbours(query)
    fewer = _most_proposed(neighbours, sounding(query), 50)
    place = fewer - np.arange(len(fewer))[:, None]
    assert len(np.unique(place[fewer >= 0])) <= 50
    assert (fewer[np.arange(110), 0] == start + np.arange(110)).all()


def test_silence_has_no_answer(world):
    query = np.array(world.vectors[5:14])
    answer = identify(query, np.ones(9, bool), world)
    assert answer.places == [] and answer.sounding == 0


def test_silent_segments_take_no_part(world):
    query = np.array(world.vectors[5:14])
    silent = np.zeros(9, bool)
    query[:3], silent[:3] = unit(np.random.default_rng(9), 3), True
    place = identify(query, silent, world).places[0]
    assert (place.track, place.start) == (0, 5) and place.score == pytest.approx(1, abs=1e-5)


def test_a_repeated_chorus_is_said_so():
    rng = np.random.default_rng(7)
    chorus, track = unit(rng, 20), unit(rng, 100)
    for at in (10, 50, 80):
        track[at : at + 20] = chorus
    reference = make_reference([unit(rng, 50), track])
    place = identify(chorus[4:13], sounding(chorus[4:13]), reference).places[0]
    assert place.start == 14 and sorted(place.others) == [54, 84]
    verse = track[30:39]
    assert identify(verse, sounding(verse), reference).places[0].others == ()


def test_the_same_recording_twice_is_named_twice():
    rng = np.random.default_rng(7)
    track = unit(rng, 40)
    reference = make_reference([unit(rng, 30), track, track.copy()])
    places = identify(track[3:12], sounding(track[3:12]), reference, top=3).places
    assert [p.track for p in places[:2]] == [1, 2] and places[0].score == places[1].score


def test_other_places_are_not_looked_for_in_queries_of_an_hour(world):
    query = unit(np.random.default_rng(0), 200_000 // 2)
    assert (
        other_places(query, sounding(query), make_reference([unit(np.random.default_rng(0), 300)]), 0, 0)
        == ()
    )


# Decisions


def write_background(folder, recordings=400, values=2000):
    rng = np.random.default_rng(0)
    scores = np.sort(rng.uniform(0.1, 0.5, (values, 5)), axis=0)
    background.write_background(folder, "test", scores, np.arange(values) % recordings)


def test_unknown_music_is_accepted_at_most_as_often_as_asked(tmp_path):
    write_background(tmp_path)
    judge = decision.open_decision(tmp_path, 0.05).judge
    rng = np.random.default_rng(1)
    unknown = rng.uniform(0.1, 0.5, 2000)
    accepted = np.mean([judge(9, s).word == "match" for s in unknown])
    assert 0.01 < accepted <= 0.05
    assert judge(9, 0.9).word == "match" and judge(9, 0.9).confidence > 0.999
    assert judge(9, 0.2).word == "no match" and judge(9, 0.2).confidence < 0.5


def test_a_rate_that_too_few_recordings_cannot_support_is_refused(tmp_path):
    write_background(tmp_path, recordings=38)
    with pytest.raises(
        NmfpError, match="0.01 needs 299 unknown recordings.* knows 38; ask for 0.076 or more"
    ):
        decision.open_decision(tmp_path, 0.01)
    assert decision.open_decision(tmp_path, 0.08).judge(9, 0.9).word == "match"
    assert decision.open_decision(tmp_path, None).judge(9, 0.9).word == "match"


def test_without_calibration_nothing_is_promised(tmp_path):
    assert decision.open_decision(tmp_path, None).judge(9, 0.99) == decision.UNCALIBRATED
    with pytest.raises(NmfpError, match="not calibrated"):
        decision.open_decision(tmp_path, 0.01)


def rules(**changes):
    rows = [
        {"query_segments": n, "statistic": s, "chosen": s == "lead", "supported": True, "false_accept_rate": rate,
         "threshold": t}
        for n in (3, 9) for s, t in (("score", 0.6), ("lead", 0.2), ("score_and_lead", 0.9)) for rate in (0.01, 0.001)
    ]  # fmt: skip
    return {"database_sha256": "d", "indexes": {"flat": [{**row, **changes} for row in rows]}}


def test_the_workflows_rules_are_used(tmp_path):
    (tmp_path / "calibration.json").write_text(json.dumps(rules()))
    judge = decision.open_decision(tmp_path, None, "d").judge
    assert judge(9, 0.5, 0.2).word == "match"  # a lead of 0.3
    assert judge(9, 0.5, 0.4).word == "no match"
    assert judge(9, 0.7, None).word == "match"  # no runner-up known: by the score
    assert judge(9, 0.5, None).word == "no match"
    assert judge(2, 0.9, 0.1) == decision.UNCALIBRATED
    assert judge(20, 0.5, 0.2).confidence == pytest.approx(0.999)
    with pytest.raises(NmfpError, match=r"rate of 0.02 \(supported: 0.001, 0.01\)"):
        decision.open_decision(tmp_path, 0.02, "d")


def test_rules_for_another_state_of_the_database_are_not_used(tmp_path):
    (tmp_path / "calibration.json").write_text(json.dumps(rules()))
    assert decision.open_decision(tmp_path, None, "other").judge(9, 0.9, 0.1) == decision.UNCALIBRATED


@pytest.mark.parametrize(
    "content",
    ['{"background": 3}', '{"background": {"recordings": "x", "scores": {}}}', '{"indexes": 7}',
     '{"indexes": {"a": [{"chosen": true}]}}', '{"background": {"recordings": 3, "scores": {"3": [null]}}}',
     json.dumps(rules(statistic="magic")), json.dumps(rules(threshold="high"))],
)  # fmt: skip
def test_a_damaged_calibration_is_a_sentence(tmp_path, content):
    (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(NmfpError, match="is damaged"):
        decision.open_decision(tmp_path, None, "d")


def test_a_database_is_its_own_background():
    rng = np.random.default_rng(2)
    reference = make_reference([unit(rng, 80) for _ in range(6)])
    scores, tracks = background.scores_of_own_tracks(reference)
    assert scores.shape == (600, 5) and set(tracks) == set(range(6))
    # every excerpt stands in its own track with a score of 1, which must not count
    assert scores[:, 0].max() < 0.99 and scores[:, -1].max() < 0.6


def test_one_piece_of_music_twice_gives_nothing_to_judge_by(tmp_path):
    track = unit(np.random.default_rng(2), 80)
    write_fingerprints(tmp_path, ["a.mp3", "a again.mp3"], np.array([80, 80]), np.concatenate([track, track]))
    background.calibrate_files(tmp_path)
    assert decision.open_decision(tmp_path, None).judge(9, 0.9, 0.1) == decision.UNCALIBRATED


def test_unknown_recordings_as_background():
    rng = np.random.default_rng(2)
    reference = make_reference([unit(rng, 80) for _ in range(3)])
    quiet = (unit(rng, 40), np.ones(40, bool))
    short = (unit(rng, 5), np.zeros(5, bool))
    scores, numbers = background.scores_of_recordings(
        [(unit(rng, 60), np.zeros(60, bool)), quiet, short], reference
    )
    assert scores.shape == (3, 5) and set(numbers) == {0}


# The track list of a recording


def judge_by_score(bar=0.5):
    return lambda segments, score, evidence=None: decision.Verdict(
        "match" if score >= bar else "no match", None
    )


def feed_in_blocks(recording, silent, reference, judge, size=7):
    watcher = stream.Monitor(reference, judge)
    found, held = [], 0
    for start in range(0, len(recording), size):
        found += watcher.feed(recording[start : start + size], silent[start : start + size])
        held = max(held, len(watcher._vectors))
    return found + list(watcher.finish()), held


@pytest.fixture(scope="module")
def library():
    rng = np.random.default_rng(11)
    return make_reference([unit(rng, n) for n in (200, 150, 180, 90, 240)])


def rows(reference, track, start, stop):
    return np.array(reference.vectors[reference.bounds.start[track] + np.arange(start, stop)])


def test_tracks_with_gaps_and_without_one(library):
    rng = np.random.default_rng(0)
    recording = np.concatenate(
        [unit(rng, 30), noisy(rng, rows(library, 2, 20, 120)), unit(rng, 25), noisy(rng, rows(library, 0, 0, 80)),
         noisy(rng, rows(library, 4, 100, 200)), unit(rng, 40)]
    )  # fmt: skip
    found, held = feed_in_blocks(recording, sounding(recording), library, judge_by_score())
    assert [s.track for s in found] == ["track 2.mp3", "track 0.mp3", "track 4.mp3"]
    truth = [(30, 130, 20), (155, 235, 0), (235, 335, 100)]
    for s, (begin, end, place) in zip(found, truth, strict=True):
        assert s.begin == pytest.approx(begin / 2, abs=1)
        assert s.end == pytest.approx(end / 2 + 0.5, abs=1)
        assert s.begin - s.track_begin == pytest.approx((begin - place) / 2, abs=1e-9)
        assert 0.7 < s.score < 0.9
    assert held < 80


@pytest.mark.parametrize("size", [1, 13, 1000])
def test_the_list_does_not_depend_on_the_blocks(library, size):
    rng = np.random.default_rng(0)
    recording = np.concatenate([unit(rng, 11), noisy(rng, rows(library, 1, 5, 95)), unit(rng, 33)])
    silent = sounding(recording)
    assert (
        feed_in_blocks(recording, silent, library, judge_by_score(), size)[0]
        == (feed_in_blocks(recording, silent, library, judge_by_score())[0])
    )


def test_a_cross_fade_is_two_tracks_at_once(library):
    rng = np.random.default_rng(0)
    a, b = rows(library, 0, 10, 130), rows(library, 4, 30, 150)
    fade = a[-20:] + b[:20]
    fade /= np.linalg.norm(fade, axis=1, keepdims=True)
    recording = noisy(rng, np.concatenate([a[:-20], fade, b[20:]]), 0.4)
    found, _ = feed_in_blocks(recording, sounding(recording), library, judge_by_score())
    assert [s.track for s in found] == ["track 0.mp3", "track 4.mp3"]
    assert found[0].end - found[1].begin > 5  # ten seconds overlap
    assert found[0].end == pytest.approx(60, abs=2.5) and found[1].begin == pytest.approx(50, abs=2.5)


def test_a_playback_that_is_two_percent_too_fast_stays_one_track(library):
    rng = np.random.default_rng(0)
    path = np.round(np.arange(0, 200, 1.02)).astype(int)
    recording = np.concatenate(
        [unit(rng, 20), noisy(rng, rows(library, 4, 0, 240)[path], 0.4), unit(rng, 30)]
    )
    found, _ = feed_in_blocks(recording, sounding(recording), library, judge_by_score())
    assert [s.track for s in found] == ["track 4.mp3"]
    assert found[0].begin == pytest.approx(10, abs=1.5) and found[0].end == pytest.approx(108, abs=2)


def test_a_track_that_repeats_itself_is_reported_once():
    rng = np.random.default_rng(4)
    part = unit(rng, 60)
    reference = make_reference([unit(rng, 100), np.concatenate([part, part, part])])
    recording = np.concatenate([unit(rng, 15), noisy(rng, np.concatenate([part, part]), 0.5), unit(rng, 30)])
    found, _ = feed_in_blocks(recording, sounding(recording), reference, judge_by_score())
    assert [s.track for s in found] == ["track 1.mp3"]
    assert found[0].end - found[0].begin == pytest.approx(60, abs=2)


@pytest.mark.parametrize("block", [8, 16, 24])
@pytest.mark.parametrize("seed", range(3))
def test_two_places_that_fit_in_turns_do_not_explain_each_other_away(seed, block):
    """A loop does not repeat in whole hops: now one place fits better, now the other, and both become runs."""
    rng, n = np.random.default_rng(seed), 150
    first = unit(rng, n)
    again = noisy(rng, first, 0.5)
    reference = make_reference([unit(rng, 100), np.concatenate([first, again]), unit(rng, 120)])
    heard = np.where((np.arange(n) // block % 2 == 0)[:, None], first, again)
    recording = np.concatenate([unit(rng, 40), noisy(rng, heard, 0.2), unit(rng, 40)])
    found, _ = feed_in_blocks(recording, sounding(recording), reference, judge_by_score(0.6))
    assert [s.track for s in found] == ["track 1.mp3"]
    assert found[0].begin == pytest.approx(20, abs=2) and found[0].end == pytest.approx(95, abs=2)


def test_similar_music_is_not_reported_beside_the_right_one(library):
    rng = np.random.default_rng(4)
    original = unit(rng, 150)
    cover = original + 0.8 * unit(rng, 150)
    cover /= np.linalg.norm(cover, axis=1, keepdims=True)
    reference = make_reference([cover.astype(np.float32), unit(rng, 90), original])
    recording = np.concatenate([unit(rng, 20), noisy(rng, original[10:130], 0.3), unit(rng, 30)])
    found, _ = feed_in_blocks(recording, sounding(recording), reference, judge_by_score())
    assert [s.track for s in found] == ["track 2.mp3"]


def test_unknown_music_silence_and_nothing_give_an_empty_list(library):
    rng = np.random.default_rng(8)
    for recording, silent in [
        (unit(rng, 300), np.zeros(300, bool)),
        (rows(library, 0, 0, 100), np.ones(100, bool)),
        (unit(rng, 0), np.zeros(0, bool)),
        (unit(rng, 3), np.zeros(3, bool)),
    ]:
        assert feed_in_blocks(recording, silent, library, judge_by_score())[0] == []


def test_a_recording_shorter_than_a_window_is_looked_at(library):
    recording = rows(library, 3, 20, 32)
    found, _ = feed_in_blocks(recording, sounding(recording), library, judge_by_score())
    assert [(s.track, s.begin, s.track_begin) for s in found] == [("track 3.mp3", 0.0, 10.0)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), max_size=12))
def test_the_best_stretch_is_the_best(gains):
    begin, end = stream.best_stretch(np.array(gains, float))
    sums = [sum(gains[i:j]) for i in range(len(gains) + 1) for j in range(i, len(gains) + 1)]
    assert sum(gains[begin:end]) == max([*sums, 0])
