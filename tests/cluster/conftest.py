"""One SLURM and one finished run of the workflow for all tests of this folder."""

import os
import shutil
import stat

import pytest
from slurm_cluster import MISSING, Cluster, log_of


def pytest_collection_modifyitems(items):
    """Skip, and say why, where SLURM is not installed."""
    reason = f"SLURM is not installed (no {', '.join(MISSING)}): apt-get install slurm-wlm slurm-client munge"
    for item in items:
        if MISSING and item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def cluster():
    """A one-node SLURM with eight cores and one GPU that do not exist."""
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        left = cluster.sandbox.stop()
    assert not left, f"these outlived SLURM's daemons and had to be killed: {left}"


@pytest.fixture(scope="session")
def overtime(cluster, tmp_path_factory):
    """A conversion that hangs at its first attempt and has a minute for it; runs beside the others."""
    directory = tmp_path_factory.mktemp("overtime")
    sox = directory / "bin/sox"
    sox.parent.mkdir()
    real = shutil.which("sox")
    # the first conversion of all hangs; looking at SoX' version or formats does not count
    sox.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *.wav*) mkdir {directory}/hung 2>/dev/null && exec sleep 600;; esac\n'
        f'exec {real} "$@"\n'
    )
    sox.chmod(sox.stat().st_mode | stat.S_IXUSR)
    run = cluster.snakemake(
        directory,
        "results/test/data/room/tracks.csv",
        options=["--set-resources", "convert:runtime=attempt"],
        PATH=f"{sox.parent}:{cluster.sandbox.env['PATH']}",
    )
    yield directory, run
    if run.poll() is None:
        run.kill()


@pytest.fixture(scope="session")
def finished(cluster, overtime, tmp_path_factory):
    """A folder in which the workflow ran on SLURM to its hit rates."""
    directory = tmp_path_factory.mktemp("finished")
    log_of(cluster.snakemake(directory), directory / "snakemake.log", 660)
    return directory


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    """A copy of the finished run, times kept, to break at will."""
    directory = tmp_path / "run"
    shutil.copytree(finished, directory, symlinks=True)
    assert os.path.realpath(directory) == str(directory)
    return directory
