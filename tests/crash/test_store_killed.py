"""kill -9 and Ctrl-C at any moment of `nmfp database add`: the database is the old one or the new one, and sound."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from nmfp import store
from nmfp.audio import write_wav

pytestmark = pytest.mark.crash
COMMAND = [sys.executable, str(Path(__file__).parents[2] / "workflow" / "scripts" / "nmfp_command.py")]


def run(*arguments, **options):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, **options)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_random_moments_and_run_again(tmp_path, small_model, melody, kind):
    for i in range(6):
        write_wav(tmp_path / "music" / f"{i}.wav", melody(8000 * 20, i))
    db, first = tmp_path / "db", tmp_path / "music" / "0.wav"
    assert run("database", "create", db, first, "-m", small_model, "--threads", 1).returncode == 0
    whole = tmp_path / "whole"
    begin = time.monotonic()
    assert run("database", "create", whole, first, "-m", small_model, "--threads", 1).returncode == 0
    assert run("database", "add", whole, tmp_path / "music", "--threads", 1).returncode == 0
    seconds = time.monotonic() - begin
    rng = np.random.default_rng(int(kind))
    for _ in range(6):
        child = subprocess.Popen([*COMMAND, "database", "add", db, tmp_path / "music", "--threads", "1"],
                                 stderr=subprocess.PIPE, text=True)  # fmt: skip
        time.sleep(rng.uniform(0, seconds))
        child.send_signal(kind)
        said = child.communicate()[1]
        if kind == signal.SIGINT and child.returncode not in (0, 130, -signal.SIGINT):
            pytest.fail(f"status {child.returncode}: {said}")
        assert "Traceback" not in said or child.returncode == -signal.SIGINT
        assert len(store.open_store(db).tracks) in (1, 6)
        assert store.verify(db) == []
    assert run("database", "add", db, tmp_path / "music", "--threads", 1).returncode == 0
    assert (store.open_store(db).vectors == store.open_store(whole).vectors).all()
    assert len(os.listdir(db / "generations")) == 1
