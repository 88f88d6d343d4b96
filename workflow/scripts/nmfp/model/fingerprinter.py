"""The network that turns log-mel spectrograms into fingerprints,
its weights, and the graph from audio to fingerprint.

Eight blocks of separable-like convolutions (1x3 on time, 3x1 on frequency, each with ELU and layer
normalisation), then "divide and encode": the flat features are cut into as many slices as the fingerprint has
numbers, and each slice goes through a small head of its own (Chang et al. 2021). The heads are one batched
product, not 128 layers.
"""

import functools
import math
from pathlib import Path

import keras
import numpy as np
from keras import ops

from nmfp.errors import NmfpError
from nmfp.files import atomic, sha256_file
from nmfp.model import folder as model_folder
from nmfp.model.melspectrogram import FRAMES, LogMelSpectrogram
from nmfp.segments import SEGMENT_SAMPLES

EPSILON = 1e-3
# of the moving statistics of batch normalisation; Keras's own
MOMENTUM = 0.99
TIME_STRIDES = (2, 2, 2, 2, 1, 2, 1, 2)
FREQUENCY_STRIDE = 2
WEIGHTS = "fingerprinter.weights.h5"


@keras.saving.register_keras_serializable("nmfp")
class DivideAndEncode(keras.layers.Layer):
    """Features (B, F) -> (B, slices): Dense(units, ELU) ->
    normalisation -> Dense(1) on each slice of F / slices numbers.

    Args:
        normalization: `batch` over the batch, as in the blocks before it; else layer normalisation over the units.
    """

    def __init__(self, slices: int, units: int = 32, normalization: str = "element", **kwargs):
        super().__init__(**kwargs)
        self.slices, self.units, self.normalization = slices, units, normalization

    def build(self, input_shape):
        """Create the weights of all heads at once; the fans are those of one head's own Dense layers."""
        n, units, width = self.slices, self.units, input_shape[-1] // self.slices

        def glorot(fan_in, fan_out):
            limit = (6 / (fan_in + fan_out)) ** 0.5
            return keras.initializers.RandomUniform(-limit, limit, seed=keras.random.SeedGenerator())

        self.kernel_in = self.add_weight((n, width, units), glorot(width, units), name="kernel_in")
        self.bias_in = self.add_weight((n, units), "zeros", name="bias_in")
        self.gamma = self.add_weight((n, units), "ones", name="gamma")
        self.beta = self.add_weight((n, units), "zeros", name="beta")
        self.kernel_out = self.add_weight((n, units), glorot(units, 1), name="kernel_out")
        self.bias_out = self.add_weight((n,), "zeros", name="bias_out")
        if self.normalization == "batch":
            statistic = {"shape": (n, units), "dtype": "float32", "autocast": False, "trainable": False}
            self.moving_mean = self.add_weight(initializer="zeros", name="moving_mean", **statistic)
            self.moving_variance = self.add_weight(initializer="ones", name="moving_variance", **statistic)

    def call(self, features, training=False):
        """Features (B, F) float32 to embeddings (B, slices) float32, not normalised."""
        slices = ops.reshape(features, (-1, self.slices, features.shape[-1] // self.slices))
        hidden = ops.elu(ops.einsum("bnw,nwu->bnu", slices, self.kernel_in) + self.bias_in)
        centred, variance = self._moments(ops.cast(hidden, "float32"), training)
        hidden = centred * ops.rsqrt(variance + EPSILON) * ops.cast(self.gamma, "float32")
        hidden = ops.cast(hidden + ops.cast(self.beta, "float32"), self.compute_dtype)
        # The bias is part of the sum: an addition after it is fused with it by OpenVINO 2026.4 on a CPU, which then
        # adds the bias of slice b to all of row b of the batch.
        return ops.sum(hidden * self.kernel_out + self.bias_out[:, None] / self.units, axis=-1)

    def _moments(self, hidden, training):
        """Hidden units float32 (B, slices, units) less their mean, and their variance."""
        if self.normalization == "batch" and not training:
            return hidden - self.moving_mean, ops.convert_to_tensor(self.moving_variance)
        axis = 0 if self.normalization == "batch" else -1
        mean = ops.mean(hidden, axis=axis, keepdims=True)
        centred = hidden - mean
        variance = ops.mean(ops.square(centred), axis=axis, keepdims=True)
        if self.normalization == "batch":
            for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * MOMENTUM + ops.squeeze(now, 0) * (1 - MOMENTUM))
        return centred, variance

    def compute_output_shape(self, input_shape):
        """(B, slices)."""
        return (input_shape[0], self.slices)

    def get_config(self):
        """Settings for serialisation."""
        own = {"slices": self.slices, "units": self.units, "normalization": self.normalization}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("nmfp")
class UnitLength(keras.layers.Layer):
    """Vectors (B, d) of any float type -> float32 of length 1."""

    def __init__(self, **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)

    def call(self, vectors):
        """Vectors (B, D) to float32 vectors of length one; a zero vector stays zero."""
        vectors = ops.cast(vectors, "float32")
        return vectors * ops.rsqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1, keepdims=True), 1e-12))

    def compute_output_shape(self, input_shape):
        """(B, d)."""
        return input_shape


