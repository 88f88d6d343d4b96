"""How long Snakemake takes to plan the paper's experiment on SLURM with 95,000 tracks.

    python benchmarks/planning.py [--tracks 95000] [--folder FOLDER]

Lays out a synthetic experiment twice: with the lists of source files (conversions are still to be done), and
with the lists of tracks (fingerprints are still to be extracted). Tables are real and full, audio is absent:
planning must not look at it. Prints the jobs of every rule, seconds and peak memory of
`snakemake -n --profile profiles/slurm`.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "workflow/scripts"))

from nmfp.config import _load_yaml  # noqa: E402
from nmfp.datasets.sources import needed_rows, read_sources  # noqa: E402
from nmfp.files import write_csv  # noqa: E402

CONFIG = _load_yaml(ROOT / "config/config.yaml")
RESPONSES = {"noise": 1560, "room": 473, "microphone": 708}


def track_table(names: list[str], folder: str) -> pd.DataFrame:
    """tracks.csv of ok tracks of four and a half minutes each."""
    return pd.DataFrame(
        {
            "id": names,
            "path": [f"{folder}/{name}.wav" for name in names],
            "role": "any",
            "samples": 2_160_000,
            "sha256": [f"{row:064x}" for row in range(len(names))],
            "status": "ok",
            "reason": "",
        }
    )


def write_lists(folder: Path, names: list[str], size: int) -> int:
    """NNNN.csv of `size` ids each, as the rules partition_files and partition_tracks write them."""
    for n, start in enumerate(range(0, len(names), size)):
        write_csv(folder / f"{n:04d}.csv", pd.DataFrame({"id": names[start : start + size]}))
    return n + 1


def lay_out(root: Path, tracks: int, converted: bool) -> None:
    """Write an experiment up to the lists of source files, or (`converted`) up to the lists of tracks."""
    data = root / "results/paper/data"
    receipts = root / CONFIG["paths"]["downloads"] / "receipts"
    receipts.mkdir(parents=True)
    for name in needed_rows(CONFIG, {}, read_sources(ROOT / CONFIG["paths"]["sources"])):
        for suffix in ("json", "unpacked.json"):
            (receipts / f"{name}.{suffix}").write_text("{}\n")
    database = [f"fma_full/{n // 1000:03d}/{n:06d}.mp3" for n in range(tracks)]
    corpora = {
        "database": database,
        "train": [f"fma_medium/{n // 1000:03d}/{n:06d}.mp3" for n in range(10_000)],
        "validation": [f"fma_medium/{n // 1000:03d}/{n:06d}.mp3" for n in range(10_000, 10_500)],
        "queries": database[:10_000],
        "unknown": [f"fma_full/{n // 1000:03d}/{n:06d}.mp3" for n in range(tracks, tracks + 1000)],
    }
    collections = {name: [f"{name}/{n:05d}.wav" for n in range(count)] for name, count in RESPONSES.items()}
    collections["music"] = [*database, *corpora["train"], *corpora["validation"], *corpora["unknown"]]
    for collection, names in collections.items():
        table = track_table(names, f"results/paper/data/{collection}/audio")
        write_csv(data / collection / "files.csv", table[["id", "path", "role", "reason"]])
        batches = write_lists(data / collection / "batches", names, CONFIG["dataset"]["partition_files"])
        if converted:
            write_csv(data / collection / "tracks.csv", table)
            (data / collection / "failures.csv").write_text("id,path,role,samples,sha256,status,reason\n")
            for n in range(batches):
                (data / collection / "converted").mkdir(exist_ok=True)
                (data / collection / f"converted/{n:04d}.csv").touch()
    if converted:
        lay_out_corpora(data, corpora)
    # one time for all: nothing is older than what it was made of, nor than the scripts
    same_time = time.time()
    for path in root.rglob("*"):
        os.utime(path, (same_time, same_time))


def lay_out_corpora(data: Path, corpora: dict[str, list[str]]) -> None:
    """Tables and lists of all corpora, queries already cut."""
    for corpus, names in corpora.items():
        write_csv(data / corpus / "tracks.csv", track_table(names, "results/paper/data/music/audio"))
    for corpus in ("train", "validation"):
        (data / corpus / "audio.npy").touch()
        (data / corpus / "chunks.csv").touch()
    for split in ("train", "test"):
        for degradation in RESPONSES:
            for suffix in ("npy", "csv"):
                path = data / "degradations" / split / f"{degradation}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    write_lists(data / "database/partitions", corpora["database"], CONFIG["fingerprints"]["partition_tracks"])
    for query_set in ("queries", "unknown"):
        names = corpora[query_set]
        lists = write_lists(data / query_set / "partitions", names, CONFIG["queries"]["partition_tracks"])
        (data / query_set / "degraded").mkdir()
        for n in range(lists):
            (data / query_set / f"degraded/{n:04d}.csv").touch()
        (data / query_set / "provenance.csv").touch()
        for variant in ("clean", "clean_shifted", "degraded", "degraded_shifted"):
            corpus = data / f"{query_set}_{variant}"
            write_csv(corpus / "tracks.csv", track_table(names, f"{corpus}/audio"))
            write_lists(corpus / "partitions", names, CONFIG["fingerprints"]["partition_tracks"])


def plan(folder: Path, *arguments: str) -> tuple[dict[str, int], float, float, str]:
    """Jobs by rule, seconds, peak memory in GB (of all plans so far) and the output of a dry run."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--dry-run"]
    command += ["--directory", str(folder), "--profile", str(ROOT / "profiles/slurm"), *arguments]
    start = time.monotonic()
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    seconds = time.monotonic() - start
    output = run.stdout + run.stderr
    if run.returncode:
        raise SystemExit(f"snakemake failed:\n{output[-3000:]}")
    table = re.search(r"Job stats:\n.*?\n-+ +-+\n(.*?)\ntotal ", output, re.DOTALL)
    jobs = (
        {rule: int(n) for rule, n in (line.split() for line in table.group(1).splitlines())} if table else {}
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    return jobs, seconds, peak, output


def main() -> None:
    """Plan both states and print what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=95_000)
    parser.add_argument("--folder", type=Path, help="keep the synthetic experiments here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        base = options.folder or Path(temporary)
        for converted, name in ((False, "lists of source files"), (True, "lists of tracks")):
            folder = base / name.replace(" ", "_")
            lay_out(folder, options.tracks, converted)
            jobs, seconds, peak, _ = plan(folder)
            print(f"{options.tracks} tracks, {name} exist: planned in {seconds:.1f} s, {peak:.2f} GB")
            for rule, count in sorted(jobs.items(), key=lambda item: -item[1]):
                print(f"  {rule:20} {count}")


if __name__ == "__main__":
    main()
