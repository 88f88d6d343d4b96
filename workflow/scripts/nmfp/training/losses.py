"""Losses on L2-normalised fingerprints float32 (anchors, views, d): view 0 is the anchor, the others its positives.

Each takes and returns float32; the value is a scalar. Sources: triplet mining after Hermans et al. 2017 and
FaceNet; NT-Xent after Chen et al. 2020 and Khosla et al. 2020 (several positives); DCL after Yeh et al. 2022;
KCL after Koromilas et al. 2024; alignment and uniformity after Wang and Isola 2020.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

# Distances of pairs that do not count; larger than any
# distance on the unit sphere, small enough for float32 sums.
_FAR = 1e3


def make_loss(settings: dict, generator: keras.random.SeedGenerator | None = None) -> Callable:
    """The loss that a model configuration's `loss` section asks for: embeddings (anchors, views, d) -> scalar."""
    name = settings["name"]
    if name == "triplet":
        return lambda e: triplet(
            e,
            settings["margin"],
            settings["positives"],
            settings["negatives"],
            settings["squared"],
            generator,
        )
    if name == "ntxent":
        return lambda e: ntxent(e, settings["tau"])
    if name == "dcl":
        return lambda e: dcl(e, settings["tau"])
    if name == "kcl":
        return lambda e: kcl(e, settings["t"], settings["gamma"])
    if name == "alignment_uniformity":
        return lambda e: alignment_uniformity(e, settings["alpha"], settings["t"], *settings["weights"])
    raise ValueError(f"unknown loss {name!r}")


def _rows(embeddings):
    """All views under one another (R, d) with the label of each row, numpy (R,)."""
    anchors, views, dimension = embeddings.shape
    return ops.reshape(embeddings, (anchors * views, dimension)), np.repeat(np.arange(anchors), views)


def _squared_distances(a, b):
    """Squared Euclidean distances of unit vectors (..., n, d), (..., m, d) -> (..., n, m)."""
    return ops.maximum(2 - 2 * ops.matmul(a, ops.swapaxes(b, -1, -2)), 0)


def triplet(embeddings, margin, positives="hard", negatives="semi-hard", squared=True, generator=None):
    """Mean over all rows of max(d_positive - d_negative + margin, 0).

    Args:
        embeddings: float32 (anchors, views, d), unit length.
        margin: in the unit of the distances.
        positives: hard (farthest of the row's own label), easy (nearest) or random.
        negatives: hard (nearest of another label), or semi-hard: the nearest strictly between the
            positive's distance and that plus the margin, and where there is none, the nearest.
        squared: squared distances, or plain ones.
        generator: keras SeedGenerator for random positives.
    """
    rows, labels = _rows(embeddings)
    same = labels[:, None] == labels[None, :]
    positive = same & ~np.eye(len(labels), dtype=bool)
    distances = _squared_distances(rows, rows)
    if not squared:
        # the gradient of the root is not finite at 0
        zero = ops.cast(distances <= 0, "float32")
        distances = ops.sqrt(distances + zero * 1e-16) * (1 - zero)
    if positives == "hard":
        d_positive = ops.max(ops.where(positive, distances, -_FAR), axis=1, keepdims=True)
    elif positives == "easy":
        d_positive = ops.min(ops.where(positive, distances, _FAR), axis=1, keepdims=True)
    else:
        noise = keras.random.uniform(distances.shape, seed=generator)
        chosen = ops.argmax(ops.where(positive, noise, -1.0), axis=1)
        d_positive = ops.take_along_axis(distances, ops.expand_dims(chosen, 1), axis=1)
    to_others = ops.where(same, _FAR, distances)
    d_negative = ops.min(to_others, axis=1, keepdims=True)
    if negatives == "semi-hard":
        between = ops.logical_and(to_others > d_positive, to_others < d_positive + margin)
        semi_hard = ops.min(ops.where(between, to_others, _FAR), axis=1, keepdims=True)
        d_negative = ops.where(ops.any(between, axis=1, keepdims=True), semi_hard, d_negative)
    return ops.mean(ops.maximum(d_positive - d_negative + margin, 0))


def ntxent(embeddings, tau):
    """All views against all: for each row the mean over its positives of -log softmax without the diagonal.

    With one positive this is NT-Xent, with several MultiPosCon.
    """
    rows, labels = _rows(embeddings)
    itself = np.eye(len(labels), dtype=bool)
    positive = ((labels[:, None] == labels[None, :]) & ~itself).astype("float32")
    logits = ops.matmul(rows, ops.transpose(rows)) * (1 / tau)
    log_sum = ops.logsumexp(ops.where(itself, -1e9, logits), axis=1)
    return ops.mean(log_sum - ops.sum(logits * positive, axis=1) / positive.sum(axis=1))


def _two_views(embeddings):
    if embeddings.shape[1] != 2:
        raise ValueError(f"this loss takes two views, not {embeddings.shape[1]}")
    return embeddings[:, 0], embeddings[:, 1]


def dcl(embeddings, tau):
    """Decoupled contrastive loss: the positive is left out of the denominator; anchors
    against all, plus views exchanged."""
    a, b = _two_views(embeddings)
    itself = np.eye(a.shape[0], dtype=bool)

    def one_way(x, y):
        others = [ops.where(itself, -1e9, ops.matmul(x, ops.transpose(z)) * (1 / tau)) for z in (x, y)]
        return ops.mean(ops.logsumexp(ops.concatenate(others, axis=1), axis=1) - ops.sum(x * y, axis=1) / tau)

    return one_way(a, b) + one_way(b, a)


def _mean_kernel(x, t):
    """Mean over pairs i < j of exp(-t |x_i - x_j|^2)."""
    n = x.shape[0]
    pairs = np.triu(np.ones((n, n), "float32"), 1)
    return ops.sum(ops.exp(-t * _squared_distances(x, x)) * pairs) / (n * (n - 1) / 2)


def kcl(embeddings, t, gamma):
    """Kernel contrastive loss with a Gaussian kernel: gamma (E(a) + E(b)) - 2 mean_i exp(-t |a_i -
    b_i|^2)."""
    a, b = _two_views(embeddings)
    alignment = ops.mean(ops.exp(-t * ops.sum(ops.square(a - b), axis=1)))
    return gamma * (_mean_kernel(a, t) + _mean_kernel(b, t)) - 2 * alignment


def alignment_uniformity(embeddings, alpha, t, alignment_weight=1.0, uniformity_weight=1.0):
    """mean_i |a_i - b_i|^alpha + (U(a) + U(b)) / 2 with U(x) = log of the mean over i != j of exp(-t |x_i -
    x_j|^2)."""
    a, b = _two_views(embeddings)
    # a floor keeps the gradient of the power finite where the views coincide
    squared = ops.maximum(ops.sum(ops.square(a - b), axis=1), 1e-12)
    alignment = ops.mean(squared ** (alpha / 2))
    uniformity = (ops.log(_mean_kernel(a, t)) + ops.log(_mean_kernel(b, t))) / 2
    return alignment_weight * alignment + uniformity_weight * uniformity
