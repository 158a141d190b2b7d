import asyncio
import http.client
import json
import socket
from collections.abc import Callable, Sequence

import pytest

from penstock.api import SourceBroken, SourceUnavailable, Start, StillRead
from penstock.control.app import is_loopback_host, make_app
from penstock.control.server import ListenError, listen, serving, url_of
from penstock.shell.explanation import MappingExplanation
from penstock.shell.mappings import MappingDetails
from penstock.shell.refusals import NotKnown, NotNow, WrongRequest
from penstock.shell.seeking import Move, Target
from penstock.shell.status import CountersStatus, MappingStatus, NodeStatus
from shell.twins import run

STATUS = NodeStatus(
    project="shop",
    version="1",
    pid=7,
    state="running",
    started="2026-01-01T00:00:00.000Z",
    uptime_s=1.0,
    endpoint=None,
    data_dir="/d",
    concurrency_in_use=0,
    concurrency_max=4,
    functions=[],
    mappings=[],
)


MAPPING = MappingStatus(
    name="f.From",
    uuid="u-1",
    function="f",
    source="orders",
    source_type="kafka",
    state="Enabled",
    state_reason="",
    last_result="OK",
    last_error="",
    lag=0,
    in_flight=0,
    counters=CountersStatus(),
)


class MappingsTwin:
    """Knows one mapping, writes down what is commanded, and raises `failure` where it is set."""

    def __init__(self) -> None:
        self.commands: list[tuple[object, ...]] = []
        self.failure: BaseException | None = None

    def statuses(self) -> list[MappingStatus]:
        return [MAPPING]

    def status(self, name: str) -> MappingStatus:
        self._note("status", name)
        return MAPPING

    def details(self, name: str) -> MappingDetails:
        self._note("details", name)
        settings = {"BatchSize": 10, "Note": "the password is hunter2"}
        return MappingDetails(status=MAPPING, settings=settings, source={"Topic": "t"}, function={"Timeout": 3})

    async def enable(self, name: str) -> MappingStatus:
        self._note("enable", name)
        return MAPPING

    async def disable(self, name: str) -> MappingStatus:
        self._note("disable", name)
        return MAPPING

    async def seek(self, name: str, target: Target, shards: Sequence[str], *, dry_run: bool) -> list[Move]:
        self._note("seek", name, target, tuple(shards), dry_run)
        return [Move("orders-0", None, 7, drops_note=False)]

    async def explain(self, name: str) -> MappingExplanation:
        self._note("explain", name)
        return MappingExplanation(
            name="f.From",
            uuid="u-1",
            function="f",
            source="orders",
            state="Enabled",
            state_reason="",
            last_result="OK",
            last_error="",
            summary="reads 1 shard",
        )

    def _note(self, *command: object) -> None:
        if self.failure is not None:
            raise self.failure
        self.commands.append(command)


class NodeTwin:
    is_ready = False

    def __init__(self) -> None:
        self.mappings = MappingsTwin()

    def status(self) -> NodeStatus:
        return STATUS


def get(
    path: str,
    *,
    node: NodeTwin | None = None,
    loopback_only: bool = True,
    method: str = "GET",
    body: object = None,
    **headers: str,
) -> tuple[int, object]:
    """Ask a real server once."""

    def ask(port: int) -> tuple[int, object]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        given = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, body=given, headers=headers)
        response = connection.getresponse()
        document = json.loads(response.read())
        connection.close()
        return response.status, document

    app = make_app(
        node or NodeTwin(), loopback_only=loopback_only, mask=lambda text: text.replace("hunter2", "********")
    )
    return serve(ask, app)


def post(path: str, body: object = None, **how: object) -> tuple[int, object]:
    return get(path, method="POST", body=body, **how)  # type: ignore[arg-type] # as `get` takes them


def serve(ask: Callable[[int], tuple[int, object]], app: object) -> tuple[int, object]:
    async def scenario() -> tuple[int, object]:
        opened = listen("127.0.0.1:0")
        async with serving(app, opened):  # type: ignore[arg-type] # any application
            return await asyncio.to_thread(ask, opened.getsockname()[1])

    return run(scenario())


