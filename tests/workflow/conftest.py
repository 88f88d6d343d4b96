"""One real run of the workflow at toy size, shared by all tests of this folder; each test copies it before changing it."""

import shutil

import pytest
from loopback import server  # noqa: F401
from workflow_runs import snakemake


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder in which the workflow ran to its end with config/test.yaml."""
    directory = tmp_path_factory.mktemp("finished")
    run = snakemake(directory)
    assert run.returncode == 0, run.output[-6000:]
    return directory


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    """A copy of the finished run, times of files kept, to change at will."""
    directory = tmp_path / "run"
    shutil.copytree(finished, directory, symlinks=True)
    return directory
