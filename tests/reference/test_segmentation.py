"""Segment counts against the reference table."""

import json
from pathlib import Path

import pytest
from nmfp.segments import count_segments

CASES = json.loads((Path(__file__).parent / "segmentation.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['samples']}-{c['discard_remainder']}")
def test_counts_agree(case):
    counted = count_segments(case["samples"], case["length"], case["hop"], case["discard_remainder"])
    assert counted == (case["n_segments"], case["remainder"])
