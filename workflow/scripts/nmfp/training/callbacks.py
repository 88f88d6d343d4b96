"""What happens beside the steps: progress, history, checkpoints, validation, and stopping at a loss that is not finite.

Keras's own TerminateOnNaN waits for the device after each step, and ends a run as if it had been finished.
"""

import logging
import math
import time
from collections import deque
from pathlib import Path

import keras
import pandas as pd

from nmfp.errors import NmfpError
from nmfp.files import progress, write_csv, write_text
from nmfp.training import checkpoint

log = logging.getLogger("nmfp")

# The loss is read back every so many steps only: reading waits for the device.
_CHECK_EVERY = 32


class Unhurried(keras.callbacks.CallbackList):
    """Callbacks that are handed the logs of a step as they are on the device.

    Keras 3.15 turns them into numbers before each call, and so waits for the device after every step. Logs of
    an epoch are numbers as usual.
    """

    def on_train_batch_end(self, batch, logs=None):
        """Tell all callbacks, in their order."""
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs=logs)


class StopWhereNotFinite(keras.callbacks.Callback):
    """End the run with a sentence where the loss is not a finite number; the last checkpoint stays."""

    def __init__(self, checkpoint_path: Path):
        super().__init__()
        self.path, self.waiting, self.epoch = checkpoint_path, deque(), 0

    def on_epoch_begin(self, epoch, logs=None):
        """Remember the epoch for the sentence."""
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Queue the loss; look at the queue now and then."""
        self.waiting.append((batch, logs["loss"]))
        if len(self.waiting) >= _CHECK_EVERY:
            self._check()

    def on_epoch_end(self, epoch, logs=None):
        """Look at what is left, before anything is stored."""
        self._check()

    def _check(self):
        while self.waiting:
            step, loss = self.waiting.popleft()
            if not math.isfinite(float(loss)):
                kept = (
                    f"the weights before it are in {self.path}"
                    if self.path.is_file()
                    else "no epoch was finished before it"
                )
                raise NmfpError(
                    f"The loss is not finite at epoch {self.epoch + 1}, step {step + 1}; {kept}. "
                    "Lower optimizer.learning_rate or set precision to float32."
                )


class Validate(keras.callbacks.Callback):
    """Run the mini search every few epochs and after the last, and put its rates into the logs."""

    def __init__(self, search, embed_clean, embed_degraded, every_epochs: int, epochs: int):
        super().__init__()
        self.search, self.embed_clean, self.embed_degraded = search, embed_clean, embed_degraded
        self.every_epochs, self.epochs = every_epochs, epochs

    def on_epoch_end(self, epoch, logs=None):
        """Add validation_exact, validation_near and validation_track to the logs."""
        if (epoch + 1) % self.every_epochs == 0 or epoch + 1 == self.epochs:
            logs.update(self.search.rates(self.embed_clean, self.embed_degraded))


class StoreEpoch(keras.callbacks.Callback):
    """After each epoch: history row, checkpoint, and the best weights so far where the epoch was validated.

    Args:
        folder: of this run; holds checkpoint.npz, history.csv and best.weights.h5 with best.txt.
        history: rows of epochs already done.
        rate_of: finished epochs -> learning rate of the next step.
        segments: network inputs in an epoch.
        save_best: writes the present weights to a path.
    """

    def __init__(self, folder: Path, history: list[dict], rate_of, segments: int, save_best):
        super().__init__()
        self.folder, self.history, self.rate_of, self.segments = folder, history, rate_of, segments
        self.save_best = save_best
        self.began = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self.began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Add the epoch to the history and store what the class names."""
        # Keras on JAX keeps the state of a running epoch elsewhere
        getattr(self.model, "jax_state_sync", lambda: None)()
        seconds = logs.pop("seconds", None) or time.monotonic() - self.began
        row = {
            "epoch": epoch + 1,
            "loss": float(logs["loss"]),
            "learning_rate": self.rate_of(epoch + 1),
            "seconds": round(seconds, 3),
            "segments_per_second": round(self.segments / seconds, 1),
        }
        row |= {name: value for name, value in logs.items() if name.startswith("validation_")}
        best = max((r.get("validation_near", -1.0) for r in self.history), default=-1.0)
        self.history.append(row)
        if row.get("validation_near", -1.0) > best:
            self.save_best(self.folder / "best.weights.h5")
            write_text(
                self.folder / "best.txt",
                f"epoch {row['epoch']}: validation_near {row['validation_near']:.4f}\n",
            )
        write_csv(self.folder / "history.csv", pd.DataFrame(self.history))
        checkpoint.save(self.folder / "checkpoint.npz", self.model, epoch + 1, self.history)
        log.info("epoch %s", ", ".join(f"{k} {v:.6g}" for k, v in row.items()))


class Progress(keras.callbacks.Callback):
    """One bar over all epochs, in steps, that ends the epoch's clock before validation starts."""

    def __init__(self, total: int, done: int):
        super().__init__()
        self.bar = progress(total=total, unit="step", label="training")
        self.bar.update(done)
        self.began = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Start the epoch's clock."""
        self.began = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """One step more."""
        self.bar.update(1)

    def on_epoch_end(self, epoch, logs=None):
        """Tell how long the steps alone took."""
        logs["seconds"] = time.monotonic() - self.began

    def on_train_end(self, logs=None):
        """Close the bar."""
        self.bar.close()
