"""Seconds that people wait: nmfp --help, the first answer of nmfp identify, each further one; and nmfp monitor's pace.

    python benchmarks/identification.py [--tracks 20] [--runs 5] [--minutes 10 60] [--threads 2] [--folder FOLDER]

Writes the paper's network with random weights (they do not change the time of a fingerprint) or takes --model, makes a
small database of chords by `nmfp database create`, and runs the commands that people type, each in a process of its own.
A query is 5 s of a track with noise. The first run comes right after the database was made; what follows is the median
of --runs. The first answer is timed from the start of the process to its line. A further query is what --queries more of
them in one call add, divided by their number. The recordings that are monitored hold the database's tracks with 20 s of
noise before each. Memory is the process's highest resident memory. Prints one table.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "workflow/scripts"))

import numpy as np  # noqa: E402
from extraction import make_model  # noqa: E402
from nmfp.audio.wav import SAMPLE_RATE, write_wav  # noqa: E402
from nmfp.files import generator  # noqa: E402

TRACK_SECONDS, GAP_SECONDS, QUERY_SECONDS = 60, 20, 5
SEED = 27


class Run(NamedTuple):
    """A process: seconds to its first line of results (the header is none) and to its end, memory in MB, lines."""

    first: float
    seconds: float
    memory: float
    lines: int


def nmfp(folder: Path, *arguments: str) -> Run:
    """Run the command in a folder and watch it."""
    command = [sys.executable, str(ROOT / "tools/nmfp_command.py"), *arguments]
    begin = time.perf_counter()
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], highest_resident(process.pid))

    with (folder / "messages.txt").open("w") as messages:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=messages)
    watcher = threading.Thread(target=watch)
    watcher.start()
    came = [time.perf_counter() - begin for _ in process.stdout]
    status = process.wait()
    seconds = time.perf_counter() - begin
    ended.set()
    watcher.join()
    if status:
        raise SystemExit(
            f"nmfp {' '.join(arguments)} failed:\n{(folder / 'messages.txt').read_text()[-2000:]}"
        )
    return Run(came[1] if len(came) > 1 else seconds, seconds, peak[0], len(came))


def highest_resident(pid: int) -> float:
    """Highest resident memory of a process so far in MB; getrusage would count that of us, who started it, as well."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0  # it has just ended
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 / 1e6 if lines else 0.0


def chords(number: int) -> np.ndarray:
    """A track: int16 (samples,), another chord of three notes every quarter of a second, and some noise."""
    rng = generator(SEED, "track", number)
    samples, note = TRACK_SECONDS * SAMPLE_RATE, SAMPLE_RATE // 4
    pitches = 55 * 2 ** (rng.integers(24, 72, (3, samples // note)) / 12)
    sound = np.sin(2 * np.pi * np.cumsum(np.repeat(pitches, note, axis=1), axis=1) / SAMPLE_RATE).sum(axis=0)
    return (4000 * sound + 300 * rng.standard_normal(samples)).astype(np.int16)


def write_queries(folder: Path, tracks: int, queries: int) -> None:
    """Excerpts of 5 s at random places of random tracks, with noise."""
    for number in range(queries):
        rng = generator(SEED, "query", number)
        start = rng.integers((TRACK_SECONDS - QUERY_SECONDS) * SAMPLE_RATE)
        excerpt = chords(int(rng.integers(tracks)))[start : start + QUERY_SECONDS * SAMPLE_RATE]
        noisy = excerpt + 1000 * rng.standard_normal(len(excerpt))
        write_wav(folder / f"{number:03d}.wav", noisy.astype(np.int16))


def write_recording(path: Path, tracks: int, minutes: int) -> None:
    """Noise, a track, noise, the next track ... for so many minutes."""
    parts, rng = [], generator(SEED, "recording")
    for number in range(60 * minutes // (TRACK_SECONDS + GAP_SECONDS) + 1):
        noise = 2000 * rng.standard_normal(GAP_SECONDS * SAMPLE_RATE)
        parts += [noise.astype(np.int16), chords(number % tracks)]
    write_wav(path, np.concatenate(parts)[: 60 * minutes * SAMPLE_RATE])


def row(*cells: str) -> None:
    """Print a row of the table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def median(runs: list[Run], name: str) -> float:
    """Of one figure of several runs."""
    return statistics.median(getattr(run, name) for run in runs)


def answer_queries(folder: Path, common: list[str], runs: int, queries: int) -> None:
    """Rows of nmfp --help and nmfp identify."""
    helped = [nmfp(folder, "--help") for _ in range(runs)]
    row("`nmfp --help`", f"{median(helped, 'seconds'):.2f}", f"{median(helped, 'memory'):.0f}")
    one = ["identify", "queries/000.wav", *common]
    first = nmfp(folder, *one)
    row("first answer, first run", f"{first.first:.2f}", f"{first.memory:.0f}")
    # in turns, so that a machine that slows down does so for both
    pairs = [(nmfp(folder, *one), nmfp(folder, "identify", "queries", *common)) for _ in range(runs)]
    single = [pair[0] for pair in pairs]
    row("first answer, warm", f"{median(single, 'first'):.2f}", f"{median(single, 'memory'):.0f}")
    row("the whole command, warm", f"{median(single, 'seconds'):.2f}", f"{median(single, 'memory'):.0f}")
    each = statistics.median((many.seconds - alone.seconds) / queries for alone, many in pairs)
    memory = median([many for _, many in pairs], "memory")
    row(f"each of {queries} further queries", f"{each:.3f}", f"{memory:.0f}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=20, help="tracks of a minute in the database")
    parser.add_argument("--runs", type=int, default=5, help="processes behind each median")
    parser.add_argument("--queries", type=int, default=40, help="further queries in one call")
    parser.add_argument("--minutes", type=int, nargs="*", default=[10, 60], help="recordings to monitor")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--engine", default="openvino", choices=["openvino", "keras"])
    parser.add_argument("--model", type=Path, help="a model's folder, instead of random weights")
    parser.add_argument("--folder", type=Path, help="keep everything there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        model = (options.model or folder / "model").resolve()
        if not (model / "model.json").exists():
            make_model(model)
        if not (folder / "music").exists():
            for number in range(options.tracks):
                write_wav(folder / "music" / f"{number:03d}.wav", chords(number))
            write_queries(folder / "queries", options.tracks, options.queries + 1)
        if not (folder / "songs.db").exists():
            nmfp(folder, "database", "create", "songs.db", "music", "--model", str(model))
        computing = ["--engine", options.engine, "--threads", str(options.threads)]
        common = ["--database", "songs.db", "--format", "csv", *computing]
        row("what", "seconds", "memory (MB)")
        row("---", "---", "---")
        answer_queries(folder, common, options.runs, options.queries)
        for minutes in options.minutes:
            path = folder / f"{minutes}.wav"
            write_recording(path, options.tracks, minutes)
            run = nmfp(folder, "monitor", path.name, *common)
            pace = 60 * minutes / run.seconds
            row(
                f"`nmfp monitor`, {minutes} min: {pace:.0f} s of audio a second, {run.lines - 1} tracks listed",
                f"{run.seconds:.1f}",
                f"{run.memory:.0f}",
            )


if __name__ == "__main__":
    main()
