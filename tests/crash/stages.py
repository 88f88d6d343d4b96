"""Descriptions of extract and merge jobs, and processes that run or kill them."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

RUNNER = Path(__file__).with_name("run_stage.py")
PARTITION = {"fingerprints": ".npy", "silent": ".silent.npy", "table": ".csv", "info": ".json"}
DATABASE = {
    "fingerprints": "database.npy",
    "silent": "silent.npy",
    "tracks": "tracks.csv",
    "failures": "failures.csv",
    "info": "database.json",
}


def extract_job(corpus: Path, model: Path, out: Path, n: str) -> dict:
    """The job of partition n with outputs in out/partitions."""
    return {
        "input": {
            "tracks": str(corpus / "tracks.csv"),
            "list": str(corpus / f"{n}.csv"),
            "info": str(model / "model.json"),
        },
        "output": {key: str(out / "partitions" / f"{n}{suffix}") for key, suffix in PARTITION.items()},
        "params": {"version": 1, "engine": "openvino", "batch": 16, "work": str(out / "work" / n)},
        "wildcards": {"model": "small", "corpus": "database", "n": n},
        "log": str(out / f"extract-{n}.log"),
        "threads": 1,
    }


def merge_job(corpus: Path, model: Path, out: Path, partitions: list[Path]) -> dict:
    """The job that merges these partitions into `out`."""
    return {
        "input": {
            "fingerprints": [str(path) for path in partitions],
            "tracks": str(corpus / "tracks.csv"),
            "model": str(model / "model.json"),
        },
        "output": {key: str(out / name) for key, name in DATABASE.items()},
        "params": {
            "version": 1,
            "dtype": "float32",
            "failure_budget": 0.1,
            "work": str(out / "work" / "merge"),
        },
        "wildcards": {"model": "small", "corpus": "database"},
        "log": str(out / "merge.log"),
        "threads": 1,
    }


def run(stage: str, job: dict) -> float:
    """Run a job to its end; returns its seconds."""
    start = time.monotonic()
    command = [sys.executable, str(RUNNER), stage, json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - start


def kill_after(stage: str, job: dict, seconds: float) -> bool:
    """Start a job, send SIGKILL after a while; returns whether it was still running. No child may survive."""
    mark = f"nmfp-crash-{uuid.uuid4()}"
    command = [sys.executable, str(RUNNER), stage, json.dumps(job)]
    environment = {**os.environ, "NMFP_CRASH_TEST": mark}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        status = process.wait()
    assert status in (0, -signal.SIGKILL), status
    deadline = time.monotonic() + 30
    while left := marked_processes(mark):
        assert time.monotonic() < deadline, f"processes {left} outlived the killed job"
        time.sleep(0.05)
    return status != 0


def marked_processes(mark: str) -> list[int]:
    """Processes of this user whose environment holds `mark`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # gone, or somebody else's
    return found
