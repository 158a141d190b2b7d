"""The node's HTTP endpoint: its health, its status and its mappings, and who may ask for them.

The API in AWS Lambda's shape will stand on the same server.
"""

import ipaddress
from collections.abc import Callable
from typing import Protocol

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.control.answers import answer, masked_answer, refusal, refuses
from penstock.control.mappings import Commanded, Handler, mapping_routes
from penstock.shell.status import NodeStatus

LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


class Inspectable(Protocol):
    """What the endpoint asks of a node."""

    @property
    def is_ready(self) -> bool: ...

    @property
    def mappings(self) -> Commanded: ...

    def status(self) -> NodeStatus: ...


def make_app(node: Inspectable, *, loopback_only: bool, mask: Callable[[str], str] = str) -> ASGIApp:
    """Make the application. `loopback_only`: it listens on loopback, so nobody else's name may be asked for.

    Beyond loopback it shows the node's health alone. `mask` is put over every text of an answer, and hides its secrets.
    """

    async def live(_: Request) -> Response:
        return answer({"status": "live"})

    async def ready(_: Request) -> Response:
        is_ready = node.is_ready
        return answer({"status": "ready" if is_ready else "not ready"}, code=200 if is_ready else 503)

    async def status(_: Request) -> Response:
        return masked_answer(node.status(), mask)

    def for_this_machine(handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            if not loopback_only:
                return refusal("this is shown to programs of the node's own machine only", code=403)
            return await handler(request)

        return guarded

    app: ASGIApp = Starlette(
        routes=[
            Route("/penstock/v1/health/live", live),
            Route("/penstock/v1/health/ready", ready),
            Route("/penstock/v1/status", for_this_machine(status)),
            *mapping_routes(lambda: node.mappings, mask, for_this_machine),
        ],
        exception_handlers={
            404: refuses(404, "there is nothing at this path"),
            405: refuses(405, "this path is not asked in this way: use GET to look, and POST to change something"),
            Exception: refuses(500, "the node has failed to answer, which is a bug; its log has the details"),
        },
    )
    return LoopbackGuard(app) if loopback_only else app


class LoopbackGuard:
    """Refuses what a web page in the user's browser could send: a foreign `Host` (a rebound name), or an `Origin`."""

    def __init__(self, app: ASGIApp) -> None:
        """Take the application that it stands before."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with 403."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if "origin" in headers or not is_loopback_host(headers.get("host", "")):
                message = "this endpoint answers local programs only, not web pages or other names of this machine"
                await refusal(message, code=403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_loopback_host(host: str) -> bool:
    """Tell whether a `Host` header, with or without a port, names this machine's loopback."""
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
