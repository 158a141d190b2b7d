"""`penstock filter`: patterns tried on events, on records and on what a source holds."""

import json

import pytest

BIG = '{"total": [{"numeric": [">", 100]}]}'
UNREADABLE = '{"data": "", "basicProperties": {"headers": {"a": {"bytes": ["x"]}}}}'
DATA = '{"data": {"total": [{"numeric": [">", 100]}]}}'


def test_a_match_ends_with_zero_and_says_so(project):
    result = project.run("filter", BIG, '{"total": 250}')
    assert (result.exit_code, result.stdout, result.stderr) == (0, "match\n", "")
    assert json.loads(project.ok("filter", BIG, '{"total": 250}', "--json")) == {"matches": True, "reasons": []}


def test_no_match_ends_with_one_and_names_the_field_that_decided_and_what_it_wanted(project):
    result = project.run("filter", BIG, '{"total": 7}')
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout == 'no match: total: wanted [{"numeric": [">", 100]}]; found 7\n'
    shown = project.run("filter", BIG, "{}", "--json")
    assert shown.exit_code == 1
    assert json.loads(shown.stdout) == {
        "matches": False,
        "reasons": [{"field": "total", "wanted": '[{"numeric": [">", 100]}]', "found": "no such field"}],
    }


def test_an_invalid_pattern_ends_with_two_and_the_reason(project):
    result = project.run("filter", '{"total": [{"nummeric": [">", 100]}]}', "{}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(
        'Error: PATTERN: total[0]: Unrecognized match type nummeric; found "nummeric"; allowed: one of exactly, '
    )


def test_pattern_and_event_may_be_files_or_stdin(project):
    pattern, event = project.write("pattern.json", BIG), project.write("event.json", '{"total": 250}')
    assert project.ok("filter", str(pattern), str(event)) == "match\n"
    assert project.ok("filter", "-", str(event), given=BIG) == "match\n"
    assert project.ok("filter", str(pattern), "-", given='{"total": 101}') == "match\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((BIG,), "give EVENT or --source, and not both"),
        ((BIG, "{}", "--source", "orders"), "give EVENT or --source, and not both"),
        (("-", "-"), "PATTERN and EVENT can not both be stdin"),
        (
            ("nowhere.json", "{}"),
            "PATTERN is neither a JSON object nor a file: nowhere.json: No such file or directory",
        ),
        ((BIG, "{"), "EVENT is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ((BIG, "[" * 100_000), "EVENT is not JSON: maximum recursion depth exceeded"),
        ((BIG, "[]"), "EVENT is no JSON object"),
        ((DATA, "{}", "--event-format", "kinesis"), "EVENT has no object 'kinesis', as a kinesis record has"),
        (
            (DATA, "[]", "--event-format", "kinesis"),
            "EVENT is no JSON object; a record as the event shows it is wanted",
        ),
        (
            (DATA, '{"Records": [{}, {}]}', "--event-format", "kinesis"),
            "EVENT is an event of 2 records; one record is wanted",
        ),
        (
            ('{"data": ["x"]}', UNREADABLE, "--event-format", "rmq"),
            "EVENT has headers whose 'bytes' are no list of numbers",
        ),
        (
            ('{"value": ["x"]}', '{"value": "?"}', "--event-format", "kafka"),
            "EVENT has a 'value' that is not base64, which is how the event shows it",
        ),
        ((BIG, "--source", "nowhere"), "there is no source 'nowhere' in "),
        ((DATA, "--source", "orders", "--event-format", "sqs"), "--event-format is 'sqs'; orders has kinesis"),
    ],
)
def test_wrong_usage_is_one_message(project, args, message):
    result = project.run("filter", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {message}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("event_format", "matching", "other"),
    [
        ("kinesis", DATA, '{"data": {"total": [1]}}'),
        ("kafka", '{"value": {"total": [250]}, "topic": ["example"]}', '{"value": {"total": [250]}, "topic": ["x"]}'),
        ("sqs", '{"body": {"total": [250]}, "eventSource": ["aws:sqs"]}', '{"body": ["x"]}'),
        (
            "rmq",
            '{"data": {"total": [250]}, "basicProperties": {"bodySize": [14]}}',
            '{"data": {"total": [250]}, "redelivered": [true]}',
        ),
    ],
)
def test_an_event_as_the_function_gets_it_is_taken_as_its_record(project, event_format, matching, other):
    event = project.ok("event", event_format, '{"total": 250}')
    assert project.ok("filter", matching, "-", "--event-format", event_format, given=event) == "match\n"
    assert project.run("filter", other, "-", "--event-format", event_format, given=event).exit_code == 1


