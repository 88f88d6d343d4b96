"""Model configurations: the shipped ones are the paper's, and senseless ones are refused by name."""

import jsonschema
import pytest
import yaml
from nmfp import settings
from nmfp.config import CONFIG, SCHEMAS, ConfigError, load_models
from nmfp.errors import NmfpError
from training_world import model_config

SHIPPED = sorted(path.stem for path in (CONFIG / "models").glob("*.yaml"))
SCHEMA = yaml.safe_load((SCHEMAS / "model.schema.yaml").read_text())


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_are_valid(name):
    model = model_config(name)
    jsonschema.Draft202012Validator(SCHEMA).validate(model)
    settings.check(model, n_chunks=10_000)


@pytest.mark.parametrize(
    ("name", "loss", "anchors", "past", "f_min"),
    [
        ("nmfp-triplet", "triplet", 768, 1.0, 160),
        ("nmfp-multiposcon", "ntxent", 1536, 0.0, 160),
        ("nmfp-kcl", "kcl", 768, 1.0, 160),
        ("nmfp-au", "alignment_uniformity", 768, 1.0, 160),
        ("nmfp-dcl", "dcl", 768, 1.0, 160),
        ("nafp", "ntxent", 60, 0.0, 300),
    ],
)
def test_the_papers_models(name, loss, anchors, past, f_min):
    model = model_config(name)
    assert (model["loss"]["name"], model["batch"]["anchors"]) == (loss, anchors)
    assert (model["degradation"]["past_context_seconds"], model["front_end"]["f_min"]) == (past, f_min)
    assert model["batch"]["positives"] == 1 and model["batch"]["max_shift_seconds"] == 0.25
    assert model["degradation"]["snr_db"] == [0, 10]
    assert model["masking"] == {
        "cutout": True, "horizontal": True, "vertical": False, "masks": 1, "probability": 1.0, "fill": "zeros"
    }  # fmt: skip
    optimizer = model["optimizer"]
    assert (optimizer["name"], optimizer["learning_rate"], optimizer["schedule"]) == ("adam", 1e-4, "cosine")
    assert optimizer["final_fraction"] == 1e-6 and model["epochs"] == 100
    assert model["network"]["channels"] == [128, 128, 256, 256, 512, 512, 1024, 1024]
    assert (
        model["loss"] | {"margin": 0.5, "positives": "hard", "negatives": "semi-hard", "squared": True}
        == model["loss"]
    )
    assert (model["loss"]["tau"], model["loss"]["t"], model["loss"]["gamma"], model["loss"]["alpha"]) == (
        0.05,
        2,
        16,
        2,
    )


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"loss": {"name": "dcl"}, "batch": {"positives": 2}}, "batch.positives is 2, but loss.name dcl"),
        ({"loss": {"name": "kcl"}, "batch": {"positives": 3}}, "batch.positives is 3, but loss.name kcl"),
        ({"loss": {"margin": 0}}, "loss.margin is 0"),
        ({"loss": {"margin": -0.1}}, "loss.margin is -0.1"),
        ({"loss": {"tau": 0}}, "loss.tau is 0"),
        ({"degradation": {"snr_db": [10, 0]}}, "degradation.snr_db"),
        ({"front_end": {"f_min": 4000.0}}, "front_end.f_min"),
        ({"batch": {"max_shift_seconds": 1.0}}, "batch.max_shift_seconds"),
        ({"network": {"embedding_size": 9}}, "network.embedding_size 9 does not divide the 16"),
    ],
)
def test_senseless_configurations_are_refused(sections, sentence):
    with pytest.raises(NmfpError, match=sentence):
        settings.check(model_config(**sections))


@pytest.mark.parametrize("name", ["dcl", "kcl", "alignment_uniformity"])
def test_a_senseless_model_is_refused_when_the_configuration_is_read(tmp_path, name):
    (tmp_path / "mine.yaml").write_text(f"loss: {{name: {name}}}\nbatch: {{positives: 2}}\n")
    with pytest.raises(ConfigError, match=f"^config/models/mine.yaml: batch.positives is 2, .*{name}"):
        load_models(["mine"], tmp_path)


def test_more_anchors_than_chunks_are_refused():
    with pytest.raises(NmfpError, match="batch.anchors is 8, but there are only 7 training chunks"):
        settings.check(model_config(), n_chunks=7)
    settings.check(model_config(), n_chunks=8)


def every_leaf(schema, path=()):
    if schema.get("type") == "object":
        assert schema["additionalProperties"] is False, path
        for name, part in schema["properties"].items():
            yield from every_leaf(part, (*path, name))
    else:
        yield path, schema


def test_every_key_has_a_valid_default():
    # what says that weights exist already, and a set of degradations other than the experiment's own
    optional = {("weights",), ("entry",), ("checkpoint",), ("degradations",)}
    for path, schema in every_leaf(SCHEMA):
        if path in optional:
            assert "default" not in schema, path
            continue
        assert "default" in schema, path
        jsonschema.Draft202012Validator(schema).validate(schema["default"])


def test_settings_need_no_keras():
    import subprocess
    import sys

    code = "import sys, nmfp.config, nmfp.training.draws; sys.exit('keras' in sys.modules)"
    path = str(CONFIG.parent / "workflow/scripts")
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, check=False).returncode == 0
