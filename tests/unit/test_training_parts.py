"""The input side of a batch, cut into parts that run side by side, is the input side of the batch."""

import numpy as np
import pytest
from nmfp.training import step


@pytest.mark.parametrize("anchors", [1, 2, 5, 23, 24, 47, 48, 96, 97, 100, 768, 1536])
def test_parts_are_equal_and_worth_their_while(anchors):
    parts = step.parts_of(anchors)
    assert anchors % parts == 0
    assert parts == 1 or anchors // parts >= 24


def test_parts_are_put_back_in_order():
    def rows(batch, anchors):
        pairs = batch["anchors"][:, None] * batch["keep"] + batch["music"].reshape((anchors, 2))
        return pairs.reshape((2 * anchors,))

    rng = np.random.default_rng(5)
    batch = {
        "anchors": rng.normal(size=96).astype("float32"),
        "music": rng.normal(size=192).astype("float32"),
        "keep": np.float32([3]),
        "fill": np.float32([0]),
    }

    def with_tensors(batch, anchors):
        from keras import ops

        pairs = ops.expand_dims(batch["anchors"], 1) * batch["keep"] + ops.reshape(
            batch["music"], (anchors, 2)
        )
        return ops.reshape(pairs, (2 * anchors,))

    assert step.parts_of(96) > 1
    cut = np.asarray(step._compiled(with_tensors, 96)(batch))
    np.testing.assert_allclose(cut, rows(batch, 96), rtol=1e-6, atol=1e-6)
