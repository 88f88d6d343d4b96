"""Weights from elsewhere become a model folder of ours: published ones (TensorFlow object checkpoints), and ours."""

import re
import shutil
from pathlib import Path

import numpy as np
import yaml

from nmfp.errors import NmfpError
from nmfp.model.folder import MODEL_FILES, WEIGHTS, read_model
from nmfp.segments import SAMPLE_RATE, SEGMENT_SAMPLES

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_NORMALIZATION = {"layer_norm2d": "element", "layer_norm1d": "channel", "batch_norm": "batch"}
_BLOCKS = 8


def import_weights(source: str | Path, out_dir: str | Path, number: int | None = None) -> str:
    """Write a model folder, graph for OpenVINO included, from weights that exist already.

    Args:
        source: a model folder of ours, a folder at or below which a published checkpoint lies, or one checkpoint
            of it (`<folder>/ckpt-100`, with or without .index).
        out_dir: model folder to write.
        number: of the checkpoint; None: the newest.

    Returns:
        What was imported, for people: the checkpoint's path, or the model folder's.

    Raises:
        NmfpError: as `import_checkpoint`; a number is asked of a model folder, which holds one network.
    """
    source, out = Path(source), Path(out_dir)
    if (source / "model.json").is_file():
        if number is not None:
            raise NmfpError(
                f"{source} is a model folder and holds one network: leave the checkpoint's number out."
            )
        read_model(source)
        if not (source / WEIGHTS).is_file():
            raise NmfpError(f"{source} lacks {WEIGHTS}; it is no complete model folder.")
        for name in MODEL_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, out / name)
        if not (out / "fingerprinter.xml").is_file():
            _export_graph(out)
        return str(source)
    folder, number = split_checkpoint(source, number)
    folder = find_checkpoint(folder)
    prefix = checkpoint_prefix(folder, number)
    import_checkpoint(folder, out, number)
    _export_graph(out)
    return prefix


def _export_graph(folder: Path) -> None:
    from nmfp.model import fingerprinter, openvino_graph

    openvino_graph.export(fingerprinter.load_fingerprinter(folder).graph, folder)


def split_checkpoint(source: str | Path, number: int | None = None) -> tuple[Path, int | None]:
    """A folder and the number of a checkpoint in it, of `<folder>/ckpt-100` (or its .index) or of a folder.

    Raises:
        NmfpError: the path names one number and `number` another.
    """
    source = Path(source)
    match = re.fullmatch(r"ckpt-(\d+)(\.index)?", source.name)
    if source.is_dir() or not match:
        return source, number
    if number not in (None, int(match[1])):
        raise NmfpError(
            f"{source} is checkpoint {match[1]}, but number {number} is asked for; name one of them."
        )
    return source.parent, int(match[1])


def import_checkpoint(checkpoint_dir: str | Path, out_dir: str | Path, number: int | None = None) -> dict:
    """Read a published checkpoint with the config.yaml beside it and write a model folder.

    Args:
        checkpoint_dir: holds ckpt-N.index, ckpt-N.data-*, checkpoint and config.yaml.
        out_dir: model folder to write: fingerprinter.weights.h5, config.yaml, model.json.
        number: N of the checkpoint; None: the one that the file `checkpoint` names, else the highest.

    Returns:
        What model.json holds.

    Raises:
        NmfpError: no checkpoint, a setting that this front end does not compute, a variable that is missing
            or has
            another shape (by its name). Nothing is written then.
    """
    from nmfp.model import fingerprinter

    folder = Path(checkpoint_dir)
    arrays = _read_arrays(checkpoint_prefix(folder, number))
    front_end, embedding_size, normalization = _read_config(folder / "config.yaml")
    network_settings = {
        "channels": [_conv_channels(arrays, i, folder) for i in range(_BLOCKS)],
        "embedding_size": embedding_size,
        "normalization": normalization,
        "head_units": 32,
    }
    network = fingerprinter.build_network(front_end, network_settings)
    # everything is read and checked before anything is assigned or written
    values = [_published_value(v.path, tuple(v.shape), arrays, folder) for v in network.weights]
    for variable, value in zip(network.weights, values, strict=True):
        variable.assign(value)
    return fingerprinter.write_model(network, {"front_end": front_end, "network": network_settings}, out_dir)


def find_checkpoint(folder: str | Path) -> Path:
    """The folder at or below `folder` that holds a checkpoint, and its config.yaml where any does; `folder` itself
    where none holds one.

    Raises:
        NmfpError: several do, and which is meant is for the user to say.
    """
    found = sorted({path.parent for path in Path(folder).rglob("ckpt-*.index")})
    found = [path for path in found if (path / "config.yaml").is_file()] or found
    if len(found) > 1 and Path(folder) not in found:
        raise NmfpError(
            f"{folder} holds {len(found)} networks; name the folder of one: {', '.join(map(str, found[:5]))}"
            f"{' ...' if len(found) > 5 else '.'}"
        )
    return found[0] if len(found) == 1 else Path(folder)


def checkpoint_prefix(folder: Path, number: int | None = None) -> str:
    """The common beginning of a checkpoint's files: of this number, else the newest.

    Raises:
        NmfpError: there is none, or none of this number.
    """
    numbers = sorted(
        int(match[1])
        for path in folder.glob("ckpt-*.index")
        if (match := re.fullmatch(r"ckpt-(\d+)", path.stem))
    )
    if not numbers:
        raise NmfpError(f"{folder} holds no TensorFlow checkpoint (ckpt-N.index and its .data files).")
    if number is None:
        number = _latest(folder / "checkpoint", numbers)
    if number not in numbers:
        held = ", ".join(map(str, numbers))
        raise NmfpError(f"{folder} holds no checkpoint of number {number}; it holds {held}.")
    return str(folder / f"ckpt-{number}")


