"""What the library settles before Keras computes: oneDNN, and memory that is kept; the user's own settings win."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from nmfp.model import memory

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


@pytest.mark.parametrize(("own", "expected"), [(None, "1"), ("0", "0"), ("1", "1")])
def test_onednn_is_on_unless_the_user_says_otherwise(own, expected):
    environment = {name: v for name, v in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    environment |= {"PYTHONPATH": str(SCRIPTS)} | ({"TF_ENABLE_ONEDNN_OPTS": own} if own else {})
    code = "import nmfp, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == expected


CHURN = """
import sys, resource, numpy
from nmfp.model.memory import keep_large_blocks
if sys.argv[1] == "kept":
    keep_large_blocks({})
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(2):
    numpy.ones(16_000_000)
before = faults()
for _ in range(5):
    numpy.ones(16_000_000)  # 128 MB, more than glibc keeps by itself
print(faults() - before)
"""


@pytest.mark.skipif(not hasattr(memory.ctypes.CDLL(None), "mallopt"), reason="glibc only")
def test_large_arrays_get_their_memory_back():
    def faults(how):
        environment = {name: v for name, v in os.environ.items() if not name.startswith("MALLOC_")}
        environment = environment | {"PYTHONPATH": str(SCRIPTS), "GLIBC_TUNABLES": ""}
        command = [sys.executable, "-c", CHURN, how]
        return int(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)

    assert 10 * faults("kept") < faults("given back")


@pytest.mark.skipif(not hasattr(memory.ctypes.CDLL(None), "mallopt"), reason="glibc only")
def test_thresholds_of_the_user_are_left_alone():
    both = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    assert memory.keep_large_blocks(both) == []
    tunables = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=65536:glibc.malloc.trim_threshold=65536"}
    assert memory.keep_large_blocks(tunables) == []


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert memory.keep_large_blocks({}) == []
