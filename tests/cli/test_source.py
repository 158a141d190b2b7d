"""`penstock source list` and `show`."""

import json


def test_sources_are_listed_with_the_mappings_that_read_them(project):
    lines = project.ok("source", "list").splitlines()
    assert lines[0].split() == ["SOURCE", "TYPE", "KIND", "READ", "BY", "ARN"]
    assert lines[1].split()[:4] == ["orders", "sqlite-stream", "stream", "hello.FromOrders"]
    assert lines[2].split()[:4] == ["jobs", "sqlite-queue", "queue", "-"]
    listed = json.loads(project.ok("source", "list", "--json"))
    assert [each["mappings"] for each in listed] == [["hello.FromOrders"], []]


def test_a_stream_shows_its_settings_and_what_is_in_each_shard(project):
    for value in ("a", "b"):
        project.ok("send", "orders", value)

    assert project.ok("source", "show", "orders").splitlines() == [
        "name: orders",
        "type: sqlite-stream",
        "kind: stream",
        "arn: arn:aws:kinesis:us-east-1:000000000000:stream/orders",
        "mappings: hello.FromOrders",
        "settings:",
        "  Type: sqlite-stream",
        "  Create: true",
        "  RetentionSeconds: 86400",
        "  LeaseSeconds: 10",
        "  Arn: arn:aws:kinesis:us-east-1:000000000000:stream/orders",
        "can: seekable_by_time, balanced, leased, keyed",
        "event_formats: kinesis",
        "found:",
        f"  file: {project.path}/.penstock/sources.db",
        "  shards: 1",
        "  shardId-000000000000: positions 0 to 1",
    ]


def test_a_queue_shows_how_many_messages_wait(project):
    project.file.write_text(
        "Sources:\n  jobs: {Type: sqlite-queue, Create: true}\n"
        "  late: {Type: sqlite-queue, Create: true, FifoQueue: true, DelaySeconds: 60}\nFunctions: {}\n"
    )
    project.ok("send", "jobs", "now")
    project.ok("send", "late", "later", "--group", "a")

    shown = [json.loads(project.ok("source", "show", name, "--json"))["found"] for name in ("jobs", "late")]

    assert [(each["queue"], each["waiting"], each["held or delayed"]) for each in shown] == [
        ("standard", "1", "0"),
        ("FIFO", "0", "1"),
    ]


def test_a_source_that_is_not_there_yet_is_an_error_after_its_settings(project):
    result = project.run("source", "show", "orders")
    assert result.exit_code == 2
    assert result.stdout.startswith("name: orders")
    assert "sources.db is not there" in result.stderr


def test_a_name_that_nobody_has_is_answered_with_those_there_are(project):
    result = project.run("source", "show", "order")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no source 'order'" in result.stderr
    assert "orders, jobs" in result.stderr


def test_a_broker_that_can_not_be_reached_is_3(project):
    project.file.write_text(
        "Sources:\n  topic: {Type: kafka, BootstrapServers: '127.0.0.1:1', Topic: t}\nFunctions: {}\n"
    )
    result = project.run("source", "show", "topic")
    assert result.exit_code == 3
    assert "127.0.0.1:1" in result.stderr
