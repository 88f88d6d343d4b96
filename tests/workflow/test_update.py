"""A database that grows and shrinks: only what is new is computed, the model and the quantisers stay."""

import re
from pathlib import Path

import pandas as pd
import pytest
from nmfp.audio import write_wav
from nmfp.files import write_csv
from small_corpus import noisy_tones
from workflow_runs import snakemake

pytestmark = pytest.mark.long
INDEX = "results/test/index/test/ivfpq/index.faiss"


def update(directory: Path) -> dict[str, int]:
    """Bring everything up to date; rules and how often they ran (Snakemake plans anew as it goes)."""
    counts: dict[str, int] = {}
    run = snakemake(directory)
    assert run.returncode == 0, run.output[-4000:]
    for rule in re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", run.output, re.MULTILINE):
        counts[rule] = counts.get(rule, 0) + 1
    print(counts)
    return counts


def ids(folder: Path) -> list[str]:
    return pd.read_csv(folder / "tracks.csv", dtype=str)["id"].tolist()


def test_only_what_is_new_is_computed(copy_of_finished):
    results = copy_of_finished / "results/test"
    database, trained = results / "fingerprints/test/database", results / "index/test/ivfpq/trained.faiss"
    files = pd.read_csv(results / "data/music/files.csv", dtype=str, keep_default_na=False)
    before = ids(database)
    old = {path: path.stat().st_mtime_ns for path in [*(database / "partitions").iterdir(), trained]}

    rows = [(f"new/{i}.wav", f"new/{i}.wav", "database", "") for i in range(3)]
    for i, (name, *_) in enumerate(rows):
        write_wav(copy_of_finished / name, noisy_tones(33 * 8000, 100 + i))
    grown = pd.concat([files, pd.DataFrame(rows, columns=["id", "path", "role", "reason"])])
    write_csv(results / "data/music/files.csv", grown[files.columns].fillna(""))
    jobs = update(copy_of_finished)
    assert jobs["extract"] == 1 and jobs["merge"] == 1 and jobs["fill_index"] == 1, jobs
    assert not {"train", "train_index", "degrade", "pack_chunks"} & set(jobs), jobs
    assert ids(database) == [*before, *(row[0] for row in rows)]
    assert {path: path.stat().st_mtime_ns for path in old} == old

    # and away again: no track's rows are moved, they are nobody's until they are compacted
    write_csv(results / "data/music/files.csv", files)
    jobs = update(copy_of_finished)
    assert not {"train", "train_index", "extract", "degrade", "pack_chunks"} & set(jobs), jobs
    assert ids(database) == before
    assert '"removed_rows": 0,' not in (database / "database.json").read_text()
    assert snakemake(copy_of_finished, "compact").returncode == 0
    assert not {"train", "train_index", "extract"} & set(update(copy_of_finished))
    assert '"removed_rows": 0,' in (database / "database.json").read_text()
    assert ids(database) == before
