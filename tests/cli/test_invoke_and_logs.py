"""`penstock invoke --local` and `penstock logs`."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from penstock.cli.log_files import follow_lines, lines_so_far


def test_a_function_is_run_in_an_environment_of_its_own(project):
    result = project.run("invoke", "hello", '{"name": "Ada"}', "--local")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"given": {"name": "Ada"}}
    assert result.stderr == ""


@pytest.mark.parametrize("args", [(), ("{}",)])
def test_the_event_is_an_empty_object_unless_given(project, args):
    assert json.loads(project.ok("invoke", "hello", *args, "--local")) == {"given": {}}


def test_the_event_can_come_from_a_file_or_stdin(project):
    file = project.write("event.json", '{"from": "file"}')
    assert json.loads(project.ok("invoke", "hello", "-e", str(file), "--local")) == {"given": {"from": "file"}}
    assert json.loads(project.ok("invoke", "hello", "-e", "-", "--local", given='{"a": 1}')) == {"given": {"a": 1}}


def test_a_function_that_fails_ends_with_one_and_prints_its_error_document(project):
    result = project.run("invoke", "hello", '{"fail": true}', "--local")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["errorType"], document["errorMessage"]) == ("ValueError", "as you wish")
    assert result.stderr == "Error: the function failed: ValueError: as you wish\n"


def test_the_log_of_the_invocation_can_be_seen(project):
    result = project.run("invoke", "hello", '{"a": 1}', "--local", "--log")
    assert "was given {'a': 1}" in result.stderr


def test_the_result_can_be_had_as_json(project):
    shown = json.loads(project.ok("invoke", "hello", "--local", "--json"))
    assert (shown["payload"], shown["functionError"]) == ({"given": {}}, None)
    failed = project.run("invoke", "hello", '{"fail": 1}', "--local", "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["functionError"] == "ValueError"


def test_a_dry_run_checks_and_runs_nothing(project):
    result = project.run("invoke", "hello", "--local", "--invocation-type", "DryRun")
    assert (result.exit_code, result.stdout) == (0, "")
    assert not (project.path / ".penstock").exists()
    assert project.run("invoke", "nobody", "--local", "--invocation-type", "DryRun").exit_code == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("hello",), "invoking at a node is not supported yet; --local runs the function without one"),
        (
            ("hello", "--local", "--invocation-type", "Event"),
            "the invocation type Event is not supported yet; there are RequestResponse and DryRun",
        ),
        (("hello", "{}", "-e", "x", "--local"), "give PAYLOAD or --event, and not both"),
        (("hello", "-e", "/nowhere", "--local"), "/nowhere: No such file or directory"),
    ],
)
def test_what_can_not_be_invoked_is_one_message(project, args, message):
    result = project.run("invoke", *args)
    assert (result.exit_code, result.stderr) == (2, f"Error: {message}\n")


@pytest.mark.parametrize("payload", ["{", "", "nope"])
def test_a_payload_that_is_not_json_is_refused(project, payload):
    result = project.run("invoke", "hello", payload, "--local")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: PAYLOAD is not JSON: ")


def test_a_function_that_is_not_there_is_named_with_those_that_are(project):
    result = project.run("invoke", "nobody", "--local")
    assert result.exit_code == 2
    assert result.stderr == f"Error: there is no function 'nobody' in {project.file}; there are hello\n"


def write_log(project, *names_and_lines: tuple[str, list[dict]]) -> None:
    folder = project.path / ".penstock" / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in names_and_lines:
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def line(number: int, request_id: str = "r-1") -> dict:
    return {"time": f"2026-01-31T12:00:{number:02d}.000Z", "request_id": request_id, "message": f"line {number}"}


def test_the_log_of_an_invocation_can_be_read_afterwards(project):
    project.ok("invoke", "hello", '{"a": 1}', "--local")
    (shown,) = [each for each in project.ok("logs", "hello").splitlines() if "was given" in each]
    assert shown.endswith(" was given {'a': 1}")
    fields = json.loads(project.ok("logs", "hello", "--json").splitlines()[0])
    assert {"time", "request_id", "message"} <= set(fields)


def test_lines_of_rotated_files_come_first(project):
    write_log(project, ("hello.log", [line(3)]), ("hello.log.1", [line(2)]), ("hello.log.2", [line(1)]))
    assert project.ok("logs", "hello").splitlines() == [
        f"2026-01-31T12:00:0{number}.000Z r-1 line {number}" for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("args", "numbers"),
    [
        (("--tail", "1"), [3]),
        (("--tail", "0"), []),
        (("--since", "2026-01-31T12:00:02Z"), [2, 3]),
        (("--since", "1s"), []),
        (("--request-id", "r-2"), [2]),
        (("--request-id", "r-2", "--tail", "5"), [2]),
        (("--request-id", "none"), []),
    ],
)
def test_lines_are_chosen_by_time_by_request_and_from_the_end(project, args, numbers):
    write_log(project, ("hello.log", [line(1), line(2, "r-2"), line(3)]))
    shown = [json.loads(each) for each in project.ok("logs", "hello", "--json", *args).splitlines()]
    assert [each["message"] for each in shown] == [f"line {number}" for number in numbers]


def test_a_function_without_a_log_says_so(project):
    result = project.run("logs", "hello")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"'hello' has no log in {project.path}/.penstock/logs yet\n"


def test_a_wrong_time_is_refused(project):
    result = project.run("logs", "hello", "--since", "soon")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --since is 'soon'; ")


def test_a_log_is_followed_through_a_rotation(tmp_path: Path):
    path = tmp_path / "f.log"
    path.write_text("1\n")
    found, position = lines_so_far(path)
    assert list(found) == ["1"]
    followed = follow_lines(path, position)
    with path.open("a") as file:
        file.write("2\n3")
    assert next(followed) == "2"
    with path.open("a") as file:
        file.write(" and more\n")
    path.rename(tmp_path / "f.log.1")
    path.write_text("4\n")
    assert [next(followed), next(followed)] == ["3 and more", "4"]
    followed.close()


def test_a_log_is_followed_from_before_it_exists(tmp_path: Path):
    path = tmp_path / "f.log"
    found, position = lines_so_far(path)
    assert list(found) == []
    writer = threading.Timer(0.05, path.write_text, ("first\n",))
    writer.start()
    followed = follow_lines(path, position)
    assert next(followed) == "first"
    followed.close()
    writer.join()


def test_a_log_that_is_rotated_while_it_is_read_has_each_line_once(tmp_path: Path):
    path = tmp_path / "f.log"
    path.write_text("1\n")
    found, _ = lines_so_far(path)
    path.rename(tmp_path / "f.log.1")
    path.write_text("2\n")
    assert list(found) == ["1"]


def test_a_function_is_followed_until_interrupted(project):
    write_log(project, ("hello.log", [line(1)]))
    with subprocess.Popen(
        [sys.executable, "-m", "penstock", "logs", "hello", "-f", "--file", str(project.file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().endswith("line 1\n")
            with (project.path / ".penstock/logs/hello.log").open("a") as file:
                file.write(json.dumps(line(2)) + "\n")
            assert process.stdout.readline().endswith("line 2\n")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
