"""A database of one's own: the workflow's files, that can be added to and removed from while others read.

    DB/database.npy, silent.npy, tracks.csv, failures.csv, database.json     links into the current generation
    DB/current              link to generations/NNNN, replaced in one step when a change is complete
    DB/generations/NNNN/    the files themselves, and index.faiss/.json where an index pays; never changed once named
    DB/model/               a copy of the model that made the fingerprints, so that the folder can be moved
    DB/work/                unfinished work, which the next `add` goes on from
    DB/lock                 held by the one process that may change the database

A change is written beside what is there and takes effect when `current` is replaced: a kill at any moment leaves the
old database or the new one. Readers never wait; a memmap that is open when its generation goes stays readable.
"""

import contextlib
import difflib
import fcntl
import fnmatch
import logging
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from nmfp.database.fingerprints import TRACK_COLUMNS, Fingerprints, full_disk_explained, open_fingerprints
from nmfp.database.merge import Partition, join_tables, merge
from nmfp.errors import NmfpError
from nmfp.files import progress, read_csv, read_json, sha256_file, write_csv, write_json, write_npy
from nmfp.model.folder import MODEL_FILES, check_graph, read_model
from nmfp.segments import HOP_SAMPLES

log = logging.getLogger("nmfp")

FILES = {
    "fingerprints": "database.npy",
    "silent": "silent.npy",
    "tracks": "tracks.csv",
    "failures": "failures.csv",
    "info": "database.json",
}
# Beside them, each replaced as a whole and perhaps missing: the index where one pays, the scores of unknown music
REPLACEABLE = ("index.faiss", "index.json", "calibration.json")
EXTRACTION_VERSION = 1
# What is told apart by its name under generations/: four digits are complete, anything else is unfinished.
_GENERATION = re.compile(r"\d{4,}")


@dataclass(frozen=True)
class Added:
    """What became of the recordings that were to be added: numbers, and a table `id, reason` of the failures."""

    added: int
    replaced: int
    unchanged: int
    failed: pd.DataFrame
    duplicates: dict[str, str]  # id -> id of the track with the same bytes


def is_store(folder: str | Path) -> bool:
    """Whether a folder is a database of this kind (the workflow's have no generations)."""
    return (Path(folder) / "generations").is_dir()


def resolve(folder: str | Path) -> Path:
    """The folder that holds the files now: the current generation of a store, any other folder itself.

    Raises:
        NmfpError: there is no database.
    """
    folder = Path(folder)
    if is_store(folder):
        if not (folder / "current").is_dir():
            raise NmfpError(
                f"{folder} was never finished; run the same `nmfp database create` again and it goes on."
            )
        return (folder / "current").resolve()
    if (folder / "database.json").is_file():
        return folder
    what = "is no database: it holds no database.json" if folder.exists() else "does not exist"
    raise NmfpError(f"{folder} {what}; `nmfp database create` makes one.")


def open_stable(folder: str | Path, opener: Callable[[Path], object]):
    """opener(files' folder), again where a writer took that generation away meanwhile."""
    while True:
        files = resolve(folder)
        try:
            return opener(files)
        except NmfpError:
            if resolve(folder) == files:
                raise


def open_store(folder: str | Path) -> Fingerprints:
    """Open a store or a workflow's database for reading.

    Raises:
        NmfpError: it is missing or inconsistent.
    """
    return open_stable(folder, open_fingerprints)


@contextlib.contextmanager
def writer(folder: Path, wait: bool = False) -> Iterator[None]:
    """Be the one process that may change a store; the lock goes with the process, even by kill -9.

    Args:
        folder: a store.
        wait: for the end of another process that changes it, instead of giving up.

    Raises:
        NmfpError: another process changes it, or the folder cannot be written.
    """
    try:
        handle = (folder / "lock").open("a+")
    except OSError as error:
        raise NmfpError(f"{folder} cannot be changed ({error.strerror}); see its permissions.") from None
    with handle:
        _lock(handle, folder, wait)
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        _remove_unfinished(folder)
        yield


