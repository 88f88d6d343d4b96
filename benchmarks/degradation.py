"""Processor seconds and memory of making queries (rule degrade), by the length of their track.

    python benchmarks/degradation.py [--queries 40] [--minutes 4.5 600] [--room-seconds 2]

Each track is noise in a WAV of its own length; a query of 30 s is cut from it, degraded with noise, room and
microphone, and written in four variants. Each length runs in a process of its own, whose highest memory is
printed beside that of one that only imports the modules (0 queries).
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "workflow/scripts"))

RATE = 8000
SWITCHES = {"snr_db": [0, 10], "snr_reference": "track", "noise": True, "room": True, "microphone": True}


def write_track(path: Path, seconds: int) -> None:
    """Noise as 8 kHz WAV, written in blocks."""
    import numpy as np
    import soundfile

    rng = np.random.default_rng(27)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as f:
        for begin in range(0, seconds, 60):
            f.write((3000 * rng.standard_normal(RATE * min(60, seconds - begin))).astype(np.int16))


def measure(track: Path, seconds: int, queries: int, room_seconds: float, out: Path) -> None:
    """Make the queries in this process; print processor seconds a query and the process's highest memory."""
    import numpy as np
    import pandas as pd
    from nmfp.datasets.journal import Journal
    from nmfp.datasets.queries import VARIANTS, PackedRecordings, Settings, make_queries

    rng = np.random.default_rng(1)
    recordings = {}
    for name, length in (("noise", 30.0), ("room", room_seconds), ("microphone", 0.2)):
        samples = rng.standard_normal(int(length * RATE)) * np.exp(-5 * np.arange(int(length * RATE)) / RATE)
        recordings[name] = PackedRecordings((9000 * samples).astype(np.int16), [name], [0], [len(samples)])
    tracks = pd.DataFrame(
        {"id": ["track"], "path": [str(track)], "samples": [seconds * RATE], "sha256": ["any"]}
    )
    settings = Settings(27, queries, 30 * RATE, RATE // 4, SWITCHES)
    folders = {variant: out / variant for variant in VARIANTS}
    began = time.process_time()
    if queries:
        make_queries(tracks, folders, recordings, settings, Journal(out / "done.jsonl", "key"), 1, "degrade")
    spent = (time.process_time() - began) / max(queries, 1)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {seconds / 60:g} | {queries} | {spent:.3f} | {memory:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--minutes", type=float, nargs="+", default=[4.5, 600])
    parser.add_argument("--room-seconds", type=float, default=2.0, help="length of the room's response")
    parser.add_argument(
        "--one", nargs=3, help=argparse.SUPPRESS
    )  # track, seconds, queries: a measured process
    arguments = parser.parse_args()
    if arguments.one:
        track, seconds, queries = arguments.one
        measure(Path(track), int(seconds), int(queries), arguments.room_seconds, Path(track).parent / "out")
        return
    print(
        "| minutes of the track | queries | processor seconds a query | memory, MB |\n|---|---|---|---|",
        flush=True,
    )
    for minutes in arguments.minutes:
        for queries in (0, arguments.queries):
            with tempfile.TemporaryDirectory() as folder:
                track, seconds = Path(folder) / "track.wav", round(60 * minutes)
                write_track(track, seconds)
                command = [sys.executable, __file__, "--room-seconds", str(arguments.room_seconds)]
                subprocess.run([*command, "--one", str(track), str(seconds), str(queries)], check=True)


if __name__ == "__main__":
    main()