def test_it_says_that_it_lives():
    assert get("/penstock/v1/health/live") == (200, {"status": "live"})


def test_it_is_ready_when_the_node_is():
    node = NodeTwin()
    assert get("/penstock/v1/health/ready", node=node)[0] == 503

    node.is_ready = True
    assert get("/penstock/v1/health/ready", node=node) == (200, {"status": "ready"})


def test_the_status_is_shown_as_json():
    code, document = get("/penstock/v1/status")

    assert (code, document["project"], document["concurrency_max"]) == (200, "shop", 4)


def test_a_request_that_a_web_page_may_have_sent_is_refused():
    for headers in ({"Host": "evil.example"}, {"Host": "evil.example:3001"}, {"Origin": "http://127.0.0.1:3001"}):
        assert get("/penstock/v1/health/live", **headers)[0] == 403


def test_every_name_of_loopback_is_heard():
    names = ["localhost", "localhost:3001", "127.0.0.1:3001", "127.8.8.8", "[::1]:3001", "::1", "LOCALHOST"]

    assert [name for name in names if not is_loopback_host(name)] == []


def test_other_names_are_not():
    names = ["", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", "[::2]:1", "0.0.0.0"]

    assert [name for name in names if is_loopback_host(name)] == []


def test_beyond_loopback_only_the_health_is_shown():
    assert get("/penstock/v1/health/live", loopback_only=False, Host="node7.example")[0] == 200
    assert get("/penstock/v1/status", loopback_only=False, Host="node7.example")[0] == 403


def test_what_is_not_there_is_said_in_json():
    assert get("/2015-03-31/functions") == (404, {"message": "there is nothing at this path"})


def test_mappings_are_listed_and_shown_with_their_settings_and_without_secrets():
    node = NodeTwin()
    code, listed = get("/penstock/v1/mappings", node=node)
    assert (code, [each["name"] for each in listed["mappings"]]) == (200, ["f.From"])

    code, shown = get("/penstock/v1/mappings/f.From", node=node)
    assert (code, shown["state"], shown["source_settings"]) == (200, "Enabled", {"Topic": "t"})
    assert shown["settings"] == {"BatchSize": 10, "Note": "the password is ********"}
    assert get("/penstock/v1/mappings/u-1/explain", node=node)[1]["summary"] == "reads 1 shard"
    assert node.mappings.commands == [("details", "f.From"), ("explain", "u-1")]


def test_enabling_and_disabling_is_answered_at_once_with_how_it_stands():
    node = NodeTwin()
    for command in ("enable", "disable"):
        code, document = post(f"/penstock/v1/mappings/f.From/{command}", node=node)
        assert (code, document["name"], document["state"]) == (202, "f.From", "Enabled")

    assert node.mappings.commands == [("enable", "f.From"), ("disable", "f.From")]


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"to": "TRIM_HORIZON"}, Start("TRIM_HORIZON")),
        ({"to": "LATEST"}, Start("LATEST")),
        ({"to": "POSITION", "position": 7}, 7),
        ({"to": "AT_TIMESTAMP", "timestamp": "2026-01-31T12:00:00Z"}, Start("AT_TIMESTAMP", 1_769_860_800_000)),
        ({"to": "AT_TIMESTAMP", "timestamp": "2026-01-31T12:00:00"}, Start("AT_TIMESTAMP", 1_769_860_800_000)),
        ({"to": "AT_TIMESTAMP", "timestamp": "2026-01-31T13:00:00+01:00"}, Start("AT_TIMESTAMP", 1_769_860_800_000)),
    ],
)
def test_a_seek_is_understood_and_answered_with_every_shards_move(body, target):
    node = NodeTwin()
    asked = body | {"shards": ["orders-0"], "dry_run": True}

    code, document = post("/penstock/v1/mappings/f.From/seek", asked, node=node)

    assert node.mappings.commands[0] == ("seek", "f.From", target, ("orders-0",), True)
    moves = [{"shard": "orders-0", "before": None, "after": 7, "drops_note": False}]
    assert (code, document) == (200, {"mapping": "f.From", "dry_run": True, "shards": moves})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        {},
        {"to": "SOMEWHERE"},
        {"to": "LATEST", "form": "json"},
        {"to": "LATEST", "position": 7},
        {"to": "POSITION"},
        {"to": "POSITION", "position": "7"},
        {"to": "AT_TIMESTAMP"},
        {"to": "AT_TIMESTAMP", "timestamp": "yesterday"},
        {"to": "LATEST", "shards": [f"orders-{number}" for number in range(1001)]},
    ],
)
def test_a_seek_that_is_not_understood_is_refused_and_nothing_is_done(body):
    node = NodeTwin()

    code, document = post("/penstock/v1/mappings/f.From/seek", body, node=node)

    assert (code, list(document), node.mappings.commands) == (400, ["message"], [])


