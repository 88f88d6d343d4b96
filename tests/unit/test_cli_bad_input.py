"""The command line on input as it comes: damaged and odd recordings, wrong kinds of files, other models, no permission.

Every command that takes recordings gets all of RECORDINGS at once: what is odd is used, what is broken is one line with
its name and reason, the exit status is 1 and the rest is done.
"""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from nmfp.audio.wav import write_wav
from nmfp.cli import main
from nmfp.cli.messages import printable
from nmfp.files import write_npy
from nmfp.identification import store

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
COMMAND = [sys.executable, str(SCRIPTS.parents[1] / "tools" / "nmfp_command.py")]
QUOTED = 'it\'s "quoted",\nsecond line.wav'
ODD = ("low.wav", "high.wav", QUOTED)
# name -> a part of the reason
BROKEN = {
    "drm.m4a": "packets cannot be decoded",
    "noise.mp3": "not audio, or its beginning is missing",
    "text.mp3": "not audio, or its beginning is missing",
    "empty.wav": "empty file",
    "short.wav": "too short, ",
    "gone.wav": "no such file",
}
RECORDINGS = [*ODD, *BROKEN]
BEGIN = 16_000  # of the excerpt that the odd recordings hold, in the first track: its fingerprint 4


def write_drm(path: Path, rng) -> None:
    """An m4a as a shop with digital restrictions sold it: sound container, samples that only its player can read."""
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=44_100, layout="mono")
        noise = rng.normal(0, 3000, 44_100 * 3).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(noise[None], format="s16", layout="mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    at = content.index(b"mdat")
    size = int.from_bytes(content[at - 4 : at], "big")
    content[at + 4 : at - 4 + size] = rng.bytes(size - 8)
    entry = content.index(b"mp4a", content.index(b"stsd"))
    content[entry : entry + 4] = b"drms"
    path.write_bytes(content)


@pytest.fixture(scope="module")
def world(tmp_path_factory, small_model, melody):
    """MUSIC/ of three tracks, songs.db of it, all RECORDINGS, and clip.wav; the tests work in this folder."""
    import keras
    from nmfp.model import openvino_graph
    from nmfp.model.fingerprinter import build_graph, build_network, write_model
    from small_corpus import FRONT_END, NETWORK

    folder = tmp_path_factory.mktemp("bad input")
    rng = np.random.default_rng(0)
    tracks = [melody(8000 * 30, seed) for seed in (60, 61, 62)]
    for name, samples in zip("abc", tracks, strict=True):
        write_wav(folder / "MUSIC" / f"{name}.wav", samples)
    clip = tracks[0][BEGIN : BEGIN + 40_000]
    write_wav(folder / "clip.wav", clip)
    write_wav(folder / QUOTED, clip)
    soundfile.write(folder / "low.wav", clip[::2], 4000)
    high = soxr.resample(clip / 32768, 8000, 96_000)
    soundfile.write(folder / "high.wav", np.repeat(high[:, None], 6, axis=1), 96_000, subtype="PCM_24")
    write_drm(folder / "drm.m4a", rng)
    # an ID3 tag and one MPEG header, then nothing that any decoder knows
    (folder / "noise.mp3").write_bytes(
        b"ID3\3\0\0\0\0\0\n" + bytes(10) + b"\xff\xfb\x90d" + rng.bytes(60_000)
    )
    (folder / "text.mp3").write_text("this is no music\n" * 300)
    (folder / "empty.wav").touch()
    write_wav(folder / "short.wav", clip[:2400])
    (folder / "EMPTY").mkdir()
    model = folder / "model"
    model.symlink_to(small_model)
    keras.utils.set_random_seed(28)
    network = build_network(FRONT_END, NETWORK)
    write_model(network, {"front_end": FRONT_END, "network": NETWORK}, folder / "other")
    openvino_graph.export(build_graph(FRONT_END, network), folder / "other")
    before = os.getcwd()
    os.chdir(folder)
    try:
        quiet = ["--threads", "1", "-q", "--model"]
        assert main(["database", "create", "songs.db", "MUSIC", *quiet, "model"]) == 0
        assert main(["fingerprint", "MUSIC", "-o", "prints", *quiet, "model"]) == 0
        assert main(["fingerprint", "clip.wav", "-o", "queries", *quiet, "model"]) == 0
        assert main(["fingerprint", "clip.wav", "-o", "others", *quiet, "other"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def run(here, capsys):
    """A function (arguments) -> (status, standard output, lines of standard error)."""

    def run(*arguments) -> tuple[int, str, list[str]]:
        status = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return status, said.out, said.err.splitlines()

    return run


def copy_of(database: str, target: Path) -> Path:
    subprocess.run(["cp", "-a", database, str(target)], check=True)
    return target


def line_about(name: str, lines: list[str]) -> str:
    """The one line that names a recording."""
    found = [line for line in lines if printable(name) in line]
    assert len(found) == 1, lines
    return found[0]


# Recordings of every kind


def test_identify(run):
    status, out, lines = run("identify", *RECORDINGS, "-d", "songs.db", "--format", "json", "--threads", 1)
    answers = {answer["query"]: answer for answer in json.loads(out)}
    assert status == 1 and list(answers) == RECORDINGS
    for name, reason in BROKEN.items():
        assert answers[name]["decision"] == "failed" and reason in answers[name]["note"]
    for name in ("high.wav", QUOTED):
        best = answers[name]["answers"][0]
        assert (best["track"], best["start_segment"]) == ("MUSIC/a.wav", 4)
    assert answers["low.wav"]["decision"] != "failed"
    assert "has only 4000 samples a second" in line_about("low.wav", lines)
    assert lines[-1] == f"nmfp: {len(BROKEN)} of {len(RECORDINGS)} recordings failed; the results say why"


@pytest.mark.parametrize("form", ["table", "csv"])
def test_odd_names_in_results(run, form):
    status, out, _ = run("identify", QUOTED, "drm.m4a", "-d", "songs.db", "--format", form, "--threads", 1)
    assert status == 1
    if form == "csv":
        assert [row["query_fp_path"] for row in csv.DictReader(io.StringIO(out))] == [QUOTED, "drm.m4a"]
    else:
        assert len(out.splitlines()) == 3 and printable(QUOTED) in out


def test_fingerprint(run, tmp_path):
    status, _, lines = run("fingerprint", *RECORDINGS, "-o", tmp_path, "-m", "model", "--threads", 1)
    assert status == 1
    for name, reason in BROKEN.items():
        line = line_about(name, lines)
        assert f"{name} has no fingerprints: " in line and reason in line
    assert lines[-1] == f"{tmp_path}: {len(ODD)} recordings fingerprinted, 0 were there, {len(BROKEN)} failed"
    rows = {row["id"]: row for row in csv.DictReader((tmp_path / "tracks.csv").open(newline=""))}
    assert {name for name in rows if rows[name]["status"] == "ok"} == set(ODD)
    for name in ODD:
        assert np.load(tmp_path / f"{name}.npy").shape == (9, 16)


@pytest.mark.parametrize("action", ["create", "add"])
def test_database(run, tmp_path, action):
    folder = tmp_path / 'my "own"\nsongs.db'
    if action == "create":
        status, _, lines = run("database", "create", folder, *RECORDINGS, "-m", "model", "--threads", 1)
    else:
        status, _, lines = run("database", "add", copy_of("songs.db", folder), *RECORDINGS, "--threads", 1)
    assert status == 1
    for name, reason in BROKEN.items():
        line = line_about(name, lines)
        assert f"{name} was not added: " in line and reason in line
    assert lines[-1] == f"{printable(str(folder))}: {len(ODD)} added, {len(BROKEN)} failed"
    _, out, _ = run("database", "info", folder, "--failures")
    assert sorted(line.split("\t")[0] for line in out.splitlines()) == sorted(BROKEN)
    assert run("database", "verify", folder)[0] == 0
    assert set(store.open_store(folder).tracks["id"]) >= set(ODD)
    assert run("database", "remove", folder, QUOTED)[0] == 0
    assert QUOTED not in set(store.open_store(folder).tracks["id"])


@pytest.mark.parametrize("name", RECORDINGS)
def test_monitor(run, name):
    status, out, lines = run("monitor", name, "-d", "songs.db", "--format", "csv", "--threads", 1)
    if name in BROKEN:
        assert status == 1 and out == ""
        assert BROKEN[name].lower() in line_about(name, lines).lower()
    else:
        assert status == 0 and (name != "low.wav" or "only 4000 samples a second" in line_about(name, lines))
    if name == QUOTED:
        found = next(csv.DictReader(io.StringIO(out)))
        assert (found["track"], found["begin_seconds"], found["track_begin_seconds"]) == (
            "MUSIC/a.wav",
            "0.0",
            "2.0",
        )


def test_calibrate(run, tmp_path):
    db = copy_of("songs.db", tmp_path / "songs.db")
    status, _, lines = run("database", "calibrate", db, "MUSIC/b.wav", *RECORDINGS, "--threads", 1)
    assert (
        status == 1 and lines[-1] == f"{db}: calibrated by 1 recordings"
    )  # the odd ones hold no ten seconds
    for name, reason in BROKEN.items():
        assert reason in line_about(name, lines)
    assert run("database", "verify", db)[0] == 0


def test_retrieve(run, tmp_path):
    queries = tmp_path / "queries"
    queries.mkdir()
    good = np.load("queries/clip.wav.npy")
    write_npy(queries / f"{QUOTED}.npy", good)
    broken = {
        "bytes.npy": np.random.default_rng(1).bytes(5000),
        "empty.npy": b"",
        "header.npy": (Path("queries/clip.wav.npy").read_bytes())[:90],
        "text.npy": b"no fingerprints\n" * 90,
    }
    for name, content in broken.items():
        (queries / name).write_bytes(content)
    for name, array in {
        "flat.npy": good[0], "whole.npy": np.ones((5, 16), int), "narrow.npy": good[:, :8], "long.npy": 3 * good,
    }.items():  # fmt: skip
        write_npy(queries / name, array)
        broken[name] = b""
    (queries / "folder.npy").mkdir()
    broken["folder.npy"] = b""
    status, _, lines = run("retrieve", queries, tmp_path / "out", "--database-embeddings", "prints")
    rows = {
        Path(r["query_fp_path"]).name: r
        for r in csv.DictReader((tmp_path / "out/results.csv").open(newline=""))
    }
    assert status == 1 and set(rows) == {f"{QUOTED}.npy", *broken}
    assert rows[f"{QUOTED}.npy"]["pred_track_path"] == "MUSIC/a.wav"
    for name in broken:
        assert rows[name]["decision"] == "failed" and rows[name]["note"]
        assert line_about(name, lines).startswith(f"nmfp: {queries}") and "pickle" not in rows[name]["note"]


# What is not what it should be


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ("identify EMPTY -d songs.db", 1, "The folder EMPTY is empty; put audio files there or name another"),
        ("fingerprint EMPTY -o new -m model", 1, "The folder EMPTY is empty"),
        ("database create new EMPTY -m model", 1, "The folder EMPTY is empty"),
        ("database add songs.db EMPTY", 1, "The folder EMPTY is empty"),
        ("monitor MUSIC -d songs.db", 1, "MUSIC cannot be used: a folder, not a file"),
        ("identify clip.wav -d clip.wav", 1, "clip.wav is no database"),
        ("identify clip.wav -d MUSIC", 1, "MUSIC is no database: it holds no database.json"),
        ("monitor clip.wav -d gone.db", 1, "gone.db does not exist; `nmfp database create` makes one"),
        ("monitor clip.wav -d MUSIC", 1, "MUSIC is no database"),
        ("database add clip.wav MUSIC", 1, "clip.wav is no database"),
        ("database remove MUSIC a.wav", 1, "MUSIC is no database"),
        ("database verify gone.db", 1, "gone.db does not exist"),
        ("database create clip.wav MUSIC -m model", 1, "clip.wav is a file; choose the name of a folder"),
        ("database create MUSIC MUSIC -m model", 1, "MUSIC holds other files"),
        ("identify clip.wav -d songs.db -m clip.wav", 2, "clip.wav is neither a model's folder nor the name of one"),
        ("identify clip.wav -d songs.db -o MUSIC", 1, "MUSIC cannot be written (Is a directory)"),
        ("monitor clip.wav -d songs.db -o MUSIC", 1, "MUSIC cannot be written (Is a directory)"),
        ("fingerprint clip.wav -o clip.wav -m model", 1, "clip.wav cannot be written (Not a directory)"),
        ("retrieve queries clip.wav --database-embeddings prints", 2, "clip.wav is a file; name a folder"),
        ("retrieve queries new --database-embeddings clip.wav", 1, "clip.wav is no folder"),
        ("retrieve queries new --database-embeddings gone", 1, "gone does not exist"),
        ("retrieve queries new --database-embeddings MUSIC", 1, "MUSIC holds no .npy files"),
        ("retrieve queries new --database-memmap MUSIC", 1, "MUSIC cannot be read as a memmap (Is a directory)"),
        ("retrieve queries new --database-memmap clip.wav.npy", 1, "(No such file or directory)"),
        ("retrieve queries new --database-memmap empty.wav", 1, "cannot be read as a memmap (cannot mmap an empty file)"),
        ("retrieve queries new --database-index MUSIC", 1, "MUSIC is a folder; name an index file"),
        ("retrieve queries new --database-index gone.faiss", 1, "gone.faiss does not exist"),
        ("retrieve queries new --database-index songs.db/database.npy", 1,
         "songs.db/database.npy is an array of fingerprints and no index; name it by --database-memmap"),
        ("retrieve queries new --database-index clip.wav", 1, "clip.json does not exist"),
        ("retrieve clip.wav new --database-embeddings prints", 1, "clip.wav cannot be read as fingerprints (it is no .npy"),
        ("weights import clip.wav", 2, "clip.wav is not a folder"),
    ],
)  # fmt: skip
def test_wrong_kinds_of_files_are_a_sentence(run, arguments, status, sentence):
    """What is wanted, and never to delete what cannot be made again."""
    found, _, lines = run(*arguments.split(" "))
    assert found == status and any(sentence in line and line.startswith("nmfp: ") for line in lines), lines
    assert not any("delete it" in line for line in lines)
    assert not Path("new", "current").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "identify clip.wav -d songs.db -m other",
        "monitor clip.wav -d songs.db -m other",
        "fingerprint clip.wav -o queries -m other",
        "retrieve others new --database-embeddings prints",
        "retrieve others/clip.wav.npy new --database-memmap songs.db/database.npy",
        "retrieve others new --database-index songs.faiss",
        "database create begun.db clip.wav -m other",
    ],
)
def test_fingerprints_of_two_models_are_never_compared(run, arguments):
    from nmfp.search import index as nn

    database = store.open_store("songs.db")
    index, resolved = nn.train(database.vectors, "Flat", 1)
    nn.fill(index, database.vectors)
    nn.write(Path("songs.faiss"), index, nn.describe("Flat", resolved, database.info))
    if not Path("begun.db").exists():
        store.create("begun.db", Path("model"))
    status, out, lines = run(*arguments.split(" "))
    assert status == 1 and out == "" and "another model" in lines[-1]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "standard input cannot be used: nothing came."),
        (b"no music\n" * 999, "standard input cannot be used: not audio, or its beginning is missing."),
        (None, "- names standard input, which is closed; name files instead, or open it."),
    ],
)
def test_standard_input_that_is_empty_no_audio_or_closed(run, tmp_path, monkeypatch, content, sentence):
    (tmp_path / "piped").write_bytes(content or b"")
    with open(tmp_path / "piped") as piped:
        monkeypatch.setattr(sys, "stdin", None if content is None else piped)
        for command in ("monitor", "identify") if content is None else ("monitor",):
            status, _, lines = run(command, "-", "-d", "songs.db", "--threads", 1)
            assert status == (2 if content is None else 1) and lines[-1] == f"nmfp: {sentence}"


