"""What a job has finished already, kept beside its declared outputs so that a killed job can go on.

Snakemake deletes declared outputs before it runs a rule again; the journal is none. A line is a claim, not a
proof: whoever resumes checks the files it names by their digest.
"""

import json
import os
from pathlib import Path


class Journal:
    """Append-only lines of JSON, one a finished unit; lines of another key, or torn by a kill, do not
    count."""

    def __init__(self, path: str | Path, key: str):
        """Read what is there.

        Args:
            key: digest of everything that changes what a unit produces; other keys' lines are ignored.
        """
        self.path = Path(path)
        self.key = key
        self._records: dict[str, dict] = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            return
        if isinstance(entry, dict) and entry.get("key") == self.key and isinstance(entry.get("record"), dict):
            self._records[str(entry.get("unit"))] = entry["record"]

    def get(self, unit: str) -> dict | None:
        """The record of a finished unit."""
        return self._records.get(unit)

    def add(self, unit: str, record: dict) -> None:
        """Remember a unit whose files are in place; the line is on the disk when this returns."""
        self._records[unit] = record
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": self.key, "unit": unit, "record": record})
        with self.path.open("ab") as f:
            # a leading newline ends a line that a kill tore
            f.write(f"\n{line}\n".encode())
            f.flush()
            os.fsync(f.fileno())
