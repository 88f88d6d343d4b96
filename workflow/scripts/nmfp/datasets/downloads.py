"""Fetching what sources.tsv lists: curl moves the bytes; what is around it is checked here.

A transfer goes to `<file>.part`, survives a kill, and goes on from there (range requests). The file gets
its name only when
its size and checksum are right.
"""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nmfp.datasets.sources import (
    LARGER_DISK,
    Source,
    archive_path,
    free_bytes,
    gib,
    missing_sentence,
    part_path,
    placed_by_hand,
    receipt_path,
    unpacked_record_path,
)
from nmfp.errors import NmfpError
from nmfp.files import progress, read_json, write_json

log = logging.getLogger("nmfp")

PAUSES = (2, 5, 15, 60, 300)  # seconds before the second, third ... try; a try that brought bytes starts over
SPARE_BYTES = 1 << 30  # what must stay free for everything else
_HEADS = {"zip": (b"PK\x03\x04", b"PK\x05\x06"), "tar.xz": (b"\xfd7zXZ\x00",)}
_BLOCK = 1 << 22
# curl's exit codes (man curl)
_WRITE_ERROR, _RANGES_IGNORED, _FILE_TOO_LARGE = 23, 33, 63


class DownloadError(NmfpError):
    """A file that cannot be fetched, or is not what the table says."""


def fetch(
    source: Source,
    downloads: str | Path,
    pauses: Sequence[float] = PAUSES,
    sleep: Callable[[float], None] = time.sleep,
    spare_bytes: int = SPARE_BYTES,
) -> dict:
    """Have a source's file in place, checked; fetch what is missing of it.

    Args:
        source: row of the table.
        downloads: the folder of paths.downloads.
        pauses: seconds to wait after each try that brought nothing; when they are used up, the fetch gives
        up.
        spare_bytes: free space to leave on the disk.

    Returns:
        The receipt, also written: name, file, origin ("fetched", "placed" by the user, or "folder": its
        unpacked content
        was placed), size, checksum_kind, checksum (as computed; empty where the table has none).

    Raises:
        DownloadError: no address and no file; no space; wrong size or checksum; every address failed.
    """
    archive = archive_path(downloads, source)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with _alone(part_path(archive), sleep) as lock:
        return _fetched_meanwhile(source, downloads) or _fetch(
            source, downloads, pauses, sleep, spare_bytes, lock
        )


def _fetched_meanwhile(source: Source, downloads: str | Path) -> dict | None:
    """The receipt of whoever fetched the file while this process waited: Snakemake starts a fetch without one."""
    path = receipt_path(downloads, source.name)
    there = (
        archive_path(downloads, source).is_file() or unpacked_record_path(downloads, source.name).is_file()
    )
    if not (there and path.is_file()):
        return None
    receipt = read_json(path)
    found = receipt.get("file"), receipt.get("checksum"), receipt.get("size")
    return receipt if found == (source.file, source.checksum, source.size or receipt.get("size")) else None


def _fetch(source: Source, downloads: str | Path, pauses, sleep, spare_bytes: int, lock: int) -> dict:
    archive = archive_path(downloads, source)
    if placed_by_hand(downloads, source):
        receipt = _receipt(source, "folder", None, "")
    elif archive.is_file():
        receipt = _receipt(source, "placed", archive.stat().st_size, _check(archive, source))
    elif not source.addresses:
        raise DownloadError(missing_sentence(source, downloads))
    else:
        checksum = _fetch_from_any(source, archive, pauses, sleep, spare_bytes, lock)
        receipt = _receipt(source, "fetched", archive.stat().st_size, checksum)
    write_json(receipt_path(downloads, source.name), receipt)
    return receipt


def _receipt(source: Source, origin: str, size: int | None, checksum: str) -> dict:
    return {
        "name": source.name,
        "file": source.file,
        "origin": origin,
        "size": size,
        "checksum_kind": source.checksum_kind,
        "checksum": checksum,
    }


