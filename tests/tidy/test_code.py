"""What the code promises about itself beyond types and lint."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tidy import tree

_CORE = "runtime/penstock/core"
_API = "runtime/penstock/api"

# Whatever could tell one run of the core from another: time, chance, threads, files, sockets, the loop, logs.
_IMPURE = {
    *("asyncio", "concurrent", "multiprocessing", "queue", "signal", "subprocess", "threading"),
    *("datetime", "time", "random", "secrets", "uuid"),
    *("io", "logging", "os", "pathlib", "select", "selectors", "socket", "sqlite3", "ssl", "tempfile"),
}
_PURE_LIBRARIES = {"msgspec", "penstock"}

_NOQA = re.compile(r"#\s*noqa\b(?!\s*:\s*[A-Z]+\d+)")
_IGNORE = re.compile(r"#\s*type:\s*ignore(?!\[[\w, -]+\])")


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree.syntax(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def _found(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}"
        for path in tree.python_files()
        if not path.is_relative_to("tests/tidy")
        for number, line in enumerate(tree.text(path).splitlines(), start=1)
        if pattern.search(line)
    ]


def test_every_silenced_lint_names_its_rule():
    assert _found(_NOQA) == []


def test_every_silenced_type_error_names_its_code():
    assert _found(_IGNORE) == []


def test_the_core_knows_no_clock_no_chance_and_no_outside():
    impure = {
        f"{path}: {name}"
        for path in tree.python_files(_CORE)
        for name in _imports(path)
        if name.partition(".")[0] in _IMPURE
    }

    assert impure == set()


def test_the_core_needs_nothing_but_the_standard_library_and_msgspec():
    foreign = {
        f"{path}: {name}"
        for path in tree.python_files(_CORE)
        for name in _imports(path)
        if name.partition(".")[0] not in _PURE_LIBRARIES | sys.stdlib_module_names
    }

    assert foreign == set()


def test_what_runs_inside_a_function_needs_the_standard_library_only():
    bootstrap = "runtime/penstock/functions/bootstrap"
    # Faster JSON is used where the function brings it along.
    allowed = sys.stdlib_module_names | {"orjson"}
    foreign = {
        f"{path}: {name}"
        for path in tree.python_files(bootstrap)
        for name in _imports(path)
        if name.partition(".")[0] not in allowed and not name.startswith("penstock.functions.bootstrap")
    }

    assert foreign == set()


def test_everything_public_in_the_api_is_documented():
    assert [name for path in tree.python_files(_API) for name in _undocumented(path)] == []


def test_the_api_exports_what_it_imports():
    module = tree.syntax(Path(_API, "__init__.py"))
    imported = {
        name.asname or name.name for node in module.body if isinstance(node, ast.ImportFrom) for name in node.names
    }
    exported = next(
        ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    )

    assert set(exported) == imported


def _undocumented(path: Path) -> Iterator[str]:
    module = tree.syntax(path)
    if ast.get_docstring(module) is None:
        yield str(path)
    for node in module.body:
        public = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith(
            "_"
        )
        if public and ast.get_docstring(node) is None:
            yield f"{path}: {node.name}"
