"""kill -9 and full disks while archives are fetched and unpacked."""

import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from nmfp.datasets.unpacking import UnpackError, unpack

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow/scripts"
pytestmark = pytest.mark.crash


def members(count=120, size=200_000):
    draw = random.Random(27)
    return {f"fma/{i // 40:03d}/{i:06d}.mp3": draw.randbytes(size) for i in range(count)}


def make_archive(path, files):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as z:
            for name, content in files.items():
                z.writestr(name, content)
    else:
        with tarfile.open(path, "w:xz", preset=0) as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def content_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["a.zip", "a.tar.xz"])
def test_killed_at_any_time_and_run_again_gives_the_same_files(tmp_path, name):
    files = members()
    archive = make_archive(tmp_path / name, files)
    out = tmp_path / "out"
    code = f"from nmfp.datasets.unpacking import unpack; unpack({str(archive)!r}, {str(out)!r}, 2)"
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    partly = set()
    for share in (0.1, 0.4, 0.7):
        process = subprocess.Popen([sys.executable, "-c", code], env=environment)
        while process.poll() is None and len(list(out.rglob("*.mp3"))) < share * len(files):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        whole = {n: c for n, c in content_of(out).items() if ".part-" not in n}
        assert whole.items() <= files.items(), "a member that has its name is whole"
        partly.add(len(whole))
    assert any(0 < n < len(files) for n in partly), "killed in the middle at least once"
    summary = unpack(archive, out, 2)
    assert content_of(out) == files
    assert summary["kept"] == max(partly)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
@pytest.mark.parametrize("name", ["a.zip", "a.tar.xz"])
def test_a_disk_that_fills_up_ends_with_a_sentence_and_a_rerun_goes_on(tmp_path, monkeypatch, name):
    files = members(60)
    archive = make_archive(tmp_path / name, files)
    out = tmp_path / "out"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(out)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine allows no mounts")
    try:
        # the check beforehand would refuse it; another program may fill the disk meanwhile
        monkeypatch.setattr("nmfp.datasets.unpacking.free_bytes", lambda path: 1 << 40)
        with pytest.raises(UnpackError, match="The disk of .* is full.*paths.downloads"):
            unpack(archive, out, 2)
        there = content_of(out)
        assert there.items() <= files.items() and there
        subprocess.run(["mount", "-o", "remount,size=64m", str(out)], check=True)
        assert unpack(archive, out, 2)["kept"] == len(there)
        assert content_of(out) == files
    finally:
        subprocess.run(["umount", str(out)], check=True)
