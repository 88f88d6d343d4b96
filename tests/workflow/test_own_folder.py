"""A folder of one's own: what is broken becomes a row or a sentence, and the rest goes on."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from workflow_runs import snakemake

STRANGE = 'it\'s "quoted" $HOME & ünïcode 音.flac'


def tone(seconds, seed, rate=16000):
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    return 0.3 * sum(
        np.sin(2 * np.pi * f * t) for f in rng.uniform(100, 3000, 4)
    ) / 4 + 0.01 * rng.standard_normal(len(t))


@pytest.fixture
def sources(tmp_path):
    """Folders with a little of everything, and the configuration that names them."""
    folders = {name: tmp_path / "sources" / name for name in ("music", "noise", "room", "microphone")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    music = folders["music"]
    for k, name in enumerate(["a.wav", "b.FLAC", "c.ogg", "d.mp3", "same name.wav", STRANGE]):
        soundfile.write(music / name, tone(32, k), 16000, format=name.rsplit(".", 1)[1].upper())
    (music / "deep").mkdir()
    soundfile.write(music / "deep" / "same name.wav", tone(32, 9), 16000)
    (music / "cover.jpg").write_bytes(b"not audio, and not meant to be")
    for k in range(3):
        soundfile.write(folders["noise"] / f"{k}.wav", tone(5, 20 + k), 16000)
        decay = np.exp(-np.arange(2000) / 300) * np.random.default_rng(k).standard_normal(2000)
        soundfile.write(folders["room"] / f"{k}.wav", 0.1 * decay, 8000)
        soundfile.write(folders["microphone"] / f"{k}.wav", 0.1 * decay[:200], 8000)
    config = {
        "experiment": "folder",
        "models": ["test"],
        "dataset": {"source": "folder", "folder": {name: str(folder) for name, folder in folders.items()}},
        "queries": {"count": None, "unknown_count": None},
    }
    path = tmp_path / "folder.yaml"
    path.write_text(yaml.safe_dump(config))
    return folders, path


def run(tmp_path, config, *targets):
    return snakemake(tmp_path, *[f"results/folder/data/{target}" for target in targets], configfile=config)


@pytest.mark.slow
def test_broken_files_are_rows_with_reasons_and_the_rest_goes_on(tmp_path, sources):
    folders, config = sources
    music = folders["music"]
    (music / "zero.wav").write_bytes(b"")
    soundfile.write(music / "short.wav", tone(0.5, 50), 16000)
    (music / "corrupt.mp3").write_bytes(np.random.default_rng(0).bytes(20000))
    result = run(tmp_path, config, "queries/provenance.csv", "train/audio.npy", "music/failures.csv")
    assert result.returncode == 0, result.output[-4000:]
    failures = pd.read_csv(tmp_path / "results/folder/data/music/failures.csv", keep_default_na=False)
    assert sorted(failures.id) == ["corrupt.mp3", "short.wav", "zero.wav"]
    assert set(failures.status) == {"failed"} and failures.reason.str.len().gt(3).all()
    tracks = pd.read_csv(tmp_path / "results/folder/data/music/tracks.csv")
    good = tracks[tracks.status == "ok"]
    assert sorted(good.id) == sorted(
        ["a.wav", "b.FLAC", "c.ogg", "d.mp3", "same name.wav", "deep/same name.wav", STRANGE]
    )
    for path in good.path:
        info = soundfile.info(tmp_path / path)
        assert (info.samplerate, info.channels, info.subtype) == (8000, 1, "PCM_16")
    corpora = {
        c: set(pd.read_csv(tmp_path / f"results/folder/data/{c}/tracks.csv").id)
        for c in ("train", "validation", "database", "unknown")
    }
    assert sum(map(len, corpora.values())) == len(set.union(*corpora.values())) == len(good)


@pytest.mark.parametrize(
    ("spoil", "target", "sentence"),
    [
        (
            lambda f: [p.unlink() for p in f["music"].rglob("*") if p.is_file()],
            "music/tracks.csv",
            "dataset.folder.music",
        ),
        (
            lambda f: [p.unlink() for p in f["music"].rglob("*") if p.suffix != ".jpg" and p.is_file()],
            "music/tracks.csv",
            "dataset.folder.music",
        ),
        (lambda f: [p.unlink() for p in f["room"].iterdir()], "room/tracks.csv", "dataset.folder.room"),
    ],
    ids=["empty folder", "folder without audio", "no room responses"],
)
def test_a_folder_without_audio_is_one_sentence(tmp_path, sources, spoil, target, sentence):
    folders, config = sources
    spoil(folders)
    result = run(tmp_path, config, target)
    assert result.returncode != 0
    assert sentence in result.output and "Traceback" not in result.output


def test_a_missing_response_folder_is_one_sentence(tmp_path, sources):
    folders, config = sources
    for path in folders["microphone"].iterdir():
        path.unlink()
    folders["microphone"].rmdir()
    result = run(tmp_path, config, "microphone/tracks.csv")
    assert result.returncode != 0
    assert f"dataset.folder.microphone: {folders['microphone']} is not a folder" in result.output
