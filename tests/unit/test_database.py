"""Opening a database: what belongs together opens, what does not is one sentence."""

import json

import numpy as np
import pandas as pd
import pytest
from nmfp.database.fingerprints import TRACK_COLUMNS, full_disk_explained, open_fingerprints, unit_length
from nmfp.errors import NmfpError
from nmfp.files import write_csv, write_json, write_npy


@pytest.fixture
def folder(tmp_path):
    """Three tracks in ten rows; rows 4 and 5 are those of a removed track."""
    vectors = np.eye(10, 12, dtype=np.float32)
    rows = [("a", 0, 4), ("NA", 6, 7), ("007", 7, 10)]
    table = pd.DataFrame([(*r, 9000, "f" * 64, "ok", "") for r in rows], columns=TRACK_COLUMNS)
    write_npy(tmp_path / "database.npy", vectors)
    write_npy(tmp_path / "silent.npy", np.arange(10) // 2 == 2)
    write_csv(tmp_path / "tracks.csv", table)
    info = {"rows": 10, "dimension": 12, "dtype": "float32", "model": "m", "model_digest": "d"}
    write_json(tmp_path / "database.json", {**info, "hop_samples": 4000, "tracks": 3, "sha256": "s"})
    return tmp_path


def test_database_opens_as_a_memmap(folder):
    found = open_fingerprints(folder)
    assert isinstance(found.vectors, np.memmap) and found.vectors.shape == (10, 12)
    assert not found.vectors.flags.writeable
    assert np.flatnonzero(found.silent).tolist() == [4, 5]
    assert found.tracks["id"].tolist() == ["a", "NA", "007"]
    assert found.tracks["row_end"].tolist() == [4, 7, 10]
    assert found.info["hop_samples"] == 4000


def test_empty_database_opens(folder):
    info = json.loads((folder / "database.json").read_text())
    write_json(folder / "database.json", {**info, "rows": 0, "tracks": 0})
    write_npy(folder / "database.npy", np.zeros((0, 12), np.float32))
    write_npy(folder / "silent.npy", np.zeros(0, bool))
    write_csv(folder / "tracks.csv", pd.DataFrame(columns=TRACK_COLUMNS))
    found = open_fingerprints(folder)
    assert found.vectors.shape == (0, 12) and len(found.tracks) == 0


@pytest.mark.parametrize("name", ["database.npy", "silent.npy", "tracks.csv", "database.json"])
def test_each_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(NmfpError, match=f"{name} does not exist"):
        open_fingerprints(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("database.npy", b"", "damaged"),
        ("database.npy", b"\x93NUMPY garbage", "damaged"),
        ("silent.npy", b"\x80\x04K\x01.", "damaged"),
        ("database.json", b"{", "cannot be read as JSON"),
        ("database.json", b'{"rows": 10}', "lacks dimension"),
        ("tracks.csv", b"id,row_start\na,0\n", "lacks the column"),
    ],
)
def test_each_damaged_file_is_named(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(NmfpError, match=message) as caught:
        open_fingerprints(folder)
    assert name in str(caught.value)


def test_truncated_array_is_refused(folder):
    data = (folder / "database.npy").read_bytes()
    (folder / "database.npy").write_bytes(data[:-1])
    with pytest.raises(NmfpError, match="database.npy is damaged"):
        open_fingerprints(folder)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((9, 12), np.float32), r"holds float32 \(9, 12\)"),
        (np.zeros((10, 12), np.float16), "holds float16"),
    ],
)
def test_array_of_another_shape_or_type_is_refused(folder, array, message):
    write_npy(folder / "database.npy", array)
    with pytest.raises(NmfpError, match=message):
        open_fingerprints(folder)


@pytest.mark.parametrize("rows", [[(0, 4), (3, 7)], [(0, 4), (7, 6)], [(0, 4), (6, 11)], [(-1, 4)]])
def test_impossible_ranges_are_refused(folder, rows):
    table = pd.DataFrame([(f"t{a}", a, b, 1, "f", "ok", "") for a, b in rows], columns=TRACK_COLUMNS)
    write_csv(folder / "tracks.csv", table)
    with pytest.raises(NmfpError, match="tracks.csv: rows"):
        open_fingerprints(folder)


def test_table_of_another_database_is_refused(folder):
    table = pd.read_csv(folder / "tracks.csv", keep_default_na=False)
    write_csv(folder / "tracks.csv", table[:2])
    with pytest.raises(NmfpError, match="lists 2 tracks and database.json counts 3"):
        open_fingerprints(folder)


def test_unit_length():
    rows = np.eye(3, dtype=np.float32)
    assert unit_length(rows) and unit_length(rows.astype(np.float16)) and unit_length(rows[:0])
    for bad in (0.0, 0.99, np.nan, np.inf):
        wrong = rows.copy()
        wrong[1, 1] = bad
        assert not unit_length(wrong)


def test_only_a_full_disk_is_explained(tmp_path):
    with pytest.raises(NmfpError, match="No space left.*free space"), full_disk_explained(tmp_path):
        raise OSError(28, "No space left on device")
    with pytest.raises(PermissionError), full_disk_explained(tmp_path):
        raise PermissionError(13, "Permission denied")
