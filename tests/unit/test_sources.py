from pathlib import Path

import pytest
import yaml
from nmfp.datasets import sources as src
from nmfp.errors import NmfpError

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "config/sources.tsv"


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def test_shipped_table_says_what_the_publishers_say():
    sources = src.read_sources(TABLE)
    assert sources["fma_full"].checksum == "0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab"
    assert sources["fma_full"].addresses == ("https://os.unil.cloud.switch.ch/fma/fma_full.zip",)
    assert sources["fma_full"].size is None and sources["fma_full"].bytes_about == 879 * 2**30
    assert sources["weights_triplet"].size == 172_872_470
    assert sources["weights_triplet"].checksum == "ee8a3358fc5e5cdd09d6d2245d395021"
    assert sources["nafp_mini"].addresses == () and sources["openair"].addresses == ()
    counts = {"train": 0, "test": 0}
    for name in ("mit_survey", "openair", "aachen_air"):
        for role, n in src.expected_of(sources, name).items():
            counts[role] += n
    assert counts == {"train": 364, "test": 109}
    assert src.expected_of(sources, "tut_development") == {"train": 1170}
    assert src.expected_of(sources, "tut_evaluation") == {"test": 390}
    assert src.expected_of(sources, "microphones") == {"train": 564, "test": 144}


def test_no_address_stands_anywhere_else():
    for path in [*(ROOT / "workflow").rglob("*.py"), *(ROOT / "rules").glob("*.smk")]:
        assert "zenodo.org/" not in path.read_text() and "switch.ch" not in path.read_text(), path


def row(**cells):
    base = {c: "" for c in src.COLUMNS} | {"name": "a", "set": "a", "file": "a.zip", "archive": "zip"}
    return base | cells


def write(path, rows, columns=src.COLUMNS):
    lines = ["\t".join(columns), *("\t".join(r[c] for c in columns) for r in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ({"name": "../a"}, "name is '../a'"),
        ({"file": "b/a.zip"}, "file is 'b/a.zip'"),
        ({"archive": "rar"}, "archive is 'rar'; known are zip, tar.xz"),
        ({"address": "ftp://x/y"}, "'ftp://x/y' is no http"),
        ({"address": "http://x/y", "mirrors": "file:///etc/passwd"}, "'file:///etc/passwd' is no http"),
        ({"checksum_kind": "sha1"}, "belong together"),
        ({"checksum_kind": "sha1", "checksum": "12"}, "sha1 '12' is no checksum"),
        ({"checksum_kind": "crc", "checksum": "12"}, "crc '12' is no checksum"),
        ({"size": "7.2 GiB"}, "size is '7.2 GiB'"),
        ({"expected": "train:3"}, "expected holds 'train:3'"),
    ],
)
def test_wrong_cells_are_refused_with_a_sentence(tmp_path, cells, sentence):
    table = write(tmp_path / "sources.tsv", [row(**cells)])
    with pytest.raises(NmfpError) as error:
        src.read_sources(table)
    assert sentence in str(error.value) and "line 2" in str(error.value) and "\n" not in str(error.value)


def test_wrong_tables_are_refused_with_a_sentence(tmp_path):
    with pytest.raises(NmfpError, match="cannot be read"):
        src.read_sources(tmp_path / "none.tsv")
    with pytest.raises(NmfpError, match="lacks the column.*checksum"):
        src.read_sources(write(tmp_path / "a.tsv", [row()], [c for c in src.COLUMNS if c != "checksum"]))
    with pytest.raises(NmfpError, match="occurs twice"):
        src.read_sources(write(tmp_path / "b.tsv", [row(), row()]))
    (tmp_path / "c.tsv").write_text("\t".join(src.COLUMNS) + "\na\ta\n")
    with pytest.raises(NmfpError, match="cells are needed"):
        src.read_sources(tmp_path / "c.tsv")


def test_mirrors_follow_the_address(tmp_path):
    table = write(tmp_path / "s.tsv", [row(address="http://x/1", mirrors="http://y/1 https://z/1")])
    assert src.read_sources(table)["a"].addresses == ("http://x/1", "http://y/1", "https://z/1")


