"""The mappings over HTTP: shown, explained, enabled, disabled, and their position moved.

GET  /penstock/v1/mappings                  all of them
GET  /penstock/v1/mappings/ID               one, with its settings; ID is `<function>.<event>` or the UUID
GET  /penstock/v1/mappings/ID/explain       why it is where it is
POST /penstock/v1/mappings/ID/enable        answers at once with 202; ask again until `state` is Enabled
POST /penstock/v1/mappings/ID/disable       the same, until `state` is Disabled
POST /penstock/v1/mappings/ID/seek          {"to": "TRIM_HORIZON" | "LATEST" | "AT_TIMESTAMP" | "POSITION", …}
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.api import PenstockError, SourceError, SourceUnavailable, Start, StillRead
from penstock.control.answers import Mask, masked_answer, refusal
from penstock.shell.explanation import MappingExplanation
from penstock.shell.mappings import MappingDetails
from penstock.shell.refusals import NotKnown, NotNow, WrongRequest
from penstock.shell.seeking import Move, Target
from penstock.shell.status import MappingStatus

PATH = "/penstock/v1/mappings"
BODY_BYTES_MAX = 64 * 1024
SHARDS_MAX = 1000

Handler = Callable[[Request], Awaitable[Response]]


class Commanded(Protocol):
    """What the endpoint asks of a node's mappings."""

    def statuses(self) -> list[MappingStatus]: ...

    def status(self, name: str) -> MappingStatus: ...

    def details(self, name: str) -> MappingDetails: ...

    async def enable(self, name: str) -> MappingStatus: ...

    async def disable(self, name: str) -> MappingStatus: ...

    async def seek(self, name: str, target: Target, shards: Sequence[str], *, dry_run: bool) -> list[Move]: ...

    async def explain(self, name: str) -> MappingExplanation: ...


class SeekRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a seek. `position` is that of the record to be read next; no shards stand for all."""

    to: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "POSITION"]
    timestamp: dt.datetime | None = None
    position: int | None = None
    shards: list[str] = []
    dry_run: bool = False

    def target(self) -> Target:
        """Tell where to. Raises WrongRequest for what does not go together."""
        if (self.timestamp is not None) != (self.to == "AT_TIMESTAMP"):
            raise WrongRequest("'timestamp' goes with 'to': 'AT_TIMESTAMP', and with nothing else")
        if (self.position is not None) != (self.to == "POSITION"):
            raise WrongRequest("'position' goes with 'to': 'POSITION', and with nothing else")
        if len(self.shards) > SHARDS_MAX:
            raise WrongRequest(f"'shards' has {len(self.shards)} names; the most is {SHARDS_MAX}, none stands for all")
        if self.to == "POSITION":
            assert self.position is not None
            return self.position
        if self.to == "AT_TIMESTAMP":
            assert self.timestamp is not None
            moment = self.timestamp if self.timestamp.tzinfo else self.timestamp.replace(tzinfo=dt.UTC)
            return Start("AT_TIMESTAMP", int(moment.timestamp() * 1000))
        return Start(self.to)


def mapping_routes(mappings: Callable[[], Commanded], mask: Mask, guard: Callable[[Handler], Handler]) -> list[Route]:
    """Make the routes; `guard` decides who is heard at all."""

    async def all_of_them(_: Request) -> Response:
        return masked_answer({"mappings": mappings().statuses()}, mask)

    async def one(request: Request) -> Response:
        details = mappings().details(_name(request))
        shown = {"settings": details.settings, "source_settings": details.source, "function_settings": details.function}
        return masked_answer({**msgspec.to_builtins(details.status), **msgspec.to_builtins(shown)}, mask)

    async def explain(request: Request) -> Response:
        return masked_answer(await mappings().explain(_name(request)), mask)

    async def enable(request: Request) -> Response:
        await _body(request)
        return masked_answer(await mappings().enable(_name(request)), mask, code=202)

    async def disable(request: Request) -> Response:
        await _body(request)
        return masked_answer(await mappings().disable(_name(request)), mask, code=202)

    async def seek(request: Request) -> Response:
        asked = _seek_request(await _body(request))
        name = _name(request)
        moves = await mappings().seek(name, asked.target(), asked.shards, dry_run=asked.dry_run)
        status = mappings().status(name)
        return masked_answer({"mapping": status.name, "dry_run": asked.dry_run, "shards": moves}, mask)

    def route(path: str, handler: Handler, method: str) -> Route:
        return Route(PATH + path, guard(_answering(handler, mask)), methods=[method])

    return [
        route("", all_of_them, "GET"),
        route("/{id}", one, "GET"),
        route("/{id}/explain", explain, "GET"),
        route("/{id}/enable", enable, "POST"),
        route("/{id}/disable", disable, "POST"),
        route("/{id}/seek", seek, "POST"),
    ]


def _answering(handler: Handler, mask: Mask) -> Handler:
    """Turn what is refused into an answer: 404 not known, 400 wrong, 409 not now, 503 and 502 for the source."""

    async def answering(request: Request) -> Response:
        try:
            return await handler(request)
        except PenstockError as error:
            return refusal(mask(str(error)), code=_code(error))

    return answering


class _TooLarge(PenstockError):
    pass


_CODES: tuple[tuple[type[PenstockError], int], ...] = (
    (NotKnown, 404),
    (WrongRequest, 400),
    (_TooLarge, 413),
    (NotNow, 409),
    (StillRead, 409),
    (SourceUnavailable, 503),
    (SourceError, 502),
)
"""The first that fits."""


def _code(error: PenstockError) -> int:
    return next((code for kind, code in _CODES if isinstance(error, kind)), 500)


def _name(request: Request) -> str:
    return str(request.path_params["id"])


async def _body(request: Request) -> bytes:
    """Read a body that may not be large, whatever its sender says of its length."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise _TooLarge(f"the body has more than {BODY_BYTES_MAX} bytes")
    return body


def _seek_request(body: bytes) -> SeekRequest:
    try:
        return msgspec.json.decode(body, type=SeekRequest)
    except msgspec.DecodeError as error:
        raise WrongRequest(f"the body is not a seek: {error}") from None
