"""What a user sees when the configuration is wrong: one sentence, before anything runs."""

import pytest
from workflow_runs import snakemake


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("queries: {cuont: 3}", "unknown key 'cuont' in queries"),
        ("seed: many", "seed"),
        ("dataset: {source: folder}", "dataset.folder.music is not set"),
        (
            "dataset: {source: folder, folder: {music: /nowhere}}",
            "dataset.folder.music: /nowhere is not a folder",
        ),
        ("models: [nothing]", "'nothing' has no file config/models/nothing.yaml"),
    ],
)
def test_one_sentence_names_the_key(tmp_path, text, sentence):
    config = tmp_path / "wrong.yaml"
    config.write_text(text)
    run = snakemake(tmp_path, "--dry-run", configfile=config)
    assert run.returncode != 0
    assert sentence in run.output
    assert "Traceback" not in run.output
    assert len(run.output.strip().splitlines()) < 15


def test_the_paper_is_planned(tmp_path):
    run = snakemake(tmp_path, "--dry-run", configfile="config/config.yaml")
    assert run.returncode == 0, run.output[-3000:]
    assert run.jobs["train"] == 1 and "train_index" in run.jobs and "report" in run.jobs