def _lock(handle: TextIO, folder: Path, wait: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        busy = f"{folder} is being changed by process {handle.read().strip() or '?'}"
        if not wait:
            raise NmfpError(f"{busy}; run again when it is done.") from None
        log.warning("%s; waiting for its end", busy)
        fcntl.flock(handle, fcntl.LOCK_EX)


def create(folder: str | Path, model: Path, wait: bool = False) -> None:
    """Make an empty store for a model's fingerprints, or go on with one that was never finished.

    Raises:
        NmfpError: the folder holds something already, or the model is incomplete.
    """
    folder = Path(folder)
    info = read_model(model)
    if (folder / "current").exists():
        raise NmfpError(
            f"{folder} is a database already; `nmfp database add {folder} ...` adds to it, or choose another name."
        )
    if folder.is_dir() and any(folder.iterdir()) and not is_store(folder):
        raise NmfpError(f"{folder} holds other files; choose the name of a folder that does not exist yet.")
    if folder.exists() and not folder.is_dir():
        raise NmfpError(f"{folder} is a file; choose the name of a folder that does not exist yet.")
    try:
        (folder / "generations").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NmfpError(f"{folder} cannot be made ({error.strerror}); choose another place.") from None
    with writer(folder, wait):
        _copy_model(model, folder / "model")
        if read_model(folder / "model")["digest"] != info["digest"]:
            raise NmfpError(f"{folder} was begun with another model; delete it or use that model.")
        name = model.resolve().name
        write_json(folder / "model" / "name.json", {"name": name})


def _copy_model(model: Path, target: Path) -> None:
    if (target / "model.json").is_file():
        return
    with full_disk_explained(target):
        target.mkdir(exist_ok=True)
        for name in MODEL_FILES:
            if (model / name).is_file():
                part = target / f"{name}.part"
                shutil.copyfile(model / name, part)
                part.replace(target / name)


def model_name(folder: Path) -> str:
    """What the model was called where the store was made."""
    path = folder / "model" / "name.json"
    return str(read_json(path, 'write {"name": "..."} into it, the name of the model').get("name", "model"))


def add(
    folder: str | Path,
    inputs: list,
    engine: str = "auto",
    threads: int | None = None,
    finish: Callable[[Path], None] | None = None,
    wait: bool = False,
) -> Added:
    """Fingerprint recordings and add them; a recording whose content changed replaces its former self.

    What is in the database with the same content is left as it is, and so is work that a killed run had finished.

    Args:
        folder: a store.
        inputs: objects with id, path and reason (a non-empty one is a failure already).
        engine: auto, openvino or keras.
        threads: CPU threads, by default all.
        finish: called with the folder of the new files before they become the database, to put more beside them.
        wait: for another process that changes the store, instead of giving up.

    Raises:
        NmfpError: the database is being changed by another process, the disk is full, the model is damaged. The
            database is then as it was.
    """
    folder = Path(folder)
    with writer(folder, wait):
        old = open_store(folder) if (folder / "current").exists() else None
        before = _all_rows(old)
        tracks, failed, duplicates, unchanged = _sort_inputs(inputs, before)
        new = None
        if old is None or len(tracks) or len(failed):
            new = _extract(folder, tracks, failed, engine, threads)
            new, duplicates = _failed_copies(new, duplicates)
            if old is not None and (new.table["status"] != "ok").all():
                _note_failures(folder, old, before, new.table)
            else:
                _write_generation(folder, old, before, new, threads, finish)
        shutil.rmtree(folder / "work", ignore_errors=True)
    table = before[:0] if new is None else new.table
    good = table["id"][table["status"] == "ok"]
    replaced = int(good.isin(before["id"][before["status"] == "ok"]).sum())
    bad = table.loc[table["status"] != "ok", ["id", "reason"]].reset_index(drop=True)
    return Added(len(good) - replaced, replaced, unchanged, bad, duplicates)


def _all_rows(database: Fingerprints | None) -> pd.DataFrame:
    """Tracks and failures of a database in one table."""
    if database is None:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in TRACK_COLUMNS})
    failures = read_csv(
        database.folder / "failures.csv", TRACK_COLUMNS, text=("id", "sha256", "status", "reason")
    )
    return pd.concat([database.tracks, failures], ignore_index=True)[TRACK_COLUMNS]


