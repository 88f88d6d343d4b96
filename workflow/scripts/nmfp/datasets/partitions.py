"""Append-stable lists: the unit of work is a list of ids, and a list never changes once it is written.

New ids open new lists, so that no finished job runs again; removed ids stay in their list as tombstones, and
whoever reads a list takes only the ids that are still in the table beside it.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from nmfp.errors import NmfpError
from nmfp.files import read_csv, write_csv

REGISTRY_COLUMNS = ["id", "content", "partition", "present", "size"]
# In the column `present`: there, gone, and gone with everything that was made of it
PRESENT, GONE, FORGOTTEN = 1, 0, -1
# What tells one content of a file from another: its hash, or, before anyone has read it, its size and time.
CONTENT_COLUMNS = ("sha256", "state")


def assign(previous: Sequence[Sequence], items: Iterable, size: int) -> list[list]:
    """Extend the lists by the items that are in none of them, in order of appearance, at most `size` to a list.

    Args:
        previous: the lists as they are; their content is returned unchanged.
        items: all items (ids, or ids with what names their content) that exist now, unique.
        size: items in a new list.

    Returns:
        The previous lists and, after them, the new ones. None is empty.
    """
    if size < 1:
        raise ValueError("a list must hold at least one id")
    known = {name for names in previous for name in names}
    fresh = [name for name in items if name not in known]
    return [list(names) for names in previous] + [fresh[i : i + size] for i in range(0, len(fresh), size)]


def name(number: int) -> str:
    """Name of a list's files: the first is 0001."""
    return f"{number + 1:04d}"


def in_order(names: Iterable[str]) -> list[str]:
    """Names of lists by their numbers: 9999 comes before 10000, though not as text."""
    return sorted(names, key=int)


def read_list(path: str | Path, table: pd.DataFrame | None = None) -> list[str]:
    """The ids of a list, tombstones included.

    Args:
        table: column id and one of CONTENT_COLUMNS; where it is given and the list names contents, only
            ids of that content count.
    """
    listed = read_csv(path, ["id"], text=("id", *CONTENT_COLUMNS))
    content = content_column(listed)
    if table is not None and content:
        listed = listed.merge(table[["id", content]], on=["id", content])
    return listed["id"].tolist()


def content_column(table: pd.DataFrame) -> str | None:
    """The column of a table that names contents, if it has one."""
    return next((name for name in CONTENT_COLUMNS if name in table), None)


def write_lists(table: pd.DataFrame, folder: str | Path, registry: str | Path, size: int) -> list[list[str]]:
    """Write `folder`/NNNN.csv for the ids of a table, as stable as the registry remembers them.

    Where the table has one of CONTENT_COLUMNS, so have the lists: a file whose content changed leaves its
    id behind as a tombstone and is listed again like a new one.

    Args:
        table: column `id`; rows with a non-empty `reason`, or a `status` other than ok, are left out.
        registry: file outside the folder (Snakemake empties the folder before it runs the
            rule again) with all that was ever seen: `id, content, partition, present,
            size`. With another size everything is cut anew.

    Returns:
        The ids of all lists.

    Raises:
        NmfpError: an id appears twice in the table.
    """
    wanted = table
    if "reason" in wanted:
        wanted = wanted[wanted["reason"] == ""]
    if "status" in wanted:
        wanted = wanted[wanted["status"] == "ok"]
    if wanted["id"].duplicated().any():
        twice = wanted["id"][wanted["id"].duplicated()].iloc[0]
        raise NmfpError(f"The id {twice!r} appears twice in the table; ids must be unique.")
    content = content_column(wanted)
    columns = ["id", content] if content else ["id"]
    contents = wanted[content] if content else [""] * len(wanted)
    items = list(zip(wanted["id"], contents, strict=True))
    present, forgotten = set(items), _forgotten(registry)
    # what comes again after it was forgotten is made again: in the list of before it is another's tombstone
    before = [
        [(i, f"{c}, forgotten") if (i, c) in forgotten & present else (i, c) for i, c in names]
        for names in read_registry(registry, size)
    ]
    lists = assign(before, items, size)
    states = {item: FORGOTTEN for item in forgotten} | dict.fromkeys(items, PRESENT)
    rows = [(*item, name(k), states.get(item, GONE), size) for k, items in enumerate(lists) for item in items]
    # first the registry: a list that exists must be remembered
    write_csv(registry, pd.DataFrame(rows, columns=REGISTRY_COLUMNS))
    Path(folder).mkdir(parents=True, exist_ok=True)
    for k, items in enumerate(lists):
        listed = pd.DataFrame(items, columns=["id", content or "content"])[columns]
        write_csv(Path(folder) / f"{name(k)}.csv", listed)
    return [[item[0] for item in items] for items in lists]


def read_registry(path: str | Path, size: int) -> list[list[tuple[str, str]]]:
    """The lists of (id, content) as written last; none without a registry of this size and form."""
    if not Path(path).exists():
        return []
    registry = read_csv(path, ["id", "partition", "size"], text=("id", "content", "partition"))
    if "content" not in registry or (registry["size"] != size).any():
        return []
    lists = dict(iter(registry.groupby("partition")[["id", "content"]]))
    return [list(lists[name].itertuples(index=False, name=None)) for name in in_order(lists)]


def forget(registry: str | Path, table: pd.DataFrame) -> None:
    """Note that what was made of everything that a table does not hold is deleted: should it come again, it is new.

    Without contents nothing can be noted, since ids alone do not tell a file from what it was.

    Args:
        registry: as `write_lists` left it; nothing is done where there is none.
        table: columns id and one of CONTENT_COLUMNS.
    """
    content = content_column(table)
    if content is None or not Path(registry).exists():
        return
    known = read_csv(registry, REGISTRY_COLUMNS, text=("id", "content", "partition"))
    held = pd.MultiIndex.from_frame(known[["id", "content"]]).isin(
        pd.MultiIndex.from_frame(table[["id", content]])
    )
    write_csv(registry, known.assign(present=known["present"].where(held, FORGOTTEN)))


def _forgotten(registry: str | Path) -> set[tuple[str, str]]:
    if not Path(registry).exists():
        return set()
    known = read_csv(registry, ["id"], text=("id", "content", "partition"))
    if not {"content", "present"} <= set(known):
        return set()
    rows = known[known["present"] == FORGOTTEN]
    return set(rows[["id", "content"]].itertuples(index=False, name=None))
