"""Segments a second that training takes in, and that it learns, beside the published way of preparing them.

    python benchmarks/training.py [--model demo-ntxent] [--anchors 96] [--chunks 200] [--rounds 5]
    KERAS_BACKEND=jax python benchmarks/training.py --model nmfp-triplet --chunks 10000       # on a GPU

A segment is one input of the network: an anchor (mel spectrogram only) or a positive (past context, noise,
room, microphone, mel spectrogram); both are masked. Synthetic audio is packed as the pipeline packs it.

    input       windows cut from memmaps by threads, degraded and transformed in the compiled graph, up to
                what the network receives
    step        the whole step: the same, network forth and back, loss, optimiser
    published   the same inputs made one after another from WAV files, with NumPy and essentia, in one process per
                core; written here for the comparison only

are measured in turns, `rounds` times, so that other work on the machine hits them alike; the best round
counts. Seconds of processor time a thousand segments say what idle cores would do. Memory is the process's
own, without the mapped pages of the audio. The last line tells how long training on 10,000 chunks of 30 s
takes at that pace.
"""

import argparse
import itertools
import multiprocessing
import os
import platform
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "workflow/scripts"))

from nmfp.config import load_models  # noqa: E402
from nmfp.files import write_csv  # noqa: E402

CHUNK = 240_000
NOISES, ROOMS, MICROPHONES = 100, 364, 564
ROOM, MICROPHONE = 12_000, 800


def make_data(folder: Path, chunks: int) -> None:
    """Packed noise in the place of music, and responses as many as the paper has."""
    rng = np.random.default_rng(0)
    (folder / "degradations").mkdir(parents=True)
    audio = np.lib.format.open_memmap(folder / "audio.npy", "w+", np.int16, (chunks, CHUNK))
    for row in audio:
        row[:] = rng.integers(-12_000, 12_000, CHUNK, dtype=np.int16)
    audio.flush()
    rows = {"chunk": range(chunks), "id": [f"{i}.mp3" for i in range(chunks)]}
    write_csv(folder / "chunks.csv", pd.DataFrame(rows | {"start_sample": 0, "samples": CHUNK}))
    for name, n, length in (
        ("noise", NOISES, CHUNK),
        ("room", ROOMS, ROOM),
        ("microphone", MICROPHONES, MICROPHONE),
    ):
        parts = rng.integers(-12_000, 12_000, (n, length)).astype(np.float32)
        if name != "noise":
            parts *= np.exp(-6 * np.arange(length) / length)
        np.save(folder / f"degradations/{name}.npy", parts.astype(np.int16).reshape(-1))
        table = {
            "id": [f"{name}{i}" for i in range(n)],
            "start_sample": np.arange(n) * length,
            "samples": length,
        }
        write_csv(folder / f"degradations/{name}.csv", pd.DataFrame(table))


def write_wavs(folder: Path, chunks: int) -> None:
    """The packed audio once more as files, which is how the published way reads it: at most so many chunks."""
    packed = {"music": np.load(folder / "audio.npy", mmap_mode="r")[:chunks]}
    for name, length in (("noise", CHUNK), ("room", ROOM), ("microphone", MICROPHONE)):
        packed[name] = np.load(folder / f"degradations/{name}.npy", mmap_mode="r").reshape(-1, length)
    for name, rows in packed.items():
        (folder / "wav" / name).mkdir(parents=True)
        for i, row in enumerate(rows):
            with wave.open(str(folder / "wav" / name / f"{i}.wav"), "wb") as file:
                file.setparams((1, 2, 8000, len(row), "NONE", ""))
                file.writeframes(row.tobytes())