def _sort_inputs(inputs: list, before: pd.DataFrame):
    """Which recordings are new: (tracks to fingerprint, failures, duplicates, number of unchanged ones)."""
    present = before[before["status"] == "ok"]
    by_id = dict(zip(present["id"], present["sha256"], strict=True))
    named = {item.id for item in inputs}
    # a track that is about to be replaced does not hold its old content any more
    by_content = {sha: name for name, sha in by_id.items() if name not in named}
    tracks, failed, duplicates, unchanged = [], [], {}, 0
    for item in progress(inputs, unit=" files", label="read"):
        reason, sha256 = item.reason, ""
        if not reason:
            try:
                sha256 = sha256_file(item.path)
            except OSError as error:
                reason = "a folder, not a file" if os.path.isdir(item.path) else error.strerror.lower()
        if reason:
            failed.append((item.id, item.path, 0, sha256, reason))
        elif by_id.get(item.id) == sha256:
            unchanged += 1
            by_content[sha256] = item.id
        elif sha256 in by_content:
            duplicates[item.id] = by_content[sha256]
        else:
            by_content[sha256] = item.id
            tracks.append((item.id, item.path, 0, sha256, ""))
    columns = ["id", "path", "samples", "sha256", "reason"]
    return pd.DataFrame(tracks, columns=columns), pd.DataFrame(failed, columns=columns), duplicates, unchanged


def _extract(
    folder: Path, tracks: pd.DataFrame, failed: pd.DataFrame, engine: str, threads: int | None
) -> Partition:
    """Fingerprint new tracks into a partition below work/, whose table lists all failures as well."""
    from nmfp.extraction.partition import fingerprint_tracks, work_key, write_partition
    from nmfp.extraction.progress import WorkLog
    from nmfp.model.engines import open_engine

    model = read_model(folder / "model")
    work = folder / "work"
    with full_disk_explained(folder):
        opened = open_engine(folder / "model", engine, threads=threads)
        key = work_key(model["digest"], opened, HOP_SAMPLES, EXTRACTION_VERSION)
        paths = {name: work / f"new{suffix}" for name, suffix in _PARTITION_SUFFIXES.items()}
        info = {
            "model": model_name(folder),
            "model_digest": model["digest"],
            "hop_samples": HOP_SAMPLES,
        }
        with WorkLog(work / key, opened.dimension) as done:
            fingerprint_tracks(tracks, opened, done, processes=1)
            table = write_partition(paths, tracks, done, info)
    lost = failed.assign(status="failed", row_start=0, row_end=0)[TRACK_COLUMNS]
    table = pd.concat([table, lost], ignore_index=True) if len(lost) else table
    return Partition(paths["fingerprints"], paths["silent"], table, read_json(paths["info"]))


def _failed_copies(new: Partition, duplicates: dict[str, str]) -> tuple[Partition, dict[str, str]]:
    """A copy of a file that failed has failed as well, for the same reason: it is no duplicate of a track."""
    failed = new.table[new.table["status"] == "failed"].set_index("id")
    copies = [name for name, original in duplicates.items() if original in failed.index]
    if not copies:
        return new, duplicates
    rows = failed.loc[[duplicates[name] for name in copies]].reset_index().assign(id=copies)[TRACK_COLUMNS]
    rows[["row_start", "row_end"]] = 0
    table = pd.concat([new.table, rows], ignore_index=True)
    kept = {name: original for name, original in duplicates.items() if name not in copies}
    return Partition(new.fingerprints, new.silent, table, new.info), kept


_PARTITION_SUFFIXES = {"fingerprints": ".npy", "silent": ".silent.npy", "table": ".csv", "info": ".json"}


