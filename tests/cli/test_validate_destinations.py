"""`penstock validate` on destinations, with the source types that we bring: by the file alone, and connected."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

PENSTOCK = Path(sys.executable).with_name("penstock")
PLACE = "Functions.hello.Events.FromOrders.DestinationConfig.OnFailure.Destination"


def write(project, destination, *, orders="{Type: sqlite-stream}", others="", more=""):
    """Write a project whose one mapping sends to a destination, which stands in line 13."""
    project.write(
        "penstock.yaml",
        f"""\
        Sources:
          orders: {orders}
          {others or "jobs: {Type: sqlite-queue}"}
        Functions:
          hello:
            CodeUri: functions/hello
            Handler: app.handler
            Events:
              FromOrders:
                Source: orders
                StartingPosition: TRIM_HORIZON
                MaximumRetryAttempts: 1
                DestinationConfig: {{OnFailure: {{Destination: {destination}}}}}
        {more}
        """,
    )


def finding(project, *options):
    """Validate what is wrong in one way, and give exit code and message."""
    result = project.run("validate", *options)
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{project.file}:13: {PLACE}: ")
    return result.exit_code, line.removeprefix(f"{project.file}:13: {PLACE}: ")


# By the file alone: the mapping's own source is known under every name that it has.


@pytest.mark.parametrize(
    ("orders", "copy"),
    [
        ("{Type: sqlite-stream}", "{Type: sqlite-stream, Stream: orders}"),
        ("{Type: sqlite-stream}", "{Type: sqlite-stream, Stream: orders, Path: .penstock/../.penstock/sources.db}"),
        ("{Type: sqlite-stream, Path: a.db, Stream: s}", "{Type: sqlite-stream, Path: a.db, Stream: s}"),
        ("{Type: kafka, BootstrapServers: 'h:1', Topic: t}", "{Type: kafka, BootstrapServers: 'i:1,H:1', Topic: t}"),
        ("{Type: kafka, BootstrapServers: h, Topic: t}", "{Type: kafka, BootstrapServers: 'h:9092', Topic: t}"),
        (
            "{Type: kafka, BootstrapServers: localhost, Topic: t}",
            "{Type: kafka, BootstrapServers: 'plaintext://127.0.0.1:9092', Topic: t}",
        ),
    ],
)
def test_the_mappings_own_source_is_refused_under_another_name(project, orders, copy):
    write(project, "copy", orders=orders, others=f"copy: {copy}")
    assert finding(project) == (
        2,
        (
            "'copy' is what the mapping reads, where it is called 'orders'; "
            "another one: what is sent there would come back for ever"
        ),
    )


@pytest.mark.parametrize(
    ("orders", "other"),
    [
        ("{Type: sqlite-stream}", "{Type: sqlite-stream}"),
        ("{Type: sqlite-stream}", "{Type: sqlite-stream, Stream: orders, Path: other.db}"),
        ("{Type: sqlite-stream}", "{Type: sqlite-queue, Queue: orders}"),
        ("{Type: kafka, BootstrapServers: h, Topic: t}", "{Type: kafka, BootstrapServers: h, Topic: u}"),
        ("{Type: kafka, BootstrapServers: h, Topic: t}", "{Type: kafka, BootstrapServers: i, Topic: t}"),
        ("{Type: kafka, BootstrapServers: h, Topic: t}", "{Type: kafka, BootstrapServers: 'h:9093', Topic: t}"),
    ],
)
def test_another_stream_or_queue_is_taken(project, orders, other):
    write(project, "other", orders=orders, others=f"other: {other}")
    assert project.run("validate").stderr == ""


KAFKA = "{Type: kafka, BootstrapServers: 'h:1', Topic: orders}"


@pytest.mark.parametrize(
    ("orders", "address", "message"),
    [
        (KAFKA, "kafka://orders", "'kafka://orders' is what the mapping reads, where it is called 'orders'; "),
        (KAFKA, "kafka://or/ders", "Topic is 'or/ders'; a topic has 1 to 249 letters"),
        (KAFKA, "'kafka://'", "'kafka://' names no Topic; kafka://TOPIC"),
        (
            "{Type: sqlite-stream}",
            "kafka://failed",
            (
                "'kafka://failed' belongs beside a source of type kafka, and 'orders' is of type sqlite-stream; "
                "name a source of this file"
            ),
        ),
    ],
)
def test_an_address_of_a_topic_that_can_not_be_is_refused(project, orders, address, message):
    write(project, address, orders=orders)
    code, said = finding(project)
    assert (code, said[: len(message)]) == (2, message)


def test_the_configuration_shows_how_often_kafka_retries_beside_a_destination(project):
    write(project, "kafka://failed", orders=KAFKA)
    project.file.write_text(project.file.read_text().replace("MaximumRetryAttempts: 1", "MaximumRetryAttempts: -1"))
    shown = json.loads(project.ok("config", "--json"))
    assert shown["Functions"]["hello"]["Events"]["FromOrders"]["MaximumRetryAttempts"] == 10
    assert shown["x-notes"] == {
        "Functions.hello.Events.FromOrders.MaximumRetryAttempts": (
            "-1 is 10 where a mapping on a source of type kafka has an on-failure destination"
        )
    }
    assert project.run("validate").stderr == ""  # it can not block for ever


# Connected: present and writable.


@pytest.mark.parametrize("destination", ["jobs", "file:failed", "file:there", "function:mending"])
def test_a_destination_that_can_be_made_or_is_there_is_well_and_nothing_is_made(project, destination):
    project.write("there/one", "")
    write(project, destination, more="  mending: {CodeUri: functions/hello, Handler: app.handler}")
    result = project.run("validate", "--connect")
    assert (result.exit_code, result.stderr) == (0, "")
    assert sorted(each.name for each in project.path.iterdir()) == ["functions", "penstock.yaml", "there"]
    assert [each.name for each in (project.path / "there").iterdir()] == ["one"]


def test_a_destination_that_is_missing_is_named_at_its_own_line(project):
    write(project, "jobs", others="jobs: {Type: sqlite-queue, Create: false}")
    assert project.run("validate").exit_code == 0
    code, said = finding(project, "--connect")
    assert code == 2
    assert "sources.db" in said


@pytest.mark.parametrize("address", ["file:taken", "file:taken/below"])
def test_a_folder_whose_place_is_taken_is_named(project, address):
    project.write("taken", "a file")
    write(project, address)
    assert finding(project, "--connect") == (2, f"{project.path}/taken is not a folder")


def test_a_folder_that_can_not_be_written_is_named(project):
    write(project, "file:/proc/self/failed")
    code, said = finding(project, "--connect")
    assert code == 2
    assert said.startswith("the folder /proc/")
    assert " can not be written: " in said


def test_a_function_that_does_not_load_is_named(project):
    project.write("functions/mending/app.py", "import nowhere_at_all\n")
    write(project, "function:mending", more="  mending: {CodeUri: functions/mending, Handler: app.handler}")
    result = project.run("validate", "--connect")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{project.file}:14: Functions.mending.Handler: ")
    assert result.stderr.count("\n") == 1


def test_a_topic_is_looked_at_as_a_writer_would(project, kafka, topic):
    orders = f"{{Type: kafka, BootstrapServers: '{kafka.address}', Topic: {topic()}}}"
    write(project, f"kafka://{topic(prefix='failed')}", orders=orders)
    assert project.run("validate", "--connect").stderr == ""
    missing = topic(prefix="failed") + "-not"
    write(project, f"kafka://{missing}", orders=orders)
    code, said = finding(project, "--connect")
    assert code == 2
    assert missing in said


def test_a_topic_that_may_only_be_read_is_no_destination(project, kafka_sasl, topic):
    login = f"{{Mechanism: SCRAM-SHA-512, Username: reader, Password: {kafka_sasl.passwords['reader']}}}"
    broker = f"BootstrapServers: '{kafka_sasl.address}', Sasl: {login}, Tls: {{CaFile: {kafka_sasl.ca_file}}}"
    failed = topic(prefix="acl-failed")
    write(project, "failed", others=f"failed: {{Type: kafka, {broker}, Topic: {failed}}}")
    code, said = finding(project, "--connect")
    assert code == 2
    assert failed in said


def test_a_destination_that_can_not_be_reached_ends_with_three(project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"  # nobody listens on it
        write(project, "failed", others=f"failed: {{Type: kafka, BootstrapServers: '{address}', Topic: failed}}")
        assert finding(project, "--connect")[0] == 3


# A destination that a plugin brings.

PLUGIN = """\
from penstock.api import DestinationType, SourceMissing, hookimpl

PENSTOCK_API_VERSION = 1


class Notice:
    def __init__(self, address, settings):
        self.address = address

    async def open(self):
        if not self.address.endswith("known"):
            raise SourceMissing(f"there is no board {self.address}")

    async def close(self):
        pass

    async def send(self, records):
        return [None for _ in records]


@hookimpl
def register_destinations(register):
    register(DestinationType(scheme="board", doc="a notice board", settings=(), open_destination=Notice))
"""


@pytest.mark.parametrize(("address", "code"), [("board://known", 0), ("board://lost", 2)])
def test_a_plugins_destination_is_opened(project, tmp_path, address, code):
    site = tmp_path / "site"
    information = site / "penstock_board-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: penstock-board\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[penstock]\nboard = penstock_board\n")
    (site / "penstock_board.py").write_text(dedent(PLUGIN))
    write(project, address)
    done = subprocess.run(
        [PENSTOCK, "validate", "--connect"],
        env={**os.environ, "PYTHONPATH": str(site), "PENSTOCK_FILE": str(project.file)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    wanted = f"{project.file}:13: {PLACE}: there is no board {address}\n" if code else ""
    assert done.stderr == wanted
