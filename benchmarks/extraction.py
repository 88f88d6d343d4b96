"""Segments a second from audio files to the database's memmap, with the paper's network, engines compared.

    python benchmarks/extraction.py [--minutes 40] [--threads 2] [--engines openvino keras] [--folder FOLDER]

Writes noisy tones as 8 kHz WAV and as 44.1 kHz stereo mp3, gives the network random weights (they do not
change the time), and runs the real scripts extract and merge, each run in a process of its own. Prints one
table: segments a second over the whole run, from the start of Python to database.npy on the disk; the same
without starting up (importing, reading the model, compiling, first track); seconds of processor time a thousand
segments, which says what idle cores would do when these are not; the highest sum of the resident memory of
all processes of the run. Then two partitions, one after another with all threads, and side by side with half.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "workflow/scripts"))

from nmfp.files import sha256_file, write_csv  # noqa: E402

TRACK_SECONDS = 120
MODEL = "nmfp-triplet"


class Named(dict):
    """What Snakemake passes: items by name as attributes."""

    __getattr__ = dict.__getitem__


def make_model(folder: Path) -> None:
    """The paper's network with random weights and its OpenVINO graph."""
    import keras
    from nmfp.config import load_models
    from nmfp.model import openvino_graph
    from nmfp.model.fingerprinter import build_graph, build_network, write_model

    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(27)
    config = load_models([MODEL])[MODEL]
    network = build_network(config["front_end"], config["network"])
    write_model(network, config, folder)
    openvino_graph.export(build_graph(config["front_end"], network), folder)


