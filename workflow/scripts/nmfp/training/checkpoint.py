"""The state of a training run in one file that is whole or absent: weights, optimiser,
random state, epoch and history."""

import contextlib
import json
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

from nmfp.errors import NmfpError
from nmfp.files import atomic
from nmfp.training.step import Contrast


def state_variables(model: Contrast) -> dict[str, keras.Variable]:
    """Everything that changes while training, by a name that does not depend on the run."""
    optimizer = model.optimizer
    variables = list(optimizer.variables)
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        known = {id(v) for v in variables}
        variables += [v for v in inner.variables if id(v) not in known]
    named = {f"network/{i}": v for i, v in enumerate(model.network.variables)}
    named |= {f"optimizer/{i}": v for i, v in enumerate(variables)}
    return named | {"loss_seed": model.loss_seed.state}


def save(path: Path, model: Contrast, epoch: int, history: list[dict]) -> None:
    """Write the state after `epoch` finished epochs atomically."""
    arrays = {name: ops.convert_to_numpy(v.value) for name, v in state_variables(model).items()}
    meta = np.frombuffer(json.dumps({"epoch": epoch, "history": history}).encode(), np.uint8)
    with atomic(path) as temporary, temporary.open("wb") as f:
        np.savez(f, meta=meta, **arrays)


@contextlib.contextmanager
def _explained(path: Path):
    try:
        yield
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise NmfpError(
            f"{path} is no usable checkpoint ({error}); delete it to train from the beginning."
        ) from None


def finished_epochs(path: Path) -> int:
    """How many epochs a state has behind it.

    Raises:
        NmfpError: the file is damaged.
    """
    with _explained(path), np.load(path, allow_pickle=False) as stored:
        return int(json.loads(stored["meta"].tobytes())["epoch"])


def restore(path: Path, model: Contrast) -> tuple[int, list[dict]]:
    """Load a state into a compiled model with a built optimiser; return finished epochs and history.

    Raises:
        NmfpError: the file is damaged or of another network.
    """
    with _explained(path), np.load(path, allow_pickle=False) as stored:
        meta = json.loads(stored["meta"].tobytes())
        values = {name: stored[name] for name in state_variables(model)}
    for name, variable in state_variables(model).items():
        variable.assign(values[name])
    return meta["epoch"], meta["history"]
