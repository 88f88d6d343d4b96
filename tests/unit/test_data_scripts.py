"""The data scripts one after another, as Snakemake calls them, on a folder with good and bad files."""

import importlib
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from nmfp.files import read_csv

DEGRADATIONS = ["noise", "room", "microphone"]
VARIANTS = ["clean", "clean_shifted", "degraded", "degraded_shifted"]
SHARES = {"training_share": 0.5, "validation_share": 0.1, "unknown_share": 0.1, "test_share": 0.3}
QUERIES = {"count": None, "unknown_count": None, "per_track": 1, "seconds": 3, "max_shift_seconds": 0.25}
SWITCHES = {"snr_db": [0, 10], "snr_reference": "excerpt", "noise": True, "room": True, "microphone": True}


class Named(dict):
    """Names by attribute and by key, as Snakemake's lists have them."""

    __getattr__ = dict.__getitem__


class Workflow:
    """Calls the scripts' main() with the files that the rules name."""

    def __init__(self, root):
        self.data, self.logs = root / "data", root / "logs"

    def call(self, script, log, inputs=None, output=None, wildcards=None, threads=2, **params):
        importlib.import_module(script).main(
            SimpleNamespace(
                input=Named(inputs or {}),
                output=Named({k: str(v) for k, v in (output or {}).items()}),
                wildcards=Named(wildcards or {}),
                params=Named(version=1, **params),
                threads=threads,
                log=[str(self.logs / f"{log}.log")],
            )
        )

    def list_folder(self, collection, folder):
        self.call(
            "list_folder",
            f"list_folder/{collection}",
            output={"files": self.data / collection / "files.csv"},
            wildcards={"collection": collection},
            folder=folder,
        )

    def lists(self, table, folder, size=3):
        shutil.rmtree(folder, ignore_errors=True)  # as Snakemake does
        self.call("partition", "partition", {"table": table}, {"lists": folder}, size=size)
        return sorted(path.stem for path in folder.glob("*.csv"))

    def collect(self, collection, folder, budget=0.01):
        self.list_folder(collection, folder)
        base = self.data / collection
        names = self.lists(base / "files.csv", base / "batches")
        for n in names:
            self.call(
                "convert",
                f"convert/{collection}/{n}",
                {"files": base / "files.csv", "list": base / "batches" / f"{n}.csv"},
                {"table": base / "converted" / f"{n}.csv"},
                {"collection": collection, "n": n},
                audio=str(base / "audio"),
                split_channels=collection in ("room", "microphone"),
            )
        self.call(
            "tracks",
            f"tracks/{collection}",
            {"files": base / "files.csv", "tables": [base / "converted" / f"{n}.csv" for n in names]},
            {"table": base / "tracks.csv", "failures": base / "failures.csv"},
            {"collection": collection},
            failure_budget=budget,
        )
        return read_csv(base / "tracks.csv", ["id"])

    def split(self, queries=QUERIES):
        corpora = ["train", "validation", "database", "queries", "unknown"]
        self.call(
            "split_music",
            "split_music",
            {"tracks": self.data / "music" / "tracks.csv"},
            {name: self.data / name / "tracks.csv" for name in corpora},
            registry=self.data / "split.registry.csv",
            reduced_database=None,
            seed=27,
            shares=SHARES,
            queries=queries,
        )

    def pack(self):
        for corpus in ("train", "validation"):
            base = self.data / corpus
            self.call(
                "pack_chunks",
                f"pack_chunks/{corpus}",
                {"tracks": base / "tracks.csv"},
                {"audio": base / "audio.npy", "chunks": base / "chunks.csv"},
                seed=27,
                chunks_per_track=None,
            )
        for name in DEGRADATIONS:
            output = {}
            for side in ("train", "test"):
                output[f"{side}_audio"] = self.data / "degradations" / side / f"{name}.npy"
                output[f"{side}_table"] = self.data / "degradations" / side / f"{name}.csv"
            tracks = {"tracks": self.data / name / "tracks.csv"}
            wildcards = {"degradation": name}
            self.call("pack_degradations", f"pack/{name}", tracks, output, wildcards, seed=27, test_share=0.3)

    def make_queries(self, query_set):
        base = self.data / query_set
        names = self.lists(base / "tracks.csv", base / "partitions")
        inputs = {"tracks": base / "tracks.csv"}
        for name in DEGRADATIONS:
            inputs[name] = self.data / "degradations" / "test" / f"{name}.npy"
            inputs[f"{name}_table"] = self.data / "degradations" / "test" / f"{name}.csv"
        for n in names:
            self.call(
                "degrade",
                f"degrade/{query_set}/{n}",
                {**inputs, "list": base / "partitions" / f"{n}.csv"},
                {"table": base / "degraded" / f"{n}.csv"},
                {"query_set": query_set, "n": n},
                seed=27,
                data=str(self.data),
                queries={**QUERIES, "degradation": SWITCHES},
            )
        output = {variant: self.data / f"{query_set}_{variant}" / "tracks.csv" for variant in VARIANTS}
        self.call(
            "queries",
            f"queries/{query_set}",
            {"tracks": base / "tracks.csv", "tables": [base / "degraded" / f"{n}.csv" for n in names]},
            {"provenance": base / "provenance.csv", **output},
            {"query_set": query_set},
            data=str(self.data),
        )


