"""nmfp weights fetch, against a server on the loopback address: from an archive to a model that --model knows."""

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest
from nmfp.cli import main
from nmfp.cli.weights import SOURCES

NAME = "nmfp-triplet"
CHECKPOINT = Path(__file__).parents[1] / "reference" / "checkpoint"
MEMBERS = sorted(path.name for path in CHECKPOINT.iterdir())


def archive_of(members) -> bytes:
    """A zip of some members of the reference checkpoint, in a folder as published ones are."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as z:
        for name in members:
            z.writestr(zipfile.ZipInfo(f"{NAME}/{name}"), (CHECKPOINT / name).read_bytes())
    return content.getvalue()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NMFP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def published(server, tmp_path):
    """A function (content of the archive, changed cells of its row) -> table of sources that leads to our server."""

    def publish(content: bytes, **cells) -> Path:
        server.files[f"{NAME}.zip"] = content
        with SOURCES.open(encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
        for row in rows:
            if row["set"] == NAME:
                md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
                row |= {
                    "address": server.address(f"{NAME}.zip"),
                    "size": str(len(content)),
                    "checksum": md5,
                    **cells,
                }
        lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
        (tmp_path / "sources.tsv").write_text("\n".join(lines) + "\n")
        return tmp_path / "sources.tsv"

    return publish


def fetch(table: Path) -> int:
    return main(["weights", "fetch", NAME, "--sources", str(table), "-q"])


def test_the_table_that_comes_with_the_command_is_that_of_the_workflow():
    assert SOURCES.read_text() == (Path(__file__).parents[2] / "config" / "sources.tsv").read_text()


def test_a_good_archive_becomes_a_model_and_is_fetched_once(server, home, published, capsys):
    table = published(archive_of(MEMBERS))
    assert fetch(table) == 0
    assert "nmfp-triplet is ready: use it as --model nmfp-triplet" in capsys.readouterr().err
    model = home / "models" / NAME
    assert json.loads((model / "model.json").read_text())["embedding_size"] > 0
    assert (model / "fingerprinter.xml").is_file()  # identification on a CPU needs no TensorFlow
    assert main(["database", "create", str(home / "empty.db"), "--model", NAME, "-q"]) == 0
    assert not (home / "downloads" / NAME).exists()
    before = server.sent(f"{NAME}.zip")
    assert fetch(table) == 0 and server.sent(f"{NAME}.zip") == before
    assert "is here already" in capsys.readouterr().err


def test_a_wrong_checksum_is_said_with_both_values_and_leaves_nothing(home, published, capsys):
    table = published(archive_of(MEMBERS), checksum="0" * 32)
    assert fetch(table) == 1
    said = capsys.readouterr().err
    assert "its md5 is " in said and f"needs {'0' * 32}" in said and "was deleted" in said
    assert not (home / "models" / NAME).exists()
    assert not list((home / "downloads").rglob("*.zip")) + list((home / "downloads").rglob("*.part"))


def test_an_interrupted_fetch_goes_on_where_it_was(server, home, published, capsys):
    """Without the file `checkpoint`, which lists what the folder shows anyway, and beside another fetch."""
    other = home / "downloads" / "nmfp-multiposcon" / "archives" / "nmfp-multiposcon.zip.part"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"PK\x03\x04")
    content = archive_of(name for name in MEMBERS if name != "checkpoint")
    table, half = published(content), len(content) // 2
    server.faults[f"{NAME}.zip"] = [{"cut": half}, {"status": 404}]
    assert fetch(table) == 1
    assert "answers 404" in capsys.readouterr().err and not (home / "models" / NAME).exists()
    assert fetch(table) == 0
    assert server.log[-1] == (f"{NAME}.zip", f"bytes={half}-", len(content) - half)
    assert (home / "models" / NAME / "model.json").is_file()
    assert other.read_bytes() == b"PK\x03\x04"


@pytest.mark.parametrize(
    ("lost", "sentence"),
    [
        (
            "config.yaml",
            "config.yaml does not exist; the published config.yaml belongs beside the checkpoint",
        ),
        ("ckpt-1.index", "holds no TensorFlow checkpoint"),
        ("ckpt-1.data-00000-of-00001", "cannot be read as a TensorFlow checkpoint"),
    ],
)
def test_an_archive_that_lacks_a_member(home, published, capsys, lost, sentence):
    table = published(archive_of(name for name in MEMBERS if name != lost))
    assert fetch(table) == 1
    said = capsys.readouterr().err
    assert sentence in said and f"to fetch it again delete {home / 'downloads' / NAME}" in said
    assert said.count("\n") == 1 and "Traceback" not in said
    assert not (home / "models" / NAME).exists()


def test_a_table_that_is_not_there(home, tmp_path, capsys):
    assert fetch(tmp_path / "no.tsv") == 1
    assert "no.tsv cannot be read" in capsys.readouterr().err


def test_a_home_that_cannot_be_made(tmp_path, monkeypatch, published, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NMFP_HOME", str(tmp_path / "file"))
    assert fetch(published(archive_of(MEMBERS))) == 1
    assert "set NMFP_HOME to a folder that can be written" in capsys.readouterr().err


def test_of_several_networks_the_user_chooses_and_the_one_used_is_named(home, tmp_path, capsys):
    for name in ("one", "two"):
        for member in MEMBERS:
            (tmp_path / "all" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "all" / name / member).write_bytes((CHECKPOINT / member).read_bytes())
    assert main(["weights", "import", str(tmp_path / "all")]) == 1
    said = capsys.readouterr().err
    assert (
        f"{tmp_path}/all holds 2 networks; name the folder of one: {tmp_path}/all/one, {tmp_path}/all/two."
        in said
    )
    assert not (home / "models" / "all").exists()
    assert main(["weights", "import", str(tmp_path / "all" / "two")]) == 0
    assert f"two is ready, made of {tmp_path}/all/two/ckpt-" in capsys.readouterr().err
