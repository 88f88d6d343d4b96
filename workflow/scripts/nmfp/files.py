"""Files that appear whole or not at all, digests, logs and progress."""

import contextlib
import csv
import fcntl
import hashlib
import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from nmfp.errors import NmfpError

log = logging.getLogger("nmfp")

PROCESSOR_TIME = "%.2f s of processor time, %.2f s of it before the work began"


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it there when the block ends well, delete it otherwise.

    The content is on the disk before the name is: after a power cut the file is the old one or the new one.
    The temporary name keeps the suffix, since soundfile and numpy choose the format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".part-{secrets.token_hex(8)}{path.suffix}")
    # the usual permissions from the start: only the kernel can tell the umask without changing it for all threads
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    try:
        yield temporary
        with temporary.open("rb+") as f:
            os.fsync(f.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write JSON atomically, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path, advice: str = "delete it and run again") -> dict:
    """Read a JSON object.

    Args:
        advice: what to do about a damaged one; the default is for what can be made again.

    Raises:
        NmfpError: the file is missing or holds no JSON object.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NmfpError(f"{path} does not exist.") from None
    except (ValueError, OSError) as error:
        raise NmfpError(f"{path} cannot be read as JSON ({error}); {advice}.") from None
    if not isinstance(value, dict):
        raise NmfpError(f"{path} holds no JSON object; {advice}.")
    return value


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table atomically, without an index column."""
    texts = table.select_dtypes(exclude="number")
    # a carriage return in a file's name ends a line for readers, yet not for pandas' idea of what needs quotes
    returns = any(texts[name].astype(str).str.contains("\r", regex=False).any() for name in texts)
    with atomic(path) as temporary:
        table.to_csv(
            temporary,
            index=False,
            lineterminator="\n",
            quoting=csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL,
        )


def read_csv(
    path: str | Path, columns: list[str], text: tuple[str, ...] = ("id", "path", "reason")
) -> pd.DataFrame:
    """Read a table of ours; names stay text even where they look like numbers or "NA".

    Raises:
        NmfpError: the file is missing, unreadable or lacks one of `columns`.
    """
    try:
        table = pd.read_csv(path, dtype={name: str for name in text}, keep_default_na=False, na_values={})
    except FileNotFoundError:
        raise NmfpError(f"{path} does not exist.") from None
    except (ValueError, OSError) as error:
        raise NmfpError(f"{path} cannot be read as a table ({error}).") from None
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise NmfpError(f"{path} lacks the column(s) {', '.join(missing)}; its first line must name them.")
    return table


def write_npy(path: str | Path, array: np.ndarray) -> None:
    """Write an array atomically as .npy."""
    with atomic(path) as temporary, temporary.open("wb") as f:
        np.lib.format.write_array(f, np.asarray(array), allow_pickle=False)


def sha256_file(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in blocks."""
    with Path(path).open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def digest(*values: object) -> str:
    """Short stable name of JSON-like values: the key of everything that is derived from them."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def key_to_entropy(*key: object) -> int:
    """A 128-bit integer from any key, for seeding a generator by (seed, item) and never by order, worker or time."""
    return int.from_bytes(hashlib.sha256(json.dumps(key, ensure_ascii=False).encode()).digest()[:16], "big")


def generator(*key: object) -> np.random.Generator:
    """The random generator that belongs to a key such as (seed, "query", track id)."""
    return np.random.Generator(np.random.Philox(key_to_entropy(*key)))


@contextlib.contextmanager
def sole_writer(work: str | Path, pause: float = 10.0) -> Iterator[None]:
    """Keep the work folder `work` to this process; wait while another has it.

    A job outlives the Snakemake that was killed above it, and may still run when its work is submitted again:
    two that append to one log would spoil each other's rows. The lock lies beside the folder, which may come
    and go, and ends with the process, however it ends.
    """
    path = Path(f"{work}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as handle:
        while not _try_lock(handle):
            log.info("another job works in %s; waiting for it", work)
            time.sleep(pause)
        yield


def _try_lock(handle) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        log.warning(
            "%s: the file system has no locks (%s); let no two jobs share this folder", handle.name, error
        )
    return True


@contextlib.contextmanager
def script_log(path: str | Path | None) -> Iterator[None]:
    """Log to the rule's file and to standard error; end the process with status 1 and one sentence on `NmfpError`.

    The last line of work done says what it cost, with the programs that it called: Snakemake's benchmark files look
    twice a second at what runs just then. benchmarks/stages.py reads it.
    """
    starting = sum(os.times()[:4])
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=handlers,
        force=True,
    )
    try:
        yield
    except NmfpError as error:
        log.error("%s", error)
        sys.exit(1)
    except BaseException:
        log.exception("unexpected failure")
        raise
    log.info(PROCESSOR_TIME, sum(os.times()[:4]), starting)


def progress(iterable=None, *, total: int | None = None, unit: str, label: str):
    """A progress bar with rate and time left on a terminal; a plain line every ten seconds anywhere else."""
    if sys.stderr.isatty():
        return tqdm(iterable, total=total, unit=unit, desc=label, dynamic_ncols=True)
    return _LogLines(
        iterable, total=total, unit=unit, desc=label, mininterval=10, file=_LineWriter(), ascii=True
    )


class _LogLines(tqdm):
    """A bar that ends lines instead of redrawing one."""

    @staticmethod
    def status_printer(file):
        return file.write


class _LineWriter:
    """What tqdm writes to when nobody watches: each update is one log record."""

    encoding = "utf-8"

    def write(self, text: str) -> None:
        if text.strip():
            log.info("%s", text.strip())

    def flush(self) -> None:
        """Log handlers flush themselves."""
