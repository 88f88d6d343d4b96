"""The conversion to the paper's 8 kHz WAVs."""

import os
import threading
import time

import av
import numpy as np
import pytest
import scipy.signal
import soundfile
from nmfp.audio import decoder, sox
from nmfp.audio import wav as audio
from nmfp.audio.decoder import AudioError
from nmfp.errors import NmfpError


def tone(seconds=2.0, rate=44100, amplitude=0.3, frequency=440.0):
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(
        np.float32
    )


def m4a(path, samples, rate=44100):
    """Write mono float32 samples as AAC in mp4, which SoX cannot read."""
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        for start in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(
                samples[None, start : start + 1024], format="fltp", layout="mono"
            )
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def convert(source, target, **options):
    n = sox.convert_with_sox(source, target, **options)
    samples = audio.read_wav(target)
    assert len(samples) == n
    return samples


def test_the_peak_is_at_full_scale_and_the_length_right(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(), 44100)
    samples = convert(tmp_path / "a.flac", tmp_path / "out" / "a.wav")
    assert len(samples) == 16000
    assert 32700 <= np.abs(samples.astype(int)).max() <= 32768
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 8000)
    np.testing.assert_allclose(samples[500:-500] / 32768, expected[500:-500], atol=0.01)


def test_channels_are_averaged(tmp_path):
    low, high = tone(frequency=300), tone(frequency=1100)
    soundfile.write(tmp_path / "a.wav", np.stack([low, high, 0 * low], axis=1), 44100)
    soundfile.write(tmp_path / "b.wav", low + high, 44100)
    averaged = convert(tmp_path / "a.wav", tmp_path / "1.wav").astype(int)
    np.testing.assert_allclose(averaged, convert(tmp_path / "b.wav", tmp_path / "2.wav"), atol=8)


def test_one_channel_can_be_taken(tmp_path):
    low, high = tone(frequency=300), tone(frequency=1100, amplitude=0.1)
    soundfile.write(tmp_path / "a.wav", np.stack([low, high], axis=1), 44100)
    soundfile.write(tmp_path / "b.wav", high, 44100)
    taken = convert(tmp_path / "a.wav", tmp_path / "1.wav", channel=2).astype(int)
    np.testing.assert_allclose(taken, convert(tmp_path / "b.wav", tmp_path / "2.wav", channel=1), atol=8)


def test_two_runs_give_the_same_bytes(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone() + 0.01 * np.random.default_rng(0).normal(size=88200), 44100)
    convert(tmp_path / "a.wav", tmp_path / "1.wav")
    convert(tmp_path / "a.wav", tmp_path / "2.wav")
    assert (tmp_path / "1.wav").read_bytes() == (tmp_path / "2.wav").read_bytes()


def test_what_sox_cannot_read_takes_the_same_way(tmp_path):
    samples = tone() + 0.01 * np.random.default_rng(0).normal(size=88200).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 44100, subtype="FLOAT")
    header = decoder.read_header(tmp_path / "a.wav")
    levels = [
        sox._convert_file(tmp_path / "a.wav", tmp_path / "1.wav", None),
        sox._convert_decoded(tmp_path / "a.wav", tmp_path / "2.wav", None, header),
    ]
    assert levels[0] == pytest.approx(levels[1], abs=0.05)
    direct, piped = (audio.read_wav(tmp_path / f"{k}.wav").astype(int) for k in (1, 2))
    np.testing.assert_allclose(direct, piped, atol=2)


def test_m4a_is_converted(tmp_path):
    samples = convert(m4a(tmp_path / "a.m4a", tone()), tmp_path / "a.wav")
    assert len(samples) == pytest.approx(16000, abs=400)
    assert np.abs(samples.astype(int)).max() > 32700


NAMES = [
    "a b.wav",
    "-x.wav",
    "q'\"\n.wav",
    "été 中.wav",
    "http:__x.wav",
    "|touch hacked.wav",
    "$(touch hacked).wav",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_only_a_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write(name, tone(), 44100)
    assert len(convert(name, f"out/{name}")) == 16000
    assert sorted(os.listdir()) == sorted([name, "out"])


def test_a_piped_wav_of_unknown_length_is_converted(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), 44100)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(convert(path, tmp_path / "b.wav")) == 16000


def test_floats_beyond_full_scale_do_not_wrap_around(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(amplitude=2.0), 44100, subtype="FLOAT")
    samples = convert(tmp_path / "a.wav", tmp_path / "b.wav")
    assert np.abs(np.diff(samples.astype(int))).max() < 25000  # a wrap would jump by 65535


