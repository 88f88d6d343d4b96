"""The network's shape at full size, and the parts that a checkpoint of a narrow one does not show."""

import numpy as np
import pytest
from nmfp.errors import NmfpError
from nmfp.model import fingerprinter

FRONT_END = {"f_min": 160.0, "f_max": 4000.0, "n_mels": 256, "dynamic_range_db": 80.0, "scale": True}
PAPER = {
    "channels": [128, 128, 256, 256, 512, 512, 1024, 1024],
    "embedding_size": 128,
    "normalization": "element",
    "head_units": 32,
}
NARROW = PAPER | {"channels": [4, 4, 4, 4, 8, 8, 8, 16], "embedding_size": 8}


def test_full_size_has_the_published_parameters():
    network = fingerprinter.build_network(FRONT_END, PAPER)
    assert network.count_params() == 17_217_536
    assert network.get_layer("norm_1x3_0").gamma.shape == (256, 17, 128)
    assert network.get_layer("norm_3x1_0").gamma.shape == (128, 17, 128)
    assert network.get_layer("norm_3x1_7").gamma.shape == (1, 1, 1024)
    assert network.get_layer("heads").kernel_in.shape == (128, 8, 32)


@pytest.mark.parametrize("normalization", ["element", "channel", "batch"])
def test_fingerprints_have_unit_length_in_any_precision(normalization):
    mel = np.random.default_rng(0).uniform(-1, 1, (3, 256, 33)).astype("float32")
    for dtype in ("float32", "mixed_bfloat16"):
        network = fingerprinter.build_network(FRONT_END, NARROW | {"normalization": normalization}, dtype)
        fingerprints = np.asarray(network(mel))
        assert fingerprints.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(fingerprints, axis=1), 1, atol=1e-5)


def test_fast_normalisation_equals_the_plain_one(monkeypatch):
    tf = pytest.importorskip("tensorflow")
    network = fingerprinter.build_network(FRONT_END, NARROW)
    rng = np.random.default_rng(1)
    network.set_weights([w + rng.normal(0, 0.05, w.shape) for w in network.get_weights()])
    mel = rng.uniform(-1, 1, (5, 256, 33)).astype("float32")
    direction = rng.normal(size=(5, 8)).astype("float32")
    results = []
    for fast in (True, False):
        monkeypatch.setattr(fingerprinter, "_plain_tensorflow_cpu", lambda fast=fast: fast)
        with tf.GradientTape() as tape:
            fingerprints = network(mel, training=True)
            value = tf.reduce_sum(fingerprints * direction)
        results.append((fingerprints, tape.gradient(value, network.trainable_variables)))
    (fast, fast_gradients), (plain, plain_gradients) = results
    np.testing.assert_allclose(fast, plain, atol=1e-5)
    for a, b in zip(fast_gradients, plain_gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(1e-3, float(np.abs(b).max())))


def test_heads_see_their_own_slice_only():
    heads = fingerprinter.DivideAndEncode(4, 8)
    features = np.random.default_rng(2).normal(size=(1, 12)).astype("float32")
    before = np.asarray(heads(features))
    features[0, 3:6] += 1
    changed = np.asarray(heads(features)) != before
    assert changed.tolist() == [[False, True, False, False]]


def test_indivisible_features_are_refused():
    with pytest.raises(NmfpError, match="embedding_size 7 does not divide the 16 features"):
        fingerprinter.build_network(FRONT_END, NARROW | {"embedding_size": 7})
