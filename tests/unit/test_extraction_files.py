"""What extraction takes: every format, rate, width and number of channels, and recordings of ten hours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
from nmfp.extraction import partition, progress
from nmfp.model.engines import open_engine

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
SECONDS = 6


def encode(path: Path, codec: str, signal: np.ndarray, rate: int, channels: int) -> None:
    """Write float (samples,) at `rate`, the same in all channels, through FFmpeg."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        data = np.repeat((32000 * signal).astype(np.int16)[:, None], channels, axis=1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(data, format="s16", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for converted in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def music(melody):
    """A function rate -> float (samples,): the same music at any rate, band-limited to 3.5 kHz."""
    original = soxr.resample(melody(SECONDS * 8000, 3) / 32768, 8000, 7000)

    def at(rate: int) -> np.ndarray:
        return np.clip(soxr.resample(original, 7000, rate)[: SECONDS * rate], -1, 1)

    return at


LOSSLESS = [
    # (name, rate, channels, soundfile subtype)
    ("a.wav", 8000, 1, "PCM_16"),
    ("b.WAV", 11_025, 1, "PCM_U8"),
    ("c.wav", 16_000, 2, "PCM_24"),
    ("d.Wav", 44_100, 2, "PCM_32"),
    ("e.wav", 48_000, 6, "FLOAT"),
    ("f.wav", 96_000, 8, "DOUBLE"),
    ("g.wav", 192_000, 2, "PCM_16"),
    ("h.flac", 22_050, 3, "PCM_16"),
    ("i.FLAC", 48_000, 8, "PCM_24"),
    ("j.aiff", 32_000, 2, "PCM_16"),
]
LOSSY = [
    # (name, codec, rate, channels)
    ("k.mp3", "libmp3lame", 44_100, 2),
    ("l.MP3", "libmp3lame", 22_050, 1),
    ("m.ogg", "VORBIS", 44_100, 2),
    ("n.opus", "libopus", 48_000, 2),
    ("o.aac", "aac", 44_100, 2),
    ("p.m4a", "aac", 48_000, 6),
    ("q.M4A", "aac", 16_000, 1),
]


def test_every_format_gives_the_fingerprints_of_the_same_music(tmp_path, small_model, music):
    for name, rate, channels, subtype in LOSSLESS:
        data = np.repeat(music(rate)[:, None], channels, axis=1)
        soundfile.write(tmp_path / name, data, rate, subtype)
    for name, codec, rate, channels in LOSSY:
        if codec == "VORBIS":  # PyAV's FFmpeg reads it and does not write it
            data = np.repeat(music(rate)[:, None], channels, axis=1)
            soundfile.write(tmp_path / name, data, rate, codec)
        else:
            encode(tmp_path / name, codec, music(rate), rate, channels)
    names = [row[0] for row in LOSSLESS + LOSSY]
    paths = [str(tmp_path / name) for name in names]
    tracks = pd.DataFrame({"id": names, "path": paths, "samples": 0, "sha256": names})
    engine = open_engine(small_model, "openvino", threads=1)
    with progress.WorkLog(tmp_path / "work", engine.dimension) as done:
        partition.fingerprint_tracks(tracks, engine, done)
        units = {row.id: done.units[partition.unit_name(row)] for row in tracks.itertuples()}
        vectors = {n: np.concatenate([v for v, _ in done.read(u)]) for n, u in units.items() if u.parts}
    assert {n: u.reason for n, u in units.items() if u.reason} == {}
    reference = vectors["a.wav"]
    assert reference.shape == (2 * SECONDS - 1, 16)
    for name, *_ in LOSSLESS:
        agreement = np.sum(vectors[name][1:9] * reference[1:9], axis=1)
        least = 0.7 if name == "b.WAV" else 0.999  # eight bits leave a quiet segment little
        assert len(vectors[name]) == len(reference) and agreement.min() > least, name
    for (
        name,
        *_,
    ) in LOSSY:  # an untrained network is no judge of what an encoder changes; padding may add a row
        assert abs(len(vectors[name]) - len(reference)) <= 1, name


TEN_HOURS = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, pandas as pd
from nmfp.extraction import partition, progress
class Engine:
    name, version, dimension, batch = "one", "1", 128, 512
    def __call__(self, segments):
        return np.eye(1, 128, dtype=np.float32).repeat(len(segments), axis=0)
tracks = pd.DataFrame({"id": ["a"], "path": [sys.argv[2]], "samples": [int(sys.argv[3])], "sha256": ["0"]})
with progress.WorkLog(sys.argv[4], 128) as done:
    partition.fingerprint_tracks(tracks, Engine(), done)
    (unit,) = done.units.values()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([unit.rows, unit.reason, memory]))
"""


@pytest.mark.slow
def test_memory_does_not_depend_on_a_recording_s_length(tmp_path):
    """Ten minutes and ten hours, most of both silent (so that the file needs no room on the disk)."""
    found = {}
    for minutes in (10, 600):
        path, samples = tmp_path / f"{minutes}.wav", minutes * 60 * 8000
        soundfile.write(path, np.full(8000, 9000, np.int16), 8000)
        header = bytearray(path.read_bytes()[:44])
        header[4:8] = (36 + 2 * samples).to_bytes(4, "little")
        header[40:44] = (2 * samples).to_bytes(4, "little")
        with path.open("r+b") as f:
            f.write(header)
        os.truncate(path, 44 + 2 * samples)
        arguments = [str(SCRIPTS), str(path), str(samples), str(tmp_path / f"work{minutes}")]
        command = [sys.executable, "-c", TEN_HOURS, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows, reason, memory = json.loads(done.stdout.splitlines()[-1])
        assert (rows, reason) == (2 * minutes * 60 - 1, "")
        found[minutes] = memory
    assert found[600] < found[10] + 15_000, f"KiB by minutes: {found}"
