"""A second set of degradations is applied to the same places of the same tracks."""

import numpy as np
from nmfp.datasets.queries import PackedRecordings, Settings, draw_query

SETTINGS = Settings(
    27,
    1,
    240_000,
    2_000,
    {"snr_db": [0, 10], "snr_reference": "excerpt", "noise": True, "room": True, "microphone": True},
)


def recordings(prefix, lengths):
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).tolist()
    ids = [f"{prefix}{i}" for i in range(len(lengths))]
    return PackedRecordings(np.zeros(sum(lengths), np.int16), ids, starts, lengths)


def test_places_do_not_depend_on_the_degradations():
    paper = {name: recordings(name, [32_000] * 5) for name in ("noise", "room", "microphone")}
    nafp = {name: recordings(f"nafp {name}", [8_000, 500_000, 16_000]) for name in paper}
    ids = [f"full/000/{i:06d}.mp3" for i in range(50)]
    samples = [300_000 + 7_919 * i for i in range(50)]
    tracks = list(zip(ids, samples, strict=True))
    first, second = (
        [draw_query(name, 1, n, SETTINGS, kind)[0] for name, n in tracks] for kind in (paper, nafp)
    )
    assert first == second
    assert len({cut.start_sample for cut in first}) > 40
