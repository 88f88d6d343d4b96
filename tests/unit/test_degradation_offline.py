import numpy as np
import pytest
from nmfp.degradation import offline


def rms(x):
    return np.sqrt(np.mean(np.square(x)))


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("snr_db", [0.0, 3.0, 10.0])
def test_snr_holds_over_what_is_kept(rng, snr_db):
    music = rng.normal(size=24000) * np.repeat([0.01, 0.3, 1.0], 8000)  # much quieter before what is kept
    noise = rng.normal(size=24000) * np.repeat([2.0, 0.1, 0.2], 8000)
    kept = slice(8000, None)
    mixed = offline.add_noise(music, noise, snr_db, kept)
    assert np.max(np.abs(mixed)) == pytest.approx(1)
    # the mixture is a * music + b * noise: recover both gains
    (a, b), *_ = np.linalg.lstsq(np.stack([music, noise], axis=1), mixed, rcond=None)
    measured = 20 * np.log10(a * rms(music[kept]) / (b * rms(noise[kept])))
    assert measured == pytest.approx(snr_db, abs=1e-6)


def test_silence_stays_silence(rng):
    noise = rng.normal(size=800)
    silent = np.zeros(800)
    np.testing.assert_allclose(offline.add_noise(silent, noise, 5.0), noise / np.abs(noise).max(), atol=1e-12)
    np.testing.assert_allclose(offline.add_noise(noise, silent, 5.0), noise / np.abs(noise).max(), atol=1e-12)
    assert not offline.degrade(silent, silent, 5.0, np.ones(3), np.ones(2)).any()
    assert not offline.apply_response(noise, np.zeros(5)).any()


def test_response_is_a_linear_convolution_cut_to_the_input(rng):
    signal, response = rng.normal(size=500), rng.normal(size=120)
    expected = [sum(response[j] * signal[i - j] for j in range(min(i + 1, 120))) for i in range(500)]
    np.testing.assert_allclose(
        offline.apply_response(signal, response), expected / np.abs(expected).max(), atol=1e-9
    )


def test_a_response_longer_than_the_signal(rng):
    signal, response = rng.normal(size=50), rng.normal(size=300)
    assert offline.apply_response(signal, response).shape == (50,)


def test_a_gain_has_no_effect(rng):
    signal, response = rng.normal(size=500), rng.normal(size=50)
    np.testing.assert_allclose(
        offline.apply_response(signal, 0.1 * response), offline.apply_response(signal, response), atol=1e-9
    )


def test_everything_off_leaves_the_music(rng):
    music = rng.normal(size=500)
    np.testing.assert_allclose(offline.degrade(music), music / np.abs(music).max())


@pytest.mark.parametrize("samples", [3, 10, 47])
def test_the_level_of_looped_noise_needs_no_loop(rng, samples):
    recording = rng.normal(size=10)
    for start, before in ((0, 0), (7, 23), (3, 5)):
        looped = offline.take_noise(recording, start, before, samples)
        assert offline.looped_rms(recording, start, before, samples) == pytest.approx(rms(looped))


def test_noise_loops_and_starts_where_it_should():
    recording = np.arange(10)
    # its sample 4 comes after three others
    assert offline.take_noise(recording, 4, 3, 6).tolist() == [1, 2, 3, 4, 5, 6]
    assert offline.take_noise(recording, 8, 0, 14).tolist() == [8, 9, *range(10), 0, 1]
    assert offline.take_noise(recording, 1, 3, 4).tolist() == [8, 9, 0, 1]


def test_a_window_with_enough_past_equals_the_whole_track(rng):
    music, noise = rng.normal(size=40000), rng.normal(size=40000)
    room, microphone = rng.normal(size=3000), rng.normal(size=700)
    kept = slice(20000, 30000)
    whole = offline.degrade(music, noise, 4.0, room, microphone, kept)
    start = kept.start - offline.reverberation_samples(room, microphone)
    window = slice(start, kept.stop)
    inside = slice(kept.start - start, None)
    part = offline.degrade(music[window], noise[window], 4.0, room, microphone, inside)
    np.testing.assert_allclose(part, whole, atol=1e-9)
    # one sample of past less, and it is another sound: the bound is tight
    window = slice(start + 1, kept.stop)
    inside = slice(inside.start - 1, None)
    short = offline.degrade(music[window], noise[window], 4.0, room, microphone, inside)
    assert np.max(np.abs(short - whole)) > 1e-6


def test_switched_off_responses_need_no_past():
    assert offline.reverberation_samples(None, None) == 0
    assert offline.reverberation_samples(np.ones(5), None) == 4
