"""The fingerprinter as an OpenVINO graph, so that a CPU identifies music without TensorFlow."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from nmfp.errors import NmfpError
from nmfp.model.folder import check_graph, note_graph, read_model

GRAPH = "fingerprinter.xml"
WEIGHTS = "fingerprinter.bin"
DIGEST_KEY = "nmfp_model_digest"
_BEGINNING = re.compile(rb'<\?xml[^>]*>\s*<net [^>]*version="1[01]"')


def import_openvino():
    """The module openvino, which reports each import to its makers unless openvino_telemetry is missing."""
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino


def export(graph, folder: str | Path, digest: str | None = None) -> None:
    """Write fingerprinter.xml and .bin into `folder`, each whole or not at all; weights stay float32.

    model.json then names the digests of both: weights of which a bit has flipped compute, and answer wrongly.

    Args:
        graph: keras.Model, segments int16 (B, 8000) -> float32 (B, d).
        folder: the model's folder; on another backend than TensorFlow it must hold the finished model,
            which a fresh process on TensorFlow then reads, so that training on JAX exports as well.
        digest: the model's digest, by default the one in model.json. It is kept inside the graph, and a
            graph that lies beside another model's json is refused.

    Raises:
        NmfpError: model.json is missing, or the fresh process failed.
    """
    import keras

    folder = Path(folder)
    digest = digest or read_model(folder)["digest"]
    if keras.backend.backend() != "tensorflow":
        return _export_elsewhere(folder, digest)
    import tensorflow as tf

    openvino = import_openvino()
    samples = graph.inputs[0].shape[1]
    function = tf.function(lambda segments: graph(segments, training=False), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec((None, samples), tf.int16, name="segments"))
    converted = openvino.convert_model(concrete, input=[((-1, samples), openvino.Type.i16)])
    converted.set_rt_info(digest, DIGEST_KEY)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as temporary:
        openvino.save_model(converted, Path(temporary) / GRAPH, compress_to_fp16=False)
        for name in (WEIGHTS, GRAPH):
            with (Path(temporary) / name).open("rb+") as f:
                os.fsync(f.fileno())
            (Path(temporary) / name).replace(folder / name)
    note_graph(folder, (WEIGHTS, GRAPH))


def _export_elsewhere(folder: Path, digest: str) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from nmfp.model.fingerprinter import load_fingerprinter; from nmfp.model.openvino_graph import export; "
        "export(load_fingerprinter(sys.argv[2]).graph, sys.argv[2], sys.argv[3])"
    )
    command = [sys.executable, "-P", "-c", code, str(Path(__file__).parents[2]), str(folder), digest]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    status = subprocess.run(command, env=environment, check=False).returncode
    if status:
        raise NmfpError(f"the OpenVINO graph of {folder} could not be written (exit status {status}).")


def read_graph(folder: str | Path, digest: str):
    """The stored graph as openvino.Model.

    Raises:
        NmfpError: there is none, it is damaged, or it was made from another model than `digest`.
    """
    openvino = import_openvino()
    path = Path(folder) / GRAPH
    for file in (path, path.with_name(WEIGHTS)):
        if not file.is_file():
            raise NmfpError(
                f"{file} does not exist; train the model again or use fingerprints.engine: keras."
            )
    with path.open("rb") as f:
        if not _BEGINNING.match(f.read(300)):
            # OpenVINO would try whether it is a file of TensorFlow, ONNX or Paddle
            raise NmfpError(f"{path} cannot be read (it is no graph of OpenVINO); train again.")
    check_graph(folder)
    try:
        graph = openvino.Core().read_model(path)
        stored = graph.get_rt_info(DIGEST_KEY).astype(str) if graph.has_rt_info(DIGEST_KEY) else "none"
    except (RuntimeError, ValueError) as error:  # ValueError: text that is no UTF-8
        raise NmfpError(
            f"{path} cannot be read ({str(error).strip().splitlines()[-1]}); train again."
        ) from None
    if stored != digest:
        raise NmfpError(
            f"{path} was made from model {stored[:12]}, model.json names {digest[:12]}; export it again."
        )
    return graph
