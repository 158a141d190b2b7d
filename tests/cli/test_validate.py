"""`penstock validate`: exit codes and the form of its messages."""

import json
import socket

import pytest


def test_a_good_configuration_is_valid(project):
    result = project.run("validate")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "shop is valid: 2 sources, 1 function, 1 mapping\n"


def test_every_mistake_is_one_line_with_file_and_line(project):
    project.write(
        "penstock.yaml",
        """\
        Sources:
          orders: {Type: sqlite-stram}
        Functions:
          hello:
            CodeUri: functions/hello
            Handler: app
            Events:
              A: {Source: orders, StartingPosition: LATEST, BatchSize: 0}
        """,
    )
    result = project.run("validate")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.replace(f"{project.file}", "FILE").splitlines() == [
        "FILE:2: Sources.orders.Type: the type 'sqlite-stram' is not known; did you mean sqlite-stream?",
        (
            "FILE:6: Functions.hello.Handler: is 'app'; "
            "module.function, such as app.handler for the function handler of app.py"
        ),
        "FILE:8: Functions.hello.Events.A.BatchSize: is 0; a whole number from 1 to 10000",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [\n", ":1: bad YAML: expected the node content, but found '<stream end>' while parsing a flow node\n"),
        ("Sources: {}\nSources: {}\n", ":2: the key 'Sources' is written twice; it stands in line 1 already\n"),
    ],
)
def test_bad_yaml_is_one_message_with_its_line(project, text, message):
    project.write("penstock.yaml", text)
    result = project.run("validate")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{project.file}:")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.split(": ", 1)[1].split()[0] == message.split(": ", 1)[1].split()[0]


def test_a_missing_file_is_one_message(run):
    result = run("validate", "-f", "/nowhere/penstock.yaml")
    assert result.exit_code == 2
    assert result.stderr == (
        "/nowhere/penstock.yaml: there is no such file; name one with --file, or make one with `penstock init`\n"
    )


def test_a_syntax_error_in_a_function_is_named_with_its_own_line(project):
    project.write("functions/hello/app.py", "def handler(event, context):\n    return )\n")
    result = project.run("validate")
    assert result.exit_code == 2
    assert result.stderr == (
        f"{project.path}/functions/hello/app.py:2: Functions.hello.Handler: syntax error: unmatched ')'\n"
    )


def test_warnings_are_said_and_are_no_mistake(project):
    text = project.file.read_text().replace(", MaximumRetryAttempts: 3", "")
    project.file.write_text(text)
    result = project.run("validate")
    assert result.exit_code == 0
    assert result.stderr == (
        f"{project.file}:10: warning: Functions.hello.Events.FromOrders.MaximumRetryAttempts: "
        "a record that always fails may block its shard for ever; "
        "set MaximumRetryAttempts, MaximumRecordAgeInSeconds or both\n"
    )


def test_the_result_can_be_had_as_json(project):
    assert json.loads(project.ok("validate", "--json")) == {"valid": True, "errors": [], "warnings": []}
    project.write("penstock.yaml", "Nmae: x\n")
    result = project.run("validate", "--json")
    assert result.exit_code == 2
    assert result.stderr == ""
    assert json.loads(result.stdout) == {
        "valid": False,
        "errors": [
            {
                "file": str(project.file),
                "line": 1,
                "path": "Nmae",
                "problem": "is not known",
                "allowed": "did you mean Name?",
            }
        ],
        "warnings": [],
    }


def test_connecting_finds_nothing_wrong_with_what_works(project):
    result = project.run("validate", "--connect")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("handler = 3\n", ["Runtime.HandlerNotFound", "'handler'", "is not callable"]),
        ("def other(event, context): ...\n", ["Runtime.HandlerNotFound", "'handler' missing on module 'app'"]),
        ("import nowhere_at_all\n", ["Runtime.ImportModuleError", "nowhere_at_all", "Python:", "Layers:"]),
        ("raise ValueError('on purpose')\n", ["ValueError", "on purpose"]),
    ],
)
def test_connecting_imports_every_function_and_says_what_is_wrong(project, code, words):
    project.write("functions/hello/app.py", code)
    assert project.run("validate").exit_code == 0
    result = project.run("validate", "--connect")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{project.file}:7: Functions.hello.Handler: ")
    assert [word for word in words if word not in result.stderr] == []
    assert result.stdout == ""


def test_connecting_finds_a_source_that_is_missing(project):
    project.file.write_text(
        project.file.read_text().replace("sqlite-stream, Create: true", "sqlite-stream, Create: false")
    )
    result = project.run("validate", "--connect")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{project.file}:2: Sources.orders: ")
    assert "sources.db" in result.stderr
    assert not (project.path / ".penstock").exists()


def test_connecting_does_not_look_at_a_source_that_nobody_uses(project):
    project.file.write_text(
        project.file.read_text().replace("sqlite-queue, Create: true", "sqlite-queue, Create: false")
    )
    assert project.run("validate", "--connect").exit_code == 0


def test_a_broker_that_can_not_be_reached_ends_with_three(project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # nobody listens on it
        text = project.file.read_text()
        project.file.write_text(
            text.replace(
                "{Type: sqlite-stream, Create: true}", f"{{Type: kafka, BootstrapServers: 127.0.0.1:{port}, Topic: t}}"
            )
        )
        if project.run("validate").exit_code != 0:
            pytest.skip("the Kafka plugin is not installed")
        result = project.run("validate", "--connect")
    assert result.exit_code == 3
    assert result.stderr.startswith(f"{project.file}:2: Sources.orders: ")
    assert "Traceback" not in result.stderr
