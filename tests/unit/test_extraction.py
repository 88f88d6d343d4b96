"""Segments, decoding processes, the log of finished work, and a whole partition."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import extract
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nmfp.errors import NmfpError
from nmfp.extraction import decoding, partition, progress
from nmfp.extraction.decoding import Decoders
from nmfp.extraction.segmenting import Segmenter, silent
from nmfp.files import read_csv, write_csv

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


class SpectrumEngine:
    """A network of one seeded matrix on the magnitude spectrum: fast, and as sensitive to a sample as any."""

    name, version, dimension = "spectrum", "1", 8

    def __init__(self, batch=32):
        self.batch, self.calls = batch, 0
        self._matrix = np.random.default_rng(5).standard_normal((4001, 8))

    def __call__(self, segments):
        self.calls += 1
        features = np.stack([np.abs(np.fft.rfft(s)) @ self._matrix for s in segments]) + 1.0
        return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


# Segments


@settings(max_examples=60, deadline=None)
@given(
    blocks=st.lists(st.integers(0, 5000), max_size=12),
    length=st.integers(1, 1500),
    hop_share=st.floats(0.01, 1),
)
def test_segments_do_not_depend_on_the_blocks(blocks, length, hop_share):
    hop = max(1, int(length * hop_share))
    signal_ = np.random.default_rng(0).integers(-40, 40, sum(blocks)).astype(np.int16)
    segmenter = Segmenter(length, hop)
    found, flags = [], []
    for stop, size in zip(np.cumsum(blocks, dtype=int), blocks, strict=True):
        segments, is_silent = segmenter.feed(signal_[stop - size : stop])
        found += [s.copy() for s in segments]
        flags += list(is_silent)
    starts = range(0, len(signal_) - length + 1, hop)
    assert [f.tolist() for f in found] == [signal_[s : s + length].tolist() for s in starts]
    rms = [np.sqrt(np.mean(signal_[s : s + length].astype(float) ** 2)) for s in starts]
    assert flags == [bool(r < 32.768) for r in rms]
    assert segmenter.samples == len(signal_)


@pytest.mark.parametrize(("decibel", "expected"), [(-59.5, False), (-60.5, True)])
def test_silence_begins_at_minus_60_dbfs(decibel, expected):
    peak = 32768 * 10 ** (decibel / 20) * np.sqrt(2)
    tone = np.round(peak * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)).astype(np.int16)
    assert silent(tone, 1).tolist() == [expected]


def test_hop_beyond_the_segment_is_refused():
    with pytest.raises(ValueError, match="between 1 and 8000"):
        Segmenter(hop=8001)


# Decoding processes


def children() -> list[int]:
    """Of all threads of this process, by age."""
    return sorted(
        int(pid) for f in Path("/proc/self/task").glob("*/children") for pid in f.read_text().split()
    )


def collect(decoders) -> dict[int, tuple[np.ndarray, str]]:
    blocks, reasons = {}, {}
    for message in decoders:
        if message.ended:
            reasons[message.item] = message.reason
        else:
            blocks.setdefault(message.item, []).append(message.samples)
    return {n: (np.concatenate(blocks.get(n, [np.zeros(0, np.int16)])), reasons[n]) for n in sorted(reasons)}


def test_two_processes_decode_what_was_written(tmp_path, write_corpus, melody):
    lengths = [100, 8000, 250_000, 90_001, 40_000]
    table = write_corpus(tmp_path, lengths)
    before = children()
    with Decoders(table["path"], processes=2) as decoders:
        found = collect(decoders)
    assert children() == before
    for n, samples in enumerate(lengths):
        assert np.array_equal(found[n][0], melody(samples, n)) and found[n][1] == ""


def test_decoding_processes_stay_small(tmp_path, write_corpus):
    table = write_corpus(tmp_path, [2_000_000])
    with Decoders(table["path"]) as decoders:
        next(iter(decoders))  # it runs, and waits until more of its blocks are read
        maps = Path(f"/proc/{decoders._children[0].pid}/maps").read_text()
    assert "libav" in maps
    assert not [name for name in ("tensorflow", "openvino", "faiss") if name in maps]


def test_a_file_that_brings_a_decoder_down_costs_one_file(tmp_path, write_corpus):
    table = write_corpus(tmp_path, [3_000_000, 20_000, 20_000])
    with Decoders(table["path"]) as decoders:
        messages = iter(decoders)
        assert next(messages).item == 0
        decoders._children[0].kill()
        found = collect(messages)
    assert "decoder ended with status -9" in found[0][1]
    assert [(len(found[n][0]), found[n][1]) for n in (1, 2)] == [(20_000, ""), (20_000, "")]


def test_leaving_early_ends_the_processes(tmp_path, write_corpus):
    table = write_corpus(tmp_path, [4_000_000, 4_000_000])
    before = children()
    start = time.monotonic()
    with pytest.raises(ZeroDivisionError), Decoders(table["path"], processes=2) as decoders:
        next(iter(decoders))
        raise ZeroDivisionError
    assert children() == before and time.monotonic() - start < 20


def test_decoders_that_do_not_start_are_an_error_not_a_quarantine(tmp_path, write_corpus, monkeypatch):
    table = write_corpus(tmp_path, [9000])
    monkeypatch.setattr("nmfp.extraction.decoding._SERVE", "raise SystemExit(3)")
    with pytest.raises(NmfpError, match="does not start"), Decoders(table["path"]) as decoders:
        list(decoders)


def test_decoders_end_when_their_parent_is_killed(tmp_path, write_corpus):
    table = write_corpus(tmp_path, [4_000_000])
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from nmfp.extraction.decoding import Decoders\n"
        "with Decoders([sys.argv[2]]) as decoders:\n"
        "    next(iter(decoders)); print(decoders._children[0].pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(SCRIPTS), table["path"][0]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the decoder outlived its parent"
        time.sleep(0.1)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_decoders_whose_parent_has_gone_say_nothing(unbuffered):
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-c", decoding._SERVE, str(SCRIPTS)]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    run = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE, env=environment
    )
    os.close(theirs)
    assert (run.returncode, run.stderr) == (0, b"")


# The log of finished work


def vectors(n: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, 8))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def write_units(folder: Path) -> None:
    with progress.WorkLog(folder, 8) as done:
        done.add_part("a", vectors(5, 1), np.array([0, 1, 0, 0, 1], bool))
        done.add_part("b", vectors(3, 2), np.zeros(3, bool))
        done.add_part("a", vectors(2, 3), np.ones(2, bool))
        done.finish("a", 30_000)
        done.finish("b", 16_000)
        done.finish("c", 0, "too short")
        done.add_part("d", vectors(4, 4), np.zeros(4, bool))  # under way when the job is killed
        done.commit()


def read_unit(done: progress.WorkLog, name: str) -> tuple[np.ndarray, list[bool]]:
    parts = list(done.read(done.units[name]))
    return np.concatenate([v for v, _ in parts]), np.concatenate([s for _, s in parts]).tolist()


def test_log_gives_back_what_was_finished(tmp_path):
    write_units(tmp_path)
    with progress.WorkLog(tmp_path, 8) as done:
        assert sorted(done.units) == ["a", "b", "c"]
        found, flags = read_unit(done, "a")
        assert np.array_equal(found, np.concatenate([vectors(5, 1), vectors(2, 3)]))
        assert flags == [False, True, False, False, True, True, True]
        assert (done.units["a"].samples, done.units["b"].rows, done.units["c"].reason) == (
            30_000,
            3,
            "too short",
        )
        done.add_part("d", vectors(4, 5), np.zeros(4, bool))  # computed again from its start
        done.finish("d", 20_000)
        done.commit()
    with progress.WorkLog(tmp_path, 8) as done:
        assert np.array_equal(read_unit(done, "d")[0], vectors(4, 5))
        assert np.array_equal(read_unit(done, "b")[0], vectors(3, 2))


def test_torn_line_is_as_if_it_had_never_been(tmp_path):
    write_units(tmp_path)
    log = (tmp_path / "log.jsonl").read_bytes()
    rows = (tmp_path / "rows.bin").read_bytes()
    lines = log.splitlines(keepends=True)
    for cut in range(0, len(log), 5):
        (tmp_path / "log.jsonl").write_bytes(log[:cut])
        (tmp_path / "rows.bin").write_bytes(rows)
        whole = [json.loads(line) for line in lines[: log[:cut].count(b"\n")]]
        with progress.WorkLog(tmp_path, 8) as done:
            assert sorted(done.units) == sorted(line["unit"] for line in whole if "end" in line)


@pytest.mark.parametrize("damage", ["flip", "truncate", "nan", "missing"])
def test_damaged_rows_are_computed_again(tmp_path, damage, caplog):
    write_units(tmp_path)
    rows = tmp_path / "rows.bin"
    data = bytearray(rows.read_bytes())
    second = 5 * 33  # where unit b begins
    if damage == "flip":
        data[second + 10] ^= 1
    elif damage == "truncate":
        del data[second + 20 :]
    elif damage == "nan":  # with a matching hash: the content itself is checked, too
        import hashlib

        data[second : second + 4] = np.float32("nan").tobytes()
        log = (tmp_path / "log.jsonl").read_text().splitlines(keepends=True)
        log = [json.loads(line) for line in log]
        for line in log:
            if line["unit"] == "b" and "offset" in line:
                line["sha256"] = hashlib.sha256(bytes(data[second : second + 3 * 33])).hexdigest()
        (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    rows.write_bytes(data)
    if damage == "missing":
        rows.unlink()
    with progress.WorkLog(tmp_path, 8) as done:
        assert "b" not in done.units and "c" in done.units
        assert ("a" in done.units) == (damage in ("flip", "nan"))
    assert "damaged" in caplog.text


# A partition


@pytest.fixture
def corpus(tmp_path, write_corpus):
    """Seven good tracks of 1 to 21 segments and six bad ones, in one partition."""
    table = write_corpus(tmp_path, [88_000, 8000, 40_123, 12_001, 64_000, 20_000, 9000])
    bad = {
        "missing": None,
        "empty.wav": b"",
        "text.mp3": b"this is no music at all\n" * 100,
        "truncated.wav": Path(table["path"][0]).read_bytes()[:50_000],
        "short.wav": None,
        "silent.wav": None,
    }
    from nmfp.audio.wav import write_wav

    rows = []
    for name, content in bad.items():
        path = tmp_path / "audio" / name
        if content is not None:
            path.write_bytes(content)
        samples = {"truncated.wav": 88_000, "short.wav": 7999, "silent.wav": 30_000}.get(name, 0)
        rows.append((name, str(path), "database", samples, name.encode().hex(), "ok", ""))
    write_wav(tmp_path / "audio" / "short.wav", np.full(7999, 9000, np.int16))
    write_wav(tmp_path / "audio" / "silent.wav", np.full(30_000, 20, np.int16))
    bad_rows = pd.DataFrame(rows, columns=table.columns)
    table = pd.concat([table[:3], bad_rows, table[3:]], ignore_index=True)
    write_csv(tmp_path / "tracks.csv", table)
    write_csv(tmp_path / "0001.csv", table[["id"]])
    return tmp_path


def outputs(folder: Path, n: str = "0001") -> dict[str, Path]:
    suffixes = {"fingerprints": ".npy", "silent": ".silent.npy", "table": ".csv", "info": ".json"}
    return {key: folder / f"{n}{suffix}" for key, suffix in suffixes.items()}


def run(corpus: Path, out: Path, engine, processes: int = 1) -> pd.DataFrame:
    tracks = partition.read_partition_tracks(corpus / "tracks.csv", corpus / "0001.csv")
    with progress.WorkLog(out / "work", engine.dimension) as done:
        partition.fingerprint_tracks(tracks, engine, done, processes)
        return partition.write_partition(outputs(out), tracks, done, {"model": "m"})


def test_broken_files_are_rows_with_a_reason_and_do_not_end_the_others(corpus, tmp_path):
    table = run(corpus, tmp_path / "out", SpectrumEngine())
    assert table.equals(read_csv(tmp_path / "out" / "0001.csv", list(table.columns), text=("id", "reason")))
    failed = table[table["status"] == "failed"].set_index("id")["reason"]
    assert set(failed.index) == {
        "missing",
        "empty.wav",
        "text.mp3",
        "truncated.wav",
        "short.wav",
        "silent.wav",
    }
    assert "No such file" in failed["missing"]
    assert "empty" in failed["empty.wav"]
    assert "not audio" in failed["text.mp3"]
    assert "truncated" in failed["truncated.wav"]
    assert "too short, 7999 of 8000" in failed["short.wav"]
    assert failed["silent.wav"] == "silent"
    ok = table[table["status"] == "ok"]
    assert (ok["row_end"] - ok["row_start"]).tolist() == [21, 1, 9, 2, 15, 4, 1]
    bad = table[table["status"] == "failed"]
    assert (bad["row_end"] == bad["row_start"]).all() and (bad["samples"] == 0).all()


def test_rows_are_those_of_each_track_alone(corpus, tmp_path, melody):
    """However the batches were filled: the engine applied to a track by itself gives the same bytes."""
    for batch, processes in ((32, 1), (7, 2), (1, 1)):
        out = tmp_path / f"out{batch}"
        table = run(corpus, out, SpectrumEngine(batch), processes).set_index("id")
        found, flags = np.load(out / "0001.npy"), np.load(out / "0001.silent.npy")
        assert not flags.any() and flags.shape == (53,) and found.dtype == np.float32
        for n, samples in enumerate([88_000, 8000, 40_123, 12_001, 64_000, 20_000, 9000]):
            row = table.loc[f"00{n % 3}/track {n:03d}.mp3"]
            segments = np.lib.stride_tricks.sliding_window_view(melody(samples, n), 8000)[::4000]
            assert np.array_equal(found[row.row_start : row.row_end], SpectrumEngine()(segments))


def test_long_tracks_are_kept_in_parts(corpus, tmp_path, monkeypatch):
    run(corpus, tmp_path / "whole", SpectrumEngine(4))
    monkeypatch.setattr(partition, "PART_ROWS", 5)
    run(corpus, tmp_path / "parts", SpectrumEngine(4))
    log = (tmp_path / "parts" / "work" / "log.jsonl").read_text()
    assert log.count('"offset"') > (tmp_path / "whole" / "work" / "log.jsonl").read_text().count('"offset"')
    for a, b in zip(outputs(tmp_path / "whole").values(), outputs(tmp_path / "parts").values(), strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_finished_tracks_are_not_computed_again(corpus, tmp_path):
    engine = SpectrumEngine(4)
    run(corpus, tmp_path / "out", engine)
    before, calls = (tmp_path / "out" / "0001.npy").read_bytes(), engine.calls
    run(corpus, tmp_path / "out", engine)
    assert engine.calls == calls > 0
    assert (tmp_path / "out" / "0001.npy").read_bytes() == before


def test_engine_that_answers_nonsense_is_an_error(corpus, tmp_path):
    engine = SpectrumEngine()
    engine._matrix = engine._matrix * np.nan
    with pytest.raises(NmfpError, match="not finite and of length 1"):
        run(corpus, tmp_path / "out", engine)
    assert not (tmp_path / "out" / "0001.npy").exists()


def test_tombstones_and_changed_files_are_left_out(tmp_path, write_corpus):
    table = write_corpus(tmp_path, [9000, 9000, 9000])
    lists = table[["id", "sha256"]].copy()
    lists.loc[1, "sha256"] = "another content"
    lists.loc[3] = ["gone.mp3", "0"]
    write_csv(tmp_path / "0001.csv", lists)
    found = partition.read_partition_tracks(tmp_path / "tracks.csv", tmp_path / "0001.csv")
    assert found["id"].tolist() == [table["id"][0], table["id"][2]]
    write_csv(tmp_path / "0002.csv", lists[["id"]])
    found = partition.read_partition_tracks(tmp_path / "tracks.csv", tmp_path / "0002.csv")
    assert found["id"].tolist() == table["id"].tolist()
    write_csv(tmp_path / "0003.csv", pd.concat([lists, lists])[["id"]])
    with pytest.raises(NmfpError, match="twice"):
        partition.read_partition_tracks(tmp_path / "tracks.csv", tmp_path / "0003.csv")


def test_partition_without_tracks_is_empty_and_complete(tmp_path, write_corpus):
    write_corpus(tmp_path, [9000])
    write_csv(tmp_path / "0001.csv", pd.DataFrame({"id": ["gone.mp3"]}))
    assert len(run(tmp_path, tmp_path / "out", SpectrumEngine())) == 0
    assert np.load(tmp_path / "out" / "0001.npy").shape == (0, 8)
    assert json.loads((tmp_path / "out" / "0001.json").read_text())["rows"] == 0


def test_full_disk_leaves_no_half_written_partition(corpus, tmp_path, monkeypatch):
    engine = SpectrumEngine()
    run(corpus, tmp_path / "out", engine)
    before = {path: path.read_bytes() for path in outputs(tmp_path / "out").values()}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    tracks = partition.read_partition_tracks(corpus / "tracks.csv", corpus / "0001.csv")
    with progress.WorkLog(tmp_path / "out" / "work", 8) as done:
        monkeypatch.setattr("nmfp.files.os.fsync", full)
        with pytest.raises(NmfpError, match="free space and run again"):
            partition.write_partition(outputs(tmp_path / "out"), tracks, done, {"model": "m"})
    assert {path: path.read_bytes() for path in before} == before
    assert not list((tmp_path / "out").glob(".part-*"))


def test_key_changes_with_all_that_changes_a_fingerprint():
    engine, other = SpectrumEngine(), SpectrumEngine()
    other.version = "2"
    keys = [
        partition.work_key("model", engine, 4000, 1),
        partition.work_key("other", engine, 4000, 1),
        partition.work_key("model", other, 4000, 1),
        partition.work_key("model", engine, 2000, 1),
        partition.work_key("model", engine, 4000, 2),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == partition.work_key("model", SpectrumEngine(batch=1), 4000, 1)


# The script


class Named(dict):
    """What Snakemake passes: items by name as attributes."""

    __getattr__ = dict.__getitem__


def test_script_writes_a_partition_and_cleans_up(corpus, small_model, tmp_path):
    out = tmp_path / "out"
    (out / "work" / "key of an older model").mkdir(parents=True)
    extract.main(
        SimpleNamespace(
            input=Named(
                tracks=str(corpus / "tracks.csv"),
                list=str(corpus / "0001.csv"),
                info=str(small_model / "model.json"),
            ),
            output=Named({key: str(path) for key, path in outputs(out).items()}),
            params=Named(version=1, engine="auto", batch=32, work=str(out / "work")),
            wildcards=Named(model="m", corpus="database", n="0001"),
            log=[str(out / "extract.log")],
            threads=1,
        )
    )
    info = json.loads((out / "0001.json").read_text())
    assert np.load(out / "0001.npy").shape == (53, 16) == (info["rows"], info["dimension"])
    assert (info["model"], info["hop_samples"]) == ("m", 4000)
    assert not (out / "work").exists()
    log = (out / "extract.log").read_text()
    assert "53 fingerprints of 13 tracks" in log and "silent.wav has no fingerprints: silent" in log
    assert "\r" not in log