def test_needed_rows_follow_the_configuration(config):
    sources = src.read_sources(TABLE)
    dataset, queries = config["dataset"], config["queries"]
    trained = {"nmfp-triplet": {"loss": {}}}
    names = src.needed_rows(config, trained, sources)
    assert {"fma_metadata", "fma_medium", "fma_full", "nafp_mini", "openair", "tut_development_8"} <= set(
        names
    )
    assert "fma_small" not in names and "nmfp_archive" not in names and len(names) == len(set(names))
    dataset["fma"] |= {f"{kind}_ids": "list.txt" for kind in ("training", "validation", "query")}
    assert "nafp_mini" not in src.needed_rows(config, trained, sources)
    both = src.needed_rows(config, trained | {"nafp": {"degradations": "nafp"}}, sources)
    assert {"nafp_mini", "openair"} <= set(both)
    queries["degradations"] = "nafp"
    names = src.needed_rows(config, {"nafp": {"degradations": "nafp"}}, sources)
    assert "nafp_mini" in names and not {"openair", "microphones"} & set(names), (
        "a second microphone for NAFP"
    )
    queries["degradations"], dataset["source"] = None, "archive"
    assert src.needed_rows(config, trained, sources) == ["nmfp_archive"]
    released = {"released": {"weights": "published", "entry": "weights_triplet", "checkpoint": None}}
    assert src.needed_rows(config, released, sources) == ["nmfp_archive", "weights_triplet"]
    with pytest.raises(NmfpError, match=r"config/models/released.yaml: entry: 'weights_triplet' is no row"):
        src.needed_rows(config, released, {"nmfp_archive": sources["nmfp_archive"]})
    dataset["source"] = "demo"
    assert src.needed_rows(config, trained, sources) == []
    with pytest.raises(NmfpError, match="no row whose set is 'tut_development'"):
        src.rows_of({"a": sources["openair"]}, "tut_development")


def test_plan_says_what_does_not_fit(tmp_path, monkeypatch):
    rows = [row(name=n, set=n, file=f"{n}.zip", address=f"http://x/{n}", size=str(2**30)) for n in "ab"]
    sources = src.read_sources(write(tmp_path / "s.tsv", rows))
    for free, fits in ((4 * 2**30, True), (3 * 2**30, False)):
        monkeypatch.setattr(src, "free_bytes", lambda path, free=free: free)
        text = src.describe_plan(["a", "b"], sources, tmp_path / "downloads")
        assert ("does not fit, 1.0 GiB are missing" in text) is not fits


def test_plan_counts_what_is_left(tmp_path):
    table = write(
        tmp_path / "s.tsv",
        [
            row(name="a", set="a", file="a.zip", address="http://x/a", size="1000"),
            row(name="b", set="b", file="b.zip", address="http://x/b", size_about="500"),
            row(name="c", set="c", file="c.zip", address="http://x/c"),
            row(name="d", set="d", file="d.zip", size_about="70", layout="d/*.wav", licence="free"),
        ],
    )
    sources = src.read_sources(table)
    downloads = tmp_path / "downloads"
    text = src.describe_plan(list(sources), sources, downloads)
    assert "1,570 bytes" in text and "3,140 bytes" in text and "published a size: c." in text
    assert f"put d.zip at {downloads / 'archives/d.zip'}" in text and "paths.downloads" in text

    archives = downloads / "archives"
    archives.mkdir(parents=True)
    (archives / "a.zip.part").write_bytes(bytes(400))
    (archives / "b.zip").write_bytes(bytes(500))
    text = src.describe_plan(["a", "b"], sources, downloads)
    assert "Data still to fetch for this experiment: 600 bytes" in text and "2,100 bytes" in text

    (downloads / "receipts").mkdir()
    for name in "ab":
        src.unpacked_path(downloads, name).write_text("{}")
    assert src.describe_plan(["a", "b"], sources, downloads) == ""
