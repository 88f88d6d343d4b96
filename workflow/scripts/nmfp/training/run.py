"""A training run from packed audio to a model folder: resumable at every epoch, the same for the same
inputs."""

import contextlib
import logging
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
    """Train one model and write its folder.

    Args:
        model: resolved model configuration.
        chunks, validation: training chunks and held-out ones (may be none).
        degradations: folder with {noise,room,microphone}.{npy,csv}.
        work: folder of this very run (see `run_key`); progress in it is taken up again.
        out: model folder to write: fingerprinter.weights.h5, config.yaml, history.csv, model.json.
        seed: of the experiment.
        threads: that cut windows.

    Returns:
        The whole fingerprinter as a Keras model: segments int16 (B, 8000) -> (B, d), float32.

    Raises:
        NmfpError: the configuration makes no sense for this data, a file is broken, the loss is not finite.
    """
    settings.check(model, len(chunks.audio))
    keep_large_blocks()
    work, out = Path(work), Path(out)
    work.mkdir(parents=True, exist_ok=True)
    optimizers.distribute(model["devices"])
    recordings = open_degradations(degradations, model["degradation"])
    batches = Batches(chunks, recordings, model, seed)
    step = build_step(model, recordings, seed, audio_places(model, batches))
    steps, epochs = batches.steps_per_epoch, model["epochs"]
    precision = optimizers.make_precision(model["precision"])
    optimizer = optimizers.make_optimizer(model["optimizer"], steps * epochs, precision)
    optimizer.build(step.network.trainable_variables)
    step.compile(optimizer=optimizer)
    done, history = 0, []
    saved = work / "checkpoint.npz"
    if saved.is_file() and checkpoint.finished_epochs(saved) > epochs:
        log.warning("%s is further than the %d epochs asked for; training starts over", saved, epochs)
    elif saved.is_file():
        done, history = checkpoint.restore(saved, step)
        log.info("taking up after epoch %d of %d", done, epochs)
    if done < epochs:
        log.info(
            "%d segments, %d steps an epoch, %d epochs, %s, Keras on %s",
            batches.grid.size, steps, epochs, precision, keras.backend.backend(),
        )  # fmt: skip
        fit_callbacks = _callbacks(step, model, validation, recordings, seed, work, history, steps, done)
        with contextlib.closing(batches.stream(done, threads)) as stream:
            step.fit(
                ((batch,) for batch in stream),
                initial_epoch=done,
                epochs=epochs,
                steps_per_epoch=steps,
                shuffle=False,
                callbacks=callbacks.Unhurried(
                    fit_callbacks, add_history=True, model=step, epochs=epochs, steps=steps
                ),
                verbose=0,
            )
    return _finish(step, model, history, out)


def _callbacks(step, model, validation, recordings, seed, work, history, steps, done) -> list:
    epochs, views = model["epochs"], 1 + model["batch"]["positives"]
    kept = [
        callbacks.Progress(steps * epochs, steps * done),
        callbacks.StopWhereNotFinite(work / "checkpoint.npz"),
    ]
    if model["validation"]["every_epochs"] and len(validation.audio):
        graph, embed_degraded = (
            fingerprinter.build_graph(model["front_end"], step.network),
            DegradedFingerprinter(step),
        )
        kept.append(
            callbacks.Validate(
                MiniSearch(validation, recordings, model, seed),
                lambda segments: np.asarray(graph.predict_on_batch(segments)),
                lambda queries: np.asarray(embed_degraded.predict_on_batch(queries)),
                model["validation"]["every_epochs"],
                epochs,
            )
        )
    kept.append(
        callbacks.Keep(
            work,
            history,
            lambda epoch: optimizers.learning_rate_at(model["optimizer"], steps * epochs, steps * epoch),
            steps * model["batch"]["anchors"] * views,
            lambda path: fingerprinter.save_weights(step.network, path),
        )
    )
    try:
        kept.append(
            keras.callbacks.TensorBoard(str(work / "tensorboard"), write_graph=False, update_freq="epoch")
        )
    except ImportError:
        log.info("no TensorBoard logs: TensorFlow, which writes them, is not installed")
    return kept


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