# Permissions, disks, other processes, Ctrl-C

AS_USER = """
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[1])
from nmfp.cli import main
answers = []
for arguments in json.loads(sys.argv[2]):
    said = [io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2)]
    with contextlib.redirect_stdout(said[0]), contextlib.redirect_stderr(said[1]):
        status = main(arguments)
    answers.append((status, *(text.buffer.getvalue().decode() for text in said)))
print(json.dumps(answers))
"""


@pytest.fixture
def as_user(here, tmp_path):
    """A function (command lines) -> [(status, out, err)], run in a folder of ours by whom permissions stop.

    Root is made to be one by taking from it the right to pass them over.
    """
    prefix = []
    if os.geteuid() == 0:
        prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
        if (
            shutil.which("setpriv") is None
            or subprocess.run([*prefix, "true"], capture_output=True).returncode
        ):
            pytest.skip("root's rights cannot be taken away here (setpriv of util-linux)")
    for name in ("songs.db", "model/", "clip.wav", "queries", "prints"):
        subprocess.run(["cp", "-a", name, str(tmp_path / name)], check=True)
    (tmp_path / "mine").mkdir()
    for name in ("secret.wav", "secret.npy"):
        (tmp_path / name).write_bytes(b"not for everybody")
    (tmp_path / "closed").mkdir()
    closed = [(tmp_path / name, 0) for name in ("secret.wav", "secret.npy", "closed")]
    closed += [
        (path, 0o444) for path in (tmp_path / "songs.db" / "lock", *(tmp_path / "prints/.journal").iterdir())
    ]
    closed += [(tmp_path, 0o555)]
    for path, mode in closed:
        path.chmod(mode)

    def run(*lines: str):
        command = [*prefix, sys.executable, "-c", AS_USER, str(SCRIPTS)]
        command.append(json.dumps([line.split(" ") for line in lines]))
        environment = {**os.environ, "NMFP_HOME": "/proc/none"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    yield run
    for path, _ in reversed(closed):
        path.chmod(0o755)


def test_what_an_ordinary_user_may_not_read_or_write(as_user):
    lines = {
        # unreadable: one line of many, the rest is done
        "identify secret.wav clip.wav -d songs.db --format csv": (1, "secret.wav,0,,,,,,failed,,,Permission denied"),
        "fingerprint secret.wav clip.wav -o mine/prints -m model": (1, "secret.wav has no fingerprints: permission denied"),
        "database create mine/own.db secret.wav clip.wav -m model": (1, "secret.wav was not added: permission denied"),
        "database add mine/own.db secret.wav": (1, "secret.wav was not added: permission denied"),
        "monitor secret.wav -d songs.db": (1, "secret.wav cannot be used: Permission denied"),
        "retrieve secret.npy mine/out --database-embeddings prints": (1, "secret.npy cannot be read as fingerprints (Perm"),
        "identify closed -d songs.db": (1, "The folder closed cannot be read (Permission denied)"),
        "identify clip.wav -d closed": (1, "closed/generations cannot be read or written (Permission denied)"),
        # not writable
        "fingerprint clip.wav -o prints -m model": (1, "prints/.journal/all.jsonl cannot be read or written (Permission"),
        "fingerprint clip.wav -o new -m model": (1, "new cannot be written (Permission denied)"),
        "database create new.db clip.wav -m model": (1, "new.db cannot be made (Permission denied)"),
        "database add songs.db clip.wav": (1, "songs.db cannot be changed (Permission denied)"),
        "database remove songs.db *": (1, "songs.db cannot be changed (Permission denied)"),
        "identify clip.wav -d songs.db -o results.csv": (1, "results.csv cannot be written (Permission denied)"),
        "monitor clip.wav -d songs.db -o list.csv": (1, "list.csv cannot be written (Permission denied)"),
        "retrieve queries new --database-embeddings prints": (1, "new cannot be made (Permission denied)"),
        "weights import model --name mine": (1, "set NMFP_HOME to a folder that can be written"),
        # and a database that cannot be changed answers
        "identify clip.wav -d songs.db": (0, "MUSIC/a.wav"),
        "database verify songs.db": (0, "songs.db: sound"),
    }  # fmt: skip
    for (line, (status, sentence)), (found, out, err) in zip(lines.items(), as_user(*lines), strict=True):
        assert found == status and sentence in out + err, (line, found, out, err)


WRITERS = [
    "database add songs.db clip.wav --threads 1 --no-wait",
    "database remove songs.db * --no-wait",
    "database compact songs.db --no-wait",
    "database calibrate songs.db --no-wait",
    "database create begun clip.wav -m model --no-wait",
]


@pytest.mark.parametrize("line", WRITERS)
def test_a_second_writer_is_turned_away_and_readers_are_not(run, tmp_path, monkeypatch, line):
    copy_of("songs.db", tmp_path / "songs.db")
    for name in ("clip.wav", "model"):
        (tmp_path / name).symlink_to(Path(name).resolve())
    monkeypatch.chdir(tmp_path)
    store.create("begun", Path("model"))
    with store.writer(Path("begun" if "begun" in line else "songs.db")):
        status, _, lines = run(*line.split(" "))
        assert status == 1 and lines[-1].endswith(
            f"is being changed by process {os.getpid()}; run again when it is done."
        )
        assert run("identify", "clip.wav", "-d", "songs.db", "--threads", 1)[0] == 0
        assert run("database", "verify", "songs.db")[0] == 0


@pytest.mark.parametrize(
    "line",
    [
        "identify clip.wav -d songs.db --threads 1",
        "identify clip.wav -d songs.db --format json --threads 1",
        "monitor clip.wav -d songs.db --format csv --threads 1",
        "database info songs.db",
    ],
)
def test_standard_output_on_a_full_disk(here, monkeypatch, capsys, line):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        status = main(line.split(" "))
        monkeypatch.undo()
    last = capsys.readouterr().err.splitlines()[-1]
    assert status == 1
    assert (
        last
        == "nmfp: the output cannot be read or written (No space left on device); free some space and run again."
    )


def press_ctrl_c(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        ("database create new.db MUSIC -m model", "nmfp.identification.store.merge"),
        ("database add songs.db clip.wav", "nmfp.identification.store._write_removed_rows"),
        ("database remove songs.db *", "nmfp.identification.store.write_npy"),
        ("database compact songs.db", "nmfp.identification.store._copy_rows"),
        ("database calibrate songs.db", "nmfp.identification.background.write_background"),
        ("fingerprint MUSIC -o new -m model", "nmfp.extraction.folder.write_npy"),
        (
            "identify MUSIC/b.wav clip.wav -d songs.db -o new.csv",
            "nmfp.identification.identify_files.identify",
        ),
        ("monitor MUSIC/a.wav -d songs.db -o new.csv", "nmfp.identification.stream.identify"),
    ],
)
def test_ctrl_c_in_the_middle(here, run, tmp_path, monkeypatch, line, moment):
    copy_of("songs.db", tmp_path / "songs.db")
    store.remove(tmp_path / "songs.db", ["MUSIC/c.wav"])
    for name in ("clip.wav", "model", "MUSIC"):
        (tmp_path / name).symlink_to(Path(name).resolve())
    monkeypatch.chdir(tmp_path)
    before = np.array(store.open_store("songs.db").vectors), os.readlink("songs.db/current")
    with monkeypatch.context() as patch:
        patch.setattr(moment, press_ctrl_c)
        status, _, lines = run(*line.split(" "))
    assert status == 130 and lines[-1] == "nmfp: interrupted; what is finished is kept."
    assert not Path("new.csv").exists()
    assert (store.open_store("songs.db").vectors == before[0]).all() and os.readlink(
        "songs.db/current"
    ) == before[1]
    assert store.verify("songs.db") == [] and len(os.listdir("songs.db/generations")) == 1
    assert run(*line.split(" "))[0] == 0  # and the same command, given again, does its work
    assert store.verify("songs.db") == []


