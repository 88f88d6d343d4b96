import copy
import os
from pathlib import Path

import pytest
import yaml
from nmfp import config as cfg

ROOT = Path(__file__).resolve().parents[2]


def merge(base, overlay):
    for key, value in overlay.items():
        base[key] = (
            merge(base.get(key, {}), value)
            if isinstance(value, dict) and isinstance(base.get(key), dict)
            else value
        )
    return base


@pytest.fixture
def paper():
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


@pytest.mark.parametrize("name", ["config", "archive", "demo", "test"])
def test_shipped_configurations_are_valid(paper, name):
    config = merge(paper, yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()))
    assert cfg.validate_config(config) == config
    cfg.load_models(config["models"])


def test_folder_example_differs_from_a_valid_one_only_in_its_folders(paper, tmp_path):
    config = merge(paper, yaml.safe_load((ROOT / "config/folder.yaml").read_text()))
    with pytest.raises(cfg.ConfigError, match=r"dataset\.folder\.music: /path/to/music is not a folder"):
        cfg.validate_config(config)
    for collection in ("music", "noise", "room", "microphone"):
        config["dataset"]["folder"][collection] = str(tmp_path)
    cfg.validate_config(config)


def leaves(tree, schema, prefix=()):
    for key, value in tree.items():
        part = schema["properties"][key]
        if isinstance(value, dict) and "properties" in part:
            yield from leaves(value, part, (*prefix, key))
        else:
            yield (*prefix, key)


def test_every_key_of_the_schema_has_a_default_and_a_line_in_the_manual(paper):
    schema = yaml.safe_load((ROOT / "config/schemas/config.schema.yaml").read_text())
    manual = (ROOT / "config/README.md").read_text()

    def compare(part, tree, prefix):
        if "properties" not in part:
            return
        assert set(part["properties"]) == set(tree), prefix
        assert part["additionalProperties"] is False, prefix
        for key, child in part["properties"].items():
            if isinstance(tree[key], dict):
                compare(child, tree[key], f"{prefix}{key}.")

    compare(schema, paper, "")
    for path in leaves(paper, schema):
        assert f"`{'.'.join(path)}`" in manual, path


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("sed",), 1, "unknown key 'sed'"),
        (("queries", "degradation", "snr"), 1, "unknown key 'snr' in queries.degradation; known are snr_db"),
        (("seed",), "27", "seed"),
        (("models",), "nmfp-triplet", "models"),
        (("experiment",), "../up", "experiment"),
        (("dataset", "source"), "fmma", "dataset.source"),
        (("dataset", "failure_budget"), "1e-2", "write 1.0e-4"),
        (("queries", "degradation", "snr_db"), [10, 0], "snr_db"),
        (("evaluation", "indexes"), ["flat"], "'flat'"),
        (("evaluation", "query_segments"), [60], "query_segments"),
        (("indexes", "ivfpq", "probe"), 3, "unknown key 'probe' in indexes.ivfpq"),
    ],
)
def test_wrong_keys_are_refused_with_a_sentence(paper, path, value, sentence):
    config = copy.deepcopy(paper)
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(cfg.ConfigError) as error:
        cfg.validate_config(config)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_unknown_model_names_the_known_ones():
    with pytest.raises(cfg.ConfigError, match="'nmfp-tripled' has no file.*nmfp-triplet"):
        cfg.load_models(["nmfp-tripled"])


def test_defaults_are_filled_in_at_any_depth():
    schema = {"properties": {"a": {"default": {}, "properties": {"b": {"default": 1}, "c": {}}}}}
    assert cfg.fill_defaults({}, schema) == {"a": {"b": 1}}
    assert cfg.fill_defaults({"a": {"c": 2}}, schema) == {"a": {"c": 2, "b": 1}}


def test_folder_state_notices_what_comes_goes_and_changes(tmp_path):
    (tmp_path / "deep").mkdir()
    song = tmp_path / "deep" / "song.mp3"
    states = [cfg.folder_state(str(tmp_path))]
    song.write_bytes(b"one")
    states.append(cfg.folder_state(str(tmp_path)))
    song.write_bytes(b"other")
    states.append(cfg.folder_state(str(tmp_path)))
    assert len(set(states)) == 3
    assert cfg.folder_state(str(tmp_path)) == states[-1]
    os.remove(song)
    assert cfg.folder_state(str(tmp_path)) == states[0]


def test_the_order_of_keys_makes_no_difference(paper):
    turned = yaml.safe_load(yaml.safe_dump(paper, sort_keys=True))
    assert repr(cfg.validate_config(paper)) == repr(cfg.validate_config(turned))
    assert list(turned) != list(paper)