def published_way(folder: str, past: int, seconds: float, worker: int, ready, go, results) -> None:
    """Prepare anchors and positives one by one for so many seconds of every round; report how many."""
    import essentia.standard as es

    files = {
        name: len(os.listdir(f"{folder}/wav/{name}")) for name in ("music", "noise", "room", "microphone")
    }
    rng = np.random.default_rng(worker)
    window = es.Windowing(type="hann", normalized=False, symmetric=False, zeroPhase=False, size=1024)
    spectrum = es.Spectrum(size=1024)
    bands = es.MelBands(
        inputSize=513, numberBands=256, sampleRate=8000, lowFrequencyBound=160, highFrequencyBound=4000,
        type="magnitude", warpingFormula="slaneyMel", weighting="linear", normalize="unit_tri",
    )  # fmt: skip

    def mel(segment):
        frames = es.FrameGenerator(segment, frameSize=1024, hopSize=256, startFromZero=False)
        power = np.array([bands(spectrum(window(frame))) for frame in frames]).T
        decibels = 20 * np.log10(np.maximum(power, 1e-5))
        return 1 + np.maximum(decibels - decibels.max(), -80) / 40

    def peak(signal):
        return signal / np.abs(signal).max()

    def read(name, number, start, samples):
        with wave.open(f"{folder}/wav/{name}/{number}.wav", "rb") as file:
            file.setpos(start)
            return np.frombuffer(file.readframes(samples), np.int16).astype(np.float32) / 32768

    def convolve(signal, name, longest):
        response = read(name, rng.integers(files[name]), 0, longest)
        size = 1 << (len(signal) + len(response) - 2).bit_length()
        spectra = np.fft.rfft(signal, size) * np.fft.rfft(response, size)
        return peak(np.fft.irfft(spectra, size)[: len(signal)])

    def positive(chunk, start):
        total = past + 8000
        music = read("music", chunk, start, total)
        noise = read("noise", rng.integers(files["noise"]), rng.integers(CHUNK - total), total)
        music, noise = (x / np.sqrt(np.mean(x[past:] ** 2)) for x in (music, noise))
        mixed = peak(10 ** (rng.uniform(0, 10) / 20) * music + noise)
        wet = convolve(mixed, "room", total)[past:]
        return convolve(wet, "microphone", 8000).astype(np.float32)

    mel(np.zeros(8000, np.float32))
    ready.release()
    while True:
        go.acquire()
        began, cpu, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < seconds:
            chunk, start = rng.integers(files["music"]), int(rng.integers(8000, CHUNK - 32_000))
            mel(read("music", chunk, start + past, 8000))
            mel(positive(chunk, start))
            count += 2
        results.put((count, time.perf_counter() - began, time.process_time() - cpu))


