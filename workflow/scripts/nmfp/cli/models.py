"""Which model a name means, and where fetched and imported weights live."""

import os
from pathlib import Path

from nmfp.cli.status import UsageError


def models_home() -> Path:
    """The folder of the user's own models: $NMFP_HOME/models, else below $XDG_DATA_HOME or ~/.local/share."""
    if home := os.environ.get("NMFP_HOME"):
        return Path(home) / "models"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "nmfp" / "models"


def known_models() -> list[str]:
    """Names in `models_home`."""
    return sorted(path.parent.name for path in models_home().glob("*/model.json"))


def find_model(name: str) -> Path:
    """A model folder from a path or a name.

    Raises:
        UsageError: it is neither; names what there is.
    """
    for folder in (Path(name), models_home() / name, Path("resources/models") / name):
        if (folder / "model.json").is_file():
            return folder
    if Path(name).is_dir():
        raise UsageError(
            f"--model: {name} holds no model.json, so it is no model; `nmfp weights import {name}` turns published "
            "weights into one."
        )
    known = ", ".join(known_models()) or "none"
    raise UsageError(
        f"--model: {name} is neither a model's folder nor the name of one (here: {known}); "
        "try `nmfp weights fetch nmfp-triplet`, or name a folder below results/<experiment>/models/."
    )


def add_model_option(command, required: bool) -> None:
    """--model, for commands that need one."""
    command.add_argument(
        "-m",
        "--model",
        required=required,
        help="a model's folder (results/<experiment>/models/<model>), or a name of `nmfp weights list`"
        + ("" if required else " (default: the one kept with the database)"),
    )
