import json
import logging
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from nmfp import files
from nmfp.errors import NmfpError


def test_atomic_leaves_the_old_file_when_the_writer_fails(tmp_path):
    path = tmp_path / "table.csv"
    files.write_text(path, "old")
    with pytest.raises(ZeroDivisionError), files.atomic(path) as temporary:
        temporary.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_atomic_keeps_the_suffix_and_the_usual_permissions(tmp_path):
    with files.atomic(tmp_path / "deep" / "a.wav") as temporary:
        assert temporary.suffix == ".wav"
        assert temporary.parent == tmp_path / "deep"
        temporary.write_bytes(b"x")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "deep" / "a.wav").stat().st_mode & 0o777 == 0o666 & ~umask


def test_atomic_leaves_the_umask_of_the_process_alone(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            # even for a moment: files that other threads make meanwhile would be writable by all
            patch.setattr(os, "umask", lambda mask: pytest.fail(f"the umask was set to {mask:o}"))
            files.write_text(tmp_path / "table.csv", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "table.csv").stat().st_mode & 0o777 == 0o640


def test_names_that_look_like_numbers_or_missing_values_stay_text(tmp_path):
    table = pd.DataFrame({"id": ["000123", "NA", 'a "quoted",\nname', "ünïcode"], "samples": [1, 2, 3, 4]})
    files.write_csv(tmp_path / "t.csv", table)
    pd.testing.assert_frame_equal(files.read_csv(tmp_path / "t.csv", ["id", "samples"]), table)


@pytest.mark.parametrize("content", [None, b"", b"id\n1\n", b"\xff\xfe\x00"])
def test_a_table_that_is_no_table_is_refused_by_name(tmp_path, content):
    path = tmp_path / "tracks.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NmfpError, match="tracks.csv"):
        files.read_csv(path, ["id", "samples"])


@pytest.mark.parametrize("content", [None, "", "[1]", "{"])
def test_broken_json_is_refused_by_name(tmp_path, content):
    path = tmp_path / "database.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(NmfpError, match="database.json"):
        files.read_json(path)


def test_arrays_are_written_without_pickle(tmp_path):
    with pytest.raises(ValueError):
        files.write_npy(tmp_path / "a.npy", np.array([{}], dtype=object))
    assert not list(tmp_path.iterdir())


def test_draws_belong_to_their_key():
    first = files.generator(27, "query", "000/000123.mp3").random(4)
    np.testing.assert_array_equal(first, files.generator(27, "query", "000/000123.mp3").random(4))
    assert not np.array_equal(first, files.generator(27, "query", "000/000124.mp3").random(4))
    assert not np.array_equal(first, files.generator(28, "query", "000/000123.mp3").random(4))


def test_digest_ignores_the_order_of_keys_and_nothing_else():
    assert files.digest({"a": 1, "b": 2}) == files.digest({"b": 2, "a": 1})
    assert files.digest([1, 2]) != files.digest([2, 1])
    assert files.digest("1") != files.digest(1)


def test_a_users_error_ends_a_script_with_one_sentence(tmp_path):
    code = (
        "from nmfp.files import script_log; from nmfp.errors import NmfpError\n"
        f"with script_log({str(tmp_path / 'rule.log')!r}): raise NmfpError('fix the key x.')"
    )
    scripts = os.path.dirname(os.path.dirname(files.__file__))
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": scripts},
    )
    assert run.returncode == 1
    assert "fix the key x." in run.stderr and "Traceback" not in run.stderr
    assert "fix the key x." in (tmp_path / "rule.log").read_text()


def test_progress_in_a_log_file_is_whole_lines(caplog):
    with caplog.at_level(logging.INFO, logger="nmfp"):
        bar = files.progress(range(3), unit="file", label="convert")
        bar.mininterval = 0
        assert list(bar) == [0, 1, 2]
    assert caplog.messages and all("\r" not in line and "convert" in line for line in caplog.messages)


def test_json_is_readable_by_people(tmp_path):
    files.write_json(tmp_path / "x.json", {"name": "Dvořák", "rows": 3})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"name": "Dvořák", "rows": 3} and "Dvořák" in text
