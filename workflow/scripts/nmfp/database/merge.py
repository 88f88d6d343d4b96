"""Partitions become one database: sum the rows, allocate once, copy in order, verify.

Plain reads and writes in blocks, not memory maps: mapped pages count as memory of the process, and the
database may be many times larger than the memory. Everything grows in a work folder on the same disk, each
finished partition is noted with the digest of its bytes, and only the complete, verified files take their
final names: a killed or failed merge leaves the earlier database, and the next one goes on where it was.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from nmfp.database.fingerprints import (
    DTYPES,
    TRACK_COLUMNS,
    check_ranges,
    full_disk_explained,
    load_array,
    read_info,
    unit_length,
)
from nmfp.errors import NmfpError
from nmfp.files import digest, progress, read_csv, write_csv, write_json, write_npy

log = logging.getLogger("nmfp")

BLOCK_BYTES = 1 << 22
PARTITION_KEYS = ("rows", "dimension", "model", "model_digest", "hop_samples", "sha256")
TEXT = ("id", "sha256", "status", "reason")
# Files of a database in the order in which they take their
# names: the one that describes the others comes last
NAMES = {
    "silent": "silent.npy",
    "tracks": "tracks.csv",
    "failures": "failures.csv",
    "fingerprints": "database.npy",
    "info": "database.json",
}
# Folder in the work folder with the database that was finished last
LAST = "last"


@dataclass(frozen=True)
class Partition:
    """One extracted partition: where its array and flags lie, its table, what its json says."""

    fingerprints: Path
    silent: Path
    table: pd.DataFrame
    info: dict

    @property
    def name(self) -> str:
        """The number of the partition's files."""
        return self.fingerprints.stem


def read_partitions(
    fingerprints: Sequence[str | Path], model_digest: str, dimension: int, hop: int
) -> list[Partition]:
    """Open NNNN.npy with the .silent.npy, .csv and .json beside each, and insist that they belong together.

    Raises:
        NmfpError: a partition is missing, damaged, or of another model, dimension or hop; names its file.
    """
    partitions = []
    for path in map(Path, fingerprints):
        info = read_info(path.with_suffix(".json"), PARTITION_KEYS)
        for key, wanted in (("model_digest", model_digest), ("dimension", dimension), ("hop_samples", hop)):
            if info[key] != wanted:
                raise NmfpError(
                    f"{path} was made with {key} {info[key]} and this database has {wanted}; "
                    "delete that partition and extract it again."
                )
        table = read_csv(path.with_suffix(".csv"), TRACK_COLUMNS, text=TEXT)
        check_ranges(table, info["rows"], path.with_suffix(".csv"))
        if (table["row_end"] - table["row_start"]).sum() != info["rows"]:
            raise NmfpError(f"{path} has rows that belong to no track; delete it and extract it again.")
        load_array(path, (info["rows"], dimension), "float32")
        silent = path.with_suffix(".silent.npy")
        load_array(silent, (info["rows"],), "bool")
        partitions.append(Partition(path, silent, table, info))
    return partitions


def join_tables(partitions: list[Partition], alive: pd.DataFrame | None) -> pd.DataFrame:
    """All tables one after another with rows counted through the database; what is gone has status "removed".

    Args:
        alive: columns id, sha256 of the tracks that still exist; None keeps all. A track whose file has
            another SHA-256 by now is gone as well: its new content stands in a later partition.

    Raises:
        NmfpError: a track stands in two partitions.
    """
    first_rows = np.concatenate([[0], np.cumsum([p.info["rows"] for p in partitions])]).astype(np.int64)
    tables = [
        p.table.assign(row_start=p.table["row_start"] + first, row_end=p.table["row_end"] + first)
        for p, first in zip(partitions, first_rows[:-1], strict=True)
    ]
    columns = {name: str if name in TEXT else "int64" for name in TRACK_COLUMNS}
    joined = pd.concat([pd.DataFrame(columns=TRACK_COLUMNS).astype(columns), *tables], ignore_index=True)
    joined = joined[TRACK_COLUMNS]
    if alive is not None:
        keys = pd.MultiIndex.from_frame(alive[["id", "sha256"]])
        gone = ~pd.MultiIndex.from_frame(joined[["id", "sha256"]]).isin(keys)
        joined.loc[gone, "status"] = "removed"
    present = joined["id"][joined["status"] != "removed"]
    if present.duplicated().any():
        raise NmfpError(
            f"the track {present[present.duplicated()].iloc[0]!r} stands in two partitions; "
            "delete the folder partitions and extract again."
        )
    return joined


