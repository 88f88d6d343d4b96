"""Two jobs never work in one folder at once, and a killed one keeps nobody waiting."""

import signal
import subprocess
import sys
import threading

from nmfp.files import sole_writer


def test_the_second_waits_for_the_first(tmp_path):
    work, order = tmp_path / "work/0000", []

    def second():
        with sole_writer(work, pause=0.01):
            order.append("second")

    with sole_writer(work):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive() and order == []
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_other_folders_are_free(tmp_path):
    with sole_writer(tmp_path / "0000"), sole_writer(tmp_path / "0001"):
        pass


def test_a_killed_job_keeps_nobody_waiting(tmp_path):
    code = (
        "import sys, time; from nmfp.files import sole_writer\n"
        "with sole_writer(sys.argv[1]):\n    print('mine', flush=True); time.sleep(60)"
    )
    job = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "work")],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert job.stdout.readline() == b"mine\n"
    job.send_signal(signal.SIGKILL)
    job.wait(10)
    with sole_writer(tmp_path / "work", pause=0.01):
        pass
