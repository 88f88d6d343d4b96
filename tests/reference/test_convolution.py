"""The offline convolution against the reference arrays."""

from pathlib import Path

import numpy as np
import pytest
from nmfp.degradation.offline import apply_response, degrade

REFERENCE = np.load(Path(__file__).parent / "convolution.npz")


@pytest.mark.parametrize("k", range(3))
def test_responses_agree(k):
    signal = REFERENCE["signal"][k].astype(np.float64)
    response = REFERENCE["impulse_response"][k].astype(np.float64)
    np.testing.assert_allclose(apply_response(signal, response), REFERENCE["degraded"][k], atol=2e-6)
    np.testing.assert_allclose(degrade(signal, room=response), REFERENCE["degraded"][k], atol=2e-6)
