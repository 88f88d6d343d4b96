"""Queries: four variants of an excerpt, and a table from which they can be made again."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from nmfp.audio.wav import read_wav, to_float, write_wav
from nmfp.datasets import queries
from nmfp.datasets.journal import Journal
from nmfp.datasets.queries import VARIANTS, PackedRecordings, Settings
from nmfp.degradation.offline import Levels, degrade, take_noise
from nmfp.errors import NmfpError

LENGTH, SHIFT = 8000, 2000
ALL_ON = {"snr_db": [0, 10], "snr_reference": "excerpt", "noise": True, "room": True, "microphone": True}


def noise(seed, samples):
    return (3000 * np.random.default_rng(seed).normal(size=samples)).astype(np.int16)


def packed(*recordings):
    lengths = [len(r) for r in recordings]
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    return PackedRecordings(
        np.concatenate(recordings), [f"r{k}.wav" for k in range(len(lengths))], starts, lengths
    )


@pytest.fixture
def recordings():
    decay = np.exp(-np.arange(3000) / 500)
    return {
        "noise": packed(noise(1, 5000), noise(2, 60_000)),
        "room": packed((noise(3, 3000) * decay).astype(np.int16), noise(4, 200)),
        "microphone": packed(noise(5, 50), noise(6, 90)),
    }


@pytest.fixture
def tracks(tmp_path):
    rows = []
    for k in range(4):
        samples = noise(10 + k, 30_000 + 5000 * k)
        write_wav(tmp_path / "in" / f"{k}.wav", samples)
        rows.append((f"a/{k}.mp3", str(tmp_path / "in" / f"{k}.wav"), len(samples), f"hash {k}"))
    return pd.DataFrame(rows, columns=["id", "path", "samples", "sha256"])


def make(tracks, recordings, folder, degradation=ALL_ON, per_track=2, threads=2, seed=27):
    settings = Settings(seed, per_track, LENGTH, SHIFT, degradation)
    folders = {variant: folder / variant for variant in VARIANTS}
    journal = Journal(folder / "done.jsonl", "k")
    return queries.make_queries(tracks, folders, recordings, settings, journal, threads, "degrade")


@pytest.mark.parametrize("reference", ["excerpt", "track"])
def test_everything_can_be_made_again_from_the_table(reference, tracks, recordings, tmp_path):
    """The whole track is degraded here, as the specification says; the product computes a window of it."""
    table = make(tracks, recordings, tmp_path / "out", ALL_ON | {"snr_reference": reference}, per_track=3)
    assert len(table) == 12 and table["id"].is_unique
    rows_of = {name: {k: i for i, k in enumerate(r.ids)} for name, r in recordings.items()}
    for row in table.itertuples():
        track = to_float(read_wav(tracks.set_index("id").loc[row.track_id, "path"]))
        first = min(row.start_sample, row.start_sample_shifted)
        last = max(row.start_sample, row.start_sample_shifted) + LENGTH
        recording = recordings["noise"].get(rows_of["noise"][row.noise_id])
        whole_noise = to_float(take_noise(recording, row.noise_start_sample, first, len(track)))
        responses = [
            to_float(recordings[name].get(rows_of[name][getattr(row, f"{name}_id")]))
            * getattr(row, f"{name}_gain")
            for name in ("room", "microphone")
        ]
        measured = slice(first, last) if reference == "excerpt" else slice(None)
        levels = Levels(*(np.sqrt(np.mean(x[measured] ** 2)) for x in (track, whole_noise)))
        assert (row.music_rms, row.noise_rms) == pytest.approx(levels)
        kept = degrade(track, whole_noise, row.snr_db, *responses, slice(first, last), levels)
        for variant, start in (
            ("degraded", row.start_sample),
            ("degraded_shifted", row.start_sample_shifted),
        ):
            made = read_wav(getattr(row, f"{variant}_path"))
            np.testing.assert_allclose(
                made / 32767, kept[start - first : start - first + LENGTH], atol=1 / 32767
            )
        for variant, start in (("clean", row.start_sample), ("clean_shifted", row.start_sample_shifted)):
            made = read_wav(getattr(row, f"{variant}_path"))
            np.testing.assert_array_equal(to_float(made), track[start : start + LENGTH])


def test_cuts_lie_in_their_track_and_differ(tracks, recordings, tmp_path):
    table = make(tracks, recordings, tmp_path / "out", per_track=10)
    lengths = tracks.set_index("id")["samples"][table["track_id"]].to_numpy()
    for column in ("start_sample", "start_sample_shifted"):
        assert (table[column] >= 0).all() and (table[column] + LENGTH <= lengths).all()
    assert (table["start_sample"] - table["start_sample_shifted"]).abs().max() <= SHIFT
    assert table["start_sample"].nunique() > 35


def files_of(table):
    return {name: open(name, "rb").read() for variant in VARIANTS for name in table[f"{variant}_path"]}


def test_order_and_threads_change_nothing(tracks, recordings, tmp_path):
    one = make(tracks, recordings, tmp_path / "out", threads=1)
    content = files_of(one)
    for path in content:
        (tmp_path / path).unlink()
    (tmp_path / "out" / "done.jsonl").unlink()
    four = make(tracks[::-1], recordings, tmp_path / "out", threads=4)
    pd.testing.assert_frame_equal(
        four.sort_values("id", ignore_index=True), one.sort_values("id", ignore_index=True)
    )
    assert files_of(four) == content


@pytest.mark.parametrize(("reference", "expected"), [("track", 20 * np.log10(0.2)), ("excerpt", 0.0)])
def test_a_quiet_passage_is_worse_where_the_snr_holds_over_the_whole_track(reference, expected, tmp_path):
    """A second of +-0.1 (the query) between seconds of +-0.7: the track's mean square is
    (0.01 + 0.49) / 2 = 0.25, so its RMS is 0.5, five times the passage's: 14 dB below the drawn 0 dB."""
    second = np.tile([1, -1], 4000)
    quiet, loud = 0.1 * second, 0.7 * second
    track = np.rint(32768 * np.concatenate([loud, quiet, quiet, loud])).astype(np.int16)
    write_wav(tmp_path / "t.wav", track)
    # as loud everywhere, and without likeness to the music
    hum = np.tile([1000, 1000, -1000, -1000], 1500).astype(np.int16)
    cut = queries.Cut(10_000, 10_000)
    drawn = queries.Degradation(0, 0, 0.0, None, None, None, None)
    whole = (len(track), queries.wav_rms(tmp_path / "t.wav")) if reference == "track" else None
    variants, levels = queries.render(tmp_path / "t.wav", cut, LENGTH, drawn, {"noise": packed(hum)}, whole)
    assert levels.music == pytest.approx(0.5 if whole else 0.1, abs=1e-4)
    assert levels.noise == pytest.approx(1000 / 32768)
    basis = np.stack([np.tile([1, -1], 4000), np.tile([1, 1, -1, -1], 2000)], axis=1)
    (music, noise), *_ = np.linalg.lstsq(basis, variants["degraded"] / 32767, rcond=None)
    assert 20 * np.log10(music / noise) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("reference", "hours"), [("track", 1), ("excerpt", 10)])
