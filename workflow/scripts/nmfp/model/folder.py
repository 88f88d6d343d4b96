"""A model's folder without Keras: config.yaml, and model.json, which names the weights by a digest."""

import hashlib
import json
from pathlib import Path

import numpy as np
import yaml

from nmfp.errors import NmfpError
from nmfp.files import read_json, sha256_file, write_json, write_text
from nmfp.segments import SAMPLE_RATE, SEGMENT_SAMPLES

WEIGHTS = "fingerprinter.weights.h5"
# What fingerprinting and deciding need of a model; model.json last: a folder that has it is complete
MODEL_FILES = (
    "config.yaml",
    WEIGHTS,
    "fingerprinter.bin",
    "fingerprinter.xml",
    "decision.json",
    "model.json",
)
_KEYS = ("digest", "embedding_size", "sample_rate", "segment_samples", "front_end", "network", "parameters")


def model_digest(front_end: dict, network: dict, weights: dict[str, np.ndarray]) -> str:
    """Hexadecimal name of everything that changes a fingerprint: front end, network and the weights' numbers.

    Taken from the arrays, not from the file that stores them: another version of HDF5 gives the same name.
    """
    text = json.dumps([SAMPLE_RATE, SEGMENT_SAMPLES, front_end, network], sort_keys=True)
    state = hashlib.sha256(text.encode())
    for name, array in weights.items():
        array = np.ascontiguousarray(array, "<f4")
        state.update(f"{name} {array.shape}".encode())
        state.update(array)
    return state.hexdigest()


def write_model(folder: Path, model: dict, weights: dict[str, np.ndarray]) -> dict:
    """Write config.yaml and model.json of a model whose weights are already in the
    folder; return model.json's content."""
    front_end, network = model["front_end"], model["network"]
    info = {
        "digest": model_digest(front_end, network, weights),
        "embedding_size": network["embedding_size"],
        "sample_rate": SAMPLE_RATE,
        "segment_samples": SEGMENT_SAMPLES,
        "front_end": front_end,
        "network": network,
        "parameters": int(sum(array.size for array in weights.values())),
    }
    if (folder / WEIGHTS).is_file():
        info["weights_sha256"] = sha256_file(folder / WEIGHTS)
    write_text(folder / "config.yaml", yaml.safe_dump(model, sort_keys=False, allow_unicode=True))
    write_json(folder / "model.json", info)
    return info


def note_graph(folder: Path, names: tuple[str, ...]) -> None:
    """Write the SHA-256 of the exported graph's files into model.json, the graph's last file."""
    info = read_json(folder / "model.json")
    write_json(folder / "model.json", {**info, "graph_sha256": {n: sha256_file(folder / n) for n in names}})


def check_graph(folder: str | Path) -> None:
    """Insist that the graph's files hold the bytes that model.json names; models older than that key are taken on trust.

    Raises:
        NmfpError: one of them does not, or model.json is no model's.
    """
    folder = Path(folder)
    noted = read_model(folder).get("graph_sha256", {})
    if not isinstance(noted, dict):
        raise NmfpError(f"{folder / 'model.json'} is damaged: graph_sha256 names no files; train again.")
    for name, sha256 in noted.items():
        if (folder / name).is_file() and sha256_file(folder / name) != sha256:
            raise NmfpError(
                f"{folder / name} is damaged: its bytes are not those that {folder / 'model.json'} names; copy the "
                "model again from where it came from, or train again."
            )


def read_model(folder: str | Path) -> dict:
    """Read and check model.json.

    Raises:
        NmfpError: it is missing, incomplete, or for another sample rate or segment length.
    """
    path = Path(folder) / "model.json"
    info = read_json(
        path, "it describes a trained network: copy the model again from where it came from, or train again"
    )
    missing = [key for key in _KEYS if key not in info]
    if missing:
        raise NmfpError(f"{path} lacks {', '.join(missing)}; train the model again.")
    if (info["sample_rate"], info["segment_samples"]) != (SAMPLE_RATE, SEGMENT_SAMPLES):
        raise NmfpError(
            f"{path} is for segments of {info['segment_samples']} samples at {info['sample_rate']} "
            f"Hz; this version works with {SEGMENT_SAMPLES} at {SAMPLE_RATE} Hz."
        )
    return info
