"""Configuration: read, completed with defaults, and refused with a sentence that names the key."""

import os
from pathlib import Path

import jsonschema
import yaml

from nmfp import experiment, settings
from nmfp.errors import NmfpError
from nmfp.files import digest

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "config"
SCHEMAS = CONFIG / "schemas"
# a model file's keys where its weights exist already
IMPORT_KEYS = ("weights", "entry", "checkpoint")
PUBLISHED = "published"

COLLECTIONS = ("music", "noise", "room", "microphone")
FMA_LISTS = ("training_ids", "validation_ids", "query_ids")


class ConfigError(NmfpError):
    """A key that is unknown, of the wrong type, or at odds with another."""


def validate_config(config: dict) -> dict:
    """Check an experiment's configuration against its schema and against itself; return it with its keys in order.

    In order, because Snakemake compares the text of params: where a file writes its keys must not make results stale.

    Raises:
        ConfigError: names the first offending key and says what it may be.
    """
    config, identification = _split_off_identification(config)
    _check(config, _load_yaml(SCHEMAS / "config.schema.yaml"), "configuration")
    config = _expand_home(config)
    if identification:
        config = {**config, "identification": identification}
    source = config["dataset"]["source"]
    if source == "folder":
        for collection in COLLECTIONS:
            folder = config["dataset"]["folder"][collection]
            if folder is None:
                raise ConfigError(
                    f"dataset.folder.{collection} is not set: name a folder there (dataset.source is folder)."
                )
            if not Path(folder).is_dir():
                raise ConfigError(f"dataset.folder.{collection}: {folder} is not a folder; correct the path.")
        shares = config["dataset"]["folder"]
        if shares["training_share"] + shares["validation_share"] + shares["unknown_share"] >= 1:
            raise ConfigError(
                "dataset.folder: training_share, validation_share and unknown_share add up to 1 or more,"
                " so no track is left for the database; lower one of them."
            )
    if source == "archive":
        if other := set(config["queries"]["evaluate"]) - {"degraded_shifted", "clean_shifted"}:
            raise ConfigError(
                f"queries.evaluate names {min(other)}, which the archive does not hold (dataset.source is archive);"
                " it holds degraded_shifted and clean_shifted."
            )
    if source == "fma":
        for key in FMA_LISTS:
            path = config["dataset"]["fma"][key]
            if path is not None and not Path(path).is_file():
                raise ConfigError(
                    f"dataset.fma.{key}: {path} is no file; correct the path or set it to null."
                )
    for name in config["evaluation"]["indexes"]:
        if name not in config["indexes"]:
            known = ", ".join(config["indexes"])
            raise ConfigError(f"evaluation.indexes names {name!r}, which indexes does not define ({known}).")
    _check_degradations(config)
    longest = max(config["evaluation"]["query_segments"])
    if (longest + 1) / 2 > config["queries"]["seconds"]:
        raise ConfigError(
            f"evaluation.query_segments: {longest} segments do not fit into queries of"
            f" {config['queries']['seconds']} s (queries.seconds)."
        )
    return _in_order(config)


def _check_degradations(config: dict) -> None:
    """Sets of degradations and query sets.

    Raises:
        ConfigError: a reserved or unknown name, a folder that is none, a range that ends before it begins.
    """
    for name, kinds in config["degradations"].items():
        if name in ("demo", "folder"):
            raise ConfigError(f"degradations.{name}: this name has a meaning already; choose another.")
        for kind, folder in kinds.items():
            if isinstance(folder, str) and not Path(folder).is_dir():
                raise ConfigError(f"degradations.{name}.{kind}: {folder} is not a folder; correct the path.")
    queries = config["queries"]
    sets = {"queries": queries} | {f"queries.sets.{name}": chosen for name, chosen in queries["sets"].items()}
    for where, chosen in sets.items():
        _check_set(config, chosen.get("degradations"), f"{where}.degradations")
        low, high = chosen.get("degradation", {}).get("snr_db", (0, 0))
        if low > high:
            raise ConfigError(
                f"{where}.degradation.snr_db: {low} is greater than {high}; write the lower bound first."
            )


def check_models(config: dict, models: dict[str, dict]) -> None:
    """Hold the models against the experiment that they are part of.

    Raises:
        ConfigError: a model takes a set of degradations that the experiment does not know.
    """
    for name, model in models.items():
        _check_set(config, model.get("degradations"), f"config/models/{name}.yaml: degradations")


def _check_set(config: dict, name: str | None, where: str) -> None:
    known = experiment.known_sets(config)
    if name is not None and name not in known:
        raise ConfigError(f"{where}: {name!r} is no set of degradations; known are {', '.join(known)}.")


def _split_off_identification(config: dict) -> tuple[dict, dict]:
    """`snakemake identify --config queries=DIR database=DB`: two keys that are no part of an experiment.

    Raises:
        ConfigError: one of them is missing or does not exist.
    """
    rest = dict(config)
    asked = {"database": rest.pop("database", None), "queries": None}
    if not isinstance(rest.get("queries"), dict):
        # the command line has put a folder in the place of the section of that name
        asked["queries"] = rest["queries"]
        rest["queries"] = _load_yaml(CONFIG / "config.yaml")["queries"]
    if asked == {"database": None, "queries": None}:
        return config, {}
    for key, value in asked.items():
        if value is None:
            raise ConfigError(f"{key} is not set: write --config queries=DIR database=DB.")
        asked[key] = os.path.expanduser(str(value))
        if not Path(asked[key]).exists():
            raise ConfigError(f"{key}: {value} does not exist; correct the path.")
    return rest, asked


