"""A database that grows, shrinks and changes: only what is new is computed, the model and the quantisers stay.

A folder of forty pieces, as a user has it; one finished run that every test copies, so that they can go their own ways.
"""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from nmfp.audio.wav import read_wav, write_wav
from nmfp.cli.inputs import expand
from nmfp.files import generator, read_json
from nmfp.identification.identify_files import identify_files
from nmfp.identification.session import Session
from small_corpus import noisy_tones
from workflow_runs import Run, snakemake

pytestmark = pytest.mark.long

SECONDS = 33
CONFIG = {
    "experiment": "own",
    "models": ["test"],
    "dataset": {
        "source": "folder",
        "folder": {name: name for name in ("music", "noise", "room", "microphone")}
        | {"training_share": 0.3, "validation_share": 0.1, "unknown_share": 0.2},
    },
    "queries": {"count": None, "unknown_count": None, "per_track": 1, "evaluate": ["clean"]},
    "fingerprints": {"batch": 32},
    "indexes": {"small": {"factory": "IVF8,PQ4x4", "nprobe": 8}},
    # more candidates than fingerprints: an answer is the best there is, and only a better one takes its place
    "evaluation": {"indexes": ["small"], "candidates": 2000, "resamples": 100},
}
DATABASE = Path("results/own/fingerprints/test/database")
INDEX = Path("results/own/index/test/small")
ANALYSIS = Path("results/own/evaluation/test/small/queries_clean/analysis.csv")
# What follows every change of the database's list, and of the queries' list
LISTS = {"list_folder": 1, "partition_files": 1, "tracks": 1, "split_music": 1}
ANSWERS = {
    **{"merge": 1, "fill_index": 1, "recall": 1, "search": 2},
    **{"hit_rates": 1, "calibrate": 1, "report": 1, "all": 1},
}
# of the database, of the queries' tracks, and of their clean cuts
QUERIES = {"partition_tracks": 3, "queries": 1, "merge": 2}


def run(directory: Path, *arguments: str) -> Run:
    done = snakemake(directory, *arguments, configfile=directory / "own.yaml")
    assert done.returncode == 0, done.output[-5000:]
    return done


def executed(done: Run) -> dict[str, int]:
    """Rules and how often they ran; Snakemake's plan at the start of a run with checkpoints is not the whole of it."""
    rules = re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", done.output, re.MULTILINE)
    return {rule: rules.count(rule) for rule in set(rules)}


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"id": str, "sha256": str}, keep_default_na=False)


def ids(directory: Path) -> list[str]:
    return table(directory / DATABASE / "tracks.csv")["id"].tolist()


def what_stays(directory: Path) -> dict[Path, int]:
    """Time of every file of the model, of the finished partitions, and of the trained quantisers."""
    folders = ("models/test", "fingerprints/test/database/partitions", "data/train", "data/validation")
    paths = [path for name in folders for path in (directory / "results/own" / name).iterdir()]
    paths += directory.joinpath(INDEX).glob("trained.*")
    return {path: path.stat().st_mtime_ns for path in paths if path.is_file() and path.name != "tracks.csv"}


def identify(directory: Path, samples: np.ndarray) -> tuple[str, float]:
    """The best answer to ten seconds of a piece, from its fourth second on, and its score."""
    clip = directory / "clip.wav"
    write_wav(clip, samples[4 * 8000 : 14 * 8000])
    with Session(directory / DATABASE, directory / "results/own/models/test", "openvino", 1) as session:
        session.decide_at(None)
        (result,) = identify_files(expand([str(clip)]), session)
    return result.rows[0].track, result.rows[0].score


@pytest.fixture(scope="module")
def forty(tmp_path_factory):
    """A folder in which the workflow ran to its end on forty pieces."""
    directory = tmp_path_factory.mktemp("forty")
    for i in range(40):
        write_wav(directory / f"music/{i:02d}.wav", noisy_tones(SECONDS * 8000, i))
    for i in range(3):
        decay = np.exp(-np.arange(2000) / 300) * generator(i, "response").standard_normal(2000)
        for name, seconds in (("room", 2000), ("microphone", 200)):
            write_wav(
                directory / name / f"{i}.wav", (20_000 * decay / abs(decay).max())[:seconds].astype(np.int16)
            )
        write_wav(directory / f"noise/{i}.wav", noisy_tones(5 * 8000, 500 + i))
    (directory / "own.yaml").write_text(yaml.safe_dump(CONFIG))
    run(directory)
    assert read_json(directory / INDEX / "trained.json")["resolved"] == "IVF8,PQ4x4"
    return directory


@pytest.fixture
def copy(forty, tmp_path):
    """A copy of the finished run, times of files kept, to change at will."""
    return Path(shutil.copytree(forty, tmp_path / "run", symlinks=True))


