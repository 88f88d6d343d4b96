"""A batch of source files becomes 8 kHz WAVs and a table; what is broken becomes a row with its reason."""

import contextlib
import shutil
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath

import pandas as pd

from nmfp.audio.decoder import AudioError, read_header
from nmfp.audio.sox import convert_with_sox
from nmfp.datasets.columns import AUDIO_COLUMNS
from nmfp.datasets.journal import Journal
from nmfp.datasets.partitions import forget
from nmfp.datasets.splits import file_id
from nmfp.errors import NmfpError
from nmfp.files import digest, progress, read_csv, sha256_file
from nmfp.segments import SAMPLE_RATE, SEGMENT_SAMPLES

LONGEST_NAME = 200
ABANDONED_SECONDS = 24 * 3600
FULL_DISK_BYTES = 16 * 2**20


def convert_batch(
    files: pd.DataFrame, folder: str | Path, journal: Journal, split_channels: bool, threads: int, label: str
) -> pd.DataFrame:
    """Convert files side by side, those finished before only once.

    Args:
        files: columns `id, path, role`.
        folder: the WAVs go to `folder`/<id>.wav.
        journal: finished files with the SHA-256 of source and result.
        split_channels: one mono file a channel (responses) instead of their average.

    Returns:
        Columns `AUDIO_COLUMNS`, in the order of `files` whatever the number of threads.

    Raises:
        NmfpError: SoX is missing or the disk is full; broken audio is a row instead.
    """
    rows: dict[str, list[list]] = {}
    Path(folder).mkdir(parents=True, exist_ok=True)
    for place in {wav_path(Path(folder), name).parent for name in files["id"]}:
        _sweep(place)
    with ThreadPoolExecutor(threads) as pool:
        futures = {
            pool.submit(
                _convert_file, file.id, file.path, Path(folder), journal.get(file.id), split_channels
            ): file
            for file in files.itertuples()
        }
        try:
            for future in progress(as_completed(futures), total=len(futures), unit="file", label=label):
                file = futures[future]
                record, fresh = future.result()
                rows[file.id] = [[*row[:2], file.role, *row[2:]] for row in record["rows"]]
                if fresh and record["wavs"]:
                    journal.add(file.id, record)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return pd.DataFrame([row for name in files["id"] for row in rows[name]], columns=AUDIO_COLUMNS)


def wav_path(folder: Path, name: str) -> Path:
    """Where the WAV of an id goes; different ids never share a place.

    Raises:
        NmfpError: the id leads out of the folder.
    """
    parts = PurePosixPath(f"{name}.wav").parts
    if ".." in parts or parts[0] == "/":
        raise NmfpError(
            f"The id {name!r} leads out of its folder; ids are paths below the collection's folder."
        )
    return folder.joinpath(*(_short(part) for part in parts))


def remove_wavs(collection: Path) -> tuple[int, int]:
    """Delete the WAVs of a collection's files that are listed no more; returns how many, and their bytes.

    Args:
        collection: folder data/<collection>, with files.csv, converted/ and audio/. WAVs of listed files stay, those
            of duplicates too: they are needed when the file that they repeat goes.
    """
    files = read_csv(
        collection / "files.csv", ["id", "path", "role", "reason"], text=("id", "path", "reason", "state")
    )
    if "state" not in files:
        return 0, 0  # published collections do not change
    listed, wavs = set(files["id"]), {}
    for table in sorted((collection / "converted").glob("*.csv")):
        rows = read_csv(table, AUDIO_COLUMNS, text=("id", "path", "reason", "role", "sha256", "status"))
        for row in rows[rows["status"] == "ok"].itertuples():
            wavs[row.path] = file_id(row.id) in listed
    forget(collection / "batches.registry.csv", files)
    count = size = 0
    for path in (Path(path) for path, needed in wavs.items() if not needed):
        if path.is_file() and path.resolve().is_relative_to((collection / "audio").resolve()):
            count, size = count + 1, size + path.stat().st_size
            path.unlink()
    return count, size


def _sweep(folder: Path) -> None:
    """Remove what a killed job left half-written, long enough ago that no living job can still be at it."""
    if not folder.is_dir():
        return
    for entry in folder.glob(".part-*"):
        with contextlib.suppress(FileNotFoundError):  # another batch sweeps too
            if time.time() - entry.lstat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _short(part: str) -> str:
    """A name that a file system takes, even with .wav behind a name that was as long as it may be."""
    if len(part.encode()) <= LONGEST_NAME:
        return part
    return part.encode()[: LONGEST_NAME - 30].decode(errors="ignore") + "~" + digest(part) + ".wav"


def _convert_file(
    name: str, path: str, folder: Path, before: dict | None, split_channels: bool
) -> tuple[dict, bool]:
    """One file's record (rows of `id, path, samples, sha256, status, reason` and WAV digests), and if it is new."""
    source_hash = ""
    try:
        source_hash = sha256_file(path)
        if before and before["source"] == source_hash and _still_there(before["wavs"]):
            return before, False
        channels = read_header(path).channels if split_channels else 1
    except AudioError as error:
        return _failed(name, source_hash, error.reason), True
    except OSError as error:
        return _failed(name, source_hash, error.strerror or type(error).__name__), True
    record = {"source": source_hash, "rows": [], "wavs": {}}
    for channel in range(1, channels + 1):
        own_name = f"{name}#{channel}" if channels > 1 else name
        target = wav_path(folder, own_name)
        try:
            samples = convert_with_sox(path, target, channel if split_channels else None, not split_channels)
            _check_length(path, samples, split_channels, target)
        except AudioError as error:
            _check_disk(folder)
            record["rows"] += _failed(own_name, source_hash, error.reason)["rows"]
            continue
        record["rows"].append([own_name, str(target), samples, source_hash, "ok", ""])
        record["wavs"][str(target)] = sha256_file(target)
    return record, True


def _check_length(path: str, samples: int, is_response: bool, target: Path) -> None:
    """Music and noise must fill a segment; a microphone's response is a few milliseconds long."""
    if samples < (1 if is_response else SEGMENT_SAMPLES):
        target.unlink()
        raise AudioError(path, f"too short, {samples / SAMPLE_RATE:.2f} s of at least 1 s")


def _failed(name: str, source_hash: str, reason: str) -> dict:
    return {"source": source_hash, "rows": [[name, "", 0, source_hash, "failed", reason]], "wavs": {}}


def _still_there(wavs: dict[str, str]) -> bool:
    return all(Path(path).is_file() and sha256_file(path) == expected for path, expected in wavs.items())


def _check_disk(folder: Path) -> None:
    """SoX does not say that a disk is full; a full one is the run's end, not a file's fault."""
    if shutil.disk_usage(folder).free < FULL_DISK_BYTES:
        raise NmfpError(f"The disk of {folder} is full; make room and run again, finished files are kept.")
