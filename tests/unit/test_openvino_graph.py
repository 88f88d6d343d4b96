"""The exported graph: complete, float32, tied to its model."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nmfp.errors import NmfpError
from nmfp.files import write_json
from nmfp.model import openvino_graph
from nmfp.model.folder import read_model

openvino = openvino_graph.import_openvino()


def test_graph_takes_int16_of_any_batch_and_keeps_float32(small_model):
    graph = openvino_graph.read_graph(small_model, read_model(small_model)["digest"])
    assert graph.inputs[0].get_partial_shape().to_string() == "[?,8000]"
    assert graph.inputs[0].get_element_type() == openvino.Type.i16
    types = {
        op.get_output_element_type(0).to_string()
        for op in graph.get_ops()
        if op.get_type_name() == "Constant"
    }
    assert "f16" not in types and "bf16" not in types


def test_export_agrees_with_the_keras_graph(small_model, melody):
    from nmfp.model.fingerprinter import load_fingerprinter

    segments = np.stack([melody(8000, seed) for seed in range(5)])
    graph = openvino_graph.read_graph(small_model, read_model(small_model)["digest"])
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert np.abs(compiled(segments)[0] - load_fingerprinter(small_model)(segments)).max() < 1e-4


def test_export_twice_leaves_one_graph_and_nothing_else(small_model, tmp_path):
    from nmfp.model.fingerprinter import load_fingerprinter

    folder = shutil.copytree(small_model, tmp_path / "model")
    before = sorted(path.name for path in folder.iterdir())
    openvino_graph.export(load_fingerprinter(folder).graph, folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / openvino_graph.WEIGHTS).read_bytes() == (
        small_model / openvino_graph.WEIGHTS
    ).read_bytes()


@pytest.mark.parametrize("name", [openvino_graph.GRAPH, openvino_graph.WEIGHTS])
def test_missing_or_damaged_graph_is_one_sentence(small_model, tmp_path, name):
    folder = shutil.copytree(small_model, tmp_path / "model")
    digest = read_model(folder)["digest"]
    (folder / name).write_bytes(b"<?xml")
    with pytest.raises(NmfpError, match="cannot be read|is damaged"):
        openvino_graph.read_graph(folder, digest)
    (folder / name).unlink()
    with pytest.raises(NmfpError, match=f"{name} does not exist"):
        openvino_graph.read_graph(folder, digest)


def test_a_flipped_bit_of_the_graphs_weights_is_noticed(small_model, tmp_path):
    folder = shutil.copytree(small_model, tmp_path / "model")
    content = bytearray((folder / openvino_graph.WEIGHTS).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / openvino_graph.WEIGHTS).write_bytes(content)
    with pytest.raises(NmfpError, match=r"fingerprinter.bin is damaged: .* copy the model again"):
        openvino_graph.read_graph(folder, read_model(folder)["digest"])


def test_models_of_before_graphs_had_digests_are_still_read(small_model, tmp_path):
    folder = shutil.copytree(small_model, tmp_path / "model")
    info = read_model(folder)
    assert set(info.pop("graph_sha256")) == {openvino_graph.GRAPH, openvino_graph.WEIGHTS}
    write_json(folder / "model.json", info)
    openvino_graph.read_graph(folder, info["digest"])


@pytest.mark.slow
def test_export_from_another_process(small_model, tmp_path):
    folder = shutil.copytree(small_model, tmp_path / "model")
    (folder / openvino_graph.GRAPH).unlink()
    openvino_graph._export_elsewhere(folder, read_model(folder)["digest"])
    openvino_graph.read_graph(folder, read_model(folder)["digest"])
    (folder / "fingerprinter.weights.h5").unlink()
    with pytest.raises(NmfpError, match="could not be written"):
        openvino_graph._export_elsewhere(folder, read_model(folder)["digest"])


def test_nothing_is_reported_to_anybody(small_model):
    """The import of openvino would start a process that sends a message over the network."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from nmfp.model.engines import open_engine; open_engine(sys.argv[2], 'openvino'); "
        "print(sorted(m for m, loaded in sys.modules.items() if 'openvino_telemetry' in m and loaded))"
    )
    command = [sys.executable, "-c", code, str(Path(openvino_graph.__file__).parents[2]), str(small_model)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
