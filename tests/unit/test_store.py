"""A database of one's own: adding, removing, compacting, readers beside a writer, damage, full disks."""

import errno
import fcntl
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nmfp.audio.wav import write_wav
from nmfp.cli import main
from nmfp.cli.inputs import Input
from nmfp.database.fingerprints import open_fingerprints
from nmfp.errors import NmfpError
from nmfp.identification import background, store
from nmfp.identification.decision import UNCALIBRATED, open_decision

SECONDS = (6, 4, 5)


def song(folder: Path, name: str, melody, seed: int, seconds: int = 4) -> Input:
    path = folder / name
    write_wav(path, melody(8000 * seconds, seed))
    return Input(f"music/{name}", str(path))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, small_model, melody):
    """A store of three songs and the inputs it was made from."""
    folder = tmp_path_factory.mktemp("store")
    inputs = [song(folder, f"song {i}.wav", melody, i, s) for i, s in enumerate(SECONDS)]
    store.create(folder / "db", small_model)
    result = store.add(folder / "db", inputs, "openvino", 1)
    assert (result.added, len(result.failed)) == (3, 0)
    return folder / "db", inputs


@pytest.fixture
def db(prepared, tmp_path):
    shutil.copytree(prepared[0], tmp_path / "db", symlinks=True)
    return tmp_path / "db"


def track_vectors(database) -> dict[str, np.ndarray]:
    return {t.id: np.array(database.vectors[t.row_start : t.row_end]) for t in database.tracks.itertuples()}


def test_the_files_are_those_of_the_workflow(db):
    opened = open_fingerprints(db)  # without the store's own code
    assert opened.tracks["id"].tolist() == [f"music/song {i}.wav" for i in range(3)]
    assert (opened.tracks["row_end"] - opened.tracks["row_start"]).tolist() == [2 * s - 1 for s in SECONDS]
    assert opened.info["rows"] == 27 and opened.info["removed_rows"] == 0
    assert store.verify(db) == []


def test_adding_leaves_old_rows_alone_and_appends_new_ones(db, tmp_path, melody):
    before = np.array(open_fingerprints(db).vectors)
    result = store.add(db, [song(tmp_path, "new.wav", melody, 9)], "openvino", 1)
    after = store.open_store(db)
    assert result.added == 1 and len(after.vectors) == 34
    assert (after.vectors[:27] == before).all()
    assert after.tracks["id"].iloc[-1] == "music/new.wav" and store.verify(db) == []


def test_adding_the_same_again_changes_nothing(db, prepared):
    state = os.readlink(db / "current")
    result = store.add(db, prepared[1], "openvino", 1)
    assert (result.added, result.unchanged) == (0, 3) and os.readlink(db / "current") == state


def test_a_changed_file_replaces_its_former_self(db, prepared, tmp_path, melody):
    changed = song(tmp_path, "song 1.wav", melody, 77, 3)
    result = store.add(db, [changed], "openvino", 1)
    after = store.open_store(db)
    assert (result.added, result.replaced) == (0, 1)
    assert after.tracks["id"].tolist() == [f"music/song {i}.wav" for i in (0, 2, 1)]
    assert after.info["removed_rows"] == 7 and after.silent[11:18].all()
    assert store.verify(db) == []


def test_a_track_that_cannot_be_read_any_more_stays(db, tmp_path):
    (tmp_path / "broken.mp3").write_text("not audio at all")
    result = store.add(db, [Input("music/song 1.wav", str(tmp_path / "broken.mp3"))], "openvino", 1)
    assert result.failed["id"].tolist() == ["music/song 1.wav"] and "not audio" in result.failed["reason"][0]
    assert len(store.open_store(db).tracks) == 3 and store.verify(db) == []


def test_the_same_bytes_under_another_name_are_named_and_left_out(db, prepared, tmp_path):
    shutil.copy(prepared[1][0].path, tmp_path / "copy.wav")
    copies = [Input("copy.wav", str(tmp_path / "copy.wav")), Input("again.wav", str(tmp_path / "copy.wav"))]
    result = store.add(db, copies, "openvino", 1)
    assert result.added == 0
    assert result.duplicates == {"copy.wav": "music/song 0.wav", "again.wav": "music/song 0.wav"}