def _latest(state: Path, numbers: list[int]) -> int:
    """The number that TensorFlow's file `checkpoint` calls the latest, where it is there; else the highest."""
    text = state.read_text(encoding="utf-8", errors="replace") if state.is_file() else ""
    named = re.search(r'^model_checkpoint_path: ".*?ckpt-(\d+)"', text, re.MULTILINE)
    return int(named[1]) if named and int(named[1]) in numbers else numbers[-1]


def _read_arrays(prefix: str) -> dict[str, np.ndarray]:
    """The model's variables of a checkpoint, by name."""
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(prefix)
        names = [name for name in reader.get_variable_to_shape_map() if name.startswith("model/")]
        return {
            name.removesuffix(_SUFFIX): reader.get_tensor(name) for name in names if name.endswith(_SUFFIX)
        }
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        raise NmfpError(
            f"{prefix} cannot be read as a TensorFlow checkpoint ({str(error).splitlines()[0]})."
        ) from None


def _read_config(path: Path) -> tuple[dict, int, str]:
    """Front end, embedding size and normalisation of a published config.yaml."""
    from nmfp.model.melspectrogram import (
        FRAME_HOP_SAMPLES,
        WINDOW_SAMPLES,
    )  # needs Keras; a model folder does not

    try:
        model = yaml.safe_load(path.read_text(encoding="utf-8"))["MODEL"]
        audio, spectrogram, architecture = model["AUDIO"], model["INPUT"], model["ARCHITECTURE"]
        fixed = {
            "MODEL.AUDIO.FS": (audio["FS"], SAMPLE_RATE),
            "MODEL.AUDIO.SEGMENT_DUR": (audio["SEGMENT_DUR"], SEGMENT_SAMPLES / SAMPLE_RATE),
            "MODEL.INPUT.STFT_WIN": (spectrogram["STFT_WIN"], WINDOW_SAMPLES),
            "MODEL.INPUT.STFT_HOP": (spectrogram["STFT_HOP"], FRAME_HOP_SAMPLES),
        }
        front_end = {
            "f_min": float(spectrogram["F_MIN"]),
            "f_max": float(spectrogram["F_MAX"]),
            "n_mels": int(spectrogram["N_MELS"]),
            "dynamic_range_db": float(spectrogram["DYNAMIC_RANGE"]),
            "scale": bool(spectrogram["SCALE"]),
        }
        size, kind = int(architecture["EMB_SZ"]), str(architecture["BN"])
    except FileNotFoundError:
        raise NmfpError(
            f"{path} does not exist; the published config.yaml belongs beside the checkpoint."
        ) from None
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise NmfpError(f"{path} is not the configuration of a published model ({reason}).") from None
    for key, (value, ours) in fixed.items():
        if value != ours:
            raise NmfpError(f"{path}: {key} is {value}; this front end computes {ours} only.")
    if kind not in _NORMALIZATION:
        raise NmfpError(f"{path}: MODEL.ARCHITECTURE.BN is {kind}; known are {', '.join(_NORMALIZATION)}.")
    return front_end, size, _NORMALIZATION[kind]


def _get(arrays: dict, name: str, folder: Path) -> np.ndarray:
    if name not in arrays:
        raise NmfpError(
            f"The checkpoint in {folder} lacks the variable {name}{_SUFFIX}; it is not a complete model."
        )
    return arrays[name]


def _conv_channels(arrays: dict, block: int, folder: Path) -> int:
    return int(_get(arrays, f"model/front_conv/layer_with_weights-{block}/conv2d_3x1/bias", folder).size)


def _published_value(path: str, shape: tuple, arrays: dict, folder: Path) -> np.ndarray:
    """The published values of one of our variables, heads stacked; refused by name unless shapes agree."""
    layer, variable = path.split("/")[-2:]
    if layer == "heads":
        parts = {
            "kernel_in": "split_fc_layers/{}/layer_with_weights-0/kernel",
            "bias_in": "split_fc_layers/{}/layer_with_weights-0/bias",
            "gamma": "BN/{}/gamma",
            "beta": "BN/{}/beta",
            "moving_mean": "BN/{}/moving_mean",
            "moving_variance": "BN/{}/moving_variance",
            "kernel_out": "split_fc_layers/{}/layer_with_weights-2/kernel",
            "bias_out": "split_fc_layers/{}/layer_with_weights-2/bias",
        }
        names = [f"model/div_enc/{parts[variable].format(head)}" for head in range(shape[0])]
        one = {"kernel_out": (*shape[1:], 1), "bias_out": (1,)}.get(variable, shape[1:])
    else:
        kind, size, block = layer.split("_")
        ours = {"conv": f"conv2d_{size}", "norm": f"BN_{size}"}[kind]
        names, one = [f"model/front_conv/layer_with_weights-{block}/{ours}/{variable}"], shape
    values = []
    for name in names:
        value = _get(arrays, name, folder)
        if value.shape != one:
            raise NmfpError(
                f"The checkpoint in {folder}: {name}{_SUFFIX} has shape {value.shape}, the network needs "
                f"{one}."
            )
        values.append(value)
    return np.reshape(np.stack(values) if layer == "heads" else values[0], shape)