def _expand_home(config: dict) -> dict:
    """The configuration with `~` spelt out in every path, as a shell would; nothing behind it knows of `~`."""
    config = {**config, "dataset": dict(config["dataset"])}

    def expanded(section: dict, keys: tuple[str, ...]) -> dict:
        return section | {key: os.path.expanduser(section[key]) for key in keys if section[key] is not None}

    config["paths"] = expanded(config["paths"], ("downloads", "sources"))
    for name, keys in (("folder", COLLECTIONS), ("fma", FMA_LISTS)):
        config["dataset"][name] = expanded(config["dataset"][name], keys)
    for name, kinds in config["degradations"].items():
        folders = tuple(kind for kind, origin in kinds.items() if isinstance(origin, str))
        config["degradations"][name] = expanded(kinds, folders)
    return config


def load_models(names: list[str], folder: Path = CONFIG / "models") -> dict[str, dict]:
    """The complete configurations of the models of a run, by name.

    Raises:
        ConfigError: a model has no file, or a key of it is wrong.
    """
    schema = _load_yaml(SCHEMAS / "model.schema.yaml")
    return {name: load_model(name, schema, folder) for name in names}


def load_model(name: str, schema: dict, folder: Path) -> dict:
    """One model's configuration: how it is trained, defaults filled in from the schema, or where its weights come from.

    A model that is not trained here has the keys IMPORT_KEYS and no other; one that is trained has none of them.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise ConfigError(f"models: {name!r} has no file config/models/{name}.yaml; there are {known}.")
    model = _load_yaml(path) or {}
    _check(model, schema, f"config/models/{name}.yaml")
    if set(model) & set(IMPORT_KEYS):
        return _imported_model(model, f"config/models/{name}.yaml")
    model = fill_defaults(model, schema)
    try:
        settings.check(model)
    except NmfpError as error:
        raise ConfigError(f"config/models/{name}.yaml: {error}") from None
    return _in_order(model)


def _imported_model(model: dict, where: str) -> dict:
    """The keys of a model whose weights exist already.

    Raises:
        ConfigError: a key that says how to train, or one too few; a path that does not exist.
    """
    weights, entry = model.get("weights"), model.get("entry")
    if weights is None:
        raise ConfigError(f"{where}: entry and checkpoint say which weights to import: set weights as well.")
    if other := sorted(set(model) - set(IMPORT_KEYS)):
        raise ConfigError(
            f"{where}: weights says that the network is imported, {other[0]} how it is built or trained: drop one."
        )
    if (weights == PUBLISHED) != (entry is not None):
        raise ConfigError(
            f"{where}: entry names the row of sources.tsv that the weights are fetched by: it belongs to"
            f" weights: {PUBLISHED} and to nothing else."
        )
    if weights != PUBLISHED and not any(
        Path(weights + suffix).expanduser().exists() for suffix in ("", ".index")
    ):
        raise ConfigError(
            f"{where}: weights: {weights} does not exist; correct the path, or write {PUBLISHED}."
        )
    return {"weights": os.path.expanduser(weights), "entry": entry, "checkpoint": model.get("checkpoint")}


def fill_defaults(value: object, schema: dict) -> object:
    """`value` with every key that it lacks taken from the schema's defaults, at any depth."""
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    complete = dict(value)
    for key, part in schema["properties"].items():
        if key not in complete and "default" in part:
            complete[key] = part["default"]
        if key in complete:
            complete[key] = fill_defaults(complete[key], part)
    return complete


def folder_state(folder: str) -> str:
    """A digest of the names, sizes and times below a folder: a file that comes, goes or changes alters it.

    Links are followed as `nmfp.datasets.folder` follows them: a folder that is reached again is not entered.
    """
    entries, seen = [], {_identity(folder)}
    for base, subfolders, names in os.walk(folder, followlinks=True):
        entered = []
        for name in sorted(subfolders):
            identity = _identity(os.path.join(base, name))
            if identity is not None and identity not in seen:
                seen.add(identity)
                entered.append(name)
        subfolders[:] = entered
        for name in names:
            try:
                status = os.stat(os.path.join(base, name))
            except OSError:
                continue  # gone since it was listed, or a dangling link: listing the folder reports it
            entries.append(
                [os.path.relpath(os.path.join(base, name), folder), status.st_size, status.st_mtime_ns]
            )
    return digest(sorted(entries))


def _identity(folder: str) -> tuple[int, int] | None:
    """What tells a folder from another, whatever it is called; None for one that is not there."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _in_order(value: object) -> object:
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    return value


def _load_yaml(path: Path) -> dict:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML ({error}).") from None


def _check(value: dict, schema: dict, name: str) -> None:
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(value))
    if error is None:
        return
    key = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        unknown = sorted(set(error.instance) - set(error.schema.get("properties", {})))
        known = ", ".join(error.schema.get("properties", {}))
        where = f" in {key}" if key else ""
        raise ConfigError(f"{name}: unknown key {', '.join(map(repr, unknown))}{where}; known are {known}.")
    hint = ""
    if isinstance(error.instance, str) and error.validator == "type" and _is_number(error.instance):
        hint = " (YAML reads 1e-4 as text: write 1.0e-4)"
    raise ConfigError(f"{name}: {key or 'the whole file'}: {error.message}{hint}.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
