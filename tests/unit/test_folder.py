import os

import pytest
from nmfp.datasets.folder import check_counts, list_folder
from nmfp.errors import NmfpError
from nmfp.files import read_csv, write_csv


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_audio_of_any_suffix_is_listed_in_order(tmp_path):
    for name in (
        "b/2.MP3",
        "b/10.flac",
        "a.ogg",
        "B.Opus",
        "c/d/e.m4a",
        "film.mkv",
        "notes.txt",
        "cover.jpg",
    ):
        touch(tmp_path / name)
    table = list_folder(tmp_path, "music")
    assert table["id"].tolist() == ["B.Opus", "a.ogg", "b/10.flac", "b/2.MP3", "c/d/e.m4a", "film.mkv"]
    assert table["path"].tolist() == [str(tmp_path / name) for name in table["id"]]
    assert set(table["role"]) == {"any"} and set(table["reason"]) == {""}


def test_names_of_every_kind_survive_the_table(tmp_path):
    names = [
        "a b.mp3",
        "qu\"ote's.mp3",
        "new\nline.mp3",
        "ret\rurn.mp3",
        "été 中文.mp3",
        "-dash.mp3",
        "NA.mp3",
        "a,b.mp3",
    ]
    names += [" space .mp3", "1e5.mp3", "#1.mp3", "|pipe;$(x).mp3"]
    for name in names:
        touch(tmp_path / "music" / name)
    write_csv(tmp_path / "files.csv", list_folder(tmp_path / "music", "music"))
    table = read_csv(tmp_path / "files.csv", ["id", "path", "role", "reason"])
    assert table["id"].tolist() == sorted(names)
    assert all(os.path.exists(path) for path in table["path"])


def test_hidden_files_and_folders_are_left_out(tmp_path):
    for name in (".hidden.mp3", ".git/a.mp3", "._a.mp3", "a.mp3"):
        touch(tmp_path / name)
    assert list_folder(tmp_path, "music")["id"].tolist() == ["a.mp3"]


def test_a_link_that_loops_ends(tmp_path):
    touch(tmp_path / "a" / "1.mp3")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    assert list_folder(tmp_path, "music")["id"].tolist() == ["a/1.mp3"]


def test_a_linked_folder_is_followed(tmp_path):
    touch(tmp_path / "store" / "1.mp3")
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "linked").symlink_to(tmp_path / "store")
    assert list_folder(tmp_path / "music", "music")["id"].tolist() == ["linked/1.mp3"]


def test_a_link_to_nothing_is_a_row_with_its_reason(tmp_path):
    touch(tmp_path / "a.mp3")
    (tmp_path / "b.mp3").symlink_to(tmp_path / "gone.mp3")
    table = list_folder(tmp_path, "music").set_index("id")
    assert table.loc["b.mp3", "reason"] == "a link to nothing"
    assert table.loc["a.mp3", "reason"] == ""


def test_a_name_that_is_not_utf8_is_a_row_with_its_reason(tmp_path):
    touch(tmp_path / "a.mp3")
    with open(os.fsencode(tmp_path) + b"/bad\xff.mp3", "wb"):
        pass
    table = list_folder(tmp_path, "music").set_index("id")
    assert "not UTF-8" in table.loc["bad\\xff.mp3", "reason"]
    write_csv(tmp_path / "files.csv", table.reset_index())


def test_a_folder_that_is_not_configured_names_its_key():
    with pytest.raises(NmfpError, match=r"dataset\.folder\.room is not set"):
        list_folder(None, "room")


def test_a_missing_folder_names_path_and_key(tmp_path):
    with pytest.raises(NmfpError, match=r"nowhere does not exist; correct dataset\.folder\.room"):
        list_folder(tmp_path / "nowhere", "room")


def test_a_file_instead_of_a_folder(tmp_path):
    touch(tmp_path / "a.mp3")
    with pytest.raises(NmfpError, match=r"a\.mp3 is not a folder"):
        list_folder(tmp_path / "a.mp3", "music")


def test_an_empty_folder_says_so(tmp_path):
    (tmp_path / "deeper").mkdir()
    with pytest.raises(NmfpError, match=r"is empty; put audio files there"):
        list_folder(tmp_path, "music")


def test_a_folder_without_audio_says_so(tmp_path):
    touch(tmp_path / "a.txt")
    touch(tmp_path / "b.pdf")
    with pytest.raises(NmfpError, match=r"holds 2 files but no audio .*\.flac .*dataset\.folder\.noise"):
        list_folder(tmp_path, "noise")


@pytest.fixture
def folders(tmp_path):
    """The section dataset.folder of folders with as many files as are needed at least."""
    needed = {"music": 4, "noise": 2, "room": 2, "microphone": 2}
    for collection, count in needed.items():
        for n in range(count):
            touch(tmp_path / collection / f"deep/{n}.wav")
    shares = {"training_share": 0.5, "validation_share": 0.1, "unknown_share": 0.1, "test_share": 0.3}
    return {collection: str(tmp_path / collection) for collection in needed} | shares


@pytest.mark.parametrize(
    ("collection", "sentence"),
    [
        (
            "music",
            "holds 3 audio file.*4 are needed, one for each of training, validation, unknown, database; add",
        ),
        (
            "noise",
            "holds 1 audio file.*2 are needed, one for each of training and queries; add recordings",
        ),
    ],
)
def test_too_few_files_are_refused_before_any_step(tmp_path, folders, collection, sentence):
    check_counts(folders, False)
    (tmp_path / collection / "deep/0.wav").rename(tmp_path / collection / "deep/0.txt")
    with pytest.raises(NmfpError, match=f"^dataset.folder.{collection}: .*{sentence}"):
        check_counts(folders, False)


def test_a_share_of_nothing_needs_no_file_and_given_roles_need_none_at_all(tmp_path, folders):
    (tmp_path / "music/deep/0.wav").unlink()
    check_counts(folders | {"unknown_share": 0}, False)
    (tmp_path / "music/deep/1.wav").unlink()
    check_counts(folders, True)
    for n in (2, 3):
        (tmp_path / f"music/deep/{n}.wav").unlink()
    with pytest.raises(NmfpError, match="is empty"):
        check_counts(folders, False)
