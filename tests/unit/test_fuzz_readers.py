"""Files of ours that someone else has written: every reader ends well or with a sentence, and never executes anything."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nmfp.database.fingerprints import TRACK_COLUMNS
from nmfp.errors import NmfpError
from nmfp.extraction.folder import NpySink, read_fingerprints
from nmfp.files import write_csv, write_json, write_npy
from nmfp.identification import store
from nmfp.identification.background import write_background
from nmfp.identification.decision import open_decision
from nmfp.identification.open_reference import from_index
from nmfp.identification.reference import open_reference
from nmfp.model import openvino_graph
from nmfp.model.engines import open_engine
from nmfp.model.folder import read_model
from nmfp.search import index as nn

DIMENSION, ROWS = 8, 40
FUZZ = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with one valid file of every kind."""
    folder = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((ROWS, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    write_npy(folder / "database.npy", vectors)
    write_npy(folder / "silent.npy", np.zeros(ROWS, bool))
    rows = [("a.mp3", 0, 19, 80000, "0" * 64, "ok", ""), ("b.mp3", 19, 40, 88000, "1" * 64, "ok", "")]
    write_csv(folder / "tracks.csv", pd.DataFrame(rows, columns=TRACK_COLUMNS))
    write_csv(folder / "failures.csv", pd.DataFrame([], columns=TRACK_COLUMNS))
    import hashlib

    info = {"rows": ROWS, "dimension": DIMENSION, "dtype": "float32", "model": "m", "model_digest": "d",
            "hop_samples": 4000, "tracks": 2, "sha256": hashlib.sha256(vectors.tobytes()).hexdigest()}  # fmt: skip
    write_json(folder / "database.json", info)
    write_background(folder, "test", rng.random((50, 5)), np.arange(50))
    index, resolved = nn.train(vectors, "Flat", 1)
    nn.fill(index, vectors)
    nn.write(folder / "index.faiss", index, nn.describe("Flat", resolved, info))
    model = {"digest": "d", "embedding_size": 8, "sample_rate": 8000, "segment_samples": 8000, "front_end": {},
             "network": {}, "parameters": 1}  # fmt: skip
    write_json(folder / "model.json", model)
    line = {"key": "k", "unit": "a\nb\n0", "samples": 9, "reason": "", "rows": 1, "sha256": "0"}
    (folder / "all.jsonl").write_text(json.dumps(line) + "\n")
    return folder


def read_journal(folder: Path):
    sink = NpySink(folder, folder / "all.jsonl", DIMENSION, "k")
    sink.close()


READERS = {
    "database.json": open_reference,
    "database.npy": open_reference,
    "silent.npy": open_reference,
    "tracks.csv": open_reference,
    "index.json": open_reference,
    "index.faiss": lambda folder: (open_reference(folder), from_index(folder / "index.faiss")),
    "failures.csv": lambda folder: store._all_rows(store.open_store(folder)),
    "calibration.json": lambda folder: open_decision(folder, None).judge(9, 0.5),
    "model.json": read_model,
    "all.jsonl": read_journal,
}


def damaged(content: bytes):
    """A file's bytes with some replaced, taken out or put in; or any bytes at all."""
    place = st.integers(0, len(content))
    piece = st.one_of(
        st.binary(max_size=8), st.sampled_from([b"-1", b"1e999", b"null", b"[]", b'"', b"\n", b",", b"NaN"])
    )
    change = st.tuples(place, st.integers(0, 12), piece)

    def apply(changes):
        out = content
        for at, length, new in changes:
            out = out[:at] + new + out[at + length :]
        return out

    return st.one_of(st.lists(change, min_size=1, max_size=4).map(apply), st.binary(max_size=300))


@pytest.mark.parametrize("name", READERS)
@FUZZ
@given(data=st.data())
def test_damaged_files_end_with_a_sentence(whole, tmp_path_factory, name, data):
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    (folder / name).write_bytes(data.draw(damaged((whole / name).read_bytes())))
    try:
        READERS[name](folder)
    except NmfpError as error:
        assert str(error).strip()
    finally:
        shutil.rmtree(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", ["database.json", "index.json", "calibration.json", "model.json"])
@FUZZ
@given(data=st.data())
def test_json_of_other_kinds_ends_with_a_sentence(whole, tmp_path_factory, name, data):
    """The right keys with values of any kind: deeper than changed bytes get."""
    content = json.loads((whole / name).read_text())
    key = data.draw(st.sampled_from(sorted(content)))
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    content[key] = data.draw(JSON)
    (folder / name).write_text(json.dumps(content))
    try:
        READERS[name](folder)
    except NmfpError as error:
        assert str(error).strip()
    finally:
        shutil.rmtree(folder)


class Trap:
    """Leaves a trace if it is ever unpickled."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("name", ["database.npy", "silent.npy"])
def test_pickles_inside_arrays_are_never_executed(whole, tmp_path, name):
    shutil.copytree(whole, tmp_path / "db")
    trace = tmp_path / "executed"
    np.save(tmp_path / "db" / name, np.array([Trap(str(trace))], object), allow_pickle=True)
    with pytest.raises(NmfpError):
        open_reference(tmp_path / "db")
    with pytest.raises(NmfpError):
        read_fingerprints(tmp_path / "db" / name)
    for other in READERS:
        (tmp_path / "db" / other).write_bytes(pickle.dumps(Trap(str(trace))))
    for reader in READERS.values():
        try:
            reader(tmp_path / "db")
        except NmfpError:
            continue
    assert not trace.exists()


def test_an_index_is_not_opened_unless_its_digest_agrees(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "db")
    opened = []
    monkeypatch.setattr(nn.faiss, "read_index", lambda *a: opened.append(a))
    content = bytearray((whole / "index.faiss").read_bytes())
    content[10] ^= 1
    (tmp_path / "db" / "index.faiss").write_bytes(content)
    with pytest.raises(NmfpError, match="SHA-256"):
        open_reference(tmp_path / "db")
    assert not opened


@pytest.mark.parametrize("change", ["another file", "no digest", "no text"])
def test_weights_are_not_opened_unless_their_digest_agrees(small_model, tmp_path, monkeypatch, change):
    import keras
    from nmfp.model.fingerprinter import load_fingerprinter

    shutil.copytree(small_model, tmp_path / "model")
    opened = []
    monkeypatch.setattr(keras.Model, "load_weights", lambda *a, **k: opened.append(a))
    if change == "another file":
        with (tmp_path / "model" / "fingerprinter.weights.h5").open("ab") as f:
            f.write(b"more")
    else:
        info = read_model(tmp_path / "model")
        del info["weights_sha256"]
        write_json(
            tmp_path / "model" / "model.json",
            info | ({"weights_sha256": None} if change == "no text" else {}),
        )
    with pytest.raises(NmfpError, match="is not the file that .*model.json names"):
        load_fingerprinter(tmp_path / "model")
    assert not opened


@pytest.mark.parametrize("key", [None, 7, []])
def test_an_index_without_a_digest_is_not_opened(whole, tmp_path, monkeypatch, key):
    shutil.copytree(whole, tmp_path / "db")
    opened = []
    monkeypatch.setattr(nn.faiss, "read_index", lambda *a: opened.append(a))
    info = json.loads((whole / "index.json").read_text())
    write_json(tmp_path / "db" / "index.json", info | {"sha256": key})
    with pytest.raises(NmfpError, match="SHA-256"):
        open_reference(tmp_path / "db")
    assert not opened


@pytest.mark.parametrize(
    "content", [b"node { name: 'a' }", b"<?xml version='1.0'?><net name='\x80'/>", b"\x08\x07"]
)
def test_files_that_are_no_graph_of_ours(small_model, tmp_path, capfd, content):
    """Nor are they tried as files of TensorFlow or ONNX, whose readers complain on standard error."""
    folder = shutil.copytree(small_model, tmp_path / "model")
    (folder / openvino_graph.GRAPH).write_bytes(content)
    with pytest.raises(NmfpError, match="fingerprinter.xml cannot be read"):
        open_engine(folder, "openvino", batch=4, threads=1)
    assert capfd.readouterr().err == ""


def without_digests(folder):
    """Take the digests of the graph's bytes out of a model, so that OpenVINO reads what has been damaged."""
    info = json.loads((folder / "model.json").read_text())
    assert info.pop("graph_sha256")
    (folder / "model.json").write_text(json.dumps(info))


def test_a_graph_whose_error_message_is_no_text(small_model, tmp_path):
    folder = shutil.copytree(small_model, tmp_path / "model")
    graph = folder / openvino_graph.GRAPH
    graph.write_bytes(graph.read_bytes().replace(b'type="', b'type="\x80', 1))
    without_digests(folder)
    with pytest.raises(NmfpError, match="fingerprinter.xml cannot be read"):
        open_engine(folder, "openvino", batch=4, threads=1)


@pytest.mark.parametrize("name", [openvino_graph.GRAPH, openvino_graph.WEIGHTS])
@FUZZ
@given(data=st.data())
def test_damaged_graphs_end_with_a_sentence(small_model, tmp_path_factory, name, data):
    """The copy of the weights that OpenVINO reads: every change of its description, and every length of its numbers."""
    content = (small_model / name).read_bytes()
    if name == openvino_graph.GRAPH:
        content = data.draw(damaged(content))
    else:
        content = content[: data.draw(st.integers(0, len(content)))]
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(small_model, folder, dirs_exist_ok=True)
    (folder / name).write_bytes(content)
    without_digests(folder)
    try:
        open_engine(folder, "openvino", batch=4, threads=1)
    except NmfpError as error:
        assert str(error).strip()
    finally:
        shutil.rmtree(folder)


@FUZZ
@given(st.binary(max_size=400))
@example(b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (10**12, 128), }\n")
@example(b"PK\x03\x04")
def test_fingerprint_files_of_any_bytes(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("npy") / "query.npy"
    path.write_bytes(content)
    with pytest.raises(NmfpError):
        read_fingerprints(path)


def test_a_zip_is_no_npy_file(tmp_path):
    with (tmp_path / "query.npy").open("wb") as f:
        np.savez(f, query=np.zeros((3, 128), np.float32))
    with pytest.raises(NmfpError, match="it is no .npy file"):
        read_fingerprints(tmp_path / "query.npy")
