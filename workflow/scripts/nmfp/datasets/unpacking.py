"""Unpacking archives of strangers: no member leaves the folder, a kill costs one member.

Python's zipfile reads the bzip2 zips of FMA, which old `unzip` cannot.
"""

import concurrent.futures
import contextlib
import errno
import logging
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from nmfp.datasets.sources import (
    LARGER_DISK,
    Source,
    archive_path,
    free_bytes,
    gib,
    receipt_path,
    set_folder,
    unpacked_record_path,
)
from nmfp.errors import NmfpError
from nmfp.files import digest, progress, read_json, sole_writer, write_json

log = logging.getLogger("nmfp")

_BLOCK = 1 << 20
SPARE_BYTES = 1 << 28


class UnpackError(NmfpError):
    """An archive that is broken, dangerous, or does not fit on the disk."""


def unpack(archive: str | Path, folder: str | Path, threads: int = 1) -> dict:
    """Unpack a zip or tar.xz into a folder; members that are there already are compared and kept.

    Args:
        archive: file whose name ends in .zip or .tar.xz.
        folder: made if missing; files of others in it are left alone.
        threads: members of a zip that are unpacked at the same
        time (decompression releases the interpreter's lock).

    Returns:
        files, bytes (of all members), kept (files that were there already).

    Raises:
        UnpackError: a member that is absolute, climbs out, or is a link; a broken archive; a file of
        another content in
            the way; a full disk. Members unpacked before that stay and are kept by the next run.
    """
    archive, folder = Path(archive), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    read = _unpack_tar if archive.name.endswith(".tar.xz") else _unpack_zip
    try:
        return read(archive, folder, threads)
    except (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, EOFError, zlib.error) as error:
        raise UnpackError(
            f"{archive} is broken ({error}): delete it and its receipt in"
            f" {archive.parent.parent / 'receipts'}, then run again to fetch it anew."
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UnpackError(
                f"The disk of {folder} is full ({gib(free_bytes(folder))} free): free some space or"
                f" {LARGER_DISK}; a rerun goes on with the members that are missing."
            ) from None
        raise


def unpack_source(
    source: Source,
    downloads: str | Path,
    receipt: dict,
    threads: int,
    keep_archive: bool,
    pause: float = 10.0,
) -> dict:
    """Unpack a fetched source once, whoever else shares `downloads`; return its manifest.

    A fetched archive is deleted (unless `keep_archive`) only when a record of its own says that its members are
    there; the record answers from then on, also for a run that was killed before Snakemake knew.

    Args:
        receipt: of its download.
        pause: seconds between two looks at whether another process is done.

    Raises:
        UnpackError: as `unpack`, or the archive is gone without having been unpacked.
    """
    record = unpacked_record_path(downloads, source.name)
    known = _recorded(record, receipt)
    with sole_writer(record.with_suffix(""), pause):
        now = _recorded(record, receipt)
        manifest = now if now != known else None  # made while this process waited
        if manifest is None:
            manifest = _unpack_or_recall(source, downloads, receipt, threads, now)
        write_json(record, manifest)
        if receipt["origin"] == "fetched" and not keep_archive:
            archive_path(downloads, source).unlink(missing_ok=True)
    return manifest


def _unpack_or_recall(
    source: Source, downloads: str | Path, receipt: dict, threads: int, recorded: dict | None
) -> dict:
    folder, archive = set_folder(downloads, source.set), archive_path(downloads, source)
    manifest = {"name": source.name, "set": source.set, "checksum": receipt["checksum"]}
    if receipt["origin"] == "folder":
        return {**manifest, "files": sum(p.is_file() for p in folder.rglob("*")), "bytes": None}
    if archive.is_file():
        summary = unpack(archive, folder, threads)
        log.info("%s: %d files, %d of them were here already", archive, summary["files"], summary.pop("kept"))
        sync()
        return {**manifest, **summary}
    if recorded and folder.is_dir():
        log.info("%s was unpacked before and deleted", archive)
        return recorded
    raise UnpackError(
        f"{archive} is gone; delete {receipt_path(downloads, source.name)} to have it fetched again."
    )


def _recorded(record: Path, receipt: dict) -> dict | None:
    """What an earlier unpacking of the same file wrote down."""
    if not record.is_file():
        return None
    manifest = read_json(record)
    return manifest if manifest.get("checksum") == receipt["checksum"] else None


def _target(name: str, folder: Path, archive: Path) -> Path:
    """The path of a member below the folder.

    Raises:
        UnpackError: it would lie elsewhere.
    """
    parts = PurePosixPath(name).parts
    if (
        not parts
        or name.startswith(("/", "\\"))
        or "\\" in name
        or ".." in parts
        or re.match(r"^[A-Za-z]:", name)
    ):
        raise UnpackError(
            f"{archive}: the member {name!r} would leave the folder {folder}; the archive is refused."
        )
    target = folder.joinpath(*parts)
    # a link that lies in the folder already must not lead out of it either
    parent = next(p for p in target.parents if p.exists())
    if not parent.resolve().is_relative_to(folder.resolve()) or target.is_symlink():
        raise UnpackError(
            f"{archive}: the member {name!r} meets a link in {folder} that leads out; remove the link."
        )
    return target


def _unpack_zip(archive: Path, folder: Path, threads: int) -> dict:
    with zipfile.ZipFile(archive) as z:
        members, targets = [], []
        for info in z.infolist():
            target = _target(info.filename, folder, archive)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UnpackError(
                    f"{archive}: the member {info.filename!r} is a link or device; the archive is refused."
                )
            if info.flag_bits & 1:
                raise UnpackError(
                    f"{archive}: the member {info.filename!r} is encrypted; unpack the archive by hand."
                )
            if not info.is_dir():
                members.append(info)
                targets.append(target)
        if len(set(targets)) != len(targets):
            raise UnpackError(f"{archive} holds two members of one name; the archive is refused.")
        total = sum(info.file_size for info in members)
        here = sum(t.stat().st_size for t in targets if t.is_file())
        if total - here + SPARE_BYTES > free_bytes(folder):
            raise UnpackError(
                f"Unpacking {archive} takes {gib(total - here)} in {folder}, but only"
                f" {gib(free_bytes(folder))} are free: free some space or {LARGER_DISK}."
            )

        def one(pair: tuple[zipfile.ZipInfo, Path]) -> tuple[int, bool]:
            info, target = pair
            if target.exists():
                _same_or_refuse(target, info.file_size, _crc(target) == info.CRC, archive)
                return info.file_size, True
            with z.open(info) as member:  # zipfile compares the CRC at the end of the member
                _write(member, target, archive)
            return info.file_size, False

        kept = 0
        with (
            concurrent.futures.ThreadPoolExecutor(threads) as pool,
            progress(total=total, unit="B", label=f"unpack {archive.name}") as bar,
        ):
            bar.unit_scale = True
            jobs = [pool.submit(one, pair) for pair in zip(members, targets, strict=True)]
            try:
                for job in concurrent.futures.as_completed(jobs):
                    size, was_here = job.result()
                    kept += was_here
                    bar.update(size)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return {"files": len(members), "bytes": total, "kept": kept}


def _unpack_tar(archive: Path, folder: Path, threads: int) -> dict:
    """One pass over the stream: 48 GB of xz have no directory to look things up in."""
    files = size = kept = 0
    with (
        archive.open("rb") as raw,
        progress(total=archive.stat().st_size, unit="B", label=f"unpack {archive.name}") as bar,
        lzma.LZMAFile(raw) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        bar.unit_scale = True
        for info in tar:
            bar.update(raw.tell() - bar.n)
            if info.name in (".", "./"):
                continue
            target = _target(info.name, folder, archive)
            if info.isdir():
                continue
            if not info.isreg():
                raise UnpackError(
                    f"{archive}: the member {info.name!r} is a link or device; the archive is refused."
                )
            member = tar.extractfile(info)
            if target.exists():
                same = target.stat().st_size == info.size and _equal(member, target)
                _same_or_refuse(target, info.size, same, archive)
                kept += 1
            else:
                _write(member, target, archive)
            files, size = files + 1, size + info.size
        while stream.read(_BLOCK):  # to its end, where its checks are: a cut archive must not pass for whole
            pass
    return {"files": files, "bytes": size, "kept": kept}


def _same_or_refuse(target: Path, size: int, same: bool, archive: Path) -> None:
    if not same or target.stat().st_size != size:
        raise UnpackError(
            f"{target} is there already and differs from the member of {archive}: move it away, or delete it"
            " to have it unpacked again."
        )


@contextlib.contextmanager
def _new_file(target: Path, archive: Path) -> Iterator[BinaryIO]:
    """A file that appears whole; `sync` brings all to the disk at once, files.atomic one by one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # one name for each archive: a rerun overwrites what a kill left, two archives of a set do not meet
    temporary = target.with_name(f".part-{digest(archive.name, target.name)}")
    try:
        with temporary.open("wb") as f:
            yield f
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _write(member: BinaryIO, target: Path, archive: Path) -> None:
    with _new_file(target, archive) as f:
        while block := member.read(_BLOCK):
            f.write(block)


def _equal(member: BinaryIO, path: Path) -> bool:
    with path.open("rb") as f:
        while block := member.read(_BLOCK):
            if f.read(len(block)) != block:
                return False
    return True


def _crc(path: Path) -> int:
    value = 0
    with path.open("rb") as f:
        while block := f.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value


def sync() -> None:
    """Have everything unpacked so far on the disk, once, before a receipt says so."""
    os.sync()
