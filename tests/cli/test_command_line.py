"""The command as a whole: help, exit codes, messages."""

import json
import signal
import subprocess
import sys

import click
import pytest

from penstock.cli import penstock
from penstock.cli.group import COMMANDS


def _leaves() -> list[tuple[str, ...]]:
    context = click.Context(penstock)
    leaves: list[tuple[str, ...]] = []
    for name in COMMANDS:
        command = penstock.get_command(context, name)
        if isinstance(command, click.Group):
            leaves += [(name, each) for each in command.commands]
        else:
            leaves.append((name,))
    return leaves


@pytest.mark.parametrize("path", _leaves(), ids=" ".join)
def test_every_command_has_help_with_an_example_and_json(run, path):
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert "Example:\n    penstock" in result.stdout
    assert "--json" in result.stdout


def test_the_overview_lists_every_command_without_importing_any():
    code = (
        "import sys\n"
        "from penstock.cli import penstock\n"
        "penstock.main(['--help'], standalone_mode=False)\n"
        "print([name for name in sys.modules if name.startswith(('yaml', 'msgspec', 'rich', 'asyncio', 'pluggy'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in COMMANDS if f"\n  {name} " not in done.stdout] == []
    assert done.stdout.endswith("[]\n")


def test_the_version_is_that_of_the_distribution(installed):
    done = installed("--version")
    assert (done.returncode, done.stdout) == (0, "penstock 0.1.0\n")


def test_a_command_that_does_not_exist_is_refused_with_the_nearest(run):
    result = run("validte")
    assert result.exit_code == 2
    assert "there is no command 'validte'; did you mean 'validate'?" in result.stderr


@pytest.mark.parametrize(
    "args", [("peek",), ("peek", "orders", "--limit", "0"), ("send", "--nope"), ("plugin", "nope")]
)
def test_wrong_usage_ends_with_two(run, args):
    result = run(*args)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_mistake_has_no_traceback_unless_debug_asks_for_it(project):
    plain = project.run("peek", "nowhere")
    shown = project.run("peek", "nowhere", "--debug")
    assert (plain.exit_code, shown.exit_code) == (2, 2)
    assert plain.stderr == f"Error: there is no source 'nowhere' in {project.file}; there are orders, jobs\n"
    assert "Traceback (most recent call last)" in shown.stderr


def test_messages_go_to_stderr_and_results_to_stdout(installed, project):
    done = installed("send", "orders", "a", "--json", "-f", str(project.file))
    assert json.loads(done.stdout) == {"source": "orders", "sent": 1, "refused": []}
    assert done.stderr == ""
    done = installed("send", "orders", "a", "-f", str(project.file))
    assert (done.stdout, done.stderr) == ("", "sent 1 record to orders\n")


def test_an_interrupted_command_ends_with_130(project):
    project.ok("send", "orders", "first")
    with subprocess.Popen(
        [sys.executable, "-m", "penstock", "peek", "orders", "--follow", "-f", str(project.file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert "first" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert stderr.strip() == "interrupted"


def test_a_reader_that_goes_away_is_no_error(project):
    project.ok("send", "orders", *map(str, range(50)))
    done = subprocess.run(
        f"{sys.executable} -m penstock peek orders --limit 50 -f {project.file} | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
