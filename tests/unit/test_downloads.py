import dataclasses
import hashlib
import io
import json
import shutil
import threading
import time
import zipfile
from collections import namedtuple

import pytest
from nmfp.datasets import downloads as dl
from nmfp.datasets.sources import Source, archive_path, part_path, receipt_path, unpacked_record_path

PATH = "data/songs.zip"


def make_zip(size=300_000):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.writestr("song.mp3", hashlib.shake_128(b"song").digest(size))
    return buffer.getvalue()


@pytest.fixture
def content():
    return make_zip()


@pytest.fixture
def source(server, content):
    server.files[PATH] = content
    return Source(
        name="songs",
        set="songs",
        version="1",
        file="songs.zip",
        addresses=(server.address(PATH),),
        size=len(content),
        size_about=None,
        checksum_kind="sha1",
        checksum=hashlib.sha1(content).hexdigest(),
        archive="zip",
        expected={},
        licence="",
        layout="song.mp3",
    )


def visible(folder):
    return [p.name for p in folder.iterdir() if not p.name.endswith(".lock")]


def fetch(source, folder, pauses=(0, 0), waits=None):
    return dl.fetch(source, folder, pauses, (waits if waits is not None else []).append, spare_bytes=0)


def test_fetched_file_is_in_place_with_its_receipt(source, content, tmp_path):
    receipt = fetch(source, tmp_path)
    assert archive_path(tmp_path, source).read_bytes() == content
    assert not part_path(archive_path(tmp_path, source)).exists()
    assert receipt["origin"] == "fetched" and receipt["checksum"] == source.checksum
    assert json.loads(receipt_path(tmp_path, "songs").read_text()) == receipt


def test_cut_at_60_percent_goes_on_without_sending_bytes_twice(server, source, content, tmp_path):
    server.faults[PATH] = [{"cut": int(0.6 * len(content))}]
    waits = []
    fetch(source, tmp_path, pauses=(7, 8), waits=waits)
    assert archive_path(tmp_path, source).read_bytes() == content
    assert waits == [7]
    assert server.sent(PATH) == len(content)
    assert server.log[1][1] == f"bytes={int(0.6 * len(content))}-"


def test_a_killed_fetch_goes_on_in_the_next_run(server, source, content, tmp_path):
    part = part_path(archive_path(tmp_path, source))
    part.parent.mkdir(parents=True)
    part.write_bytes(content[:1000])
    fetch(source, tmp_path)
    assert archive_path(tmp_path, source).read_bytes() == content
    assert server.sent(PATH) == len(content) - 1000


def test_two_that_share_the_folder_fetch_once(server, source, content, tmp_path):
    """Both have found nothing there when the first begins."""
    waiting, receipts = [], []

    def wait(seconds):
        waiting.append(seconds)
        time.sleep(0.01)

    def run():
        receipts.append(dl.fetch(source, tmp_path, (0, 0), wait, spare_bytes=0))

    part = part_path(archive_path(tmp_path, source))
    part.parent.mkdir(parents=True)
    threads = [threading.Thread(target=run) for _ in range(2)]
    with dl._alone(part, time.sleep):
        for n, thread in enumerate(threads):
            before = len(waiting)
            thread.start()
            while len(waiting) < before + n + 1:
                time.sleep(0.01)
    for thread in threads:
        thread.join(60)
    assert receipts[0] == receipts[1] and receipts[0]["origin"] == "fetched"
    assert server.sent(PATH) == len(content)


def test_what_another_fetched_unpacked_and_deleted_is_not_fetched_again(server, source, tmp_path):
    receipt = fetch(source, tmp_path)
    archive_path(tmp_path, source).unlink()
    unpacked_record_path(tmp_path, "songs").write_text("{}")
    assert fetch(source, tmp_path) == receipt and len(server.log) == 1
    receipt_path(tmp_path, "songs").unlink()  # as Snakemake does, and as a user is told to
    assert fetch(source, tmp_path) == receipt and len(server.log) == 2


def test_pauses_grow_and_end(server, source, tmp_path):
    server.faults[PATH] = [{"status": 503}] * 9
    waits = []
    with pytest.raises(dl.DownloadError, match="failed 4 times in a row.*503.*put the file at"):
        fetch(source, tmp_path, pauses=(1, 5, 60), waits=waits)
    assert waits == [1, 5, 60]
    assert list(dl.PAUSES) == sorted(dl.PAUSES)


def test_a_try_that_brought_bytes_starts_the_pauses_over(server, source, content, tmp_path):
    server.faults[PATH] = [{"status": 503}, {"cut": 50_000}, {"status": 503}, {"cut": 50_000}]
    waits = []
    fetch(source, tmp_path, pauses=(1, 2), waits=waits)
    assert waits == [1, 1, 2, 1]
    assert server.sent(PATH) == len(content)


@pytest.mark.parametrize("known_size", [True, False])
def test_wrong_checksum_is_deleted_and_both_values_said(source, tmp_path, known_size):
    wrong = dataclasses.replace(source, checksum="0" * 40, size=source.size if known_size else None)
    with pytest.raises(dl.DownloadError) as error:
        fetch(wrong, tmp_path)
    assert (
        source.checksum in str(error.value) and "0" * 40 in str(error.value) and "deleted" in str(error.value)
    )
    assert visible(tmp_path / "archives") == []
    assert not receipt_path(tmp_path, "songs").exists()


