"""Every loss against the values of the specification."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from nmfp.training.losses import make_loss

HERE = Path(__file__).parent
EMBEDDINGS = np.load(HERE / "losses.npz")
VALUES = json.loads((HERE / "losses.json").read_text())
CASES = [(case, key) for case, values in VALUES.items() for key in values]
NAMES = {"w_alignment": 0, "w_uniformity": 1}


def settings_of(key: str) -> dict:
    """`triplet margin=0.5 squared=True` -> the loss section of a configuration."""
    settings = {"name": key.split()[0], "weights": [1.0, 1.0]}
    for name, value in re.findall(r"(\w+)=(\S+)", key):
        if name in NAMES:
            settings["weights"][NAMES[name]] = float(value)
        else:
            settings[name] = (
                value == "True" if name == "squared" else value if name[-1] == "s" else float(value)
            )
    return settings


@pytest.mark.parametrize(("case", "key"), CASES)
def test_value(case, key):
    assert float(make_loss(settings_of(key))(EMBEDDINGS[case])) == pytest.approx(VALUES[case][key], abs=1e-4)


@pytest.mark.parametrize("key", ["dcl tau=0.05", "kcl t=2 gamma=16", "alignment_uniformity alpha=2 t=2"])
def test_two_view_losses_refuse_more(key):
    with pytest.raises(ValueError, match="two views, not 4"):
        make_loss(settings_of(key))(EMBEDDINGS["three_positives"])
