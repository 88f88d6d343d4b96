import errno
import io
import json
import stat
import tarfile
import threading
import zipfile
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import unpack
from nmfp.datasets import unpacking as up
from nmfp.datasets.sources import Source
from nmfp.errors import NmfpError
from nmfp.files import write_json

FILES = {"fma/000/000002.mp3": b"two" * 1000, "fma/000/000005.mp3": b"five" * 2000, "fma/README.txt": b""}


def make_zip(path, files=FILES, compression=zipfile.ZIP_BZIP2):
    with zipfile.ZipFile(path, "w", compression) as z:
        for name, content in files.items():
            z.writestr(name, content)
    return path


def make_tar(path, files=FILES):
    with tarfile.open(path, "w:xz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def content_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


@pytest.fixture(params=["zip", "bzip2", "tar.xz"])
def archive(request, tmp_path):
    if request.param == "tar.xz":
        return make_tar(tmp_path / "a.tar.xz")
    return make_zip(
        tmp_path / "a.zip",
        compression=zipfile.ZIP_BZIP2 if request.param == "bzip2" else zipfile.ZIP_DEFLATED,
    )


@pytest.mark.parametrize("threads", [1, 4])
def test_every_member_arrives(archive, tmp_path, threads):
    summary = up.unpack(archive, tmp_path / "out", threads)
    assert content_of(tmp_path / "out") == FILES
    assert summary == {"files": 3, "bytes": 11000, "kept": 0}


def test_what_is_there_is_kept_and_strangers_are_left_alone(archive, tmp_path):
    out = tmp_path / "out"
    up.unpack(archive, out)
    (out / "fma/000/000005.mp3").unlink()
    (out / "mine.txt").write_text("mine")
    before = (out / "fma/000/000002.mp3").stat().st_mtime_ns
    assert up.unpack(archive, out)["kept"] == 2
    assert content_of(out) == FILES | {"mine.txt": b"mine"}
    assert (out / "fma/000/000002.mp3").stat().st_mtime_ns == before


@pytest.mark.parametrize("wrong", [b"owt" * 1000, b"tw"])
def test_another_file_in_the_way_is_not_overwritten(archive, tmp_path, wrong):
    place = tmp_path / "out/fma/000/000002.mp3"
    place.parent.mkdir(parents=True)
    place.write_bytes(wrong)
    with pytest.raises(up.UnpackError, match="000002.mp3 is there already and differs"):
        up.unpack(archive, tmp_path / "out")
    assert place.read_bytes() == wrong


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/evil", "..", "a\\..\\..\\evil", "C:/evil", "C:\\evil"]
)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_members_that_leave_the_folder_are_refused(tmp_path, name, make):
    archive = make(tmp_path / ("a.zip" if make is make_zip else "a.tar.xz"), {name: b"evil"})
    with pytest.raises(up.UnpackError, match="would leave the folder"):
        up.unpack(archive, tmp_path / "deep/out")
    assert content_of(tmp_path / "deep") == {}
    assert not (tmp_path / "evil").exists() and not Path("/tmp/evil").exists()


def test_a_zip_with_one_evil_member_writes_nothing(tmp_path):
    archive = make_zip(tmp_path / "a.zip", FILES | {"../evil": b""})
    with pytest.raises(up.UnpackError):
        up.unpack(archive, tmp_path / "out")
    assert content_of(tmp_path / "out") == {}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as tar:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc"
        tar.addfile(info)
    with pytest.raises(up.UnpackError, match="is a link or device"):
        up.unpack(tmp_path / "a.tar.xz", tmp_path / "out")


