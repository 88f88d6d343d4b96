"""Search from fingerprints to analysis.csv: against a naive loop, and at the edges."""

import json

import numpy as np
import pandas as pd
import pytest
from nmfp.evaluation.hit_rates import hits, read_analysis
from nmfp.evaluation.sequences import ANALYSIS_COLUMNS, Plan, batches
from nmfp.files import generator, read_csv, write_csv
from nmfp.segments import true_row
from search_world import (
    EVALUATION,
    build_index,
    noisy,
    rule,
    run_search,
    walk,
    write_fingerprints,
    write_world,
)

CORPUS = "queries_degraded_shifted"


def open_world(root, corpus=CORPUS):
    database = np.load(root / "fingerprints/test/database/database.npy")
    queries = np.load(root / f"fingerprints/test/{corpus}/database.npy")
    tracks = pd.read_csv(root / "fingerprints/test/database/tracks.csv")
    provenance = pd.read_csv(root / f"data/{corpus.split('_')[0]}/provenance.csv")
    return database, queries, tracks, provenance


def naive_analysis(root, k=20, lengths=(1, 3, 5, 9, 19), every=7):
    """The protocol, one sequence and one candidate at a time."""
    database, queries, tracks, provenance = open_world(root)
    owner = np.repeat(np.arange(len(tracks)), tracks["row_end"] - tracks["row_start"])
    database = database.astype(np.float64)
    squares = (database**2).sum(axis=1)
    rows = []
    for q, query in provenance.iterrows():
        vectors = queries[q * 59 : (q + 1) * 59]
        nearest = []
        for vector in vectors.astype(np.float64):
            distances = squares - 2 * database @ vector
            nearest.append(np.argsort(distances, kind="stable")[:k])
        for start in range(0, 59 - 19 + 1, every):
            for length in lengths:
                best = None
                places = {int(r) - i for i in range(length) for r in nearest[start + i]}
                for place in sorted(places):
                    if (
                        place < 0
                        or place + length > len(database)
                        or owner[place] != owner[place + length - 1]
                    ):
                        continue
                    score = (
                        vectors[start : start + length] * database[place : place + length]
                    ).sum() / length
                    if best is None or score > best[1] + 1e-7:
                        best = (place, score)
                row = {"query_id": query["id"], "seq_start_idx": start, "seq_len": length}
                bound = true_row(query["start_sample_shifted"])
                row |= {"query_chunk_bound": bound, "query_start_segment": bound + start}
                row["gt_track_path"] = f"audio/{query['track_id']}.wav"
                if best:
                    track = tracks.loc[owner[best[0]]]
                    row["pred_track_path"] = f"audio/{track['id']}.wav"
                    row["pred_start_segment"] = best[0] - track["row_start"]
                    row["score"] = best[1]
                rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.slow
def test_every_row_equals_the_naive_loops(tmp_path):
    root = write_world(tmp_path, tracks=265, queries=60, unknown=1, dimension=64, noise=1.6)
    database = np.load(root / "fingerprints/test/database/database.npy", mmap_mode="r")
    assert 19_000 < len(database) < 21_000
    analysis = read_analysis(run_search(root, build_index(root), threads=2))
    naive = naive_analysis(root)
    assert len(analysis) == len(naive) == 60 * 6 * 5
    same = [c for c in naive.columns if c not in ("score", "pred_track_path")]
    pd.testing.assert_frame_equal(analysis[same], naive[same], check_dtype=False)
    assert (analysis["pred_track_path"] == naive["pred_track_path"].fillna("")).all()
    np.testing.assert_allclose(analysis["score"], naive["score"], atol=1.1e-6)
    # easy enough to be right sometimes, hard enough to be wrong sometimes
    assert 0.1 < hits(analysis)["track"].mean() < 0.99


def test_columns_are_the_documented_ones_and_bytes_do_not_depend_on_threads(tmp_path):
    root = write_world(tmp_path)
    index = build_index(root)
    first = run_search(root, index, threads=1).read_bytes()
    assert first.splitlines()[0].decode().split(",") == ANALYSIS_COLUMNS
    assert run_search(root, index, threads=2).read_bytes() == first