class Published:
    """One process per core, woken for a round at a time."""

    def __init__(self, folder: Path, past: int, seconds: float, cores: int):
        spawn = multiprocessing.get_context("spawn")
        self.ready, self.go, self.results = spawn.Semaphore(0), spawn.Semaphore(0), spawn.Queue()
        self.cores = cores
        arguments = (str(folder), past, seconds)
        self.processes = [
            spawn.Process(
                target=published_way, args=(*arguments, i, self.ready, self.go, self.results), daemon=True
            )
            for i in range(cores)
        ]
        for process in self.processes:
            process.start()
        for _ in self.processes:
            self.ready.acquire()

    def round(self) -> tuple[float, float]:
        """Segments a second of all processes together, and seconds of processor time a thousand segments."""
        for _ in self.processes:
            self.go.release()
        done = [self.results.get() for _ in self.processes]
        rate = sum(count / seconds for count, seconds, _ in done)
        return rate, 1000 * sum(cpu for *_, cpu in done) / sum(count for count, *_ in done)

    def close(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.terminate()


def timed(step, steps: int, segments: int) -> tuple[float, float]:
    """Run so many steps; segments a second, and seconds of processor time a thousand segments."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        last = step()
    np.asarray(last).sum()  # waits for an asynchronous device
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return steps * segments / seconds, 1000 * cpu / (steps * segments)


def make_steps(folder: Path, model: dict, threads: int):
    """Functions that run one step of the input side and of training; what they report is waited for."""
    import keras
    from nmfp.training import data, optimizers, run
    from nmfp.training.batches import Batches

    recordings = run.open_degradations(folder / "degradations", model["degradation"])
    batches = Batches(data.open_chunks(folder / "audio.npy", folder / "chunks.csv"), recordings, model, 0)
    step = run.build_step(model, recordings, 0, run.audio_places(model, batches))
    precision = optimizers.make_precision(model["precision"])
    optimizer = optimizers.make_optimizer(model["optimizer"], 100_000, precision)
    optimizer.build(step.network.trainable_variables)
    step.compile(optimizer=optimizer)
    stream = batches.stream(0, threads)
    if keras.backend.backend() == "jax":
        import jax

        # training gives its buffers away, so the variables are looked up at each call
        variables = [*step.trainable_variables, *step.non_trainable_variables]

        @jax.jit
        def inputs(values, batch):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return step.inputs_of_network(batch)

        def one_input():
            return inputs([v.value for v in variables], next(stream))[0, 0]
    else:

        def one_input():
            batch = {name: keras.ops.convert_to_tensor(value) for name, value in next(stream).items()}
            return step.inputs_of_network(batch)[0, 0]

    def fit(steps: int) -> None:
        step.fit(
            ((b,) for b in itertools.islice(stream, steps)), steps_per_epoch=steps, verbose=0, shuffle=False
        )

    return one_input, fit, precision


def gigabytes() -> float:
    """This process's own memory, without the pages of memmaps, which the system takes back when it likes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1e6


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nmfp-triplet", help="a file of config/models")
    parser.add_argument("--anchors", type=int, help="in a batch; the model's own by default")
    parser.add_argument("--chunks", type=int, default=200, help="of 30 s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="steps a round")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="that cut windows")
    parser.add_argument("--seconds", type=float, default=5.0, help="a round of the published way")
    parser.add_argument("--epochs", type=int, default=100, help="for the time of a whole run")
    parser.add_argument("--without-published", action="store_true")
    options = parser.parse_args()
    model = load_models([options.model])[options.model]
    if options.anchors:
        model["batch"]["anchors"] = options.anchors
    segments = model["batch"]["anchors"] * (1 + model["batch"]["positives"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder / "data", options.chunks)
        folder /= "data"
        past = round(8000 * model["degradation"]["past_context_seconds"])
        cores = len(os.sched_getaffinity(0))
        published = None
        if not options.without_published:
            write_wavs(folder, 1000)
            published = Published(folder, past, options.seconds, cores)
        one_input, fit, precision = make_steps(folder, model, options.threads)
        one_input()
        memory = {"input": gigabytes()}
        fit(2)
        rates = {"input": [], "step": [], "published": []}
        for _ in range(options.rounds):
            rates["input"].append(timed(one_input, options.steps, segments))
            memory["step"] = max(memory.get("step", 0), gigabytes())
            rates["step"].append(timed(lambda: fit(options.steps) or 0, 1, segments * options.steps))
            if published:
                rates["published"].append(published.round())
        if published:
            published.close()
    report(options, model, rates, segments, cores, precision, memory)


def report(options, model, rates, segments, cores, precision, memory) -> None:
    """Print the table, and what a whole run takes."""
    import keras

    best = {
        name: (max(rate for rate, _ in rounds), min(cpu for _, cpu in rounds))
        for name, rounds in rates.items()
        if rounds
    }
    machine = f"{platform.machine()}, {cores} cores, load {os.getloadavg()[0]:.1f}"
    backend = f"Keras on {keras.backend.backend()}, {precision}"
    views = 1 + model["batch"]["positives"]
    print(f"\n{machine}; {backend}; {options.model}, {model['batch']['anchors']} anchors x {views} views,")
    print(f"{options.chunks} chunks of 30 s\n")
    print("| part | segments/s | times the published way | CPU s / 1000 segments | memory, GB |")
    print("|---|---|---|---|---|")
    for name, (rate, cpu) in best.items():
        ratio = f"{rate / best['published'][0]:.1f}" if "published" in best else ""
        print(f"| {name} | {rate:.0f} | {ratio} | {cpu:.2f} | {memory.get(name, float('nan')):.2f} |")
    total = -(-10_000 * 59 // model["batch"]["anchors"]) * options.epochs
    hours = total * segments / best["step"][0] / 3600
    milliseconds = 1000 * segments / best["step"][0]
    print(f"\n{milliseconds:.1f} ms a step; {options.epochs} epochs of 10,000 chunks: {hours:.2f} hours")


if __name__ == "__main__":
    main()
