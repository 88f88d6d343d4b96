"""What the code of a stage means, as a digest that goes into its rule's params.

Snakemake reruns a rule whose params changed. The digest of a script covers what the script can reach: its own statements
and, of each module of the library, the definitions that are used, followed by name from import to import, also where a
function imports. It is taken of the syntax: comments, docstrings, annotations and formatting do not count, and neither
does the time of a file. What cannot be followed by name (a module handed on as a value, a star, a name that is not
found) counts as a whole: a step that reruns needlessly costs time, one that does not is wrong.
"""

import ast
import hashlib
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nmfp.errors import NmfpError
from nmfp.files import digest, read_json, sha256_file, write_json

log = logging.getLogger("nmfp")

LIBRARY = "nmfp"
# What cannot change a result, and may change without a rerun. A name of a module, or a definition in one.
PLUMBING = {
    "nmfp.errors": "says what is wrong; whoever fails writes nothing",
    "nmfp.model.devices": "which GPU a job gets; engines and settings say how it computes",
    "nmfp.model.memory": "what becomes of memory that is no longer used",
    "nmfp.code_digest": "this module: no script computes with it",
    "nmfp.cli.messages": "what goes to the terminal",
    "nmfp.files.atomic": "how a file gets its name, not what is in it",
    "nmfp.files.sole_writer": "a lock",
    "nmfp.files.script_log": "the log",
    "nmfp.files.progress": "a bar on the terminal",
    "nmfp.database.fingerprints.full_disk_explained": "the sentence of a full disk",
}
# Annotations that decide what a class's field is; no other annotation is looked at when code runs.
_FIELD_KINDS = {"ClassVar", "InitVar", "KW_ONLY"}
_NAMED = re.compile(rf"\b{LIBRARY}(?:\.\w+)+")


class _Import(NamedTuple):
    """A name that an import statement binds; `name` is None where it stands for the module itself."""

    local: str
    module: str
    name: str | None


class _Statement(NamedTuple):
    """A statement of a module's top level.

    uses: names in it, each with the attribute that is asked of it (None: the name by itself).
    imports: what it imports, at its own level or inside.
    """

    text: str
    binds: frozenset[str]
    uses: frozenset[tuple[str, str | None]]
    imports: tuple[_Import, ...]
    only_imports: bool


def script_digests(folder: str | Path, cache: str | Path) -> dict[str, str]:
    """What each script of a folder means, by its name without .py.

    Args:
        folder: scripts, with the library below it.
        cache: JSON file of an earlier call, which holds as long as no byte of the code changes; parsing all of it takes
            a second or two, which every job of a cluster would pay. Written anew where it does not hold.

    Raises:
        SyntaxError: a file is no Python.
    """
    folder, cache = Path(folder), Path(cache)
    files = sorted([*folder.glob("*.py"), *folder.glob(f"{LIBRARY}/**/*.py")])
    bytes_of_all = [[str(path.relative_to(folder)), sha256_file(path)] for path in files]
    key = digest(bytes_of_all, sys.version)
    try:
        known = read_json(cache)
        if known["key"] == key:
            return known["digests"]
    except (NmfpError, KeyError):
        pass  # no cache yet, or not one of ours
    code = Code(folder)
    digests = {path.stem: code.digest(path.stem) for path in files if path.parent == folder}
    try:
        write_json(cache, {"key": key, "digests": digests})
    except OSError as error:  # a folder that others own: this call has what it needs
        log.debug("%s cannot be written (%s)", cache, error)
    return digests


class Code:
    """The scripts of a folder and the library below it, each file parsed when it is first needed."""

    def __init__(self, folder: str | Path):
        self._folder = Path(folder)
        self._parsed: dict[str, list[_Statement] | None] = {}
        self._places: dict[str, dict[str, set[int]]] = {}  # by module and name: the statements that bind it

    def digest(self, script: str) -> str:
        """16 hexadecimal digits for what `script` (a file's name without .py) and what it reaches mean.

        Raises:
            FileNotFoundError: there is no such script.
            SyntaxError: a file is no Python.
        """
        if self._statements(script) is None:
            raise FileNotFoundError(f"{self._folder / script}.py")
        parts = []
        for module, reached in sorted(self._reach(script).items()):
            statements = [self._statements(module)[i] for i in sorted(reached)]
            # imports have no order that a formatter would not change
            texts = sorted(s.text for s in statements if s.only_imports)
            texts += [s.text for s in statements if not s.only_imports]
            if texts:
                parts.append("\n".join([module if module != script else "script", *texts]))
        return hashlib.sha256("\n\n".join(parts).encode()).hexdigest()[:16]

    def _reach(self, script: str) -> dict[str, set[int]]:
        """The statements that count, by module."""
        reached: dict[str, set[int]] = {}
        waiting = [(script, "*")]
        asked = set()
        while waiting:
            module, name = waiting.pop()
            if (module, name) in asked:
                continue
            asked.add((module, name))
            if module in PLUMBING or f"{module}.{name}" in PLUMBING:
                continue
            statements = self._statements(module)
            if statements is None:
                continue
            if module not in reached:
                if "." in module:
                    waiting.append((module.rpartition(".")[0], ""))
                for statement in statements:  # what they do when they are imported, used or not
                    for imported in statement.imports if statement.only_imports else ():
                        waiting += self._target(imported, "")
            found = reached.setdefault(module, set())
            chosen = self._places[module].get(name, set())
            if name not in ("", "*") and not chosen and self._statements(f"{module}.{name}") is None:
                name = "*"  # nothing binds it: made in a way that is not seen here
            if name == "*":
                chosen = {i for i, s in enumerate(statements) if not s.only_imports}
            # what binds nothing is done whenever the module is imported
            chosen = chosen | {i for i, s in enumerate(statements) if not s.binds}
            for i in chosen - found:
                found.add(i)
                waiting += self._followed(module, statements[i])
        return reached

    def _followed(self, module: str, statement: _Statement) -> Iterator[tuple[str, str]]:
        """(module, name) of everything that a statement refers to."""
        for imported in statement.imports:
            yield from self._target(imported, "")
        statements = self._statements(module)
        for name, attribute in statement.uses:
            bound = [statements[i] for i in self._places[module].get(name, ())]
            if bound:
                yield module, name
            for other in (statement, *bound):
                for imported in other.imports:
                    if imported.local == name:
                        yield from self._target(imported, attribute)

    def _target(self, imported: _Import, attribute: str | None) -> Iterator[tuple[str, str]]:
        """What an imported name with this attribute stands for; attribute "": nothing but the import itself."""
        module, name = imported.module, imported.name
        if name == "*":
            yield module, "*"
        elif name is None or self._statements(f"{module}.{name}") is not None:
            yield (module if name is None else f"{module}.{name}"), "*" if attribute is None else attribute
        else:
            yield module, "" if attribute == "" else name

    def _statements(self, module: str) -> list[_Statement] | None:
        """The statements of a script or of a module of the library; None for any other module."""
        if module not in self._parsed:
            path = self._folder / module.replace(".", "/")
            package = path.is_dir() and path / "__init__.py"
            source = package or path.with_name(f"{path.name}.py")
            known = source.is_file()
            tree = ast.parse(source.read_bytes(), str(source)) if known else None
            home = module if package else module.rpartition(".")[0]
            self._parsed[module] = list(_read(tree, home)) if known else None
            places = self._places[module] = {}
            for i, statement in enumerate(self._parsed[module] or ()):
                for name in statement.binds:
                    places.setdefault(name, set()).add(i)
        return self._parsed[module]


