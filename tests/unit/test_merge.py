"""Merging: complete, verified, resumable, in bounded memory, never at the cost of the database of before."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import merge as script
import numpy as np
import pandas as pd
import pytest
from nmfp.database import merge
from nmfp.database.fingerprints import TRACK_COLUMNS, open_fingerprints
from nmfp.errors import NmfpError
from nmfp.files import write_csv, write_json, write_npy

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
MODEL = {"model": "m", "model_digest": "d" * 64, "dimension": 8, "hop_samples": 4000}


def write_partition(folder: Path, n: int, tracks: dict[str, int], seed: int = 0, dimension: int = 8) -> Path:
    """Partition n with `tracks` (id -> rows; 0 rows: failed), as extraction writes it."""
    rows = sum(tracks.values())
    rng = np.random.default_rng([n, seed])
    vectors = rng.standard_normal((rows, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    path = folder / f"{n:04d}.npy"
    write_npy(path, vectors)
    write_npy(path.with_suffix(".silent.npy"), rng.random(rows) < 0.1)
    end = np.cumsum(list(tracks.values()))
    table = [
        (
            name,
            stop - size,
            stop,
            size * 4000,
            f"sha of {name}",
            "ok" if size else "failed",
            "" if size else "broken",
        )
        for (name, size), stop in zip(tracks.items(), end, strict=True)
    ]
    write_csv(path.with_suffix(".csv"), pd.DataFrame(table, columns=TRACK_COLUMNS))
    info = {"rows": rows, **MODEL, "dimension": dimension}
    write_json(path.with_suffix(".json"), {**info, "sha256": hashlib.sha256(vectors.tobytes()).hexdigest()})
    return path


@pytest.fixture
def partitions(tmp_path):
    """Three partitions: six good tracks of 37 rows in all, two failed ones, one partition without any row."""
    folder = tmp_path / "partitions"
    folder.mkdir()
    write_partition(folder, 1, {"a": 5, "b": 0, "c": 7})
    write_partition(folder, 2, {"d": 0})
    write_partition(folder, 3, {"e": 1, "f": 20, "g": 3, "h": 1})
    return folder


def targets(folder: Path) -> dict[str, Path]:
    names = {"fingerprints": "database.npy", "silent": "silent.npy", "info": "database.json"}
    return {key: folder / name for key, name in names.items()} | {
        key: folder / f"{key}.csv" for key in ("tracks", "failures")
    }


def run(partitions: Path, out: Path, alive: list[str] | None = None, dtype: str = "float32") -> dict:
    read = merge.read_partitions(sorted(partitions.glob("[0-9]*[0-9].npy")), "d" * 64, 8, 4000)
    table = None
    if alive is not None:
        table = pd.DataFrame({"id": alive, "sha256": [f"sha of {name}" for name in alive]})
    return merge.merge(read, merge.join_tables(read, table), targets(out), out / "work", MODEL, dtype)


def failing(error: Exception):
    """A function that takes anything and raises `error`."""

    def fail(*_):
        raise error

    return fail


def test_partitions_one_after_another(partitions, tmp_path):
    info = run(partitions, tmp_path / "out")
    found = open_fingerprints(tmp_path / "out")
    arrays = [np.load(partitions / f"{n:04d}.npy") for n in (1, 2, 3)]
    assert np.array_equal(found.vectors, np.concatenate(arrays))
    flags = [np.load(partitions / f"{n:04d}.silent.npy") for n in (1, 2, 3)]
    assert np.array_equal(found.silent, np.concatenate(flags))
    assert found.tracks["id"].tolist() == ["a", "c", "e", "f", "g", "h"]
    assert found.tracks["row_start"].tolist() == [0, 5, 12, 13, 33, 36]
    assert found.tracks["row_end"].tolist() == [5, 12, 13, 33, 36, 37]
    assert info["sha256"] == hashlib.sha256(np.concatenate(arrays).tobytes()).hexdigest()
    failures = pd.read_csv(tmp_path / "out" / "failures.csv")
    assert failures["id"].tolist() == ["b", "d"] and failures["reason"].tolist() == ["broken"] * 2
    assert [path.name for path in (tmp_path / "out" / "work").iterdir()] == ["last"]


def test_half_precision(partitions, tmp_path):
    info = run(partitions, tmp_path / "out", dtype="float16")
    found = open_fingerprints(tmp_path / "out")
    assert found.vectors.dtype == np.float16 and info["dtype"] == "float16"
    arrays = [np.load(partitions / f"{n:04d}.npy") for n in (1, 2, 3)]
    assert np.array_equal(found.vectors, np.concatenate(arrays).astype(np.float16))
    with pytest.raises(NmfpError, match="fingerprints.dtype: 'int8'"):
        run(partitions, tmp_path / "out", dtype="int8")


def test_removed_tracks_keep_their_rows_and_are_masked(partitions, tmp_path):
    before = run(partitions, tmp_path / "out")
    info = run(partitions, tmp_path / "out", alive=["a", "b", "d", "e", "f", "h"])
    found = open_fingerprints(tmp_path / "out")
    assert found.tracks["id"].tolist() == ["a", "e", "f", "h"]
    assert found.tracks["row_start"].tolist() == [0, 12, 13, 36]
    assert found.silent[5:12].all() and found.silent[33:36].all()
    assert (info["rows"], info["removed_rows"]) == (37, 10)
    assert info["sha256"] == before["sha256"]  # an index of the rows of before still fits
    assert pd.read_csv(tmp_path / "out" / "failures.csv")["id"].tolist() == ["b", "d"]


def test_changed_file_is_a_removal_and_an_addition(partitions, tmp_path):
    table = pd.read_csv(partitions / "0003.csv")
    write_partition(partitions, 4, {"f": 4})
    new = pd.read_csv(partitions / "0004.csv").assign(sha256="new content")
    write_csv(partitions / "0004.csv", new)
    read = merge.read_partitions(sorted(partitions.glob("[0-9]*[0-9].npy")), "d" * 64, 8, 4000)
    alive = pd.DataFrame({"id": ["e", "f"], "sha256": [table["sha256"][0], "new content"]})
    joined = merge.join_tables(read, alive)
    ok = joined[joined["status"] == "ok"]
    assert ok[["id", "row_start", "row_end"]].values.tolist() == [["e", 12, 13], ["f", 37, 41]]
    with pytest.raises(NmfpError, match="'f' stands in two partitions"):
        merge.join_tables(read, None)


def test_no_partitions_make_an_empty_database(tmp_path):
    info = merge.merge([], merge.join_tables([], None), targets(tmp_path), tmp_path / "work", MODEL)
    assert info["rows"] == 0
    assert open_fingerprints(tmp_path).vectors.shape == (0, 8)


@pytest.mark.parametrize("name", ["0003.npy", "0003.silent.npy", "0003.csv", "0003.json"])
def test_missing_part_is_named(partitions, tmp_path, name):
    paths = sorted(partitions.glob("[0-9]*[0-9].npy"))
    (partitions / name).unlink()
    with pytest.raises(NmfpError, match=f"{name} does not exist"):
        merge.read_partitions(paths, "d" * 64, 8, 4000)


@pytest.mark.parametrize(
    ("key", "value"), [("model_digest", "other"), ("hop_samples", 2000), ("dimension", 4)]
)
def test_foreign_partition_is_named(partitions, key, value):
    info = json.loads((partitions / "0003.json").read_text())
    write_json(partitions / "0003.json", {**info, key: value})
    with pytest.raises(NmfpError, match=f"0003.npy was made with {key} {value}"):
        merge.read_partitions(sorted(partitions.glob("[0-9]*[0-9].npy")), "d" * 64, 8, 4000)


def test_changed_bytes_are_noticed_before_anything_is_replaced(partitions, tmp_path):
    run(partitions, tmp_path / "out")
    before = {path: path.read_bytes() for path in targets(tmp_path / "out").values()}
    array = np.load(partitions / "0003.npy")
    array[4] = -array[4]
    np.save(partitions / "0003.npy", array)
    with pytest.raises(NmfpError, match="0003.npy does not hold the bytes"):
        run(partitions, tmp_path / "out")
    array[4] = 0
    np.save(partitions / "0003.npy", array)
    with pytest.raises(NmfpError, match="0003.npy holds vectors that are not of length 1"):
        run(partitions, tmp_path / "out")
    assert {path: path.read_bytes() for path in before} == before


def test_rows_without_a_track_are_refused(partitions):
    table = pd.read_csv(partitions / "0003.csv")
    write_csv(partitions / "0003.csv", table[:-1])
    with pytest.raises(NmfpError, match="rows that belong to no track"):
        merge.read_partitions(sorted(partitions.glob("[0-9]*[0-9].npy")), "d" * 64, 8, 4000)


def test_killed_merge_goes_on_where_it_was(partitions, tmp_path, monkeypatch):
    run(partitions, tmp_path / "whole")
    copy = merge._copy

    def dies(partition, target, dtype):
        if partition.name == "0003":
            target.write(b"half of it")
            raise KeyboardInterrupt
        return copy(partition, target, dtype)

    monkeypatch.setattr(merge, "_copy", dies)
    with pytest.raises(KeyboardInterrupt):
        run(partitions, tmp_path / "out")
    copied = []
    monkeypatch.setattr(merge, "_copy", lambda p, t, d: copied.append(p.name) or copy(p, t, d))
    run(partitions, tmp_path / "out")
    assert copied == ["0003"]
    for a, b in zip(targets(tmp_path / "whole").values(), targets(tmp_path / "out").values(), strict=True):
        assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize("damage", ["bytes", "torn note"])
def test_unfinished_work_is_judged_by_its_content(partitions, tmp_path, monkeypatch, damage):
    run(partitions, tmp_path / "whole")
    verify = merge._verify

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(merge, "_verify", dies)
    with pytest.raises(KeyboardInterrupt):
        run(partitions, tmp_path / "out")
    monkeypatch.setattr(merge, "_verify", verify)
    (folder,) = (path for path in (tmp_path / "out" / "work").iterdir() if path.name != "last")
    if damage == "bytes":
        data = bytearray((folder / "database.npy").read_bytes())
        data[-1] ^= 1
        (folder / "database.npy").write_bytes(data)
    else:
        notes = (folder / "copied.txt").read_bytes()
        (folder / "copied.txt").write_bytes(notes[:-30])
    run(partitions, tmp_path / "out")
    assert (tmp_path / "out" / "database.npy").read_bytes() == (
        tmp_path / "whole" / "database.npy"
    ).read_bytes()


def test_full_disk_leaves_the_database_of_before(partitions, tmp_path, monkeypatch):
    run(partitions, tmp_path / "out")
    before = {path: path.read_bytes() for path in targets(tmp_path / "out").values()}
    write_partition(partitions, 4, {"i": 9})

    full = failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    for function in ("os.posix_fallocate", "os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(f"nmfp.database.merge.{function}", full)
            with pytest.raises(NmfpError, match="No space left on device"):
                run(partitions, tmp_path / "out")
        assert {path: path.read_bytes() for path in before} == before
        assert len(open_fingerprints(tmp_path / "out").tracks) == 6
    run(partitions, tmp_path / "out")
    assert len(open_fingerprints(tmp_path / "out").tracks) == 7


def test_database_of_before_survives_snakemake(partitions, tmp_path, monkeypatch):
    """Snakemake deletes a rule's outputs before it runs and after it fails."""
    run(partitions, tmp_path / "out")
    for path in targets(tmp_path / "out").values():
        path.unlink()
    write_partition(partitions, 4, {"i": 9})
    monkeypatch.setattr(
        "nmfp.database.merge.os.posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with pytest.raises(NmfpError, match="full"):
        run(partitions, tmp_path / "out")
    assert len(open_fingerprints(tmp_path / "out" / "work" / "last").tracks) == 6
    monkeypatch.undo()
    run(partitions, tmp_path / "out")
    assert len(open_fingerprints(tmp_path / "out" / "work" / "last").tracks) == 7
    assert os.path.samefile(
        tmp_path / "out" / "work" / "last" / "database.npy", tmp_path / "out" / "database.npy"
    )


def test_file_system_without_links_is_no_error(partitions, tmp_path, monkeypatch):
    monkeypatch.setattr("nmfp.database.merge.os.link", failing(OSError(1, "not permitted")))
    run(partitions, tmp_path / "out")
    assert len(open_fingerprints(tmp_path / "out").tracks) == 6
    assert not list((tmp_path / "out" / "work").iterdir())


def test_disk_that_forgets_is_an_error(partitions, tmp_path, monkeypatch):
    monkeypatch.setattr(merge, "_verify", lambda *_: ("", [0]))
    with pytest.raises(NmfpError, match="does not read back as it was written"):
        run(partitions, tmp_path / "out")
    assert not (tmp_path / "out" / "database.npy").exists()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_database(tmp_path):
    """300 MB of fingerprints in one process whose memory stays far below that."""
    partitions = tmp_path / "partitions"
    partitions.mkdir()
    for n in range(1, 4):
        write_partition(partitions, n, {f"{n} {i}": 2000 for i in range(100)}, dimension=128)
    code = (
        "import sys, resource; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from nmfp.database import merge\n"
        "model = {'model': 'm', 'model_digest': 'd' * 64, 'dimension': 128, 'hop_samples': 4000}\n"
        "read = merge.read_partitions(sys.argv[3:], 'd' * 64, 128, 4000)\n"
        "names = ('fingerprints', 'silent', 'tracks', 'failures', 'info')\n"
        "out = {name: Path(sys.argv[2]) / name for name in names}\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "merge.merge(read, merge.join_tables(read, None), out, Path(sys.argv[2]) / 'work', model)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    paths = [str(partitions / f"{n:04d}.npy") for n in (1, 2, 3)]
    command = [sys.executable, "-c", code, str(SCRIPTS), str(tmp_path), *paths]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown < 40_000, f"{grown} KiB"


class Named(dict):
    """What Snakemake passes: items by name as attributes."""

    __getattr__ = dict.__getitem__


def run_script(partitions: Path, out: Path, small_model: Path, budget: float = 0.01) -> None:
    out.mkdir(exist_ok=True)
    write_csv(
        out / "alive.csv",
        pd.DataFrame({"id": list("abcdefgh"), "sha256": [f"sha of {name}" for name in "abcdefgh"]}),
    )
    script.main(
        SimpleNamespace(
            input=Named(
                fingerprints=sorted(map(str, partitions.glob("[0-9]*[0-9].npy"))),
                tracks=str(out / "alive.csv"),
                model=str(small_model / "model.json"),
            ),
            output=Named({key: str(path) for key, path in targets(out).items()}),
            params=Named(version=1, dtype="float32", failure_budget=budget, work=str(out / "work")),
            wildcards=Named(model="m", corpus="database"),
            log=[str(out / "merge.log")],
        )
    )


@pytest.fixture
def of_small_model(tmp_path, small_model):
    """A partition that the small model could have made: eight tracks, three of them failed."""
    folder = tmp_path / "of_small_model"
    folder.mkdir()
    write_partition(folder, 1, {"a": 2, "b": 0, "c": 3, "d": 0, "e": 1, "f": 0, "g": 1, "h": 1}, dimension=16)
    info = json.loads((folder / "0001.json").read_text())
    info["model_digest"] = json.loads((small_model / "model.json").read_text())["digest"]
    write_json(folder / "0001.json", info)
    return folder


def test_script_merges_and_lists_failures(of_small_model, small_model, tmp_path):
    run_script(of_small_model, tmp_path / "out", small_model)
    assert len(open_fingerprints(tmp_path / "out").tracks) == 5
    assert "8 fingerprints of 5 tracks" in (tmp_path / "out" / "merge.log").read_text()


def test_script_fails_beyond_the_budget_and_shows_the_list(of_small_model, small_model, tmp_path):
    with pytest.raises(SystemExit):
        run_script(of_small_model, tmp_path / "out", small_model, budget=0.0)
    assert not (tmp_path / "out" / "database.npy").exists()
    assert "3 of 8 files" in (tmp_path / "out" / "merge.log").read_text()
    assert pd.read_csv(tmp_path / "out" / "merge.failures.csv")["id"].tolist() == ["b", "d", "f"]


def test_script_refuses_partitions_of_another_model(partitions, small_model, tmp_path):
    with pytest.raises(SystemExit):
        run_script(partitions, tmp_path / "out", small_model)
    assert "0001.npy was made with model_digest" in (tmp_path / "out" / "merge.log").read_text()
