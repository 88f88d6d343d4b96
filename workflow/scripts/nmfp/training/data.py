"""Packed audio as training reads it: int16 memmaps with a table each, and windows cut from them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from nmfp.errors import NmfpError
from nmfp.files import digest, read_csv, sha256_file

DEGRADATIONS = ("noise", "room", "microphone")


class Chunks(NamedTuple):
    """Training or validation chunks: int16 (chunks, samples) and their table (chunk, id, start_sample, samples)."""

    audio: np.ndarray
    table: pd.DataFrame


class Recordings(NamedTuple):
    """Noises or responses one after another: int16 (samples,), and where each starts and how long it is."""

    audio: np.ndarray
    starts: np.ndarray
    samples: np.ndarray


def _open(path: str | Path, dimensions: int) -> np.ndarray:
    try:
        audio = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise NmfpError(f"{path} does not exist.") from None
    except (ValueError, OSError, EOFError) as error:
        raise NmfpError(
            f"{path} cannot be read as a NumPy array ({error}); delete it and run again."
        ) from None
    if audio.dtype != np.int16 or audio.ndim != dimensions:
        raise NmfpError(
            f"{path} holds {audio.dtype} {audio.shape}, not int16 with {dimensions} dimension(s)."
        )
    return audio


def open_chunks(audio_path: str | Path, table_path: str | Path) -> Chunks:
    """Open audio.npy and chunks.csv.

    Raises:
        NmfpError: one is missing or broken, or they do not belong together.
    """
    audio, table = _open(audio_path, 2), read_csv(table_path, ["chunk", "id", "start_sample", "samples"])
    if len(table) != len(audio):
        raise NmfpError(
            f"{table_path} lists {len(table)} chunks, {audio_path} holds {len(audio)}; delete both and run "
            f"again."
        )
    return Chunks(audio, table)


def open_recordings(folder: str | Path, name: str) -> Recordings:
    """Open the recordings of one kind of degradation.

    Raises:
        NmfpError: a file is missing or broken, the table points outside the array, or it lists nothing.
    """
    audio_path, table_path = Path(folder) / f"{name}.npy", Path(folder) / f"{name}.csv"
    audio, table = _open(audio_path, 1), read_csv(table_path, ["id", "start_sample", "samples"])
    table = table[table["samples"] > 0]
    starts, samples = table["start_sample"].to_numpy(np.int64), table["samples"].to_numpy(np.int64)
    if not len(table):
        raise NmfpError(
            f"{table_path} lists no recordings, but degradation.{name} is on; give some or switch it off."
        )
    if (starts < 0).any() or (starts + samples > len(audio)).any():
        raise NmfpError(f"{table_path} points outside {audio_path}; delete both and run again.")
    return Recordings(audio, starts, samples)


def data_digest(*paths: str | Path) -> str:
    """Name of the content of these files, every byte."""
    return digest([sha256_file(path) for path in paths])


def cut_windows(audio: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Windows of one-dimensional audio, int16 (n, length), at `starts` (n,); zeros where one begins before
    the first sample.

    Windows must end inside the audio. Reads each as one run of memory, so a memmap costs one page run a window.
    """
    late = np.maximum(starts, 0)
    windows = np.lib.stride_tricks.sliding_window_view(audio, length)[late]
    early = np.flatnonzero(starts < 0)
    if early.size:
        position = np.arange(length) + starts[early, None]
        windows[early] = np.where(position >= 0, audio[np.maximum(position, 0)], 0)
    return windows


def cut_recordings(recordings: Recordings, which: np.ndarray, offsets: np.ndarray, length: int) -> np.ndarray:
    """Windows of recordings, int16 (n, length): those shorter than a window are repeated.

    Args:
        which: rows of the recordings (n,).
        offsets: first sample of each window in its recording (n,); at most samples - length where that is positive.
    """
    starts = recordings.starts[which] + offsets
    fits = offsets + length <= recordings.samples[which]
    windows = np.empty((len(which), length), np.int16)
    if fits.any():
        windows[fits] = cut_windows(recordings.audio, starts[fits], length)
    if not fits.all():
        short = which[~fits]
        position = (offsets[~fits, None] + np.arange(length)) % recordings.samples[short, None]
        windows[~fits] = recordings.audio[recordings.starts[short, None] + position]
    return windows
