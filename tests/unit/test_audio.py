"""The streaming decoder on every format, and on what is no audio."""

import itertools
import logging
import os
import pickle
import struct
import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nmfp.audio import decoder
from nmfp.audio import wav as audio
from nmfp.audio.decoder import AudioError, TruncatedAudio


def tone(seconds=3.0, rate=44100, channels=1, frequency=440.0, amplitude=0.5):
    """float32 (samples, channels): a tone, the same in all channels."""
    t = np.arange(int(seconds * rate)) / rate
    return np.repeat(amplitude * np.sin(2 * np.pi * frequency * t)[:, None], channels, axis=1).astype(
        np.float32
    )


def encode(path, samples, rate, codec, container_format=None):
    """Write float32 (samples, channels) with one of FFmpeg's encoders, Vorbis with libsndfile's."""
    if codec == "vorbis":
        soundfile.write(path, samples, rate, format="OGG", subtype="VORBIS")
        return path
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[samples.shape[1]]
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        wanted = stream.codec_context.format.name
        resampler = av.AudioResampler(format=wanted, layout=layout, rate=rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        for converted in resampler.resample(frame):
            fifo.write(converted)
        size = stream.codec_context.frame_size or 1024
        while (part := fifo.read(size, partial=True)) is not None:
            part.pts = None
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def level(samples, frequency=440.0, rate=8000):
    """Amplitude (full scale 1) of one frequency in the middle of int16 samples."""
    middle = samples[len(samples) // 4 : -len(samples) // 4] / 32768
    t = np.arange(len(middle)) / rate
    return 2 * abs(np.mean(middle * np.exp(-2j * np.pi * frequency * t)))


CODECS = [
    ("a.wav", "pcm_s16le", None), ("A.WAV", "pcm_s24le", None), ("b.wav", "pcm_u8", None),
    ("c.wav", "pcm_s32le", None), ("d.wav", "pcm_f32le", None), ("e.wav", "pcm_f64le", None),
    ("f.flac", "flac", None), ("g.mp3", "libmp3lame", None), ("H.Mp3", "libmp3lame", "mp3"),
    ("i.ogg", "vorbis", None), ("j.opus", "libopus", None), ("k.aac", "aac", "adts"),
    ("l.m4a", "aac", None), ("m.M4A", "alac", "ipod"), ("n.aiff", "pcm_s16be", None),
    ("o.w64", "pcm_s16le", None), ("p.au", "pcm_s16be", None), ("q.mka", "pcm_s16le", "matroska"),
    ("r.webm", "libopus", None), ("s.wv", "wavpack", None), ("t.caf", "pcm_s16le", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "codec", "form"), CODECS, ids=[f"{c[0]}-{c[1]}" for c in CODECS])
def test_every_format_is_read(name, codec, form, tmp_path):
    rate = 48000 if codec == "libopus" else 44100
    path = encode(tmp_path / name, tone(rate=rate, channels=2), rate, codec, form)
    samples = audio.read(path)
    assert samples.dtype == np.int16
    assert len(samples) == pytest.approx(24000, abs=1000)  # lossy formats pad by a frame
    assert level(samples) == pytest.approx(0.5, rel=0.06)  # LAME takes 5 % off
    assert path.suffix.lower() in decoder.AUDIO_SUFFIXES


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 192000])
def test_every_rate_becomes_8_khz(rate, tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(rate=rate), rate)
    samples = audio.read(tmp_path / "a.wav")
    assert abs(len(samples) - 24000) <= 1
    expected = tone(rate=8000)[:, 0]
    np.testing.assert_allclose(samples[800:-800] / 32768, expected[800 : len(samples) - 800], atol=2e-3)