def _read(tree: ast.Module, package: str) -> Iterator[_Statement]:
    """The statements of a module of this package, without what has no meaning."""
    for node in _Meaning().visit(tree).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for imported in _imports(node, package):
                names = frozenset() if imported.name == "*" else frozenset({imported.local})
                # which plumbing is imported from where counts no more than what it does
                plumbing = f"{imported.module}.{imported.name}" in PLUMBING or imported.module in PLUMBING
                text = "" if plumbing else f"import {' '.join(map(str, imported))}"
                yield _Statement(text, names, frozenset(), (imported,), True)
        else:
            yield _Statement(_dump(node), _bound(node), *_used(node, package), False)


def _imports(node: ast.Import | ast.ImportFrom, package: str) -> list[_Import]:
    if isinstance(node, ast.Import):
        # `import a.b` binds a, by which a.b and all of a's other modules are reached
        return [
            _Import(alias.asname or alias.name.partition(".")[0], alias.name, None) for alias in node.names
        ]
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, base] if base else above)
    return [_Import(alias.asname or alias.name, base, alias.name) for alias in node.names]


def _bound(node: ast.stmt) -> frozenset[str]:
    """Names of the module that a statement of its top level binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return frozenset({node.name})
    names = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load):
            names.add(inner.id)
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(inner.name)
        elif isinstance(inner, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in inner.names}
    return frozenset(names)


def _used(node: ast.stmt, package: str) -> tuple[frozenset[tuple[str, str | None]], tuple[_Import, ...]]:
    """Names in a statement, and what it imports inside."""
    uses, imports, waiting = set(), [], [node]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
            uses.add((inner.value.id, inner.attr))
            continue
        if isinstance(inner, ast.Name):
            uses.add((inner.id, None))
        elif isinstance(inner, ast.Import | ast.ImportFrom):
            imports += _imports(inner, package)
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            # the program of a process of its own, or a module's name to be imported later
            for module in _NAMED.findall(inner.value):
                imports.append(_Import(f"'{module}'", module, None))
                uses.add((f"'{module}'", None))
        waiting += ast.iter_child_nodes(inner)
    return frozenset(uses), tuple(imports)


class _Meaning(ast.NodeTransformer):
    """Takes out of a tree what no running code looks at: docstrings, other loose texts, annotations."""

    def __init__(self):
        self._in_class = False

    def visit_Expr(self, node):
        loose = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if loose else self.generic_visit(node)

    def visit_Pass(self, node):
        return None

    def visit_arg(self, node):
        node.annotation = None
        return node

    def _visit_function(self, node):
        node.returns = None
        return self._visit_inside(node, False)

    visit_FunctionDef = visit_AsyncFunctionDef = _visit_function

    def visit_ClassDef(self, node):
        return self._visit_inside(node, True)

    def _visit_inside(self, node, in_class):
        outside, self._in_class = self._in_class, in_class
        self.generic_visit(node)
        self._in_class = outside
        return node

    def visit_AnnAssign(self, node):
        if self._in_class:  # a field of a dataclass or a named tuple
            if not _FIELD_KINDS & {
                getattr(n, "id", getattr(n, "attr", None)) for n in ast.walk(node.annotation)
            }:
                node.annotation = None
        elif node.value is None:
            return None
        else:
            node = ast.Assign([node.target], node.value)
        return self.generic_visit(node)


def _dump(value: object) -> str:
    """A tree as text, without positions and empty fields: what a newer Python adds to its grammar is empty in old code."""
    if isinstance(value, ast.AST):
        fields = (
            f"{name}={_dump(content)}"
            for name, content in ast.iter_fields(value)
            if name not in ("ctx", "kind") and (content or not (content is None or content == []))
        )
        return f"{type(value).__name__}({', '.join(fields)})"
    if isinstance(value, list):
        return f"[{', '.join(map(_dump, value))}]"
    return repr(value)