def test_failures_are_kept_with_reasons_and_forgotten_when_they_succeed(db, tmp_path, melody):
    write_wav(tmp_path / "short.wav", melody(2400, 1))
    write_wav(tmp_path / "quiet.wav", np.zeros(40_000, np.int16))
    inputs = [Input(n, str(tmp_path / n)) for n in ("short.wav", "quiet.wav", "gone.wav")]
    inputs.append(Input("x", "x", "no such file"))
    result = store.add(db, inputs, "openvino", 1)
    reasons = dict(result.failed.itertuples(index=False))
    assert "too short" in reasons["short.wav"] and reasons["quiet.wav"] == "silent"
    assert "no such file" in reasons["gone.wav"] and reasons["x"] == "no such file"
    failures = pd.read_csv(db / "failures.csv")
    assert set(failures["id"]) == set(reasons)
    assert len(store.open_store(db).vectors) == 27 and store.verify(db) == []
    write_wav(tmp_path / "short.wav", melody(16_000, 1))
    assert store.add(db, inputs[:1], "openvino", 1).added == 1
    assert set(pd.read_csv(db / "failures.csv")["id"]) == {"quiet.wav", "gone.wav", "x"}


def test_names_with_quotes_commas_and_newlines_survive(db, tmp_path, melody):
    name = 'a "quoted",\nstrange\tname é.wav'
    store.add(db, [song(tmp_path, name, melody, 5)], "openvino", 1)
    assert f"music/{name}" in store.open_store(db).tracks["id"].tolist()
    assert store.remove(db, [f"music/{name}"]) == [f"music/{name}"]


def test_removing_is_at_once_and_compacting_gives_the_space_back(db):
    before = track_vectors(store.open_store(db))
    assert store.remove(db, ["music/song 1.wav"]) == ["music/song 1.wav"]
    after = store.open_store(db)
    assert after.info["removed_rows"] == 7 and len(after.vectors) == 27 and store.verify(db) == []
    assert store.compact(db) == 7
    compacted = store.open_store(db)
    assert len(compacted.vectors) == 20 and compacted.info["removed_rows"] == 0 and store.verify(db) == []
    for name, vectors in track_vectors(compacted).items():
        assert (vectors == before[name]).all()
    assert store.compact(db) == 0


def test_removing_by_pattern_and_what_is_not_there(db):
    with pytest.raises(NmfpError, match="holds no track 'music/song 7.wav'"):
        store.remove(db, ["music/song 0.wav", "music/song 7.wav"])
    assert len(store.open_store(db).tracks) == 3
    assert len(store.remove(db, ["music/*"])) == 3
    assert len(store.open_store(db).tracks) == 0 and store.verify(db) == []
    assert store.compact(db) == 27
    assert store.verify(db) == []


def test_everything_can_be_added_again_after_removal(db, prepared):
    store.remove(db, ["music/*"])
    store.compact(db)
    assert store.add(db, prepared[1], "openvino", 1).added == 3
    assert (store.open_store(db).vectors == open_fingerprints(prepared[0]).vectors).all()


def test_a_reader_goes_on_with_what_it_has_opened(db, tmp_path, melody):
    reader = store.open_store(db)
    before = np.array(reader.vectors)
    store.remove(db, ["music/song 0.wav"])
    store.add(db, [song(tmp_path, "new.wav", melody, 9)], "openvino", 1)
    store.compact(db)
    assert not reader.folder.exists() and (reader.vectors == before).all()


def test_a_reader_that_loses_its_generation_while_opening_tries_the_next(db):
    calls = []

    def opener(files):
        calls.append(files.name)
        if len(calls) == 1:
            store.remove(db, ["music/song 0.wav"])
        return open_fingerprints(files)

    assert len(store.open_stable(db, opener).tracks) == 2
    assert len(calls) == 2 and calls[0] != calls[1]


def test_a_second_writer_is_refused_by_name(db, prepared):
    with (db / "lock").open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.truncate(0)
        handle.write("4711\n")
        handle.flush()
        for change in (
            lambda: store.remove(db, ["*"]),
            lambda: store.add(db, prepared[1]),
            lambda: store.compact(db),
        ):
            with pytest.raises(NmfpError, match="is being changed by process 4711"):
                change()
        assert len(store.open_store(db).tracks) == 3
    assert len(store.remove(db, ["*"])) == 3


@pytest.mark.parametrize("victim", ["write_npy", "write_csv", "write_json"])
def test_a_full_disk_leaves_the_database_as_it_was(db, monkeypatch, victim):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, victim, full)
    with pytest.raises(NmfpError, match="No space left on device.*free space"):
        store.remove(db, ["music/song 0.wav"])
    monkeypatch.undo()
    assert len(store.open_store(db).tracks) == 3 and store.verify(db) == []
    assert [p.name for p in (db / "generations").iterdir()] == [os.readlink(db / "current").split("/")[1]]


def test_a_full_disk_while_adding(db, monkeypatch, tmp_path, melody):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    inputs = [song(tmp_path, "new.wav", melody, 9)]
    monkeypatch.setattr("nmfp.database.merge.os.posix_fallocate", full)
    with pytest.raises(NmfpError, match="free space and run again"):
        store.add(db, inputs, "openvino", 1)
    monkeypatch.undo()
    assert len(store.open_store(db).tracks) == 3 and store.verify(db) == []
    assert store.add(db, inputs, "openvino", 1).added == 1


