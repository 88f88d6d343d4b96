"""Miniature versions of every archive of the paper: same
names, layouts and formats, seconds instead of terabytes."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import scipy.io
import soundfile
import yaml
from nmfp.datasets.sources import COLUMNS

TRAINING = [2, 3, 5, 10, 20, 30, 134, 135]
VALIDATION = [140, 141]
QUERIES = [200, 201]
DATABASE = [210, 211, 212, 213]
DUPLICATE, CORRUPT, SILENT, OTHER = 214, 215, 1486, 300  # of 210; no mp3; known to FMA; in no list
RATE = 16000


def tune(number: int, seconds: float, rate: int = RATE) -> np.ndarray:
    """Four tones, others every half second: tracks that a fingerprint can tell apart. float64 (samples,)."""
    rng = np.random.default_rng(number)
    steps = int(2 * seconds) + 1
    phase = np.cumsum(
        np.repeat(rng.uniform(200, 3000, (steps, 4)), rate // 2, axis=0)[: int(seconds * rate)], axis=0
    )
    return 0.15 * np.sin(2 * np.pi * phase / rate).sum(axis=1) + 0.01 * rng.standard_normal(
        int(seconds * rate)
    )


def decay(number: int, seconds: float, rate: int) -> np.ndarray:
    """An impulse response of a kind, float64 (samples,)."""
    t = np.arange(int(seconds * rate)) / rate
    return 0.5 * np.exp(-10 * t / seconds) * np.random.default_rng(number).standard_normal(len(t))


def encode(audio: np.ndarray, rate: int, kind: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def wav(audio, rate=8000, subtype="PCM_16"):
    return encode(audio, rate, "WAV", subtype)


def fma_name(number: int) -> str:
    return f"{number:06d}"[:3] + f"/{number:06d}"


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as z:
        for name, content in files.items():
            z.writestr(name, content)
    return buffer.getvalue()


def tar_xz(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=0) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tracks_table() -> bytes:
    numbers = (*TRAINING, *VALIDATION, *QUERIES, *DATABASE, DUPLICATE, CORRUPT, SILENT, OTHER)
    rows = "".join(f"{n},a title\n" for n in numbers)
    return f",track\n,title\ntrack_id,\n{rows}".encode()


def fma_archives() -> dict[str, bytes]:
    medium = {
        f"fma_medium/{fma_name(n)}.mp3": encode(tune(n, 30), RATE, "MP3")
        for n in (*TRAINING, *VALIDATION, SILENT, OTHER)
    }
    full = {
        f"fma_full/{fma_name(n)}.mp3": encode(tune(n, 33 + n % 5), RATE, "MP3")
        for n in (*TRAINING[:2], *VALIDATION, *QUERIES, *DATABASE, SILENT)
    }
    full[f"fma_full/{fma_name(DUPLICATE)}.mp3"] = full[f"fma_full/{fma_name(DATABASE[0])}.mp3"]
    full[f"fma_full/{fma_name(CORRUPT)}.mp3"] = np.random.default_rng(0).bytes(20_000)
    return {
        "fma_metadata": zipped({"fma_metadata/tracks.csv": tracks_table()}, zipfile.ZIP_BZIP2),
        "fma_medium": zipped({"fma_medium/README.txt": b"", **medium}, zipfile.ZIP_BZIP2),
        "fma_full": zipped({"fma_full/README.txt": b"", **full}, zipfile.ZIP_BZIP2),
    }


def tut_archive(kind: str, numbers: list[int]) -> bytes:
    rng = np.random.default_rng(numbers[0])
    return zipped(
        {
            f"TUT-acoustic-scenes-2016-{kind}/audio/a{n:03d}_0_30.wav": wav(
                0.1 * rng.standard_normal((4 * 44100, 2)), 44100, "PCM_24"
            )
            for n in numbers
        }
    )


def aachen_archive() -> bytes:
    names = ["lecture_0_0_1", "lecture_1_0_1", "lecture_1_1_1", "booth_0_0_1", "stairway_1_0_1_90"]
    files = {}
    for k, name in enumerate(names):
        buffer = io.BytesIO()
        content = {"h_air": 1e-3 * decay(k, 0.3, 48000)[np.newaxis], "air_info": {"fs": 48000, "head": 0}}
        scipy.io.savemat(buffer, content)
        files[f"AIR_1_4/air_binaural_{name}.mat"] = buffer.getvalue()
    return zipped(files)


def microphone_archive() -> bytes:
    files = {}
    for k, name in enumerate(["AKGD12", "Coles4038", "DPA4006", "ShureSM57", "RodeK2Omni"]):
        for angle in (0, 30, 60):
            stem = f"{name}_50cm"
            files[f"Normalised_IRs/{stem}/24bit/{stem}_{angle}Deg.wav"] = wav(
                decay(k, 0.05, 48000), 48000, "PCM_24"
            )
    return zipped(files)


def openair_archive() -> bytes:
    stereo = np.stack([decay(60, 0.3, 48000), decay(61, 0.3, 48000)], axis=1)
    return zipped(
        {
            "york-minster/mono/a.wav": wav(decay(62, 0.3, 48000), 48000, "PCM_24"),
            "york-minster/stereo/b.wav": wav(stereo, 48000, "PCM_24"),
            "york-minster/b-format/c.wav": wav(decay(63, 0.3, 48000), 48000, "PCM_24"),
            "maes-howe/mono/d.wav": wav(decay(64, 0.3, 48000), 48000, "PCM_24"),
        }
    )


def nafp_files() -> dict[str, bytes]:
    """NAFP's mini set; its music lends only its names."""
    root = "neural-audio-fp-dataset"
    folders = {
        "train-10k-30s/fma_small_8k_plus_medium_2k": TRAINING,
        "val-query-db-500-30s/db": VALIDATION,
        "test-query-db-500-30s/db": QUERIES,
    }
    files = {
        f"{root}/music/{f}/{fma_name(n)}.wav": wav(np.zeros(80))
        for f, numbers in folders.items()
        for n in numbers
    }
    for k, side in enumerate(("tr", "ts")):
        files[f"{root}/aug/bg/{side}/pub_noise_8k/{k}.wav"] = wav(
            0.1 * np.random.default_rng(k).standard_normal(32000)
        )
        files[f"{root}/aug/ir/{side}/{k}.wav"] = wav(decay(k, 0.2, 8000))
    return files


