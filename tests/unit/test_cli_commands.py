"""The command line: every command, format and exit status, in this process."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nmfp.audio.wav import write_wav
from nmfp.cli import main
from nmfp.cli.inputs import expand, select_partition, state
from nmfp.cli.parser import build_parser
from nmfp.identification import store

COMMAND = [sys.executable, str(Path(__file__).parents[2] / "tools" / "nmfp_command.py")]
SCRIPTS = str(Path(__file__).parents[2] / "workflow" / "scripts")
FIRST_COLUMNS = "query_fp_path,query_seq_len,pred_track_path,pred_start_segment,score"


@pytest.fixture(scope="module")
def world(tmp_path_factory, small_model, melody):
    """MUSIC/ with two albums, songs.db of it, and excerpts of known and unknown music; the current folder."""
    folder = tmp_path_factory.mktemp("cli")
    for i, name in enumerate(["one/song.wav", "one/song.flac", "two/song.wav", "two/other.wav"]):
        import soundfile

        samples = melody(8000 * (12 + i), 50 + i)
        (folder / "MUSIC" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / "MUSIC" / name, samples, 8000)
        (folder / "CLIPS").mkdir(exist_ok=True)
        write_wav(folder / "CLIPS" / f"clip {i}.wav", samples[16_000 + 4000 * i :][:32_000])
    write_wav(folder / "quiet.wav", np.zeros(40_000, np.int16))
    shutil.copytree(small_model, folder / "model")
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert (
            main(["database", "create", "songs.db", "MUSIC", "--model", "model", "--threads", "1", "-q"]) == 0
        )
    finally:
        os.chdir(before)
    return folder


def every_command(parser=None, path=()):
    import argparse

    parser = parser or build_parser()
    yield path
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from every_command(child, (*path, name))


@pytest.mark.parametrize("path", list(every_command()))
def test_every_command_has_help_with_examples(path, capsys):
    with pytest.raises(SystemExit) as end:
        main([*path, "--help"])
    shown = capsys.readouterr().out
    assert end.value.code == 0 and shown.startswith("usage: nmfp")
    assert "examples:" in shown or path[-1:] == ("list",)


def test_a_group_without_an_action_prints_its_help(capsys):
    assert main(["database"]) == 0 and "verify" in capsys.readouterr().out
    assert main([]) == 0 and "identify" in capsys.readouterr().out


def test_help_loads_nothing_of_weight():
    code = (
        "import sys; from nmfp.cli import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": SCRIPTS}
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"numpy", "pandas", "tensorflow", "keras", "faiss", "openvino", "av", "scipy", "yaml", "tqdm"}
    assert not heavy & set(loaded)


def test_identifying_with_openvino_never_loads_tensorflow(here):
    code = (
        "import sys; from nmfp.cli import main\n"
        "status = main(['identify', 'CLIPS/clip 0.wav', '-d', 'songs.db', '--engine', 'openvino', '--format', 'csv'])\n"
        "print(status, 'tensorflow' in sys.modules, 'keras' in sys.modules, 'matplotlib' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": SCRIPTS}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 False False False"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_every_command(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for path in every_command():
        assert all(re.search(rf"\b{word}\b", script) for word in path)
    assert "false-accept-rate" in script


def test_completion_works_in_bash(capsys, tmp_path):
    main(["completion", "bash"])
    script = capsys.readouterr().out
    for words, wanted in [
        ("nmfp da", "database"),
        ("nmfp database ver", "verify"),
        ("nmfp identify --to", "--top"),
    ]:
        line = words.split()
        ask = f"COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _nmfp; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True, check=True)
        assert done.stdout.split() == [wanted]


# What people name


@pytest.mark.parametrize("named", ["clip.wav", "clips.txt", "folder"])
def test_a_changed_recording_alters_the_state_of_what_names_it(tmp_path, named):
    (tmp_path / "folder").mkdir()
    (tmp_path / "clips.txt").write_text("clip.wav\nfolder\nlater.wav\n")
    states = []
    for content in (b"one", b"another"):
        (tmp_path / "clip.wav").write_bytes(content)
        (tmp_path / "folder" / "deep.wav").write_bytes(content)
        states += [state(str(tmp_path / named))] * 2
    if named == "clips.txt":
        (tmp_path / "later.wav").write_bytes(b"")
        states.append(state(str(tmp_path / named)))
        (tmp_path / "clips.txt").write_text("later.wav\n")
        states.append(state(str(tmp_path / named)))
    assert states[0] == states[1] and len(set(states)) == (4 if named == "clips.txt" else 2)


def test_folders_lists_and_standard_input(here, monkeypatch, capsys):
    Path("list.txt").write_text("# my songs\n\n  MUSIC/two/song.wav\nMUSIC/one/song.flac  \n-\n")
    names = [i.id for i in expand(["MUSIC/one", "list.txt", "MUSIC//one/../one/song.wav"])]
    assert names == ["MUSIC/one/song.flac", "MUSIC/one/song.wav", "MUSIC/two/song.wav", "-"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"CLIPS/clip 0.wav\n# no\nMUSIC/two\n")))
    assert [i.id for i in expand(["-"])] == ["CLIPS/clip 0.wav", "MUSIC/two/other.wav", "MUSIC/two/song.wav"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"new\nline.wav\0#sharp.wav\0")))
    assert [(i.id, i.reason) for i in expand(["-"])] == [
        ("new\nline.wav", "no such file"),
        ("#sharp.wav", "no such file"),
    ]


def test_partitions_are_disjoint_and_complete(here):
    inputs = expand(["MUSIC", "CLIPS"])
    parts = [select_partition(inputs, (k, 3)) for k in (1, 2, 3)]
    assert sorted(i.id for part in parts for i in part) == sorted(i.id for i in inputs)
    assert inputs[0] in parts[0]


# identify


def identified(capsys, *arguments):
    status = main(["identify", *arguments, "--database", "songs.db", "--threads", "1"])
    return status, capsys.readouterr()


def test_results_csv(here, capsys):
    status, said = identified(capsys, "CLIPS", "quiet.wav", "--format", "csv", "--top", "2")
    assert status == 0 and said.out.startswith(FIRST_COLUMNS + ",")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    best = [r for r in rows if r["rank"] == "1"]
    tracks = ["MUSIC/one/song.wav", "MUSIC/one/song.flac", "MUSIC/two/song.wav", "MUSIC/two/other.wav"]
    assert [r["pred_track_path"] for r in best] == tracks
    assert [r["pred_start_segment"] for r in best] == ["4", "5", "6", "7"]
    assert [float(r["start_seconds"]) for r in best] == [2.0, 2.5, 3.0, 3.5]
    assert {r["query_seq_len"] for r in best} == {"7"} and {r["score"] for r in best} == {"1.000000"}
    assert len([r for r in rows if r["rank"] == "2"]) == 4
    assert (rows[-1]["query_fp_path"], rows[-1]["decision"], rows[-1]["pred_track_path"]) == (
        "quiet.wav",
        "silent",
        "",
    )


def test_json_is_one_document(here, capsys):
    status, said = identified(capsys, "CLIPS", "gone.wav", "--format", "json", "-v")
    answers = json.loads(said.out)
    assert status == 1 and [a["query"] for a in answers][-1] == "gone.wav"
    assert answers[0]["answers"][0]["track"] == "MUSIC/one/song.wav"
    assert answers[-1]["decision"] == "failed" and answers[-1]["note"] == "no such file"


def test_the_table_for_people(here, capsys):
    _, said = identified(capsys, "CLIPS/clip 1.wav", "quiet.wav")
    lines = said.out.splitlines()
    assert lines[0].split() == ["QUERY", "SCORE", "CONFIDENCE", "AT", "TRACK"]
    assert "clip 1.wav" in lines[1] and "MUSIC/one/song.flac" in said.out and "silence" in said.out


def test_results_into_a_file_that_appears_whole(here, capsys, tmp_path):
    status, said = identified(capsys, "CLIPS", "--format", "csv", "-o", str(tmp_path / "r.csv"))
    assert status == 0 and said.out == "" and len((tmp_path / "r.csv").read_text().splitlines()) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["r.csv"]
    assert identified(capsys, "CLIPS", "-o", str(tmp_path / "no" / "r.csv"))[0] == 1


def test_a_false_accept_rate_that_four_tracks_cannot_support(here, capsys):
    status, said = identified(capsys, "CLIPS", "--false-accept-rate", "1%")
    assert status == 1 and "needs 299 unknown recordings" in said.err
    assert identified(capsys, "CLIPS/clip 0.wav", "--false-accept-rate", "0.6")[0] == 0


def test_the_database_of_another_model_is_refused(here, capsys, tmp_path):
    shutil.copytree("model", tmp_path / "other")
    info = json.loads((tmp_path / "other" / "model.json").read_text())
    (tmp_path / "other" / "model.json").write_text(json.dumps({**info, "digest": "f" * 64}))
    status, said = identified(capsys, "CLIPS", "--model", str(tmp_path / "other"))
    assert status == 1 and "was made by another model" in said.err


# monitor


@pytest.fixture
def mix(here, melody):
    noise = np.random.default_rng(0).normal(0, 800, (2, 40_000)).astype(np.int16)
    write_wav("mix.wav", np.concatenate([noise[0], melody(8000 * 14, 52), noise[1]]))
    return "mix.wav"


def monitored(capsys, mix, *arguments):
    assert main(["monitor", mix, "--database", "songs.db", "--threads", "1", *arguments]) == 0
    return capsys.readouterr().out


def test_monitor_in_every_format(mix, capsys):
    first = next(csv.DictReader(io.StringIO(monitored(capsys, mix, "--format", "csv"))), None)
    if first is None:
        pytest.skip("an untrained network cannot tell the music from the noise around it")
    assert float(first["end_seconds"]) > float(first["begin_seconds"])
    assert list(json.loads(monitored(capsys, mix, "--format", "json"))[0]) == list(first)
    cue = monitored(capsys, mix, "--format", "cue")
    assert cue.startswith('FILE "mix.wav" WAVE\n  TRACK 01 AUDIO\n') and re.search(
        r"INDEX 01 \d\d:\d\d:\d\d\n", cue
    )
    assert "BEGIN" in monitored(capsys, mix)


def test_monitor_says_where_nothing_is_known_to_the_end(here, melody, tmp_path, capsys):
    import soundfile

    unknown = melody(8000 * 20, 991)
    write_wav(tmp_path / "unknown.wav", unknown)
    lines = monitored(capsys, str(tmp_path / "unknown.wav")).splitlines()
    assert [line.split() for line in lines[1:]] == [["0:00.0", "0:20.0", "(nothing", "known)"]]
    known = soundfile.read("MUSIC/two/other.wav", dtype="int16")[0]
    write_wav(tmp_path / "both.wav", np.concatenate([known, unknown]))
    lines = monitored(capsys, str(tmp_path / "both.wav")).splitlines()
    assert len(lines) == 3 and lines[1].endswith("MUSIC/two/other.wav")
    assert re.search(r"^ +0:1\d\.\d +0:35\.0 +\(nothing known\)$", lines[2])


@pytest.mark.parametrize("form", ["table", "csv", "json", "cue"])
def test_monitor_writes_nothing_of_what_is_no_music(here, form, tmp_path, capsys):
    (tmp_path / "text.mp3").write_text("this is no music\n" * 300)
    write_wav(tmp_path / "short.wav", np.ones(2400, np.int16))
    for name in ("text.mp3", "short.wav"):
        arguments = ["monitor", str(tmp_path / name), "-d", "songs.db", "--format", form, "--threads", "1"]
        assert main(arguments) == 1
        said = capsys.readouterr()
        assert said.out == "" and name in said.err


def test_monitor_reads_a_pipe(mix, capsys):
    arguments = ["monitor", "-", "--database", "songs.db", "--format", "json"]
    done = subprocess.run([*COMMAND, *arguments], stdin=open(mix, "rb"), capture_output=True, check=True)
    with open(mix, "rb") as f:
        piped = subprocess.run([*COMMAND, *arguments], input=f.read(), capture_output=True, check=True)
    assert json.loads(piped.stdout) == json.loads(done.stdout)
    # a file is taken in longer blocks, which must not show
    assert json.loads(monitored(capsys, mix, "--format", "json")) == json.loads(done.stdout)


# fingerprint, retrieve


def test_fingerprints_do_not_collide_resume_and_add_up(here, capsys, tmp_path):
    out = str(tmp_path / "fp")
    shared = ["-o", out, "--model", "model", "--threads", "1"]
    for part in ("1/2", "2/2"):
        assert main(["fingerprint", "MUSIC", *shared, "--partition", part]) == 0
    files = sorted(p.relative_to(out).as_posix() for p in Path(out).rglob("*.npy") if "silent" not in p.name)
    assert files == [
        f"MUSIC/{n}.npy" for n in ("one/song.flac", "one/song.wav", "two/other.wav", "two/song.wav")
    ]
    times = {f: os.stat(Path(out, f)).st_mtime_ns for f in files}
    Path(out, files[1]).write_bytes(b"torn")
    Path("broken.mp3").write_text("no audio")
    assert main(["fingerprint", "MUSIC", "broken.mp3", "gone.wav", *shared]) == 1
    said = capsys.readouterr().err
    assert (
        "broken.mp3 has no fingerprints: not audio" in said
        and "gone.wav has no fingerprints: no such file" in said
    )
    assert "1 recordings fingerprinted, 3 were there, 2 failed" in said
    for f in (files[0], files[2], files[3]):
        assert os.stat(Path(out, f)).st_mtime_ns == times[f]
    stored = store.open_store("songs.db")
    row = stored.tracks.set_index("id").loc["MUSIC/one/song.wav"]
    assert (np.load(Path(out, files[1])) == stored.vectors[row.row_start : row.row_end]).all()
    table = list(csv.DictReader(Path(out, "tracks.csv").open()))
    assert [r["status"] for r in table] == ["ok"] * 4 + ["failed"] * 2


def test_fingerprints_of_two_models_do_not_mix(here, capsys, tmp_path):
    (tmp_path / "fp").mkdir()
    (tmp_path / "fp" / "fingerprints.json").write_text('{"model_digest": "other"}')
    assert main(["fingerprint", "CLIPS", "-o", str(tmp_path / "fp"), "--model", "model"]) == 1
    assert "another model" in capsys.readouterr().err


def test_retrieval_from_a_folder_a_memmap_and_an_index(here, capsys, tmp_path):
    from nmfp.search import index as nn

    shared = ["--model", "model", "--threads", "1", "-q"]
    assert main(["fingerprint", "MUSIC", "-o", str(tmp_path / "db"), *shared]) == 0
    assert main(["fingerprint", "CLIPS", "-o", str(tmp_path / "queries"), *shared]) == 0
    database = store.open_store("songs.db")
    np.asarray(database.vectors).tofile(tmp_path / "raw.mm")
    index, resolved = nn.train(database.vectors, "Flat", 1)
    nn.fill(index, database.vectors)
    nn.write(tmp_path / "index.faiss", index, nn.describe("Flat", resolved, database.info))
    answers = {}
    for name, source in {
        "folder": ["--database-embeddings", str(tmp_path / "db")],
        "memmap": ["--database-memmap", "songs.db/database.npy"],
        "raw": ["--database-memmap", str(tmp_path / "raw.mm")],
        "index": ["--database-index", str(tmp_path / "index.faiss")],
    }.items():
        assert main(["retrieve", str(tmp_path / "queries"), str(tmp_path / name), *source]) == 0
        text = (tmp_path / name / "results.csv").read_text()
        assert text.startswith(FIRST_COLUMNS + ",")
        answers[name] = [
            (r["pred_track_path"], r["pred_start_segment"]) for r in csv.DictReader(io.StringIO(text))
        ]
    tracks = ["MUSIC/one/song.wav", "MUSIC/one/song.flac", "MUSIC/two/song.wav", "MUSIC/two/other.wav"]
    assert answers["folder"] == answers["memmap"] == list(zip(tracks, "4567", strict=True))
    first = database.tracks.set_index("id")["row_start"]
    rows = [str(first[t] + n) for t, n in zip(tracks, (4, 5, 6, 7), strict=True)]
    assert [r for _, r in answers["raw"]] == [r for _, r in answers["index"]] == rows


def test_retrieval_from_a_published_database(here, capsys, tmp_path):
    """database.mm, database.csv and flat.index as the published program leaves them, against our own database."""
    import faiss

    shared = ["--model", "model", "--threads", "1", "-q"]
    assert main(["fingerprint", "CLIPS", "-o", str(tmp_path / "queries"), *shared]) == 0
    database = store.open_store("songs.db")
    folder = tmp_path / "published"
    folder.mkdir()
    vectors = np.array(database.vectors)
    vectors.tofile(folder / "database.mm")
    rows = database.tracks[["id", "row_start", "row_end"]].itertuples(index=False)
    lines = [f"{name}.npy,{start},{end},{vectors.shape[1]}" for name, start, end in rows]
    (folder / "database.csv").write_text("\n".join(["file_name,start,end,emb_dim", *lines]) + "\n")
    flat = faiss.IndexFlatL2(vectors.shape[1])
    flat.add(vectors)
    faiss.write_index(flat, str(folder / "l2.index"))
    ask = ["retrieve", str(tmp_path / "queries")]
    memmap = ["--database-memmap", str(folder / "database.mm")]
    index = ["--database-index", str(folder / "l2.index")]
    for name, source in {
        "ours": ["--database-memmap", "songs.db/database.npy"],
        "memmap": memmap,
        "ivf": [*memmap, "--index", "IVF2,Flat", "--probes", "2"],
        "few": [*memmap, "--candidates", "3"],
        "index": [*index, "--trust-index"],
    }.items():
        assert main([*ask, str(tmp_path / name), *source, "--columns", "published", "--top", "2"]) == 0
    ours = (tmp_path / "ours/results.csv").read_text()
    assert ours.splitlines()[0] == FIRST_COLUMNS and len(ours.splitlines()) > 5
    for name in ("memmap", "ivf", "index"):
        assert (tmp_path / name / "results.csv").read_text() == ours
    assert FIRST_COLUMNS in (tmp_path / "few/results.csv").read_text()
    capsys.readouterr()
    assert main([*ask, str(tmp_path / "no"), *index]) == 1
    assert "nothing vouches for l2.index" in capsys.readouterr().err
    assert main([*ask, str(tmp_path / "no"), *memmap, "--probes", "4"]) == 2
    assert "--probes is for an index" in capsys.readouterr().err
    assert main([*ask, str(tmp_path / "no"), *index, "--trust-index", "--index", "ivf"]) == 2
    assert main([*ask, str(tmp_path / "no"), *memmap, "--index", "nonsense"]) == 1
    assert "the factory string 'nonsense'" in capsys.readouterr().err
    (folder / "database.csv").write_text("\n".join(["file_name,start,end,emb_dim", *lines[:-1]]) + "\n")
    assert main([*ask, str(tmp_path / "no"), *memmap]) == 1
    assert "they do not belong together" in capsys.readouterr().err
    flat.add(vectors[:1])
    faiss.write_index(flat, str(folder / "l2.index"))
    (folder / "database.csv").write_text("\n".join(["file_name,start,end,emb_dim", *lines]) + "\n")
    assert main([*ask, str(tmp_path / "no"), *index, "--trust-index"]) == 1
    assert "build the index again" in capsys.readouterr().err


# evaluate


@pytest.fixture
def truth(here, tmp_path):
    """Writes a table of ground truth beside links to the clips; clip i is cut from track i at 2 + i / 2 s."""
    (tmp_path / "clips").symlink_to(here / "CLIPS")
    tracks = ["MUSIC/one/song.wav", "MUSIC/one/song.flac", "MUSIC/two/song.wav", "MUSIC/two/other.wav"]

    def write(starts, **changes):
        rows = [
            f"clips/clip {i}.wav,{track},{s}" for i, (track, s) in enumerate(zip(tracks, starts, strict=True))
        ]
        for i, row in changes.items():
            rows[int(i[1:])] = row
        (tmp_path / "truth.csv").write_text("\n".join(["query,track,start", *rows]) + "\n")
        return str(tmp_path / "truth.csv")

    return write


def rates_of(folder):
    with (folder / "hit_rates.csv").open() as f:
        return {(r["criterion"], r["query_seconds"]): (r["hits"], r["sequences"]) for r in csv.DictReader(f)}


def test_evaluation_with_places(truth, capsys, tmp_path):
    table = truth(["2", "2.5", "3", "9"])  # the last is wrong by 5.5 s
    out = tmp_path / "out"
    ask = ["evaluate", table, str(out), "-d", "songs.db", "--threads", "1", "--seconds", "1", "2"]
    assert main(ask) == 0
    said = capsys.readouterr()
    assert "far" in said.out and "start in the ground truth" not in said.err
    found = rates_of(out)
    # seven fingerprints a clip; sequences begin at the first of them
    assert found["track", "2"] == ("4", "4") and found["near", "2"] == ("3", "4") == found["exact", "2"]
    assert found["far", "2"] == ("1", "4")
    answers = list(csv.DictReader((out / "analysis.csv").open()))
    assert answers[0]["query_start_segment"] == "4" == answers[0]["pred_start_segment"]
    before = {p: p.stat().st_mtime_ns for p in (out / "fingerprints").rglob("*.npy")}
    assert main(ask) == 0
    assert {p: p.stat().st_mtime_ns for p in (out / "fingerprints").rglob("*.npy")} == before


def test_evaluation_without_places_reports_tracks_alone_and_says_so(truth, capsys, tmp_path):
    table = truth(["", "", "", ""], _3="clips/clip 3.wav,unknown,")
    out = tmp_path / "out"
    assert main(["evaluate", table, str(out), "-d", "songs.db", "--threads", "1", "--seconds", "2"]) == 0
    sentence = "only track hits are reported"
    assert sentence in capsys.readouterr().err and sentence in (out / "report.html").read_text()
    assert rates_of(out) == {("track", "2"): ("3", "3")}
    assert "1 queries are unknown to the database" in (out / "report.html").read_text()
    answers = {r["query_id"]: r for r in csv.DictReader((out / "analysis.csv").open())}
    assert answers["clips/clip 3.wav"]["gt_track_path"] == ""


def test_evaluation_of_fingerprints_in_published_files(truth, here, capsys, tmp_path):
    shared = ["--model", "model", "--threads", "1", "-q"]
    assert main(["fingerprint", "CLIPS/clip 0.wav", "-o", str(tmp_path / "fp"), *shared]) == 0
    database = store.open_store("songs.db")
    np.asarray(database.vectors).tofile(tmp_path / "database.mm")
    lines = [
        f"{r.id}.npy,{r.row_start},{r.row_end},{database.vectors.shape[1]}"
        for r in database.tracks.itertuples()
    ]
    (tmp_path / "database.csv").write_text("\n".join(["file_name,start,end,emb_dim", *lines]) + "\n")
    table = tmp_path / "t.csv"
    table.write_text("query,track,start\nfp/CLIPS/clip 0.wav.npy,MUSIC/one/song.wav,2\n")
    ask = [
        "evaluate",
        str(table),
        str(tmp_path / "out"),
        "-d",
        str(tmp_path / "database.mm"),
        "--seconds",
        "3",
    ]
    assert main([*ask, "--model", "model"]) == 0
    assert rates_of(tmp_path / "out")["exact", "3"] == ("1", "1")
    capsys.readouterr()
    assert main(ask) == 1 and "name the model by --model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("clips/clip 0.wav,MUSIC/none.wav,1", "line 5: the track 'MUSIC/none.wav' has no fingerprints in"),
        ("clips/none.wav,unknown,", "line 5: the query 'clips/none.wav' is no file"),
        (
            "clips/clip 0.wav,MUSIC/one/song.wav,1",
            "line 5: the query clips/clip 0.wav stands in an earlier line",
        ),
        ("clips/clip 3.wav,,1", "line 5: the track is empty"),
        ("clips/clip 3.wav,MUSIC/two/other.wav,soon", "line 5: the start 'soon' is no time in seconds"),
        ("clips/clip 3.wav,MUSIC/two/other.wav,-1", "line 5: the start '-1' is no time in seconds"),
        ("clips/clip 3.wav,MUSIC/two/other.wav,400", "line 5: 'MUSIC/two/other.wav' has ended before 400 s"),
    ],
)
def test_a_wrong_ground_truth_is_a_sentence_and_nothing_is_done(truth, capsys, tmp_path, row, sentence):
    first = {} if "clip 0" not in row or "none" not in row else {"_0": "clips/clip 3.wav,unknown,"}
    table = truth(["2", "", "", ""], _3=row, **first)
    assert main(["evaluate", table, str(tmp_path / "out"), "-d", "songs.db"]) == 1
    said = capsys.readouterr().err
    assert sentence in said and len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


# database


def test_info_tracks_failures_and_verify(here, capsys):
    assert main(["database", "info", "songs.db"]) == 0
    assert re.search(r"tracks +4\n", capsys.readouterr().out)
    assert main(["database", "info", "songs.db", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["tracks"] == 4
    assert main(["database", "info", "songs.db", "--tracks"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "MUSIC/one/song.flac"
    assert main(["database", "verify", "songs.db"]) == 0


def test_add_remove_compact_calibrate(here, capsys, tmp_path):
    shutil.copytree("songs.db", tmp_path / "db", symlinks=True)
    db = str(tmp_path / "db")
    assert main(["database", "add", db, "CLIPS/clip 0.wav", "MUSIC", "gone.wav", "--threads", "1"]) == 1
    assert "1 added, 4 unchanged, 1 failed" in capsys.readouterr().err
    assert main(["database", "info", db, "--failures"]) == 0
    assert capsys.readouterr().out == "gone.wav\tno such file\n"
    assert main(["database", "remove", db, "CLIPS/*"]) == 0
    assert main(["database", "compact", db]) == 0
    assert "7 fingerprints of removed tracks are gone" in capsys.readouterr().err
    assert main(["database", "calibrate", db, "MUSIC/two/song.wav", "--threads", "1"]) == 0
    assert main(["database", "info", db]) == 0
    assert "1 recordings (recordings that are not in it)" in capsys.readouterr().out
    assert main(["database", "verify", db]) == 0


def test_a_database_of_the_workflow_is_read_but_not_changed(here, capsys, tmp_path):
    results = tmp_path / "results" / "test"
    shutil.copytree(Path("songs.db").resolve() / "current", results / "fingerprints" / "small" / "database")
    shutil.copytree("model", results / "models" / "small")
    (results / "fingerprints" / "small" / "database" / "calibration.json").unlink()
    folder = str(results / "fingerprints" / "small" / "database")
    assert main(["identify", "CLIPS/clip 0.wav", "--database", folder, "--format", "csv"]) == 0
    said = capsys.readouterr()
    assert "MUSIC/one/song.wav,4" in said.out and "is not calibrated" in said.err
    assert main(["database", "add", folder, "CLIPS"]) == 1
    assert "belongs to the workflow" in capsys.readouterr().err


# weights


def test_weights_import_and_list(here, capsys):
    assert main(["weights", "import", "model", "--name", "mine"]) == 0
    assert main(["weights", "list"]) == 0
    assert capsys.readouterr().out.startswith("mine\t")
    assert main(["weights", "import", "model", "--name", "mine"]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["weights", "import", "model", "--name", "mine", "--force"]) == 0
    assert main(["database", "create", "empty.db", "--model", "mine"]) == 0
    assert main(["weights", "import", "MUSIC", "--name", "other"]) == 1
    assert not Path(os.environ["NMFP_HOME"], "models", "other").exists()


def test_published_weights_are_imported(here, capsys):
    reference = Path(__file__).parents[1] / "reference" / "checkpoint"
    if not reference.is_dir():
        pytest.skip("tests/reference holds no checkpoint")
    assert main(["weights", "import", str(reference), "--name", "published", "-q"]) == 0
    assert (
        main(["database", "create", "published.db", "CLIPS", "--model", "published", "-q", "--threads", "1"])
        == 0
    )


@pytest.mark.parametrize(
    "arguments",
    [["identify", "x.wav"], ["identify", "x.wav", "-d", "songs.db", "--top", "0"], ["nonsense"],
     ["identify", "x.wav", "-d", "songs.db", "--false-accept-rate", "2"],
     ["fingerprint", "MUSIC", "-o", "o", "-m", "model", "--partition", "3/2"],
     ["fingerprint", "MUSIC", "-o", "o", "-m", "model", "--partition", "0/2"],
     ["weights", "fetch", "unheard-of"], ["monitor", "x.wav", "-d", "songs.db", "--window", "0.1"]],
)  # fmt: skip
def test_wrong_usage_is_status_2(here, arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2 and "usage: nmfp" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, missing",
    [("identify x.mp3", "-d/--database is"), ("identify", "query, -d/--database are"),
     ("monitor x.mp3", "-d/--database is"), ("database create", "database, input, -m/--model are"),
     ("database create songs.db MUSIC", "-m/--model is"), ("database info", "database is"),
     ("fingerprint MUSIC -o out", "-m/--model is")],
)  # fmt: skip
def test_whoever_has_no_database_or_model_learns_what_they_are(arguments, missing, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments.split())
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.startswith("usage: nmfp") and f"\nnmfp: {missing} missing. " in said
    assert "A database holds the fingerprints of your recordings; a model, a trained network," in said
    assert (
        "  nmfp weights fetch nmfp-triplet\n  nmfp database create songs.db MUSIC/ --model nmfp-triplet\n"
        in said
    )


@pytest.mark.parametrize(
    "arguments, sentence",
    [(["database", "create", "new.db", "MUSIC", "-m", "no-such-model"], "neither a model's folder nor the name"),
     (["database", "create", "new.db", "MUSIC", "-m", "MUSIC"], "is no model"),
     (["identify", "no-list.txt", "-d", "songs.db"], "the list no-list.txt cannot be read"),
     (["retrieve", "nowhere", "out", "--database-memmap", "x.npy"], "nowhere does not exist")],
)  # fmt: skip
def test_what_cannot_be_meant_is_status_2_with_a_sentence(here, arguments, sentence, capsys):
    assert main(arguments) == 2 and sentence in capsys.readouterr().err
    assert not Path("new.db").exists()
