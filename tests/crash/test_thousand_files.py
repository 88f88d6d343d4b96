"""One corrupt mp3 among a thousand is a row with a reason; the others are converted."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from nmfp.datasets.conversion import convert_batch
from nmfp.datasets.journal import Journal
from nmfp.datasets.tracks import check_budget

pytestmark = pytest.mark.crash


def test_a_corrupt_mp3_among_a_thousand(tmp_path):
    good = tmp_path / "good.mp3"
    soundfile.write(good, 0.1 * np.random.default_rng(0).standard_normal(16_000 * 2), 16_000)
    (tmp_path / "corrupt.mp3").write_bytes(np.random.default_rng(1).bytes(5_000))
    paths = [str(good)] * 1000
    paths[700] = str(tmp_path / "corrupt.mp3")
    files = pd.DataFrame(
        {"id": [f"full/{i:06d}.mp3" for i in range(1000)], "path": paths, "role": "database"}
    )
    journal = Journal(tmp_path / "done.jsonl", "key")
    tracks = convert_batch(files, tmp_path / "audio", journal, False, 2, "convert")
    assert tracks["status"].value_counts().to_dict() == {"ok": 999, "failed": 1}
    failed = tracks[tracks["status"] == "failed"].iloc[0]
    assert failed["id"] == "full/000700.mp3" and failed["reason"] and failed["path"] == ""
    check_budget(tracks, 0.01, "music", tmp_path / "failures.csv")
    assert len(list((tmp_path / "audio").rglob("*.wav"))) == 999