def paper_archives() -> dict[str, bytes]:
    """Everything that an address leads to, by name in the table of sources."""
    return fma_archives() | {
        "tut_development_1": tut_archive("development", [1, 2]),
        "tut_development_2": tut_archive("development", [3]),
        "tut_evaluation_1": tut_archive("evaluation", [1001, 1002]),
        "mit_survey": zipped(
            {f"Audio/h{k:03d}_room.wav": wav(decay(k, 0.1 + 0.3 * (k % 2), 32000), 32000) for k in range(10)}
        ),
        "aachen_air": aachen_archive(),
        "microphones": microphone_archive(),
    }


EXPECTED = {
    "fma_medium": "files=12",
    "fma_full": "files=13",
    "tut_development_1": "train=3",
    "tut_evaluation_1": "test=2",
    "mit_survey": "train=8 test=2",
    "openair": "train=1 test=1",
    "aachen_air": "train=3 test=1",
    "microphones": "train=8 test=2",
    "nafp_mini": "train=8 validation=2 queries=2 noise_train=1 noise_test=1 room_train=1 room_test=1",
    "nmfp_archive": "train=8 queries=6 noise_train=1 noise_test=1 room_train=2 room_test=1"
    " microphone_train=1 microphone_test=1",
}
CHECKSUMS = {"fma_medium": "sha1", "fma_full": "sha1", "tut_development_1": "md5", "aachen_air": "sha256"}


def write_sources(path: Path, server, archives: dict[str, bytes], placed: tuple[str, ...] = ()) -> Path:
    """A table with the addresses of a loopback server, which then offers the archives."""
    lines = ["\t".join(COLUMNS)]
    for name in (*archives, *placed):
        kind = "tar.xz" if name == "nmfp_archive" else "zip"
        row = dict.fromkeys(COLUMNS, "") | {"name": name, "file": f"{name}.{kind}", "archive": kind}
        row["set"] = name.rsplit("_", 1)[0] if name.startswith("tut_") else name.replace("weights_", "nmfp-")
        row["expected"] = EXPECTED.get(name, "")
        if name in archives:
            server.files[f"{name}.{kind}"] = archives[name]
            row["address"] = server.address(f"{name}.{kind}")
            row["size"] = str(len(archives[name]))
            if hash_kind := CHECKSUMS.get(name):
                row["checksum_kind"] = hash_kind
                row["checksum"] = hashlib.new(hash_kind, archives[name]).hexdigest()
        lines.append("\t".join(row[c] for c in COLUMNS))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_config(path: Path, sources: Path, downloads: Path, **changes) -> Path:
    """The paper's configuration at toy size: only sizes, the model and the addresses differ."""
    config = {
        "experiment": "paper",
        "models": ["test"],
        "paths": {"downloads": str(downloads), "sources": str(sources)},
        "dataset": {"partition_files": 8},
        "queries": {"count": 4, "partition_tracks": 3},
        "fingerprints": {"partition_tracks": 4, "batch": 32},
        "evaluation": {"resamples": 100},
    }
    for section, values in changes.items():
        known = config.get(section)
        config[section] = {**known, **values} if isinstance(known, dict) else values
    path.write_text(yaml.safe_dump(config))
    return path


def archive_of_the_paper() -> bytes:
    """neural-music-fp-dataset.tar.xz: chunks, tracks, degraded cuts with their boundaries, degradations."""
    files = {f"music/train/{fma_name(n)}.wav": wav(tune(n, 30, 8000)) for n in TRAINING}
    for n in (*QUERIES, *DATABASE):
        track = tune(n, 40, 8000)
        start = 1000 * (n % 7) + 123
        buffer = io.BytesIO()
        np.save(buffer, np.array([start, start + 240_000]))
        cut = track[start : start + 240_000] + 0.02 * np.random.default_rng(n).standard_normal(240_000)
        files[f"music/test/database/{fma_name(n)}.wav"] = wav(track)
        files[f"music/test/queries/clean-time_shifted-degraded/{fma_name(n)}.wav"] = wav(cut)
        files[f"music/test/queries/clean-time_shifted-degraded/{fma_name(n)}.npy"] = buffer.getvalue()
    noise = 0.1 * np.random.default_rng(0).standard_normal(32_000)
    for side in ("train", "test"):
        files[f"degradation/bg_noise/{side}/tut/{side}.wav"] = wav(noise)
        files[f"degradation/room_ir/{side}/MIT/{side}.wav"] = wav(decay(len(side), 0.3, 8000))
        files[f"degradation/microphone_ir/{side}/AKGD12/{side}.wav"] = wav(decay(9 + len(side), 0.05, 8000))
    files["degradation/room_ir/train/OPENAIR/york-minster/b.wav"] = wav(decay(3, 0.3, 8000))
    return tar_xz({f"neural-music-fp-dataset/{name}": content for name, content in files.items()})
