"""kill -9 at random moments of a merge: the database of before stays, the next run gives the same bytes."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nmfp.database.fingerprints import TRACK_COLUMNS, open_fingerprints
from nmfp.errors import NmfpError
from nmfp.files import write_csv, write_json, write_npy
from stages import DATABASE, kill_after, merge_job, run

pytestmark = pytest.mark.crash
SEEDS = range(20)
PARTITIONS, ROWS = 12, 20_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, small_model) -> Path:
    """Twelve partitions of two tracks each, 15 MB in all, as the small model could have made them."""
    folder = tmp_path_factory.mktemp("corpus")
    digest = json.loads((small_model / "model.json").read_text())["digest"]
    rows = []
    for n in range(PARTITIONS):
        rng = np.random.default_rng(n)
        vectors = rng.standard_normal((ROWS, 16)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        path = folder / f"{n + 1:04d}.npy"
        write_npy(path, vectors)
        write_npy(path.with_suffix(".silent.npy"), rng.random(ROWS) < 0.1)
        ends = [ROWS // 4, ROWS]
        table = [(f"{n}-{k}", ([0] + ends)[k], ends[k], 9000, f"{n}{k}", "ok", "") for k in range(2)]
        write_csv(path.with_suffix(".csv"), pd.DataFrame(table, columns=TRACK_COLUMNS))
        info = {"rows": ROWS, "dimension": 16, "model": "small", "model_digest": digest, "hop_samples": 4000}
        sha256 = hashlib.sha256(vectors.tobytes()).hexdigest()
        write_json(path.with_suffix(".json"), {**info, "sha256": sha256})
        rows += [(row[0], row[4]) for row in table]
    write_csv(folder / "tracks.csv", pd.DataFrame(rows, columns=["id", "sha256"]))
    return folder


def partitions(corpus: Path, n: int = PARTITIONS) -> list[Path]:
    return [corpus / f"{k + 1:04d}.npy" for k in range(n)]


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in DATABASE.values()}


@pytest.fixture(scope="module")
def uninterrupted(corpus, small_model, tmp_path_factory) -> tuple[dict[str, bytes], float]:
    """What an undisturbed merge writes, and its seconds."""
    out = tmp_path_factory.mktemp("uninterrupted")
    seconds = run("merge", merge_job(corpus, small_model, out, partitions(corpus)))
    return contents(out), seconds


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_merge_gives_the_same_bytes(seed, corpus, small_model, uninterrupted, tmp_path):
    expected, seconds = uninterrupted
    run("merge", merge_job(corpus, small_model, tmp_path, partitions(corpus, 2)))
    before = contents(tmp_path)
    rng = np.random.default_rng(seed)
    job = merge_job(corpus, small_model, tmp_path, partitions(corpus))
    for _ in range(2):
        kill_after("merge", job, rng.uniform(0.3, 1) * seconds)
        if contents(tmp_path) not in (before, expected):  # killed between two of the five final renames
            with pytest.raises(NmfpError):
                open_fingerprints(tmp_path)
    run("merge", job)
    assert contents(tmp_path) == expected
    assert len(open_fingerprints(tmp_path).tracks) == 2 * PARTITIONS
    assert [path.name for path in (tmp_path / "work" / "merge").iterdir()] == ["last"]
