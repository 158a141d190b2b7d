"""What a user may get wrong before anything runs: `penstock up` ends with 2 and one message, with file and line."""

from __future__ import annotations

import json
import socket
import subprocess

import pytest

from e2e.node_project import Project

pytestmark = pytest.mark.e2e

# FILE and FOLDER stand for the configuration and its folder. The lines are those of `node_project.CONFIG`.
IN_THE_FILE = {
    "an unknown key": (
        "BatchSize: 10",
        "BatchSise: 10",
        "FILE:12: Functions.tally.Events.Ticks.BatchSise: is not known; did you mean BatchSize?",
    ),
    "an unknown section": ("Functions:", "Funktions:", "FILE:6: Funktions: is not known; did you mean Functions?"),
    "a wrong type": (
        "Timeout: 70",
        "Timeout: {Seconds: 70}",
        "FILE:10: Functions.tally.Timeout: is an object; a whole number of seconds from 1 to 900",
    ),
    "a text for a number": (
        "BatchSize: 10",
        "BatchSize: ten",
        "FILE:12: Functions.tally.Events.Ticks.BatchSize: is 'ten'; a whole number from 1 to 10000",
    ),
    "a batch of nothing": (
        "BatchSize: 10",
        "BatchSize: 0",
        "FILE:12: Functions.tally.Events.Ticks.BatchSize: is 0; a whole number from 1 to 10000",
    ),
    "a source that is not in the file": (
        "{Source: jobs}",
        "{Source: job}",
        "FILE:13: Functions.tally.Events.Jobs.Source: there is no source 'job'; did you mean jobs?",
    ),
    "a starting position that is missing": (
        "StartingPosition: TRIM_HORIZON, ",
        "",
        (
            "FILE:12: Functions.tally.Events.Ticks.StartingPosition: is missing; "
            "TRIM_HORIZON, LATEST or AT_TIMESTAMP has to be given"
        ),
    ),
    "what is not supported yet": (
        "BatchSize: 10",
        "MixPartitions: true",
        "FILE:12: Functions.tally.Events.Ticks.MixPartitions: is not supported yet; leave it out or write false",
    ),
    "a variable that is not set": (
        "Timeout: 70",
        "Timeout: ${env:NOWHERE_SET}",
        (
            "FILE:10: Functions.tally.Timeout: the variable NOWHERE_SET is not set; "
            "set it, or write ${env:NOWHERE_SET:-default}"
        ),
    ),
    "a handler's file that is missing": (
        "Handler: app.",
        "Handler: elsewhere.",
        (
            "FILE:9: Functions.tally.Handler: is 'elsewhere.handler', but there is no elsewhere.py in FOLDER/fn; "
            "module.function of a file below CodeUri"
        ),
    ),
    "a folder that is missing": (
        "CodeUri: fn",
        "CodeUri: elsewhere",
        "FILE:8: Functions.tally.CodeUri: FOLDER/elsewhere is not there; a folder with the code",
    ),
    "a bracket that is never closed": (
        "CodeUri: fn",
        "CodeUri: [fn",
        "FILE:9: bad YAML: expected ',' or ']', but got ':' while parsing a flow sequence that begins in line 8",
    ),
    "a tab": (
        "    CodeUri: fn",
        "\tCodeUri: fn",
        "FILE:8: bad YAML: found character '\\t' that cannot start any token while scanning for the next token",
    ),
    "a key written twice": (
        "Timeout: 70",
        "CodeUri: fn",
        "FILE:10: the key 'CodeUri' is written twice; it stands in line 8 already",
    ),
}


@pytest.mark.parametrize(("right", "wrong", "message"), IN_THE_FILE.values(), ids=IN_THE_FILE)
def test_a_mistake_in_the_file_is_one_line(tmp_path, right, wrong, message):
    project = Project(tmp_path / "shop")
    text = project.file.read_text()
    assert text.count(right) == 1
    project.file.write_text(text.replace(right, wrong))

    ran = project.up()

    expected = message.replace("FILE", str(project.file)).replace("FOLDER", str(project.folder))
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"{expected}\n")
    assert not project.data_dir.exists()


