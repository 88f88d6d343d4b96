"""Give back the room of removed tracks: partitions are written again without their rows.

A merge leaves the rows of removed tracks where they are, so that an index of them still fits; it flags them and
no answer names them. Compaction takes them out of the partitions; the next merge and fill are then smaller.
"""

import hashlib
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from nmfp.database.fingerprints import full_disk_explained
from nmfp.database.merge import Partition
from nmfp.files import write_csv, write_json, write_npy, write_text

log = logging.getLogger("nmfp")

SUFFIXES = (".npy", ".silent.npy", ".csv", ".json")
READY = "ready"


def finish(work: Path, folder: Path) -> None:
    """Complete what a killed compaction had prepared for partitions in `folder`; forget what it had not."""
    for prepared in sorted(path for path in work.glob("*") if path.is_dir()):
        if (prepared / READY).exists():
            for suffix in SUFFIXES:
                new = prepared / f"{prepared.name}{suffix}"
                if new.exists():
                    new.replace(folder / new.name)
        shutil.rmtree(prepared)


def compact(partition: Partition, alive: pd.DataFrame, work: Path) -> int:
    """Rewrite one partition without the rows of tracks that are gone; returns how many rows that were.

    All four files are prepared in `work`, then renamed: a kill in between is completed by `finish`.

    Args:
        partition: from `nmfp.database.merge.read_partitions`.
        alive: columns id, sha256 of the tracks that still exist.
        work: folder on the same disk.

    Raises:
        NmfpError: the disk is full; the partition is as it was.
    """
    table = partition.table
    keys = pd.MultiIndex.from_frame(alive[["id", "sha256"]])
    kept = pd.MultiIndex.from_frame(table[["id", "sha256"]]).isin(keys)
    lengths = (table["row_end"] - table["row_start"]).to_numpy(np.int64)
    gone = int(lengths[~kept].sum())
    if kept.all():
        return 0
    rows = np.repeat(kept, lengths)  # the tracks' ranges follow one another without gaps
    prepared = work / partition.name
    with full_disk_explained(prepared):
        prepared.mkdir(parents=True)
        vectors = np.load(partition.fingerprints, mmap_mode="r" if len(rows) else None)[rows]
        write_npy(prepared / f"{partition.name}.npy", vectors)
        write_npy(prepared / f"{partition.name}.silent.npy", np.load(partition.silent)[rows])
        end = np.cumsum(lengths[kept])
        write_csv(
            prepared / f"{partition.name}.csv",
            table[kept].assign(row_start=end - lengths[kept], row_end=end),
        )
        sha256 = hashlib.sha256(np.ascontiguousarray(vectors).data).hexdigest()
        write_json(
            prepared / f"{partition.name}.json", {**partition.info, "rows": len(vectors), "sha256": sha256}
        )
        write_text(prepared / READY, "")
    finish(work, partition.fingerprints.parent)
    log.info("%s: %d rows of %d removed tracks are gone", partition.fingerprints, gone, int((~kept).sum()))
    return gone