def _fetch_from_any(source: Source, archive: Path, pauses, sleep, spare_bytes: int, lock: int) -> str:
    """Try each address in turn until one gives the file that the table describes; return its checksum."""
    curl = shutil.which("curl")
    if curl is None:
        raise DownloadError(
            "curl is missing; install it (apt-get install curl) or put the file in place by hand."
        )
    part = part_path(archive)
    _check_space(source, archive, part, spare_bytes)
    problems = []
    for address in source.addresses:
        try:
            _transfer(curl, address, source, part, pauses, sleep, lock)
            checksum = _check_fetched(part, source, address)
        except _NextAddress as problem:
            log.warning("%s", problem)
            problems.append(str(problem))
            continue
        with part.open("rb") as f:
            os.fsync(f.fileno())
        part.replace(archive)
        return checksum
    raise DownloadError(
        f"{source.name} could not be fetched: {' '.join(problems)} Run again to go on where it stopped, add a"
        f" mirror to config/sources.tsv, or put the file at {archive}."
    )


@contextlib.contextmanager
def _alone(part: Path, sleep: Callable[[float], None]) -> Iterator[int]:
    """Hold a lock beside `part` and yield its descriptor, which curl inherits.

    After kill -9 curl may live on; as long as it writes, nobody else does.
    """
    handle = os.open(part.with_name(f".{part.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                log.warning("%s is being fetched by another process; waiting for it", part)
                sleep(10)
        yield handle
    finally:
        os.close(handle)


class _NextAddress(Exception):
    """This address will not give the file; another one may."""


def _check_space(source: Source, archive: Path, part: Path, spare_bytes: int) -> None:
    if source.bytes_about is None:
        return
    here = part.stat().st_size if part.is_file() else 0
    needed, free = 2 * source.bytes_about - here + spare_bytes, free_bytes(archive.parent)
    if needed > free:
        raise DownloadError(
            f"{source.name} needs {gib(needed)} in {archive.parent} ({gib(source.bytes_about)} for"
            f" {source.file} and as"
            f" much again while it is unpacked), but only {gib(free)} are free; nothing was fetched."
            f" Free some space or {LARGER_DISK}."
        )


def _transfer(curl: str, address: str, source: Source, part: Path, pauses, sleep, lock: int) -> None:
    """Bring `part` to its full length from one address, over as many tries as that takes."""
    waits = iter(pauses)
    limit = source.bytes_at_most
    while True:
        before = _length(part)
        if source.size is not None and before == source.size:
            return
        if limit is not None and before > limit:
            part.unlink()  # a longer file is another file: begin again
            before = 0
        code, status, kind, message = _run_curl(curl, address, source, part, lock)
        after = _length(part)
        if code == _WRITE_ERROR:
            raise DownloadError(
                f"{source.file} could not be written ({os.strerror(errno.ENOSPC)};"
                f" {gib(free_bytes(part.parent))} free in {part.parent}): free some space or"
                f" {LARGER_DISK}; a rerun goes on at {after:,} bytes."
            )
        if code == _FILE_TOO_LARGE or (limit is not None and after > limit):
            part.unlink(missing_ok=True)
            raise _NextAddress(f"{address} sends more than the {limit:,} bytes of {source.file}; deleted.")
        if after and not _has_head(part, source.archive):
            part.unlink()
            raise _NextAddress(
                f"{address} answers with {kind or 'something'} that is no {source.archive} archive; deleted."
            )
        if code == 0 and (source.size is None or after == source.size):
            return
        if status == 416 and source.size is None and before:
            return  # nothing is left to send: the checksum decides
        if status == 416 and source.size is not None:
            raise _NextAddress(f"{address} holds no more than {before:,} of {source.size:,} bytes.")
        if code == _RANGES_IGNORED and kind == "text/html":
            message = "a page is sent instead of the rest"  # what is here stays: the page may be gone soon
        elif code == _RANGES_IGNORED:
            log.warning("%s cannot go on in the middle; beginning again", address)
            part.unlink(missing_ok=True)
            before = after = 0
        if status in (401, 403, 404, 410):
            raise _NextAddress(f"{address} answers {status}.")
        if after > before:
            waits = iter(pauses)
        wait = next(waits, None)
        reason = message or f"curl's exit code {code}"
        if wait is None:
            raise _NextAddress(f"{address} failed {len(pauses) + 1} times in a row ({reason}).")
        log.warning("%s: %s; %s bytes are here, next try in %g s", source.file, reason, f"{after:,}", wait)
        sleep(wait)


def _run_curl(curl: str, address: str, source: Source, part: Path, lock: int) -> tuple[int, int, str, str]:
    """One transfer, resumed where `part` ends.

    Returns:
        curl's exit code, the HTTP status (0: none), the content type and curl's message.
    """
    command = [
        curl,
        "--silent",
        "--show-error",
        "--fail",
        "--location",
        "--proto",
        "=http,https",
        "--connect-timeout",
        "30",
    ]
    # a connection that has gone quiet for two minutes is given up and tried again
    command += ["--speed-limit", "1", "--speed-time", "120", "--continue-at", "-", "--output", str(part)]
    command += ["--write-out", "%{http_code} %{content_type}"]
    limit = source.bytes_at_most
    if limit is not None:
        command += ["--max-filesize", str(limit)]
    process = subprocess.Popen(
        [*command, address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=[lock]
    )
    try:
        with progress(total=source.bytes_about, unit="B", label=source.file) as bar:
            bar.unit_scale = True
            bar.initial = bar.n = _length(part)
            while process.poll() is None:
                bar.update(_length(part) - bar.n)
                if limit is not None and bar.n > limit:
                    process.kill()  # a server that sends without end would fill the disk
                try:
                    process.wait(timeout=0.5)
                except subprocess.TimeoutExpired:
                    continue
            bar.update(_length(part) - bar.n)
    finally:
        if process.poll() is None:
            process.kill()
        output, message = process.communicate()
    status, _, kind = output.partition(" ")
    return process.returncode, int(status or 0), kind.split(";")[0].strip(), " ".join(message.split())


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _has_head(path: Path, archive: str) -> bool:
    """Whether a file begins as its kind of archive does (a page that says "sorry" does not)."""
    with path.open("rb") as f:
        begin = f.read(6)
    return any(begin[: len(head)] == head[: len(begin)] for head in _HEADS[archive])


def _check_fetched(part: Path, source: Source, address: str) -> str:
    try:
        return _check(part, source)
    except DownloadError as error:
        part.unlink()
        raise _NextAddress(f"{error} It came from {address} and was deleted.") from None


def _check(path: Path, source: Source) -> str:
    """Compare a file with what the table says of it; return its checksum ("" where the table has none).

    Raises:
        DownloadError: with both values.
    """
    size = path.stat().st_size
    if source.size is not None and size != source.size:
        raise DownloadError(
            f"{path} has {size:,} bytes, {source.name} needs {source.size:,}: replace or remove it."
        )
    if not _has_head(path, source.archive):
        raise DownloadError(f"{path} is no {source.archive} archive: replace or remove it.")
    if not source.checksum:
        log.info("%s: no checksum is known; its archive's own checks apply when it is unpacked", path)
        return ""
    found = file_checksum(path, source.checksum_kind)
    if found != source.checksum:
        raise DownloadError(
            f"{path}: its {source.checksum_kind} is {found}, {source.name} needs {source.checksum}: replace"
            " or remove it."
        )
    return found


def file_checksum(path: Path, kind: str) -> str:
    """Hexadecimal checksum of a file, with a progress bar: some files here take an hour to read."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with (
        path.open("rb") as f,
        progress(total=path.stat().st_size, unit="B", label=f"check {path.name}") as bar,
    ):
        bar.unit_scale = True
        while block := f.read(_BLOCK):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()