def merge(
    partitions: list[Partition],
    tracks: pd.DataFrame,
    outputs: dict[str, Path],
    work: Path,
    model: dict,
    dtype: str = "float32",
) -> dict:
    """Write database.npy, silent.npy, tracks.csv, failures.csv and, last, database.json; return the last one's content.

    Args:
        partitions: in the order of their rows.
        tracks: from `join_tables`.
        outputs: paths by the keys fingerprints, silent, tracks, failures, info.
        work: folder for unfinished work, on the same disk as the outputs; the finished database has a
            second name in its folder `last`.
        model: the keys model, model_digest, dimension, hop_samples.
        dtype: float32, or float16 for half the size.

    Raises:
        NmfpError: a partition's bytes are not those of its digest, the disk is full, or what was written
            does not read back the same.
    """
    if dtype not in DTYPES:
        raise NmfpError(f"fingerprints.dtype: {dtype!r} is none of {', '.join(DTYPES)}.")
    rows = sum(p.info["rows"] for p in partitions)
    removed = tracks["status"] == "removed"
    ok = tracks[tracks["status"] == "ok"]
    folder = work / digest(dtype, model, [p.info["sha256"] for p in partitions])
    _clear(work, keep=folder)
    with full_disk_explained(outputs["fingerprints"]):
        folder.mkdir(parents=True, exist_ok=True)
        sha256 = _copy_all(partitions, folder, (rows, model["dimension"]), dtype)
        silent = np.concatenate([np.zeros(0, bool), *(np.load(p.silent) for p in partitions)])
        for start, end in tracks.loc[removed, ["row_start", "row_end"]].itertuples(index=False):
            silent[start:end] = True
        info = {
            "rows": rows,
            "dimension": model["dimension"],
            "dtype": dtype,
            "model": model["model"],
            "model_digest": model["model_digest"],
            "hop_samples": model["hop_samples"],
            "tracks": len(ok),
            "sha256": sha256,
            "removed_rows": int((tracks["row_end"] - tracks["row_start"])[removed].sum()),
            "partitions": [{key: p.info[key] for key in ("rows", "sha256")} for p in partitions],
        }
        write_npy(folder / "silent.npy", silent)
        write_csv(folder / "tracks.csv", ok)
        write_csv(folder / "failures.csv", tracks[tracks["status"] == "failed"])
        write_json(folder / "database.json", info)
        # all five are on the disk: from here on a full one cannot stop half-way
        for key, name in NAMES.items():
            outputs[key].parent.mkdir(parents=True, exist_ok=True)
            (folder / name).replace(outputs[key])
    _clear(work, keep=work / LAST)
    _keep(outputs, work / LAST)
    return info


def _clear(work: Path, keep: Path) -> None:
    """Remove unfinished work for other partitions than these."""
    for folder in work.glob("*"):
        if folder not in (keep, work / LAST):
            shutil.rmtree(folder)


def _keep(outputs: dict[str, Path], last: Path) -> None:
    """Give the finished files a second name, without a copy: Snakemake deletes a rule's outputs before it runs.

    When the next merge fails, the earlier database is still there, in `last`, to be searched.
    """
    shutil.rmtree(last, ignore_errors=True)
    last.mkdir(parents=True)
    try:
        for key, name in NAMES.items():
            os.link(outputs[key], last / name)
    except OSError as error:
        log.info("no second name for the finished database on this file system (%s)", error.strerror)
        shutil.rmtree(last)


