"""A folder of fingerprints, one .npy a recording, as `nmfp fingerprint` writes and `nmfp retrieve` reads it.

    <name>.npy                 float32 (rows, d), one row every half second
    <name>.silent.npy          bool (rows,): segments below -60 dBFS
    tracks.csv                 id, path, rows, samples, sha256, status, reason: one row a recording
    fingerprints.json          the model that made them
    .journal/                  what is finished, for the next run

With parts (2/4 ...) each has its own table, tracks.2-of-4.csv, and its own journal, so
that they never wait for each other.
"""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from nmfp.database.fingerprints import NPY_ERRORS, full_disk_explained, npy_problem, open_npy, unit_length
from nmfp.errors import NmfpError
from nmfp.extraction.progress import id_of_unit, unit_name
from nmfp.files import progress, read_json, sha256_file, write_csv, write_json, write_npy
from nmfp.model.folder import read_model
from nmfp.segments import HOP_SAMPLES

log = logging.getLogger("nmfp")

COLUMNS = ["id", "path", "rows", "samples", "sha256", "status", "reason"]
VERSION = 1
# Where names that lead out of the folder (../song.mp3, /music/song.mp3) have their files.
ELSEWHERE = "_elsewhere"
# What to do about a damaged fingerprints.json
_CLAIM = "it names the model that made these fingerprints: restore it, or fingerprint into a new folder"


def file_of(name: str) -> PurePosixPath:
    """The .npy below the folder that belongs to an id; two ids have the same one only where they are one path."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        path = PurePosixPath(ELSEWHERE, *(p for p in PurePosixPath(os.path.abspath(name)).parts if p != "/"))
    return path.with_name(path.name + ".npy")


class NpySink:
    """Takes finished recordings from `fingerprint_tracks` and writes each as .npy, whole or not at all.

    It stands in for `nmfp.extraction.progress.WorkLog`: unit names are those of `unit_name`.
    """

    def __init__(self, folder: Path, journal: Path, dimension: int, key: str):
        self.folder, self.dimension, self.key = folder, dimension, key
        self.units: dict[str, dict] = {}
        self._parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for path in sorted(journal.parent.glob("*.jsonl")):
            self.units |= {line["unit"]: line for line in _read_journal(path, key) if self._is_whole(line)}
        self._journal = journal.open("ab")
        self._journal.write(b"\n")  # a kill may have torn the last line

    def add_part(self, name: str, vectors: np.ndarray, silent: np.ndarray) -> None:
        """The next rows of a recording."""
        self._parts.setdefault(name, []).append((vectors, silent))

    def finish(self, name: str, samples: int, reason: str = "") -> None:
        """Write a recording's files, then the line that says they are whole."""
        parts = self._parts.pop(name, [])
        line = {"key": self.key, "unit": name, "samples": samples, "reason": reason, "rows": 0, "sha256": ""}
        if not reason:
            path = self._path(name)
            vectors = np.concatenate([v for v, _ in parts])
            write_npy(path.with_suffix(".silent.npy"), np.concatenate([s for _, s in parts]))
            write_npy(path, vectors)
            line |= {"rows": len(vectors), "sha256": sha256_file(path)}
        self.units[name] = line
        self._journal.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._journal.flush()

    def commit(self) -> None:
        """Everything is on the disk already."""

    def close(self) -> None:
        """End the journal."""
        self._journal.close()

    def _path(self, unit: str) -> Path:
        return self.folder / file_of(id_of_unit(unit))

    def _is_whole(self, line: dict) -> bool:
        if line["reason"]:
            return False  # whatever was wrong may be right now
        path = self._path(line["unit"])
        return path.is_file() and sha256_file(path) == line["sha256"]


def _read_journal(path: Path, key: str) -> Iterator[dict]:
    keys = {"key", "unit", "samples", "reason", "rows", "sha256"}
    with path.open("rb") as f:
        for text in f:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and set(line) == keys and line["key"] == key:
                yield line


