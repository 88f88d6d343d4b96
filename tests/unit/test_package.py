"""pyproject.toml: what `pip install .` brings is enough for the command."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from nmfp.audio.wav import write_wav
from nmfp.cli import command, main
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

# Python without the modules of all other packages: as in an environment where they are not installed
WITHOUT = """
import json, os, sys
from pathlib import Path
hidden = set(json.loads(sys.argv[2]))
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
sys.path.insert(0, sys.argv[1])
from nmfp.cli import main
for line in json.loads(sys.argv[3]):
    print(main(line.split(" ")), line, flush=True)
"""


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_with(requirements: list[str]) -> set[str]:
    """Names of the distributions that these requirements bring, each with what it requires."""
    found, waiting = set(), [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = plain(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        waiting += [Requirement(text) for text in metadata.requires(name) or []]
    return found


def test_every_command_runs_on_the_dependencies_alone(small_model, melody, tmp_path):
    for i in range(2):
        write_wav(tmp_path / "MUSIC" / f"{i}.wav", melody(8000 * 11, i))
    (tmp_path / "model").symlink_to(small_model)
    (tmp_path / "truth.csv").write_text("query,track,start\nMUSIC/0.wav,MUSIC/0.wav,0\n")
    brought = installed_with(PROJECT["dependencies"])
    hidden = [
        module
        for module, names in metadata.packages_distributions().items()
        if not {plain(name) for name in names} & brought
    ]
    assert {"tensorflow", "keras", "h5py", "matplotlib", "snakemake", "jsonschema"} <= set(hidden)
    lines = [
        "database create songs.db MUSIC -m model -q",
        "identify MUSIC/0.wav -d songs.db",
        "monitor MUSIC/0.wav -d songs.db",
        "fingerprint MUSIC -o prints -m model -q",
        "retrieve prints out --database-embeddings prints",
        "evaluate truth.csv rates -d songs.db -q",
        "database calibrate songs.db MUSIC -q",
        "database verify songs.db",
        "weights import model --name small",
        f"weights import {ROOT}/tests/reference/checkpoint",
    ]
    command = [
        sys.executable,
        "-c",
        WITHOUT,
        str(ROOT / "workflow/scripts"),
        json.dumps(hidden),
        json.dumps(lines),
    ]
    environment = {**os.environ, "NMFP_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    statuses = [line for line in done.stdout.splitlines() if line[1:2] == " " and line[2:] in lines]
    # what was published needs TensorFlow, and says so
    assert statuses == [f"{int(n == len(lines) - 1)} {line}" for n, line in enumerate(lines)], done.stderr
    assert "which is not installed; in the folder of nmfp's source: pip install '.[weights]'" in done.stderr


def test_the_extras_bring_what_is_asked_for():
    from nmfp.cli import OPTIONAL

    for extra in ("weights", "gpu"):
        names = {plain(Requirement(text).name) for text in EXTRAS[extra]}
        assert {name.removesuffix("-cpu") for name in names} == set(OPTIONAL)


def test_what_is_shipped_has_its_dependencies_in_an_extra():
    asked = [*PROJECT["dependencies"], *(name for names in EXTRAS.values() for name in names)]
    brought = {plain(Requirement(text).name) for text in asked} | {"jax"}  # the other backend of Keras
    distributions = metadata.packages_distributions()
    missing = set()
    for path in (ROOT / "workflow/scripts/nmfp").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for module in {name.partition(".")[0] for name in names} - {"nmfp", *sys.stdlib_module_names}:
                providers = {plain(name).removesuffix("-cpu") for name in distributions.get(module, [module])}
                if not providers & {name.removesuffix("-cpu") for name in brought}:
                    missing.add(f"{path.name}: {module}")
    assert missing == set()


def test_the_command_is_the_one_of_the_working_tree(capsys):
    assert PROJECT["scripts"] == {"nmfp": f"{command.__module__}:{command.__name__}"}
    try:
        main(["--version"])
    except SystemExit as end:
        assert end.code == 0
    assert capsys.readouterr().out == f"nmfp {PROJECT['version']}\n"
