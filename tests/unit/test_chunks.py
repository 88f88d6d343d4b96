import numpy as np
import pandas as pd
import pytest
from nmfp.audio.decoder import AudioError
from nmfp.audio.wav import write_wav
from nmfp.datasets import chunks
from nmfp.datasets.chunks import CHUNK_SAMPLES, Chunk

S = 8000


@pytest.fixture
def tracks(tmp_path):
    """Tracks whose samples say which track they are of and how far in."""
    rows = []
    for k, seconds in enumerate([30, 95, 12.5, 61]):
        samples = (np.arange(int(seconds * S)) // 40 + 1000 * k + 1).astype(np.int16)
        path = tmp_path / f"{k}.wav"
        write_wav(path, samples)
        rows.append((f"{k}.mp3", str(path), len(samples)))
    return pd.DataFrame(rows, columns=["id", "path", "samples"])


def test_places_are_whole_chunks_and_a_long_rest():
    assert chunks.places(CHUNK_SAMPLES) == [Chunk(0, CHUNK_SAMPLES)]
    assert chunks.places(CHUNK_SAMPLES - 1) == [Chunk(0, CHUNK_SAMPLES - 1)]
    assert chunks.places(S) == [Chunk(0, S)]
    assert chunks.places(CHUNK_SAMPLES + 10 * S - 1) == [Chunk(0, CHUNK_SAMPLES)]
    assert chunks.places(CHUNK_SAMPLES + 10 * S) == [Chunk(0, CHUNK_SAMPLES), Chunk(CHUNK_SAMPLES, 10 * S)]
    assert chunks.places(0) == []


def test_one_chunk_of_a_long_track_is_a_seeded_whole_one():
    samples = 200 * S
    drawn = {chunks.choose(samples, 1, 27, str(k))[0] for k in range(60)}
    assert drawn == {Chunk(k * CHUNK_SAMPLES, CHUNK_SAMPLES) for k in range(6)}  # the 20 s rest never
    assert chunks.choose(samples, 1, 27, "a") == chunks.choose(samples, 1, 27, "a")


def test_a_number_takes_that_many_in_order():
    some = chunks.choose(400 * S, 4, 27, "a")
    assert len(some) == len(set(some)) == 4 and some == sorted(some)
    assert (
        chunks.choose(400 * S, 99, 27, "a") == chunks.choose(400 * S, None, 27, "a") == chunks.places(400 * S)
    )


def test_all_chunks_are_packed_with_their_padding(tracks, tmp_path):
    table = chunks.pack_chunks(tracks, tmp_path / "audio.npy", tmp_path / "chunks.csv", None, 27)
    packed = np.load(tmp_path / "audio.npy", mmap_mode="r")
    assert packed.dtype == np.int16 and packed.shape == (7, CHUNK_SAMPLES)
    assert table["id"].tolist() == ["0.mp3", *["1.mp3"] * 3, "2.mp3", *["3.mp3"] * 2]
    assert table["samples"].tolist() == [CHUNK_SAMPLES] * 4 + [100_000] + [CHUNK_SAMPLES] * 2
    for row in table.itertuples():
        track = int(row.id[0])
        at = row.start_sample + np.arange(row.samples)
        np.testing.assert_array_equal(packed[row.chunk, : row.samples], at // 40 + 1000 * track + 1)
        assert not packed[row.chunk, row.samples :].any()
    written = pd.read_csv(tmp_path / "chunks.csv")
    assert written.columns.tolist() == chunks.CHUNK_COLUMNS
    pd.testing.assert_frame_equal(written, table, check_dtype=False)


def test_packing_twice_gives_the_same_bytes(tracks, tmp_path):
    for name in ("a", "b"):
        chunks.pack_chunks(tracks, tmp_path / f"{name}.npy", tmp_path / f"{name}.csv", 1, 27)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    assert len(np.load(tmp_path / "a.npy", mmap_mode="r")) == 4


def test_a_missing_wav_is_named_and_leaves_nothing(tracks, tmp_path):
    (tmp_path / "2.wav").unlink()
    with pytest.raises(AudioError, match=r"2\.wav"):
        chunks.pack_chunks(tracks, tmp_path / "audio.npy", tmp_path / "chunks.csv", None, 27)
    assert not list(tmp_path.glob("*.npy")) and not list(tmp_path.glob(".part*"))


def test_recordings_lie_one_after_another(tracks, tmp_path):
    table = chunks.pack_recordings(tracks, tmp_path / "noise.npy", tmp_path / "noise.csv")
    packed = np.load(tmp_path / "noise.npy", mmap_mode="r")
    assert packed.dtype == np.int16 and packed.shape == (tracks["samples"].sum(),)
    for k, row in enumerate(table.itertuples()):
        part = packed[row.start_sample : row.start_sample + row.samples]
        np.testing.assert_array_equal(part, np.arange(row.samples) // 40 + 1000 * k + 1)


def test_no_chunks_are_an_empty_array(tmp_path):
    empty = pd.DataFrame({"id": [], "path": [], "samples": []})
    chunks.pack_chunks(empty, tmp_path / "audio.npy", tmp_path / "chunks.csv", None, 27)
    assert np.load(tmp_path / "audio.npy").shape == (0, CHUNK_SAMPLES)
