"""The database of fingerprints on disk: one .npy memmap, a flag a row, a table of tracks, and what made them.

A folder `fingerprints/<model>/<corpus>/` (docs/formats.md) holds database.npy, silent.npy, tracks.csv and
database.json. Rows of all tracks stand one after another in the order in which the tracks came; rows are
counted from 0 and ranges exclude their end.
"""

import contextlib
import errno
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nmfp.errors import NmfpError
from nmfp.files import read_csv, read_json

TRACK_COLUMNS = ["id", "row_start", "row_end", "samples", "sha256", "status", "reason"]
INFO_KEYS = ("rows", "dimension", "dtype", "model", "model_digest", "hop_samples", "tracks", "sha256")
DTYPES = ("float32", "float16")
NORM_TOLERANCE = 1e-3
# What numpy raises on .npy files that are damaged or that somebody made to be (found by fuzzing)
NPY_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    TypeError,
    OverflowError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
)


@dataclass(frozen=True)
class Fingerprints:
    """An opened database.

    Attributes:
        folder: where it lies.
        vectors: (rows, dimension) float32 or float16, read-only memmap, each row of unit length.
        silent: (rows,) bool: below -60 dBFS, or of a track that has been removed since; such rows take no
            part in identification.
        tracks: columns of `TRACK_COLUMNS`, ok tracks only, by row_start. Rows of removed tracks lie between
            the ranges of other tracks until the next compaction and belong to none.
        info: database.json.
    """

    folder: Path
    vectors: np.ndarray
    silent: np.ndarray
    tracks: pd.DataFrame
    info: dict


def open_fingerprints(folder: str | Path) -> Fingerprints:
    """Open a merged database for reading; costs no memory that grows with its vectors.

    Raises:
        NmfpError: a file is missing or unreadable, or the four do not belong together.
    """
    folder = Path(folder)
    info = read_info(folder / "database.json", INFO_KEYS)
    rows, dimension = info["rows"], info["dimension"]
    if not all(type(info[key]) is int for key in ("rows", "dimension", "tracks", "hop_samples")):
        raise NmfpError(
            f"{folder / 'database.json'} is damaged: its counts are no whole numbers; make it again."
        )
    if info["dtype"] not in DTYPES:
        raise NmfpError(
            f"{folder / 'database.json'}: dtype is {info['dtype']!r}; known are {', '.join(DTYPES)}."
        )
    vectors = load_array(folder / "database.npy", (rows, dimension), info["dtype"])
    silent = np.asarray(load_array(folder / "silent.npy", (rows,), "bool"))
    tracks = read_csv(folder / "tracks.csv", TRACK_COLUMNS, text=("id", "sha256", "status", "reason"))
    check_ranges(tracks, rows, folder / "tracks.csv")
    if len(tracks) != info["tracks"]:
        raise NmfpError(
            f"{folder / 'tracks.csv'} lists {len(tracks)} tracks and database.json counts {info['tracks']}; "
            "merge the partitions again."
        )
    return Fingerprints(folder, vectors, silent, tracks, info)


def remedy(path: str | Path) -> str:
    """What to do about a damaged file of a database: only what the workflow makes again may be deleted."""
    generation = Path(path).resolve().parent
    if generation.parent.name != "generations":
        return "delete it and run again"
    return (
        "it is part of a database: restore it from a copy, or make the whole again "
        f"(`nmfp database verify {generation.parents[1]}` says how)"
    )


def read_info(path: Path, keys: tuple[str, ...]) -> dict:
    """Read database.json or a partition's .json and check that `keys` are there.

    Raises:
        NmfpError: the file is missing, no JSON object, or lacks a key.
    """
    info = read_json(path, remedy(path))
    missing = [key for key in keys if key not in info]
    if missing:
        raise NmfpError(f"{path} lacks {', '.join(missing)}; {remedy(path)}.")
    return info


def load_array(path: Path, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Memory-map a .npy file and insist on its shape and type.

    Raises:
        NmfpError: missing, truncated, not .npy, or of another shape or type.
    """
    try:
        array = open_npy(path)
    except FileNotFoundError:
        raise NmfpError(f"{path} does not exist.") from None
    except NPY_ERRORS as error:
        raise NmfpError(f"{path} is damaged ({npy_problem(path, error)}); {remedy(path)}.") from None
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise NmfpError(
            f"{path} holds {array.dtype} {array.shape} and its .json says {dtype} {shape}; {remedy(path)}."
        )
    return array


def check_ranges(tracks: pd.DataFrame, rows: int, path: Path) -> None:
    """Insist that row ranges are ascending, disjoint and inside [0, rows].

    Raises:
        NmfpError: they are not; names the file and the first track at fault.
    """
    try:
        start, end = tracks["row_start"].to_numpy(np.int64), tracks["row_end"].to_numpy(np.int64)
    except (ValueError, TypeError, OverflowError):
        raise NmfpError(f"{path}: row_start and row_end must be whole numbers; {remedy(path)}.") from None
    before = np.concatenate([[0], end[:-1]])
    wrong = np.flatnonzero((start < before) | (end < start) | (end > rows))
    if wrong.size:
        raise NmfpError(
            f"{path}: rows {start[wrong[0]]} to {end[wrong[0]]} of track {tracks['id'].iloc[wrong[0]]!r} "
            f"overlap another track or leave the {rows} rows of the array; {remedy(path)}."
        )


def unit_length(vectors: np.ndarray) -> bool:
    """Whether all rows (n, d) are finite and of length 1."""
    norms = np.linalg.norm(vectors.astype(np.float32, copy=False), axis=1)
    return bool(np.all(np.abs(norms - 1) < NORM_TOLERANCE))  # a NaN or infinity fails the comparison


def open_npy(path: str | Path) -> np.ndarray:
    """The array in a .npy file, memory-mapped; a zip or a pickle, which numpy.load would look into, is none.

    Raises:
        one of NPY_ERRORS.
    """
    return np.lib.format.open_memmap(path, mode="r")


def npy_problem(path: Path, error: Exception) -> str:
    """What is wrong with a file that numpy cannot read as .npy, in a few words."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    with path.open("rb") as f:
        if f.read(6) != b"\x93NUMPY":
            return "it is no .npy file"
    return " ".join(str(error).split())


@contextlib.contextmanager
def full_disk_explained(path: str | Path) -> Iterator[None]:
    """Turn "no space left on device" inside the block into a sentence; other errors pass.

    Raises:
        NmfpError: the disk that holds `path` is full, or a quota is used up.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise NmfpError(
            f"{path} cannot be written ({error.strerror}); free space and run again: finished work is kept."
        ) from error
