"""Draws and windows of a step: inside the chunk, near the grid, where they say, and independent of
threads."""

import itertools

import numpy as np
import pytest
from nmfp.errors import NmfpError
from nmfp.training import data, device_audio, draws, run
from nmfp.training.batches import Batches
from training_world import model_config, write_chunks, write_recordings, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


def make_batches(world, **sections):
    model = model_config(batch={"anchors": 4, "positives": 2}, **sections)
    chunks = data.open_chunks(world / "train/audio.npy", world / "train/chunks.csv")
    recordings = run.open_degradations(world / "degradations/train", model["degradation"])
    return Batches(chunks, recordings, model, seed=5)


def test_places(world):
    batches = make_batches(world, degradation={"past_context_seconds": 1.0})
    grid = batches.grid
    for step in range(200):
        rows = np.random.default_rng(step).permutation(grid.size)[:4]
        drawn = batches.draw(0, step, rows)
        assert (np.abs(drawn.anchor_start - grid.segment[rows] * 4000) <= 2000).all()
        assert (np.abs(drawn.positive_start - np.repeat(drawn.anchor_start, 2)) <= 2000).all()
        starts = np.concatenate([drawn.anchor_start, drawn.positive_start])
        assert starts.min() >= 0 and starts.max() <= 40_000
        assert drawn.snr_db.min() >= 0 and drawn.snr_db.max() <= 10
        assert set(drawn.room) | set(drawn.microphone) | set(drawn.noise) <= {0, 1}


def test_windows_are_cut_where_the_draw_says(world):
    batches = make_batches(world, degradation={"past_context_seconds": 1.0})
    drawn = batches.draw(0, 0, np.array([0, 11, 25, 87]))
    batch, audio = batches.gather(drawn), batches.chunks.audio
    for i in range(4):
        start = drawn.anchor_start[i]
        np.testing.assert_array_equal(batch["anchors"][i], audio[drawn.chunk[i], start : start + 8000])
    for i in range(8):
        end, missing = drawn.positive_start[i] + 8000, batch["missing"][i]
        assert missing == max(8000 - drawn.positive_start[i], 0)
        expected = audio[drawn.positive_chunk[i], max(end - 16000, 0) : end]
        np.testing.assert_array_equal(batch["music"][i, missing:], expected)
    assert batch["missing"].max() > 0, "no positive near a chunk's start: the test shows nothing"
    noise = np.load(world / "degradations/train/noise.npy")
    for i in range(8):
        recording = noise[:80_000] if drawn.noise[i] == 0 else noise[80_000:]
        expected = np.take(recording, drawn.noise_start[i] + np.arange(16000), mode="wrap")
        np.testing.assert_array_equal(batch["noise"][i], expected)


def test_threads_and_resume_do_not_matter(world):
    one, three = make_batches(world).stream(0, threads=1), make_batches(world).stream(0, threads=3, ahead=7)
    steps = make_batches(world).steps_per_epoch
    first = list(itertools.islice(one, steps + 2))
    for a, b in zip(first, three, strict=False):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    resumed = make_batches(world).stream(1)
    np.testing.assert_array_equal(next(resumed)["music"], first[steps]["music"])


def test_off_switches_remove_inputs(world):
    batches = make_batches(world, degradation={"noise": False, "room": False, "microphone": False})
    assert batches.recordings == {}
    assert "noise" not in next(batches.stream(0))


def test_draws_differ_between_steps_and_seeds(world):
    batches = make_batches(world)
    rows = np.arange(4)
    one = batches.draw(0, 0, rows)
    for other in (batches.draw(0, 1, rows), batches.draw(1, 0, rows)):
        assert (one.snr_db != other.snr_db).all()


def test_broken_data_is_refused(tmp_path):
    write_chunks(tmp_path, [16_000] * 3, 0, 16_000)
    table = (tmp_path / "chunks.csv").read_text().splitlines()
    (tmp_path / "chunks.csv").write_text("\n".join(table[:-1]) + "\n")
    with pytest.raises(NmfpError, match="lists 2 chunks"):
        data.open_chunks(tmp_path / "audio.npy", tmp_path / "chunks.csv")
    np.save(tmp_path / "audio.npy", np.zeros((3, 10)))
    with pytest.raises(NmfpError, match="float64"):
        data.open_chunks(tmp_path / "audio.npy", tmp_path / "chunks.csv")
    (tmp_path / "audio.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(NmfpError, match="cannot be read as a NumPy array"):
        data.open_chunks(tmp_path / "audio.npy", tmp_path / "chunks.csv")
    with pytest.raises(NmfpError, match="does not exist"):
        data.open_recordings(tmp_path, "noise")
    write_recordings(tmp_path, "room", [100], 0)
    np.save(tmp_path / "room.npy", np.zeros(50, np.int16))
    with pytest.raises(NmfpError, match="points outside"):
        data.open_recordings(tmp_path, "room")
    (tmp_path / "room.csv").write_text("id,start_sample,samples\n")
    with pytest.raises(NmfpError, match=r"lists no recordings, but degradation\.room is on"):
        data.open_recordings(tmp_path, "room")


def test_noise_shorter_than_a_window_is_repeated():
    recordings = data.Recordings(np.arange(10, dtype=np.int16), np.array([0, 6]), np.array([6, 4]))
    cut = data.cut_recordings(recordings, np.array([1, 0, 1]), np.array([1, 2, 0]), 7)
    assert cut.tolist() == [[7, 8, 9, 6, 7, 8, 9], [2, 3, 4, 5, 0, 1, 2], [6, 7, 8, 9, 6, 7, 8]]


def test_past_context_is_a_whole_number_of_samples():
    assert draws.past_samples({"degradation": {"past_context_seconds": 0.1}}) == 800


@pytest.mark.parametrize("past", [0.0, 1.0])
def test_windows_cut_on_the_device_are_the_same(world, past):
    """Every window at random places, at the very start, and of noise that is repeated."""
    host = make_batches(world, degradation={"past_context_seconds": past})
    device = make_batches(world, degradation={"past_context_seconds": past})
    audio = {name: device_audio.DeviceAudio(places) for name, places in device.keep_on_device().items()}
    for step in range(20):
        drawn = host.draw(0, step, np.random.default_rng(step).permutation(host.grid.size)[:4])
        drawn.positive_start[0] = drawn.positive_chunk[0] = 0
        same = device.draw(0, step, np.random.default_rng(step).permutation(host.grid.size)[:4])
        same.positive_start[0] = same.positive_chunk[0] = 0
        windows, places = host.gather(drawn), device.gather(same)
        np.testing.assert_array_equal(audio["music"](places["anchors"], length=8000), windows["anchors"])
        music = np.asarray(audio["music"](places["music"], length=host.window))
        for row, expected, missing in zip(music, windows["music"], windows["missing"], strict=True):
            np.testing.assert_array_equal(row[missing:], expected[missing:])
        np.testing.assert_array_equal(audio["noise"](places["noise"], length=host.window), windows["noise"])
