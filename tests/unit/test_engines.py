"""Engines agree, and a segment's fingerprint depends on nothing but the segment."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nmfp.errors import NmfpError
from nmfp.model import engines

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


@pytest.fixture(scope="module")
def segments(melody):
    """int16 (70, 8000): 67 of music, one silent, one loud, one of full-scale noise."""
    rng = np.random.default_rng(0)
    rows = [melody(8000, seed) for seed in range(67)]
    rows += [np.zeros(8000, np.int16), np.full(8000, 32767, np.int16)]
    rows += [rng.integers(-32768, 32768, 8000).astype(np.int16)]
    return np.stack(rows)


@pytest.fixture(scope="module")
def openvino(small_model):
    return engines.open_engine(small_model, "openvino", batch=32, threads=1)


@pytest.fixture(scope="module")
def keras(small_model):
    return engines.open_engine(small_model, "keras", batch=32, threads=2)


def test_engines_agree(openvino, keras, segments):
    a, b = openvino(segments), keras(segments)
    assert a.shape == b.shape == (70, 16) and a.dtype == b.dtype == np.float32
    assert np.sum(a * b, axis=1).min() >= 0.9999
    # bfloat16, which OpenVINO would choose by itself on some processors, is a hundred times farther away
    assert np.abs(a - b).max() < 1e-4


def test_mixed_precision_agrees(small_model, keras, segments):
    """What a GPU computes in; the CPU can, slowly."""
    mixed = engines._load(small_model, "mixed_float16")(segments[:32])
    assert mixed.dtype == np.float32
    assert np.sum(mixed * keras(segments)[:32], axis=1).min() >= 0.9999


@pytest.mark.parametrize("name", ["openvino", "keras"])
def test_fingerprints_do_not_depend_on_the_batch(name, segments, request):
    engine = request.getfixturevalue(name)
    whole = engine(segments)
    order = np.random.default_rng(1).permutation(len(segments))
    moved = engine(segments[order])
    # in Keras another place of the batch is another order of additions
    np.testing.assert_allclose(moved, whole[order], rtol=0, atol=0 if name == "openvino" else 1e-5)
    for n in (1, 15, 16, 17, 33):
        assert np.array_equal(engine(segments[:n]), whole[:n]), f"the first {n} alone"
    assert engine(segments[:0]).shape == (0, 16)


@pytest.mark.parametrize("threads", [1, 2])
def test_overlapping_segments_are_those_of_a_copy(small_model, melody, threads):
    """What identification hands over is a view of the signal; memory that goes while it is read gives other numbers."""
    view = np.lib.stride_tricks.sliding_window_view(melody(8000 * 20, 3), 8000)[::4000]
    engine = engines.open_engine(small_model, "openvino", batch=16, threads=threads)
    copied = engine(np.ascontiguousarray(view))
    assert not view.flags.c_contiguous
    assert all(np.array_equal(engine(view), copied) for _ in range(10))


def test_fingerprints_do_not_depend_on_threads_or_batch_size(small_model, openvino, segments):
    other = engines.open_engine(small_model, "openvino", batch=128, threads=2)
    assert np.array_equal(other(segments), openvino(segments))


def test_openvino_engine_never_imports_tensorflow(small_model):
    code = (
        "import sys, numpy; sys.path.insert(0, sys.argv[1]); "
        "from nmfp.model.engines import open_engine; "
        "open_engine(sys.argv[2], 'openvino')(numpy.ones((3, 8000), numpy.int16)); "
        "print([m for m in ('tensorflow', 'keras', 'jax', 'torch') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(SCRIPTS), str(small_model)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_auto_takes_keras_on_a_gpu_and_openvino_on_a_cpu(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "gpu_is_usable", lambda: False)
    assert engines.resolve_engine("auto", small_model) == "openvino"
    assert engines.resolve_engine("auto", tmp_path) == "keras"  # no graph there
    assert engines.resolve_engine("keras", small_model) == "keras"
    monkeypatch.setattr(engines, "gpu_is_usable", lambda: True)
    assert engines.resolve_engine("auto", small_model) == "keras"
    with pytest.raises(NmfpError, match="fingerprints.engine: 'tpu'"):
        engines.resolve_engine("tpu", small_model)


def test_hidden_gpus_are_not_used(monkeypatch):
    monkeypatch.setattr(engines, "_is_installed", lambda _: True)
    monkeypatch.setattr(Path, "glob", lambda *_: iter([Path("/dev/nvidia0")]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert engines.gpu_is_usable()
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not engines.gpu_is_usable()


def test_graph_of_another_model_is_refused(small_model, tmp_path):
    folder = shutil.copytree(small_model, tmp_path / "model")
    info = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**info, "digest": "0" * 64}))
    with pytest.raises(NmfpError, match="model.json names 000000000000"):
        engines.open_engine(folder, "openvino")
