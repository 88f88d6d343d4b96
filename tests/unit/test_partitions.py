import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nmfp.datasets.partitions import assign, forget, in_order, read_list, read_registry, write_lists
from nmfp.errors import NmfpError

IDS = st.text(min_size=1, max_size=3)


@given(st.lists(st.sets(IDS, max_size=12), min_size=1, max_size=6), st.integers(1, 5))
def test_lists_stay_disjoint_complete_and_stable(states, size):
    """Each state is what a collection holds at one time: ids come, go and come back in any order."""
    lists, ever = [], set()
    for state in states:
        ever |= state
        after = assign(lists, sorted(state, reverse=len(ever) % 2 == 0), size)
        assert after[: len(lists)] == lists  # what was written stays
        flat = [name for names in after for name in names]
        assert len(flat) == len(set(flat))  # disjoint
        assert set(flat) == ever  # complete, tombstones included
        assert all(0 < len(names) <= size for names in after)
        lists = after


@given(st.lists(IDS, unique=True, max_size=30), st.integers(1, 7))
def test_nothing_new_changes_nothing(ids, size):
    lists = assign([], ids, size)
    assert [name for names in lists for name in names] == ids
    assert assign(lists, reversed(ids), size) == lists
    assert assign(lists, ids[::2], size) == lists


def table(ids, **columns):
    return pd.DataFrame({"id": ids, "reason": "", **columns})