@keras.saving.register_keras_serializable("nmfp")
class ElementNormalization(keras.layers.LayerNormalization):
    """Layer normalisation over (F, T, C) with an affine per element; trains faster on a CPU under TensorFlow.

    There the generic reductions and broadcasts take more than half of a training step; as matrix products
    with a vector, and with the gradient written out, they take half as long. Everywhere else the compiler
    fuses the plain form.
    """

    def __init__(self, **kwargs):
        kwargs.setdefault("axis", (1, 2, 3))
        super().__init__(**kwargs)

    def call(self, inputs, training=False):
        """Planes (B, F, T, C) to normalised planes of the same shape; training and inference compute the same."""
        if not (training and _plain_tensorflow_cpu()) or self.compute_dtype != "float32":
            return super().call(inputs)
        shape = inputs.shape[1:]
        n = math.prod(shape)
        flat = _normalize_rows(
            ops.reshape(inputs, (-1, n)),
            ops.reshape(self.gamma, (n,)),
            ops.reshape(self.beta, (n,)),
            self.epsilon,
        )
        return ops.reshape(flat, (-1, *shape))


@functools.cache
def _plain_tensorflow_cpu() -> bool:
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def _normalize_rows(x, gamma, beta, epsilon):
    """Rows (B, n) to zero mean and unit variance, times gamma (n,), plus beta (n,)."""
    n = x.shape[1]
    average = ops.full((n, 1), 1 / n)

    @ops.custom_gradient
    def normalize(x, gamma, beta):
        mean = ops.matmul(x, average)
        variance = ops.maximum(ops.matmul(ops.square(x), average) - ops.square(mean), 0)
        inverse = ops.rsqrt(variance + epsilon)
        unit = x * inverse - mean * inverse

        def gradient(*upstream, **kwargs):
            dy = upstream[0]
            dy_unit = dy * unit
            column = ops.reshape(gamma, (n, 1)) / n
            ones = ops.ones((1, ops.shape(dy)[0]))
            dx = (dy * gamma - (unit * ops.matmul(dy_unit, column) + ops.matmul(dy, column))) * inverse
            return dx, ops.reshape(ops.matmul(ones, dy_unit), (n,)), ops.reshape(ops.matmul(ones, dy), (n,))

        return unit * gamma + beta, gradient

    return normalize(x, gamma, beta)


def _normalization(kind: str, dtype: str, name: str) -> keras.layers.Layer:
    if kind == "batch":
        return keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, dtype=dtype, name=name)
    kinds = {"element": ElementNormalization, "channel": keras.layers.LayerNormalization}
    return kinds[kind](epsilon=EPSILON, dtype=dtype, name=name)


