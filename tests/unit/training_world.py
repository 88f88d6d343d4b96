"""Small packed training data and the smallest model, shared by the tests of training."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import yaml
from nmfp.config import CONFIG, SCHEMAS, fill_defaults
from nmfp.files import write_csv, write_npy

CHUNK = 240_000


def model_config(name: str = "test", **sections) -> dict:
    """A shipped model's complete configuration; sections given replace keys of the file's."""
    model = yaml.safe_load((CONFIG / "models" / f"{name}.yaml").read_text())
    for section, value in sections.items():
        model[section] = {**model.get(section, {}), **value} if isinstance(value, dict) else value
    schema = yaml.safe_load((SCHEMAS / "model.schema.yaml").read_text())
    return fill_defaults(model, schema)


def write_chunks(folder: Path, samples: list[int], seed: int, chunk: int = CHUNK) -> None:
    """audio.npy and chunks.csv of chunks with so many real samples each."""
    rng = np.random.default_rng(seed)
    audio = np.zeros((len(samples), chunk), np.int16)
    for row, n in zip(audio, samples, strict=True):
        frequency = np.repeat(rng.uniform(200, 3000, n // 2000 + 1), 2000)[:n]
        row[:n] = 8000 * np.sin(np.cumsum(frequency) * 2 * np.pi / 8000) + rng.normal(0, 1000, n)
    folder.mkdir(parents=True, exist_ok=True)
    write_npy(folder / "audio.npy", audio)
    rows = {"chunk": range(len(samples)), "id": [f"{i}.mp3" for i in range(len(samples))]}
    write_csv(folder / "chunks.csv", pd.DataFrame(rows | {"start_sample": 0, "samples": samples}))


def write_recordings(folder: Path, name: str, samples: list[int], seed: int) -> None:
    """{name}.npy and {name}.csv: noise, or decaying responses."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for n in samples:
        part = rng.normal(size=n) * (1 if name == "noise" else np.exp(-8 * np.arange(n) / n))
        parts.append((20_000 * part / np.abs(part).max()).astype(np.int16))
    write_npy(folder / f"{name}.npy", np.concatenate(parts))
    starts = np.cumsum([0, *samples[:-1]])
    rows = {"id": [f"{name}{i}" for i in range(len(samples))], "start_sample": starts, "samples": samples}
    write_csv(folder / f"{name}.csv", pd.DataFrame(rows))


def write_world(folder: Path, chunks: int = 8, seconds: int = 6) -> Path:
    """Training and validation chunks of `seconds`, two recordings of each degradation."""
    write_chunks(folder / "train", [seconds * 8000] * chunks, 1, seconds * 8000)
    write_chunks(folder / "validation", [seconds * 8000] * 2, 2, seconds * 8000)
    degradations = folder / "degradations/train"
    write_recordings(degradations, "noise", [80_000, 5_000], 3)
    write_recordings(degradations, "room", [4_000, 12_000], 4)
    write_recordings(degradations, "microphone", [300, 900], 5)
    return folder


def train_rule(world: Path, out: Path, model: dict, seed: int = 7, threads: int = 2) -> SimpleNamespace:
    """What Snakemake hands to workflow/scripts/train.py."""
    degradations = world / "degradations/train"
    inputs = SimpleNamespace(
        audio=world / "train/audio.npy",
        chunks=world / "train/chunks.csv",
        validation=world / "validation/audio.npy",
        validation_chunks=world / "validation/chunks.csv",
        degradations=[
            degradations / f"{n}.{s}" for n in ("noise", "room", "microphone") for s in ("npy", "csv")
        ],
    )
    params = SimpleNamespace(
        version=1, seed=seed, model=model, degradations=str(degradations), work=str(out / "work")
    )
    output = SimpleNamespace(info=out / "model.json")
    log = [str(out / "train.log")]
    return SimpleNamespace(input=inputs, output=output, params=params, threads=threads, log=log)
