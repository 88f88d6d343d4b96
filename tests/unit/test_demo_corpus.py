"""The embedded corpus as files: names, roles, same bytes for any number of workers, kept when complete."""

import re
from pathlib import Path
from types import SimpleNamespace

import demo_degradations
import demo_music
import pandas as pd
import pytest
import soundfile
from nmfp.demo import corpus
from nmfp.demo.corpus import build, degradation_items, music_items
from nmfp.files import sha256_file

DEMO = {
    "training_pieces": 160, "validation_pieces": 20, "database_tracks": 100, "unknown_tracks": 100,
    "track_seconds": [60, 180], "noises": [24, 12], "rooms": [24, 12], "microphones": [16, 8],
}  # fmt: skip
TINY = {
    "training_pieces": 1, "validation_pieces": 1, "database_tracks": 2, "unknown_tracks": 1,
    "track_seconds": [2, 3], "noises": [1, 1], "rooms": [1, 1], "microphones": [1, 1],
}  # fmt: skip


class Named(SimpleNamespace):
    """Snakemake's named lists: by attribute, key or position."""

    def __getitem__(self, key):
        return list(vars(self).values())[key] if isinstance(key, int) else getattr(self, key)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(corpus, "PIECE_SECONDS", 2.0)
    monkeypatch.setattr(corpus, "UNKNOWN_SECONDS", (2.0, 3.0))


def hashes(tables):
    return {path: sha256_file(path) for table in tables.values() for path in table["path"]}


def test_names_roles_and_lengths():
    items = music_items(27, DEMO)
    assert len({item.id for item in items}) == len({item.number for item in items}) == 380
    assert all(re.fullmatch(r"(\d{3})/\1\d{3}\.(mp3|ogg|flac)", item.id) for item in items)
    for suffix in ("mp3", "ogg", "flac"):
        assert sum(item.id.endswith(suffix) for item in items) > 80
    seconds = {
        role: [i.seconds for i in items if i.role == role] for role in ("train", "database", "unknown")
    }
    assert set(seconds["train"]) == {30.0} and len(seconds["train"]) == 160
    assert 60 <= min(seconds["database"]) and max(seconds["database"]) <= 180
    assert 85 < sum(seconds["database"]) / 100 < 115
    assert min(seconds["unknown"]) >= 32 and len(seconds["unknown"]) == 100


def test_another_count_leaves_the_other_pieces_as_they_are():
    def by_id(demo):
        return {item.id: (item.role, item.seconds, item.number) for item in music_items(27, demo)}

    few, many = by_id({**DEMO, "training_pieces": 10}), by_id(DEMO)
    assert few.items() <= many.items()


def test_another_seed_is_another_corpus():
    assert not {item.id for item in music_items(1, DEMO)} == {item.id for item in music_items(2, DEMO)}


def test_training_and_test_degradations_are_apart():
    items = degradation_items(27, DEMO)
    counts = pd.Series([(item.collection, item.role) for item in items]).value_counts()
    assert counts[("noise", "train")] == 24 and counts[("microphone", "test")] == 8
    assert len({(item.collection, item.id) for item in items}) == len(items)


def test_any_number_of_workers_gives_the_same_bytes(tmp_path, short):
    items = music_items(5, TINY) + degradation_items(5, TINY)
    alone = build(items, tmp_path / "one", 1, 1, "test")
    together = build(items, tmp_path / "two", 1, 2, "test")
    first = [digest for _, digest in sorted(hashes(alone).items())]
    second = [digest for _, digest in sorted(hashes(together).items())]
    assert first == second and len(set(first)) == len(items)


def test_complete_files_are_kept_and_broken_ones_made_again(tmp_path, short):
    items = music_items(5, TINY)
    before = hashes(tables := build(items, tmp_path, 1, 1, "test"))
    paths = list(tables["music"]["path"])
    times = {path: Path(path).stat().st_mtime_ns for path in paths}
    Path(paths[0]).unlink()
    Path(paths[1]).write_bytes(b"")
    Path(paths[2]).write_bytes(Path(paths[2]).read_bytes()[:500])
    assert hashes(build(items, tmp_path, 1, 1, "test")) == before
    kept = [Path(path).stat().st_mtime_ns == times[path] for path in paths]
    assert kept == [False, False, False, True, True]


def test_another_version_goes_to_another_folder(tmp_path, short):
    items = degradation_items(5, TINY)[-1:]
    first, second = (build(items, tmp_path, version, 1, "test")["microphone"].path[0] for version in (1, 2))
    assert first != second


def test_scripts_write_the_tables(tmp_path, short):
    params = SimpleNamespace(version=1, folder=str(tmp_path / "resources/demo"), seed=5, demo=TINY)
    files = {name: str(tmp_path / f"{name}.csv") for name in ("music", "noise", "room", "microphone")}
    music = SimpleNamespace(
        params=params, output=Named(files=files["music"]), threads=1, log=[str(tmp_path / "music.log")]
    )
    demo_music.main(music)
    degradations = SimpleNamespace(
        params=params,
        output=Named(**{name: files[name] for name in ("noise", "room", "microphone")}),
        threads=1,
        log=[str(tmp_path / "degradations.log")],
    )
    demo_degradations.main(degradations)
    for name, path in files.items():
        table = pd.read_csv(path, keep_default_na=False)
        assert list(table.columns) == ["id", "path", "role", "reason"]
        assert (table["reason"] == "").all()
        assert all(
            entry.endswith(f"{name}/{id_}") for entry, id_ in zip(table["path"], table["id"], strict=True)
        )
        assert all(soundfile.info(entry).frames > 0 for entry in table["path"])
        roles = {"train", "validation", "database", "unknown"} if name == "music" else {"train", "test"}
        assert set(table["role"]) == roles