def test_records_of_dynamodb_and_of_mq_are_taken_as_events_show_them(project):
    change = {"eventName": "INSERT", "dynamodb": {"NewImage": {"id": {"S": "a"}}}}
    pattern = '{"eventName": ["INSERT"], "dynamodb": {"NewImage": {"id": {"S": ["a"]}}}}'
    assert project.ok("filter", pattern, json.dumps(change), "--event-format", "dynamodb") == "match\n"
    properties = {"type": "t", "headers": {"kind": {"bytes": [-61, -87]}, "shop": {"number": 7}}}
    message = {"data": "aGVsbG8=", "redelivered": False, "basicProperties": properties}
    pattern = """{"data": ["hello"], "redelivered": [false],
        "basicProperties": {"type": ["t"], "headers": {"kind": ["é"], "shop": {"number": [7]}}}}"""
    assert project.ok("filter", pattern, json.dumps(message), "--event-format", "rmq") == "match\n"


def test_headers_and_key_of_a_kafka_record_are_texts_to_a_pattern(project):
    record = {"value": None, "key": "ZXUtNw==", "headers": [{"a": [120, 121]}, {"b": [-61, -87]}]}
    pattern = '{"key": [{"prefix": "eu-"}], "headers": {"a": ["xy"], "b": ["é"]}, "value": [null]}'
    assert project.ok("filter", pattern, json.dumps(record), "--event-format", "kafka") == "match\n"


def test_what_no_record_has_is_warned_of(project):
    event = project.ok("event", "kinesis", "{}")
    result = project.run("filter", '{"dta": {"a": [1]}}', "-", "--event-format", "kinesis", given=event)
    assert result.exit_code == 1
    assert result.stderr.startswith("warning: dta.a: no kinesis record has 'dta'; there are ")


def test_the_records_of_a_source_are_counted(project):
    project.ok("send", "orders", '{"total": 250}', '{"total": 7}', "text", '{"total": 300}')
    assert project.ok("filter", DATA, "--source", "orders") == "2 of 4 records of orders match\n"
    assert json.loads(project.ok("filter", DATA, "--source", "orders", "--limit", "2", "--json")) == {
        "source": "orders",
        "records": 2,
        "matching": 1,
    }


def test_the_messages_of_a_queue_are_counted_and_stay(project):
    project.ok("send", "jobs", "a", "b", "b")
    assert project.ok("filter", '{"body": ["b"]}', "--source", "jobs") == "2 of 3 records of jobs match\n"
    assert project.ok("filter", '{"body": ["b"]}', "--source", "jobs") == "2 of 3 records of jobs match\n"


def test_a_source_of_which_nothing_matches_ends_with_one(project):
    project.ok("send", "orders", "{}")
    result = project.run("filter", DATA, "--source", "orders")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "0 of 1 records of orders match\n", "")


def test_a_pattern_that_a_source_can_not_be_asked_is_refused(project):
    project.ok("send", "orders", "{}")
    result = project.run("filter", '{"data": ["x"]}', "--source", "orders")
    assert result.exit_code == 2
    assert result.stderr.startswith('Error: PATTERN: data: "data" must be an object; found ["x"]; allowed: fields of ')
