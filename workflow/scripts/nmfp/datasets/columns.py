"""Columns of the tables below data/ that several modules write (docs/formats.md explains each)."""

AUDIO_COLUMNS = ["id", "path", "role", "samples", "sha256", "status", "reason"]
PROVENANCE_COLUMNS = [
    "id", "track_id", "start_sample", "start_sample_shifted", "samples", "noise_id", "noise_start_sample",
    "room_id", "microphone_id", "snr_db", "room_gain", "microphone_gain", "music_rms", "noise_rms",
]  # fmt: skip
