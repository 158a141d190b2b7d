"""`penstock send` and `penstock peek` on embedded sources."""

import json

import pytest


def peeked(project, source: str, *args: str) -> list[dict]:
    return [json.loads(line) for line in project.ok("peek", source, "--json", *args).splitlines()]


def test_what_is_sent_can_be_seen(project):
    result = project.run("send", "orders", "a", "b", "--key", "k", "--header", "h=1", "--header", "h=2")
    assert (result.exit_code, result.stderr) == (0, "sent 2 records to orders\n")
    first, second = peeked(project, "orders")
    assert (first["value"], first["key"], first["headers"]) == ("a", "k", [["h", "1"], ["h", "2"]])
    assert second["value"] == "b"
    assert second["position"] > first["position"]


def test_looking_takes_nothing_away(project):
    project.ok("send", "jobs", "a", "b")
    assert peeked(project, "jobs") == peeked(project, "jobs")
    assert [message["body"] for message in peeked(project, "jobs")] == ["a", "b"]


def test_the_data_directory_that_a_command_makes_is_private_and_out_of_git(project):
    project.ok("send", "orders", "a")
    data_dir = project.path / ".penstock"
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert (data_dir / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize(("args", "given"), [(("--from-file", "-"), "a\nb\n\nc"), (("-",), "a\nb\n\nc\n")])
def test_lines_of_stdin_are_sent(project, args, given):
    project.ok("send", "orders", *args, given=given)
    assert [record["value"] for record in peeked(project, "orders")] == ["a", "b", "", "c"]


def test_lines_of_a_file_are_sent_in_order_however_many(project):
    file = project.write("lines.txt", "".join(f"{number}\n" for number in range(2500)))
    result = project.run("send", "orders", "--from-file", str(file))
    assert result.stderr == "sent 2,500 records to orders\n"
    records = peeked(project, "orders", "--limit", "3000")
    assert [record["value"] for record in records] == [str(number) for number in range(2500)]


def test_json_lines_carry_keys_and_headers(project):
    lines = [
        {"data": "text", "key": "k", "headers": {"a": "1", "b": ["2", None]}},
        {"data": {"order": 7}},
        {"data": None, "key": 5},
    ]
    project.ok("send", "orders", "--jsonl", "-", "--header", "z=0", given="\n\n".join(map(json.dumps, lines)))
    assert [(each["value"], each["key"], each["headers"]) for each in peeked(project, "orders")] == [
        ("text", "k", [["z", "0"], ["a", "1"], ["b", "2"], ["b", None]]),
        ('{"order":7}', None, [["z", "0"]]),
        (None, "5", [["z", "0"]]),
    ]


def test_json_lines_carry_attributes_to_a_queue(project):
    line = {"data": "x", "attributes": {"a": "text", "n": 1.5, "b": {"DataType": "Binary", "BinaryValue": "/w=="}}}
    project.ok("send", "jobs", "--jsonl", json.dumps(line))
    (message,) = peeked(project, "jobs")
    assert message["attributes"] == {
        "a": {"dataType": "String", "value": "text"},
        "n": {"dataType": "Number", "value": "1.5"},
        "b": {"dataType": "Binary", "value": {"base64": "/w=="}},
    }


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "is not JSON: Expecting property name enclosed in double quotes"),
        ("[1]", "is no object; an object with data, key, headers, group, attributes is wanted"),
        ('{"key": "a"}', "'data' is missing; null stands for a record without a value"),
        ('{"data": 1, "vlaue": 2}', "'vlaue' is not known; known are data, key, headers, group, attributes"),
        ('{"data": 1, "key": [1]}', "'key' is [1]; a text is wanted"),
        ('{"data": 1, "headers": []}', "'headers' is no object; names and texts are wanted"),
        (
            '{"data": 1, "attributes": {"a": {}}}',
            "'attributes.a' is no text, number, or object with DataType and StringValue or BinaryValue",
        ),
    ],
)
def test_a_wrong_line_is_named_and_what_came_before_is_counted(project, line, problem):
    result = project.run("send", "orders", "--jsonl", "-", given='{"data": 1}\n' * 1000 + line + "\n")
    assert result.exit_code == 2
    assert result.stderr == f"sent 1,000 records to orders\nError: stdin:1001: {problem}\n"


def test_what_a_source_refuses_is_named_and_the_rest_is_sent(project):
    lines = '{"data": "a"}\n{"data": "b", "key": "k"}\n{"data": "c"}\n'
    result = project.run("send", "jobs", "--jsonl", "-", given=lines)
    assert result.exit_code == 1
    assert result.stderr.startswith("record 2 was refused: ")
    assert result.stderr.endswith("sent 2 records to jobs\n")
    shown = project.run("send", "jobs", "--jsonl", "-", "--json", given=lines)
    assert shown.exit_code == 1
    assert [each["record"] for each in json.loads(shown.stdout)["refused"]] == [2]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("orders",), "give DATA or --from-file"),
        (("orders", "a", "--from-file", "x"), "give DATA, or --from-file (- is stdin), and not both"),
        (("orders", "--from-file", "/nowhere"), "/nowhere: No such file or directory"),
        (("orders", "a", "--header", "x"), "--header is 'x'; NAME=VALUE is wanted"),
    ],
)
def test_wrong_usage_of_send_is_one_message(project, args, message):
    result = project.run("send", *args)
    assert result.exit_code == 2
    assert result.stderr == f"Error: {message}\n"


def test_a_source_that_is_not_there_is_not_made_by_accident(project):
    project.file.write_text(
        project.file.read_text().replace("sqlite-stream, Create: true", "sqlite-stream, Create: false")
    )
    result = project.run("send", "orders", "a")
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_a_source_can_be_named_by_its_arn(project):
    project.ok("send", "arn:aws:kinesis:us-east-1:000000000000:stream/orders", "a")
    assert [record["value"] for record in peeked(project, "orders")] == ["a"]


def test_peek_shows_ten_unless_told_otherwise(project):
    project.ok("send", "orders", *map(str, range(30)))
    assert len(peeked(project, "orders")) == 10
    assert [record["value"] for record in peeked(project, "orders", "--limit", "2")] == ["0", "1"]


def test_peek_begins_where_it_is_told(project):
    project.ok("send", "orders", *map(str, range(5)))
    position = peeked(project, "orders")[3]["position"]
    assert [record["value"] for record in peeked(project, "orders", "--from", str(position))] == ["3", "4"]
    assert peeked(project, "orders", "--from", "LATEST") == []
    assert len(peeked(project, "orders", "--from", "2020-01-01")) == 5
    assert peeked(project, "orders", "--from", "2100-01-01T00:00:00Z") == []
    result = project.run("peek", "orders", "--from", "soon")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --from is 'soon'; TRIM_HORIZON, LATEST, a time such as ")


def test_following_goes_on_to_the_limit(project):
    project.ok("send", "orders", "a", "b")
    assert len(peeked(project, "orders", "--follow", "--limit", "2")) == 2


def test_one_record_is_one_line_and_no_control_character_reaches_the_terminal(project):
    project.ok("send", "orders", "a\nb\x1b[31m\tc")
    (line,) = project.ok("peek", "orders").splitlines()
    assert line.endswith("\ta\\nb\\x1b[31m\\tc")
