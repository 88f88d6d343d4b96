"""The stages that grow with the tracks, at a size that shows what a unit costs.

    python benchmarks/rates.py [--minutes 40] [--rows 1000000] [--threads 2] [--folder results/rates]
    python benchmarks/stages.py results/rates --extrapolate 95163,10000000,100000000

Runs the real scripts of the rules convert (noisy tones as 44.1 kHz stereo mp3), extract (the paper's network with
random weights, OpenVINO), merge, train_index and fill_index (the paper's index), each in a process of its own. The
database that is merged and indexed holds `--rows` fingerprints: beside the extracted ones random vectors of length
one, which cost the same. Everything lies where a run of the workflow puts it, benchmark files and logs included, so
that benchmarks/stages.py reads the folder like results/demo. What is there of an earlier call is deleted; a million
rows take 1.2 GB.
"""

import argparse
import hashlib
import shutil
import sys
from pathlib import Path

import extraction
import numpy as np
import pandas as pd
from extraction import MODEL, ROOT, make_model, make_tracks

sys.path.append(str(ROOT / "workflow/scripts"))

from nmfp.code_digest import Code
from nmfp.config import _load_yaml
from nmfp.files import digest, generator, read_json, write_csv, write_json, write_npy

CODE = Code(ROOT / "workflow/scripts")
CONFIG = _load_yaml(ROOT / "config/config.yaml")
INDEX = "ivfpq"
# a folder without it is never deleted
MADE_HERE = ".made-by-benchmarks-rates"
PARTITION_ROWS, TRACK_ROWS, DIMENSION = 100_000, 588, 128