@pytest.mark.parametrize("channels", range(1, 9))
def test_channels_are_averaged(channels, tmp_path):
    rng = np.random.default_rng(channels)
    samples = rng.uniform(-0.9, 0.9, size=(16000, channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav") / 32768, samples.mean(axis=1), atol=2 / 32768)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_width_has_the_same_scale(subtype, tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(rate=8000), 8000, subtype=subtype)
    step = 1 / 128 if subtype == "PCM_U8" else 1 / 32768
    np.testing.assert_allclose(
        audio.read(tmp_path / "a.wav") / 32768, tone(rate=8000)[:, 0], atol=1.01 * step
    )


def test_our_own_wavs_come_back_bit_by_bit(tmp_path):
    samples = np.random.default_rng(0).integers(-32768, 32768, 30000).astype(np.int16)
    audio.write_wav(tmp_path / "a.wav", samples)
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav"), samples)
    np.testing.assert_array_equal(audio.read_wav(tmp_path / "a.wav"), samples)
    np.testing.assert_array_equal(audio.read_wav(tmp_path / "a.wav", 100, 5000), samples[100:5000])
    np.testing.assert_array_equal(audio.read_wav(tmp_path / "a.wav", 29000, 99999), samples[29000:])
    assert len(audio.read_wav(tmp_path / "a.wav", 40000)) == 0
    assert audio.wav_samples(tmp_path / "a.wav") == 30000
    assert audio.wav_peak(tmp_path / "a.wav") == 32768


def test_too_loud_is_clipped_and_never_wraps_around(tmp_path):
    loud = tone(rate=8000, amplitude=3.0)
    soundfile.write(tmp_path / "a.wav", loud, 8000, subtype="FLOAT")
    samples = audio.read(tmp_path / "a.wav")
    np.testing.assert_allclose(samples / 32768, np.clip(loud[:, 0], -1, 1), atol=1e-4)
    assert samples.max() == 32767 and samples.min() == -32768


def test_what_is_no_number_is_no_sound(tmp_path):
    bad = tone(rate=44100)
    bad[1000:1100] = np.nan
    bad[2000] = np.inf
    soundfile.write(tmp_path / "a.wav", bad, 44100, subtype="FLOAT")
    samples = audio.read(tmp_path / "a.wav")
    assert level(samples) == pytest.approx(0.5, rel=0.01)
    assert np.abs(samples[1000:]).max() < 17000


@pytest.mark.parametrize("block", [1, 777, 8000, 10**6])
def test_blocks_are_all_of_one_size_but_the_last(block, tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(rate=22050), 22050)
    size = 8000 if block == 1 else block
    blocks = list(audio.stream(tmp_path / "a.flac", block_samples=size))
    assert all(len(b) == size for b in blocks[:-1]) and 0 < len(blocks[-1]) <= size
    np.testing.assert_array_equal(np.concatenate(blocks), audio.read(tmp_path / "a.flac"))


def test_another_rate_can_be_asked_for(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(rate=44100), 44100)
    assert len(audio.read(tmp_path / "a.wav", sample_rate=16000)) == 48000


def test_a_low_rate_is_accepted_with_a_warning(tmp_path, caplog):
    soundfile.write(tmp_path / "a.wav", tone(rate=4000), 4000)
    with caplog.at_level(logging.WARNING, "nmfp"):
        assert len(audio.read(tmp_path / "a.wav")) == pytest.approx(24000, abs=2)
    assert "4000 samples a second" in caplog.text


def test_chained_ogg_is_read_to_its_end_or_reported(tmp_path):
    parts = {}
    for name, rate in (("a", 44100), ("b", 44100), ("c", 22050)):
        parts[name] = encode(tmp_path / f"{name}.ogg", tone(rate=rate), rate, "vorbis").read_bytes()
    (tmp_path / "ab.ogg").write_bytes(parts["a"] + parts["b"])
    assert len(audio.read(tmp_path / "ab.ogg")) == pytest.approx(48000, abs=500)
    # FFmpeg cannot follow a change of the rate: what it leaves out must not go unnoticed
    (tmp_path / "ac.ogg").write_bytes(parts["a"] + parts["c"])
    with pytest.raises(TruncatedAudio, match=r"unreadable after 3\.0 s"):
        audio.read(tmp_path / "ac.ogg")


NAMES = [
    "a b.wav",
    "-x.wav",
    "q'\"\n.wav",
    "été 中.wav",
    "http:__x.wav",
    "|ls.wav",
    "$(x).wav",
    "concat:a|b.wav",
    "%d.wav",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_only_a_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    audio.write_wav(name, np.ones(8000, np.int16))
    assert len(audio.read(name)) == len(audio.read_wav(name)) == 8000


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.wav", b"", "empty file"),
        ("text.mp3", b"this is a text\n" * 500, "not audio"),
        ("page.mp3", b"<!DOCTYPE html><html><body>404</body></html>" * 50, "not audio"),
        ("zeros.flac", bytes(50_000), "no audio in it"),
        ("noise.mp3", np.random.default_rng(1).bytes(200_000), "corrupt"),
        ("header.wav", b"RIFF\x24\x00\x00\x00WAVEfmt ", "not audio"),
        (
            "playlist.mp3",
            b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9\nhttp://127.0.0.1:9/a.ts\n",
            "not audio",
        ),
        ("concat.mp3", b"ffconcat version 1.0\nfile /etc/passwd\n", "not audio"),
        ("song.wav.part", b"OggS" + bytes(100), "not audio"),
    ],
)
def test_what_is_no_audio_has_a_short_reason(name, content, reason, tmp_path, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioError) as caught:
        audio.read(tmp_path / name)
    assert reason in caught.value.reason and len(caught.value.reason) < 80
    assert name in str(caught.value)
    assert capfd.readouterr().err == ""  # FFmpeg keeps quiet


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(AudioError, match=r"nowhere\.mp3 cannot be used: No such file"):
        audio.read(tmp_path / "nowhere.mp3")
    with pytest.raises(AudioError, match="a folder, not a file"):
        audio.read(tmp_path)


def test_a_wav_without_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 8000)
    with pytest.raises(AudioError, match="no samples"):
        audio.read(tmp_path / "a.wav")


