"""A training run from packed audio to a model folder: resumable at every epoch, the same for the same inputs."""

import contextlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from nmfp import settings
from nmfp.degradation.graph import Degrader, response_spectra
from nmfp.files import digest, write_csv
from nmfp.model import fingerprinter
from nmfp.model.memory import keep_large_blocks
from nmfp.training import callbacks, checkpoint, data, draws, optimizers
from nmfp.training.batches import Batches
from nmfp.training.device_audio import Places, fits_on_device
from nmfp.training.step import Contrast, DegradedFingerprinter
from nmfp.training.validation import MiniSearch

log = logging.getLogger("nmfp")

# Sections that may change without making the weights so far worthless.
_FREE_SECTIONS = ("epochs", "validation", "audio_on_device", "devices")


def run_key(model: dict, data_digest: str, seed: int, version: str) -> str:
    """Name of the work folder: everything that a checkpoint depends on."""
    return digest({k: v for k, v in model.items() if k not in _FREE_SECTIONS}, data_digest, seed, version)


def open_degradations(folder: str | Path, degradation: dict) -> dict[str, data.Recordings]:
    """The recordings of the degradations that are on."""
    return {name: data.open_recordings(folder, name) for name in data.DEGRADATIONS if degradation[name]}


def build_step(
    model: dict,
    recordings: dict[str, data.Recordings],
    seed: int,
    audio_places: dict[str, Places] | None = None,
) -> Contrast:
    """The untrained step model, weights drawn by the seed."""
    keras.utils.set_random_seed(seed)
    past = draws.past_samples(model)

    def spectra(name: str, context: int):
        kind = recordings.get(name)
        return None if kind is None else response_spectra(kind.audio, kind.starts, kind.samples, context)

    degrader = Degrader(
        "noise" in recordings, spectra("room", past), spectra("microphone", 0), name="degrader"
    )
    network = fingerprinter.build_network(
        model["front_end"], model["network"], optimizers.make_precision(model["precision"])
    )
    return Contrast(network, degrader, model, seed, past, audio_places)


def audio_places(model: dict, batches: Batches) -> dict[str, Places]:
    """The audio that goes to the accelerator's memory: all of it or none."""
    asked = model["audio_on_device"]
    audio = [batches.flat, *(kind.audio for name, kind in batches.recordings.items() if name == "noise")]
    if asked is True or (asked == "auto" and fits_on_device(sum(a.nbytes for a in audio))):
        log.info("packed audio on the device: %.1f GB", sum(a.nbytes for a in audio) / 1e9)
        return batches.keep_on_device()
    return {}


@dataclass
class Run:
    """A training run, prepared: its next epoch is the first, or the one after the last checkpoint.

    Attributes:
        model: resolved model configuration.
        seed: of the experiment.
        work: folder of this very run, with checkpoint.npz once an epoch is finished.
        validation: held-out chunks (may be none).
        recordings: degradations that are on.
        batches: what the steps take, in order.
        step: the compiled step model.
        precision: Keras dtype policy of the network.
        done: finished epochs.
        history: a row for each of them.
    """

    model: dict
    seed: int
    work: Path
    validation: data.Chunks
    recordings: dict[str, data.Recordings]
    batches: Batches
    step: Contrast
    precision: str
    done: int = 0
    history: list[dict] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.batches.steps_per_epoch

    @property
    def epochs(self) -> int:
        """Epochs in all."""
        return self.model["epochs"]

    @property
    def saved(self) -> Path:
        """The checkpoint."""
        return self.work / "checkpoint.npz"

    def resume(self) -> None:
        """Take up the checkpoint, if there is one of no more epochs than are asked for.

        Raises:
            NmfpError: it is damaged.
        """
        if not self.saved.is_file():
            return
        if checkpoint.finished_epochs(self.saved) > self.epochs:
            log.warning(
                "%s is further than the %d epochs asked for; training starts over", self.saved, self.epochs
            )
            return
        self.done, self.history = checkpoint.restore(self.saved, self.step)
        log.info("taking up after epoch %d of %d", self.done, self.epochs)

    def fit(self, threads: int) -> None:
        """Train the epochs that are left; `threads` threads cut windows.

        Raises:
            NmfpError: the loss is not finite.
        """
        if self.done >= self.epochs:
            return
        log.info(
            "%d segments, %d steps an epoch, %d epochs, %s, Keras on %s",
            self.batches.grid.size, self.steps, self.epochs, self.precision, keras.backend.backend(),
        )  # fmt: skip
        with contextlib.closing(self.batches.stream(self.done, threads)) as stream:
            self.step.fit(
                ((batch,) for batch in stream),
                initial_epoch=self.done,
                epochs=self.epochs,
                steps_per_epoch=self.steps,
                shuffle=False,
                callbacks=callbacks.Unhurried(
                    self._callbacks(), add_history=True, model=self.step, epochs=self.epochs, steps=self.steps
                ),
                verbose=0,
            )

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        total = self.steps * self.epochs
        views = 1 + self.model["batch"]["positives"]
        kept = [
            callbacks.Progress(total, self.steps * self.done),
            callbacks.StopWhereNotFinite(self.saved),
            *self._validation(),
            callbacks.StoreEpoch(
                self.work,
                self.history,
                lambda epoch: optimizers.learning_rate_at(self.model["optimizer"], total, self.steps * epoch),
                self.steps * self.model["batch"]["anchors"] * views,
                lambda path: fingerprinter.save_weights(self.step.network, path),
            ),
        ]
        try:
            logs = str(self.work / "tensorboard")
            kept.append(keras.callbacks.TensorBoard(logs, write_graph=False, update_freq="epoch"))
        except ImportError:
            log.info("no TensorBoard logs: TensorFlow, which writes them, is not installed")
        return kept

    def _validation(self) -> list[keras.callbacks.Callback]:
        every_epochs = self.model["validation"]["every_epochs"]
        if not every_epochs or not len(self.validation.audio):
            return []
        clean = fingerprinter.build_graph(self.model["front_end"], self.step.network)
        degraded = DegradedFingerprinter(self.step)
        return [
            callbacks.Validate(
                MiniSearch(self.validation, self.recordings, self.model, self.seed),
                lambda segments: np.asarray(clean.predict_on_batch(segments)),
                lambda queries: np.asarray(degraded.predict_on_batch(queries)),
                every_epochs,
                self.epochs,
            )
        ]