def _copy_all(partitions: list[Partition], folder: Path, shape: tuple[int, int], dtype: str) -> str:
    """Fill folder/database.npy, skipping what is there already; return the SHA-256 of its array's bytes."""
    path, notes = folder / "database.npy", folder / "copied.txt"
    row_bytes = shape[1] * np.dtype(dtype).itemsize
    sizes = [p.info["rows"] * row_bytes for p in partitions]
    with path.open("r+b" if path.exists() else "w+b") as target, notes.open("a+b") as noted:
        offset = _allocate(target, shape, dtype)
        starts = offset + np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        copied = _read_notes(noted)
        for _ in range(2):
            missing = [n for n in range(len(partitions)) if n not in copied]
            for n in progress(missing, unit=" partitions", label="merge"):
                target.seek(starts[n])
                copied[n] = _copy(partitions[n], target, dtype)
                target.flush()
                os.fsync(target.fileno())
                noted.write(f"{n} {copied[n]}\n".encode())
                noted.flush()
                os.fsync(noted.fileno())
            total, wrong = _verify(target, offset, sizes, copied)
            if not wrong:
                return total
            # notes of a killed merge may speak of bytes that a power cut lost
            log.warning("%s: %d partitions do not read back as written; copying them again", path, len(wrong))
            for n in wrong:
                del copied[n]
    raise NmfpError(f"{path} does not read back as it was written; check the disk.")


def _allocate(target: BinaryIO, shape: tuple[int, int], dtype: str) -> int:
    """Write the header of a .npy file and reserve the disk for its array; return where the array begins."""
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    target.seek(0)
    np.lib.format.write_array_header_1_0(target, header)
    target.flush()
    offset = target.tell()
    size = offset + shape[0] * shape[1] * np.dtype(dtype).itemsize
    os.posix_fallocate(target.fileno(), 0, size)  # a disk that is too small says so now and not after hours
    return offset


def _read_notes(noted: BinaryIO) -> dict[int, str]:
    """Digest of each partition that is copied, by its number; a line torn by a kill does not count."""
    noted.seek(0)
    words = [line.decode().split() for line in noted if line.endswith(b"\n")]
    noted.write(b"\n")  # what comes next must not stick to a torn line
    return {int(w[0]): w[1] for w in words if len(w) == 2 and w[0].isdecimal() and len(w[1]) == 64}


def _copy(partition: Partition, target: BinaryIO, dtype: str) -> str:
    """Append a partition's array to `target` in blocks; return the SHA-256 of the bytes written."""
    rows, dimension = partition.info["rows"], partition.info["dimension"]
    source = load_array(partition.fingerprints, (rows, dimension), "float32")
    read, written = hashlib.sha256(), hashlib.sha256()
    with partition.fingerprints.open("rb") as f:
        f.seek(getattr(source, "offset", 0))  # an empty array is no memmap
        for block in _blocks(f, rows * dimension * 4, dimension * 4):
            read.update(block)
            vectors = np.frombuffer(block, "<f4").reshape(-1, dimension)
            if not unit_length(vectors):
                raise NmfpError(
                    f"{partition.fingerprints} holds vectors that are not of length 1; "
                    "delete it and extract it again."
                )
            out = vectors.astype(dtype, copy=False).tobytes()
            written.update(out)
            target.write(out)
    if read.hexdigest() != partition.info["sha256"]:
        raise NmfpError(
            f"{partition.fingerprints} does not hold the bytes that its .json names; "
            "delete it and extract it again."
        )
    return written.hexdigest()


def _verify(target: BinaryIO, offset: int, sizes: list[int], copied: dict[int, str]) -> tuple[str, list[int]]:
    """Read all back: the SHA-256 of the whole array, and the partitions whose bytes are not as noted."""
    total = hashlib.sha256()
    wrong = []
    target.seek(offset)
    for n, size in enumerate(sizes):
        state = hashlib.sha256()
        for block in _blocks(target, size, 1):
            state.update(block)
            total.update(block)
        if state.hexdigest() != copied[n]:
            wrong.append(n)
    return total.hexdigest(), wrong


def _blocks(f: BinaryIO, size: int, unit: int) -> Iterator[bytes]:
    """The next `size` bytes of a file in blocks that are multiples of `unit`."""
    step = max(BLOCK_BYTES // unit, 1) * unit
    for start in range(0, size, step):
        yield f.read(min(step, size - start))