def test_true_places_are_right_and_noise_free_queries_are_found(tmp_path):
    root = write_world(tmp_path, noise=0)
    analysis = read_analysis(run_search(root, build_index(root)))
    provenance = pd.read_csv(root / "data/queries/provenance.csv").set_index("id").loc[analysis["query_id"]]
    bound = [true_row(s) for s in provenance["start_sample_shifted"]]
    assert (analysis["query_chunk_bound"] == bound).all()
    assert (analysis["query_start_segment"] == bound + analysis["seq_start_idx"]).all()
    seconds = provenance["start_sample_shifted"].to_numpy() / 8000 + analysis["seq_start_idx"] / 2
    np.testing.assert_allclose(analysis["true_start_seconds"], seconds)
    hit = hits(analysis)
    assert hit["exact"].all() and (analysis["true_track_rank"] == 1).all()
    np.testing.assert_allclose(analysis["score"], 1, atol=1e-5)
    np.testing.assert_allclose(analysis["pred_start_seconds"], analysis["pred_start_segment"] / 2)


def test_unshifted_queries_use_their_own_start(tmp_path):
    root = write_world(tmp_path)
    for folder in ("data", "fingerprints/test"):
        (root / folder / CORPUS).rename(root / folder / "queries_degraded")
    analysis = read_analysis(run_search(root, build_index(root), "queries_degraded"))
    starts = pd.read_csv(root / "data/queries/provenance.csv").set_index("id")["start_sample"]
    assert (analysis["query_chunk_bound"] == [true_row(starts[q]) for q in analysis["query_id"]]).all()


def test_unknown_queries_have_no_true_track(tmp_path):
    root = write_world(tmp_path)
    analysis = read_analysis(run_search(root, build_index(root), "unknown_degraded_shifted"))
    assert (analysis["gt_track_path"] == "").all()
    assert analysis["true_track_rank"].isna().all()
    assert analysis["score"].notna().all() and not hits(analysis).any(axis=None)


def test_a_sequence_without_candidates_keeps_its_row(tmp_path):
    """Nineteen rows fit into none of the tracks: a miss, with empty answer and score."""
    root = write_world(tmp_path, queries=2)
    database, _, tracks, _ = open_world(root)
    write_fingerprints(
        root / "fingerprints/test/database",
        tracks["id"].head(4),
        [10] * 4,
        database[np.r_[0:10, 70:80, 150:160, 230:240]],
    )
    analysis = read_analysis(run_search(root, build_index(root)))
    assert len(analysis) == 2 * 6 * 5
    long = analysis["seq_len"] == 19
    missed = analysis[long]
    assert (missed["pred_track_path"] == "").all()
    assert (
        missed[["pred_start_segment", "score", "runner_up_score", "pred_start_seconds"]].isna().all(axis=None)
    )
    assert not hits(missed).any(axis=None)
    assert analysis.loc[~long, "score"].notna().all()


def test_one_track_and_one_query(tmp_path):
    root = write_world(tmp_path, tracks=1, queries=1, unknown=1, noise=0)
    analysis = read_analysis(run_search(root, build_index(root, "IVF256,PQ64x8")))
    assert hits(analysis)["exact"].all()
    assert (analysis["runner_up_track_path"] == "").all() and analysis["runner_up_score"].isna().all()


def test_one_fingerprint_in_the_database(tmp_path):
    root = write_world(tmp_path, tracks=1, queries=1, unknown=1)
    database, _, tracks, _ = open_world(root)
    write_fingerprints(root / "fingerprints/test/database", tracks["id"], [1], database[:1])
    analysis = read_analysis(run_search(root, build_index(root, "auto")))
    assert (analysis["pred_track_path"] != "").tolist() == [True, False, False, False, False] * 6


def test_identical_tracks_are_both_named(tmp_path):
    root = write_world(tmp_path, tracks=3, queries=3, noise=0.3)
    database, _, tracks, _ = open_world(root)
    rows = (tracks["row_end"] - tracks["row_start"]).tolist()
    write_fingerprints(
        root / "fingerprints/test/database",
        [*tracks["id"], "copy.mp3"],
        [*rows, rows[0]],
        np.concatenate([database, database[: rows[0]]]),
    )
    analysis = read_analysis(run_search(root, build_index(root)))
    copied = analysis[(analysis["query_id"] == "queries0") & (analysis["seq_len"] == 19)]
    assert (copied["pred_track_path"] == "audio/000/000000.mp3.wav").all()
    assert (copied["runner_up_track_path"] == "copy.mp3").all()
    assert (copied["runner_up_score"] == copied["score"]).all()


def test_queries_shorter_than_the_longest_length(tmp_path):
    root = write_world(tmp_path, query_rows=11, noise=0)
    analysis = read_analysis(run_search(root, build_index(root)))
    assert sorted(analysis["seq_len"].unique()) == [1, 3, 5, 9]
    assert (analysis["seq_start_idx"] == 0).all() and hits(analysis)["exact"].all()


