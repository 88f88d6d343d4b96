"""kill -9 at random moments of an extraction: the next run gives the same bytes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from nmfp.files import write_csv
from stages import PARTITION, extract_job, kill_after, run

pytestmark = pytest.mark.crash
SEEDS = range(20)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, write_corpus) -> Path:
    """Ten tracks of 1 to 160 segments and a broken one."""
    folder = tmp_path_factory.mktemp("corpus")
    lengths = [300_000, 8000, 20_000, 640_000, 9000, 120_000, 44_000, 12_000, 500_000, 80_000, 30_000]
    table = write_corpus(folder, lengths)
    Path(table["path"][6]).write_bytes(b"RIFF no more")
    write_csv(folder / "0001.csv", table[["id"]])
    return folder


@pytest.fixture(scope="module")
def uninterrupted(corpus, small_model, tmp_path_factory) -> tuple[dict[str, bytes], float]:
    """What an undisturbed run writes, and its seconds."""
    out = tmp_path_factory.mktemp("uninterrupted")
    seconds = run("extract", extract_job(corpus, small_model, out, "0001"))
    return contents(out), seconds


def contents(out: Path) -> dict[str, bytes]:
    return {s: (out / "partitions" / f"0001{s}").read_bytes() for s in PARTITION.values()}


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_extraction_gives_the_same_bytes(seed, corpus, small_model, uninterrupted, tmp_path):
    expected, seconds = uninterrupted
    rng = np.random.default_rng(seed)
    job = extract_job(corpus, small_model, tmp_path, "0001")
    kills = sum(kill_after("extract", job, rng.uniform(0.1, 1) * seconds) for _ in range(2))
    run("extract", job)
    assert contents(tmp_path) == expected, f"after {kills} kills"
    assert not (tmp_path / "work" / "0001").exists()
    assert not list(tmp_path.rglob(".part-*")) or kills, "only a kill may leave temporary files"


def test_finished_tracks_are_not_computed_again_after_a_kill(corpus, small_model, uninterrupted, tmp_path):
    """Of ten tries, one at least is killed after some tracks and before all; those are not computed again."""
    expected, seconds = uninterrupted
    for n in range(10):
        out = tmp_path / str(n)
        job = extract_job(corpus, small_model, out, "0001")
        kill_after("extract", job, seconds * (0.95 - 0.05 * n))
        log = next(iter((out / "work").rglob("log.jsonl")), None)
        done = log.read_text().count('"end"') if log else 0
        run("extract", job)
        assert contents(out) == expected
        if 0 < done < 11:
            assert f"INFO {11 - done} of 11 tracks to fingerprint" in (out / "extract-0001.log").read_text()
            return
        shutil.rmtree(out)
    pytest.fail("no kill hit the middle of the work; is the machine overloaded?")
