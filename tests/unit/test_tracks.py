import pandas as pd
import pytest
from nmfp.datasets import fma, tracks
from nmfp.errors import NmfpError
from nmfp.files import sha256_file, write_csv


def row(name, status="ok", reason="", sha="", samples=8000):
    ok = status == "ok"
    return (
        name,
        f"{name}.wav" if ok else "",
        "any",
        samples if ok else 0,
        sha or f"hash of {name}",
        status,
        reason,
    )


def files(*names, **reasons):
    return pd.DataFrame(
        [(n, f"in/{n}", "any", reasons.get(n, "")) for n in names], columns=["id", "path", "role", "reason"]
    )


def converted(path, *rows):
    write_csv(path, pd.DataFrame(rows, columns=tracks.AUDIO_COLUMNS))
    return path


def test_batches_are_gathered_in_the_order_of_the_files(tmp_path):
    tables = [converted(tmp_path / "1.csv", row("c"), row("a")), converted(tmp_path / "2.csv", row("b"))]
    assert tracks.gather(files("a", "b", "c"), tables)["id"].tolist() == ["a", "b", "c"]


def test_of_equal_files_the_first_stays(tmp_path):
    table = converted(tmp_path / "1.csv", row("b", sha="1"), row("a", sha="1"), row("c", sha="1"), row("d"))
    gathered = tracks.gather(files("a", "b", "c", "d"), [table]).set_index("id")
    assert gathered["status"].tolist() == ["ok", "excluded", "excluded", "ok"]
    assert gathered.loc["b", "reason"] == "duplicate of a"
    assert gathered.loc["b", "path"] == "" and gathered.loc["b", "samples"] == 0


def test_channels_of_one_file_are_no_duplicates(tmp_path):
    table = converted(
        tmp_path / "1.csv", *(row(f"{name}#{k}", sha="1") for name in ("a.wav", "b.wav") for k in (1, 2))
    )
    gathered = tracks.gather(files("a.wav", "b.wav"), [table])
    assert gathered["id"].tolist() == ["a.wav#1", "a.wav#2", "b.wav#1", "b.wav#2"]
    assert gathered["status"].tolist() == ["ok", "ok", "excluded", "excluded"]


def test_unreadable_files_are_no_duplicates_of_each_other(tmp_path):
    failed = [
        ("a", "", "any", 0, "", "failed", "Permission denied"),
        ("b", "", "any", 0, "", "failed", "Permission denied"),
    ]
    gathered = tracks.gather(files("a", "b"), [converted(tmp_path / "1.csv", *failed)])
    assert gathered["status"].tolist() == ["failed", "failed"]


def test_excluded_files_keep_their_reason(tmp_path):
    gathered = tracks.gather(
        files("a", "b", b="known to be silent"), [converted(tmp_path / "1.csv", row("a"))]
    )
    assert gathered.iloc[1].tolist() == ["b", "", "any", 0, "", "excluded", "known to be silent"]


def test_a_removed_file_leaves_no_row(tmp_path):
    assert tracks.gather(files("a"), [converted(tmp_path / "1.csv", row("a"), row("gone"))])[
        "id"
    ].tolist() == ["a"]


def test_a_file_that_no_batch_knows_is_an_error(tmp_path):
    with pytest.raises(NmfpError, match="'b' is in no converted table"):
        tracks.gather(files("a", "b"), [converted(tmp_path / "1.csv", row("a"))])


def fates(ok, failed, excluded=0):
    rows = [row(f"ok{k}") for k in range(ok)] + [
        row(f"bad{k}.mp3", "failed", "empty file") for k in range(failed)
    ]
    rows += [row(f"out{k}", "excluded", "duplicate of x") for k in range(excluded)]
    return pd.DataFrame(rows, columns=tracks.AUDIO_COLUMNS)


@pytest.mark.parametrize(
    "ok, failed, budget, fine",
    [
        (37, 1, 0.01, True),  # one of 38: 2.6 %, and yet no reason to stop
        (35, 3, 0.01, True),
        (34, 4, 0.01, False),
        (990, 10, 0.01, True),
        (989, 11, 0.01, False),
        (37, 1, 0, False),  # 0 means none
        (38, 0, 0, True),
        (50, 50, 0.5, True),
    ],
)
def test_budget(ok, failed, budget, fine, tmp_path):
    check = lambda: tracks.check_budget(fates(ok, failed, 5), budget, "music", tmp_path / "failures.csv")  # noqa: E731
    if fine:
        check()
    else:
        with pytest.raises(
            NmfpError, match=rf"{failed} of {ok + failed} files of the music collection failed.*bad0"
        ):
            check()


def test_a_budget_that_is_passed_says_what_where_and_how_many():
    with pytest.raises(NmfpError) as caught:
        tracks.check_budget(fates(10, 5), 0.01, "music", "logs/music.failures.csv")
    message = str(caught.value)
    for part in ("5 of 15", "0.01", "allows 3", "bad0.mp3: empty file", "logs/music.failures.csv"):
        assert part in message
    assert "bad3" not in message


def test_nothing_usable_is_an_error_whatever_the_budget():
    with pytest.raises(NmfpError, match=r"No file of the noise collection is usable \(bad0.mp3: empty file"):
        tracks.check_budget(fates(0, 2), 1.0, "noise", "failures.csv")


def test_of_a_file_that_changed_only_the_later_row_counts(tmp_path):
    early = converted(tmp_path / "1.csv", row("a", sha="old"), row("b"))
    late = converted(tmp_path / "2.csv", row("a", sha="new"))
    gathered = tracks.gather(files("a", "b"), [early, late])
    assert gathered["id"].tolist() == ["a", "b"] and gathered["sha256"].iloc[0] == "new"


@pytest.mark.parametrize("role", ["database", "query", "unknown", "train"])
def test_a_copy_of_a_file_that_belongs_to_the_training_set_leaves_the_database(tmp_path, role):
    """Its clip is learned from, so its music under another id must not be among what is searched."""
    content = {
        "full/1.mp3": b"one song",
        "full/2.mp3": b"one song",
        "full/3.mp3": b"a song, .",
        "full/4.mp3": b"4",
    }
    for name, data in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    listed = pd.DataFrame(
        [(n, str(tmp_path / n), role, fma.TRAINED if n == "full/1.mp3" else "") for n in content],
        columns=["id", "path", "role", "reason"],
    )
    rows = [row(n, sha=sha256_file(tmp_path / n)) for n in ("full/2.mp3", "full/3.mp3", "full/4.mp3")]
    gathered = tracks.gather(listed, [converted(tmp_path / "1.csv", *rows)]).set_index("id")
    assert gathered["status"].tolist() == ["excluded", "ok" if role == "train" else "excluded", "ok", "ok"]
    if role != "train":
        assert (
            gathered.loc["full/2.mp3", "reason"]
            == "duplicate of full/1.mp3, which belongs to the training set"
        )
        assert gathered.loc["full/2.mp3", "path"] == "" and gathered.loc["full/2.mp3", "samples"] == 0


def test_a_copy_of_a_file_that_nobody_uses_stays(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
    reasons = {"a": "in neither the training nor the validation list", "b": ""}
    listed = pd.DataFrame(
        [(n, str(tmp_path / n), "train", reason) for n, reason in reasons.items()],
        columns=["id", "path", "role", "reason"],
    )
    table = converted(tmp_path / "1.csv", row("b", sha=sha256_file(tmp_path / "b")))
    assert tracks.gather(listed, [table])["status"].tolist() == ["excluded", "ok"]
