"""What a user names on the command line: audio files, folders of them, lists, standard input."""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from nmfp.cli.status import UsageError

log = logging.getLogger("nmfp")

LIST_SUFFIXES = (".txt", ".lst", ".m3u", ".m3u8")
INPUTS_HELP = (
    "audio files, folders of them, lists of names (.txt, .lst, .m3u), or - for a list on standard input"
)


class Input(NamedTuple):
    """One recording: what it is called in tables, where it is, and why it is left out ("" if it is not)."""

    id: str
    path: str
    reason: str = ""


def expand(arguments: Sequence[str]) -> list[Input]:
    """The recordings that the arguments name, each once, in the order typed; folders sorted by name.

    An argument is an audio file, a folder (searched to any depth), a list (`.txt`, `.lst`, `.m3u`: one name a line,
    blank lines and lines that begin with # are skipped, names are relative to the list) or `-`, a list on standard
    input (names that hold newlines: separate by zero bytes, as `find -print0` does).
    The id is the path as it was typed, so that song.mp3 and song.flac, or equal names in two folders, stay apart.

    Raises:
        UsageError: a list cannot be read.
        NmfpError: a folder is unreadable or holds no audio.
    """
    found: dict[str, Input] = {}
    for path, reason in _paths(arguments, lists=True):
        name = os.path.normpath(path)
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            name = os.fsencode(name).decode("utf-8", errors="backslashreplace")
            reason = "its name is not UTF-8; rename it"
        if name in found:
            log.warning("%s is named twice; it is used once", name)
        found.setdefault(name, Input(name, path, reason))
    return list(found.values())


def _paths(arguments: Sequence[str], lists: bool) -> Iterator[tuple[str, str]]:
    for argument in arguments:
        if lists and argument == "-":
            yield from _paths(_names(standard_input().read(), ""), lists=False)
        elif lists and Path(argument).suffix.lower() in LIST_SUFFIXES:
            yield from _paths(read_list(argument), lists=False)
        elif Path(argument).is_dir():
            yield from _folder(argument)
        else:
            yield argument, "" if os.path.lexists(argument) else "no such file"


def state(argument: str) -> str:
    """A digest that another or changed recording alters: in a folder, in a list, or the file that is named itself.

    Raises:
        UsageError: a list cannot be read.
    """
    from nmfp.files import digest  # loads pandas, which --help does not wait for

    named = read_list(argument) if Path(argument).suffix.lower() in LIST_SUFFIXES else [argument]
    return digest([_state_of(name) for name in named])


def _state_of(name: str) -> list:
    from nmfp.config import folder_state

    if os.path.isdir(name):
        return [name, folder_state(name)]
    try:
        status = os.stat(name)
    except OSError:
        return [name, "not there"]  # a row that says so: a recording that comes later alters it
    return [name, status.st_size, status.st_mtime_ns]


def standard_input() -> BinaryIO:
    """Standard input as bytes.

    Raises:
        UsageError: there is none.
    """
    if sys.stdin is None:
        raise UsageError("- names standard input, which is closed; name files instead, or open it.")
    return sys.stdin.buffer


def read_list(path: str) -> list[str]:
    """The names in a list; a list inside it, or `-`, is taken for a recording."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"the list {path} cannot be read ({error.strerror}); correct the name.") from None
    return _names(content, os.path.dirname(path))


def _names(content: bytes, base: str) -> list[str]:
    if b"\0" in content:
        lines = content.split(b"\0")
    else:
        lines = [line for line in content.splitlines() if not line.lstrip().startswith(b"#")]
        lines = [line.strip() for line in lines]
    names = [os.fsdecode(line) for line in lines if line]
    return [os.path.join(base, name) for name in names]


def _folder(folder: str) -> Iterator[tuple[str, str]]:
    from nmfp.datasets.folder import list_audio

    for row in list_audio(Path(folder), "name another").itertuples():
        yield row.path or os.path.join(folder, row.id), row.reason


def select_partition(inputs: list[Input], partition: tuple[int, int] | None) -> list[Input]:
    """Part k of n (counted from 1): disjoint, and together complete."""
    if partition is None:
        return inputs
    k, n = partition
    return inputs[k - 1 :: n]
