"""Documents as events of a function of the project."""

from collections.abc import Iterator, Sequence

from penstock.api import (
    PAYLOAD_BYTES_MAX,
    FunctionFailed,
    Invocation,
    InvocationResult,
    NotRun,
    RecordRefused,
    Returned,
    SourceUnavailable,
)
from penstock.core.events.invocation_documents import Document
from penstock.shell.environments import Environments


class FunctionWriter:
    """Invokes the function once for each document, when it gets an environment like anybody else.

    A document is taken when the function has returned. A function that fails may succeed at the next try, so its
    failure is one that may pass. Its own timeout ends an invocation; waiting for its turn has no end.
    """

    answer_s: float | None = None

    def __init__(self, environments: Environments, *, mapping: str, function: str, request_ids: Iterator[str]) -> None:
        """Take the node's environments, who sends (with a share of its own) and which function is to be run."""
        self._environments = environments
        self._sender = f"{mapping} > {function}"
        self._function = function
        self._request_ids = request_ids

    async def open(self) -> None:
        self._environments.join(self._sender, self._function)

    async def close(self) -> None:
        """Nothing is held between invocations."""

    async def write(self, documents: Sequence[Document]) -> Sequence[RecordRefused | None]:
        return [await self._send(each) for each in documents]

    async def _send(self, document: Document) -> RecordRefused | None:
        size = len(document.value)
        if size > PAYLOAD_BYTES_MAX:
            words = f"an event of {size} bytes is too large; the most is {PAYLOAD_BYTES_MAX}"
            return RecordRefused(words, too_large=True)
        invocation = Invocation(next(self._request_ids), document.value)
        result: InvocationResult = await self._environments.run_once(self._sender, self._function, invocation)
        match result:
            case Returned():
                return None
            case FunctionFailed(error_type=kind, error_message=message):
                raise SourceUnavailable(f"function '{self._function}' failed: {kind}: {message}")
            case NotRun(reason=reason):
                raise SourceUnavailable(f"function '{self._function}' was not run: {reason}")
