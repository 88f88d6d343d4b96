"""Optimiser and learning-rate schedule of a model configuration, precision and devices, all Keras's own."""

import os

import keras

from nmfp.errors import NmfpError


def make_schedule(
    settings: dict, total_steps: int
) -> keras.optimizers.schedules.LearningRateSchedule | float:
    """Learning rate by step: cosine (down to `final_fraction` of it after all steps), cosine_restarts or constant."""
    rate, name = settings["learning_rate"], settings["schedule"]
    if name == "constant":
        return rate
    if name == "cosine":
        warmup = round(total_steps * settings["warmup"])
        start = {"warmup_target": rate, "warmup_steps": warmup} if warmup else {}
        return keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate, total_steps - warmup, alpha=settings["final_fraction"], **start
        )
    first = max(1, round(total_steps * settings["first_restart"]))
    return keras.optimizers.schedules.CosineDecayRestarts(rate, first, alpha=settings["final_fraction"])


def make_optimizer(settings: dict, total_steps: int, precision: str) -> keras.optimizers.Optimizer:
    """Adam or LAMB; with loss scaling where the precision is float16."""
    kinds = {"adam": keras.optimizers.Adam, "lamb": keras.optimizers.Lamb}
    optimizer = kinds[settings["name"]](make_schedule(settings, total_steps))
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def learning_rate_at(settings: dict, total_steps: int, step: int) -> float:
    """The schedule's value, for the history."""
    schedule = make_schedule(settings, total_steps)
    return float(schedule(step)) if callable(schedule) else schedule


def gpus() -> list:
    """The accelerators that the Keras backend sees."""
    if keras.backend.backend() == "jax":
        import jax

        return [device for device in jax.devices() if device.platform != "cpu"]
    import tensorflow as tf

    return tf.config.list_physical_devices("GPU")


def make_precision(asked: str) -> str:
    """Keras dtype policy of the network: bfloat16 where the device computes it, else float16, float32 on a CPU."""
    if asked != "auto":
        return {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}[asked]
    devices = gpus()
    if not devices:
        return "float32"
    if keras.backend.backend() == "jax":
        major = int(str(getattr(devices[0], "compute_capability", "8")).split(".")[0])
    else:
        import tensorflow as tf

        major = tf.config.experimental.get_device_details(devices[0]).get("compute_capability", (8, 0))[0]
    return "mixed_bfloat16" if major >= 8 else "mixed_float16"


def repeat_exactly() -> None:
    """Forbid operations that differ from run to run, for the rest of this process; call it before anything computes."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif keras.backend.backend() == "jax":
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()


def distribute(asked: int | str) -> None:
    """Spread every batch over several GPUs by Keras's data parallelism; the loss still compares the whole batch.

    Raises:
        NmfpError: more GPUs than there are, or several on a backend whose data parallelism splits the loss.
    """
    found = gpus()
    count = (len(found) if keras.backend.backend() == "jax" else 1) if asked == "auto" else asked
    if count <= 1:
        return
    if keras.backend.backend() != "jax":
        raise NmfpError(
            f"devices is {count}, but several GPUs need KERAS_BACKEND=jax: on "
            "TensorFlow each would compare its own part of the batch only."
        )
    if count > len(found):
        raise NmfpError(
            f"devices is {count}, but this machine shows {len(found)} GPU(s); lower it or set it to auto."
        )
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:count])
    )
