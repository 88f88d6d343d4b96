"""Batches of files: what is broken is a row, what is finished is not done again."""

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from nmfp.datasets import conversion
from nmfp.datasets.conversion import convert_batch, wav_path
from nmfp.datasets.journal import Journal
from nmfp.errors import NmfpError
from nmfp.files import sha256_file


def tone(seconds, frequency=440.0):
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * 22050)) / 22050)


@pytest.fixture
def music(tmp_path):
    """A folder of good and bad files, and its table."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    soundfile.write(folder / "a b.flac", tone(2), 22050)
    soundfile.write(folder / "deep" / "été 'x'\".ogg", tone(3, 500), 22050)
    soundfile.write(folder / "short.wav", tone(0.9), 22050)
    soundfile.write(folder / "silent.wav", np.zeros(44100), 22050)
    (folder / "empty.wav").touch()
    (folder / "corrupt.mp3").write_bytes(np.random.default_rng(1).bytes(100_000))
    (folder / "text.mp3").write_text("no music\n" * 999)
    (folder / "folder.mp3").mkdir()
    names = [
        "a b.flac",
        "deep/été 'x'\".ogg",
        "short.wav",
        "silent.wav",
        "empty.wav",
        "corrupt.mp3",
        "text.mp3",
    ]
    names += ["folder.mp3", "gone.mp3"]
    return pd.DataFrame({"id": names, "path": [str(folder / name) for name in names], "role": "any"})


def run(files, folder, threads=2, split_channels=False, key="k"):
    journal = Journal(folder / "done.jsonl", key)
    return convert_batch(files, folder / "audio", journal, split_channels, threads, "convert")


def test_broken_files_are_rows_and_the_rest_goes_on(music, tmp_path):
    rows = run(music, tmp_path / "out").set_index("id")
    assert rows.index.tolist() == music["id"].tolist()
    good = rows[rows["status"] == "ok"]
    assert good.index.tolist() == music["id"].tolist()[:2]
    assert good["samples"].tolist() == [16000, 24000] and set(good["reason"]) == {""}
    assert good["sha256"].iloc[0] == sha256_file(music["path"][0])
    assert good["path"].iloc[1] == str(tmp_path / "out/audio/deep/été 'x'\".ogg.wav")
    for name, part in [
        ("short.wav", "too short, 0.90 s"),
        ("silent.wav", "silent"),
        ("empty.wav", "empty file"),
        ("corrupt.mp3", "corrupt"),
        ("text.mp3", "not audio"),
        ("folder.mp3", "Is a directory"),
        ("gone.mp3", "No such file"),
    ]:
        assert rows.loc[name, "status"] == "failed" and part in rows.loc[name, "reason"], name
        assert rows.loc[name, "path"] == "" and rows.loc[name, "samples"] == 0
    left = [path.name for path in (tmp_path / "out/audio").rglob("*") if path.is_file()]
    assert sorted(left) == ["a b.flac.wav", "été 'x'\".ogg.wav"]


def test_the_number_of_threads_changes_nothing(music, tmp_path):
    tables = [run(music, tmp_path / str(n), threads=n) for n in (1, 4)]
    tables[1]["path"] = tables[1]["path"].str.replace(str(tmp_path / "4"), str(tmp_path / "1"), regex=False)
    pd.testing.assert_frame_equal(*tables)
    for path in tables[0]["path"][:2]:
        assert sha256_file(path) == sha256_file(path.replace(str(tmp_path / "1"), str(tmp_path / "4")))


@pytest.fixture
def conversions(monkeypatch):
    """The sources that SoX is called for."""
    calls = []
    real = conversion.convert_with_sox

    def counted(source, *args):
        calls.append(str(source).rsplit("/", 1)[1])
        return real(source, *args)

    monkeypatch.setattr(conversion, "convert_with_sox", counted)
    return calls


def test_a_finished_file_is_not_converted_again(music, tmp_path, conversions):
    good = music[:2]
    first = run(good, tmp_path / "out")
    conversions.clear()
    pd.testing.assert_frame_equal(run(good, tmp_path / "out"), first)
    assert conversions == []


def test_what_is_damaged_changed_or_of_another_version_is_converted_again(music, tmp_path, conversions):
    good = music[:2]
    first = run(good, tmp_path / "out")
    wav = first["path"][0]
    conversions.clear()
    with open(wav, "r+b") as f:  # as long as before, other content
        f.seek(5000)
        f.write(b"xx")
    pd.testing.assert_frame_equal(run(good, tmp_path / "out"), first)
    assert conversions == ["a b.flac"]
    conversions.clear()
    soundfile.write(music["path"][0], tone(4), 22050)
    assert run(good, tmp_path / "out")["samples"].tolist() == [32000, 24000]
    assert conversions == ["a b.flac"]
    conversions.clear()
    run(good, tmp_path / "out", key="another version")
    assert len(conversions) == 2


def test_a_torn_journal_costs_one_file(music, tmp_path, conversions):
    good = music[:2]
    first = run(good, tmp_path / "out", threads=1)
    journal = tmp_path / "out" / "done.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])
    conversions.clear()
    pd.testing.assert_frame_equal(run(good, tmp_path / "out"), first)
    assert len(conversions) == 1
    conversions.clear()
    run(good, tmp_path / "out")
    assert conversions == []


def test_a_role_is_taken_from_the_table_and_not_from_the_journal(music, tmp_path):
    run(music[:2], tmp_path / "out")
    again = run(music[:2].assign(role="train"), tmp_path / "out")
    assert again["role"].tolist() == ["train", "train"]


def test_channels_of_a_response_are_files_of_their_own(tmp_path):
    (tmp_path / "in").mkdir()
    left, right = np.zeros(400), np.zeros(400)
    left[10], right[200] = 0.001, 0.5
    soundfile.write(tmp_path / "in/two.wav", np.stack([left, right], axis=1), 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "in/one.wav", right, 8000)
    files = pd.DataFrame({"id": ["two.wav", "one.wav"], "role": "any"})
    files["path"] = [str(tmp_path / "in" / name) for name in files["id"]]
    rows = run(files, tmp_path / "out", split_channels=True)
    assert rows["id"].tolist() == ["two.wav#1", "two.wav#2", "one.wav"]
    assert rows["samples"].tolist() == [400] * 3 and set(rows["status"]) == {"ok"}
    peaks = [np.abs(soundfile.read(path)[0]).argmax() for path in rows["path"]]
    assert peaks == [10, 200, 200]


def test_different_ids_never_share_a_place(tmp_path):
    long = "x" * 250
    names = [
        "a.wav",
        "a.wav.wav",
        "b/a.wav",
        "a.flac",
        "a.wav#1",
        f"{long}1.mp3",
        f"{long}2.mp3",
        "é" * 120 + ".mp3",
    ]
    places = [wav_path(tmp_path, name) for name in names]
    assert len(set(places)) == len(names)
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()  # no name is too long
        assert place.suffix == ".wav"


@pytest.mark.parametrize("name", ["../a.wav", "/etc/a.wav", "a/../../b.wav"])
def test_an_id_cannot_leave_the_folder(name, tmp_path):
    with pytest.raises(NmfpError, match="leads out of its folder"):
        wav_path(tmp_path, name)


def test_a_full_disk_ends_the_run(music, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(NmfpError, match="is full; make room and run again"):
        run(music, tmp_path / "out")


def test_what_a_killed_job_left_is_removed_after_a_day(music, tmp_path):
    folder = tmp_path / "out" / "audio"
    (folder / ".part-old").mkdir(parents=True)
    (folder / ".part-old" / "x").touch()
    for name in (".part-old.wav", ".part-new.wav"):
        (folder / name).touch()
    for name in (".part-old", ".part-old.wav"):
        os.utime(folder / name, (0, 0))
    run(music[:1], tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == [".part-new.wav", "a b.flac.wav"]
