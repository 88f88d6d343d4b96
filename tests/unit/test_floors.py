"""The library is built as the table of floors in ARCHITECTURE.md says."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "workflow" / "scripts" / "nmfp"


def floors() -> dict[str, int]:
    rows = re.findall(r"^\| (\d) \| (`.*`) \|$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    return {name: int(floor) for floor, names in rows for name in re.findall(r"`(\w+)/?`", names)}


def imported(path: Path) -> set[str]:
    """Modules and folders of the library that a file imports, also inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("nmfp.")}
    return found - {"__version__"}


def dependencies() -> dict[str, set[str]]:
    """What each module, or folder of modules, imports from others."""
    graph: dict[str, set[str]] = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        name = path.relative_to(LIBRARY).parts[0].removesuffix(".py")
        if not name.startswith("__"):
            graph.setdefault(name, set()).update(imported(path) - {name})
    return graph


def test_every_module_stands_on_a_floor():
    assert set(dependencies()) == set(floors())


def test_imports_never_go_up():
    up = [(a, b) for a, found in dependencies().items() for b in found if floors()[b] > floors()[a]]
    assert up == []


def test_no_circles():
    TopologicalSorter(dependencies()).prepare()
    files = {
        path.relative_to(LIBRARY.parent).with_suffix("").as_posix().replace("/", "."): path
        for path in LIBRARY.rglob("*.py")
    }
    graph = {}
    for name, path in files.items():
        top = ast.parse(path.read_text()).body  # what is imported later, inside a function, cannot fail
        graph[name] = {
            target
            for node in top
            if isinstance(node, ast.ImportFrom) and node.module
            for target in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
            if target in files and target != name
        }
    TopologicalSorter(graph).prepare()
