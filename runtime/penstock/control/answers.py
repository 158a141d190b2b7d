"""Answers of the endpoint: JSON in all cases, secrets masked, and every refusal as `{"message": "…"}`."""

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

Mask = Callable[[str], str]


def answer(value: object, *, code: int = 200) -> Response:
    """Answer with a value as JSON."""
    return Response(msgspec.json.encode(value), status_code=code, media_type="application/json")


def masked_answer(value: object, mask: Mask, *, code: int = 200) -> Response:
    """Answer with a value as JSON, with the secrets in its texts masked."""
    return answer(_masked(msgspec.to_builtins(value), mask), code=code)


def refusal(message: str, *, code: int) -> Response:
    """Answer with the reason why not."""
    return answer({"message": message}, code=code)


def refuses(code: int, message: str) -> Callable[[Request, Exception], Response]:
    """Make a handler that answers with the same refusal always."""

    def refuse(_: Request, __: Exception) -> Response:
        return refusal(message, code=code)

    return refuse


def _masked(value: Any, mask: Mask) -> Any:
    match value:
        case str():
            return mask(value)
        case dict():
            return {key: _masked(each, mask) for key, each in value.items()}
        case list():
            return [_masked(each, mask) for each in value]
    return value
