"""The real workflow on a real SLURM: to its hit rates, and through cancelled, overlong and orphaned jobs.

Everything runs with profiles/slurm as it stands. The fixture `finished` is the first test's run; the fault
tests break a copy of it and must get the same bytes back.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from slurm_cluster import PATIENCE, ROOT, log_of, script_process, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900 * PATIENCE)]

DATABASE = "results/test/fingerprints/test/database"
LOGS = "results/test/logs/extract/test/database"
MERGED = ["database.npy", "silent.npy", "tracks.csv", "failures.csv", "database.json"]


def remove_partitions(directory: Path, *numbers: str, merged: bool = False) -> dict[str, bytes]:
    """Take fingerprints of the database away; what they were, by path."""
    paths = [f"partitions/{n}.{suffix}" for n in numbers for suffix in ("npy", "silent.npy", "csv", "json")]
    paths += MERGED if merged else []
    before = {path: (directory / DATABASE / path).read_bytes() for path in paths}
    for path in paths:
        (directory / DATABASE / path).unlink()
    shutil.rmtree(directory / LOGS)
    return before


def freeze_extraction(directory: Path) -> int:
    """Stop an extraction in the middle of its work, once it holds its work folder; its process."""

    def begun() -> bool:
        return any("running on" in path.read_text() for path in (directory / LOGS).glob("*.log"))

    wait_for("an extraction to begin", begun, 150)
    process = script_process(directory, "extract")
    assert process, "the extraction ended before it could be stopped"
    os.kill(process, signal.SIGSTOP)
    return process


def assert_restored(directory: Path, before: dict[str, bytes]) -> None:
    for path, content in before.items():
        assert (directory / DATABASE / path).read_bytes() == content, path


def assert_one_writer(jobs) -> None:
    """No two jobs of one rule and wildcards ran at the same time."""
    began = sorted((job.comment, job.start, job.end) for job in jobs if job.start not in ("N/A", job.end))
    for (comment, _, end), (following, start, _) in zip(began, began[1:], strict=False):
        assert comment != following or start >= end, comment


def test_the_workflow_reaches_its_hit_rates(finished):
    table = pd.read_csv(finished / "results/test/report/hit_rates.csv")
    assert len(table) == 20 and set(table.sequences) == {24}
    assert table.hit_rate.between(0, 1).all()


def test_partitions_are_separate_jobs_and_all_ended_well(cluster, finished):
    jobs = cluster.jobs(finished)
    assert {job.state for job in jobs} == {"COMPLETED"}
    rules = Counter(job.rule for job in jobs)
    data = finished / "results/test/data"
    assert rules["extract"] == len(list(data.glob("*/partitions/*.csv"))) - rules["degrade"] >= 6
    assert rules["degrade"] == len(
        [p for s in ("queries", "unknown") for p in data.glob(f"{s}/partitions/*.csv")]
    )
    assert rules["convert"] == len(list(data.glob("*/batches/*.csv"))) >= 5
    assert rules["train"] == rules["train_index"] == rules["fill_index"] == 1
    assert rules["merge"] == 3 and rules["search"] == 2
    # three short jobs travel as one, and light rules stay where Snakemake runs
    assert [count for rule, count in rules.items() if rule.startswith("packing")] == [1]
    assert rules["pack_chunks"] == 2 and not rules["pack_degradations"]
    assert not {"partition_files", "tracks", "split_music", "hit_rates", "report", "all"} & set(rules)


def test_no_job_ran_twice(finished):
    """Snakemake submits jobs of a group again when a checkpoint that they read has ended."""
    ended = re.findall(r"^Finished jobid: (\d+) ", (finished / "snakemake.log").read_text(), re.MULTILINE)
    assert len(ended) > 40 and len(set(ended)) == len(ended)


def test_networks_and_searches_ask_for_the_gpu(cluster, finished):
    jobs = cluster.jobs(finished)
    for job in jobs:
        on_gpu = job.rule in ("train", "extract", "search", "recall")
        assert job.partition == ("gpu" if on_gpu else "main")
        assert ("gpu" in job.devices) == on_gpu, job
    # SLURM's device is taken as it is, and no lock of ours stands beside it
    log = (finished / "results/test/logs/train/test.log").read_text()
    assert "running on GPU 0" in log


def test_a_cancelled_extraction_is_repeated(cluster, copy_of_finished):
    before = remove_partitions(copy_of_finished, "0001")
    run = cluster.snakemake(copy_of_finished, f"{DATABASE}/partitions/0001.npy", limit=240)
    freeze_extraction(copy_of_finished)
    cluster.scancel(cluster.jobs(copy_of_finished, "extract")[-1].number)
    log = log_of(run, copy_of_finished / "snakemake.log", 270)
    assert "CANCELLED" in log and "Trying to restart" in log
    jobs = cluster.jobs(copy_of_finished, "extract")
    assert [job.state for job in jobs] == ["CANCELLED", "COMPLETED"]
    assert_one_writer(jobs)
    assert_restored(copy_of_finished, before)


def test_after_a_killed_main_process_one_command_goes_on(cluster, copy_of_finished):
    before = remove_partitions(copy_of_finished, "0001", "0002", merged=True)
    target = f"{DATABASE}/database.npy"
    run = cluster.snakemake(copy_of_finished, target, limit=240)
    process = freeze_extraction(copy_of_finished)
    extractions = wait_for(
        "both extractions", lambda: len(jobs := cluster.jobs(copy_of_finished, "extract")) == 2 and jobs, 30
    )
    # one GPU: one runs, one waits
    assert sorted(job.state for job in extractions) == ["PENDING", "RUNNING"]

    # a second main process beside the first is refused
    refused = cluster.resume(copy_of_finished, target, limit=60)
    assert refused.wait(70 * PATIENCE) == 1
    assert "A Snakemake works in" in (copy_of_finished / "resume.log").read_text()

    os.killpg(run.pid, signal.SIGKILL)
    run.wait(10)
    resume = cluster.resume(copy_of_finished, target)
    log = copy_of_finished / "resume.log"
    wait_for("the old jobs to be found", lambda: "waiting for job" in log.read_text(), 60)
    os.kill(process, signal.SIGCONT)
    text = log_of(resume, log, 430)
    running = next(job for job in extractions if job.state == "RUNNING")
    pending = next(job for job in extractions if job.state == "PENDING")
    assert f"waiting for job {running.number}" in text and f"cancelling job {pending.number}" in text

    jobs = cluster.jobs(copy_of_finished, "extract")
    states = {
        comment: [j.state for j in jobs if j.comment == comment] for comment in {j.comment for j in jobs}
    }
    assert states == {running.comment: ["COMPLETED"], pending.comment: ["CANCELLED", "COMPLETED"]}
    assert_one_writer(jobs)
    assert_restored(copy_of_finished, before)


def test_two_jobs_on_one_output_leave_it_whole(copy_of_finished):
    """What happens where somebody unlocks and reruns by hand while the old job still works."""
    before = remove_partitions(copy_of_finished, "0001")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    command += ["--directory", str(copy_of_finished), "--configfile", str(ROOT / "config/test.yaml")]
    command += ["--nolock", "--rerun-incomplete", "--force", f"{DATABASE}/partitions/0001.npy"]
    log = copy_of_finished / LOGS / "0001.log"
    logs = [copy_of_finished / f"{name}.log" for name in ("first", "second")]
    with logs[0].open("wb") as out, logs[1].open("wb") as other:
        first = subprocess.Popen(command, stdout=out, stderr=out)
        process = freeze_extraction(copy_of_finished)
        second = subprocess.Popen(command, stdout=other, stderr=other)
        try:
            wait_for("the second job", lambda: log.exists() and "another job works in" in log.read_text(), 60)
        finally:
            os.kill(process, signal.SIGCONT)
    for run, path in zip((first, second), logs, strict=True):
        log_of(run, path, 120)
    assert_restored(copy_of_finished, before)


def test_a_job_over_its_time_limit_gets_more(cluster, overtime, finished):
    directory, run = overtime
    log = log_of(run, directory / "snakemake.log", 600)
    assert "TIMEOUT" in log and (directory / "hung").exists()
    jobs = cluster.jobs(directory, "convert")
    assert [(job.state, job.limit) for job in jobs] == [("TIMEOUT", "1:00"), ("COMPLETED", "2:00")]
    assert_one_writer(jobs)
    table = "results/test/data/room/converted/0001.csv"
    assert (directory / table).read_bytes() == (finished / table).read_bytes()
    paths = pd.read_csv(finished / table).path
    assert len(paths) >= 4
    for path in paths:
        assert (directory / path).read_bytes() == (finished / path).read_bytes()
