"""`network.normalization: batch` normalises over the batch everywhere, in the heads as in the blocks."""

import keras
import numpy as np
import pytest
from keras import ops
from nmfp.errors import NmfpError
from nmfp.model import published
from nmfp.model.fingerprinter import EPSILON, DivideAndEncode, build_network, load_fingerprinter

FRONT_END = {"f_min": 160.0, "f_max": 4000.0, "n_mels": 256, "dynamic_range_db": 80.0, "scale": True}
NETWORK = {"channels": [4] * 7 + [8], "embedding_size": 4, "normalization": "batch", "head_units": 32}
CONFIG = """MODEL:
  AUDIO: {FS: 8000, SEGMENT_DUR: 1}
  INPUT: {STFT_WIN: 1024, STFT_HOP: 256, F_MIN: 160, F_MAX: 4000, N_MELS: 256, DYNAMIC_RANGE: 80, SCALE: true}
  ARCHITECTURE: {EMB_SZ: 4, BN: batch_norm}
"""


def own_heads(layer, width):
    """The same heads as separate Keras layers, one Dense, BatchNormalization and Dense each."""
    heads = []
    for n in range(layer.slices):
        head = keras.Sequential(
            [
                keras.Input((width,)),
                keras.layers.Dense(layer.units, activation="elu"),
                keras.layers.BatchNormalization(epsilon=EPSILON),
                keras.layers.Dense(1),
            ]
        )
        head.layers[0].set_weights([layer.kernel_in[n], layer.bias_in[n]])
        head.layers[2].set_weights([layer.kernel_out[n][:, None], layer.bias_out[n][None]])
        heads.append(head)
    return heads


def test_heads_are_those_of_separate_layers_in_training_and_after_it():
    rng = np.random.default_rng(0)
    layer = DivideAndEncode(4, 8, "batch")
    layer.build((None, 12))
    heads = own_heads(layer, 3)
    for training in (True, True, False):
        features = rng.normal(2, 3, (16, 12)).astype(np.float32)
        parts = [head(features[:, 3 * n : 3 * n + 3], training=training) for n, head in enumerate(heads)]
        expected = np.concatenate([ops.convert_to_numpy(part) for part in parts], axis=1)
        found = ops.convert_to_numpy(layer(features, training=training))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(ops.convert_to_numpy(layer.moving_mean)).max() > 0


def published_arrays(seed=0):
    """A checkpoint's variables by their published names, each drawn anew."""
    rng, arrays = np.random.default_rng(seed), {}
    channels = [1, *NETWORK["channels"]]
    statistics = ("gamma", "beta", "moving_mean", "moving_variance")
    for i in range(8):
        block = f"model/front_conv/layer_with_weights-{i}"
        for size, shape in (("1x3", (1, 3, *channels[i : i + 2])), ("3x1", (3, 1, *[channels[i + 1]] * 2))):
            arrays[f"{block}/conv2d_{size}/kernel"] = rng.normal(0, 0.5, shape)
            for name in ("conv2d_{}/bias", *(f"BN_{{}}/{s}" for s in statistics)):
                arrays[f"{block}/{name.format(size)}"] = rng.uniform(0.5, 1.5, channels[i + 1])
    for n in range(4):
        fc = f"model/div_enc/split_fc_layers/{n}/layer_with_weights"
        arrays[f"{fc}-0/kernel"] = rng.normal(size=(2, 32))
        arrays[f"{fc}-0/bias"], arrays[f"{fc}-2/bias"] = rng.normal(size=32), rng.normal(size=1)
        arrays[f"{fc}-2/kernel"] = rng.normal(size=(32, 1))
        arrays |= {f"model/div_enc/BN/{n}/{s}": rng.uniform(0.5, 1.5, 32) for s in statistics}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    arrays = published_arrays()
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "ckpt-1.index").touch()
    monkeypatch.setattr(published, "_read_arrays", lambda prefix: arrays)
    return arrays, tmp_path


def test_imported_heads_have_their_own_statistics(checkpoint):
    arrays, folder = checkpoint
    published.import_checkpoint(folder, folder / "model")
    heads = load_fingerprinter(folder / "model").network.get_layer("heads")
    for name in ("moving_mean", "moving_variance"):
        expected = np.stack([arrays[f"model/div_enc/BN/{n}/{name}"] for n in range(4)])
        np.testing.assert_array_equal(ops.convert_to_numpy(getattr(heads, name)), expected)


def test_weights_without_them_are_refused_by_name(checkpoint):
    arrays, folder = checkpoint
    del arrays["model/div_enc/BN/2/moving_variance"]
    with pytest.raises(NmfpError, match="lacks the variable model/div_enc/BN/2/moving_variance"):
        published.import_checkpoint(folder, folder / "model")


def test_other_kinds_keep_their_weights():
    names = {
        v.path.split("/")[-1]
        for v in build_network(FRONT_END, NETWORK | {"normalization": "element"}).weights
    }
    assert names == {"kernel", "bias", "gamma", "beta", "kernel_in", "bias_in", "kernel_out", "bias_out"}
