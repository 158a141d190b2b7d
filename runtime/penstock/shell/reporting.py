"""Logs each report of a machine once, with its mapping and shard, and keeps the mapping's health up to date.

What goes wrong is always logged. What goes well is logged by the line while there is little of it, and summed up when
there is much (`log_allowance`); at the level `debug` everything has its line.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from penstock.api import SourceError
from penstock.core import reports
from penstock.core.events.instants import iso_seconds
from penstock.shell.health import Health
from penstock.shell.log_allowance import LogAllowance
from penstock.shell.logs import LEVELS, Log

TEXT_CHARACTERS_MAX = 2_000
"""A function's error may be as long as it likes; its own log has all of it."""


@dataclass(frozen=True, slots=True)
class _Line:
    level: str
    event: str
    outcome: str = ""
    """Said in the line of everything that is about the fate of records."""
    summary: str = ""
    """The line that sums up what was left out. Without one, none ever is."""
    count: str = ""
    """How the summary calls what it counts."""


_LINES: Mapping[type, _Line] = MappingProxyType(
    {
        reports.BatchSucceeded: _Line("info", "batch succeeded", "succeeded", "more batches succeeded", "batches"),
        reports.BatchFailed: _Line("warning", "batch failed", "failed"),
        reports.BatchPartlyFailed: _Line("warning", "batch partly failed", "partly failed"),
        reports.BatchNotRun: _Line("warning", "batch not run", "not run"),
        reports.RecordsDropped: _Line("error", "records dropped", "dropped"),
        reports.RecordDelivered: _Line(
            "info", "records delivered", "delivered", "more records delivered", "deliveries"
        ),
        reports.DeliveryTroubled: _Line("warning", "records not delivered", "not delivered"),
        reports.LanesChanged: _Line("info", "lanes changed"),
        reports.RecordsLate: _Line("info", "records late", "", "more records late", "times"),
        reports.WindowClosed: _Line("info", "window closed", "", "more windows closed", "windows"),
        reports.PositionLost: _Line("error", "position lost"),
        reports.Started: _Line("info", "reading"),
        reports.StoreTroubled: _Line("warning", "store troubled"),
        reports.Held: _Line("error", "shard held"),
        reports.NothingMatches: _Line(
            "warning", "the filter has matched nothing so far; what it does not match is deleted"
        ),
        reports.MessagesReturned: _Line("debug", "messages returned"),
        reports.LeasesExpired: _Line("warning", "leases expired"),
    }
)
_FIELDS = {kind: tuple(one.name for one in fields(kind)) for kind in _LINES}


class Reporting:
    """One per mapping. `close` at its end writes what was left out last."""

    def __init__(self, log: Log, health: Health, *, level: str) -> None:
        """Take the mapping's log, its health, and the least level that is logged at all."""
        self.log = log
        self._health = health
        self._level = LEVELS[level]
        self._allowances: dict[_Line, LogAllowance] = {}
        self._timer: asyncio.TimerHandle | None = None

    def report(self, report: reports.Report, shard: str = "") -> None:
        """Take in a machine's report."""
        self._health.on_report(report)
        if isinstance(report, reports.SourceTroubled):
            # Logged where the source's error is heard, once for all shards.
            return
        line = _LINES[type(report)]
        level = _level(line, report)
        if LEVELS[level] < self._level:
            return
        values = _values(report)
        if line.summary and self._level > LEVELS["debug"] and not self._may_log(line, shard, values):
            return
        where = {"shard": shard} if shard else {}
        fate = {"outcome": line.outcome} if line.outcome else {}
        said = {name: _short(value) for name, value in values.items() if value is not None}
        getattr(self.log, level)(line.event, **where, **fate, **said)

    def on_source(self, error: SourceError | None, action: str = "") -> None:
        """Hear how a call of the source went."""
        if error is None:
            if self._health.trouble is not None and self._health.on_source_well():
                self.log.info("source recovered")
        elif self._health.on_trouble(error):
            self.log.warning("source troubled", action=action, reason=str(error))

    def close(self) -> None:
        """Write now what was left out. More may be reported afterwards, all the same."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for line in self._allowances:
            self._sum_up(line)

    def _may_log(self, line: _Line, shard: str, values: dict[str, Any]) -> bool:
        loop = asyncio.get_running_loop()
        allowance = self._allowances.setdefault(line, LogAllowance())
        if allowance.left_out is not None and loop.time() >= allowance.ends_s:
            # The timer is late.
            self._sum_up(line)
        if allowance.take(shard, values, loop.time()):
            return True
        if self._timer is None:
            self._timer = loop.call_at(allowance.ends_s, self._on_interval_over)
        return False

    def _on_interval_over(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for line, allowance in self._allowances.items():
            if allowance.left_out is not None and loop.time() >= allowance.ends_s:
                self._sum_up(line)
        left = [allowance.ends_s for allowance in self._allowances.values() if allowance.left_out is not None]
        if left:
            self._timer = loop.call_at(min(left), self._on_interval_over)

    def _sum_up(self, line: _Line) -> None:
        left_out = self._allowances[line].close()
        if left_out is None:
            return
        values: dict[str, Any] = {line.count: left_out.count}
        if left_out.records:
            values["records"] = left_out.records
        if left_out.shards != {""}:
            values["shards"] = len(left_out.shards)
        if left_out.duration_ms_max is not None:
            values["duration_ms_max"] = left_out.duration_ms_max
        if line.outcome:
            values["outcome"] = line.outcome
        getattr(self.log, line.level)(line.summary, **values)


def _values(report: reports.Report) -> dict[str, Any]:
    if isinstance(report, reports.WindowClosed):
        return {"start": iso_seconds(report.start_ms), "end": iso_seconds(report.end_ms), "early": report.early}
    return {name: getattr(report, name) for name in _FIELDS[type(report)]}


def _level(line: _Line, report: reports.Report) -> str:
    match report:
        case reports.DeliveryTroubled(refused=True) | reports.DeliveryTroubled(retry_in_ms=None):
            return "error"
        case _:
            return line.level


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > TEXT_CHARACTERS_MAX:
        return f"{value[:TEXT_CHARACTERS_MAX]}… ({len(value)} characters)"
    return value