def test_tracks_of_less_than_ten_seconds_leave_a_database_uncalibrated(db, caplog):
    store.replace_beside(db, background.NAME, background.calibrate_files)
    assert not (store.resolve(db) / background.NAME).exists() and store.verify(db) == []
    assert "no track holds ten seconds of music" in caplog.text
    assert open_decision(store.resolve(db), None).judge(9, 0.9) == UNCALIBRATED


def test_what_an_interrupted_change_left_is_swept_up(db):
    for name in ("0007.part", "0009"):
        shutil.copytree(db / "current/", db / "generations" / name)
    (db / "work").mkdir(exist_ok=True)
    assert len(store.open_store(db).tracks) == 3
    store.remove(db, ["music/song 0.wav"])
    assert len(list((db / "generations").iterdir())) == 1 and len(store.open_store(db).tracks) == 2


def test_creation_goes_on_after_an_interruption_and_refuses_the_rest(tmp_path, small_model, prepared):
    folder = tmp_path / "new.db"
    store.create(folder, small_model)
    with pytest.raises(NmfpError, match="was never finished"):
        store.open_store(folder)
    store.create(folder, small_model)
    store.add(folder, prepared[1][:1], "openvino", 1)
    with pytest.raises(NmfpError, match="is a database already"):
        store.create(folder, small_model)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(NmfpError, match="holds other files"):
        store.create(tmp_path / "full", small_model)
    with pytest.raises(NmfpError, match="is a file"):
        store.create(tmp_path / "full" / "letter.txt", small_model)
    with pytest.raises(NmfpError, match="does not exist"):
        store.open_store(tmp_path / "nowhere")
    with pytest.raises(NmfpError, match="is no database"):
        store.open_store(tmp_path / "full")


def test_an_empty_database(tmp_path, small_model):
    store.create(tmp_path / "empty", small_model)
    result = store.add(tmp_path / "empty", [], "openvino", 1)
    assert result.added == 0 and len(store.open_store(tmp_path / "empty").tracks) == 0


def test_verify_names_what_is_damaged(db):
    files = store.resolve(db)
    content = bytearray((files / "database.npy").read_bytes())
    content[-1] ^= 0x40
    (files / "database.npy").write_bytes(content)
    assert any("does not hold the bytes" in problem for problem in store.verify(db))
    (files / "tracks.csv").write_text("id\nx\n")
    assert any("lacks the column" in problem for problem in store.verify(db))
    info = json.loads((files / "database.json").read_text())
    (files / "database.json").write_text(json.dumps({**info, "rows": 28}))
    assert any("database.npy" in problem for problem in store.verify(db))


