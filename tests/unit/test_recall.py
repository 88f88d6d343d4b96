"""Indexes against exact search: the judge itself is checked against plain arithmetic."""

import numpy as np
import pandas as pd
import pytest
from nmfp.evaluation import recall
from nmfp.search import index as nn
from search_world import build_index, noisy, rule, walk, write_world

CORPUS = "queries_degraded_shifted"


def test_exact_search_is_exact_in_blocks_ties_and_half_precision(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = np.concatenate([walk(rng, 300, 16)] * 2)
    queries = noisy(rng, vectors[::7], 0.8)
    distances = ((queries[:, None].astype(np.float64) - vectors[None, :300]) ** 2).sum(axis=2)
    expected = distances.argmin(axis=1)
    for block in (1 << 16, 100):
        monkeypatch.setattr(nn, "BLOCK_ROWS", block)
        # a row and its copy are as near; which of them BLAS finds nearer hangs on the last bit
        np.testing.assert_array_equal(recall.nearest_rows(vectors, queries, threads=2) % 300, expected)
        half = recall.nearest_rows(vectors.astype(np.float16), queries)
        assert (half % 300 == expected).mean() > 0.95


def test_what_counts_as_right():
    vectors = np.array([[1, 0], [0.8, 0.6], [1, 0], [0, 1]], np.float32)
    queries = np.array([[1, 0]] * 5, np.float32)
    answers = np.full((5, 12), -1)
    answers[0, 0] = 0  # the nearest
    answers[1, 0] = 2  # as near
    answers[2, :2] = [1, 0]  # second
    answers[3, 0] = 3  # wrong; the next comes too late
    answers[3, 11] = 0
    found = recall.compare(vectors, queries, np.zeros(5, np.int64), answers)
    assert found.recall_1 == pytest.approx(2 / 5)
    assert found.recall_10 == pytest.approx(3 / 5)


def test_the_sample_is_bounded_and_drawn_by_the_seed():
    tracks = pd.DataFrame({"row_start": [0, 50, 60], "row_end": [50, 50, 4000]})
    rows = recall.sample_rows(tracks, 1)
    assert len(rows) == recall.SEGMENTS and (np.diff(rows) > 0).all()
    assert not ((rows >= 50) & (rows < 60)).any()
    np.testing.assert_array_equal(rows, recall.sample_rows(tracks, 1))
    assert not np.array_equal(rows, recall.sample_rows(tracks, 2))
    assert recall.sample_rows(tracks[:2], 1).tolist() == list(range(50))


def run_recall(root, index, nprobe=None, parameters=""):
    """Run the rule's script; the one row of its table."""
    import recall as script

    database, queries = root / "fingerprints/test/database", root / f"fingerprints/test/{CORPUS}"
    files = sorted((index / "shards").glob("*.faiss")) or [index / "index.faiss"]
    params = {
        "seed": 1,
        "database": database,
        "queries": queries,
        "nprobe": nprobe,
        "search_parameters": parameters,
        "on_disk": False,
        "candidates": 20,
    }
    table = root / f"evaluation/test/{index.name}/recall.csv"
    wildcards = {"model": "test", "index": index.name}
    script.main(rule(root, {"index": files}, {"table": table}, params, wildcards))
    (row,) = pd.read_csv(table).to_dict("records")
    assert list(row) == recall.COLUMNS
    return row, sum(path.stat().st_size for path in files)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("recall"), noise=1.2)


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_flat_index_loses_only_the_rows_that_it_does_not_hold(world, every, shards):
    index = build_index(world, "Flat", f"flat{every}{shards}", every=every, shards=shards)
    row, size = run_recall(world, index)
    database = np.load(world / "fingerprints/test/database/database.npy")
    queries = np.load(world / f"fingerprints/test/{CORPUS}/database.npy")
    nearest = (queries.astype(np.float64) @ database.T).argmax(axis=1)
    share = (nearest % every == 0).mean()
    assert row["recall_1"] == row["recall_10"] == pytest.approx(share, abs=1e-6)
    assert 0.3 < share < 0.7 or every == 1
    assert (row["factory"], row["every"], row["rows"]) == ("Flat", every, len(database))
    assert row["bytes_per_fingerprint"] == pytest.approx(size / len(database), abs=0.05)
    assert row["segments"] == len(queries) and row["segments_per_second"] > 0
    assert np.isnan(row["probes"])


def test_fewer_probes_find_less(world):
    index = build_index(world, "IVF16,Flat", "ivf")
    all_lists, one_list = run_recall(world, index, nprobe=16)[0], run_recall(world, index, nprobe=1)[0]
    assert (all_lists["probes"], one_list["probes"]) == (16, 1)
    assert all_lists["recall_1"] == 1
    assert 0.2 < one_list["recall_1"] < 1 and one_list["recall_1"] <= one_list["recall_10"] < 1


def test_without_queries_it_says_so(tmp_path, capsys):
    root = write_world(tmp_path, tracks=2, queries=1, unknown=1, query_rows=59)
    tracks = root / f"fingerprints/test/{CORPUS}/tracks.csv"
    tracks.write_text(tracks.read_text().splitlines()[0] + "\n")
    info = tracks.with_name("database.json")
    info.write_text(info.read_text().replace('"tracks": 1', '"tracks": 0'))
    with pytest.raises(SystemExit):
        run_recall(root, build_index(root))
    assert "holds no queries; see its failures.csv" in capsys.readouterr().err
