import pytest
from nmfp.datasets import fma
from nmfp.errors import NmfpError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


@pytest.fixture
def folders(tmp_path):
    numbers = (2, 3, 5, 10, 20, 30, 40, 1486, 98565)
    names = [f"{n:06d}"[:3] + f"/{n:06d}.mp3" for n in numbers]
    medium = touch(tmp_path / "fma_medium", *(f"fma_medium/{n}" for n in names), "fma_medium/README.txt")
    full = touch(tmp_path / "fma_full", *(f"fma_full/{n}" for n in names), "fma_full/000/._000002.mp3")
    return medium, full


IDS = {"training": {2, 3, 1486}, "validation": {5}, "query": {20}}


def by_id(table):
    return {row.id: (row.role, row.reason) for row in table.itertuples()}


def test_roles_follow_the_lists(folders):
    rows = by_id(fma.list_music(*folders, IDS))
    assert len(rows) == 18
    assert rows["medium/000/000002.mp3"] == ("train", "")
    assert rows["medium/000/000005.mp3"] == ("validation", "")
    assert rows["medium/000/000010.mp3"][1] == "in neither the training nor the validation list"
    assert rows["full/000/000002.mp3"][1] == "belongs to the training set"
    assert rows["full/000/000005.mp3"] == ("unknown", "")
    assert rows["full/000/000020.mp3"] == ("query", "")
    assert rows["full/000/000010.mp3"] == ("database", "")
    assert "no or too short audio" in rows["medium/001/001486.mp3"][1]


def test_the_list_of_silent_clips_takes_no_full_track_away(folders):
    rows = fma.list_music(*folders, IDS | {"training": {2, 3}}).set_index("id")
    assert rows.loc["full/001/001486.mp3", ["role", "reason"]].tolist() == ["database", ""]
    assert rows.loc["full/098/098565.mp3", ["role", "reason"]].tolist() == ["database", ""]


def test_the_known_silent_clips_are_those_of_fma():
    assert len(fma.UNUSABLE) == 25
    assert {1486, 5574, 65753, 80391, 98558, 98569, 98571, 99134, 143992} <= fma.UNUSABLE
    assert 98570 not in fma.UNUSABLE and 98557 not in fma.UNUSABLE


def test_a_track_has_one_role(folders):
    with pytest.raises(NmfpError, match="training_ids and dataset.fma.query_ids both hold track 000002"):
        fma.list_music(*folders, IDS | {"query": {2}})


def test_ids_that_fma_does_not_know_are_refused(folders, tmp_path):
    table = tmp_path / "fma_metadata/fma_metadata/tracks.csv"
    table.parent.mkdir(parents=True)
    table.write_text(',album,track\n,title,title\ntrack_id,,\n2,"Two\nlines",x\n3,a,b\n5,,\n1486,,\n20,,\n')
    known = fma.metadata_ids(tmp_path / "fma_metadata")
    assert known == {2, 3, 5, 20, 1486}
    fma.list_music(*folders, IDS, known)
    with pytest.raises(NmfpError, match="dataset.fma.query_ids holds track 000021, which FMA does not know"):
        fma.list_music(*folders, IDS | {"query": {21}}, known)
    table.write_text("<html>")
    with pytest.raises(NmfpError, match="tracks.csv cannot be read"):
        fma.metadata_ids(tmp_path / "fma_metadata")


def test_lists_that_fit_nothing_are_refused(folders, tmp_path):
    with pytest.raises(NmfpError, match="is in the training list"):
        fma.list_music(*folders, IDS | {"training": {999}})
    (tmp_path / "empty").mkdir()
    with pytest.raises(NmfpError, match="holds no mp3"):
        fma.list_music(tmp_path / "empty", folders[1], IDS)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("000/000002.mp3", 2),
        ("000002", 2),
        ("2", 2),
        ("143992.wav", 143992),
        ("000000", 0),
        ("README.txt", None),
    ],
)
def test_track_ids_are_read_from_names(name, number):
    assert fma.track_id(name) == number


def test_id_lists(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("# NAFP\n000002\n\n5   # five\n143/143992.mp3\n")
    assert fma.read_ids(path, "dataset.fma.query_ids") == {2, 5, 143992}
    path.write_text("000002\ntwo\n")
    with pytest.raises(NmfpError, match="dataset.fma.query_ids: line 2 of .* is 'two'"):
        fma.read_ids(path, "dataset.fma.query_ids")
    path.write_text("# nothing\n")
    with pytest.raises(NmfpError, match="holds no track id"):
        fma.read_ids(path, "dataset.fma.query_ids")
    with pytest.raises(NmfpError, match="cannot be read"):
        fma.read_ids(tmp_path / "none.txt", "dataset.fma.query_ids")


def test_nafp_ids_are_the_names_of_its_mini_set(tmp_path):
    music = "neural-audio-fp-dataset/music"
    touch(
        tmp_path,
        f"{music}/train-10k-30s/fma_small_8k_plus_medium_2k/000/000002.wav",
        f"{music}/train-10k-30s/fma_small_8k_plus_medium_2k/000/000003.wav",
        f"{music}/val-query-db-500-30s/db/000/000005.wav",
        f"{music}/val-query-db-500-30s/query/000/000099.wav",
        f"{music}/test-query-db-500-30s/db/000/000020.wav",
    )
    assert {kind: fma.nafp_ids(tmp_path, kind) for kind in fma.NAFP_FOLDERS} == {
        "training": {2, 3},
        "validation": {5},
        "query": {20},
    }
    with pytest.raises(NmfpError, match="train-10k-30s.*or name a list in dataset.fma.training_ids"):
        fma.nafp_ids(tmp_path / "neural-audio-fp-dataset/music/val-query-db-500-30s", "training")
