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


def test_a_folder_with_too_little_music_is_refused_before_any_step(tmp_path):
    for name, count in {"music": 1, "noise": 2, "room": 2, "microphone": 2}.items():
        (tmp_path / name).mkdir()
        for n in range(count):
            (tmp_path / name / f"{n}.wav").write_bytes(b"")
    folders = ", ".join(f"{name}: {tmp_path / name}" for name in ("music", "noise", "room", "microphone"))
    config = tmp_path / "mine.yaml"
    config.write_text(f"dataset: {{source: folder, folder: {{{folders}}}}}")
    run = snakemake(tmp_path, configfile=config)
    assert run.returncode != 0
    assert "holds 1 audio file(s), but 4 are needed, one for each of training, validation," in run.output
    assert len(run.output.strip().splitlines()) < 5 and not (tmp_path / "results").exists()


def test_a_failing_first_step_says_nothing_of_backups(tmp_path):
    config = tmp_path / "mine.yaml"
    # more queries than tracks: the split fails
    config.write_text("experiment: test\ndataset: {source: demo}\nqueries: {count: 99}")
    tracks = tmp_path / "results/test/data/music/tracks.csv"
    tracks.parent.mkdir(parents=True)
    rows = "".join(f"{n}.wav,any,a{n}.wav,400000,{n},ok,\n" for n in range(8))
    tracks.write_text("id,role,path,samples,sha256,status,reason\n" + rows)
    arguments = ["results/test/data/train/tracks.csv", "--allowed-rules", "split_music"]
    run = snakemake(tmp_path, *arguments, configfile=config)
    assert run.returncode != 0 and "queries.count asks for 99 tracks" in run.output
    assert "no backup found" not in run.output


def test_the_paper_is_planned(tmp_path):
    run = snakemake(tmp_path, "--dry-run", configfile="config/config.yaml")
    assert run.returncode == 0, run.output[-3000:]
    assert run.jobs["train"] == 1 and "train_index" in run.jobs and "report" in run.jobs
