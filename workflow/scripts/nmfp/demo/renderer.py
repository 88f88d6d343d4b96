"""MIDI to sound, with tinysoundfont and the General MIDI soundfont in pretty_midi; sound to files."""

import functools
from pathlib import Path

import av
import numpy as np
import pretty_midi
import soundfile
import tinysoundfont
from scipy.signal import sosfilt

from nmfp.files import atomic, generator

SAMPLE_RATE = 16000
_DRUM_CHANNEL = 9
_MAX_VOICES = 48
_REFERENCE_DB = -31.0


@functools.cache
def _soundfont() -> bytes:
    return (Path(pretty_midi.__file__).parent / "TimGM6mb.sf2").read_bytes()


@functools.cache
def _loudness(bank: int, program: int, low: bool) -> float:
    """Level in dB of the loudest 0.2 s of a held fifth: the soundfont's instruments differ by 20 dB."""
    synth = tinysoundfont.Synth(gain=-9, samplerate=SAMPLE_RATE)
    synth.program_select(0, synth.sfload(_soundfont()), bank, program)
    for pitch in (36, 43) if low else (60, 67):
        synth.noteon(0, pitch, 90)
    sound = np.frombuffer(synth.generate_simple(SAMPLE_RATE), np.float32).reshape(5, -1)
    return float(10 * np.log10(np.square(sound).mean(axis=1).max() + 1e-9))


def _fader(instrument: pretty_midi.Instrument, position: int) -> int:
    """MIDI volume that makes an instrument about as loud as its fader asks for, whatever its samples.

    tinysoundfont's gain is the cube of the volume: 60 dB for a factor of ten.
    """
    if instrument.is_drum:
        return position
    missing = _REFERENCE_DB - _loudness(0, instrument.program, instrument.name == "bass")
    return int(np.clip(round(position * 10 ** (0.8 * np.clip(missing, -10, 10) / 60)), 1, 127))


def _events(midi: pretty_midi.PrettyMIDI, sample_rate: int) -> list[tuple[int, int, int, int, int]]:
    """Notes as (sample, 0 off / 1 on, channel, pitch, velocity), in order; offs come before ons."""
    events = []
    for channel, instrument in _channels(midi):
        for note in instrument.notes:
            start = round(note.start * sample_rate)
            events.append((start, 1, channel, note.pitch, note.velocity))
            events.append((max(start + 1, round(note.end * sample_rate)), 0, channel, note.pitch, 0))
    return sorted(events)


def _channels(midi: pretty_midi.PrettyMIDI) -> list[tuple[int, pretty_midi.Instrument]]:
    melodic = [c for c in range(16) if c != _DRUM_CHANNEL]
    return [(_DRUM_CHANNEL if i.is_drum else melodic.pop(0), i) for i in midi.instruments]


