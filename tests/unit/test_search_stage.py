"""The stages that train, fill and search an index, from files to analysis.csv, against brute force in every row."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from matching_oracle import oracle
from nmfp.evaluation.hit_rates import read_analysis
from nmfp.evaluation.sequences import ANALYSIS_COLUMNS
from nmfp.files import write_csv
from nmfp.search.matching import SCORE_STEPS, Bounds
from nmfp.segments import true_row
from search_world import build_index, run_search, write_fingerprints

# The 24 unit vectors of four halves, or of one one and zeros: products and distances are exact in any order, and
# equal for many pairs.
HALVES = np.stack(np.meshgrid(*[[-0.5, 0.5]] * 4), axis=-1).reshape(-1, 4)
ALPHABET = np.concatenate([HALVES, np.eye(4), -np.eye(4)]).astype(np.float32)


class World(NamedTuple):
    """A database of a few tracks, queries, and how they are searched."""

    vectors: np.ndarray
    bounds: Bounds  # tracks without rows included
    silent: np.ndarray
    queries: np.ndarray
    query_rows: np.ndarray
    owner: np.ndarray  # track of each query; one that is not there for unknown music
    start_sample: np.ndarray
    lengths: tuple[int, ...]
    start_every: int
    candidates: int
    every: int
    shards: int
    threads: int
    shifted: bool


@st.composite
def worlds(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = np.array([draw(st.integers(1, 12)), *draw(st.lists(st.integers(0, 12), max_size=4))])
    # rows of removed tracks lie between the others, and may outlast them
    gaps = rng.integers(0, 3, len(rows) + 1) * draw(st.integers(0, 1))
    end = np.cumsum(rows + gaps[:-1])
    letters = ALPHABET[rng.choice(len(ALPHABET), draw(st.integers(1, 8)), replace=False)]
    vectors = letters[rng.integers(0, len(letters), end[-1] + gaps[-1])]
    if len(rows) > 1 and draw(st.booleans()):
        # the same recording twice
        same = min(rows[0], rows[1])
        vectors[end[1] - rows[1] :][:same] = vectors[end[0] - rows[0] :][:same]
    query_rows = np.concatenate([[0], np.cumsum(draw(st.lists(st.integers(0, 9), min_size=1, max_size=4)))])
    count = len(query_rows) - 1
    return World(
        vectors,
        Bounds(end - rows, end),
        rng.random(len(vectors)) < 0.3,
        letters[rng.integers(0, len(letters), query_rows[-1])],
        query_rows,
        rng.integers(0, len(rows) + 1, count),
        rng.integers(0, 40_000, count),
        tuple(sorted(draw(st.sets(st.sampled_from([1, 2, 3, 5, 7]), min_size=1)))),
        draw(st.integers(1, 4)),
        draw(st.integers(1, 12)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 2)),
        draw(st.booleans()),
    )


def write(root, world):
    """The files that the stages read; returns the name of the query corpus."""
    corpus = "queries_degraded_shifted" if world.shifted else "queries_degraded"
    tracks = [f"{i}.mp3" for i in range(len(world.bounds.start))]
    queries = [f"q{i}" for i in range(len(world.owner))]
    write_fingerprints(
        root / "fingerprints/test/database",
        tracks,
        world.bounds.end - world.bounds.start,
        world.vectors,
        silent=world.silent,
        end=world.bounds.end,
    )
    write_fingerprints(
        root / f"fingerprints/test/{corpus}", queries, np.diff(world.query_rows), world.queries
    )
    for name, ids in (("database", tracks), (corpus, queries)):
        paths = pd.DataFrame({"id": ids, "path": [f"audio/{i}.wav" for i in ids], "reason": ""})
        write_csv(root / f"data/{name}/tracks.csv", paths)
    other = world.start_sample + 4000
    columns = {
        "id": queries,
        "track_id": [f"{t}.mp3" for t in world.owner],
        "start_sample": other if world.shifted else world.start_sample,
        "start_sample_shifted": world.start_sample if world.shifted else other,
    }
    write_csv(root / "data/queries/provenance.csv", pd.DataFrame(columns))
    return corpus


def nearest(world):
    """The nearest rows among those that the index holds, (m, k), smaller rows first among equals, then -1."""
    held = np.arange(0, len(world.vectors), world.every)
    distances = ((world.queries[:, None] - world.vectors[held][None]) ** 2).sum(axis=2)
    order = np.argsort(distances, axis=1, kind="stable")[:, : world.candidates]
    found = np.full((len(world.queries), world.candidates), -1)
    found[:, : order.shape[1]] = held[order]
    return found


def expected_analysis(world):
    """analysis.csv as the oracle has it."""
    answers = oracle(
        world.queries,
        world.query_rows,
        nearest(world),
        world.vectors,
        world.bounds,
        world.lengths,
        world.start_every,
    )
    sizes = np.append(world.bounds.end - world.bounds.start, 0)
    rows = []
    for (query, start, length), found in answers.items():
        true, first = int(world.owner[query]), int(world.start_sample[query])
        ranks = [track for _, _, track in found]
        bound = true_row(first)
        row = {
            "query_audio_path": f"audio/q{query}.wav",
            "query_id": f"q{query}",
            "seq_start_idx": start,
            "seq_len": length,
            "query_chunk_bound": bound,
            "query_start_segment": bound + start,
            "true_start_seconds": first / 8000 + start / 2,
            "gt_track_path": f"audio/{true}.mp3.wav" if sizes[true] else "",
            "pred_track_path": "",
            "runner_up_track_path": "",
        }
        if true in ranks:
            row["true_track_rank"] = ranks.index(true) + 1
        if found:
            key, place, track = found[0]
            segment = place - world.bounds.start[track]
            row |= {"pred_track_path": f"audio/{track}.mp3.wav", "score": -key / SCORE_STEPS}
            row |= {"pred_start_segment": segment, "pred_start_seconds": segment / 2}
        if len(found) > 1:
            key, _, track = found[1]
            row |= {"runner_up_track_path": f"audio/{track}.mp3.wav", "runner_up_score": -key / SCORE_STEPS}
        rows.append(row)
    return pd.DataFrame(rows, columns=ANALYSIS_COLUMNS)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_every_row_is_the_oracles(world):
    evaluation = {
        "query_segments": list(world.lengths),
        "start_every": world.start_every,
        "candidates": world.candidates,
    }
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        corpus = write(root, world)
        index = build_index(root, "Flat", threads=world.threads, every=world.every, shards=world.shards)
        analysis = read_analysis(run_search(root, index, corpus, world.threads, evaluation=evaluation))
    pd.testing.assert_frame_equal(analysis, expected_analysis(world), check_dtype=False, rtol=0, atol=1e-9)
