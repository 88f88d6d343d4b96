"""Weights published with the paper (TensorFlow object checkpoints) become a model folder of ours."""

import re
from pathlib import Path

import numpy as np
import yaml

from nmfp.errors import NmfpError
from nmfp.model.melspectrogram import FRAME_HOP_SAMPLES, WINDOW_SAMPLES
from nmfp.segments import SAMPLE_RATE, SEGMENT_SAMPLES

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_NORMALIZATION = {"layer_norm2d": "element", "layer_norm1d": "channel", "batch_norm": "batch"}
_BLOCKS = 8


def import_checkpoint(checkpoint_dir: str | Path, out_dir: str | Path) -> dict:
    """Read a published checkpoint with the config.yaml beside it and write a model folder.

    Args:
        checkpoint_dir: holds ckpt-N.index, ckpt-N.data-*, checkpoint and config.yaml.
        out_dir: model folder to write: fingerprinter.weights.h5, config.yaml, model.json.

    Returns:
        What model.json holds.

    Raises:
        NmfpError: no checkpoint, a setting that this front end does not compute, a variable that is missing
            or has
            another shape (by its name). Nothing is written then.
    """
    from nmfp.model import fingerprinter

    folder = Path(checkpoint_dir)
    arrays = _read_arrays(folder)
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
    where none holds one."""
    found = sorted({path.parent for path in Path(folder).rglob("ckpt-*.index")})
    whole = [path for path in found if (path / "config.yaml").is_file()]
    return next(iter(whole + found), Path(folder))


def _read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """The model's variables of the newest checkpoint in a folder, by name."""
    import tensorflow as tf

    prefix = tf.train.latest_checkpoint(str(folder))
    if prefix is None:
        found = sorted(folder.glob("ckpt-*.index"), key=lambda p: int(re.sub(r"\D", "", p.stem) or 0))
        if not found:
            raise NmfpError(f"{folder} holds no TensorFlow checkpoint (ckpt-N.index and its .data files).")
        prefix = str(found[-1].with_suffix(""))
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
