from hypothesis import given
from hypothesis import strategies as st
from nmfp.segments import count_segments, seconds_to_samples, true_row


@given(st.integers(0, 10**6), st.integers(1, 10**4), st.integers(1, 10**4))
def test_last_segment_fits_and_one_more_would_not(samples, length, hop):
    n, remainder = count_segments(samples, length, hop)
    if n:
        assert (n - 1) * hop + length + remainder == samples
        assert n * hop + length > samples
    else:
        assert samples < length and remainder == samples


@given(st.integers(1, 10**6), st.integers(1, 10**4), st.integers(1, 10**4))
def test_kept_remainder_is_one_more_segment_unless_nothing_is_left(samples, length, hop):
    dropped = count_segments(samples, length, hop)
    kept = count_segments(samples, length, hop, discard_remainder=False)
    assert kept.n_segments == dropped.n_segments + bool(dropped.remainder)


@given(st.integers(0, 10**9))
def test_true_row_is_the_nearest(start):
    row = true_row(start, 4000)
    assert abs(row * 4000 - start) <= 2000


def test_half_a_hop_goes_up():
    assert [true_row(s, 4000) for s in (1999, 2000, 5999, 6000)] == [0, 1, 1, 2]


def test_seconds_become_the_nearest_sample():
    assert seconds_to_samples(0.25) == 2000
    assert seconds_to_samples(29.99999) == 240000