def _write_generation(
    folder: Path,
    old: Fingerprints | None,
    before: pd.DataFrame,
    new: Partition,
    threads: int | None,
    finish: Callable | None,
) -> None:
    """Old rows and new ones become the next generation, which then is the current one."""
    partitions = [new]
    if old is not None:
        gone = before["id"].isin(new.table["id"])
        kept = before[~(gone & (before["status"] == "failed"))].copy()
        kept.loc[kept["id"].isin(new.table["id"][new.table["status"] == "ok"]), "status"] = "removed"
        # a file that cannot be read any more keeps the fingerprints it had
        lost = new.table["id"].isin(kept["id"][kept["status"] == "ok"]) & (new.table["status"] == "failed")
        partitions = [
            Partition(old.folder / "database.npy", old.folder / "silent.npy", kept, old.info),
            Partition(new.fingerprints, new.silent, new.table[~lost], new.info),
        ]
    model = read_model(folder / "model")
    described = {
        "model": model_name(folder),
        "model_digest": model["digest"],
        "dimension": model["embedding_size"],
        "hop_samples": HOP_SAMPLES,
    }
    with _next_generation(folder) as part:
        outputs = {name: part / file for name, file in FILES.items()}
        info = merge(partitions, join_tables(partitions, None), outputs, folder / "work" / "merge", described)
        _write_removed_rows(part, info)
        _index(part, old, threads)
        if finish:
            finish(part)


def _note_failures(folder: Path, old: Fingerprints, before: pd.DataFrame, failed: pd.DataFrame) -> None:
    """Nothing could be added: the next generation differs in failures.csv only."""
    kept = before[(before["status"] == "failed") & ~before["id"].isin(failed["id"])]
    fresh = failed[~failed["id"].isin(old.tracks["id"])]
    with _next_generation(folder) as part, full_disk_explained(part):
        files = set(FILES.values()) - {"failures.csv"}
        _link(old, part, *files, *REPLACEABLE)
        write_csv(part / "failures.csv", pd.concat([kept, fresh], ignore_index=True))


def _link(old: Fingerprints, part: Path, *names: str) -> None:
    """Take files over into the next generation; they never change, so a second name costs no space."""
    for name in names:
        if (old.folder / name).exists():
            os.link(old.folder / name, part / name)


def _write_removed_rows(part: Path, info: dict) -> None:
    """Count the rows that belong to no track, those of earlier removals included."""
    tracks = read_csv(part / "tracks.csv", TRACK_COLUMNS, text=("id", "sha256", "status", "reason"))
    used = int((tracks["row_end"] - tracks["row_start"]).sum())
    write_json(part / "database.json", {**info, "removed_rows": info["rows"] - used})


def remove(folder: str | Path, ids: list[str], wait: bool = False) -> list[str]:
    """Take tracks out of the answers; their rows stay in the file until `compact`. Returns the ids removed.

    Args:
        folder: a store.
        ids: ids, or patterns with * and ? that match whole ids; ./ before them and the like do not count.
        wait: see `add`.

    Raises:
        NmfpError: one of them names no track; nothing is removed then.
    """
    folder = Path(folder)
    with writer(folder, wait):
        old = open_store(folder)
        tracks = old.tracks
        chosen = np.zeros(len(tracks), bool)
        for wanted in ids:
            chosen |= _tracks_named(tracks["id"], wanted, folder)
        silent = old.silent.copy()
        for start, end in tracks.loc[chosen, ["row_start", "row_end"]].itertuples(index=False):
            silent[start:end] = True
        with _next_generation(folder) as part, full_disk_explained(part):
            _link(old, part, "database.npy", "failures.csv", *REPLACEABLE)
            write_npy(part / "silent.npy", silent)
            write_csv(part / "tracks.csv", tracks[~chosen])
            _write_removed_rows(part, {**old.info, "tracks": int((~chosen).sum())})
        return tracks.loc[chosen, "id"].tolist()