def test_several_mistakes_are_said_at_once(tmp_path):
    project = Project(tmp_path / "shop")
    project.file.write_text(
        project.file.read_text().replace("Size: 10", "Size: 0").replace("Timeout: 70", "Timeout: x")
    )

    ran = project.up()

    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [
        f"{project.file}:10: Functions.tally.Timeout: is 'x'; a whole number of seconds from 1 to 900",
        f"{project.file}:12: Functions.tally.Events.Ticks.BatchSize: is 0; a whole number from 1 to 10000",
    ]


def test_a_syntax_error_is_said_with_the_line_of_the_code(tmp_path):
    project = Project(tmp_path / "shop")
    (project.folder / "fn" / "app.py").write_text("import json\n\ndef handler(event, context)\n    return 1\n")

    ran = project.up()

    said = f"{project.folder}/fn/app.py:3: Functions.tally.Handler: syntax error: expected ':'\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", said)


def test_files_are_named_as_the_user_names_the_configuration(tmp_path):
    project = Project(tmp_path / "shop")
    (project.folder / "fn" / "app.py").write_text("def handler(:\n")

    ran = subprocess.run(
        project.command("up", "-f", "shop/penstock.yaml"), capture_output=True, text=True, cwd=tmp_path, check=False
    )

    assert ran.returncode == 2
    assert ran.stderr.startswith("shop/fn/app.py:1: Functions.tally.Handler: syntax error: ")


def test_a_file_that_is_missing_is_said_with_what_to_do(tmp_path):
    project = Project(tmp_path / "shop")
    project.file.unlink()

    ran = project.up()

    said = f"{project.file}: there is no such file; name one with --file, or make one with `penstock init`\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", said)


def test_a_taken_port_and_a_taken_directory_are_said_with_what_to_do(tmp_path):
    project = Project(tmp_path / "shop")
    quiet = "--log-level=error"

    with project.node() as node, socket.create_server(("127.0.0.1", 0)) as taken:
        node.until_started()
        port = taken.getsockname()[1]
        same_directory = project.run("up", "--listen=none", quiet)
        same_port = project.run("up", f"--listen=127.0.0.1:{port}", f"--data-dir={tmp_path / 'other'}", quiet)
        pid = node.process.pid

    assert (same_directory.returncode, same_directory.stdout) == (2, "")
    assert same_directory.stderr == (
        f"Error: the data directory {project.data_dir} is in use by the node with pid {pid}; "
        "stop that one, or give this one a directory of its own with --data-dir\n"
    )
    assert (same_port.returncode, same_port.stdout) == (2, "")
    assert same_port.stderr == (
        f"Error: can not listen on 127.0.0.1:{port}: Address already in use; "
        "is another node running? choose another port with --listen HOST:PORT, or --listen none\n"
    )


def test_where_a_traceback_is_wanted_debug_shows_it(tmp_path):
    project = Project(tmp_path / "shop")
    project.file.write_text("Nmae: shop\n")

    ran = project.up("--debug")

    *before, last = ran.stderr.splitlines()
    assert ran.returncode == 2
    assert before[0] == "Traceback (most recent call last):"
    assert last == f"{project.file}:1: Nmae: is not known; did you mean Name?"


def test_what_is_wrong_can_be_had_as_json(tmp_path):
    project = Project(tmp_path / "shop")
    project.file.write_text(project.file.read_text().replace("BatchSize: 10", "BatchSize: 0"))

    ran = project.run("validate", "--json")

    assert (ran.returncode, ran.stderr) == (2, "")
    assert json.loads(ran.stdout)["errors"] == [
        {
            "file": str(project.file),
            "line": 12,
            "path": "Functions.tally.Events.Ticks.BatchSize",
            "problem": "is 0",
            "allowed": "a whole number from 1 to 10000",
        }
    ]
