"""What a killed job goes on from: an append-only file of fingerprints and a log of what in it is whole.

`rows.bin` holds parts of tracks one after another: n rows of float32, then n bytes of silent flags.
`log.jsonl` says of each part which track it belongs to, where it lies and its SHA-256, and of each finished
track how it ended. A part is written and synchronised before its line is. On opening, every line is checked
against the bytes it speaks of; what does not hold is as if it had never been.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nmfp.database.fingerprints import unit_length
from nmfp.files import write_text

log = logging.getLogger("nmfp")

# Rows kept in memory before a track in progress is written as a part: 2 MB at 128 numbers a row
PART_ROWS = 4096
COMMIT_SECONDS = 2.0


@dataclass
class Unit:
    """One track's finished work: its parts as (offset in rows.bin, rows), and how it ended."""

    parts: list[tuple[int, int]] = field(default_factory=list)
    samples: int = 0
    reason: str = ""

    @property
    def rows(self) -> int:
        """Fingerprints in all parts."""
        return sum(rows for _, rows in self.parts)


def unit_name(row) -> str:
    """What a track is called in the log: its id and everything that its rows depend on besides the model."""
    return f"{row.id}\n{row.sha256}\n{row.samples}"


def id_of_unit(name: str) -> str:
    """The id in a unit's name; it may hold newlines itself."""
    return name.rsplit("\n", 2)[0]


class WorkLog:
    """The log of one partition's work; units are named by any string.

    Attributes:
        units: finished ones, by name.
    """

    def __init__(self, folder: str | Path, dimension: int, commit_seconds: float | None = None):
        self.folder, self.dimension = Path(folder), dimension
        self.commit_seconds = COMMIT_SECONDS if commit_seconds is None else commit_seconds
        self.folder.mkdir(parents=True, exist_ok=True)
        self.units: dict[str, Unit] = {}
        self._open: dict[str, Unit] = {}
        self._lines: list[str] = []
        self._rows = (self.folder / "rows.bin").open("ab+")
        self._resume(self.folder / "log.jsonl")
        self._log = (self.folder / "log.jsonl").open("ab")
        self._committed = time.monotonic()

    def __enter__(self) -> "WorkLog":
        return self

    def __exit__(self, *_) -> None:
        self._rows.close()
        self._log.close()

    def add_part(self, name: str, vectors: np.ndarray, silent: np.ndarray) -> None:
        """Append the next rows float32 (n, d) of a unit, with their flags bool (n,)."""
        payload = np.ascontiguousarray(vectors, "<f4").tobytes() + silent.astype(np.uint8).tobytes()
        offset = self._rows.seek(0, os.SEEK_END)
        self._rows.write(payload)
        self._open.setdefault(name, Unit()).parts.append((offset, len(vectors)))
        digest = hashlib.sha256(payload).hexdigest()
        self._append({"unit": name, "offset": offset, "rows": len(vectors), "sha256": digest})

    def finish(self, name: str, samples: int, reason: str = "") -> None:
        """A unit is done: its length in samples, or why it has no rows (its parts are forgotten)."""
        unit = self._open.pop(name, Unit())
        self.units[name] = Unit([] if reason else unit.parts, samples, reason)
        self._append({"unit": name, "end": True, "samples": samples, "reason": reason})

    def commit(self) -> None:
        """Put everything on the disk: first the rows, then the lines that speak of them."""
        self._rows.flush()
        os.fsync(self._rows.fileno())
        self._log.write("".join(self._lines).encode())
        self._log.flush()
        os.fsync(self._log.fileno())
        self._lines.clear()
        self._committed = time.monotonic()

    def read(self, unit: Unit) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The parts of a finished unit: float32 (n, d) and bool (n,), in order; `commit` first."""
        for offset, rows in unit.parts:
            yield self._unpack(self._payload(offset, rows), rows)

    def _append(self, line: dict) -> None:
        self._lines.append(_dump(line))
        if time.monotonic() - self._committed >= self.commit_seconds:
            self.commit()

    def _payload(self, offset: int, rows: int) -> bytes:
        self._rows.seek(offset)
        return self._rows.read(rows * (4 * self.dimension + 1))

    def _unpack(self, payload: bytes, rows: int) -> tuple[np.ndarray, np.ndarray]:
        vectors = np.frombuffer(payload, "<f4", rows * self.dimension).reshape(rows, self.dimension)
        return vectors, np.frombuffer(payload, np.uint8, offset=rows * 4 * self.dimension).astype(bool)

    def _resume(self, path: Path) -> None:
        """Keep the units whose every part is what its line says; both files end up without the rest.

        Tracks in progress when the job was killed start again from their first sample.
        """
        kept: list[str] = []
        unfinished: dict[str, list[dict]] = {}
        for line in _read_lines(path):
            name = line["unit"]
            if "end" not in line:
                unfinished.setdefault(name, []).append(line)
                continue
            parts = unfinished.pop(name, [])
            if line["reason"]:
                parts = []
            if not all(map(self._is_whole, parts)):
                log.warning("%s: the fingerprints of %s are damaged and will be computed again", path, name)
                continue
            places = [(part["offset"], part["rows"]) for part in parts]
            self.units[name] = Unit(places, line["samples"], line["reason"])
            kept += [_dump(part) for part in [*parts, line]]
        write_text(path, "".join(kept))
        ends = [
            offset + n * (4 * self.dimension + 1) for unit in self.units.values() for offset, n in unit.parts
        ]
        self._rows.truncate(max(ends, default=0))

    def _is_whole(self, part: dict) -> bool:
        payload = self._payload(part["offset"], part["rows"])
        if hashlib.sha256(payload).hexdigest() != part["sha256"]:
            return False
        return unit_length(self._unpack(payload, part["rows"])[0])


def _dump(line: dict) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"


def _read_lines(path: Path) -> Iterator[dict]:
    """The lines of a log up to the first one that is not whole: a kill tears only the last."""
    if not path.exists():
        return
    with path.open("rb") as f:
        for text in f:
            try:
                line = json.loads(text) if text.endswith(b"\n") else None
            except ValueError:
                line = None
            known = {"unit", "end", "samples", "reason"}, {"unit", "offset", "rows", "sha256"}
            if not isinstance(line, dict) or set(line) not in known:
                return
            yield line