def prepare(
    model: dict,
    chunks: data.Chunks,
    validation: data.Chunks,
    degradations: str | Path,
    work: str | Path,
    seed: int,
) -> Run:
    """Open what a run needs and take up its checkpoint.

    Args:
        model: resolved model configuration.
        chunks, validation: training chunks and held-out ones (may be none).
        degradations: folder with {noise,room,microphone}.{npy,csv}.
        work: folder of this very run (see `run_key`).
        seed: of the experiment.

    Raises:
        NmfpError: the configuration makes no sense for this data, or a file is broken.
    """
    settings.check(model, len(chunks.audio))
    keep_large_blocks()
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    if model["deterministic"]:
        optimizers.repeat_exactly()
    optimizers.distribute(model["devices"])
    recordings = open_degradations(degradations, model["degradation"])
    batches = Batches(chunks, recordings, model, seed)
    step = build_step(model, recordings, seed, audio_places(model, batches))
    precision = optimizers.make_precision(model["precision"])
    total_steps = batches.steps_per_epoch * model["epochs"]
    optimizer = optimizers.make_optimizer(model["optimizer"], total_steps, precision)
    optimizer.build(step.network.trainable_variables)
    step.compile(optimizer=optimizer)
    prepared = Run(model, seed, work, validation, recordings, batches, step, precision)
    prepared.resume()
    return prepared


def train(
    model: dict,
    chunks: data.Chunks,
    validation: data.Chunks,
    degradations: str | Path,
    work: str | Path,
    out: str | Path,
    seed: int,
    threads: int = 2,
) -> keras.Model:
    """Train one model and write its folder: `prepare`, then fit.

    Args:
        out: model folder to write: fingerprinter.weights.h5, config.yaml, history.csv, model.json.
        threads: that cut windows.

    Returns:
        The whole fingerprinter as a Keras model: segments int16 (B, 8000) -> (B, d), float32.

    Raises:
        NmfpError: see `prepare`, or the loss is not finite.
    """
    run = prepare(model, chunks, validation, degradations, work, seed)
    run.fit(threads)
    return _finish(run.step, model, run.history, Path(out))


def _finish(step: Contrast, model: dict, history: list[dict], out: Path) -> keras.Model:
    """Write the model folder; model.json last."""
    columns = ["epoch", "loss", "learning_rate", "seconds", "segments_per_second"]
    table = pd.DataFrame(history)
    write_csv(out / "history.csv", table[columns + [c for c in table.columns if c not in columns]])
    # weights trained in mixed precision are stored and used in float32
    network = fingerprinter.build_network(model["front_end"], model["network"])
    network.set_weights(step.network.get_weights())
    fingerprinter.write_model(network, model, out)
    return fingerprinter.build_graph(model["front_end"], network)
