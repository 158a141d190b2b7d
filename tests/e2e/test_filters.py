"""Filters on real sources: what does not match is never seen by the function, and never read again."""

import base64
import json
import signal
import subprocess
import sys

import pytest

from brokers import Produced, committed_offsets, produce, until

FUNCTION = """\
import base64
import time

def handler(event, context):
    lines = []
    if isinstance(event.get("records"), dict):
        for records in event["records"].values():
            lines += [record["value"] for record in records]
    else:
        for record in event["Records"]:
            if "kinesis" in record:
                lines.append(record["kinesis"]["data"])
            else:
                lines.append(base64.b64encode(record["body"].encode()).decode())
    with open("seen", "a") as seen:
        seen.writelines(f"{line}\\n" for line in lines)
    time.sleep(0.002)
"""
WANTED = "{Filters: [{Pattern: {%s: {kind: [wanted]}}}]}"


class Shop:
    """A project with one function that writes down what it sees."""

    def __init__(self, folder, source, **event):
        self.folder = folder
        (folder / "app.py").write_text(FUNCTION)
        keys = "".join(f"        {name}: {value}\n" for name, value in event.items())
        text = f"Name: {folder.name}\nSources:\n  items: {source}\nFunctions:\n  look:\n    CodeUri: .\n"
        text += f"    Handler: app.handler\n    Events:\n      E:\n        Source: items\n{keys}"
        (folder / "penstock.yaml").write_text(text)

    def command(self, *arguments):
        return [sys.executable, "-m", "penstock", *arguments]

    def run(self, *arguments, **options):
        ran = subprocess.run(
            self.command(*arguments), cwd=self.folder, capture_output=True, text=True, check=False, **options
        )
        assert ran.returncode == 0, ran.stderr
        return ran

    def run_until_idle(self):
        return self.run("up", "--until-idle=1", "--timeout=90", "--listen=none", "--log-level=debug")

    def seen(self):
        file = self.folder / "seen"
        lines = file.read_text().splitlines() if file.exists() else []
        return [None if line == "None" else base64.b64decode(line) for line in lines]

    def run_and_kill(self, *, after):
        """Run, and kill the node when the function has seen so many."""
        node = subprocess.Popen(self.command("up", "--listen=none"), cwd=self.folder, stderr=subprocess.DEVNULL)
        try:
            until(lambda: len(self.seen()) >= after, what=f"{after} records at the function")
        finally:
            node.send_signal(signal.SIGKILL)
            node.wait()


def committed(kafka, folder, topic):
    """Add up the offsets that a shop's group has committed."""
    return sum(offset for offset, _ in committed_offsets(kafka.address, f"{folder.name}.look.E", topic).values())


def item(number):
    return json.dumps({"kind": "wanted" if number % 2 == 0 else "other", "number": number}).encode()


def numbers(seen):
    return [json.loads(one)["number"] for one in seen]


@pytest.mark.e2e
@pytest.mark.kafka
def test_half_of_a_topic_is_seen_and_none_of_it_again_though_the_node_is_killed(kafka, topic, tmp_path):
    name = topic(partitions=2)
    count = 20_000
    produce(kafka.address, name, [Produced(item(number), key=str(number % 7).encode()) for number in range(count)])
    source = f"{{Type: kafka, BootstrapServers: '{kafka.address}', Topic: {name}}}"
    shop = Shop(
        tmp_path, source, StartingPosition="TRIM_HORIZON", BatchSize=50, MaximumRetryAttempts=0,
        FilterCriteria=WANTED % "value", MaximumBatchingWindowInMilliseconds=0,
    )  # fmt: skip

    shop.run_and_kill(after=1_000)
    shop.run_until_idle()

    assert set(numbers(shop.seen())) == set(range(0, count, 2))
    before = len(shop.seen())
    assert committed(kafka, tmp_path, name) == count
    shop.run_until_idle()
    assert len(shop.seen()) == before


@pytest.mark.e2e
@pytest.mark.kafka
def test_a_topic_on_which_nothing_matches_is_passed_over_once(kafka, topic, tmp_path):
    name = topic(partitions=2)
    produce(kafka.address, name, [b'{"kind": "other"}'] * 3_000)
    source = f"{{Type: kafka, BootstrapServers: '{kafka.address}', Topic: {name}}}"
    shop = Shop(
        tmp_path, source, StartingPosition="TRIM_HORIZON", MaximumRetryAttempts=0, FilterCriteria=WANTED % "value"
    )

    shop.run_until_idle()

    assert shop.seen() == []
    assert committed(kafka, tmp_path, name) == 3_000


NOT_JSON = [b"plain text", b"", b"\xff\xfe", b"7", b'{"kind": "wanted"}', b'{"kind": "other"}', None]


@pytest.mark.e2e
@pytest.mark.kafka
@pytest.mark.parametrize(
    ("layout", "wanted"),
    [
        # A filter on fields does not count for Kafka data that has none; for Kinesis it fails.
        (("kafka", "value"), [b"plain text", b"", b"\xff\xfe", b"7", b'{"kind": "wanted"}', None]),
        (("kinesis", "data"), [b'{"kind": "wanted"}']),
    ],
)
def test_values_that_are_no_json_are_decided_as_on_aws(kafka, topic, tmp_path, layout, wanted):
    event_format, key = layout
    name = topic(partitions=1)
    produce(kafka.address, name, [Produced(value) for value in NOT_JSON])
    source = f"{{Type: kafka, BootstrapServers: '{kafka.address}', Topic: {name}}}"
    shop = Shop(
        tmp_path, source, StartingPosition="TRIM_HORIZON", MaximumRetryAttempts=0, EventFormat=event_format,
        FilterCriteria=WANTED % key,
    )  # fmt: skip

    shop.run_until_idle()

    assert shop.seen() == wanted


@pytest.mark.e2e
def test_half_of_an_embedded_stream_is_seen_though_the_node_is_killed(tmp_path):
    shop = Shop(
        tmp_path, "{Type: sqlite-stream, Shards: 2}", StartingPosition="TRIM_HORIZON", BatchSize=20,
        MaximumRetryAttempts=0, FilterCriteria=WANTED % "data",
    )  # fmt: skip
    count = 4_000
    (tmp_path / "items").write_bytes(b"".join(item(number) + b"\n" for number in range(count)))
    shop.run("send", "items", "--from-file", "items")

    shop.run_and_kill(after=400)
    shop.run_until_idle()

    assert set(numbers(shop.seen())) == set(range(0, count, 2))
    before = len(shop.seen())
    shop.run_until_idle()
    assert len(shop.seen()) == before


@pytest.mark.e2e
def test_a_message_that_does_not_match_is_gone_from_its_queue(tmp_path):
    shop = Shop(tmp_path, "{Type: sqlite-queue}", FilterCriteria=WANTED % "body")
    (tmp_path / "items").write_bytes(b"".join(item(number) + b"\n" for number in range(200)))
    shop.run("send", "items", "--from-file", "items")

    shop.run_until_idle()

    assert sorted(numbers(shop.seen())) == list(range(0, 200, 2))
    assert shop.run("peek", "items").stdout == ""


@pytest.mark.e2e
def test_a_wrong_pattern_ends_the_node_with_2_and_says_where(tmp_path):
    shop = Shop(tmp_path, "{Type: sqlite-queue}", FilterCriteria="{Filters: [{Pattern: {body: {kind: wanted}}}]}")
    ran = subprocess.run(shop.command("up"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "penstock.yaml:11: Functions.look.Events.E.FilterCriteria.Filters.0.Pattern: body.kind" in ran.stderr
    assert "Traceback" not in ran.stderr
