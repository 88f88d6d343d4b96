"""Engines: segments int16 (n, 8000) in, fingerprints float32 (n, d) out.

A fingerprint does not depend on what its neighbours in the batch are: both engines run batches of one fixed size,
the last one completed with zeros. In OpenVINO every batch belongs to one thread and several batches run side by
side, so a segment has the same bytes wherever it stands and with any number of threads.

Keras promises that only for a segment at the same place of a batch of the same size, on the same number of threads.
Elsewhere TensorFlow's matrix products add in another order (in the last rows of a batch, with more threads in others
too), and the last bits differ; the tests allow 1e-5.
"""

import importlib.metadata
import logging
import os
from pathlib import Path
from typing import Protocol

import numpy as np

from nmfp.errors import NmfpError
from nmfp.model import folder as model_folder
from nmfp.model import openvino_graph
from nmfp.model.memory import keep_large_blocks

log = logging.getLogger("nmfp")

ENGINES = ("auto", "keras", "openvino")
# Segments a thread works on at once in OpenVINO. 4, 8 and 16 cost the same processor time a segment with the
# paper's network and give the same bytes; 128 cost a fifth more, since the early layers fall out of the cache. Few,
# because the last tile is completed with zeros: two seconds of a live stream are four segments, a query of five
# seconds is nine.
TILE = 4


class Engine(Protocol):
    """What extraction and identification ask of an engine.

    Attributes:
        name: keras or openvino.
        version: of the library that computes; rows of two versions do not meet in one partition.
        dimension: numbers in a fingerprint.
        batch: segments a call should bring for full speed.
    """

    name: str
    version: str
    dimension: int
    batch: int

    def __call__(self, segments: np.ndarray) -> np.ndarray:
        """Fingerprints float32 (n, dimension) of segments int16 (n, 8000), any n."""


class OpenvinoEngine:
    """The stored graph on a CPU; never imports TensorFlow."""

    name = "openvino"

    def __init__(self, folder: Path, batch: int, threads: int):
        openvino = openvino_graph.import_openvino()
        info = model_folder.read_model(folder)
        graph = openvino_graph.read_graph(folder, info["digest"])
        settings = {
            # left to itself, OpenVINO computes in bfloat16 where
            # the processor can (cosine 0.9997, and not faster)
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            # two jobs on one machine would be pinned to the same cores
            "ENABLE_CPU_PINNING": False,
        }
        try:
            graph.reshape([TILE, info["segment_samples"]])
            compiled = openvino.Core().compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            log.debug("%s", error)
            raise NmfpError(
                f"{Path(folder) / openvino_graph.GRAPH} is damaged: OpenVINO cannot compute it; train again, or use "
                "the engine keras."
            ) from None
        self.version = openvino.__version__.split("-")[0]
        self.dimension = info["embedding_size"]
        self.batch = TILE * threads * max(1, round(batch / (TILE * threads)))
        self._tile = np.zeros((TILE, info["segment_samples"]), np.int16)
        self._out = np.empty((0, self.dimension), np.float32)
        self._queue = openvino.AsyncInferQueue(compiled, threads)
        self._queue.set_callback(self._store)

    def _store(self, request, rows: slice) -> None:
        self._out[rows] = request.get_output_tensor(0).data[: rows.stop - rows.start]

    def __call__(self, segments: np.ndarray) -> np.ndarray:
        """See `Engine`; not to be called from two threads at once."""
        # OpenVINO reads this very memory and does not keep it: a copy made tile by tile would be gone too early
        segments = np.ascontiguousarray(segments)
        self._out = np.empty((len(segments), self.dimension), np.float32)
        try:
            for start in range(0, len(segments), TILE):
                tile = segments[start : start + TILE]
                if len(tile) < TILE:
                    self._tile[: len(tile)], self._tile[len(tile) :] = tile, 0
                    tile = self._tile
                rows = slice(start, min(start + TILE, len(segments)))
                self._queue.start_async({0: tile}, rows, share_inputs=True)
        finally:  # also after Ctrl-C
            self._queue.wait_all()
        return self._out


