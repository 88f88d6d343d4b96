"""A grown database: the index goes on from its rows, and is the same as one filled from the start."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import report
from nmfp.evaluation.hit_rates import COLUMNS
from nmfp.files import write_json
from nmfp.report import pages
from nmfp.search import index
from nmfp.search.growth import grown_from, keep

HIT_RATES = pd.DataFrame(columns=COLUMNS)


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
    index.fill(filled, array[:: trained["every"]], before)
    described = index.describe("asked", trained["resolved"], info(array), trained["every"])
    index.write(path, filled, {**described, "trained_sha256": trained["sha256"]})
    keep(path)
    return before, path.read_bytes()


@pytest.fixture(params=[("Flat", 1), ("IVF8,Flat", 1), ("IVF8,PQ4x4", 1), ("Flat", 2), ("IVF8,PQ4x4", 3)])
def quantisers(request, tmp_path):
    factory, every = request.param
    made, resolved = index.train(vectors(700)[::every], factory, 0)
    described = index.describe("asked", resolved, info(vectors(700)), every)
    index.write(tmp_path / "trained.faiss", made, described)
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
    assert before == index.rows_held(700, trained["every"])
    assert grown == fill(fresh, vectors(900), trained, empty)[1]


@pytest.mark.parametrize("change", ["row", "fewer", "quantisers", "every", "damaged"])
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
    if change == "every":
        trained = {**trained, "every": trained["every"] + 1}
    if change == "damaged":
        (folder / "last" / "index.json").unlink()
        (folder / "last" / "index.json").write_text("{")
    assert fill(folder, array, trained, empty)[0] == 0


def test_the_report_advises_to_train_again_at_four_times_the_size(tmp_path):
    trained, database = (
        tmp_path / "index/m/ivf/trained.json",
        tmp_path / "fingerprints/m/database/database.json",
    )
    write_json(trained, {"resolved": "IVF8,Flat", "rows": 100})
    for rows, advised in ((399, False), (400, True)):
        write_json(database, {"rows": rows})
        table = report.index_growth(SimpleNamespace(indexes=[str(trained)], databases=[str(database)]))
        row = table.iloc[0]
        assert row[["model", "index", "factory"]].tolist() == ["m", "ivf", "IVF8,Flat"]
        assert row[["trained_rows", "rows", "growth"]].tolist() == [100, rows, rows / 100]
        models = pd.DataFrame(columns=["model", "weights", "from", "loss"])
        others = [pd.DataFrame({"order": []})] * 3
        sections = report.tables(models, table[:0], {}, HIT_RATES, *others, table, table[:0], table[:0])
        html = pages.tables_page(sections)
        assert ("grown from 100 to 400" in html) == advised
        assert (f"--forcerun {trained.with_suffix('.faiss')} " in row["advice"]) == advised
