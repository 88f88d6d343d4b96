"""What became of a collection's files, and whether too many of them failed."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from nmfp.datasets.columns import AUDIO_COLUMNS
from nmfp.datasets.fma import TRAINED
from nmfp.datasets.splits import file_id
from nmfp.errors import NmfpError
from nmfp.files import read_csv, sha256_file

# In a folder of 38 songs one broken file is already 2.6 %: so many failures never end a run, unless the
# budget is 0.
ALWAYS_FORGIVEN = 3


def gather(
    files: pd.DataFrame, tables: Sequence[str | Path], repeatable: frozenset[str] = frozenset()
) -> pd.DataFrame:
    """All files of a collection with their fate, in the order of files.csv: AUDIO_COLUMNS.

    Files with a reason in files.csv are excluded; of several with the same bytes only the first stays, and none
    outside the training set whose music belongs to it.

    Args:
        files: columns `id, path, role, reason`.
        tables: converted/NNNN.csv of all batches, in the order of their numbers.
        repeatable: roles whose files may repeat each other: a published split of recordings stays as it is.

    Raises:
        NmfpError: a table is unreadable, or a file is in none of them.
    """
    text = ("id", "path", "reason", "role", "sha256", "status")
    parts = [read_csv(table, AUDIO_COLUMNS, text=text) for table in tables]
    # a file that changed is listed again in a later batch: its row in the earlier one tells of what it was
    by_file: dict[str, pd.DataFrame] = {}
    for part in parts:
        by_file |= {name: rows for name, rows in part.groupby(part["id"].map(file_id), sort=False)}
    first: dict[str, str] = {}
    trained = _belonging_to_training(files)
    rows = []
    for file in files.itertuples():
        if file.reason:
            rows.append((file.id, "", file.role, 0, "", "excluded", file.reason))
            continue
        if file.id not in by_file:
            raise NmfpError(
                f"The file {file.id!r} is in no converted table; delete the converted folder, run again."
            )
        for row in by_file[file.id][AUDIO_COLUMNS].itertuples(index=False):
            row = row._replace(role=file.role)
            original = first.setdefault(row.sha256, file.id) if row.sha256 else file.id
            if row.sha256 in trained and row.status == "ok" and file.role != "train":
                why = f"duplicate of {trained[row.sha256]}, which {TRAINED}"
                row = row._replace(path="", samples=0, status="excluded", reason=why)
            elif original != file.id and row.status == "ok" and file.role not in repeatable:
                row = row._replace(path="", samples=0, status="excluded", reason=f"duplicate of {original}")
            rows.append(tuple(row))
    return pd.DataFrame(rows, columns=AUDIO_COLUMNS)


def _belonging_to_training(files: pd.DataFrame) -> dict[str, str]:
    """Ids of files left out because they belong to the training set, by their SHA-256.

    Only those are read that are as long, to the byte, as a file that is used: few, where thousands are left out.
    """
    trained = files[files["reason"] == TRAINED]
    if trained.empty:
        return {}
    used = set(filter(None, map(_size, files["path"][files["reason"] == ""])))
    same = trained[[_size(path) in used for path in trained["path"]]]
    return {sha256_file(file.path): file.id for file in same.itertuples()}


def _size(path: str) -> int | None:
    """Bytes of a file, None where it is gone."""
    return os.stat(path).st_size if os.path.exists(path) else None


def allowed_failures(files: int, budget: float) -> int:
    """How many files may fail: the budget's share of them, but never fewer than three, unless the budget is 0."""
    return max(math.floor(budget * files), ALWAYS_FORGIVEN) if budget > 0 else 0


def check_budget(tracks: pd.DataFrame, budget: float, collection: str, failures: Path) -> None:
    """Insist that some file is usable and that not too many failed.

    Args:
        tracks: columns `id, status, reason`.
        budget: share of the files that were not excluded (dataset.failure_budget).
        failures: the table that lists them all, for the message.

    Raises:
        NmfpError: nothing is usable, or more files failed than the budget allows.
    """
    tried = tracks[tracks["status"] != "excluded"]
    failed = tried[tried["status"] == "failed"]
    examples = "; ".join(f"{row.id}: {row.reason}" for row in failed.head(3).itertuples())
    if (tried["status"] == "ok").sum() == 0:
        cause = f" ({examples})" if examples else ""
        raise NmfpError(
            f"No file of the {collection} collection is usable{cause}; all are listed in {failures}."
        )
    allowed = allowed_failures(len(tried), budget)
    if len(failed) > allowed:
        raise NmfpError(
            f"{len(failed)} of {len(tried)} files of the {collection} collection failed, but "
            f"dataset.failure_budget ({budget:g}) allows {allowed} ({examples}); all are listed in "
            f"{failures}: repair or remove them, or raise the budget."
        )
