"""What benchmarks/rates.py leaves is a run that benchmarks/stages.py reads."""

import subprocess
import sys

import pytest
from workflow_runs import ROOT

pytestmark = pytest.mark.long


def test_rates_are_measured_and_multiplied(tmp_path):
    program = [sys.executable, str(ROOT / "benchmarks/rates.py"), "--minutes", "4", "--rows", "3000"]
    subprocess.run([*program, "--folder", str(tmp_path / "rates")], check=True, timeout=300)
    program = [sys.executable, str(ROOT / "benchmarks/stages.py"), str(tmp_path / "rates")]
    run = subprocess.run([*program, "--extrapolate", "1000"], capture_output=True, text=True)
    assert run.returncode == 0 and not run.stderr, run.stderr
    assert "| merge nmfp-triplet database | 3,000 fingerprints | 1 |" in run.stdout
    assert "their logs do not say" not in run.stdout
    assert "| 8 kHz WAVs | 4.71 GB |" in run.stdout


def test_a_folder_of_somebody_else_is_not_deleted(tmp_path):
    (tmp_path / "song.mp3").touch()
    program = [sys.executable, str(ROOT / "benchmarks/rates.py"), "--folder", str(tmp_path)]
    run = subprocess.run(program, capture_output=True, text=True)
    assert run.returncode == 1 and "was not made by this program" in run.stderr
    assert (tmp_path / "song.mp3").exists()