def test_memory_does_not_depend_on_the_length_of_a_track(reference, hours, recordings, tmp_path):
    samples = hours * 3600 * 8000  # 58 MB an hour; the file is sparse
    path = tmp_path / "long.wav"
    write_wav(path, noise(1, 10))
    header = bytearray(path.read_bytes()[:44])
    header[4:8], header[40:44] = (n.to_bytes(4, "little") for n in (36 + 2 * samples, 2 * samples))
    with path.open("wb") as f:
        f.write(header)
        f.truncate(44 + 2 * samples)
    tracks = pd.DataFrame({"id": ["long"], "path": [str(path)], "samples": [samples], "sha256": ["h"]})
    tracemalloc.start()
    try:
        degradation = ALL_ON | {"snr_reference": reference}
        table = make(tracks, recordings, tmp_path / "out", degradation, per_track=3, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert table["start_sample"].max() > 1_000_000
    assert peak < 20e6


def test_another_track_changes_no_query(tracks, recordings, tmp_path):
    few = make(tracks[1:3], recordings, tmp_path / "few").set_index("id")
    many = make(tracks, recordings, tmp_path / "many").set_index("id")
    pd.testing.assert_frame_equal(
        few[queries.PROVENANCE_COLUMNS[1:]], many.loc[few.index, queries.PROVENANCE_COLUMNS[1:]]
    )
    assert few["degraded_sha256"].tolist() == many.loc[few.index, "degraded_sha256"].tolist()


def test_another_seed_changes_all(tracks, recordings, tmp_path):
    one, two = (make(tracks, recordings, tmp_path / str(seed), seed=seed) for seed in (1, 2))
    assert not set(one["degraded_sha256"]) & set(two["degraded_sha256"])


def test_finished_queries_are_not_made_again_damaged_ones_are(tracks, recordings, tmp_path, monkeypatch):
    first = make(tracks, recordings, tmp_path / "out")
    rendered = []
    real = queries.render
    monkeypatch.setattr(queries, "render", lambda path, *args: rendered.append(path) or real(path, *args))
    pd.testing.assert_frame_equal(make(tracks, recordings, tmp_path / "out"), first)
    assert rendered == []
    broken = first["degraded_path"][5]
    with open(broken, "r+b") as f:
        f.truncate(1000)
    changed = tracks.assign(sha256=["other", *tracks["sha256"][1:]])
    again = make(changed, recordings, tmp_path / "out")
    assert again.pop("track_sha256").tolist() == ["other"] * 2 + first.pop("track_sha256").tolist()[2:]
    pd.testing.assert_frame_equal(again, first)
    assert len(rendered) == 3  # the broken one, and both of the track whose source changed


@pytest.mark.parametrize("off", ["noise", "room", "microphone"])
def test_what_is_off_leaves_empty_cells_and_the_other_draws(off, tracks, recordings, tmp_path):
    full = make(tracks, recordings, tmp_path / "full")
    part = make(tracks, recordings, tmp_path / "part", {**ALL_ON, off: False})
    columns = {"noise": ["noise_start_sample", "snr_db", "music_rms", "noise_rms"]}.get(off, [f"{off}_gain"])
    assert set(part[f"{off}_id"]) == {""} and part[columns].isna().all(axis=None)
    others = [c for c in queries.PROVENANCE_COLUMNS if c not in [f"{off}_id", *columns]]
    pd.testing.assert_frame_equal(part[others], full[others])


def test_all_off_is_the_clean_music_at_full_scale(tracks, recordings, tmp_path):
    off = {"snr_db": [0, 10], "snr_reference": "track", "noise": False, "room": False, "microphone": False}
    row = make(tracks[:1], recordings, tmp_path / "out", off, per_track=1).iloc[0]
    clean, degraded = read_wav(row["clean_path"]) / 1.0, read_wav(row["degraded_path"]) / 1.0
    assert np.corrcoef(clean, degraded)[0, 1] > 0.999999


def test_gathered_tables_have_one_row_a_query(tracks, recordings, tmp_path):
    parts = []
    for k in range(2):
        parts.append(tmp_path / f"{k}.csv")
        make(tracks[2 * k : 2 * k + 2], recordings, tmp_path / "out").to_csv(parts[-1], index=False)
    provenance, corpora = queries.gather(parts, tracks)
    assert provenance.columns.tolist() == queries.PROVENANCE_COLUMNS and len(provenance) == 8
    assert set(corpora) == set(VARIANTS)
    for variant, table in corpora.items():
        assert table["id"].tolist() == provenance["id"].tolist()
        assert set(table["status"]) == {"ok"} and set(table["samples"]) == {LENGTH}
        assert all(f"/{variant}/" in path and len(read_wav(path)) == LENGTH for path in table["path"])


def test_queries_of_tracks_that_are_gone_or_changed_are_left_out(tracks, recordings, tmp_path):
    table = tmp_path / "0.csv"
    make(tracks, recordings, tmp_path / "out").to_csv(table, index=False)
    now = tracks.drop(index=0)
    now.loc[1, "sha256"] = "other content"
    provenance, corpora = queries.gather([table], now)
    assert provenance["track_id"].unique().tolist() == tracks["id"].tolist()[2:]
    assert all(corpora[variant]["id"].tolist() == provenance["id"].tolist() for variant in VARIANTS)


def test_no_partitions_give_empty_tables():
    provenance, corpora = queries.gather([], pd.DataFrame(columns=["id", "sha256"]))
    assert provenance.empty and provenance.columns.tolist() == queries.PROVENANCE_COLUMNS
    assert all(table.empty and "path" in table for table in corpora.values())


def test_a_track_shorter_than_its_row_is_an_error(tracks, recordings, tmp_path):
    tracks.loc[0, "samples"] = 500_000
    with pytest.raises(NmfpError, match=r"0\.wav is shorter than tracks\.csv says"):
        make(tracks[:1], recordings, tmp_path / "out")


def test_recordings_that_do_not_belong_together_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(100, np.int16))
    (tmp_path / "a.csv").write_text("id,start_sample,samples\nx,0,60\ny,60,40\n")
    assert len(queries.open_packed(tmp_path / "a.npy", tmp_path / "a.csv").get(1)) == 40
    (tmp_path / "a.csv").write_text("id,start_sample,samples\nx,0,60\n")
    with pytest.raises(NmfpError, match="do not belong together"):
        queries.open_packed(tmp_path / "a.npy", tmp_path / "a.csv")
    with pytest.raises(NmfpError, match=r"b\.npy cannot be read"):
        queries.open_packed(tmp_path / "b.npy", tmp_path / "a.csv")
