"""The node's log: one line per fact, as text or JSON, on stderr, with secrets masked."""

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, TextIO, TypeAlias

import structlog

LEVELS: Mapping[str, int] = MappingProxyType(
    {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
)

Log: TypeAlias = structlog.typing.FilteringBoundLogger


def make_log(*, log_format: str, level: str, mask: Callable[[str], str] = str, stream: TextIO | None = None) -> Log:
    """Make the log of a node. `log_format` is `text` or `json`; `mask` removes secrets from every text."""
    stream = stream or sys.stderr
    renderer: structlog.typing.Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer(default=str)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=24, sort_keys=False)
    log: Log = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _masker(mask),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return log


def adopt_standard_logging(log: Log, level: str) -> None:
    """Send what libraries log by `logging` through ours: theirs from warnings on, everything when debugging."""
    root = logging.getLogger()
    root.handlers[:] = [_Adopter(log)]
    root.setLevel(logging.DEBUG if level == "debug" else max(LEVELS[level], logging.WARNING))
    # asyncio's own debug line names the selector and tells nobody anything.
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # The endpoint's server has its place in the line that the node begins with.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


class _Adopter(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        self._log.log(max(record.levelno, logging.DEBUG), record.getMessage(), **fields)


def _masker(mask: Callable[[str], str]) -> structlog.typing.Processor:
    def masked(value: Any) -> Any:
        if isinstance(value, str):
            return mask(value)
        if isinstance(value, Mapping):
            return {key: masked(one) for key, one in value.items()}
        return [masked(one) for one in value] if isinstance(value, list | tuple) else value

    def process(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for key, value in event.items():
            if key not in {"level", "timestamp"}:
                event[key] = masked(value)
        return event

    return process
