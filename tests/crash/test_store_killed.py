"""kill -9 and Ctrl-C at any moment of the commands: databases are the old ones or the new ones, and sound."""

import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import pytest
from nmfp.audio.wav import write_wav
from nmfp.files import write_json
from nmfp.identification import store
from nmfp.identification.background import NAME

pytestmark = pytest.mark.crash
COMMAND = [sys.executable, str(Path(__file__).parents[2] / "tools" / "nmfp_command.py")]
# What changes a disk, as Python's own audit hooks name it
CHANGES = {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.truncate"}


def run(*arguments, **options):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def world(tmp_path_factory, small_model, melody):
    """music/ of six songs, one.db that holds the first, whole.db that holds all; the seconds that adding took."""
    folder = tmp_path_factory.mktemp("killed")
    for i in range(6):
        write_wav(folder / "music" / f"{i}.wav", melody(8000 * 20, i))
    (folder / "model").symlink_to(small_model)
    for name in ("one.db", "whole.db"):
        assert run("database", "create", name, "music/0.wav", "-m", "model", cwd=folder).returncode == 0
    begin = time.monotonic()
    assert run("database", "add", "whole.db", "music", cwd=folder).returncode == 0
    return folder, time.monotonic() - begin


@pytest.fixture(scope="module")
def whole_run(world):
    """A function: command line with {} for its result -> the result of an undisturbed run, and its seconds."""
    folder, _ = world

    @functools.cache
    def run_once(line: str) -> tuple[Path, float]:
        whole = folder / f"whole {line.split(' ')[0]}"
        begin = time.monotonic()
        assert run(*[part.format(whole) for part in line.split(" ")], cwd=folder).returncode == 0
        return whole, time.monotonic() - begin

    return run_once


def start(*arguments, cwd: Path) -> subprocess.Popen:
    """Start a command in a session of its own, as a terminal would, and wait until it has begun to work."""
    child = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    while child.poll() is None and "numpy" not in Path(f"/proc/{child.pid}/maps").read_text():
        time.sleep(0.005)
    return child


def stop(child: subprocess.Popen, kind: signal.Signals, after: float) -> tuple[int, str]:
    """End it by a signal to all its processes; its status, and what it said."""
    try:
        child.wait(after)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, kind)
    said = "".join(child.communicate(timeout=60))
    allowed = (0, 130) if kind == signal.SIGINT else (0, -kind)
    assert child.returncode in allowed and "Traceback" not in said, said
    assert child.returncode != 130 or said.endswith("nmfp: interrupted; what is finished is kept.\n")
    return child.returncode, said


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("action", ["create", "add"])
def test_killed_at_random_moments_and_run_again(world, tmp_path, kind, action):
    folder, seconds = world
    db = tmp_path / "db"
    line = ["database", action, db, "music"] + (["-m", "model"] if action == "create" else [])

    def begin() -> None:
        shutil.rmtree(db, ignore_errors=True)
        if action == "add":
            subprocess.run(["cp", "-a", folder / "one.db", db], check=True)

    def tracks() -> int:
        return len(store.open_store(db).tracks) if (db / "current").exists() else 0

    begin()
    rng = np.random.default_rng([int(kind), action == "add"])
    stopped, latest = 0, 0.9 * seconds
    for _ in range(10):
        if stopped == 3:
            break
        status, _ = stop(start(*line, cwd=folder), kind, rng.uniform(0, latest))
        assert tracks() in {"create": (0, 6), "add": (1, 6)}[action]
        assert not tracks() or store.verify(db) == []
        stopped += status != 0
        latest *= 1 if status else 0.7
        if tracks() == 6:
            begin()
    assert stopped == 3, "it was seldom stopped in time"
    assert run(*line, cwd=folder).returncode == 0
    assert len(os.listdir(db / "generations")) == 1
    if action == "add":
        assert (store.open_store(db).vectors == store.open_store(folder / "whole.db").vectors).all()
    assert tracks() == 6 and store.verify(db) == []