def test_a_film_without_sound(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 64
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match="no audio in it"):
        audio.read(tmp_path / "a.mp4")


TRUNCATED = [
    ("a.wav", "pcm_s16le"), ("b.wav", "pcm_s24le"), ("a.w64", "pcm_s16le"), ("a.aiff", "pcm_s16be"),
    ("a.flac", "flac"), ("a.mp3", "libmp3lame"), ("a.ogg", "vorbis"), ("a.opus", "libopus"),
    ("a.wv", "wavpack"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "codec"), TRUNCATED)
def test_a_truncated_file_yields_what_is_there_and_then_says_so(name, codec, tmp_path):
    noisy = np.random.default_rng(0).uniform(-0.5, 0.5, (48000 * 6, 1)).astype(np.float32)
    path = encode(tmp_path / name, noisy, 48000, codec)
    whole = audio.read(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.6)])
    blocks = []
    with pytest.raises(TruncatedAudio, match="truncated") as caught:
        blocks.extend(itertools.chain(audio.stream(path, block_samples=4000)))
    got = []
    try:
        for block in audio.stream(path, block_samples=4000):
            got.append(block)
    except TruncatedAudio:
        pass
    got = np.concatenate(got)
    assert 0.3 * len(whole) < len(got) < 0.75 * len(whole)
    np.testing.assert_allclose(got[:-4000], whole[: len(got) - 4000], atol=1)
    assert "truncated" in caught.value.reason


def test_an_m4a_whose_table_of_contents_is_lost_is_no_audio(tmp_path):
    path = encode(tmp_path / "a.m4a", tone(), 44100, "aac")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError, match="not audio, or its beginning is missing"):
        audio.read(path)


def test_damage_in_the_middle_is_played_over_or_reported(tmp_path):
    path = encode(tmp_path / "a.mp3", tone(20), 44100, "libmp3lame")
    content = bytearray(path.read_bytes())
    content[40_000:41_000] = bytes(1000)
    path.write_bytes(content)
    assert level(audio.read(path)) == pytest.approx(0.475, rel=0.05)
    content[20_000:120_000] = np.random.default_rng(0).bytes(100_000)
    path.write_bytes(content)
    with pytest.raises(AudioError):
        audio.read(path)