def test_three_tracks_come(copy):
    before, stays, answers = ids(copy), what_stays(copy), pd.read_csv(copy / ANALYSIS)
    vectors = np.load(copy / DATABASE / "database.npy")
    old = {name: read_wav(copy / "music" / name) for name in before[:3]}
    named = [identify(copy, samples) for samples in old.values()]
    new = {f"new/{i}.wav": noisy_tones(SECONDS * 8000, 100 + i) for i in range(3)}
    for name, samples in new.items():
        write_wav(copy / "music" / name, samples)

    jobs = executed(run(copy))
    assert jobs == {**LISTS, **ANSWERS, **QUERIES, "convert": 1, "degrade": 1, "extract": 2}
    assert {path: path.stat().st_mtime_ns for path in stays} == stays
    assert ids(copy) == [*before, *new]
    assert np.array_equal(np.load(copy / DATABASE / "database.npy")[: len(vectors)], vectors)
    for name, samples in new.items():
        assert identify(copy, samples) == (name, pytest.approx(1, abs=0.001))
    assert [identify(copy, samples) for samples in old.values()] == named
    assert [name for name, _ in named] == list(old)

    # the network of this test has learnt next to nothing, so that a new track may resemble an old query more
    now = pd.read_csv(copy / ANALYSIS)
    now = now[now["query_id"].isin(answers["query_id"])].reset_index(drop=True)
    columns = ["query_id", "seq_len", "seq_start_idx", "pred_track_path", "pred_start_segment", "score"]
    to_new = now["pred_track_path"].str.contains("/new/")
    assert to_new.mean() < 0.5
    assert (now["score"] > answers["score"])[to_new].all()
    pd.testing.assert_frame_equal(now.loc[~to_new, columns], answers.loc[~to_new, columns])
    assert executed(run(copy)) == {}


def test_a_track_goes(copy):
    before, stays = ids(copy), what_stays(copy)
    gone, samples = before[1], read_wav(copy / "music" / before[1])
    assert identify(copy, samples)[0] == gone
    (copy / "music" / gone).rename(copy / "aside.wav")
    converted = copy / "results/own/data/music/audio" / f"{gone}.wav"

    assert executed(run(copy)) == {**LISTS, **ANSWERS, **QUERIES}
    assert {path: path.stat().st_mtime_ns for path in stays} == stays
    left = [name for name in before if name != gone]
    rows, removed = (read_json(copy / DATABASE / "database.json")[key] for key in ("rows", "removed_rows"))
    assert ids(copy) == left and removed == 2 * SECONDS - 1
    assert never_answered(copy, gone, samples)

    assert converted.exists()
    assert executed(run(copy, "compact")) == {"compact": 1}
    assert not converted.exists()
    assert executed(run(copy)) == ANSWERS
    compacted = read_json(copy / DATABASE / "database.json")
    assert (compacted["rows"], compacted["removed_rows"]) == (rows - removed, 0)
    assert ids(copy) == left
    assert never_answered(copy, gone, samples)
    assert executed(run(copy)) == {}

    (copy / "aside.wav").rename(copy / "music" / gone)  # with its time: not a byte of the list is new
    run(copy)
    assert converted.exists() and sorted(ids(copy)) == sorted(before)
    assert identify(copy, samples) == (gone, pytest.approx(1, abs=0.001))
    assert executed(run(copy)) == {}


def never_answered(directory: Path, name: str, samples: np.ndarray) -> bool:
    """Neither in the evaluation nor to its own sound is this track named."""
    analysis = pd.read_csv(directory / ANALYSIS)
    answered = analysis["pred_track_path"].dropna()
    assert len(answered)
    return (
        identify(directory, samples)[0] != name and not answered.str.contains(Path(name).stem + ".wav").any()
    )


def test_a_file_changes(copy):
    before, stays = ids(copy), what_stays(copy)
    changed, old = before[1], read_wav(copy / "music" / before[1])
    new = noisy_tones(SECONDS * 8000, 200)
    write_wav(copy / "music" / changed, new)

    jobs = executed(run(copy))
    assert jobs == {**LISTS, **ANSWERS, **QUERIES, "convert": 1, "degrade": 1, "extract": 2}
    assert {path: path.stat().st_mtime_ns for path in stays} == stays
    assert ids(copy) == [*(name for name in before if name != changed), changed]
    assert read_json(copy / DATABASE / "database.json")["removed_rows"] == 2 * SECONDS - 1
    assert identify(copy, new) == (changed, pytest.approx(1, abs=0.01))
    track, score = identify(copy, old)
    assert (track, score > 0.99) != (changed, True)


def test_an_index_is_trained_again_when_asked(copy):
    """As the report advises it."""
    jobs = executed(run(copy, "--forcerun", str(INDEX / "trained.faiss")))
    assert jobs == {"train_index": 1, **{rule: n for rule, n in ANSWERS.items() if rule != "merge"}}
