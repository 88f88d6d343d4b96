"""A grown database: the index goes on from its rows, and is the same as one filled from the start."""

import hashlib

import numpy as np
import pytest
from nmfp import index
from nmfp.index_growth import advise, grown_from, keep


def vectors(rows: int) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal((rows, 16)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def info(array: np.ndarray) -> dict:
    sha256 = hashlib.sha256(array.tobytes()).hexdigest()
    return {"rows": len(array), "dimension": 16, "model_digest": "d", "sha256": sha256}


def fill(folder, array, trained, empty):
    path = folder / "index.faiss"
    grown = grown_from(path, trained, array)
    filled = empty() if grown is None else grown
    before = filled.ntotal
    index.fill(filled, array, before)
    described = index.describe("asked", trained["resolved"], info(array))
    index.write(path, filled, {**described, "trained_sha256": trained["sha256"]})
    keep(path)
    return before, path.read_bytes()


@pytest.fixture(params=["Flat", "IVF8,Flat", "IVF8,PQ4x4"])
def quantisers(request, tmp_path):
    made, resolved = index.train(vectors(700), request.param, 0)
    index.write(tmp_path / "trained.faiss", made, index.describe("asked", resolved, info(vectors(700))))
    _, trained = index.read(tmp_path / "trained.faiss", {})
    return trained, lambda: index.read(tmp_path / "trained.faiss", {})[0]


def test_only_new_rows_are_added_and_the_bytes_are_the_same(quantisers, tmp_path):
    trained, empty = quantisers
    folder, fresh = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    fresh.mkdir()
    assert fill(folder, vectors(700), trained, empty)[0] == 0
    (folder / "index.faiss").unlink()  # as Snakemake does
    (folder / "index.json").unlink()
    before, grown = fill(folder, vectors(900), trained, empty)
    assert before == 700
    assert grown == fill(fresh, vectors(900), trained, empty)[1]


@pytest.mark.parametrize("change", ["row", "fewer", "quantisers", "damaged"])
def test_what_does_not_fit_is_filled_from_the_first_row(quantisers, tmp_path, change):
    trained, empty = quantisers
    folder = tmp_path / "a"
    folder.mkdir()
    fill(folder, vectors(700), trained, empty)
    array = vectors(900)
    if change == "row":
        array[3] = -array[3]
    if change == "fewer":
        array = array[:600]
    if change == "quantisers":
        trained = {**trained, "sha256": "other"}
    if change == "damaged":
        (folder / "last" / "index.json").unlink()
        (folder / "last" / "index.json").write_text("{")
    assert fill(folder, array, trained, empty)[0] == 0


def test_training_again_is_advised_at_four_times_the_size():
    assert advise({"rows": 100}, 399) == ""
    assert "grown from 100 to 400" in advise({"rows": 100}, 400)