def make_music(folder: Path, minutes: int) -> None:
    """mp3s, and what the rules before convert write: files.csv and one list."""
    source, music = folder / "mp3", folder / "data/music"
    source.mkdir(parents=True)
    make_tracks(source, "mp3", max(2, minutes * 60 // extraction.TRACK_SECONDS))
    table = pd.read_csv(source / "tracks.csv").assign(reason="")
    write_csv(music / "files.csv", table[["id", "path", "role", "reason"]])
    write_csv(music / "batches/0001.csv", table[["id"]])


def make_partitions(folder: Path, rows: int) -> None:
    """Partitions of random fingerprints behind the extracted one, up to `rows`; data/database/tracks.csv names all."""
    partitions = folder / f"fingerprints/{MODEL}/database/partitions"
    info = read_json(partitions / "0001.json")
    tables = [pd.read_csv(partitions / "0001.csv")]
    for n, first in enumerate(range(info["rows"], rows, PARTITION_ROWS), start=2):
        size = min(PARTITION_ROWS, rows - first)
        vectors = generator(27, "rates", n).standard_normal((size, DIMENSION), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        starts = np.arange(0, size, TRACK_ROWS)
        table = pd.DataFrame({"id": [f"{n}/{start}" for start in starts], "row_start": starts})
        table["row_end"] = np.minimum(starts + TRACK_ROWS, size)
        table["samples"] = (table["row_end"] - starts + 1) * 4000
        table = table.assign(sha256=[digest(name) for name in table["id"]], status="ok", reason="")
        write_npy(partitions / f"{n:04d}.npy", vectors)
        write_npy(partitions / f"{n:04d}.silent.npy", np.zeros(size, bool))
        write_csv(partitions / f"{n:04d}.csv", table)
        # the digest is that of the array's bytes, without the header of the file
        bytes_digest = hashlib.sha256(vectors.data).hexdigest()
        write_json(partitions / f"{n:04d}.json", {**info, "rows": size, "sha256": bytes_digest})
        tables.append(table)
    write_csv(folder / "data/database/tracks.csv", pd.concat(tables)[["id", "sha256"]])


def describe(folder: Path, stage: str, threads: int) -> tuple[str, dict]:
    """Where a stage's job has its benchmark file and log below
    their folders, and what Snakemake would pass to its script."""
    data, model = folder / "data", folder / f"models/{MODEL}"
    database, index = folder / f"fingerprints/{MODEL}/database", folder / f"index/{MODEL}/{INDEX}"
    partition = database / "partitions/0001"
    models = {"info": f"{model}/model.json", "model": f"{model}/model.json"}
    merged = {"fingerprints": f"{database}/database.npy", "info": f"{database}/database.json"}
    trained = {"trained": f"{index}/trained.faiss", "trained_info": f"{index}/trained.json"}
    name, inputs, outputs, params = {
        "convert": (
            "convert/music/0001",
            {"files": f"{data}/music/files.csv", "list": f"{data}/music/batches/0001.csv"},
            {"table": f"{data}/music/converted/0001.csv"},
            {"audio": f"{data}/music/audio", "split_channels": False},
        ),
        "extract": (
            f"extract/{MODEL}/database/0001",
            {
                "tracks": f"{data}/music/converted/0001.csv",
                "list": f"{data}/music/batches/0001.csv",
                **models,
            },
            {
                "fingerprints": f"{partition}.npy",
                "silent": f"{partition}.silent.npy",
                "table": f"{partition}.csv",
                "info": f"{partition}.json",
            },
            {"engine": "openvino", "batch": 128, "work": f"{database}/progress/0001"},
        ),
        "merge": (
            f"merge/{MODEL}/database",
            {
                "tracks": f"{data}/database/tracks.csv",
                "fingerprints": sorted(
                    str(path) for path in partition.parent.glob("[0-9][0-9][0-9][0-9].npy")
                ),
                **models,
            },
            {
                **merged,
                "silent": f"{database}/silent.npy",
                "tracks": f"{database}/tracks.csv",
                "failures": f"{database}/failures.csv",
            },
            {"dtype": "float32", "failure_budget": 0.0, "work": f"{database}/progress/merge"},
        ),
        "train_index": (
            f"train_index/{MODEL}/{INDEX}",
            {**merged, **models, "info": merged["info"]},
            {"index": trained["trained"], "info": trained["trained_info"]},
            {"seed": 27, "factory": CONFIG["indexes"][INDEX]["factory"], "every": 1},
        ),
        "fill_index": (
            f"fill_index/{MODEL}/{INDEX}",
            {**merged, **trained},
            {"index": f"{index}/index.faiss", "info": f"{index}/index.json"},
            {},
        ),
    }[stage]
    return name, {
        "input": inputs,
        "output": outputs,
        "params": {"version": CODE.digest(stage), **params},
        "wildcards": {
            "collection": "music",
            "model": MODEL,
            "corpus": "database",
            "index": INDEX,
            "n": "0001",
        },
        "threads": threads,
        "log": [f"{folder}/logs/{name}.log"],
    }


def run(folder: Path, stage: str, threads: int) -> None:
    """Run a stage's script and write its benchmark file with the columns of Snakemake's that are measured."""
    name, described = describe(folder, stage, threads)
    for path in described["output"].values():  # Snakemake makes the folders of outputs
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    wall, processor, memory = extraction.measure([[(stage, described)]])
    sheet = folder / f"benchmarks/{name}.tsv"
    sheet.parent.mkdir(parents=True)
    measured = pd.DataFrame({"s": [wall], "max_rss": [memory * 1e6 / 2**20], "cpu_time": [processor]})
    measured.to_csv(sheet, sep="\t", index=False, float_format="%.2f")
    print(f"{stage}: {wall:.1f} s, {processor:.1f} s of processor time, {memory:.0f} MB", flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=40, help="minutes of mp3")
    parser.add_argument("--rows", type=int, default=1_000_000, help="fingerprints in the database")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / "results/rates", help="made anew")
    options = parser.parse_args()
    folder = options.folder.resolve()
    if folder.exists() and not (folder / MADE_HERE).exists():
        raise SystemExit(f"{folder} exists and was not made by this program: name another --folder.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MADE_HERE).touch()
    make_model(folder / f"models/{MODEL}")
    make_music(folder, options.minutes)
    run(folder, "convert", options.threads)
    run(folder, "extract", options.threads)
    make_partitions(folder, options.rows)
    for stage in ("merge", "train_index", "fill_index"):
        run(folder, stage, options.threads)


if __name__ == "__main__":
    main()
