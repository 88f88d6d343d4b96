"""Decisions that are learnt with a network: evidence, model, file, and what becomes of odd databases."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nmfp.errors import NmfpError
from nmfp.evaluation import decisions
from nmfp.files import write_json
from nmfp.identification import background, decision
from nmfp.identification.places import identify
from nmfp.identification.reference import Reference
from nmfp.search import confidence
from nmfp.search.matching import Bounds

DIMENSION = 32


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def music(rng, rows):
    """Vectors that are somewhat alike, as those of music are."""
    return unit(rng.standard_normal((rows, DIMENSION)) + 0.8)


def noisy(rng, vectors, amount):
    return unit(vectors + amount * unit(rng.standard_normal(vectors.shape)))


def reference_of(tracks, silent=None):
    end = np.cumsum([len(t) for t in tracks])
    bounds = Bounds(np.concatenate([[0], end[:-1]]), end)
    names = np.array([f"{i}.mp3" for i in range(len(tracks))], object)
    silent = np.zeros(end[-1], bool) if silent is None else silent
    return Reference(np.concatenate(tracks), silent, bounds, names, "m", Path("db"), threads=1)


def ask(reference, query, silent=None):
    return identify(query, np.zeros(len(query), bool) if silent is None else silent, reference, top=3)


@pytest.fixture(scope="module")
def tracks():
    rng = np.random.default_rng(3)
    return [music(rng, 60) for _ in range(12)]


@pytest.fixture(scope="module")
def asked(tracks):
    """Excerpts of known and unknown tracks, good and bad, asked of the tracks."""
    rng = np.random.default_rng(4)
    reference = reference_of(tracks)
    part = decisions.Part(reference.vectors, reference.silent, reference.bounds, np.arange(len(tracks)))
    n = confidence.LENGTHS[-1]
    known = [(t, tracks[t][s : s + n]) for t in range(12) for s in (0, 15, 30)]
    vectors = np.stack(
        [noisy(rng, v, rng.uniform(0.5, 3)) for _, v in known]
        + [noisy(rng, music(rng, n), 0.7) for _ in range(150)]
    )
    truth = np.array([t for t, _ in known] + [-1] * 150)
    return list(decisions.ask(part, vectors, truth, [str(i) for i in range(len(truth))], 1))


@pytest.fixture(scope="module")
def model(asked):
    return confidence.learn(
        [a.evidence for a in asked],
        [a.tracks for a in asked],
        np.array([a.right for a in asked]),
        np.array([a.unknown for a in asked]),
        np.array([a.length for a in asked]),
        np.array([a.recording for a in asked]),
    )


def test_a_duplicate_is_no_rival_and_is_named(tracks):
    rng = np.random.default_rng(5)
    query = noisy(rng, tracks[4][20:39], 1.0)
    alone = ask(reference_of(tracks), query).places[0]
    twice = ask(reference_of([*tracks, tracks[4]]), query).places[0]
    assert alone.track == twice.track == 4
    assert alone.evidence.same == () and twice.evidence.same == (12,)
    assert twice.evidence.lead == pytest.approx(alone.evidence.lead, abs=0.02)
    assert twice.evidence.share == pytest.approx(alone.evidence.share, abs=0.02)


def test_the_second_answer_trails_and_evidence_counts_sounding_segments(tracks):
    query = noisy(np.random.default_rng(6), tracks[2][5:24], 0.5)
    silent = np.arange(19) >= 15
    places = ask(reference_of(tracks), query, silent).places
    assert places[0].track == 2 and places[0].evidence.segments == 15
    assert places[0].evidence.lead > 0.2 > 0 > places[1].evidence.lead
    assert 0 <= places[1].evidence.share < places[0].evidence.share <= 1


def test_right_answers_are_probable_and_unknown_ones_accepted_as_often_as_asked(asked, model):
    odds = np.array([model.log_odds(a.evidence, a.tracks) for a in asked])
    right, unknown = (np.array([getattr(a, name) for a in asked]) for name in ("right", "unknown"))
    assert np.median(odds[right]) > 2 and np.median(odds[unknown]) < -2
    for rate in (0.1, 0.02):
        accepted = np.array([o >= model.threshold(a.length, rate) for o, a in zip(odds, asked, strict=True)])
        assert accepted[unknown].mean() <= rate * 1.1
    assert model.threshold(5, 0.02) == model.threshold(8, 0.02) >= model.threshold(5, 0.05)
    assert model.threshold(1000, 0.1) == model.threshold(19, 0.1)
    assert model.unknown_recordings == 150


def test_a_database_beyond_what_was_learnt_counts_as_the_largest(asked, model):
    assert model.log_odds(asked[0].evidence, 10**6) == model.log_odds(asked[0].evidence, 12)


def test_without_right_answers_or_unknown_queries_nothing_is_learnt(asked):
    some = [a for a in asked if a.unknown]
    with pytest.raises(NmfpError, match="one kind is missing"):
        confidence.learn(
            [a.evidence for a in some],
            [a.tracks for a in some],
            np.zeros(len(some), bool),
            np.ones(len(some), bool),
            np.array([a.length for a in some]),
            np.array([a.recording for a in some]),
        )


@pytest.fixture
def folder(tmp_path, model):
    """A model's folder with a decision, beside a database's folder."""
    (tmp_path / "model").mkdir()
    (tmp_path / "database").mkdir()
    info = {"digest": "d" * 64, "embedding_size": DIMENSION, "sample_rate": 8000, "segment_samples": 8000}
    write_json(tmp_path / "model/model.json", {**info, "front_end": {}, "network": {}, "parameters": 0})
    write_json(tmp_path / "model/decision.json", confidence.to_json(model, "d" * 64))
    return tmp_path


def open_decision(folder, rate=None, tracks=12):
    return decision.open_decision(folder / "database", rate, "", folder / "model", tracks)


def judged(opened, place, sounding=19):
    return opened.judge(sounding, place.score, evidence=place.evidence)


def test_a_new_database_decides_at_once(folder, tracks):
    rng = np.random.default_rng(7)
    reference = reference_of(tracks)
    opened = open_decision(folder)
    known = judged(opened, ask(reference, noisy(rng, tracks[1][:19], 0.8)).places[0])
    unknown = judged(opened, ask(reference, noisy(rng, music(rng, 19), 0.8)).places[0])
    assert known.word == "match" and known.confidence > 0.9
    assert unknown.word == "no match" and unknown.confidence < 0.5


def test_a_stricter_rate_accepts_less(folder):
    with pytest.raises(NmfpError, match=r"--false-accept-rate 0.0001 is beyond .* ask for 0.01 to 0.2"):
        open_decision(folder, 0.0001)
    strict, mild = open_decision(folder, 0.01), open_decision(folder, 0.2)
    assert strict._model.threshold(19, 0.01) > mild._model.threshold(19, 0.2)


@pytest.mark.parametrize("kind", ["one track", "silence", "equal tracks"])
def test_odd_databases_promise_nothing(folder, tracks, kind):
    opened = open_decision(folder, tracks=1)
    held = {"one track": tracks[:1], "silence": tracks[:2], "equal tracks": [tracks[0]] * 4}[kind]
    silent = np.full(sum(map(len, held)), kind == "silence")
    answer = ask(reference_of(held, silent), noisy(np.random.default_rng(8), tracks[0][:19], 0.5))
    assert bool(answer.places) == (kind != "silence")
    for place in answer.places:
        assert judged(opened, place) == decision.UNCALIBRATED


def test_recordings_that_the_user_named_come_before_what_was_learnt(folder):
    scores = np.linspace(0.1, 0.5, 400)[:, None].repeat(5, axis=1)
    background.write_background(folder / "database", "the database's own tracks", scores, np.arange(400))
    assert isinstance(open_decision(folder), decision.ByModel)
    background.write_background(folder / "database", decision.NAMED_RECORDINGS, scores, np.arange(400))
    assert isinstance(open_decision(folder), decision.ByBackground)


def test_where_nothing_could_be_learnt_the_database_decides(folder):
    write_json(folder / "model/decision.json", confidence.nothing_learnt("too few queries", "d" * 64))
    assert type(open_decision(folder)) is decision.Decision


@pytest.mark.parametrize(
    "change",
    [{"coefficients": {"lead": 1}}, {"thresholds": {"x": [1]}}, {"thresholds": {"1": [1]}}, {"intercept": None},
     {"tracks": [3]}, {"false_accept_rates": []}, {"coefficients": 7}, {"model_digest": "e" * 64}],
)  # fmt: skip
def test_a_damaged_decision_is_a_sentence(folder, change):
    path = folder / "model/decision.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(NmfpError, match="another network" if "model_digest" in change else "is damaged"):
        open_decision(folder)


def test_a_decision_survives_its_file(folder, model):
    read = confidence.read_confidence(folder / "model/decision.json", "d" * 64)
    assert np.array_equal(read.coefficients, model.coefficients)
    assert read[1:] == model[1:]


def test_parts_have_no_track_in_common(tracks):
    class Whole:
        folder = "whole"

    whole = Whole()
    reference = reference_of(tracks)
    whole.vectors, whole.silent = reference.vectors, reference.silent
    whole.tracks = pd.DataFrame({"row_start": reference.bounds.start, "row_end": reference.bounds.end})
    parts = list(decisions.parts_of(whole, 1))
    assert [len(p.tracks) for p in parts] == [10]
    assert np.array_equal(parts[0].vectors[:60], tracks[parts[0].tracks[0]])
    assert parts[0].bounds.end[-1] == len(parts[0].vectors) == 600