def killed_at(step: int, change) -> bool:
    """Make a change in a fork that kills itself before its step-th access to the disk; whether it came so far."""
    pid = os.fork()
    if pid == 0:
        left = step

        def hook(event: str, arguments: tuple) -> None:
            nonlocal left
            writes = (
                event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if event in CHANGES or writes:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            change()
        except BaseException:  # noqa: BLE001 - the fork must not go on with the tests
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


CHANGERS = {
    "remove": lambda db: store.remove(db, ["music/1.wav", "music/4.wav"]),
    "compact": store.compact,
    "calibrate": lambda db: store.replace_beside(
        db, NAME, lambda folder: write_json(folder / NAME, {"made": "new"})
    ),
}


@pytest.mark.parametrize("name", CHANGERS)
def test_killed_before_every_single_change_of_the_disk(world, tmp_path, name):
    folder, _ = world
    origin, target, change = tmp_path / "origin", tmp_path / "target", CHANGERS[name]
    subprocess.run(["cp", "-a", folder / "whole.db", origin], check=True)
    store.remove(origin, ["music/3.wav"])
    subprocess.run(["cp", "-a", origin, target], check=True)
    change(target)
    for step in itertools.count():
        db = tmp_path / "db"
        subprocess.run(["cp", "-a", origin, db], check=True)
        killed = killed_at(step, lambda db=db: change(db))
        now = store.open_store(db).info
        assert now in (store.open_store(origin).info, store.open_store(target).info)
        assert store.verify(db) == []
        if store.open_store(db).info == store.open_store(origin).info:
            change(db)
        else:
            store.remove(db, ["music/5.wav"])  # the next writer sweeps up what the kill left
        assert store.verify(db) == [] and len(os.listdir(db / "generations")) == 1
        shutil.rmtree(db)
        if not killed:
            break
    assert step > 10


@pytest.mark.parametrize("line", ["fingerprint music -o {} -m model", "identify music -d whole.db --format csv -o {}",
                                  "monitor music/1.wav -d whole.db --format csv -o {}"])  # fmt: skip
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_results_are_whole_or_absent(world, whole_run, tmp_path, line, kind):
    folder, _ = world
    (whole, seconds), broken = whole_run(line), tmp_path / "broken"
    rng = np.random.default_rng([int(kind), len(line)])
    for _ in range(2):
        status, _ = stop(
            start(*line.format(broken).split(" "), cwd=folder), kind, rng.uniform(0, 0.8 * seconds)
        )
        if whole.is_file():
            # a signal may come when the work is done, too
            assert broken.read_bytes() == whole.read_bytes() if broken.exists() else status != 0
            broken.unlink(missing_ok=True)
    assert run(*line.format(broken).split(" "), cwd=folder).returncode == 0
    if whole.is_file():
        assert broken.read_bytes() == whole.read_bytes()
        return
    names = sorted(path.relative_to(whole) for path in whole.rglob("*.npy"))
    assert names == sorted(
        path.relative_to(broken) for path in broken.rglob("*.npy") if ".part-" not in path.name
    )
    for name in [*names, Path("tracks.csv"), Path("fingerprints.json")]:
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_two_writers_and_a_reader_at_once(world, tmp_path):
    folder, _ = world
    db = tmp_path / "db"
    subprocess.run(["cp", "-a", folder / "one.db", db], check=True)
    writers = [start("database", "add", db, f"music/{i}.wav", cwd=folder) for i in (1, 2, 3)]
    answers = []
    while any(writer.poll() is None for writer in writers):
        answers.append(run("identify", "music/0.wav", "-d", db, "--format", "csv", cwd=folder))
    assert all(answer.returncode == 0 and "music/0.wav,0," in answer.stdout for answer in answers) and answers
    added = 0
    for writer in writers:
        said = "".join(writer.communicate())
        assert writer.returncode == 0 or "is being changed by process" in said.splitlines()[-1]
        added += writer.returncode == 0
    assert added >= 1 and len(store.open_store(db).tracks) == 1 + added and store.verify(db) == []