def synthesise(midi: pretty_midi.PrettyMIDI, seconds: float, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Render MIDI: float32 mono (round(seconds * sample_rate),), not normalised; peaks may pass full scale.

    The synthesiser is new for every piece, so that no note of the one before rings on.
    """
    synth = tinysoundfont.Synth(gain=-9, samplerate=sample_rate)
    font = synth.sfload(_soundfont(), max_voices=_MAX_VOICES)
    for channel, instrument in _channels(midi):
        bank = 128 if instrument.is_drum else 0
        synth.program_select(channel, font, bank, instrument.program, instrument.is_drum)
        for change in instrument.control_changes:
            value = _fader(instrument, change.value) if change.number == 7 else change.value
            synth.control_change(channel, change.number, value)
        for bend in instrument.pitch_bends:
            synth.pitchbend(channel, bend.pitch + 8192)
    total = round(seconds * sample_rate)
    stereo = np.zeros((total, 2), np.float32)
    buffer = memoryview(stereo).cast("B")
    done = 0
    for sample, on, channel, pitch, velocity in _events(midi, sample_rate):
        if sample >= total:
            break
        if sample > done:
            synth.generate_simple(sample - done, buffer[8 * done : 8 * sample])
            done = sample
        if on:
            synth.noteon(channel, pitch, velocity)
        else:
            synth.noteoff(channel, pitch)
    synth.generate_simple(total - done, buffer[8 * done :])
    return stereo.mean(axis=1, dtype=np.float32)


def _shelves(rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Second-order sections of a gentle equaliser, two peaks of up to +-5 dB (Bristow-Johnson's cookbook)."""
    sections = []
    for low, high in ((90, 500), (900, 5000)):
        frequency = low * (high / low) ** rng.random()
        amplitude = 10 ** (5 * (2 * rng.random() - 1) / 40)
        omega = 2 * np.pi * frequency / sample_rate
        alpha = np.sin(omega) / (2 * 0.7)
        b = [1 + alpha * amplitude, -2 * np.cos(omega), 1 - alpha * amplitude]
        a = [1 + alpha / amplitude, -2 * np.cos(omega), 1 - alpha / amplitude]
        sections.append([*(np.array(b) / a[0]), *(np.array(a) / a[0])])
    return np.array(sections)


def master(audio: np.ndarray, rng: np.random.Generator, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Equalise, bend the highest peaks down, fade the ends, and leave a peak between -3 and -0.5 dBFS."""
    audio = sosfilt(_shelves(rng, sample_rate), audio).astype(np.float32)
    level = np.sqrt(np.mean(np.square(audio))) + 1e-9
    # peaks beyond about three times the RMS are squeezed, as on any released record
    audio = np.tanh(audio / (level * (3.5 + 2 * rng.random()))).astype(np.float32)
    for place, length in ((slice(None), 0.01), (slice(None, None, -1), 0.3 + 1.2 * rng.random())):
        fade = min(len(audio), round(length * sample_rate))
        audio[place][:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
    peak = np.abs(audio).max() + 1e-9
    return audio * np.float32(10 ** (-(0.5 + 2.5 * rng.random()) / 20) / peak)


def render(seed: int, number: int, midi: pretty_midi.PrettyMIDI, seconds: float) -> np.ndarray:
    """A finished piece: float32 mono at SAMPLE_RATE, peak below full scale."""
    return master(synthesise(midi, seconds), generator(seed, "demo master", number))


def write_audio(path: Path, audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write float32 mono as the suffix says (.flac .mp3 .ogg .wav), atomically, the same bytes every time."""
    with atomic(path) as temporary:
        if path.suffix == ".mp3":
            _write_mp3(temporary, audio, sample_rate)
        elif path.suffix == ".ogg":
            raw = temporary.with_suffix(".vorbis.ogg")
            try:
                _write_blocks(raw, audio, sample_rate)
                _number_like_everyone(raw, temporary)
            finally:
                raw.unlink(missing_ok=True)
        else:
            _write_blocks(temporary, audio, sample_rate)


def _write_blocks(path: Path, audio: np.ndarray, sample_rate: int) -> None:
    # libsndfile's Vorbis encoder overflows its stack on long single writes
    subtype = {".flac": "PCM_16", ".wav": "PCM_16", ".ogg": "VORBIS"}[path.suffix]
    with soundfile.SoundFile(path, "w", sample_rate, 1, subtype) as f:
        for start in range(0, len(audio), sample_rate):
            f.write(audio[start : start + sample_rate])


def _number_like_everyone(source: Path, target: Path) -> None:
    """Copy Ogg packets: libsndfile takes the stream's serial number from the clock, FFmpeg need not."""
    with av.open(str(source)) as reader, av.open(str(target), "w", options={"fflags": "+bitexact"}) as writer:
        stream = writer.add_stream_from_template(reader.streams.audio[0])
        for packet in reader.demux(reader.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)


def _write_mp3(path: Path, audio: np.ndarray, sample_rate: int) -> None:
    # compression_level 9 is LAME's fastest; at 64 kbit/s nobody hears it and four minutes take a second
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as writer:
        stream = writer.add_stream(
            "libmp3lame", rate=sample_rate, layout="mono", options={"compression_level": "9"}
        )
        stream.bit_rate = 64000
        block = 1152 * 64
        for start in range(0, len(audio), block):
            samples = np.ascontiguousarray(audio[None, start : start + block])
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = sample_rate, start
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
