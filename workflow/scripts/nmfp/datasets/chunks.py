"""Training audio in one memmap: chunks of 30 s; and the recordings that degrade it, one after another."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from nmfp.audio.wav import read_wav
from nmfp.files import atomic, generator, progress, write_csv
from nmfp.segments import SAMPLE_RATE

CHUNK_SAMPLES = 30 * SAMPLE_RATE
# A shorter rest of a track is mostly padding.
SHORTEST_REST = 10 * SAMPLE_RATE
BLOCK_SAMPLES = 60 * SAMPLE_RATE
CHUNK_COLUMNS = ["chunk", "id", "start_sample", "samples"]
PACKED_COLUMNS = ["id", "start_sample", "samples"]


class Chunk(NamedTuple):
    """Part of a track: first sample and how many are real; the rest of CHUNK_SAMPLES is zero."""

    start_sample: int
    samples: int


def places(samples: int) -> list[Chunk]:
    """The chunks of a track, end to end; a rest below 10 s counts only where it is all there is."""
    whole = [Chunk(start, CHUNK_SAMPLES) for start in range(0, samples - CHUNK_SAMPLES + 1, CHUNK_SAMPLES)]
    rest = samples - len(whole) * CHUNK_SAMPLES
    if rest >= SHORTEST_REST or (rest and not whole):
        whole.append(Chunk(len(whole) * CHUNK_SAMPLES, rest))
    return whole


def choose(samples: int, count: int | None, seed: int, name: str) -> list[Chunk]:
    """The chunks of a track that are trained on: all (None), or `count` of them drawn by seed and id.

    Whole chunks come before a padded one.
    """
    chunks = places(samples)
    if count is None or count >= len(chunks):
        return chunks
    whole = [chunk for chunk in chunks if chunk.samples == CHUNK_SAMPLES]
    chosen = generator(seed, "chunks", name).permutation(len(whole))[:count]
    return [whole[i] for i in sorted(chosen)]


def pack_chunks(
    tracks: pd.DataFrame, audio: str | Path, table: str | Path, count: int | None, seed: int
) -> pd.DataFrame:
    """Write the chunks of all tracks: `audio`, int16 (chunks, CHUNK_SAMPLES), and `table` (CHUNK_COLUMNS).

    Args:
        tracks: columns `id, path, samples`, `path` an 8 kHz WAV.
        count: chunks a track; None for all.

    Raises:
        AudioError: a WAV is missing or not ours.
    """
    rows = [
        (track.id, track.path, chunk)
        for track in tracks.itertuples()
        for chunk in choose(int(track.samples), count, seed, track.id)
    ]
    with atomic(audio) as temporary:
        packed = _create(temporary, (len(rows), CHUNK_SAMPLES))
        for k, (_, path, chunk) in enumerate(progress(rows, unit="chunk", label="pack chunks")):
            packed[k, : chunk.samples] = read_wav(
                path, chunk.start_sample, chunk.start_sample + chunk.samples
            )
        _close(packed)
    chunks = pd.DataFrame(
        [(k, name, *chunk) for k, (name, _, chunk) in enumerate(rows)], columns=CHUNK_COLUMNS
    )
    write_csv(table, chunks)
    return chunks


def pack_recordings(tracks: pd.DataFrame, audio: str | Path, table: str | Path) -> pd.DataFrame:
    """Write recordings one after another: `audio`, int16 (samples,), and `table` (PACKED_COLUMNS).

    Args:
        tracks: columns `id, path, samples`, `path` an 8 kHz WAV.

    Raises:
        AudioError: a WAV is missing or not ours.
    """
    lengths = tracks["samples"].astype(int).tolist()
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(int).tolist()
    with atomic(audio) as temporary:
        packed = _create(temporary, (starts[-1],))
        for start, length, path in zip(starts, lengths, tracks["path"], strict=False):
            for offset in range(0, length, BLOCK_SAMPLES):
                stop = min(offset + BLOCK_SAMPLES, length)
                packed[start + offset : start + stop] = read_wav(path, offset, stop)
        _close(packed)
    packed_table = pd.DataFrame(
        list(zip(tracks["id"], starts, lengths, strict=False)), columns=PACKED_COLUMNS
    )
    write_csv(table, packed_table)
    return packed_table


def _create(path: Path, shape: Sequence[int]) -> np.ndarray:
    """A .npy of zeros as a writable memmap; one without a sample cannot be mapped and is written at once."""
    if 0 in shape:
        with path.open("wb") as f:
            np.lib.format.write_array(f, np.zeros(shape, np.int16), allow_pickle=False)
        return np.zeros(shape, np.int16)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=tuple(shape))


def _close(packed: np.ndarray) -> None:
    if isinstance(packed, np.memmap):
        packed.flush()
