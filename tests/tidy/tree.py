"""The files of the project, as far as they are not made by a tool: read from the disk, so that no git is needed."""

from __future__ import annotations

import ast
import fnmatch
import functools
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
_IGNORED = (".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.strip()))


@functools.cache
def files() -> tuple[Path, ...]:
    """List every file that belongs to the project, from its root: all but what `.gitignore` names."""
    found: list[Path] = []
    for folder, subfolders, names in os.walk(ROOT):
        subfolders[:] = [name for name in subfolders if not _is_ignored(name)]
        found += [Path(folder, name).relative_to(ROOT) for name in names if not _is_ignored(name)]
    return tuple(sorted(found))


def _is_ignored(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in _IGNORED)


def python_files(*folders: str) -> tuple[Path, ...]:
    """List the Python files, in these folders or in all."""
    return tuple(
        path
        for path in files()
        if path.suffix == ".py" and (not folders or any(path.is_relative_to(folder) for folder in folders))
    )


@functools.cache
def text(path: Path) -> str:
    """Read a file; one that is not text reads as nothing."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@functools.cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(text(path), str(path))


def packages() -> tuple[Path, ...]:
    """List the import packages that are distributed: the runtime's and each plugin's."""
    roots = (path.parent for path in python_files("runtime", "plugins") if path.name == "__init__.py")
    return tuple(folder for folder in roots if not (ROOT / folder.parent / "__init__.py").exists())