def _tracks_named(names: pd.Series, wanted: str, folder: Path) -> np.ndarray:
    """(n,) bool: the tracks that an id, or else a pattern, names; as it is typed, or else without ./ and //."""
    for text in (wanted, os.path.normpath(wanted)):
        exact = (names == text).to_numpy()
        hit = exact if exact.any() else np.array([fnmatch.fnmatchcase(name, text) for name in names], bool)
        if hit.any():
            return hit
    base = os.path.basename(wanted)
    near = [name for name in names if base and os.path.basename(name) == base]
    near = near or difflib.get_close_matches(wanted, names, 3)
    meant = f" Did you mean {' or '.join(map(repr, near[:3]))}?" if near else ""
    raise NmfpError(
        f"{folder} holds no track {wanted!r}; `nmfp database info {folder} --tracks` lists them.{meant}"
    )


def replace_beside(folder: str | Path, name: str, write: Callable[[Path], None], wait: bool = False) -> None:
    """Give a store another file of `REPLACEABLE`: `write` puts it into the folder it is called with."""
    folder = Path(folder)
    with writer(folder, wait):
        old = open_store(folder)
        with _next_generation(folder) as part, full_disk_explained(part):
            _link(old, part, *FILES.values(), *(other for other in REPLACEABLE if other != name))
            write(part)


def compact(folder: str | Path, threads: int | None = None, wait: bool = False) -> int:
    """Rewrite the files without the rows of removed tracks; returns how many rows went.

    Args:
        folder: a store.
        threads: CPU threads that train and fill its index, by default all.
        wait: see `add`.
    """
    folder = Path(folder)
    with writer(folder, wait):
        old = open_store(folder)
        rows = np.concatenate(
            [np.zeros(0, np.int64)]
            + [np.arange(a, b) for a, b in old.tracks[["row_start", "row_end"]].itertuples(index=False)]
        )
        gone = len(old.vectors) - len(rows)
        if not gone:
            return 0
        length = (old.tracks["row_end"] - old.tracks["row_start"]).to_numpy()
        end = np.cumsum(length)
        with _next_generation(folder) as part, full_disk_explained(part):
            sha256 = _copy_rows(old.vectors, rows, part / "database.npy")
            write_npy(part / "silent.npy", old.silent[rows])
            write_csv(part / "tracks.csv", old.tracks.assign(row_start=end - length, row_end=end))
            _link(old, part, "failures.csv", "calibration.json")
            info = {**old.info, "rows": len(rows), "sha256": sha256, "removed_rows": 0}
            write_json(part / "database.json", {**info, "partitions": []})
            _index(part, None, threads)
        return gone


def _copy_rows(vectors: np.ndarray, rows: np.ndarray, path: Path) -> str:
    """Write chosen rows as .npy, block by block; returns the SHA-256 of the array's bytes."""
    import hashlib

    state = hashlib.sha256()
    with path.open("wb") as f:
        header = {
            "descr": np.lib.format.dtype_to_descr(vectors.dtype),
            "fortran_order": False,
            "shape": (len(rows), vectors.shape[1]),
        }
        np.lib.format.write_array_header_1_0(f, header)
        for start in range(0, len(rows), 1 << 14):
            block = np.ascontiguousarray(vectors[rows[start : start + (1 << 14)]])
            f.write(block.data)
            state.update(block.data)
    return state.hexdigest()


def _index(part: Path, old: Fingerprints | None, threads: int | None) -> None:
    """An index where exact search would be slow: the old one's quantisers while it has grown less than fourfold."""
    from nmfp.search import index as nn

    database = open_fingerprints(part)
    rows, dimension = database.vectors.shape
    if nn.resolve_factory("auto", rows, dimension) == "Flat":
        return
    described = nn.describe("auto", "", database.info)
    threads = threads or len(os.sched_getaffinity(0))
    before = old.folder / "index.faiss" if old is not None else None
    if before is not None and before.exists():
        filled, info = nn.read(
            before, {"model_digest": database.info["model_digest"], "rows": old.info["rows"]}
        )
        if rows < 4 * info["trained_rows"]:
            nn.fill(filled, database.vectors, start=old.info["rows"], threads=threads)
            keep = {"resolved": info["resolved"], "trained_rows": info["trained_rows"]}
            return nn.write(part / "index.faiss", filled, {**described, **keep})
    log.info("index: training on %d fingerprints", rows)
    trained, resolved = nn.train(database.vectors, "auto", seed=27, threads=threads)
    nn.fill(trained, database.vectors, threads=threads)
    nn.write(part / "index.faiss", trained, {**described, "resolved": resolved, "trained_rows": rows})


