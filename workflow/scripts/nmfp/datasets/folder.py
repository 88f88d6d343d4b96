"""A user's folder of recordings as a table of files."""

import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from nmfp.audio.decoder import AUDIO_SUFFIXES
from nmfp.datasets.columns import WatchedFile
from nmfp.errors import NmfpError

log = logging.getLogger("nmfp")


def list_folder(folder: str | Path | None, collection: str) -> pd.DataFrame:
    """Every audio file below the folder that a configuration names for a collection, as `list_audio` gives it.

    Raises:
        NmfpError: no folder is configured, it is missing, empty, or holds no audio.
    """
    key = f"dataset.folder.{collection}"
    if not folder:
        raise NmfpError(
            f"{key} is not set: write the path of a folder of audio files there in your configuration."
        )
    return list_audio(Path(folder), f"correct {key} in your configuration")


def check_counts(folders: dict, is_split: bool) -> None:
    """Refuse folders that hold fewer recordings than an experiment needs, before a step is taken.

    Args:
        folders: the section dataset.folder.
        is_split: whether music was shared out before; then the roles are given, and any number will do.

    Raises:
        NmfpError: names the folder's key, and what to do.
    """
    shares = {name: folders[f"{name}_share"] for name in ("training", "validation", "unknown")}
    corpora = [*(name for name, share in shares.items() if share > 0), "database"]
    needed = {"noise": 2, "room": 2, "microphone": 2} | ({} if is_split else {"music": len(corpora)})
    for collection, least in needed.items():
        folder = Path(folders[collection])
        files = (path for path in _walk(folder, {_identity(folder)}) if path.suffix.lower() in AUDIO_SUFFIXES)
        count = sum(1 for _ in itertools.islice(files, least))
        if count == 0:
            list_folder(folder, collection)  # says what is there instead
        if count < least:
            what, remedy = "training and queries", "add recordings"
            if collection == "music":
                what, remedy = ", ".join(corpora), "add music or set a share in dataset.folder to 0"
            raise NmfpError(
                f"dataset.folder.{collection}: {folder} holds {count} audio file(s), but {least} are needed, one for"
                f" each of {what}; {remedy}."
            )


def list_audio(root: Path, advice: str) -> pd.DataFrame:
    """Every audio file below a folder, sorted by id: columns of `WatchedFile` (docs/formats.md).

    The id is the path below the folder with its suffix. Hidden files and folders are left out; links are
    followed, a folder that contains itself by a link is visited once. Files whose name cannot be written in a
    table, and links to nothing, are rows with a reason.

    Args:
        advice: what to do about a wrong folder, for the sentence that says so.

    Raises:
        NmfpError: the folder is missing, empty, unreadable, or holds no audio.
    """
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise NmfpError(f"The folder {root} {what}; {advice}.")
    rows, others = [], 0
    for path in _walk(root, {_identity(root)}):
        if path.suffix.lower() not in AUDIO_SUFFIXES:
            others += 1
            continue
        rows.append(_row(path, root))
    if not rows and not others:
        raise NmfpError(f"The folder {root} is empty; put audio files there or {advice}.")
    if not rows:
        raise NmfpError(
            f"The folder {root} holds {others} files but no audio ({' '.join(sorted(AUDIO_SUFFIXES))}); "
            f"put audio there or {advice}."
        )
    if others:
        log.info("%s: %d audio files; %d other files are left out", root, len(rows), others)
    return pd.DataFrame(sorted(rows), columns=WatchedFile._fields)


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Files below a folder; `seen` are the folders entered before, so that no link leads in circles."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise NmfpError(
            f"The folder {folder} cannot be read ({error.strerror}); correct its permissions."
        ) from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            identity = _identity(entry)
            if identity in seen:
                log.warning("%s leads to a folder that was listed already; it is left out", entry)
                continue
            seen.add(identity)
            yield from _walk(entry, seen)
        elif entry.is_file() or entry.is_symlink():
            yield entry


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _row(path: Path, root: Path) -> WatchedFile:
    name = path.relative_to(root).as_posix()
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        printable = os.fsencode(name).decode("utf-8", errors="backslashreplace")
        return WatchedFile(printable, "", "any", "its name is not UTF-8; rename it")
    if not path.is_file():
        return WatchedFile(name, str(path), "any", "a link to nothing")
    status = path.stat()
    return WatchedFile(name, str(path), "any", state=f"{status.st_size} bytes, {status.st_mtime_ns} ns")