def test_a_body_that_is_too_large_is_refused_however_long_it_says_to_be():
    for path in ("seek", "enable", "disable"):
        node = NodeTwin()
        code, document = post(f"/penstock/v1/mappings/f.From/{path}", b" " * 70_000, node=node)
        assert (code, document) == (413, {"message": "the body has more than 65536 bytes"})
        assert node.mappings.commands == []


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (NotKnown("there is no mapping x"), 404),
        (WrongRequest("no such shard"), 400),
        (NotNow("disable it first"), 409),
        (StillRead("another node reads it"), 409),
        (SourceUnavailable("no broker answers"), 503),
        (SourceBroken("made anew"), 502),
    ],
)
def test_what_is_refused_is_a_sentence_with_a_code_that_says_whose_matter_it_is(failure, code):
    node = NodeTwin()
    node.mappings.failure = failure

    assert post("/penstock/v1/mappings/x/seek", {"to": "LATEST"}, node=node) == (code, {"message": str(failure)})
    assert get("/penstock/v1/mappings/x", node=node) == (code, {"message": str(failure)})


def test_a_secret_in_a_refusal_is_masked():
    node = NodeTwin()
    node.mappings.failure = SourceUnavailable("redis://me:hunter2@redis does not answer")

    assert get("/penstock/v1/mappings/x/explain", node=node)[1] == {
        "message": "redis://me:********@redis does not answer"
    }


def test_a_bug_is_answered_in_json_too(caplog):
    node = NodeTwin()
    node.mappings.failure = ZeroDivisionError()

    code, document = get("/penstock/v1/mappings/x", node=node)

    assert (code, list(document)) == (500, ["message"])
    assert "ZeroDivisionError" in caplog.text


def test_mappings_are_not_commanded_by_web_pages_nor_beyond_loopback():
    node = NodeTwin()
    for how in ({"Origin": "http://127.0.0.1:3001"}, {"Host": "evil.example"}, {"loopback_only": False}):
        for path, method in (("", "GET"), ("/f.From", "GET"), ("/f.From/explain", "GET"), ("/f.From/disable", "POST")):
            code, document = get(f"/penstock/v1/mappings{path}", node=node, method=method, **how)  # type: ignore[arg-type] # one kind each
            assert (code, list(document)) == (403, ["message"])
    assert node.mappings.commands == []


def test_a_command_is_a_post_and_a_look_is_a_get():
    node = NodeTwin()
    assert get("/penstock/v1/mappings/f.From/disable", node=node)[0] == 405
    assert post("/penstock/v1/mappings/f.From", node=node)[0] == 405
    assert node.mappings.commands == []


def test_a_taken_port_is_one_sentence_with_a_hint():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(ListenError, match=rf"can not listen on {address}: Address already in use; .*--listen"):
            listen(address)


def test_port_0_takes_one_that_is_free():
    with listen("127.0.0.1:0") as opened:
        assert url_of(opened) == f"http://127.0.0.1:{opened.getsockname()[1]}"
        assert opened.getsockname()[1] > 0