def make_tracks(folder: Path, suffix: str, n: int) -> None:
    """n tracks of two minutes as .wav (8 kHz mono) or .mp3 (44.1 kHz stereo), tracks.csv and two lists."""
    import av

    rate, layout = (8000, "mono") if suffix == "wav" else (44_100, "stereo")
    rows = []
    for i in range(n):
        rng = np.random.default_rng(i)
        samples = TRACK_SECONDS * rate
        frequency = np.repeat(rng.uniform(200, 2500, samples // 4000 + 1), 4000)[:samples]
        tone = 0.2 * np.sin(2 * np.pi * np.cumsum(frequency) / rate) + 0.05 * rng.standard_normal(samples)
        audio = np.repeat((32767 * tone).astype(np.int16), 1 if layout == "mono" else 2)[None]
        path = folder / f"{i:04d}.{suffix}"
        with av.open(str(path), "w") as container:
            codec = {"wav": "pcm_s16le", "mp3": "libmp3lame"}[suffix]
            stream = container.add_stream(codec, rate=rate, layout=layout)
            frame = av.AudioFrame.from_ndarray(audio, format="s16", layout=layout)
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        length = (
            TRACK_SECONDS * 8000 if suffix == "wav" else 0
        )  # an mp3's length in samples is not known here
        rows.append((path.name, str(path), "database", length, sha256_file(path), "ok", ""))
    columns = ["id", "path", "role", "samples", "sha256", "status", "reason"]
    table = pd.DataFrame(rows, columns=columns)
    write_csv(folder / "tracks.csv", table)
    write_csv(folder / "all.csv", table[["id"]])
    write_csv(folder / "0001.csv", table[["id"]][: n // 2])
    write_csv(folder / "0002.csv", table[["id"]][n // 2 :])


def job(
    stage: str, folder: Path, audio: Path, out: Path, names: list[str], engine: str, threads: int
) -> dict:
    """What Snakemake would pass to the script of a stage."""
    model = {"info": str(folder / "model" / "model.json"), "model": str(folder / "model" / "model.json")}
    described = {"threads": threads, "log": [str(out / f"{stage}-{names[0]}.log")]}
    described["wildcards"] = {"model": MODEL, "corpus": "database", "n": names[0]}
    tracks = str(audio / "tracks.csv")
    if stage == "extract":
        suffixes = {"fingerprints": ".npy", "silent": ".silent.npy", "table": ".csv", "info": ".json"}
        return described | {
            "input": {"tracks": tracks, "list": str(audio / f"{names[0]}.csv"), **model},
            "output": {key: str(out / f"{names[0]}{suffix}") for key, suffix in suffixes.items()},
            "params": {"version": 1, "engine": engine, "batch": 128, "work": str(out / "work" / names[0])},
        }
    outputs = {"fingerprints": "database.npy", "silent": "silent.npy", "info": "database.json"}
    outputs |= {key: f"{key}.csv" for key in ("tracks", "failures")}
    return described | {
        "input": {"tracks": tracks, "fingerprints": [str(out / f"{n}.npy") for n in names], **model},
        "output": {key: str(out / name) for key, name in outputs.items()},
        "params": {
            "version": 1,
            "dtype": "float32",
            "failure_budget": 0.0,
            "work": str(out / "work" / "merge"),
        },
    }


def run_jobs(jobs: list[tuple[str, dict]]) -> None:
    """In the measured process: run the scripts of these jobs one after another."""
    for stage, described in jobs:
        fields = {k: Named(described[k]) for k in ("input", "output", "params", "wildcards")}
        both = {"log": described["log"], "threads": described["threads"]}
        importlib.import_module(stage).main(SimpleNamespace(**fields, **both))


def measure(groups: list[list[tuple[str, dict]]]) -> tuple[float, float, float]:
    """Run groups of jobs, each in a process: wall seconds, processor seconds, resident memory in MB."""
    start = time.perf_counter()
    command = [sys.executable, str(Path(__file__)), "--jobs"]
    running = [subprocess.Popen([*command, json.dumps(jobs)], stderr=subprocess.DEVNULL) for jobs in groups]
    peak, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            peak[0] = max(peak[0], sum(map(resident, running)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    ended = [os.wait4(process.pid, 0)[1:] for process in running]
    wall = time.perf_counter() - start
    stop.set()
    watcher.join()
    if any(status for status, _ in ended):
        raise SystemExit("a run failed; its log is in the folder (use --folder)")
    return wall, sum(usage.ru_utime + usage.ru_stime for _, usage in ended), peak[0]


def resident(process: subprocess.Popen) -> float:
    """Resident memory of a process and its children in MB."""
    total, waiting = 0.0, [process.pid]
    while waiting:
        pid = waiting.pop()
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
            lists = Path(f"/proc/{pid}/task").glob("*/children")
            waiting += [int(child) for children in lists for child in children.read_text().split()]
        except OSError:
            continue  # it has just ended
    return total


def compare_engines(folder: Path, engines: list[str], n: int, threads: int) -> None:
    """Print rates and memory of the engines on both formats."""
    columns = ("engine", "audio", "segments", "segments/s", "without start", "CPU s/1000", "memory (MB)")
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)
    for engine in engines:
        for suffix in ("wav", "mp3"):
            runs = []
            for name, tracks in (("start", 1), ("whole", n)):
                audio = folder / suffix / name
                if not audio.exists():
                    audio.mkdir(parents=True)
                    make_tracks(audio, suffix, tracks)
                out = Path(tempfile.mkdtemp(dir=folder))
                stages = ("extract", "merge")
                run = [(s, job(s, folder, audio, out, ["all"], engine, threads)) for s in stages]
                measured = measure([run])
                runs.append((len(np.load(out / "database.npy", mmap_mode="r")), *measured))
            (n0, wall0, cpu0, _), (n1, wall, cpu, peak) = runs
            steady, cost = (n1 - n0) / (wall - wall0), 1000 * (cpu - cpu0) / (n1 - n0)
            row = (engine, suffix, n1, f"{n1 / wall:.0f}", f"{steady:.0f}", f"{cost:.1f}", f"{peak:.0f}")
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


def compare_partitions(folder: Path, threads: int) -> None:
    """Print seconds of two partitions one after another and side by side."""
    audio = folder / "wav" / "whole"
    total = {}
    for label, share in (("one after another", threads), ("side by side", max(1, threads // 2))):
        out = Path(tempfile.mkdtemp(dir=folder))
        groups = [
            [("extract", job("extract", folder, audio, out, [n], "openvino", share))]
            for n in ("0001", "0002")
        ]
        if label == "one after another":
            total[label] = sum(measure([group])[0] for group in groups)
        else:
            total[label] = measure(groups)[0]
        print(f"two partitions {label}, {share} threads each: {total[label]:.1f} s", flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=int, default=40, help="minutes of music a run")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--engines", nargs="+", default=["openvino", "keras"])
    parser.add_argument("--folder", type=Path, help="keep everything there")
    parser.add_argument("--jobs", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.jobs:
        run_jobs(json.loads(options.jobs))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "model" / "model.json").exists():
            make_model(folder / "model")
        tracks = max(2, options.minutes * 60 // TRACK_SECONDS)
        compare_engines(folder, options.engines, tracks, options.threads)
        compare_partitions(folder, options.threads)


if __name__ == "__main__":
    main()
