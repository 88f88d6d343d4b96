"""Training runs: resumed equals uninterrupted, loss falls, NaN stops, outputs are complete and repeatable."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import train
from nmfp.errors import NmfpError
from nmfp.model.fingerprinter import load_fingerprinter
from nmfp.training import callbacks, data, run
from training_world import model_config, train_rule, write_world

TESTS = Path(__file__).parent
SCRIPTS = TESTS.parents[1] / "workflow/scripts"
OUTPUTS = ("config.yaml", "model.json", "fingerprinter.weights.h5", "fingerprinter.xml", "fingerprinter.bin")
EPOCHS = 4


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def model():
    return model_config(epochs=EPOCHS, validation={"every_epochs": 2})


@pytest.fixture(scope="module")
def trained(world, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    train.main(train_rule(world, out, model))
    return out


def train_again(world, model, out, seed=7):
    """Train without the OpenVINO graph; return the weights."""
    rule = train_rule(world, out, model, seed)
    key = run.run_key(model, "data", seed, 1)
    graph = run.train(
        model,
        data.open_chunks(rule.input.audio, rule.input.chunks),
        data.open_chunks(rule.input.validation, rule.input.validation_chunks),
        rule.params.degradations,
        out / "work" / key,
        out,
        seed,
    )
    return graph.get_weights()


def assert_equal_weights(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_outputs_are_complete(trained, model):
    for name in OUTPUTS:
        assert (trained / name).stat().st_size > 0
    history = pd.read_csv(trained / "history.csv")
    assert history["epoch"].tolist() == list(range(1, EPOCHS + 1))
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert history["learning_rate"].iloc[-1] < 1e-8 < history["learning_rate"].iloc[0]
    assert history["validation_near"].notna().tolist() == [False, True, False, True]
    assert history["validation_track"].dropna().between(0, 1).all()
    info = json.loads((trained / "model.json").read_text())
    assert info["embedding_size"] == 8 and info["network"] == model["network"]
    work = next((trained / "work").iterdir())
    assert {"checkpoint.npz", "best.weights.h5", "history.csv", "tensorboard"} <= {
        p.name for p in work.iterdir()
    }


def test_fingerprinter_loads_and_insists_on_its_weights(trained, tmp_path):
    fingerprinter = load_fingerprinter(trained)
    segments = np.random.default_rng(0).integers(-9000, 9000, (3, 8000)).astype(np.int16)
    fingerprints = fingerprinter(segments)
    assert fingerprints.shape == (3, 8) and fingerprints.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(fingerprints, axis=1), 1, atol=1e-5)
    for name in OUTPUTS[:3]:
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    info = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(info | {"digest": "0" * 64}))
    with pytest.raises(NmfpError, match="does not hold the weights"):
        load_fingerprinter(tmp_path)
    (tmp_path / "fingerprinter.weights.h5").write_bytes(b"broken")
    with pytest.raises(NmfpError, match="is not the file that"):
        load_fingerprinter(tmp_path)


def test_stopped_between_epochs_and_resumed(world, model, trained, tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    save = callbacks.checkpoint.save

    def save_then_stop(path, step, epoch, history):
        save(path, step, epoch, history)
        if epoch == 3:
            raise Stop

    monkeypatch.setattr(callbacks.checkpoint, "save", save_then_stop)
    with pytest.raises(Stop):
        train_again(world, model, tmp_path)
    monkeypatch.undo()
    resumed = train_again(world, model, tmp_path)
    assert_equal_weights(resumed, load_fingerprinter(trained).graph.get_weights())
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [1, 2, 3, 4]


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch(world, tmp_path):
    """kill -9 while an epoch runs, then again from the start: the same bytes as never interrupted.

    All in processes of their own: one in which other tests have computed rounds otherwise.
    """
    code = (
        "import sys; from pathlib import Path; import train; from training_world import train_rule, "
        "model_config;"
        f"train.main(train_rule(Path(sys.argv[1]), Path(sys.argv[2]), "
        f"model_config(epochs={EPOCHS}, validation={{'every_epochs': 2}})))"
    )
    environment = os.environ | {"PYTHONPATH": f"{SCRIPTS}{os.pathsep}{TESTS}"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    command = [sys.executable, "-c", code, str(world)]
    process = subprocess.Popen([*command, str(killed)], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(killed.glob("work/*/checkpoint.npz")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "model.json").exists()
    for folder in (killed, whole):
        subprocess.run([*command, str(folder)], env=environment, check=True, stderr=subprocess.DEVNULL)
    for name in OUTPUTS[:3]:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_deterministic_training_gives_the_same_bytes_twice(world, tmp_path):
    """In processes of their own, since determinism is TensorFlow's for the rest of a process."""
    code = (
        "import sys; from pathlib import Path; import train; from training_world import train_rule, model_config;"
        "model = model_config(epochs=1, validation={'every_epochs': 1}, deterministic=True);"
        "train.main(train_rule(Path(sys.argv[1]), Path(sys.argv[2]), model))"
    )
    environment = os.environ | {"PYTHONPATH": f"{SCRIPTS}{os.pathsep}{TESTS}"}
    for name in ("one", "two"):
        command = [sys.executable, "-c", code, str(world), str(tmp_path / name)]
        (tmp_path / name).mkdir()
        subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
    for name in OUTPUTS[:3]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_audio_on_the_device_trains_the_same(world, model, trained, tmp_path):
    weights = train_again(world, model | {"audio_on_device": True}, tmp_path)
    for a, b in zip(weights, load_fingerprinter(trained).graph.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_epochs_raised_later_go_on(world, model, tmp_path):
    train_again(world, model | {"epochs": 2}, tmp_path)
    train_again(world, model | {"epochs": 5}, tmp_path)
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    # the cosine of the new total: the rate goes up again, then down to its end
    assert history["learning_rate"].iloc[1] < 1e-8 < history["learning_rate"].iloc[2]
    assert history["learning_rate"].iloc[-1] < 1e-8


def test_a_loss_that_is_not_finite_stops_the_run(world, model, tmp_path, monkeypatch):
    from nmfp.training.batches import Batches

    gather = Batches.gather

    def poisoned(self, drawn):
        batch = gather(self, drawn)
        count.append(1)
        if len(count) == 15:
            batch["keep"] = batch["keep"] * np.nan
        return batch

    count = []
    monkeypatch.setattr(Batches, "gather", poisoned)
    with pytest.raises(
        NmfpError, match=r"not finite at epoch 2, step 4; the weights before it are in .*checkpoint"
    ):
        train_again(world, model, tmp_path)
    epoch, history = None, None
    with np.load(next(tmp_path.glob("work/*/checkpoint.npz"))) as stored:
        epoch, history = (json.loads(stored["meta"].tobytes())[k] for k in ("epoch", "history"))
        assert all(np.isfinite(stored[name]).all() for name in stored.files if name.startswith("network"))
    assert epoch == 1 and len(history) == 1
    assert not (tmp_path / "model.json").exists()


def test_no_step_waits_for_the_number_of_its_loss(world, tmp_path, monkeypatch):
    kinds = []
    step_done = callbacks.Progress.on_train_batch_end

    def note(self, batch, logs=None):
        kinds.append(type(logs["loss"]))
        step_done(self, batch, logs)

    monkeypatch.setattr(callbacks.Progress, "on_train_batch_end", note)
    train_again(world, model_config(epochs=1, validation={"every_epochs": 0}), tmp_path)
    assert len(kinds) > 1 and not set(kinds) & {float, np.float32, np.float64}
    assert np.isfinite(pd.read_csv(tmp_path / "history.csv")["loss"]).all()


def test_more_anchors_than_chunks_fails_before_training(world, tmp_path):
    with pytest.raises(SystemExit):
        train.main(train_rule(world, tmp_path, model_config(batch={"anchors": 9})))
    assert "only 8 training chunks" in (tmp_path / "train.log").read_text()


def test_damaged_checkpoint_is_named(world, model, trained, tmp_path):
    whole = next(trained.glob("work/*/checkpoint.npz")).read_bytes()
    folder = tmp_path / "work" / run.run_key(model, "data", 7, 1)
    folder.mkdir(parents=True)
    (folder / "checkpoint.npz").write_bytes(whole[:1000])
    with pytest.raises(NmfpError, match=r"checkpoint\.npz is no usable checkpoint"):
        train_again(world, model, tmp_path)


def test_key_changes_with_everything_that_matters(model):
    key = run.run_key(model, "data", 1, 1)
    assert key == run.run_key(model | {"epochs": 9, "validation": {}}, "data", 1, 1)
    others = [
        (model, "other", 1, 1),
        (model, "data", 2, 1),
        (model, "data", 1, 2),
        (model | {"loss": {}}, "data", 1, 1),
    ]
    assert len({key, *(run.run_key(*other) for other in others)}) == 5


@pytest.mark.parametrize(
    ("loss", "optimizer"),
    [
        ({"name": "triplet", "positives": "random"}, {"name": "lamb", "schedule": "constant"}),
        ({"name": "kcl"}, {"schedule": "cosine_restarts"}),
    ],
)
def test_other_losses_and_optimisers_train(world, loss, optimizer, tmp_path):
    model = model_config(epochs=1, loss=loss, optimizer=optimizer, validation={"every_epochs": 0})
    before = run.build_step(model, {}, 7).network.get_weights()
    after = train_again(world, model, tmp_path)
    assert all(np.isfinite(w).all() for w in after)
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains(world, precision, tmp_path):
    model = model_config(epochs=1, precision=precision, validation={"every_epochs": 1})
    assert all(np.isfinite(w).all() for w in train_again(world, model, tmp_path))
    assert load_fingerprinter(tmp_path).digest
