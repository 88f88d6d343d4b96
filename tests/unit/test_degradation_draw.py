import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nmfp.degradation import draw
from nmfp.files import generator

SETTINGS = {"snr_db": [0, 10], "noise": True, "room": True, "microphone": True}


@given(
    length=st.integers(1, 5000),
    extra=st.integers(0, 9000),
    shift=st.integers(0, 3000),
    seed=st.integers(0, 10**6),
)
def test_both_cuts_lie_inside_and_near_each_other(length, extra, shift, seed):
    cut = draw.draw_cut(length + extra, length, shift, seed, "query", "a", 1)
    for start in cut:
        assert 0 <= start <= extra
    assert abs(cut.start_sample - cut.start_sample_shifted) <= shift


def test_cuts_start_anywhere():
    cuts = [draw.draw_cut(100_000, 30_000, 2000, 27, str(k)) for k in range(400)]
    starts = np.array([cut.start_sample for cut in cuts])
    shifts = np.array([cut.start_sample_shifted - cut.start_sample for cut in cuts])
    assert starts.min() < 2000 and starts.max() > 68_000
    assert shifts.min() < -1800 and shifts.max() > 1800
    assert len(set(starts % 4000)) > 300  # on no grid


def test_a_cut_longer_than_its_track_is_refused():
    with pytest.raises(ValueError, match="too short"):
        draw.draw_cut(99, 100, 10, 1)


def test_a_draw_depends_on_its_key_alone():
    lengths = [1000, 90_000, 50_000]
    first = draw.draw_degradation(SETTINGS, lengths, 5, 4, 30_000, 27, "query", "a/b.mp3", 1)
    draw.draw_degradation(SETTINGS, lengths, 5, 4, 30_000, 27, "query", "other", 1)
    assert draw.draw_degradation(SETTINGS, lengths, 5, 4, 30_000, 27, "query", "a/b.mp3", 1) == first
    others = [
        draw.draw_degradation(SETTINGS, lengths, 5, 4, 30_000, *key)
        for key in ((28, "query", "a/b.mp3", 1), (27, "query", "a/b.mp3", 2), (27, "query", "c.mp3", 1))
    ]
    assert len({first.snr_db, *(other.snr_db for other in others)}) == 4


def test_switching_one_off_leaves_the_others():
    key = (27, "query", "a", 1)
    full = draw.draw_degradation(SETTINGS, [1000], 5, 4, 500, *key)
    no_room = draw.draw_degradation({**SETTINGS, "room": False}, [1000], 5, 4, 500, *key)
    assert no_room == full._replace(room=None, room_gain=None)
    no_noise = draw.draw_degradation({**SETTINGS, "noise": False}, [1000], 5, 4, 500, *key)
    assert no_noise == full._replace(noise=None, noise_start_sample=None, snr_db=None)


def test_ranges_are_filled():
    draws = [draw.draw_degradation(SETTINGS, [4000, 300], 3, 2, 1000, 1, k) for k in range(500)]
    snr = np.array([d.snr_db for d in draws])
    assert 0 <= snr.min() < 0.2 and 9.8 < snr.max() <= 10
    gain = np.array([d.room_gain for d in draws])
    assert 0.1 <= gain.min() < 0.11 and 0.95 < gain.max() <= 1
    assert 0.27 < np.median(gain) < 0.37  # log-uniform: the median is sqrt(0.1)
    assert {d.noise for d in draws} == {0, 1} and {d.room for d in draws} == {0, 1, 2}


def test_a_long_noise_lasts_and_a_short_one_starts_anywhere():
    rng = generator(1)
    starts = [draw.draw_noise_start(rng, 4000, 1000) for _ in range(500)]
    assert min(starts) >= 0 and 2900 < max(starts) <= 3000
    looped = [draw.draw_noise_start(rng, 300, 1000) for _ in range(500)]
    assert min(looped) >= 0 and 290 < max(looped) < 300
