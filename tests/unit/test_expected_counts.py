"""Counts in sources.tsv are asserted where the music is listed; the configuration can let another number pass."""

from types import SimpleNamespace

import list_archive
import list_fma
import pytest
from nmfp.datasets.sources import COLUMNS
from nmfp.files import read_csv


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def write_table(path, **expected):
    rows = [
        dict.fromkeys(COLUMNS, "") | {"name": n, "set": n, "file": "a.zip", "archive": "zip"}
        for n in expected
    ]
    for row in rows:
        row["expected"] = expected[row["name"]]
    lines = ["\t".join(COLUMNS), *("\t".join(row[c] for c in COLUMNS) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def assert_says(folder, sentence):
    said = (folder / "log").read_text()
    assert sentence in said and "set dataset.fma.check_counts to false" in said and "Traceback" not in said


@pytest.fixture
def run(tmp_path):
    """A function (script, params) that calls a script as Snakemake does and returns the ids it lists."""

    def call(script, **params):
        files = tmp_path / "files.csv"
        job = SimpleNamespace(
            params=SimpleNamespace(downloads=str(tmp_path), **params),
            output=SimpleNamespace(files=str(files)),
            log=[str(tmp_path / "log")],
        )
        script.main(job)
        return read_csv(files, ["id"])["id"].tolist()

    return call


@pytest.fixture
def fma(tmp_path):
    nafp = "nafp_mini/set/music"
    touch(
        tmp_path,
        *(f"fma_{subset}/x/000/00000{n}.mp3" for subset in ("medium", "full") for n in (2, 3, 5)),
        f"{nafp}/train-10k-30s/000/000002.wav",
        f"{nafp}/val-query-db-500-30s/db/000/000003.wav",
        f"{nafp}/test-query-db-500-30s/db/000/000005.wav",
    )
    (tmp_path / "fma_metadata").mkdir()
    (tmp_path / "fma_metadata/tracks.csv").write_text(",t\n,t\ntrack_id,\n2,a\n3,a\n5,a\n")
    return {"training_ids": None, "validation_ids": None, "query_ids": None, "check_counts": True}


RIGHT = {
    "fma_medium": "files=3",
    "fma_full": "files=3",
    "nafp_mini": "train=1 validation=1 queries=1",
}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"fma_full": "files=4"}, "fma_full holds 3 mp3 files, but sources.tsv expects files=4"),
        ({"nafp_mini": "train=9"}, "nafp_mini names 1 training ids, but sources.tsv expects train=9"),
        ({"nafp_mini": "queries=9"}, "nafp_mini names 1 query ids, but sources.tsv expects queries=9"),
    ],
)
def test_fma_and_its_lists_hold_what_the_table_expects(fma, run, tmp_path, wrong, sentence):
    right = write_table(tmp_path / "right.tsv", **RIGHT)
    assert len(run(list_fma, fma=fma, table=right)) == 6
    table = write_table(tmp_path / "wrong.tsv", **RIGHT | wrong)
    with pytest.raises(SystemExit):
        run(list_fma, fma=fma, table=table)
    assert_says(tmp_path, sentence)
    assert len(run(list_fma, fma=fma | {"check_counts": False}, table=table)) == 6


def test_a_list_of_the_users_own_may_have_any_length(fma, run, tmp_path):
    (tmp_path / "ids.txt").write_text("2\n")
    table = write_table(tmp_path / "s.tsv", **RIGHT | {"nafp_mini": "train=9 validation=1 queries=1"})
    assert len(run(list_fma, fma=fma | {"training_ids": str(tmp_path / "ids.txt")}, table=table)) == 6


@pytest.mark.parametrize(
    ("expected", "sentence"),
    [
        ("train=2 queries=1", "holds 1 training chunks, but sources.tsv expects train=2"),
        ("train=1 queries=2", "holds 1 degraded queries, but sources.tsv expects queries=2"),
    ],
)
def test_the_archive_holds_what_the_table_expects(run, tmp_path, expected, sentence):
    root = "nmfp_archive/neural-music-fp-dataset"
    touch(
        tmp_path,
        f"{root}/music/train/000/000002.wav",
        f"{root}/music/test/database/000/000003.wav",
        f"{root}/music/test/queries/clean-time_shifted-degraded/000/000003.wav",
        f"{root}/degradation/README",
    )
    table = write_table(tmp_path / "s.tsv", nmfp_archive=expected)
    with pytest.raises(SystemExit):
        run(list_archive, check_counts=True, table=table)
    assert_says(tmp_path, sentence)
    assert run(list_archive, check_counts=False, table=table) == [
        "train/000/000002.wav",
        "test/database/000/000003.wav",
    ]