def test_a_query_of_one_segment(tmp_path):
    root = write_world(tmp_path, query_rows=1, noise=0)
    analysis = read_analysis(run_search(root, build_index(root)))
    assert len(analysis) == 6 and (analysis["seq_len"] == 1).all() and hits(analysis)["exact"].all()


def test_queries_without_a_known_place(tmp_path):
    root = write_world(tmp_path)
    provenance = read_csv(root / "data/queries/provenance.csv", ["id"], text=("id", "track_id"))
    write_csv(root / "data/queries/provenance.csv", provenance[["id", "track_id"]])
    analysis = read_analysis(run_search(root, build_index(root)))
    assert analysis[["query_chunk_bound", "query_start_segment", "true_start_seconds"]].isna().all(axis=None)
    assert hits(analysis)["track"].any() and not hits(analysis)[["exact", "near"]].any(axis=None)


def test_foreign_fingerprints_and_indexes_are_refused(tmp_path, capsys):
    root = write_world(tmp_path)
    index = build_index(root)
    database, queries, tracks, _ = open_world(root)
    write_fingerprints(
        root / f"fingerprints/test/{CORPUS}", [f"queries{i}" for i in range(6)], [59] * 6, queries, "m2"
    )
    with pytest.raises(SystemExit):
        run_search(root, index)
    assert "come from different models" in capsys.readouterr().err
    write_fingerprints(
        root / f"fingerprints/test/{CORPUS}", [f"queries{i}" for i in range(6)], [59] * 6, queries
    )
    rows = tracks["row_end"] - tracks["row_start"]
    write_fingerprints(root / "fingerprints/test/database", tracks["id"], rows, -database)
    with pytest.raises(SystemExit):
        run_search(root, index)
    assert "database_sha256" in capsys.readouterr().err


def test_an_index_trained_before_the_database_grew_is_filled_with_all_of_it(tmp_path):
    import fill_index

    root = write_world(tmp_path)
    index = build_index(root, "IVF8,Flat")
    database, _, tracks, _ = open_world(root)
    rows = (tracks["row_end"] - tracks["row_start"]).tolist()
    folder = root / "fingerprints/test/database"
    more = walk(generator("more"), 70, database.shape[1])
    write_fingerprints(folder, [*tracks["id"], "new.mp3"], [*rows, 70], np.concatenate([database, more]))
    inputs = {"fingerprints": folder / "database.npy", "info": folder / "database.json"}
    inputs |= {"trained": index / "trained.faiss", "trained_info": index / "trained.json"}
    fill_index.main(rule(root, inputs, {"index": index / "index.faiss", "info": index / "index.json"}))
    assert json.loads((index / "index.json").read_text())["rows"] == len(database) + 70
    assert read_analysis(run_search(root, index))["score"].notna().all()


def test_batches_are_whole_queries_of_bounded_size():
    start = np.array([0, 10, 30, 31, 100])
    end = np.array([10, 30, 31, 100, 105])
    assert [(p.start, p.stop) for p in batches(start, end, 31)] == [(0, 3), (3, 4), (4, 5)]
    assert [(p.start, p.stop) for p in batches(start, end, 1000)] == [(0, 5)]
    assert list(batches(start[:0], end[:0])) == []


def test_batching_changes_nothing(tmp_path, monkeypatch):
    import nmfp.evaluation.sequences

    root = write_world(tmp_path)
    index = build_index(root)
    expected = run_search(root, index).read_bytes()
    monkeypatch.setattr(nmfp.evaluation.sequences.batches, "__defaults__", (60,))
    assert run_search(root, index).read_bytes() == expected


def test_the_plan_is_what_the_configuration_says(tmp_path):
    root = write_world(tmp_path)
    evaluation = EVALUATION | {"query_segments": [4, 2], "start_every": 30, "candidates": 3}
    analysis = read_analysis(run_search(root, build_index(root), evaluation=evaluation))
    assert analysis["seq_len"].tolist() == [2, 4] * 2 * 6
    assert sorted(analysis["seq_start_idx"].unique()) == [0, 30]
    assert Plan((2, 4), 30, 3).candidates == 3


def test_noisy_keeps_unit_length():
    x = noisy(generator(1), walk(generator(2), 20, 16), 0.5)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("factory", ["Flat", "IVF16,Flat"])
@pytest.mark.parametrize("shards", [2, 5])
def test_shards_answer_as_one_index_does(tmp_path, factory, shards):
    root = write_world(tmp_path, noise=1.5)
    whole = run_search(root, build_index(root, factory))
    sharded = build_index(root, factory, "sharded", shards=shards)
    assert run_search(root, sharded).read_bytes() == whole.read_bytes()
