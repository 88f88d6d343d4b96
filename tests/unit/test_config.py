import copy
import os
import re
from pathlib import Path

import pytest
import yaml
from nmfp import config as cfg
from nmfp import experiment
from nmfp.datasets.sources import needed_rows, read_sources

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


@pytest.mark.parametrize(
    "name", ["config", "archive", "published", "demo", "demo-losses", "demo-indexes", "test"]
)
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


def test_a_home_folder_is_spelt_out_wherever_a_path_is_named(paper, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "music").mkdir()
    (tmp_path / "ids.txt").write_text("2\n")
    config = merge(paper, yaml.safe_load((ROOT / "config/folder.yaml").read_text()))
    for collection in ("music", "noise", "room", "microphone"):
        config["dataset"]["folder"][collection] = "~/music"
    config["dataset"]["fma"]["training_ids"] = "~/ids.txt"
    config["paths"]["downloads"] = "~/large"
    checked = cfg.validate_config(config)
    assert checked["dataset"]["folder"]["music"] == str(tmp_path / "music")
    assert checked["dataset"]["fma"]["training_ids"] == str(tmp_path / "ids.txt")
    assert checked["paths"]["downloads"] == str(tmp_path / "large")
    asked = cfg.validate_config(config | {"queries": "~/music", "database": "~/music"})
    assert asked["identification"] == {
        "queries": str(tmp_path / "music"),
        "database": str(tmp_path / "music"),
    }


def schema(name):
    return yaml.safe_load((ROOT / f"config/schemas/{name}.schema.yaml").read_text())


def keys(part, prefix=""):
    """Every key of a schema that holds a value, written as in the manual; sections hold keys."""
    for key, child in part["properties"].items():
        assert child.get("additionalProperties", False) is not True, key
        if "properties" in child:
            yield from keys(child, f"{prefix}{key}.")
            continue
        yield f"{prefix}{key}"
        if isinstance(named := child.get("additionalProperties"), dict):
            yield from keys(named, f"{prefix}{key}.<name>.")


def test_every_key_of_the_schema_has_a_default(paper):
    def compare(part, tree, prefix):
        if "properties" not in part:
            return
        assert set(part["properties"]) == set(tree), prefix
        assert part["additionalProperties"] is False, prefix
        for key, child in part["properties"].items():
            if isinstance(tree[key], dict):
                compare(child, tree[key], f"{prefix}{key}.")

    compare(schema("config"), paper, "")


def test_the_manual_explains_every_key_once_and_no_other():
    manual = (ROOT / "config/README.md").read_text()
    experiment, model = manual.split("\n## Models\n")
    for name, part in (("config", experiment), ("model", model)):
        explained = re.findall(r"^\| `([a-z_.<>]+)` \| \S", part, flags=re.MULTILINE)
        assert sorted(explained) == sorted(keys(schema(name)))