def shorten(path, share=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg"])
def test_a_truncated_file_is_refused_and_leaves_nothing(name, tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 44100 * 5)
    soundfile.write(tmp_path / name, noise, 44100)
    with pytest.raises(AudioError, match="truncated"):
        sox.convert_with_sox(shorten(tmp_path / name), tmp_path / "out" / "b.wav")
    assert list((tmp_path / "out").iterdir()) == []


def test_silence_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(44100), 44100)
    quiet = 10 ** (-70 / 20) * np.random.default_rng(0).uniform(-1, 1, 44100)
    soundfile.write(tmp_path / "b.wav", quiet, 44100, subtype="PCM_24")
    for name in ("a.wav", "b.wav"):
        with pytest.raises(AudioError, match="silent"):
            sox.convert_with_sox(tmp_path / name, tmp_path / "c.wav")
    # a response may be quiet, but not silent
    assert convert(tmp_path / "b.wav", tmp_path / "c.wav", channel=1, quiet_is_silent=False).any()
    with pytest.raises(AudioError, match="silent"):
        sox.convert_with_sox(tmp_path / "a.wav", tmp_path / "d.wav", channel=1, quiet_is_silent=False)


def test_garbage_is_refused_with_a_reason(tmp_path):
    (tmp_path / "a.mp3").write_bytes(np.random.default_rng(1).bytes(200_000))
    with pytest.raises(AudioError) as caught:
        sox.convert_with_sox(tmp_path / "a.mp3", tmp_path / "b.wav")
    assert "corrupt" in caught.value.reason
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp3"]


def fake_sox(folder, script):
    """Put a program called sox first on the path."""
    folder.mkdir()
    (folder / "sox").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "sox").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_without_sox_the_command_to_type_is_named(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", tone(), 44100)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NmfpError, match=r"SoX is not installed: run .*apt-get install .*sox libsox-fmt-mp3"):
        sox.convert_with_sox(tmp_path / "a.wav", tmp_path / "b.wav")


def test_a_sox_without_mp3_is_not_worked_around(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.mp3", tone(), 44100)
    script = 'echo "sox FAIL formats: no handler for detected file type \\`mp3\'" >&2; exit 2'
    monkeypatch.setenv("PATH", fake_sox(tmp_path / "bin", script))
    with pytest.raises(NmfpError, match=r"cannot read mp3: run .*libsox-fmt-mp3"):
        sox.convert_with_sox(tmp_path / "a.mp3", tmp_path / "b.wav")


def test_a_sox_that_hangs_is_ended(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", tone(), 44100)
    monkeypatch.setenv("PATH", fake_sox(tmp_path / "bin", "exec sleep 60"))
    monkeypatch.setattr(sox, "TIMEOUT_SECONDS", 0.3)
    with pytest.raises(AudioError, match="did not finish"):
        sox.convert_with_sox(tmp_path / "a.wav", tmp_path / "b.wav")


def test_a_sox_that_was_ended_is_not_taken_for_one_that_failed(tmp_path, monkeypatch):
    """Its guard may still be on its way when the process is gone: the file must not be decoded once more."""

    class SlowToEnd(threading.Timer):
        def run(self):
            super().run()
            time.sleep(1)

    soundfile.write(tmp_path / "a.wav", tone(), 44100)
    monkeypatch.setenv("PATH", fake_sox(tmp_path / "bin", "exec sleep 60"))
    monkeypatch.setattr(sox, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(sox.threading, "Timer", SlowToEnd)
    monkeypatch.setattr(sox.decoder, "decode", lambda path: pytest.fail("decoded again"))
    with pytest.raises(AudioError, match="did not finish"):
        sox.convert_with_sox(tmp_path / "a.wav", tmp_path / "b.wav")


def test_a_sox_that_fails_gives_its_own_reason(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", tone(), 44100)
    monkeypatch.setenv("PATH", fake_sox(tmp_path / "bin", "echo 'sox FAIL sox: no such luck' >&2; exit 2"))
    with pytest.raises(AudioError, match="SoX failed, sox: no such luck"):
        sox.convert_with_sox(tmp_path / "a.wav", tmp_path / "b.wav")


def delay_and_likeness(reference, other):
    """By how many samples `other` is late, and how alike the two are then (1: equal but for a gain)."""
    a, b = reference.astype(float), other.astype(float)
    likeness = scipy.signal.correlate(b, a) / np.sqrt((a @ a) * (b @ b))
    return int(np.argmax(likeness)) - (len(a) - 1), likeness.max()


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.m4a", "a.mp3"])
def test_the_stream_hears_what_sox_writes(name, tmp_path):
    """References converted by SoX and queries decoded as a stream must be one sound at one time."""
    rng = np.random.default_rng(0)
    samples = np.convolve(rng.normal(size=66150), np.hanning(40), "same")
    samples = (0.4 * samples / np.abs(samples).max()).astype(np.float32)
    path = tmp_path / name
    m4a(path, samples) if name.endswith("m4a") else soundfile.write(path, samples, 44100)
    converted = convert(path, tmp_path / "out.wav")
    delay, likeness = delay_and_likeness(audio.read(path), converted)
    if name == "a.mp3":  # SoX keeps the encoder's delay, which is no whole number of samples at 8 kHz
        assert 0 < delay < 500 and likeness > 0.95
    else:
        assert delay == 0 and likeness > 0.999
