"""What the linters do not hold: sizes, names and papers of the whole tree."""

from __future__ import annotations

import re
from pathlib import Path

from tidy import tree

LINES_MAX = 500

# A file may be longer when its reader is better served by one file; here stands why.
LONGER_FOR_A_REASON: dict[str, str] = {}

# Where the folders of people and their checkouts begin on a machine.
_MACHINE_PATH = re.compile(r"(?<![\w./$~}-])/(?:home|root|Users|work)/\w[\w./-]*")


def _lines(path: Path) -> int:
    return tree.text(path).count("\n")


def test_no_file_outgrows_its_reader():
    too_long = {
        str(path): _lines(path)
        for path in tree.python_files()
        if _lines(path) > LINES_MAX and str(path) not in LONGER_FOR_A_REASON
    }

    assert too_long == {}


def test_a_file_is_excused_only_as_long_as_it_is_long():
    assert [name for name in LONGER_FOR_A_REASON if _lines(Path(name)) <= LINES_MAX] == []


def test_no_file_knows_the_machine_it_was_written_on():
    found = {
        str(path): match[0]
        for path in tree.files()
        if path.name != "uv.lock" and (match := _MACHINE_PATH.search(tree.text(path)))
    }

    assert found == {}


def test_no_file_holds_what_a_failed_merge_leaves():
    marker = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)

    assert [str(path) for path in tree.files() if marker.search(tree.text(path))] == []


def test_every_package_says_that_it_is_typed():
    assert [str(folder) for folder in tree.packages() if not (tree.ROOT / folder / "py.typed").exists()] == []


def test_every_plugin_has_a_readme_and_a_distribution_of_its_own():
    plugins = {Path(*path.parts[:2]) for path in tree.files() if path.parts[0] == "plugins" and len(path.parts) > 2}

    assert plugins
    assert [
        str(plugin / name)
        for plugin in sorted(plugins)
        for name in ("README.md", "pyproject.toml")
        if not (tree.ROOT / plugin / name).exists()
    ] == []


def test_the_papers_are_there():
    papers = ("README.md", "LICENSE", "runtime/CHANGELOG.md", "runtime/decisions/README.md")

    assert [name for name in papers if not tree.text(Path(name)).strip()] == []


def test_every_decision_is_listed():
    listed = tree.text(Path("runtime/decisions/README.md"))
    pages = [path.name for path in tree.files() if re.fullmatch(r"runtime/decisions/\d{4}-.*\.md", str(path))]

    assert [name for name in pages if name not in listed] == []


def test_every_target_of_the_makefile_explains_itself():
    makefile = tree.text(Path("Makefile"))
    promised = ("demo", "test", "check", "brokers", "brokers-down", "bench", "simulate", "build")

    assert [name for name in promised if not re.search(rf"^{name}:[^#\n]*## \w", makefile, re.MULTILINE)] == []
