"""Schedules, optimisers, precision and devices of a configuration."""

import keras
import pytest
from nmfp.errors import NmfpError
from nmfp.training import optimizers
from training_world import model_config


def rates(total, *steps, **settings):
    section = model_config(optimizer={"learning_rate": 1.0, **settings})["optimizer"]
    return [optimizers.learning_rate_at(section, total, step) for step in steps]


def test_cosine_ends_at_its_fraction():
    assert rates(100, 0, 50, 100) == pytest.approx([1, 0.5, 1e-6], abs=1e-6)
    assert rates(100, 100, final_fraction=0.25) == pytest.approx([0.25])


def test_warmup_rises_then_falls_over_the_rest():
    assert rates(110, 0, 5, 10, 60, 110, warmup=10 / 110) == pytest.approx([0, 0.5, 1, 0.5, 1e-6], abs=1e-6)


def test_constant_stays():
    assert rates(100, 0, 99, schedule="constant") == [1, 1]


def test_restarts_begin_at_the_rate_again():
    values = rates(70, 0, 9, 10, 29, 30, schedule="cosine_restarts", first_restart=1 / 7)
    assert values[0] == values[2] == values[4] == 1 and values[1] < 0.1 and values[3] < 0.05


def test_optimisers_and_loss_scaling():
    section = model_config()["optimizer"]
    assert type(optimizers.make_optimizer(section, 10, "float32")) is keras.optimizers.Adam
    assert type(optimizers.make_optimizer(section | {"name": "lamb"}, 10, "float32")) is keras.optimizers.Lamb
    scaled = optimizers.make_optimizer(section, 10, "mixed_float16")
    assert type(scaled) is keras.optimizers.LossScaleOptimizer


@pytest.mark.parametrize(
    ("devices", "capability", "policy"),
    [([], None, "float32"), (["gpu"], (9, 0), "mixed_bfloat16"), (["gpu"], (7, 5), "mixed_float16")],
)
def test_precision_follows_the_device(monkeypatch, devices, capability, policy):
    tf = pytest.importorskip("tensorflow")
    monkeypatch.setattr(optimizers.keras.backend, "backend", lambda: "tensorflow")
    monkeypatch.setattr(optimizers, "gpus", lambda: devices)
    details = {"compute_capability": capability}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)
    assert optimizers.make_precision("auto") == policy
    assert optimizers.make_precision("float32") == "float32"


def test_several_gpus_need_jax_and_exist(monkeypatch):
    monkeypatch.setattr(optimizers, "gpus", lambda: ["gpu0"])
    optimizers.distribute("auto")
    optimizers.distribute(1)
    monkeypatch.setattr(optimizers.keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(NmfpError, match="devices is 2, but several GPUs need KERAS_BACKEND=jax"):
        optimizers.distribute(2)
    monkeypatch.setattr(optimizers.keras.backend, "backend", lambda: "jax")
    with pytest.raises(NmfpError, match="devices is 2, but this machine shows 1 GPU"):
        optimizers.distribute(2)
