"""A plugin that can not be loaded: listed with its error, its sources say why, everything else works."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROBLEM = "the plugin 'rope' can not be loaded: ModuleNotFoundError: No module named 'hemp_of_nobody' ("
PENSTOCK = Path(sys.executable).with_name("penstock")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(project, tmp_path: Path) -> Run:
    """Run the command where a distribution with a broken plugin is installed too."""
    site = tmp_path / "site"
    information = site / "penstock_rope-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: penstock-rope\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[penstock]\nrope = penstock_rope.plugin\n")
    (site / "penstock_rope").mkdir()
    (site / "penstock_rope" / "__init__.py").write_text("")
    (site / "penstock_rope" / "plugin.py").write_text("import hemp_of_nobody\n")
    text = project.file.read_text().replace("Functions:", "  old: {Type: rope, Password: secret77}\nFunctions:")
    project.file.write_text(text + "      FromOld: {Source: old}\n")

    def invoke(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PENSTOCK, *args],
            env={**os.environ, "PYTHONPATH": str(site), "PENSTOCK_FILE": str(project.file)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return invoke


def test_it_is_listed_with_its_error(run):
    done = run("plugin", "list")
    assert done.returncode == 0
    assert "sqlite-stream" in done.stdout
    assert "rope      1.0      -    failed to load" in done.stdout
    assert done.stderr.startswith("rope: ModuleNotFoundError: No module named 'hemp_of_nobody' (")
    assert done.stderr.rstrip().endswith("penstock_rope/plugin.py:1)")


@pytest.mark.parametrize("options", [(), ("--connect",)])
def test_validate_says_why_and_ends_with_two(run, project, options):
    done = run("validate", *options)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{project.file}:4: Sources.old.Type: {PROBLEM}")
    assert done.stderr.count(PROBLEM) == 1


def test_its_sources_say_why_and_the_others_work(run):
    refused = run("send", "old", "a")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"Error: {PROBLEM}")
    assert run("send", "orders", "a").returncode == 0


def test_what_may_be_secret_of_it_is_not_shown(run):
    done = run("config")
    assert done.returncode == 0
    assert "secret77" not in done.stdout