def written(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_written_lists_keep_their_bytes_when_tracks_come_and_go(tmp_path):
    folder, registry = tmp_path / "partitions", tmp_path / "partitions.registry.csv"
    write_lists(table(list("abcdefg")), folder, registry, 3)
    before = written(folder)
    assert list(before) == ["0001.csv", "0002.csv", "0003.csv"]
    assert read_list(folder / "0003.csv") == ["g"]
    for path in folder.iterdir():  # as Snakemake does before it runs a rule again
        path.unlink()
    folder.rmdir()
    write_lists(table(list("bcdefgxyzq")), folder, registry, 3)
    after = written(folder)
    assert {name: after[name] for name in before} == before
    assert read_list(folder / "0004.csv") == ["x", "y", "z"]
    assert read_list(folder / "0005.csv") == ["q"]
    registered = pd.read_csv(registry, dtype={"partition": str}).set_index("id")
    assert registered.loc["a", "present"] == 0 and registered.loc["x", "present"] == 1
    assert registered.loc["q", "partition"] == "0005"


def test_lists_beyond_9999_are_remembered_in_order(tmp_path):
    names = [f"{n:05d}" for n in range(10_050)]
    rows = [(item, "", f"{n + 1:04d}", 1, 1) for n, item in enumerate(names)]
    columns = ["id", "content", "partition", "present", "size"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "registry.csv", index=False)
    assert read_registry(tmp_path / "registry.csv", 1) == [[(item, "")] for item in names]
    assert in_order(["10000", "0002", "9999", "0010"]) == ["0002", "0010", "9999", "10000"]


def test_another_size_starts_again(tmp_path):
    folder, registry = tmp_path / "p", tmp_path / "p.registry.csv"
    write_lists(table(list("abcd")), folder, registry, 2)
    assert write_lists(table(list("dcba")), tmp_path / "q", registry, 4) == [["d", "c", "b", "a"]]


def test_changed_content_is_a_removal_and_an_addition(tmp_path):
    folder, registry = tmp_path / "p", tmp_path / "r.csv"
    first, second = table(list("abc"), sha256=["1", "2", "3"]), table(list("abc"), sha256=["1", "9", "3"])
    write_lists(first, folder, registry, 2)
    before = written(folder)
    assert write_lists(second, folder, registry, 2) == [["a", "b"], ["c"], ["b"]]
    after = written(folder)
    assert {name: after[name] for name in before} == before
    lists = [folder / f"000{n}.csv" for n in (1, 2, 3)]
    assert [read_list(path, second) for path in lists] == [["a"], ["c"], ["b"]]
    assert [read_list(path, first) for path in lists] == [["a", "b"], ["c"], []]


def test_excluded_and_failed_rows_are_in_no_list(tmp_path):
    files = pd.DataFrame({"id": ["a", "b", "c"], "reason": ["", "too old", ""]})
    assert write_lists(files, tmp_path / "p", tmp_path / "r.csv", 9) == [["a", "c"]]
    tracks = table(["a", "b"], status=["ok", "failed"])
    assert write_lists(tracks, tmp_path / "q", tmp_path / "s.csv", 9) == [["a"]]


def test_an_empty_table_makes_an_empty_folder(tmp_path):
    assert write_lists(table([]), tmp_path / "p", tmp_path / "r.csv", 9) == []
    assert list((tmp_path / "p").iterdir()) == []
    assert write_lists(table(["a"]), tmp_path / "p", tmp_path / "r.csv", 9) == [["a"]]


def test_names_of_every_kind_survive(tmp_path):
    names = ['a,"b"\n.mp3', "ret\rurn", " x ", "001", "NA", "été"]
    write_lists(table(names), tmp_path / "p", tmp_path / "r.csv", 99)
    assert read_list(tmp_path / "p" / "0001.csv") == names
    assert write_lists(table([*names, "new"]), tmp_path / "p", tmp_path / "r.csv", 99) == [names, ["new"]]


def test_an_id_that_appears_twice_is_refused(tmp_path):
    with pytest.raises(NmfpError, match="'a' appears twice"):
        write_lists(table(["a", "a"]), tmp_path / "p", tmp_path / "r.csv", 9)


def test_files_that_nobody_has_read_yet_are_told_apart_by_their_state(tmp_path):
    folder, registry = tmp_path / "p", tmp_path / "r.csv"
    first = pd.DataFrame({"id": ["a", "b"], "reason": "", "state": ["1 bytes", "2 bytes"]})
    second = first.assign(state=["1 bytes", "3 bytes"])
    write_lists(first, folder, registry, 5)
    before = written(folder)
    assert write_lists(second, folder, registry, 5) == [["a", "b"], ["b"]]
    assert written(folder)["0001.csv"] == before["0001.csv"]
    assert read_list(folder / "0001.csv", second) == ["a"] and read_list(folder / "0002.csv", second) == ["b"]


def test_what_was_forgotten_comes_again_in_a_new_list(tmp_path):
    """Compaction deletes what was made of removed items: the finished job of their list will not make it again."""
    folder, registry = tmp_path / "lists", tmp_path / "registry.csv"
    table = pd.DataFrame({"id": ["a", "b", "c"], "state": ["1", "2", "3"]})
    write_lists(table, folder, registry, 2)
    left = table[table["id"] != "a"]
    write_lists(left, folder, registry, 2)
    before = [(folder / f"000{n}.csv").read_bytes() for n in (1, 2)]
    forget(registry, left)
    write_lists(left, folder, registry, 2)  # remembered, and no list changes
    assert [(folder / f"000{n}.csv").read_bytes() for n in (1, 2)] == before
    write_lists(table, folder, registry, 2)
    assert [read_list(folder / f"000{n}.csv", table) for n in (1, 2, 3)] == [["b"], ["c"], ["a"]]
    assert (folder / "0002.csv").read_bytes() == before[1]
    stable = [path.read_bytes() for path in sorted(folder.iterdir())]
    write_lists(table, folder, registry, 2)
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == stable


def test_without_contents_nothing_is_forgotten(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"]})
    write_lists(table, tmp_path / "lists", tmp_path / "registry.csv", 2)
    before = (tmp_path / "registry.csv").read_bytes()
    forget(tmp_path / "registry.csv", table[:1])
    forget(tmp_path / "none.csv", table)
    assert (tmp_path / "registry.csv").read_bytes() == before