def test_the_manual_gives_the_budget_of_the_whole_run():
    budget = (ROOT / "config/README.md").read_text().split("\n## The paper's run: disk and time\n")[1]
    sources = read_sources(ROOT / "config/sources.tsv")
    paper = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    rows = [sources[name] for name in needed_rows(paper, cfg.load_models(paper["models"]), sources)]
    fetched = sum(row.bytes_about or 0 for row in rows) / 2**30
    told = int(re.search(r"about (\d+) GiB", budget)[1])
    assert fetched <= told < 1.01 * fetched


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
        (
            ("queries", "degradations"),
            "nmpf",
            "queries.degradations: 'nmpf' is no set of degradations; known are nmfp",
        ),
        (
            ("queries", "sets"),
            {"mine": {"degradations": "demo"}},
            "queries.sets.mine.degradations: 'demo' is no set",
        ),
        (
            ("queries", "sets"),
            {"mine": {"degradation": {"snr_db": [5, 0]}}},
            "queries.sets.mine.degradation.snr_db",
        ),
        (("queries", "sets"), {"my_own": {}}, "queries.sets"),
        (
            ("degradations", "folder"),
            {"noise": None, "room": None, "microphone": None},
            "degradations.folder: this name",
        ),
        (("degradations", "nafp", "room"), "/no/rooms", "degradations.nafp.room: /no/rooms is not a folder"),
        (("evaluation", "indexes"), ["flat"], "'flat'"),
        (("evaluation", "query_segments"), [60], "query_segments"),
        (("indexes", "ivfpq", "probe"), 3, "unknown key 'probe' in indexes.ivfpq"),
        (("indexes", "ivfpq", "every"), 0, "indexes.ivfpq.every: 0 is less than the minimum of 1"),
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


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "weights: published\nentry: weights_triplet\nloss: {tau: 0.1}",
            "imported, loss how it is built or trained",
        ),
        ("weights: published", "entry names the row of sources.tsv"),
        ("weights: {}\nentry: weights_triplet", "it belongs to weights: published"),
        ("weights: /no/such/folder", "weights: /no/such/folder does not exist; correct the path"),
        ("checkpoint: 100", "set weights as well"),
        (
            "weights: published\nentry: weights_triplet\ncheckpoint: newest",
            "checkpoint: 'newest' is not of type",
        ),
    ],
)
def test_a_model_is_trained_or_imported(tmp_path, text, sentence):
    (tmp_path / "mine.yaml").write_text(text.replace("{}", str(tmp_path)))
    with pytest.raises(cfg.ConfigError) as error:
        cfg.load_models(["mine"], tmp_path)
    assert sentence in str(error.value) and "config/models/mine.yaml" in str(error.value)


def test_models_and_query_sets_name_their_degradations(paper):
    paper["queries"]["sets"] = {
        "nafp": {"degradations": "nafp"},
        "clean": {"degradations": "clean"},
        "loud": {"degradation": {"snr_db": [-5, 0]}},
    }
    config = cfg.validate_config(paper)
    models = cfg.load_models(["nmfp-triplet", "nafp", "nmfp-triplet-published"])
    cfg.check_models(config, models)
    assert experiment.used_sets(config, models) == ["nmfp", "clean", "nafp"]
    sets = experiment.query_sets(config)
    assert list(sets) == ["queries", "queries-clean", "queries-loud", "queries-nafp"]
    on = {
        name: [kind for kind in experiment.KINDS if chosen["degradation"][kind]]
        for name, chosen in sets.items()
    }
    assert on["queries"] == on["queries-loud"] == ["noise", "room", "microphone"]
    assert on["queries-nafp"] == ["noise", "room"], "NAFP's rooms hold a microphone already"
    assert on["queries-clean"] == []
    assert sets["queries-loud"]["degradation"]["snr_db"] == [-5, 0]
    assert [experiment.suffix(config, name) for name in ("nmfp", "nafp")] == ["", "-nafp"]
    with pytest.raises(cfg.ConfigError, match="config/models/x.yaml: degradations: 'y' is no set"):
        cfg.check_models(config, {"x": {"degradations": "y"}})


def test_an_imported_model_has_no_training_keys(tmp_path):
    (tmp_path / "ckpt-100.index").write_bytes(b"")
    (tmp_path / "mine.yaml").write_text(f"weights: {tmp_path}/ckpt-100")
    assert cfg.load_models(["mine"], tmp_path) == {
        "mine": {"weights": f"{tmp_path}/ckpt-100", "entry": None, "checkpoint": None}
    }
    assert not set(cfg.IMPORT_KEYS) & set(cfg.load_models(["nmfp-triplet"])["nmfp-triplet"])


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


def test_folder_state_follows_links_as_the_list_does(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "linked").symlink_to(tmp_path / "store")
    (tmp_path / "music" / "circle").symlink_to(tmp_path / "music")
    before = cfg.folder_state(str(tmp_path / "music"))
    (tmp_path / "store" / "song.mp3").write_bytes(b"one")
    assert cfg.folder_state(str(tmp_path / "music")) != before


def test_the_order_of_keys_makes_no_difference(paper):
    turned = yaml.safe_load(yaml.safe_dump(paper, sort_keys=True))
    assert repr(cfg.validate_config(paper)) == repr(cfg.validate_config(turned))
    assert list(turned) != list(paper)
