"""Compaction: what is left is as if the removed tracks had never been, and a kill costs nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nmfp.database import compaction, merge
from nmfp.errors import NmfpError
from test_merge import failing, write_partition

GONE = {"b", "e"}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A partition of five tracks, one of them failed, and one that loses nothing."""
    folder = tmp_path / "partitions"
    folder.mkdir()
    write_partition(folder, 1, {"a": 5, "b": 3, "c": 0, "d": 7, "e": 1})
    write_partition(folder, 2, {"f": 2})
    return folder


def alive(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"id": names, "sha256": [f"sha of {name}" for name in names]})


def read(folder: Path) -> list[merge.Partition]:
    return merge.read_partitions(sorted(folder.glob("[0-9]*[0-9].npy")), "d" * 64, 8, 4000)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def run(folder: Path, tracks: pd.DataFrame) -> list[int]:
    work = folder.parent / "work"
    compaction.finish(work, folder)
    return [compaction.compact(partition, tracks, work) for partition in read(folder)]


def test_rows_of_removed_tracks_are_gone(folder):
    before = np.load(folder / "0001.npy")
    untouched = (folder / "0002.npy").stat().st_mtime_ns
    assert run(folder, alive("a", "c", "d", "f")) == [4, 0]
    first, second = read(folder)
    assert first.table["id"].tolist() == ["a", "c", "d"]
    assert first.table[["row_start", "row_end"]].values.tolist() == [[0, 5], [5, 5], [5, 12]]
    assert np.array_equal(np.load(folder / "0001.npy"), np.concatenate([before[:5], before[8:15]]))
    assert len(np.load(folder / "0001.silent.npy")) == 12
    assert (folder / "0002.npy").stat().st_mtime_ns == untouched  # Snakemake has no reason to merge again
    assert run(folder, alive("a", "c", "d", "f")) == [0, 0]
    merged = merge.join_tables([first, second], alive("a", "c", "d", "f"))
    assert (merged["status"] != "removed").all()


def test_a_partition_may_lose_everything(folder):
    assert run(folder, alive("f")) == [16, 0]
    assert np.load(folder / "0001.npy").shape == (0, 8)
    assert run(folder, alive("f")) == [0, 0]


@pytest.mark.parametrize("renamed", range(5))
def test_a_killed_compaction_is_completed(folder, monkeypatch, renamed):
    """Killed after so many of the four renames."""
    twin = folder.parent / "twin" / "partitions"
    twin.mkdir(parents=True)
    for name, data in contents(folder).items():
        (twin / name).write_bytes(data)
    run(twin, alive("a", "c", "d", "f"))
    calls = []
    replace = Path.replace

    def dies(path, target):
        if path.parent.name == "0001" and not path.name.startswith(".part-"):
            if len(calls) == renamed:
                raise KeyboardInterrupt
            calls.append(path)
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies)
        if renamed < 4:
            with pytest.raises(KeyboardInterrupt):
                run(folder, alive("a", "c", "d", "f"))
    run(folder, alive("a", "c", "d", "f"))
    assert contents(folder) == contents(twin)


def test_full_disk_leaves_the_partition(folder, monkeypatch):
    before = contents(folder)
    monkeypatch.setattr("nmfp.files.os.fsync", failing(OSError(28, "No space left on device")))
    with pytest.raises(NmfpError, match="No space left"):
        run(folder, alive("a", "f"))
    assert contents(folder) == before
    monkeypatch.undo()
    assert run(folder, alive("a", "f")) == [11, 0]
