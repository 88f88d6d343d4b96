"""kill -9 and full disks while a file is fetched."""

import dataclasses
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from nmfp.datasets.downloads import DownloadError, fetch
from nmfp.datasets.sources import Source, archive_path, part_path

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow/scripts"
pytestmark = pytest.mark.crash
FETCH = """
import json, sys
from nmfp.datasets.downloads import fetch
from nmfp.datasets.sources import Source
row = json.loads(sys.argv[1])
fetch(Source(**{**row, "addresses": tuple(row["addresses"])}), sys.argv[2], spare_bytes=0)
"""


@pytest.fixture
def content():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.writestr("song.mp3", random.Random(27).randbytes(8_000_000))
    return buffer.getvalue()


@pytest.fixture
def source(server, content):
    server.files["a.zip"] = content
    return Source(
        name="a",
        set="a",
        version="",
        file="a.zip",
        addresses=(server.address("a.zip"),),
        size=len(content),
        size_about=None,
        checksum_kind="md5",
        checksum=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        archive="zip",
        expected={},
        licence="",
        layout="",
    )


@pytest.mark.parametrize("curl_too", [True, False], ids=["with curl", "without curl"])
def test_a_fetch_killed_in_the_middle_goes_on_where_it_was(server, source, content, tmp_path, curl_too):
    server.pause = 0.1  # seconds between blocks: slow enough to be killed
    part = part_path(archive_path(tmp_path, source))
    command = [sys.executable, "-c", FETCH, json.dumps(dataclasses.asdict(source)), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    while process.poll() is None and not (part.exists() and part.stat().st_size > len(content) // 4):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL) if curl_too else process.kill()
    process.wait()
    here = part.stat().st_size
    assert len(content) // 4 < here < len(content)
    waits = []
    fetch(source, tmp_path, sleep=lambda s: (waits.append(s), time.sleep(0.1)), spare_bytes=0)
    assert archive_path(tmp_path, source).read_bytes() == content
    if curl_too:
        assert server.log[-1][1] == f"bytes={here}-" and server.log[-1][2] == len(content) - here
    else:
        assert waits, "the curl that lived on was waited for"
        assert server.sent("a.zip") == len(content)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_said_and_a_rerun_goes_on(source, content, tmp_path, monkeypatch):
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine allows no mounts")
    try:
        # as if another program filled the disk after the check
        monkeypatch.setattr("nmfp.datasets.downloads.free_bytes", lambda path: 1 << 40)
        with pytest.raises(DownloadError, match="could not be written.*paths.downloads.*a rerun goes on at"):
            fetch(source, tmp_path, spare_bytes=0)
        subprocess.run(["mount", "-o", "remount,size=64m", str(tmp_path)], check=True)
        fetch(source, tmp_path, spare_bytes=0)
        assert archive_path(tmp_path, source).read_bytes() == content
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