@pytest.mark.parametrize("stated", [0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_of_unknown_length_is_not_truncated(stated, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(rate=44100, channels=2), 44100)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = stated.to_bytes(4, "little")
    path.write_bytes(content)
    assert len(audio.read(path)) == 24000
    assert decoder.read_header(path).seconds is None


def test_header_says_rate_channels_and_length(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(rate=22050, channels=2), 22050)
    assert decoder.read_header(tmp_path / "a.flac") == (22050, 2, 3.0)


def test_foreign_wavs_are_refused_where_ours_are_expected(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(rate=44100), 44100)
    for function in (audio.read_wav, audio.wav_samples):
        with pytest.raises(AudioError, match="not 8 kHz mono 16-bit"):
            function(tmp_path / "a.wav")
        with pytest.raises(AudioError, match=r"nowhere\.wav"):
            function(tmp_path / "nowhere.wav")


def test_only_int16_is_written(tmp_path):
    with pytest.raises(ValueError, match="int16"):
        audio.write_wav(tmp_path / "a.wav", np.zeros(10))
    audio.write_wav(tmp_path / "a.wav", np.arange(10, dtype=np.int16))
    with wave.open(str(tmp_path / "a.wav")) as f:
        assert (f.getframerate(), f.getnchannels(), f.getsampwidth(), f.getnframes()) == (8000, 1, 2, 10)


@pytest.fixture(scope="module")
def small_files(tmp_path_factory):
    """A short file of every format, as bytes."""
    folder = tmp_path_factory.mktemp("small")
    rates = {"libopus": 48000}
    files = {}
    for name, codec, form in CODECS:
        rate = rates.get(codec, 44100)
        files[name] = encode(folder / name, tone(0.6, rate, 2), rate, codec, form).read_bytes()
    return files


DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "grow", "ones", "zeros", "end"]),
        st.floats(0, 1),
        st.binary(max_size=40),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([c[0] for c in CODECS]), near_start=st.booleans(), damage=DAMAGE)
def test_damaged_files_end_in_samples_or_in_a_reason(name, near_start, damage, small_files, tmp_path):
    content = bytearray(small_files[name])
    for kind, where, junk in damage:
        at = int(where * min(len(content), 200 if near_start else len(content)))
        if kind == "cut":
            del content[at : at + 10 * len(junk)]
        elif kind == "grow":
            content[at:at] = junk
        elif kind == "end":
            del content[at:]
        else:
            content[at : at + 4] = {"set": junk[:4], "ones": b"\xff" * 4, "zeros": bytes(4)}[kind]
    path = tmp_path / name
    path.write_bytes(content)
    samples = 0
    try:
        for block in audio.stream(path):
            assert block.dtype == np.int16 and block.ndim == 1
            samples += len(block)
    except AudioError as error:
        assert 0 < len(error.reason) < 100
    assert samples < 8000 * 3600


def test_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(TruncatedAudio("a.wav", "truncated")))  # noqa: S301
    assert (type(error), error.path, error.reason) == (TruncatedAudio, "a.wav", "truncated")
    assert str(error) == "a.wav cannot be used: truncated."


LONG = """
import resource, sys
from nmfp.audio import wav as audio
samples = sum(len(block) for block in audio.stream(sys.argv[1]))
print(samples, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def stream_long(path, seconds, rate=8000):
    """Samples and peak memory (MB) of a process that streams a WAV that is mostly a hole in the disk."""
    size = 2 * rate * seconds
    header = (
        b"RIFF"
        + struct.pack("<I", 36 + size)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    )
    with path.open("wb") as f:
        f.write(header + b"data" + struct.pack("<I", size))
        f.truncate(44 + size)
    scripts = str(Path(audio.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": scripts}
    done = subprocess.run(
        [sys.executable, "-c", LONG, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    return [int(number) for number in done.stdout.split()]


@pytest.mark.slow
def test_ten_hours_take_no_more_memory_than_ten_minutes(tmp_path):
    short_samples, short_memory = stream_long(tmp_path / "short.wav", 600)
    long_samples, long_memory = stream_long(tmp_path / "long.wav", 36_000)
    assert (short_samples, long_samples) == (600 * 8000, 36_000 * 8000)
    assert long_memory < short_memory + 10  # the samples alone are 549 MB
