"""Logs each report of a machine once, with its mapping and shard, and keeps the mapping's health up to date."""

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from penstock.api import SourceError
from penstock.core import reports
from penstock.shell.health import Health
from penstock.shell.logs import LEVELS, Log

_LINES: Mapping[type, tuple[str, str]] = MappingProxyType(
    {
        reports.BatchSucceeded: ("debug", "batch succeeded"),
        reports.BatchFailed: ("warning", "batch failed"),
        reports.BatchNotRun: ("warning", "batch not run"),
        reports.RecordsDropped: ("error", "records dropped"),
        reports.PositionLost: ("error", "position lost"),
        reports.Started: ("info", "reading"),
        reports.Held: ("error", "shard held"),
        reports.NothingMatches: (
            "warning",
            "the filter has matched nothing so far; what it does not match is deleted",
        ),
        reports.MessagesReturned: ("debug", "messages returned"),
        reports.LeasesExpired: ("warning", "leases expired"),
    }
)
_FIELDS = {kind: tuple(one.name for one in fields(kind)) for kind in _LINES}


class Reporting:
    """One per mapping."""

    def __init__(self, log: Log, health: Health, *, level: str) -> None:
        """Take the mapping's log, its health, and the least level that is logged at all."""
        self.log = log
        self._health = health
        self._level = LEVELS[level]

    def report(self, report: reports.Report, shard: str = "") -> None:
        """Take in a machine's report."""
        self._health.on_report(report)
        if isinstance(report, reports.SourceTroubled):
            # Logged where the source's error is heard, once for all shards.
            return
        level, event = _LINES[type(report)]
        if LEVELS[level] < self._level:
            return
        values: dict[str, Any] = {"shard": shard} if shard else {}
        values |= {name: getattr(report, name) for name in _FIELDS[type(report)]}
        getattr(self.log, level)(event, **{name: value for name, value in values.items() if value is not None})

    def on_source(self, error: SourceError | None, action: str = "") -> None:
        """Hear how a call of the source went."""
        if error is None:
            if self._health.trouble is not None and self._health.on_source_well():
                self.log.info("source recovered")
        elif self._health.on_trouble(error):
            self.log.warning("source troubled", action=action, reason=str(error))