def write(path, seconds, seed, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (int(seconds * 16000), channels))
    soundfile.write(path, samples, 16000)


@pytest.fixture
def sources(tmp_path):
    """Folders of good files: 12 songs in four formats, 4 of everything else."""
    root = tmp_path / "in"
    for k in range(12):
        write(root / "music" / f"album {k % 3}" / f"{k}.{['wav', 'flac', 'ogg', 'mp3'][k % 4]}", 5 + k, k)
    for k in range(4):
        write(root / "noise" / f"{k}.flac", 3 + 2 * k, 100 + k)
        write(root / "room" / f"{k}.wav", 0.5, 200 + k, channels=1 + k % 2)
        write(root / "microphone" / f"{k}.wav", 0.05, 300 + k)
    return root


@pytest.fixture
def workflow(tmp_path):
    return Workflow(tmp_path / "out")


def test_from_folders_to_degraded_queries(sources, workflow):
    for collection in ("music", *DEGRADATIONS):
        tracks = workflow.collect(collection, sources / collection)
        assert set(tracks["status"]) == {"ok"}
    workflow.split()
    workflow.pack()
    for query_set in ("queries", "unknown"):
        workflow.make_queries(query_set)
    data = workflow.data
    corpora = {
        n: read_csv(data / n / "tracks.csv", ["id"]) for n in ("train", "validation", "database", "unknown")
    }
    ids = [name for table in corpora.values() for name in table["id"]]
    assert sorted(ids) == sorted(read_csv(data / "music" / "tracks.csv", ["id"])["id"])
    train = np.load(data / "train" / "audio.npy", mmap_mode="r")
    assert train.shape == (len(corpora["train"]), 240_000)
    rooms = [read_csv(data / "degradations" / side / "room.csv", ["id"])["id"] for side in ("train", "test")]
    assert sum(map(len, rooms)) == 6  # two of the four have two channels
    provenance = read_csv(data / "queries" / "provenance.csv", ["id", "track_id"])
    assert set(provenance["track_id"]) == set(corpora["database"]["id"])
    assert set(provenance["room_id"]) <= set(rooms[1])
    for variant in VARIANTS:
        table = read_csv(data / f"queries_{variant}" / "tracks.csv", ["id", "path"])
        assert table["id"].tolist() == provenance["id"].tolist()
        assert all(soundfile.info(path).frames == 24000 for path in table["path"])