def test_ctrl_c_ends_a_stream_and_its_list_is_written(here, tmp_path):
    """Also where nothing comes any more: the last bytes before it are a recording without end."""
    content = bytearray((here / "clip.wav").read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    for target in ([], ["-o", str(tmp_path / "list.csv")]):
        arguments = ["monitor", "-", "-d", "songs.db", "--format", "csv", *target]
        if target:
            arguments.append("-v")
        process = subprocess.Popen([*COMMAND, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
        process.stdin.write(content)
        process.stdin.flush()
        begin = process.stdout if not target else process.stderr
        begin.readline()  # the header of the list, or the engine's line: it listens
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
        err = process.stderr.read().decode()
        process.stdin.close()
        assert "Traceback" not in err and err.endswith("nmfp: interrupted; the list goes up to there.\n")
        if target:
            assert (tmp_path / "list.csv").read_text().startswith("begin_seconds,")


@pytest.mark.parametrize(
    "name", ["model/model.json", "model/name.json", "database.json", "tracks.csv", "database.npy"]
)
def test_nothing_of_a_database_is_to_be_deleted(run, tmp_path, name):
    db = copy_of("songs.db", tmp_path / "songs.db")
    path = (db / name).resolve()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for command in (["add", str(db), "clip.wav", "--threads", "1"], ["verify", str(db)]):
        status, _, lines = run("database", *command)
        if name == "model/name.json" and command[0] == "verify":
            continue  # it is of no consequence for what is found
        about = [line for line in lines if path.name in line]
        assert status == 1 and about and not any("delete" in line for line in lines), lines
        if name == "model/model.json":
            assert "it describes a trained network: copy the model again from where it came from" in about[0]
