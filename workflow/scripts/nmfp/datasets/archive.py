"""The paper's own archive (Zenodo 15736620): chunks, queries already degraded and cut, their tracks, degradations."""

from pathlib import Path

import numpy as np
import pandas as pd

from nmfp.audio.wav import read_wav, write_wav
from nmfp.datasets.columns import PROVENANCE_COLUMNS, ListedFile
from nmfp.datasets.conversion import wav_path
from nmfp.datasets.fma import find_audio
from nmfp.errors import NmfpError
from nmfp.files import progress, sha256_file
from nmfp.segments import seconds_to_samples

QUERIES = "music/test/queries/clean-time_shifted-degraded"
DEGRADATION_FOLDERS = {"noise": "bg_noise", "room": "room_ir", "microphone": "microphone_ir"}


def find_root(folder: str | Path) -> Path:
    """The folder that holds `music` and `degradation`.

    Raises:
        NmfpError: there is none.
    """
    for candidate in (Path(folder), *sorted(p for p in Path(folder).iterdir() if p.is_dir())):
        if (candidate / "music").is_dir() and (candidate / "degradation").is_dir():
            return candidate
    raise NmfpError(f"{folder} holds no folder with music and degradation; is the archive unpacked whole?")


def list_music(folder: str | Path) -> pd.DataFrame:
    """Training chunks (role train) and the queries' whole tracks (role query: each is asked for)."""
    root = find_root(folder)
    rows = []
    for below, role in (("music/train", "train"), ("music/test/database", "query")):
        paths = find_audio(root / below, ".wav") if (root / below).is_dir() else []
        if not paths:
            raise NmfpError(f"{root / below} holds no .wav file; is the archive unpacked whole?")
        rows += [(p.relative_to(root / "music").as_posix(), str(p), role, "") for p in paths]
    return pd.DataFrame(rows, columns=ListedFile._fields)


def count_music(folder: str | Path) -> dict[str, tuple[str, int]]:
    """What the archive's music consists of: the key in sources.tsv and the number of .wav files."""
    root = find_root(folder)
    parts = {
        "training chunks": ("train", "music/train"),
        "degraded queries": ("queries", QUERIES),
        "tracks of queries": ("queries", "music/test/database"),
    }
    return {what: (key, len(find_audio(root / below, ".wav"))) for what, (key, below) in parts.items()}


def list_degradations(folder: str | Path, degradation: str) -> list[ListedFile]:
    """Noise, room or microphone recordings; the archive splits them itself."""
    base = find_root(folder) / "degradation" / DEGRADATION_FOLDERS[degradation]
    rows = []
    for role in ("train", "test"):
        paths = find_audio(base / role, ".wav") if (base / role).is_dir() else []
        if not paths:
            raise NmfpError(f"{base / role} holds no .wav file; is the archive unpacked whole?")
        rows += [ListedFile(p.relative_to(base).as_posix(), str(p), role) for p in paths]
    return rows


def query_cuts(folder: str | Path, tracks: pd.DataFrame, seconds: float) -> pd.DataFrame:
    """The archive's degraded cuts with their place in the track.

    Args:
        tracks: the queries' whole tracks (`id, samples`), ids ending in 000/000002.wav.
        seconds: length of a cut.

    Returns:
        `track_id, path, start_sample, samples`, one row a cut, in the order of the tracks.

    Raises:
        NmfpError: a cut without track, without boundary, or with one that lies outside its track.
    """
    base = find_root(folder) / QUERIES
    by_stem = {
        Path(name).stem: (name, samples)
        for name, samples in zip(tracks["id"], tracks["samples"], strict=True)
    }
    length = seconds_to_samples(seconds)
    rows = {}
    for path in find_audio(base, ".wav") if base.is_dir() else []:
        if path.stem not in by_stem:
            continue  # its track was left out (silent, broken or a duplicate): the failures table says why
        name, samples = by_stem[path.stem]
        start, stop = _boundary(path.with_suffix(".npy"))
        if stop - start != length or start < 0 or stop > samples:
            raise NmfpError(
                f"{path.with_suffix('.npy')} says samples {start} to {stop}, which is no cut of {seconds:g} s"
                f" in a track of {samples} samples."
            )
        rows[name] = (name, str(path), start, length)
    if not rows:
        raise NmfpError(f"{base} holds no cut of a track in music/test/database; is it unpacked whole?")
    ordered = [rows[name] for name in tracks["id"] if name in rows]
    return pd.DataFrame(ordered, columns=["track_id", "path", "start_sample", "samples"])


def _boundary(path: Path) -> tuple[int, int]:
    try:
        start, stop = np.load(path, allow_pickle=False).reshape(-1).tolist()
    except (OSError, ValueError) as error:
        raise NmfpError(f"{path} holds no boundary, a start and an end sample ({error}).") from None
    return int(start), int(stop)


def write_clean_cuts(cuts: pd.DataFrame, tracks: pd.DataFrame, folder: str | Path) -> list[Path]:
    """Cut the clean excerpts out of the tracks; returns the WAVs, in the order of `cuts`."""
    path_of = dict(zip(tracks["id"], tracks["path"], strict=True))
    targets = []
    for cut in progress(cuts.itertuples(), total=len(cuts), unit="query", label="clean queries"):
        target = wav_path(Path(folder), f"{cut.track_id}~1")
        write_wav(target, read_wav(path_of[cut.track_id], cut.start_sample, cut.start_sample + cut.samples))
        targets.append(target)
    return targets


def query_tables(cuts: pd.DataFrame, clean: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Provenance, and the tables of the degraded and the clean queries (docs/formats.md).

    Both starts are that of the shifted cut, the only one that the archive tells.
    """
    ids = cuts["track_id"] + "~1"
    provenance = pd.DataFrame(
        {
            "id": ids,
            "track_id": cuts["track_id"],
            "start_sample": cuts["start_sample"],
            "start_sample_shifted": cuts["start_sample"],
            "samples": cuts["samples"],
        }
    ).reindex(columns=PROVENANCE_COLUMNS)
    tables = [
        pd.DataFrame(
            {
                "id": ids,
                "path": [str(p) for p in paths],
                "role": role,
                "samples": cuts["samples"],
                "sha256": [sha256_file(p) for p in paths],
                "status": "ok",
                "reason": "",
            }
        )
        for role, paths in (("degraded_shifted", cuts["path"]), ("clean_shifted", clean))
    ]
    return provenance, *tables