def test_links_in_a_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        z.writestr(info, "/etc")
    with pytest.raises(up.UnpackError, match="is a link or device"):
        up.unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_link_that_lies_in_the_folder_is_not_followed_out_of_it(archive, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/fma").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(up.UnpackError, match="meets a link"):
        up.unpack(archive, tmp_path / "out")
    assert content_of(tmp_path / "elsewhere") == {}


def test_the_folder_itself_may_be_a_link_to_a_larger_disk(archive, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    up.unpack(archive, tmp_path / "out")
    assert content_of(tmp_path / "disk") == FILES


@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_cut_archives_are_broken_not_accepted(archive, tmp_path, share):
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(up.UnpackError, match="is broken"):
        up.unpack(archive, tmp_path / "out")
    assert not [n for n in content_of(tmp_path / "out") if ".part" in n]


def test_flipped_bits_are_noticed(tmp_path):
    archive = make_zip(tmp_path / "a.zip", compression=zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"five" * 2000, b"live" * 2000))
    with pytest.raises(up.UnpackError, match="is broken"):
        up.unpack(archive, tmp_path / "out")
    assert "fma/000/000005.mp3" not in content_of(tmp_path / "out")


def test_too_little_space_is_said_before_unpacking(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(0, 0, up.SPARE_BYTES + 10_999))
    with pytest.raises(up.UnpackError, match="point paths.downloads to a larger disk"):
        up.unpack(make_zip(tmp_path / "a.zip"), tmp_path / "out")
    assert content_of(tmp_path / "out") == {}


def test_a_disk_that_fills_up_is_said_and_a_rerun_goes_on(archive, tmp_path, monkeypatch):
    real = up._write
    written = []

    def full(member, target, from_archive):
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(target)
        real(member, target, from_archive)

    monkeypatch.setattr(up, "_write", full)
    with pytest.raises(up.UnpackError, match="is full.*paths.downloads"):
        up.unpack(archive, tmp_path / "out")
    monkeypatch.setattr(up, "_write", real)
    assert up.unpack(archive, tmp_path / "out")["kept"] == 1
    assert content_of(tmp_path / "out") == FILES


SONGS = Source("songs", "songs", "1", "songs.zip", (), None, None, "sha1", "0" * 40, "zip", {}, "", "")
RECEIPT = {"origin": "fetched", "checksum": SONGS.checksum}


@pytest.fixture
def downloads(tmp_path):
    """A folder with songs.zip fetched into it."""
    (tmp_path / "archives").mkdir()
    make_zip(tmp_path / "archives/songs.zip")
    write_json(tmp_path / "receipts/songs.json", RECEIPT)
    return tmp_path


def unpack_rule(downloads, monkeypatch):
    monkeypatch.setattr(unpack, "read_sources", lambda table: {"songs": SONGS})
    return SimpleNamespace(
        input=SimpleNamespace(receipt=downloads / "receipts/songs.json"),
        output=SimpleNamespace(manifest=downloads / "receipts/songs.unpacked.json"),
        params=SimpleNamespace(downloads=downloads, table="sources.tsv"),
        wildcards=SimpleNamespace(source="songs"),
        config={"dataset": {"keep_archives": False}},
        threads=2,
        log=[str(downloads / "unpack.log")],
    )


def test_a_kill_before_the_manifest_does_not_cost_the_archive(downloads, monkeypatch):
    rule = unpack_rule(downloads, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(unpack, "write_json", lambda *arguments: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            unpack.main(rule)
    unpack.main(rule)
    manifest = json.loads(Path(rule.output.manifest).read_text())
    assert manifest == {
        "name": "songs", "set": "songs", "checksum": SONGS.checksum, "files": 3, "bytes": 11000
    }  # fmt: skip
    assert content_of(downloads / "songs") == FILES and not (downloads / "archives/songs.zip").exists()


def test_an_archive_that_is_gone_without_having_been_unpacked_is_fetched_again(downloads):
    (downloads / "archives/songs.zip").unlink()
    with pytest.raises(NmfpError, match="songs.zip is gone; delete .*receipts/songs.json to have it fetched"):
        up.unpack_source(SONGS, downloads, RECEIPT, 1, True)


def test_two_that_share_the_folder_unpack_once(downloads, monkeypatch):
    running, calls, manifests, real = threading.Event(), [], [], up.unpack

    def slow(archive, folder, threads):
        calls.append(archive)
        running.set()
        second.start()
        second.join(0.3)
        assert second.is_alive(), "the second waits"
        return real(archive, folder, threads)

    def run():
        manifests.append(up.unpack_source(SONGS, downloads, RECEIPT, 1, False, pause=0.01))

    monkeypatch.setattr(up, "unpack", slow)
    first, second = threading.Thread(target=run), threading.Thread(target=run)
    first.start()
    assert running.wait(30)
    first.join(30)
    second.join(30)
    assert len(calls) == 1 and len(manifests) == 2 and manifests[0] == manifests[1]
    assert content_of(downloads / "songs") == FILES
