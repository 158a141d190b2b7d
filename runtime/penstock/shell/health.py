"""How a mapping is: whether it reads, what its source's trouble is, and what became of its last batch."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

from penstock.api import SourceDenied, SourceError, SourceMissing
from penstock.core import reports
from penstock.core.views import Counters

Phase = Literal["disabled", "starting", "reading", "draining", "stopped", "failed"]
TroubleKind = Literal["unavailable", "wrong", "broken"]

NO_RECORDS = "No records processed"
OK = "OK"
CALL_FAILED = "PROBLEM: Function call failed"
PARTLY_FAILED = "PROBLEM: Function reported batch item failures"
"""Ours: what AWS says here is not known, and a call that reports failures has not failed."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a source. `unavailable` may pass by itself; `wrong` and `broken` need somebody."""

    kind: TroubleKind
    reason: str
    since_ms: int


class Health:
    """One per mapping. Everybody who learns something about it says so here; `status` and `--until-idle` read it."""

    def __init__(self, *, now_ms: Callable[[], int]) -> None:
        """Take the node's clock."""
        self.phase: Phase = "starting"
        self.trouble: Trouble | None = None
        self.failure = ""
        """Why it stopped for good."""
        self.warning = ""
        """What is allowed, and looks wrong while it runs."""
        self.counted = Counters()
        """What machines that are gone have counted."""
        self._now_ms = now_ms
        self._last_error = ""
        self._delivery_error = ""
        self._last_batch = NO_RECORDS

    @property
    def last_result(self) -> str:
        """Say it in Lambda's words (`lambda-semantics.md §7`)."""
        if self.failure:
            return f"PROBLEM: {self.failure}"
        if self.trouble is not None:
            return f"PROBLEM: {self.trouble.reason}"
        return self._last_batch

    @property
    def last_error(self) -> str:
        """Say what went wrong last: with a destination, as long as that lasts, and otherwise with a batch."""
        return self._delivery_error or self._last_error

    def on_trouble(self, error: SourceError) -> bool:
        """Hear that the source failed; True when that is news."""
        before = self.trouble
        kind = trouble_kind(error)
        since_ms = before.since_ms if before is not None and before.kind == kind else self._now_ms()
        self.trouble = Trouble(kind, str(error), since_ms)
        return before is None or before.reason != self.trouble.reason

    def on_source_well(self) -> bool:
        """Hear that the source answered; True when that is news."""
        was_troubled = self.trouble is not None
        self.trouble = None
        return was_troubled

    def on_report(self, report: reports.Report) -> None:
        """Hear what a machine reports."""
        match report:
            case reports.BatchSucceeded():
                self._last_batch = OK
            case reports.BatchFailed():
                self._last_batch = CALL_FAILED
                self._last_error = f"{report.error_type}: {report.error_message}"
            case reports.BatchPartlyFailed():
                self._last_batch = PARTLY_FAILED
                left = report.records - report.done
                self._last_error = f"the function reported {report.failed_from} as failed; {left} records are not done"
            case reports.DeliveryTroubled():
                error = f"the destination did not take {_span(report)}: {report.reason}"
                if report.retry_in_ms is None:
                    self._last_error, self._delivery_error = error, ""
                else:
                    self._delivery_error = error
            case reports.RecordDelivered():
                self._delivery_error = ""
            case reports.BatchNotRun() | reports.StoreTroubled() | reports.Held():
                self._last_batch = f"PROBLEM: {report.reason}"
                self._last_error = report.reason
            case reports.NothingMatches():
                self.warning = (
                    f"its filter has matched nothing of the first {report.records} messages; all of them were deleted"
                )
            case _:
                pass

    def fail(self, reason: str) -> None:
        """Hear that the mapping has stopped for good."""
        self.phase = "failed"
        self.failure = reason

    def keep(self, counters: Counters) -> None:
        """Keep what a machine has counted that goes away."""
        self.counted = add_counters(self.counted, counters)
        # Whatever it waited for is another's concern now.
        self._delivery_error = ""


def add_counters(left: Counters, right: Counters) -> Counters:
    """Add two sets of counters."""
    return Counters(**{one.name: getattr(left, one.name) + getattr(right, one.name) for one in fields(Counters)})


def _span(report: reports.DeliveryTroubled) -> str:
    if report.records == 1:
        return f"the document of record {report.first}"
    return f"the document of {report.records} records, {report.first} to {report.last}"


def trouble_kind(error: SourceError) -> TroubleKind:
    """Sort an error by who has to do something about it."""
    if error.is_retryable:
        return "unavailable"
    return "wrong" if isinstance(error, SourceDenied | SourceMissing) else "broken"