def test_damage_comes_with_the_command_that_repairs_it(db, prepared, monkeypatch, capsys):
    monkeypatch.chdir(prepared[1][0].path.rsplit("/", 1)[0])
    flip(store.resolve(db) / "database.npy")
    assert main(["database", "verify", str(db)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert "does not hold the bytes" in said[0]
    told = f"nmfp database info {db} --tracks | nmfp database create {db}.new - --model {db}/model, with the "
    assert said[-1].startswith(f"nmfp: to repair it: {told}")
    flip(db / "model" / "fingerprinter.bin")
    assert main(["database", "verify", str(db)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert any("fingerprinter.bin is damaged" in line for line in said)
    assert said[-1].startswith(f"nmfp: to repair it: cp MODEL/* {db}/model/, where MODEL")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x40
    path.write_bytes(content)


def test_a_copy_of_a_file_that_failed_is_no_duplicate(db, tmp_path):
    for name in ("empty.wav", "also empty.wav"):
        (tmp_path / name).touch()
    for name in ("text.wav", "same text.wav"):
        (tmp_path / name).write_text("no music\n" * 300)
    names = ["empty.wav", "also empty.wav", "text.wav", "same text.wav"]
    result = store.add(db, [Input(n, str(tmp_path / n)) for n in names], "openvino", 1)
    assert result.duplicates == {} and sorted(result.failed["id"]) == sorted(names)
    reasons = dict(result.failed.itertuples(index=False))
    assert reasons["empty.wav"] == reasons["also empty.wav"] == "empty file"
    assert reasons["text.wav"] == reasons["same text.wav"]
    assert set(pd.read_csv(db / "failures.csv")["id"]) == set(names) and store.verify(db) == []


def test_tracks_are_removed_by_the_names_people_type(db):
    with pytest.raises(NmfpError, match=r"no track 'song 1.wav'.* Did you mean 'music/song 1.wav'\?"):
        store.remove(db, ["song 1.wav"])
    with pytest.raises(NmfpError, match=r"Did you mean 'music/song 0.wav' or "):
        store.remove(db, ["music/sing 0.wav"])
    assert store.remove(db, ["./music//song 1.wav"]) == ["music/song 1.wav"]
    assert len(store.remove(db, ["./music/*"])) == 2


@pytest.mark.parametrize("option", [[], ["--no-wait"]])
def test_a_second_writer_waits_unless_it_is_told_not_to(db, option, capsys):
    with (db / "lock").open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.truncate(0)
        handle.write("4711\n")
        handle.flush()
        status = []
        command = ["database", "remove", str(db), "music/song 0.wav", *option]
        second = threading.Thread(target=lambda: status.append(main(command)))
        second.start()
        said = ""
        while second.is_alive() and "waiting for its end" not in said:
            said += capsys.readouterr().err
        assert bool(status) == bool(option) and len(store.open_store(db).tracks) == 3
    second.join()
    said += capsys.readouterr().err
    assert "is being changed by process 4711; " + ("run again" if option else "waiting") in said
    assert status == [1 if option else 0] and len(store.open_store(db).tracks) == (3 if option else 2)


def test_making_a_database_counts_no_segments_that_it_cannot_know(tmp_path, small_model, prepared, caplog):
    caplog.set_level("INFO")
    store.create(tmp_path / "new.db", small_model)
    store.add(tmp_path / "new.db", prepared[1][:1], "openvino", 1)
    assert "1 of 1 tracks to fingerprint\n" in caplog.text


def test_tracks_and_failures_are_listed_together(db, tmp_path, capsys):
    store.add(db, [Input("gone.wav", str(tmp_path / "gone.wav"))], "openvino", 1)
    assert main(["database", "info", str(db), "--tracks", "--failures"]) == 0
    lines = [f"music/song {i}.wav" for i in range(3)] + ["gone.wav\tno such file or directory"]
    assert capsys.readouterr().out.splitlines() == lines


def test_verify_notices_another_models_folder(db):
    info = json.loads((db / "model" / "model.json").read_text())
    (db / "model" / "model.json").write_text(json.dumps({**info, "digest": "0" * 64}))
    assert any("is not the model" in problem for problem in store.verify(db))


def test_an_index_is_kept_and_grows_without_training_where_it_pays(db, monkeypatch, tmp_path, melody):
    from nmfp.search import index as nn

    monkeypatch.setattr(nn, "resolve_factory", lambda factory, rows, dimension: "HNSW8")
    trained = []
    train = nn.train
    monkeypatch.setattr(nn, "train", lambda *a, **k: trained.append(1) or train(*a, **k))
    first, second = song(tmp_path, "a.wav", melody, 20), song(tmp_path, "b.wav", melody, 21)
    store.add(db, [first], "openvino", 1)
    info = json.loads((db / "current" / "index.json").read_text())
    assert (info["rows"], info["trained_rows"], len(trained)) == (34, 34, 1)
    store.add(db, [second], "openvino", 1)
    grown, info = nn.read(
        db / "current" / "index.faiss", {"rows": 41, "database_sha256": store.open_store(db).info["sha256"]}
    )
    assert (grown.ntotal, info["trained_rows"], len(trained)) == (41, 34, 1)
    database = store.open_store(db)
    _, rows = nn.search(grown, np.asarray(database.vectors[:41:5]), 1)
    assert np.allclose((database.vectors[rows[:, 0]] * database.vectors[:41:5]).sum(axis=1), 1, atol=1e-5)
    store.remove(db, ["music/a.wav"])
    assert store.verify(db) == []
    content = (db / "current" / "index.faiss").read_bytes()
    (db / "current" / "index.faiss").write_bytes(content[:-1] + b"x")
    assert any("index.faiss" in problem for problem in store.verify(db))


def test_the_threads_asked_for_train_and_fill_the_index_and_calibrate(db, monkeypatch, tmp_path, melody):
    from nmfp.search import index as nn

    asked = []

    def noted(name, function):
        def call(*arguments, **options):
            asked.append((name, options["threads"]))
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(nn, "resolve_factory", lambda factory, rows, dimension: "HNSW8")
    for name in ("train", "fill"):
        monkeypatch.setattr(nn, name, noted(name, getattr(nn, name)))
    finished = []
    for n in range(2):
        new = [song(tmp_path, f"{n}.wav", melody, 20 + n)]
        store.add(
            db, new, "openvino", 3, lambda folder: finished.append(background.calibrate_files(folder, 3))
        )
    assert asked == [("train", 3), ("fill", 3), ("fill", 3)] and len(finished) == 2
    store.remove(db, ["music/0.wav"])
    store.compact(db, 3)
    assert asked[3:] == [("train", 3), ("fill", 3)]
