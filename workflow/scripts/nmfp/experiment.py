"""Which degradations the models and the query sets of an experiment take, by name: functions of the configuration."""

KINDS = ("noise", "room", "microphone")
# the set that comes with each source of music
_OWN = {"fma": "nmfp", "archive": "archive", "demo": "demo", "folder": "folder"}


def own_set(config: dict) -> str:
    """The set of degradations that comes with the experiment's source of music."""
    return _OWN[config["dataset"]["source"]]


def known_sets(config: dict) -> list[str]:
    """Names that `degradations` of a model or a query set may have: those defined, and the demo's or the folders'."""
    return list(dict.fromkeys([own_set(config), *config["degradations"]]))


def recordings_of(config: dict, name: str) -> dict[str, list[str] | str]:
    """Where the recordings of a set come from, by kind; a kind that the set lacks is left out.

    A list names sets of sources.tsv, a string a folder; an empty list is what the demo makes itself.
    """
    if name == "demo":
        return dict.fromkeys(KINDS, [])
    kinds = config["dataset"]["folder"] if name == "folder" else config["degradations"][name]
    return {kind: kinds[kind] for kind in KINDS if kinds[kind] is not None}


def suffix(config: dict, name: str) -> str:
    """What the folders of a set are called by beyond their kind: nothing for the experiment's own set."""
    return "" if name == own_set(config) else f"-{name}"


def model_set(config: dict, model: dict) -> str:
    """The set whose training share a model is trained with."""
    return model.get("degradations") or own_set(config)


def query_sets(config: dict) -> dict[str, dict]:
    """The query sets by the name of their corpora: `queries`, and `queries-<name>` for those of queries.sets.

    Each has `degradations` (name of the set), `degradation` (switches and SNR; kinds that the set lacks are off) and
    `evaluate` (variants).
    """
    queries = config["queries"]
    sets = {"queries": {}} | {f"queries-{name}": chosen for name, chosen in queries["sets"].items()}
    complete = {}
    for corpus, chosen in sets.items():
        name = chosen.get("degradations") or queries["degradations"] or own_set(config)
        settings = queries["degradation"] | chosen.get("degradation", {})
        complete[corpus] = {
            "degradations": name,
            "degradation": switched(settings, recordings_of(config, name)),
            "evaluate": chosen.get("evaluate", queries["evaluate"]),
        }
    return complete


def switched(settings: dict, kinds) -> dict:
    """A section `degradation` with the kinds switched off that a set does not hold."""
    return settings | {kind: settings[kind] and kind in kinds for kind in KINDS}


def used_sets(config: dict, models: dict[str, dict]) -> list[str]:
    """The sets of degradations that the query sets and the models trained here need."""
    asked = [chosen["degradations"] for chosen in query_sets(config).values()]
    asked += [model_set(config, model) for model in models.values() if "weights" not in model]
    return list(dict.fromkeys(asked))
