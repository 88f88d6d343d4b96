"""FMA's clips and tracks in the roles that the paper gave them (specification, section 8)."""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from nmfp.datasets.columns import ListedFile
from nmfp.errors import NmfpError

log = logging.getLogger("nmfp")

# Why a whole track is in no corpus: the network learns from its clip
TRAINED = "belongs to the training set"
# clips of fma_medium and fma_large that hold no audio, or less than they should
UNUSABLE = frozenset(
    [
        1486,
        5574,
        65753,
        80391,
        *range(98558, 98570),
        98571,
        99134,
        105247,
        108924,
        108925,
        126981,
        127336,
        133297,
    ]
    + [143992]
)
# folders of NAFP's mini set (version 1.1) whose file names are the ids
NAFP_FOLDERS = {
    "training": "train-10k-30s",
    "validation": "val-query-db-500-30s/db",
    "query": "test-query-db-500-30s/db",
}


def track_id(name: str) -> int | None:
    """The number in a name such as 000/000002.mp3, 000002 or 2; None where there is none."""
    match = re.fullmatch(r"0*(\d+)", Path(name.strip()).name.split(".")[0])
    return int(match[1]) if match else None


def read_ids(path: str | Path, key: str) -> set[int]:
    """Track ids from a text file, one a line (2, 000002 or 000/000002.mp3); # begins a comment.

    Raises:
        NmfpError: no such file, a line without an id, or no id at all; names the configuration's key.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NmfpError(f"{key}: {path} cannot be read ({error}); name a list of ids, one a line.") from None
    ids = set()
    for number, line in enumerate(lines, start=1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        found = track_id(text)
        if found is None:
            raise NmfpError(f"{key}: line {number} of {path} is {text!r}; write track ids such as 000002.")
        ids.add(found)
    if not ids:
        raise NmfpError(f"{key}: {path} holds no track id; write one a line.")
    return ids


def nafp_ids(folder: str | Path, kind: str) -> set[int]:
    """Track ids of NAFP's training, validation or query set, from the file names of its mini set.

    Raises:
        NmfpError: the mini set lacks the folder, or it is empty.
    """
    wanted = NAFP_FOLDERS[kind]
    top, _, below = wanted.partition("/")
    for found in sorted(p for p in Path(folder).rglob(top) if p.is_dir()):
        names = (p.name for p in (found / below).rglob("*.wav"))
        if ids := {i for i in map(track_id, names) if i is not None}:
            return ids
    raise NmfpError(
        f"{folder} has no folder {wanted} with .wav files, so NAFP's {kind} ids are unknown: unpack NAFP's"
        f" mini set there, or name a list in dataset.fma.{kind}_ids."
    )


def metadata_ids(folder: str | Path) -> set[int]:
    """Ids of all tracks that FMA knows, from fma_metadata/tracks.csv (three header lines, then one track a row).

    Raises:
        NmfpError: no such table, or none of FMA's.
    """
    path = next(iter(sorted(Path(folder).rglob("tracks.csv"))), Path(folder) / "fma_metadata/tracks.csv")
    try:
        column = pd.read_csv(path, header=None, skiprows=3, usecols=[0], low_memory=False)[0]
        return set(column.astype(int))
    except (OSError, ValueError) as error:
        raise NmfpError(f"{path} cannot be read as FMA's table of tracks ({error}).") from None


def find_audio(folder: str | Path, suffix: str = ".mp3") -> list[Path]:
    """Audio files below a folder, sorted by path; leavings of other systems (__MACOSX, ._x) are left out."""
    return sorted(
        p
        for p in Path(folder).rglob("*")
        if p.suffix.lower() == suffix
        and not any(part.startswith(".") or part == "__MACOSX" for part in p.relative_to(folder).parts)
    )


def list_music(
    medium: str | Path, full: str | Path, ids: dict[str, set[int]], known: set[int] | None = None
) -> pd.DataFrame:
    """The table of music files: clips for training and validation, whole tracks for database and queries.

    Args:
        medium: folder with fma_medium's clips, full: with fma_full's tracks.
        ids: sets training, validation and query of track ids.
        known: all ids that FMA's metadata list; others in the lists are refused.

    Returns:
        `id, path, role, reason`. Ids are medium/000/000002.mp3 and full/000/000002.mp3. Role query is a
        track of the
        database that is asked for first; the whole tracks of the validation clips are `unknown`, since the
        network has
        not learned from them and the paper's database does not hold them.

    Raises:
        NmfpError: two of the id sets overlap, one holds an id that FMA does not know, a folder holds no
        track, or no clip is in the training list.
    """
    for a, b in (("training", "validation"), ("training", "query"), ("validation", "query")):
        if both := ids[a] & ids[b]:
            raise NmfpError(
                f"dataset.fma.{a}_ids and dataset.fma.{b}_ids both hold track {min(both):06d}; a track has"
                " one role."
            )
    for kind, numbers in ids.items():
        if known is not None and (strange := numbers - known):
            track = f"{min(strange):06d}"
            raise NmfpError(f"dataset.fma.{kind}_ids holds track {track}, which FMA does not know.")
    rows = [_clip(name, path, number, ids) for name, path, number in _tracks(medium, "medium")]
    rows += [_track(name, path, number, ids) for name, path, number in _tracks(full, "full")]
    table = pd.DataFrame(rows, columns=ListedFile._fields)
    if not ((table["role"] == "train") & (table["reason"] == "")).any():
        raise NmfpError(f"No clip in {medium} is in the training list; correct dataset.fma.training_ids.")
    _report_missing(table, ids)
    return table


def _tracks(folder: str | Path, subset: str) -> Iterable[tuple[str, Path, int]]:
    found = False
    for path in find_audio(folder):
        number = track_id(path.name)
        if number is None:
            log.warning("%s is no track of FMA; left out", path)
            continue
        found = True
        yield f"{subset}/{path.parent.name}/{path.name}", path, number
    if not found:
        raise NmfpError(f"{folder} holds no mp3 of FMA; delete its receipts to have it unpacked again.")


def _clip(name: str, path: Path, number: int, ids: dict[str, set[int]]) -> ListedFile:
    role = "train" if number in ids["training"] else "validation" if number in ids["validation"] else "train"
    reason = ""
    if number not in ids["training"] | ids["validation"]:
        reason = "in neither the training nor the validation list"
    elif number in UNUSABLE:
        reason = "listed by FMA as a clip with no or too short audio"
    return ListedFile(name, str(path), role, reason)


def _track(name: str, path: Path, number: int, ids: dict[str, set[int]]) -> ListedFile:
    role = "query" if number in ids["query"] else "unknown" if number in ids["validation"] else "database"
    # UNUSABLE is about clips of 30 s: the whole track of a silent clip may well be music
    return ListedFile(name, str(path), role, TRAINED if number in ids["training"] else "")


def _report_missing(table: pd.DataFrame, ids: dict[str, set[int]]) -> None:
    """Ids of the lists that no file belongs to: said, since a mistyped list would otherwise pass
    unnoticed."""
    for kind, subset in (("training", "medium"), ("validation", "medium"), ("query", "full")):
        present = {track_id(name) for name in table["id"] if name.startswith(subset)}
        if missing := sorted(ids[kind] - present):
            log.warning(
                "%d of %d %s ids have no file in %s, the first is %06d",
                len(missing),
                len(ids[kind]),
                kind,
                subset,
                missing[0],
            )
