"""Columns of the tables below data/ that several modules write (docs/formats.md explains each)."""

from typing import NamedTuple

AUDIO_COLUMNS = ["id", "path", "role", "samples", "sha256", "status", "reason"]
PROVENANCE_COLUMNS = [
    "id", "track_id", "start_sample", "start_sample_shifted", "samples", "noise_id", "noise_start_sample",
    "room_id", "microphone_id", "snr_db", "room_gain", "microphone_gain", "music_rms", "noise_rms",
]  # fmt: skip


class ListedFile(NamedTuple):
    """A row of files.csv: a source file as it was found. A reason excludes it."""

    id: str
    path: str
    role: str
    reason: str = ""


class WatchedFile(NamedTuple):
    """A row of files.csv of a user's folder: `state` is the size and time by which a change is noticed."""

    id: str
    path: str
    role: str
    reason: str = ""
    state: str = ""
