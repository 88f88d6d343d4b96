"""Two jobs never share a GPU, SLURM's choice is kept, and a machine without one works."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from nmfp.errors import NmfpError
from nmfp.model import devices

TWO = ["0", "1"]


def claim(count, environment, tmp_path, installed=TWO, **options):
    return devices.claim(count, environment, tmp_path, lambda: installed, pause=0.01, **options)


def test_two_jobs_get_two_devices_and_a_third_waits(tmp_path):
    one, two, three = {}, {}, {}
    with claim(1, one, tmp_path) as a, claim(1, two, tmp_path) as b:
        assert sorted(a + b) == TWO
        assert one["CUDA_VISIBLE_DEVICES"] == a[0] and two["CUDA_VISIBLE_DEVICES"] == b[0]
        with pytest.raises(NmfpError, match="No GPU came free"), claim(1, three, tmp_path, patience=0.05):
            pass
    with claim(1, three, tmp_path, patience=0.05) as c:
        assert c == ["0"]


def test_memory_grows(tmp_path):
    environment = {}
    with claim(1, environment, tmp_path):
        assert environment["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
        assert environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
        assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert "CUDA_VISIBLE_DEVICES" not in environment


def test_none_asked_for_means_the_cpu(tmp_path):
    environment = {"CUDA_VISIBLE_DEVICES": "0"}
    with claim(0, environment, tmp_path) as none:
        assert none == [] and environment["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["CUDA_VISIBLE_DEVICES"] == "0"


def test_a_machine_without_one_means_the_cpu(tmp_path):
    with claim(1, {}, tmp_path, installed=[]) as none:
        assert none == []


def test_what_slurm_gave_is_kept_without_a_lock(tmp_path):
    environment = {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0"}
    with claim(1, dict(environment), tmp_path), claim(1, environment, tmp_path, patience=0) as kept:
        assert kept == ["0"] and environment["CUDA_VISIBLE_DEVICES"] == "0"


def test_jobs_inside_one_allocation_share_its_devices_out(tmp_path):
    first, second = ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "2,3"} for _ in range(2))
    with claim(1, first, tmp_path) as a, claim(1, second, tmp_path, patience=0) as b:
        assert sorted(a + b) == ["2", "3"]


def test_allocations_do_not_wait_for_each_other():
    ours, theirs = devices.lock_folder({"SLURM_JOB_ID": "7"}), devices.lock_folder({"SLURM_JOB_ID": "8"})
    assert len({ours, theirs, devices.lock_folder({})}) == 3


@pytest.mark.parametrize(
    ("visible", "usable"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1", ["1"]),
        ("GPU-a, MIG-b", ["GPU-a", "MIG-b"]),
        ("0,-1,1", ["0"]),
    ],
)
def test_only_visible_devices_are_taken(tmp_path, visible, usable):
    with claim(1, {"CUDA_VISIBLE_DEVICES": visible}, tmp_path) as held:
        assert held == usable[:1]


def test_more_than_there_are_is_refused(tmp_path):
    with pytest.raises(NmfpError, match="asks for 3 GPUs and 2 can be seen"), claim(3, {}, tmp_path):
        pass


def test_half_a_claim_is_given_back(tmp_path):
    with claim(1, {}, tmp_path):
        with pytest.raises(NmfpError), claim(2, {}, tmp_path, patience=0.05):
            pass
        with claim(1, {}, tmp_path, patience=0) as other:
            assert other == ["1"]


@pytest.mark.parametrize(("resources", "gpus"), [({"gpu": 1}, 1), ({"gpu": 0}, 0), ({"mem_mb": 5}, 0)])
def test_the_rule_says_how_many(resources, gpus):
    assert devices.requested(SimpleNamespace(resources=resources)) == gpus
    assert devices.requested(SimpleNamespace()) == 0


def test_a_killed_job_holds_nothing(tmp_path):
    code = (
        "import time, sys; from nmfp.model import devices\n"
        "with devices.claim(1, {}, sys.argv[1], lambda: ['0']) as held:\n"
        "    print(held, flush=True); time.sleep(60)"
    )
    job = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert job.stdout.readline()
    with pytest.raises(NmfpError), claim(1, {}, tmp_path, installed=["0"], patience=0):
        pass
    job.send_signal(signal.SIGKILL)
    job.wait(10)
    with claim(1, {}, tmp_path, installed=["0"], patience=0) as held:
        assert held == ["0"]


def test_nvidia_smi_is_asked(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.installed_devices() == TWO
    program.write_text("#!/bin/sh\nexit 9\n")
    assert devices.installed_devices() == []
    program.unlink()
    assert devices.installed_devices() == []


def test_no_deep_learning_library_is_loaded():
    code = (
        "import sys; from nmfp.model import devices; print({'tensorflow', 'keras', 'jax'} & set(sys.modules))"
    )
    path = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=path, capture_output=True).stdout == b"set()\n"