@pytest.mark.parametrize("known_size", [True, False])
def test_html_page_instead_of_an_archive(server, source, tmp_path, known_size):
    server.faults[PATH] = [{"html": True}]
    with pytest.raises(dl.DownloadError, match="answers with text/html that is no zip archive; deleted"):
        fetch(dataclasses.replace(source, size=source.size if known_size else None), tmp_path)
    assert visible(tmp_path / "archives") == []


def test_mirror_takes_over(server, source, content, tmp_path):
    server.files["mirror/songs.zip"] = content
    server.files["bad/songs.zip"] = make_zip(1234)
    addresses = (
        server.address("gone.zip"),
        server.address("bad/songs.zip"),
        server.address("mirror/songs.zip"),
    )
    fetch(dataclasses.replace(source, addresses=addresses, size=None), tmp_path)
    assert archive_path(tmp_path, source).read_bytes() == content


def test_server_that_ignores_ranges_sends_all_again(server, source, content, tmp_path):
    server.faults[PATH] = [{"cut": 1000}, {"ignore_ranges": True}]
    fetch(source, tmp_path)
    assert archive_path(tmp_path, source).read_bytes() == content


def test_a_page_in_the_middle_of_a_fetch_does_not_cost_what_is_here(server, source, content, tmp_path):
    server.faults[PATH] = [{"cut": 100_000}, {"html": True}]
    waits = []
    fetch(source, tmp_path, pauses=(1, 2), waits=waits)
    assert archive_path(tmp_path, source).read_bytes() == content
    assert server.log[-1][1] == "bytes=100000-" and len(waits) == 2


def test_a_shorter_file_is_said_and_a_mirror_goes_on_with_it(server, source, content, tmp_path):
    server.files["short.zip"] = content[:5000]
    short = server.address("short.zip")
    with pytest.raises(dl.DownloadError, match="holds no more than 5,000 of"):
        fetch(dataclasses.replace(source, addresses=(short,)), tmp_path)
    fetch(dataclasses.replace(source, addresses=(short, server.address(PATH))), tmp_path)
    assert archive_path(tmp_path, source).read_bytes() == content
    assert server.sent(PATH) == len(content) - 5000


@pytest.mark.parametrize("endless", [10, 5_000_000])
def test_too_many_bytes_are_refused(server, source, tmp_path, endless):
    server.faults[PATH] = [{"endless": endless}]
    with pytest.raises(dl.DownloadError, match="sends more than the"):
        fetch(source, tmp_path)
    assert visible(tmp_path / "archives") == []


def test_a_size_that_is_known_roughly_ends_what_has_no_end(server, source, content, tmp_path):
    rough = dataclasses.replace(source, size=None, size_about=len(content) - len(content) // 50)
    server.faults[PATH] = [{"endless": 5_000_000}]
    with pytest.raises(dl.DownloadError, match="sends more than the"):
        fetch(rough, tmp_path)
    assert visible(tmp_path / "archives") == []
    fetch(rough, tmp_path)
    assert archive_path(tmp_path, source).read_bytes() == content


def test_longer_part_is_begun_again(source, content, tmp_path):
    part = part_path(archive_path(tmp_path, source))
    part.parent.mkdir(parents=True)
    part.write_bytes(content + b"more")
    fetch(source, tmp_path)
    assert archive_path(tmp_path, source).read_bytes() == content


@pytest.mark.parametrize("known_size", [True, False])
def test_complete_part_only_needs_its_name(server, source, content, tmp_path, known_size):
    part = part_path(archive_path(tmp_path, source))
    part.parent.mkdir(parents=True)
    part.write_bytes(content)
    fetch(dataclasses.replace(source, size=source.size if known_size else None), tmp_path)
    assert archive_path(tmp_path, source).read_bytes() == content
    assert server.sent(PATH) == 0


def test_file_put_in_place_is_checked_and_used(server, source, content, tmp_path):
    archive = archive_path(tmp_path, source)
    archive.parent.mkdir(parents=True)
    archive.write_bytes(content)
    assert fetch(source, tmp_path)["origin"] == "placed"
    assert server.log == []
    with pytest.raises(dl.DownloadError, match="replace or remove it"):
        fetch(dataclasses.replace(source, checksum="1" * 40), tmp_path)
    assert archive.read_bytes() == content, "the user's file stays"
    unchecked = dataclasses.replace(source, checksum="", checksum_kind="", size=None)
    assert fetch(unchecked, tmp_path)["checksum"] == ""


def test_no_address_and_no_file_says_where_to_put_it(source, tmp_path):
    orphan = dataclasses.replace(source, addresses=())
    with pytest.raises(
        dl.DownloadError, match=f"put songs.zip at {tmp_path}/archives/songs.zip, or its content into"
    ):
        fetch(orphan, tmp_path)
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs/song.mp3").write_bytes(b"x")
    assert fetch(orphan, tmp_path)["origin"] == "folder"


def test_disk_space_is_checked_before_the_first_byte(server, source, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 2 * source.size - 1))
    with pytest.raises(dl.DownloadError, match="nothing was fetched.*paths.downloads"):
        fetch(source, tmp_path)
    assert server.log == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 2 * source.size))
    fetch(source, tmp_path)


def test_missing_curl_is_named(source, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(dl.DownloadError, match="curl is missing"):
        fetch(source, tmp_path)
