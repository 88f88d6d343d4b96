"""Things that several suites need: a small model, a small corpus of 8 kHz tracks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nmfp.audio.wav import write_wav
from nmfp.files import write_csv

FRONT_END = {"n_mels": 256, "f_min": 160.0, "f_max": 4000.0, "dynamic_range_db": 80.0, "scale": True}
NETWORK = {
    "channels": [8, 8, 16, 16, 16, 16, 32, 32],
    "embedding_size": 16,
    "head_units": 8,
    "normalization": "element",
}


@pytest.fixture(scope="session")
def small_model(tmp_path_factory) -> Path:
    """Folder of a narrow, untrained network with its OpenVINO graph."""
    import keras
    from nmfp.model import openvino_graph
    from nmfp.model.fingerprinter import build_graph, build_network, write_model

    folder = tmp_path_factory.mktemp("small_model")
    keras.utils.set_random_seed(27)
    network = build_network(FRONT_END, NETWORK)
    # zero until they are trained, and an engine that mixes them up would go unnoticed
    biases = network.get_layer("heads").bias_out
    biases.assign(np.random.default_rng(27).normal(0, 0.1, biases.shape))
    write_model(network, {"front_end": FRONT_END, "network": NETWORK}, folder)
    openvino_graph.export(build_graph(FRONT_END, network), folder)
    return folder


@pytest.fixture(scope="session")
def melody():
    """A function (samples, seed) -> int16 (samples,), noisy tones, another every quarter of a second."""
    return noisy_tones


def noisy_tones(samples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    frequency = np.repeat(rng.uniform(200, 2500, samples // 2000 + 1), 2000)[:samples]
    tones = 6000 * np.sin(2 * np.pi * np.cumsum(frequency) / 8000)
    return (tones + 1500 * rng.standard_normal(samples)).astype(np.int16)


@pytest.fixture(scope="session")
def write_corpus():
    """A function (folder, list of lengths in samples) -> tracks.csv's table, as the data stages write it."""

    def write(folder: Path, lengths: list[int]) -> pd.DataFrame:
        rows = []
        for i, samples in enumerate(lengths):
            path = folder / "audio" / f"track {i:03d}.wav"
            write_wav(path, noisy_tones(samples, i))
            rows.append(
                (f"00{i % 3}/track {i:03d}.mp3", str(path), "database", samples, f"{i:064x}", "ok", "")
            )
        columns = ["id", "path", "role", "samples", "sha256", "status", "reason"]
        table = pd.DataFrame(rows, columns=columns)
        write_csv(folder / "tracks.csv", table)
        return table

    return write
