"""`config`, `schema`, `init`, `plugin list`, `event`."""

import json
import subprocess
import sys

import pytest
import yaml

SECRETS = ("urlpass1", "filepass2", "envpass3")


def test_the_configuration_as_understood_is_yaml_or_json(project):
    shown = yaml.safe_load(project.ok("config"))
    assert shown["Functions"]["hello"]["Timeout"] == 10
    assert shown["Functions"]["hello"]["Events"]["FromOrders"]["BatchSize"] == 100
    assert shown == json.loads(project.ok("config", "--json"))


def test_no_command_shows_a_secret(project):
    project.write("key", "filepass2\n")
    text = project.file.read_text().replace(
        "    Timeout: 10\n",
        "    Environment: {Variables: {URL: 'amqp://u:urlpass1@h', KEY: '${file:key}', DB_PASSWORD: envpass3}}\n",
    )
    project.file.write_text(text)
    for args in (("config",), ("config", "--json"), ("validate",), ("validate", "--connect"), ("validate", "--json")):
        result = project.run(*args)
        assert result.exit_code == 0
        assert [secret for secret in SECRETS if secret in result.output] == []
    project.write("functions/hello/app.py", "import os\nraise ValueError('can not log in with ' + os.environ['KEY'])\n")
    result = project.run("validate", "--connect")
    assert result.exit_code == 2
    assert "can not log in with ******" in result.stderr


def test_paths_resolve_from_the_file_wherever_the_command_is_run(installed, project):
    done = installed("config", "--json", "-f", str(project.file), cwd="/")
    shown = json.loads(done.stdout)
    assert shown["Functions"]["hello"]["CodeUri"] == str(project.path / "functions" / "hello")
    assert shown["Settings"]["DataDir"] == str(project.path / ".penstock")


def test_the_data_directory_is_the_options(project):
    shown = json.loads(project.ok("config", "--json", "--data-dir", "/elsewhere"))
    assert shown["Settings"]["DataDir"] == "/elsewhere"


def test_the_schema_is_json_with_what_the_plugins_add(run):
    result = run("schema")
    assert result.exit_code == 0
    assert '"const": "sqlite-stream"' in result.stdout
    assert json.loads(result.stdout)["$schema"].endswith("2020-12/schema")


def test_plugins_are_listed_with_their_types(run):
    result = run("plugin", "list")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["PLUGIN", "VERSION", "API", "TYPE", "CAPABILITIES"]
    assert "sqlite-stream" in result.stdout
    (embedded,) = [each for each in json.loads(run("plugin", "list", "--json").stdout) if each["name"] == "embedded"]
    assert embedded["api_version"] == 1
    assert embedded["error"] == ""
    assert "leased" in embedded["capabilities"]["sqlite-stream"]


def test_a_new_project_is_valid_and_its_test_passes_with_plain_pytest(installed, tmp_path):
    done = installed("init", "shop", cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["shop/penstock.yaml", "shop/functions/hello/app.py", "shop/tests/test_hello.py"],
    )
    assert installed("validate", "--connect", cwd=tmp_path / "shop").returncode == 0
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "shop",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in tested.stdout
    assert installed("send", "orders", "Ada", "Grace", cwd=tmp_path / "shop").returncode == 0
    event = installed("event", "kinesis", "Ada", cwd=tmp_path / "shop").stdout
    invoked = installed("invoke", "hello", "-e", "-", "--local", cwd=tmp_path / "shop", given=event)
    assert json.loads(invoked.stdout) == {"greetings": ["Hello, Ada!"]}


@pytest.mark.parametrize("present", ["penstock.yaml", "functions/hello/app.py", "tests/test_hello.py"])
def test_nothing_is_overwritten_by_a_new_project(run, tmp_path, present):
    file = tmp_path / present
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    result = run("init", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr == f"Error: {file} is there already; nothing was written\n"
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [file]
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("event_format", "source", "values"),
    [
        ("kinesis", "aws:kinesis", ["YQ==", "Yg=="]),
        ("sqs", "aws:sqs", ["a", "b"]),
    ],
)
def test_an_event_has_one_record_for_each_text(run, event_format, source, values):
    result = run("event", event_format, "a", "b")
    assert result.exit_code == 0
    records = json.loads(result.stdout)["Records"]
    assert [record.get("eventSource") for record in records] == [source, source]
    assert [record["body"] if "body" in record else record["kinesis"]["data"] for record in records] == values


def test_a_kafka_event_groups_its_records_by_topic_and_partition(run):
    event = json.loads(run("event", "kafka", "a", "b", "--source", "orders", "--key", "k").stdout)
    assert event["eventSource"] == "SelfManagedKafka"
    assert [(record["offset"], record["key"], record["value"]) for record in event["records"]["orders-0"]] == [
        (0, "aw==", "YQ=="),
        (1, "aw==", "Yg=="),
    ]


def test_an_rmq_event_groups_its_messages_by_queue_and_virtual_host(run):
    event = json.loads(run("event", "rmq", "a", "b", "--source", "invoices").stdout)
    assert (event["eventSource"], event["eventSourceArn"].split(":")[2]) == ("aws:rmq", "mq")
    assert [message["data"] for message in event["rmqMessagesByQueue"]["invoices::/"]] == ["YQ==", "Yg=="]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("dynamodb",), "the event format 'dynamodb' is not supported yet; there are kafka, kinesis, sqs, rmq"),
        (("s3",), "the event format 's3' is not known; there are kafka, kinesis, sqs, rmq"),
        (("sqs", "a", "--key", "k"), "a message of the format sqs has no key"),
        (("rmq", "a", "--key", "k"), "a message of the format rmq has no key"),
    ],
)
def test_an_event_that_can_not_be_is_refused(run, args, message):
    result = run("event", *args)
    assert (result.exit_code, result.stderr) == (2, f"Error: {message}\n")