def verify(folder: str | Path) -> list[str]:
    """Read everything back and compare; returns sentences about what is wrong, none if all is well."""
    from nmfp.database.fingerprints import unit_length
    from nmfp.search import index as nn

    try:
        database = open_store(folder)
    except NmfpError as error:
        return [str(error)]
    import hashlib

    files, info, problems = database.folder, database.info, []
    state, lengths = hashlib.sha256(), True
    for start in range(0, len(database.vectors), 1 << 14):
        block = np.ascontiguousarray(database.vectors[start : start + (1 << 14)])
        state.update(block.data)
        lengths &= unit_length(block)
    if state.hexdigest() != info["sha256"]:
        problems.append(f"{files / 'database.npy'} does not hold the bytes that database.json names.")
    if not lengths and info["dtype"] == "float32":
        problems.append(f"{files / 'database.npy'} holds vectors that are not of length 1.")
    if (files / "index.json").exists() or (files / "index.faiss").exists():
        try:
            found, _ = nn.read(files / "index.faiss", {"database_sha256": info["sha256"]})
            if found.ntotal != len(database.vectors):
                problems.append(
                    f"{files / 'index.faiss'} holds {found.ntotal} of {len(database.vectors)} rows."
                )
        except NmfpError as error:
            problems.append(str(error))
    if is_store(folder):
        try:
            if read_model(Path(folder) / "model")["digest"] != info["model_digest"]:
                problems.append(f"{Path(folder) / 'model'} is not the model that made the fingerprints.")
            check_graph(Path(folder) / "model")
        except NmfpError as error:
            problems.append(str(error))
    return problems


def repair(folder: str | Path) -> str:
    """The command that puts a damaged database right, in a shell's words."""
    folder = Path(folder)
    if not is_store(folder):
        if not (folder / "partitions").is_dir():
            return "copy it again from where it came from."
        merged = " ".join(shlex.quote(str(folder / name)) for name in FILES.values())
        return f"rm -f {merged}; snakemake then merges it again from its partitions."
    model = shlex.quote(str(folder / "model"))
    try:
        check_graph(folder / "model")
    except NmfpError:
        return f"cp MODEL/* {model}/, where MODEL is the folder that its model was copied from; then verify again."
    create = f"nmfp database create {shlex.quote(f'{folder}.new')}"
    try:
        open_store(folder)
    except NmfpError:
        return f"{create} RECORDINGS --model {model}, with the recordings that it was made from."
    listed = f"nmfp database info {shlex.quote(str(folder))} --tracks"
    return f"{listed} | {create} - --model {model}, with the recordings where they were when it was made."


@contextlib.contextmanager
def _next_generation(folder: Path) -> Iterator[Path]:
    """A folder to fill; when the block ends well it is the current generation and the former ones are deleted."""
    generations = folder / "generations"
    numbers = [int(p.name) for p in generations.iterdir() if _GENERATION.fullmatch(p.name)]
    final = generations / f"{max(numbers, default=0) + 1:04d}"
    part = final.with_suffix(".part")
    part.mkdir()
    try:
        yield part
        for path in part.iterdir():
            _sync(path)
        _sync(part)
        part.rename(final)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    _sync(generations)
    _relink(folder, "current", f"generations/{final.name}")
    for name in FILES.values():
        if not (folder / name).is_symlink():
            _relink(folder, name, f"current/{name}")
    _sync(folder)
    _remove_unfinished(folder)


def _relink(folder: Path, name: str, target: str) -> None:
    """Make a link, or replace one, in one step."""
    temporary = folder / f".part-{name}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(folder / name)


def _remove_unfinished(folder: Path) -> None:
    """Delete every generation but the current one; only the writer may."""
    current = (folder / "current").resolve().name if (folder / "current").exists() else ""
    for path in (folder / "generations").iterdir():
        if path.name != current:
            shutil.rmtree(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