class KerasEngine:
    """The Keras graph on whatever device its backend finds: mixed precision on a GPU, float32 on a CPU."""

    name = "keras"

    def __init__(self, folder: Path, batch: int, threads: int):
        keep_large_blocks()
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        if backend == "tensorflow":
            import tensorflow as tf

            try:
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(1)
            except RuntimeError:
                log.info("TensorFlow was started before; it keeps its number of threads")
        # float16 has three bits more than bfloat16 where it counts: unit vectors agree to cosine 0.9999
        precision = "mixed_float16" if gpu_is_usable() else "float32"
        self._fingerprinter = _load(folder, precision)
        self.version = f"{backend} {importlib.metadata.version('keras')} {precision}"
        self.dimension, self.batch = self._fingerprinter.embedding_size, batch
        self._tile = np.zeros((batch, self._fingerprinter.info["segment_samples"]), np.int16)

    def __call__(self, segments: np.ndarray) -> np.ndarray:
        """See `Engine`."""
        out = np.empty((len(segments), self.dimension), np.float32)
        for start in range(0, len(segments), self.batch):
            tile = segments[start : start + self.batch]
            if len(tile) < self.batch:
                self._tile[: len(tile)], self._tile[len(tile) :] = tile, 0
                tile = self._tile
            out[start : start + self.batch] = self._fingerprinter(tile)[: len(out) - start]
        return out


def _load(folder: Path, precision: str):
    """The model as a Fingerprinter that computes in a Keras dtype policy; weights stay float32."""
    from nmfp.model.fingerprinter import Fingerprinter, build_network, load_fingerprinter

    loaded = load_fingerprinter(folder)
    if precision == "float32":
        return loaded
    network = build_network(loaded.info["front_end"], loaded.info["network"], precision)
    network.set_weights(loaded.network.get_weights())
    return Fingerprinter(loaded.info, network)


def gpu_is_usable() -> bool:
    """Whether a GPU is visible and the installed backend is one that uses it; imports neither."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1", "none", "NoDevFiles"):
        return False
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    jax = os.environ.get("KERAS_BACKEND") == "jax"
    return any(map(_is_installed, ("jax-cuda12-plugin", "jax-cuda13-plugin") if jax else ("tensorflow",)))


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def resolve_engine(engine: str, folder: str | Path) -> str:
    """What `auto` means here: keras on a GPU, otherwise openvino where the model has its graph, otherwise keras.

    Raises:
        NmfpError: the name is not one of `ENGINES`.
    """
    if engine not in ENGINES:
        raise NmfpError(f"fingerprints.engine: {engine!r} is none of {', '.join(ENGINES)}.")
    if engine != "auto":
        return engine
    if gpu_is_usable() or not _is_installed("openvino"):
        return "keras"
    return "openvino" if (Path(folder) / openvino_graph.GRAPH).is_file() else "keras"


def open_engine(
    folder: str | Path, engine: str = "auto", batch: int = 128, threads: int | None = None
) -> Engine:
    """Load a model folder into an engine.

    Args:
        folder: models/<model>/.
        engine: auto, keras or openvino.
        batch: segments a call; a larger one helps a GPU, on a CPU it is rounded to what keeps all threads busy.
        threads: CPU threads that compute; by default the processors that this process may use.

    Raises:
        NmfpError: unknown engine, or a model folder that is incomplete or inconsistent.
    """
    folder = Path(folder)
    usable = len(os.sched_getaffinity(0))
    threads = max(1, min(threads or usable, usable))
    name = resolve_engine(engine, folder)
    opened = {"keras": KerasEngine, "openvino": OpenvinoEngine}[name](folder, batch, threads)
    log.info("engine %s %s, %d threads, batches of %d", name, opened.version, threads, opened.batch)
    return opened