def test_bad_files_are_rows_and_the_rest_goes_on(sources, workflow):
    folder = sources / "music"
    (folder / "empty.wav").write_bytes(b"")
    (folder / "corrupt.mp3").write_bytes(np.random.default_rng(1).bytes(200_000))
    write(folder / "short.wav", 0.5, 1)
    write(folder / 'it\'s "été"\n$(x).flac', 5, 77)
    shutil.copy(folder / "album 0" / "0.wav", folder / "zz copy.wav")
    tracks = workflow.collect("music", folder).set_index("id")
    assert tracks.loc['it\'s "été"\n$(x).flac', "status"] == "ok"
    reasons = {name: tracks.loc[name, "reason"] for name in ("empty.wav", "corrupt.mp3", "short.wav")}
    assert reasons["empty.wav"] == "empty file"
    assert "corrupt" in reasons["corrupt.mp3"] and "too short" in reasons["short.wav"]
    assert tracks.loc["zz copy.wav", "reason"] == "duplicate of album 0/0.wav"
    failures = read_csv(workflow.data / "music" / "failures.csv", ["id", "reason"])
    assert sorted(failures["id"]) == ["corrupt.mp3", "empty.wav", "short.wav", "zz copy.wav"]
    workflow.split()


def expect_failure(workflow, log, *parts):
    """The script's log ends in one sentence with these parts and has no traceback."""
    text = (workflow.logs / f"{log}.log").read_text()
    assert "Traceback" not in text
    for part in parts:
        assert part in text.strip().splitlines()[-1], text


def test_too_many_failures_end_the_run_and_leave_the_list(sources, workflow):
    for k in range(5):
        (sources / "music" / f"bad{k}.mp3").write_text("no music")
    with pytest.raises(SystemExit) as caught:
        workflow.collect("music", sources / "music")
    assert caught.value.code == 1
    expect_failure(
        workflow, "tracks/music", "5 of 17 files", "failure_budget", "bad0.mp3", "music.failures.csv"
    )
    assert len(pd.read_csv(workflow.logs / "tracks" / "music.failures.csv")) == 5
    assert not (workflow.data / "music" / "tracks.csv").exists()


def test_a_collection_without_one_good_file(tmp_path, workflow):
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "a.wav").write_bytes(b"")
    with pytest.raises(SystemExit):
        workflow.collect("noise", tmp_path / "noise")
    expect_failure(workflow, "tracks/noise", "No file of the noise collection is usable", "a.wav: empty file")


@pytest.mark.parametrize(
    ("folder", "parts"),
    [
        (None, ["dataset.folder.room is not set"]),
        ("missing", ["missing does not exist", "dataset.folder.room"]),
        ("empty", ["is empty", "dataset.folder.room"]),
        ("texts", ["no audio", "dataset.folder.room"]),
    ],
)
def test_folders_that_are_not_as_they_should_be(folder, parts, tmp_path, workflow):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "readme.txt").write_text("hello")
    with pytest.raises(SystemExit) as caught:
        workflow.list_folder("room", folder and str(tmp_path / folder))
    assert caught.value.code == 1
    expect_failure(workflow, "list_folder/room", *parts)


def test_too_few_tracks_for_the_queries(sources, workflow):
    workflow.collect("music", sources / "music")
    with pytest.raises(SystemExit):
        workflow.split({**QUERIES, "count": 50})
    expect_failure(workflow, "split_music", "queries.count asks for 50 tracks of at least 3.25 s")


def test_one_room_is_not_enough(sources, workflow):
    for k in (1, 2, 3):
        (sources / "room" / f"{k}.wav").unlink()
    for collection in ("music", *DEGRADATIONS):
        workflow.collect(collection, sources / collection)
    workflow.split()
    with pytest.raises(SystemExit):
        workflow.pack()
    expect_failure(workflow, "pack/room", "The room collection has 1 usable recording(s)")


def test_a_new_song_converts_only_itself(sources, workflow, monkeypatch):
    before = workflow.collect("music", sources / "music")
    lists = {path.name: path.read_bytes() for path in (workflow.data / "music" / "batches").iterdir()}
    write(sources / "music" / "a new one.flac", 4, 99)
    conversion = importlib.import_module("nmfp.datasets.conversion")
    converted = []
    real = conversion.convert_with_sox
    monkeypatch.setattr(
        conversion,
        "convert_with_sox",
        lambda source, *args: converted.append(Path(source).name) or real(source, *args),
    )
    after = workflow.collect("music", sources / "music")
    assert converted == ["a new one.flac"]
    for name, content in lists.items():
        assert (workflow.data / "music" / "batches" / name).read_bytes() == content
    kept = after[after["id"] != "a new one.flac"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before)