def build_network(front_end: dict, network: dict, dtype: str | None = None) -> keras.Model:
    """The untrained network: log-mel spectrograms (B, n_mels, 33) -> fingerprints float32 (B, d) of length 1.

    Args:
        front_end, network: sections of a model configuration.
        dtype: Keras dtype policy, such as mixed_bfloat16; float32 by default.

    Raises:
        NmfpError: the fingerprint's size does not divide the number of features.
    """
    dtype = dtype or "float32"
    inputs = keras.Input((front_end["n_mels"], FRAMES), dtype="float32", name="mel")
    x = keras.layers.Reshape((front_end["n_mels"], FRAMES, 1), dtype=dtype, name="plane")(inputs)
    for i, (channels, stride) in enumerate(zip(network["channels"], TIME_STRIDES, strict=True)):
        for size, strides in (((1, 3), (1, stride)), ((3, 1), (FREQUENCY_STRIDE, 1))):
            name = f"{size[0]}x{size[1]}_{i}"
            convolution = {"padding": "same", "activation": "elu", "dtype": dtype, "name": f"conv_{name}"}
            x = keras.layers.Conv2D(channels, size, strides, **convolution)(x)
            x = _normalization(network["normalization"], dtype, f"norm_{name}")(x)
    x = keras.layers.Flatten(dtype=dtype, name="features")(x)
    if x.shape[-1] % network["embedding_size"]:
        raise NmfpError(
            f"network.embedding_size {network['embedding_size']} does not divide the {x.shape[-1]} features "
            f"of the last "
            "block; choose a divisor or change network.channels."
        )
    heads = DivideAndEncode(
        network["embedding_size"], network["head_units"], network["normalization"], dtype=dtype, name="heads"
    )
    x = heads(x)
    return keras.Model(inputs, UnitLength(name="fingerprint")(x), name="network")


def build_graph(front_end: dict, network: keras.Model) -> keras.Model:
    """The whole fingerprinter as one model: segments int16 (B, 8000) -> fingerprints float32 (B, d)."""
    audio = keras.Input((SEGMENT_SAMPLES,), dtype="int16", name="segments")
    return keras.Model(
        audio, network(LogMelSpectrogram(**front_end, name="log_mel")(audio)), name="fingerprinter"
    )


def weight_arrays(network: keras.Model) -> dict[str, np.ndarray]:
    """All weights by path, in the network's order, as float32 arrays."""
    return {v.path: np.asarray(ops.convert_to_numpy(v.value), "float32") for v in network.weights}


def save_weights(network: keras.Model, path: str | Path) -> None:
    """Write the weights atomically as Keras's .weights.h5 (no time stamps: same weights, same bytes)."""
    with atomic(path) as temporary:
        # Keras insists on its own suffix and refuses to overwrite quietly
        beside = temporary.with_name(temporary.stem + ".weights.h5")
        network.save_weights(beside)
        beside.replace(temporary)


def write_model(network: keras.Model, model: dict, folder: str | Path) -> dict:
    """Write fingerprinter.weights.h5, config.yaml and, last,
    model.json into `folder`; return what model.json holds."""
    folder = Path(folder)
    save_weights(network, folder / WEIGHTS)
    return model_folder.write_model(folder, model, weight_arrays(network))


class Fingerprinter:
    """A trained model, ready to use.

    Attributes:
        digest: name of the weights and everything else that changes a fingerprint.
        embedding_size: numbers in a fingerprint.
        graph: keras.Model, segments int16 (B, 8000) -> float32 (B, d).
        network: keras.Model, log-mel spectrograms (B, n_mels, 33) -> float32 (B, d).
    """

    def __init__(self, info: dict, network: keras.Model):
        self.info, self.network = info, network
        self.graph = build_graph(info["front_end"], network)
        self.digest, self.embedding_size = info["digest"], info["embedding_size"]

    def __call__(self, segments: np.ndarray) -> np.ndarray:
        """Fingerprints float32 (B, d) of segments int16 (B, 8000)."""
        return ops.convert_to_numpy(self.graph.predict_on_batch(segments))


def load_fingerprinter(folder: str | Path) -> Fingerprinter:
    """Load a model folder.

    Raises:
        NmfpError: a file is missing, or the weights are not those that model.json was written for.
    """
    folder = Path(folder)
    info = model_folder.read_model(folder)
    network = build_network(info["front_end"], info["network"])
    path = folder / WEIGHTS
    if not path.is_file():
        raise NmfpError(f"{path} does not exist; train the model or import its weights.")
    # HDF5's reader trusts what it reads: only the bytes that model.json names get there
    if sha256_file(path) != info.get("weights_sha256"):
        raise NmfpError(
            f"{path} is not the file that {folder / 'model.json'} names; copy both or train again."
        )
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise NmfpError(
            f"{path} does not fit the network in model.json ({str(error).splitlines()[0]})."
        ) from None
    if (
        model_folder.model_digest(info["front_end"], info["network"], weight_arrays(network))
        != info["digest"]
    ):
        raise NmfpError(
            f"{path} does not hold the weights that {folder / 'model.json'} names; copy both or train again."
        )
    return Fingerprinter(info, network)
