"""The host's whole work in training: cut int16 windows out of memmaps, in threads, ahead of the device."""

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from nmfp.segments import SEGMENT_SAMPLES
from nmfp.training import draws, sampling
from nmfp.training.data import Chunks, Recordings, cut_recordings, cut_windows
from nmfp.training.device_audio import Places, repeat_short


class Batches:
    """The batches of a training run, by absolute step: the same for any number of threads and after a resume.

    A batch is a dictionary: anchors int16 (N, 8000); music and noise int16 (M, past +
    8000), missing int32 (M,), snr_db float32 (M,), room and microphone int32 (M,) as
    `degradation.graph.Degrader` takes them; keep and fill of the mask.
    """

    def __init__(self, chunks: Chunks, recordings: dict[str, Recordings], model: dict, seed: int):
        self.chunks, self.recordings, self.model, self.seed = chunks, recordings, model, seed
        self.past = draws.past_samples(model)
        self.window = self.past + SEGMENT_SAMPLES
        self.places: dict[str, Places] = {}
        self.noise_starts = recordings["noise"].starts if "noise" in recordings else np.zeros(1, np.int64)
        self.flat = chunks.audio.reshape(-1)
        self.grid = sampling.make_grid(
            chunks.table["samples"].to_numpy(), chunks.table["id"].to_numpy(), chunks.audio.shape[1]
        )
        self.steps_per_epoch = sampling.steps_per_epoch(self.grid, model["batch"]["anchors"])

    def draw(self, epoch: int, step: int, rows: np.ndarray) -> draws.Step:
        """Everything random about a step."""
        return draws.draw_step(
            self.seed, epoch, step, rows, self.grid, self.model, self.recordings, self.window
        )

    def starts(self, drawn: draws.Step) -> dict[str, np.ndarray]:
        """First samples int64 (n,) of the windows of a drawn step, in all chunks or all noise one after another."""
        length = self.chunks.audio.shape[1]
        starts = {
            "anchors": drawn.chunk * length + drawn.anchor_start,
            "music": drawn.positive_chunk * length + drawn.positive_start - self.past,
        }
        if "noise" in self.recordings:
            starts["noise"] = self.noise_starts[drawn.noise] + drawn.noise_start
        return starts

    def gather(self, drawn: draws.Step) -> dict[str, np.ndarray]:
        """Cut the windows of a drawn step, or tell their places where the audio lies on the device."""
        batch = {
            "missing": np.maximum(self.past - drawn.positive_start, 0).astype(np.int32),
            "snr_db": drawn.snr_db,
            "room": drawn.room.astype(np.int32),
            "microphone": drawn.microphone.astype(np.int32),
            "keep": drawn.keep,
            "fill": drawn.fill,
        }
        starts = self.starts(drawn)
        if self.places:
            return batch | {name: self.places[name](value) for name, value in starts.items()}
        batch["anchors"] = cut_windows(self.flat, starts["anchors"], SEGMENT_SAMPLES)
        batch["music"] = cut_windows(self.flat, starts["music"], self.window)
        if "noise" in self.recordings:
            noise = self.recordings["noise"]
            batch["noise"] = cut_recordings(noise, drawn.noise, drawn.noise_start, self.window)
        return batch

    def keep_on_device(self) -> dict[str, Places]:
        """From now on give places instead of windows; return the audio to be put on the device, music and noise."""
        self.places = {"music": Places(self.flat, self.window)}
        if "noise" in self.recordings:
            noise = repeat_short(self.recordings["noise"], self.window)
            self.noise_starts = noise.starts
            self.places["noise"] = Places(noise.audio, self.window)
        audio_places = dict(self.places)
        self.places["anchors"] = self.places["music"]
        return audio_places

    def stream(self, first_epoch: int, threads: int = 2, ahead: int = 4) -> Iterator[dict[str, np.ndarray]]:
        """Endless batches from the beginning of an epoch, in order, cut by `threads`
        threads, `ahead` batches in advance."""

        def steps():
            for epoch in itertools.count(first_epoch):
                rows = sampling.epoch_batches(self.seed, epoch, self.grid, self.model["batch"]["anchors"])
                yield from ((epoch, step, rows[step]) for step in range(len(rows)))

        def make(key):
            return self.gather(self.draw(*key))

        with ThreadPoolExecutor(threads, "batches") as pool:
            waiting: deque = deque()
            for key in steps():
                waiting.append(pool.submit(make, key))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
