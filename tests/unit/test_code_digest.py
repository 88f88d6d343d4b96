"""A digest of code follows its meaning: never its form, always what it reaches."""

import importlib
import re
from pathlib import Path

import pytest
from nmfp.code_digest import PLUMBING, Code, script_digests

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow/scripts"
SCRIPT = '''
"""A stage."""
import numpy as np
from nmfp.sums import add
def main(snakemake):
    """Do it."""
    return add(np.float32(1), 2)  # both
'''
SUMS = '''
from typing import NamedTuple
from nmfp.files import atomic
START = 1
SIGNS = {"plus": +1}
class Place(NamedTuple):
    """A place."""
    row: int
    seconds: float = 0.5
def add(a: int, b: int = 2) -> int:
    from nmfp import later
    from .beside import factor as by
    total: int = a + SIGNS["plus"] * b
    return later.double(total) * by + Place(START).row
def unused(a):
    return a - 1
'''
LATER = "def double(a):\n    return 2 * a\n"
BESIDE = "factor = 3\nother = 4\n"


def digest(
    folder: Path, script=SCRIPT, sums=SUMS, later=LATER, beside=BESIDE, files="def atomic(): ...\n"
) -> str:
    (folder / "nmfp").mkdir(exist_ok=True)
    modules = {"sums": sums, "later": later, "beside": beside, "files": files, "__init__": '"""Us."""\n'}
    for name, text in modules.items():
        (folder / f"nmfp/{name}.py").write_text(text)
    (folder / "stage.py").write_text(script)
    return Code(folder).digest("stage")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A place."""', '"""A row of a track."""'),
        ('    """A place."""\n', ""),
        ("a: int, b: int = 2) -> int", "a, b=2)"),
        ("a: int,", "a: 'np.ndarray',"),
        ("total: int = ", "total = "),
        ("row: int", "row: 'a row'"),
        ("START = 1\n", "# the first\n\nSTART = (1)\n"),
        ('{"plus": +1}', "{\n    'plus': +1,\n}"),
        ("return a - 1", "return a - 2"),
        ("def unused(a):\n    return a - 1\n", "def another():\n    return 0\n"),
        ("from typing import NamedTuple\n", "\nimport typing\nfrom typing import (\n    NamedTuple,\n)\n"),
    ],
)  # fmt: skip
def test_form_does_not_count(tmp_path, old, new):
    assert old in SUMS
    assert digest(tmp_path, sums=SUMS.replace(old, new)) == digest(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a + SIGNS", "a - SIGNS"),
        ("+1}", "-1}"),
        ("START = 1", "START = 1.0"),
        ("b: int = 2", "b: int = 3"),
        ("seconds: float = 0.5", "seconds: float = 0.6"),
        ("    seconds: float = 0.5\n", ""),
        (" * by", ""),
        ("factor as by", "other as by"),
        ("import later", "import files as later"),
        ("START = 1", "START = 1\nSTART += 1"),
        ("START = 1", "START = 1\nSIGNS.update(plus=2)"),
    ],
)
def test_every_operator_and_number_counts(tmp_path, old, new):
    assert old in SUMS
    assert digest(tmp_path, sums=SUMS.replace(old, new)) != digest(tmp_path)


def test_imports_are_followed_wherever_they_stand(tmp_path):
    before = digest(tmp_path)
    assert digest(tmp_path, later=LATER.replace("2", "3")) != before
    assert digest(tmp_path, beside=BESIDE.replace("3", "5")) != before
    assert digest(tmp_path, beside=BESIDE.replace("4", "5")) == before
    assert digest(tmp_path, beside=BESIDE + "print(other)\n") != before, "done by the import itself"
    assert digest(tmp_path, files="def atomic():\n    return 1\n") == before, "plumbing"
    assert digest(tmp_path, script=SCRIPT.replace("np.float32", "np.float64")) != before
    assert digest(tmp_path, script=SCRIPT.replace("import numpy as np", "import cupy as np")) != before


@pytest.mark.parametrize(
    "script",
    [
        "from nmfp import later\nf = getattr(later, 'dou' + 'ble')\n",
        "import nmfp.later\nf = nmfp.later.double\n",
        "from nmfp.later import *\nf = double\n",
        "import subprocess\ncode = 'from nmfp.later import double; double(1)'\nsubprocess.run(['python', '-c', code])\n",
        "try:\n    from nmfp.later import double as f\nexcept ImportError:\n    f = None\n",
    ],
)
def test_what_cannot_be_followed_by_name_counts_as_a_whole(tmp_path, script):
    assert digest(tmp_path, script) != digest(tmp_path, script, later=LATER.replace("2", "3"))


def test_a_cache_holds_as_long_as_no_byte_changes(tmp_path):
    cache = tmp_path / "kept/cache.json"
    first = digest(tmp_path)
    assert script_digests(tmp_path, cache) == {"stage": first}
    cache.write_text(cache.read_text().replace(first, "kept"))
    assert script_digests(tmp_path, cache) == {"stage": "kept"}
    second = digest(tmp_path, later=LATER.replace("2", "3"))
    assert script_digests(tmp_path, cache) == {"stage": second} != {"stage": first}
    for damaged in ("{", "[]", "{}"):
        cache.write_text(damaged)
        assert script_digests(tmp_path, cache) == {"stage": second}
    (tmp_path / "file").touch()
    assert script_digests(tmp_path, tmp_path / "file/cache.json") == {"stage": second}, "no folder, no cache"


def test_an_unknown_script_is_no_digest(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nosuch\.py"):
        Code(tmp_path).digest("nosuch")


# ---- our own code ----


@pytest.mark.parametrize("name", PLUMBING)
def test_plumbing_is_there(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, definition = name.rpartition(".")
        assert hasattr(importlib.import_module(module), definition)


def test_every_rule_that_computes_carries_its_own_scripts_digest():
    unmarked = set()
    for path in (ROOT / "rules").glob("*.smk"):
        for rule in re.split(r"^ *(?:rule|checkpoint) ", path.read_text(), flags=re.MULTILINE)[1:]:
            script = re.search(r"/workflow/scripts/(\w+)\.py", rule)
            if script and f'CODE["{script.group(1)}"]' not in rule:
                unmarked.add(script.group(1))
    # what is fetched has a checksum; compact is called by name and leaves nothing behind that could be stale
    assert unmarked == {"download", "unpack", "compact"}


@pytest.fixture(scope="module")
def reached():
    """The modules and their names that count for a script of ours."""
    code = Code(SCRIPTS)

    def names(script: str) -> set[str]:
        return {
            f"{module}.{name}"
            for module, found in code._reach(script).items()
            for i in found
            for name in code._statements(module)[i].binds
        }

    return names


def test_losses_are_a_matter_of_training_and_figures_of_the_report(reached):
    scripts = {path.stem for path in SCRIPTS.glob("*.py")}
    assert {s for s in scripts if "nmfp.training.losses.triplet" in reached(s)} == {"train"}
    assert {s for s in scripts if "nmfp.report.plots.hit_rates_figure" in reached(s)} == {"report"}


def test_what_runs_in_a_process_of_its_own_counts(reached):
    assert {"nmfp.audio.wav.stream", "nmfp.audio.decoder.decode"} <= reached("extract")
    assert "nmfp.model.openvino_graph.export" in reached("import_weights")
    assert "nmfp.files.generator" in reached("train") and "nmfp.files.atomic" not in reached("train")
