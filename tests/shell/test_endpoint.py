import asyncio
import http.client
import json
import socket
from collections.abc import Callable

import pytest

from penstock.control.app import is_loopback_host, make_app
from penstock.control.server import ListenError, listen, serving, url_of
from penstock.shell.status import NodeStatus
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


class NodeTwin:
    is_ready = False

    def status(self) -> NodeStatus:
        return STATUS


def get(path: str, *, node: NodeTwin | None = None, loopback_only: bool = True, **headers: str) -> tuple[int, object]:
    """Ask a real server once."""

    def ask(port: int) -> tuple[int, object]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        return response.status, body

    return serve(ask, make_app(node or NodeTwin(), loopback_only=loopback_only))


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


def test_a_taken_port_is_one_sentence_with_a_hint():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(ListenError, match=rf"can not listen on {address}: Address already in use; .*--listen"):
            listen(address)


def test_port_0_takes_one_that_is_free():
    with listen("127.0.0.1:0") as opened:
        assert url_of(opened) == f"http://127.0.0.1:{opened.getsockname()[1]}"
        assert opened.getsockname()[1] > 0