def fingerprint_to_folder(
    inputs: list,
    folder: str | Path,
    model: Path,
    engine: str = "auto",
    threads: int | None = None,
    part: str = "",
) -> tuple[pd.DataFrame, int]:
    """Fingerprint recordings into a folder; what is there and whole is left alone.

    Args:
        inputs: objects with id, path and reason (a non-empty one is a failure already).
        folder: to write to; holds fingerprints of one model only.
        model: model folder.
        part: name of the part ("2-of-4"), "" for the whole.

    Returns:
        The table of `COLUMNS`, and how many recordings were there already.

    Raises:
        NmfpError: the folder holds another model's fingerprints, cannot be written, or the disk is full.
    """
    from nmfp.extraction.partition import fingerprint_tracks, work_key
    from nmfp.model.engines import open_engine

    folder, info = Path(folder), read_model(model)
    _check_names(inputs)
    try:
        _claim(folder, model, info)
    except OSError as error:
        raise NmfpError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from None
    rows = []
    for item in progress(inputs, unit=" files", label="read"):
        reason, sha256 = item.reason, ""
        if not reason:
            try:
                sha256 = sha256_file(item.path)
            except OSError as error:
                reason = "a folder, not a file" if os.path.isdir(item.path) else error.strerror.lower()
        rows.append((item.id, item.path, 0, sha256, reason))
    tracks = pd.DataFrame(rows, columns=["id", "path", "samples", "sha256", "reason"])
    readable = tracks[tracks["reason"] == ""]
    with full_disk_explained(folder):
        opened = open_engine(model, engine, threads=threads)
        key = work_key(info["digest"], opened, HOP_SAMPLES, VERSION)
        sink = NpySink(folder, folder / ".journal" / f"{part or 'all'}.jsonl", opened.dimension, key)
        try:
            kept = sum(unit_name(row) in sink.units for row in readable.itertuples())
            fingerprint_tracks(readable, opened, sink)
        finally:
            sink.close()
        units = {row.Index: sink.units[unit_name(row)] for row in readable.itertuples()}
        nothing = {"rows": 0, "samples": 0, "reason": ""}
        done = [units.get(i, nothing) for i in tracks.index]
        tracks["rows"] = [unit["rows"] for unit in done]
        tracks["samples"] = [unit["samples"] for unit in done]
        tracks["reason"] = [r or unit["reason"] for r, unit in zip(tracks["reason"], done, strict=True)]
        tracks["status"] = np.where(tracks["reason"] == "", "ok", "failed")
        name = f"tracks.{part}.csv" if part else "tracks.csv"
        write_csv(folder / name, tracks[COLUMNS])
    return tracks[COLUMNS], kept


def _check_names(inputs: list) -> None:
    taken: dict[PurePosixPath, str] = {}
    for item in inputs:
        other = taken.setdefault(file_of(item.id), item.id)
        if other != item.id:
            raise NmfpError(f"{item.id} and {other} would have the same file; name one of them only.")


def _claim(folder: Path, model: Path, info: dict) -> None:
    """Make the folder and note its model, or insist that it is the one noted."""
    (folder / ".journal").mkdir(parents=True, exist_ok=True)
    path = folder / "fingerprints.json"
    described = {
        "model": model.resolve().name,
        "model_digest": info["digest"],
        "dimension": info["embedding_size"],
        "hop_samples": HOP_SAMPLES,
    }
    if path.exists():
        if read_json(path, _CLAIM).get("model_digest") != info["digest"]:
            raise NmfpError(f"{folder} holds fingerprints of another model; choose another folder.")
        return
    write_json(path, described)


def model_digest_of(path: str | Path) -> str:
    """The model that made a .npy, or a folder of them: the digest that `nmfp fingerprint` noted at or above it.

    "" where nothing is noted.
    """
    path = Path(path).absolute()
    for folder in (path, *path.parents):
        note = folder / "fingerprints.json"
        if note.is_file():
            return str(read_json(note, _CLAIM).get("model_digest", ""))
    return ""


def npy_files(folder: str | Path) -> list[Path]:
    """The .npy files of fingerprints below a folder, sorted; silent flags and unfinished files are left out."""
    found = [p for p in Path(folder).rglob("*.npy") if not p.name.endswith(".silent.npy")]
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def read_fingerprints(path: str | Path, dimension: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """One .npy as vectors float32 (n, d) of unit length, and silent flags bool (n,), all False where none are kept.

    Raises:
        NmfpError: not .npy, not two-dimensional floats, of another dimension, or not of unit length.
    """
    path = Path(path)
    try:
        vectors = open_npy(path)
    except NPY_ERRORS as error:
        raise NmfpError(
            f"{path} cannot be read as fingerprints ({npy_problem(path, error)}); `nmfp fingerprint` makes them."
        ) from None
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or vectors.dtype.itemsize > 4:
        raise NmfpError(
            f"{path} holds {vectors.dtype} {vectors.shape} and no fingerprints (float32, two axes)."
        )
    if dimension is not None and vectors.shape[1] != dimension:
        raise NmfpError(
            f"{path} holds fingerprints of {vectors.shape[1]} numbers and the database of {dimension}: "
            "they come from different models."
        )
    vectors = np.ascontiguousarray(vectors, np.float32)
    if not unit_length(vectors):
        raise NmfpError(f"{path} holds vectors that are not of length 1, so they are no fingerprints.")
    flags = path.with_suffix(".silent.npy")
    if not flags.is_file():
        return vectors, np.zeros(len(vectors), bool)
    try:
        silent = np.asarray(open_npy(flags))
    except NPY_ERRORS as error:
        raise NmfpError(
            f"{flags} cannot be read ({npy_problem(flags, error)}); fingerprint the recording again."
        ) from None
    if silent.dtype != bool or silent.shape != (len(vectors),):
        raise NmfpError(f"{flags} does not belong to {path}; fingerprint the recording again.")
    return vectors, silent
