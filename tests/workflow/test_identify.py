"""snakemake identify: the workflow's database, or one of nmfp, answers a folder of recordings."""

import subprocess
import sys

import pandas as pd
import pytest
from nmfp.audio.wav import SAMPLE_RATE, read, write_wav
from workflow_runs import ROOT, snakemake

pytestmark = pytest.mark.slow
SPECIFIED = ["query_fp_path", "query_seq_len", "pred_track_path", "pred_start_segment", "score"]
RESULTS = "results/identification/results.csv"


@pytest.fixture
def clips(copy_of_finished):
    """A function (clip's name, row of tracks.csv) -> the track's id; 5 s of that track, from 2 s on, come into clips/."""
    tracks = pd.read_csv(copy_of_finished / "results/test/data/database/tracks.csv")

    def cut(name: str, number: int) -> str:
        audio = read(copy_of_finished / tracks.path[number])
        write_wav(copy_of_finished / "clips" / name, audio[2 * SAMPLE_RATE : 7 * SAMPLE_RATE])
        return tracks.id[number]

    return cut


@pytest.fixture(params=["workflow", "nmfp"])
def database(request, copy_of_finished):
    """A database of the same tracks, relative to the folder Snakemake runs in."""
    if request.param == "workflow":
        return "results/test/fingerprints/test/database"
    command = [
        sys.executable,
        str(ROOT / "tools/nmfp_command.py"),
        "database",
        "create",
        "songs.db",
    ]
    audio = pd.read_csv(copy_of_finished / "results/test/data/database/tracks.csv").path
    model = ["--model", "results/test/models/test", "--quiet"]
    subprocess.run([*command, *audio, *model], cwd=copy_of_finished, check=True, timeout=120)
    return "songs.db"


def test_identify_answers_and_notices_what_changes(copy_of_finished, clips, database):
    line = ["identify", "--config", "queries=clips", f"database={database}"]
    tracks = {"first.wav": clips("first.wav", 0), "second.wav": clips("second.wav", 3)}
    run = snakemake(copy_of_finished, *line)
    assert run.returncode == 0, run.output[-3000:]
    assert run.jobs == {"identify": 1}
    answers = pd.read_csv(copy_of_finished / RESULTS)
    assert list(answers.columns[:5]) == SPECIFIED
    assert list(answers.query_fp_path) == [f"clips/{name}" for name in tracks]
    assert (answers.query_seq_len == 9).all() and (answers.score > 0.99).all()
    for answer, track in zip(answers.itertuples(), tracks.values(), strict=True):
        # not the place: to a network of this size all places of such a track are alike
        assert track.rsplit(".", 1)[0] in answer.pred_track_path

    run = snakemake(copy_of_finished, *line)
    assert run.returncode == 0 and "Nothing to be done" in run.output

    clips("third.wav", 1)
    run = snakemake(copy_of_finished, *line)
    assert run.returncode == 0 and run.jobs == {"identify": 1}
    assert len(pd.read_csv(copy_of_finished / RESULTS)) == 3


@pytest.mark.parametrize("database", ["workflow"], indirect=True)
def test_a_changed_recording_is_noticed_however_it_is_named(copy_of_finished, clips, database):
    (copy_of_finished / "clips.txt").write_text("clips/one.wav\n")
    for queries in ("clips/one.wav", "clips.txt"):
        line = ["identify", "--config", f"queries={queries}", f"database={database}"]
        clips("one.wav", 0)
        assert snakemake(copy_of_finished, *line).jobs == {"identify": 1}
        assert "Nothing to be done" in snakemake(copy_of_finished, *line, "--dry-run").output
        clips("one.wav", 2)
        assert snakemake(copy_of_finished, *line, "--dry-run").jobs == {"identify": 1}


def test_identify_says_what_it_needs(finished):
    for key in ("queries", "database"):
        run = snakemake(finished, "identify", "--config", f"{key}=.", "--dry-run")
        assert run.returncode != 0 and "write --config queries=DIR database=DB." in run.output
    run = snakemake(finished, "identify", "--dry-run")
    assert run.returncode != 0 and "identify needs two keys" in run.output
