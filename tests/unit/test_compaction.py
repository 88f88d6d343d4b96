"""Compaction: what is left is as if the removed tracks had never been, and a kill costs nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nmfp.audio.wav import write_wav
from nmfp.database import compaction, merge
from nmfp.datasets.columns import AUDIO_COLUMNS
from nmfp.datasets.conversion import remove_wavs
from nmfp.datasets.partitions import write_lists
from nmfp.errors import NmfpError
from nmfp.files import write_csv
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


def test_the_wavs_of_removed_files_go_and_no_others(tmp_path):
    """Duplicates keep theirs: it is needed when the file that they repeat goes."""
    collection = tmp_path / "music"
    names = ["stays.mp3", "goes.mp3", "deep/goes.flac", "repeats.mp3"]
    for name in names:
        write_wav(collection / "audio" / f"{name}.wav", np.ones(8000, np.int16))
    write_wav(tmp_path / "elsewhere.wav", np.ones(8000, np.int16))
    paths = [str(collection / "audio" / f"{name}.wav") for name in names]
    rows = [(n, p, "any", 8000, n, "ok", "") for n, p in zip(names, paths, strict=True)]
    rows += [("broken.mp3", "", "any", 0, "", "failed", "text")]
    rows += [("moved.mp3", str(tmp_path / "elsewhere.wav"), "any", 8000, "m", "ok", "")]
    write_csv(collection / "converted" / "0001.csv", pd.DataFrame(rows, columns=AUDIO_COLUMNS))
    listed = [
        ("stays.mp3", "in/stays.mp3", "any", "", "1"),
        ("repeats.mp3", "in/repeats.mp3", "any", "", "2"),
    ]
    files = pd.DataFrame(listed, columns=["id", "path", "role", "reason", "state"])
    write_csv(collection / "files.csv", files)
    before = pd.concat([files, files.assign(id=["goes.mp3", "deep/goes.flac"], state=["3", "4"])])
    write_lists(before, collection / "batches", collection / "batches.registry.csv", 10)
    assert remove_wavs(collection) == (2, 2 * 16_044)
    assert sorted(p.name for p in collection.rglob("*.wav")) == ["repeats.mp3.wav", "stays.mp3.wav"]
    assert (tmp_path / "elsewhere.wav").exists() and remove_wavs(collection) == (0, 0)
    known = pd.read_csv(collection / "batches.registry.csv").set_index("id")["present"]
    assert known["stays.mp3"] == 1 and known["goes.mp3"] == known["deep/goes.flac"] == -1
    write_csv(collection / "files.csv", files[:1].drop(columns="state"))
    assert remove_wavs(collection) == (0, 0)  # a published collection
