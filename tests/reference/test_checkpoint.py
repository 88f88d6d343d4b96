"""Published weights: read by name, refused where one is missing or misshapen."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from nmfp.errors import NmfpError
from nmfp.model import published
from nmfp.model.fingerprinter import load_fingerprinter

HERE = Path(__file__).parent
NETWORK = np.load(HERE / "network.npz")


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    return folder, published.import_checkpoint(HERE / "checkpoint", folder)


def test_imported_network_agrees(imported):
    folder, info = imported
    fingerprinter = load_fingerprinter(folder)
    np.testing.assert_allclose(fingerprinter.network(NETWORK["mel"]), NETWORK["embeddings"], atol=1e-4)
    assert info["network"]["channels"] == NETWORK["hidden_channels"].tolist()
    assert fingerprinter.embedding_size == int(NETWORK["embedding_size"]) == info["embedding_size"]


def test_importing_twice_gives_the_same_bytes(imported, tmp_path):
    folder, _ = imported
    published.import_checkpoint(HERE / "checkpoint", tmp_path)
    for name in ("model.json", "config.yaml", "fingerprinter.weights.h5"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model/front_conv/layer_with_weights-3/BN_3x1/gamma", None),
        ("model/div_enc/split_fc_layers/7/layer_with_weights-0/kernel", None),
        ("model/div_enc/split_fc_layers/7/layer_with_weights-0/kernel", lambda a: a[:1]),
        ("model/front_conv/layer_with_weights-0/conv2d_1x3/kernel", lambda a: a[..., :1]),
        ("model/front_conv/layer_with_weights-2/BN_1x3/beta", lambda a: a.reshape(-1)),
    ],
)
def test_incomplete_checkpoints_are_refused_by_name(monkeypatch, tmp_path, name, change):
    read = published._read_arrays

    def damaged(folder):
        arrays = read(folder)
        array = arrays.pop(name)
        return arrays if change is None else arrays | {name: change(array)}

    monkeypatch.setattr(published, "_read_arrays", damaged)
    with pytest.raises(NmfpError, match=name):
        published.import_checkpoint(HERE / "checkpoint", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("section", "key", "value", "sentence"),
    [
        ("AUDIO", "FS", 16000, "MODEL.AUDIO.FS is 16000"),
        ("INPUT", "STFT_HOP", 128, "STFT_HOP is 128"),
        ("ARCHITECTURE", "BN", "group_norm", "BN is group_norm"),
        ("ARCHITECTURE", "EMB_SZ", "many", "is not the configuration"),
    ],
)
def test_other_configurations_are_refused(tmp_path, section, key, value, sentence):
    folder = shutil.copytree(HERE / "checkpoint", tmp_path / "checkpoint")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["MODEL"][section][key] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(NmfpError, match=sentence):
        published.import_checkpoint(folder, tmp_path / "out")


def test_no_checkpoint_no_config(tmp_path):
    with pytest.raises(NmfpError, match="holds no TensorFlow checkpoint"):
        published.import_checkpoint(tmp_path, tmp_path / "out")
    folder = shutil.copytree(HERE / "checkpoint", tmp_path / "checkpoint")
    (folder / "config.yaml").unlink()
    with pytest.raises(NmfpError, match="config.yaml does not exist"):
        published.import_checkpoint(folder, tmp_path / "out")
    (folder / "ckpt-1.data-00000-of-00001").write_bytes(b"")
    shutil.copy(HERE / "checkpoint/config.yaml", folder)
    with pytest.raises(NmfpError, match="cannot be read as a TensorFlow checkpoint"):
        published.import_checkpoint(folder, tmp_path / "out")


@pytest.fixture
def two(tmp_path):
    """A folder with the checkpoints 1 and 12, the file `checkpoint` naming the first."""
    folder = shutil.copytree(HERE / "checkpoint", tmp_path / "two")
    for suffix in ("index", "data-00000-of-00001"):
        shutil.copy(folder / f"ckpt-1.{suffix}", folder / f"ckpt-12.{suffix}")
    return folder


def test_a_checkpoint_is_chosen_by_its_number(two):
    prefix = published.checkpoint_prefix
    assert prefix(two) == str(two / "ckpt-1") and prefix(two, 12) == str(two / "ckpt-12")
    with pytest.raises(NmfpError, match=r"holds no checkpoint of number 100; it holds 1, 12\.$"):
        prefix(two, 100)
    (two / "checkpoint").unlink()
    assert prefix(two) == str(two / "ckpt-12"), "without TensorFlow's own file the highest is the newest"
    assert published.split_checkpoint(two / "ckpt-1.index") == (two, 1)
    assert published.split_checkpoint(two, 3) == (two, 3)
    with pytest.raises(NmfpError, match="is checkpoint 1, but number 2 is asked for"):
        published.split_checkpoint(two / "ckpt-1", 2)


def test_weights_of_any_origin_become_a_model_folder(imported, two, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    assert published.import_weights(two.parent, first, 12) == str(two / "ckpt-12")
    assert (first / "fingerprinter.xml").is_file()
    assert published.import_weights(first, second) == str(first)
    for name in ("model.json", "fingerprinter.weights.h5", "fingerprinter.xml"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert load_fingerprinter(first).info["digest"] == imported[1]["digest"]
    with pytest.raises(NmfpError, match="holds one network: leave the checkpoint's number out"):
        published.import_weights(first, second, 12)
