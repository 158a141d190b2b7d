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
        self.last_error = ""
        self.warning = ""
        """What is allowed, and looks wrong while it runs."""
        self.counted = Counters()
        """What machines that are gone have counted."""
        self._now_ms = now_ms
        self._last_batch = NO_RECORDS

    @property
    def last_result(self) -> str:
        """Say it in Lambda's words (`lambda-semantics.md §7`)."""
        if self.failure:
            return f"PROBLEM: {self.failure}"
        if self.trouble is not None:
            return f"PROBLEM: {self.trouble.reason}"
        return self._last_batch

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
                self.last_error = f"{report.error_type}: {report.error_message}"
            case reports.BatchNotRun():
                self._last_batch = f"PROBLEM: {report.reason}"
                self.last_error = report.reason
            case reports.NothingMatches():
                self.warning = (
                    f"its filter has matched nothing of the first {report.records} messages; all of them were deleted"
                )
            case reports.Held():
                self._last_batch = f"PROBLEM: {report.reason}"
                self.last_error = report.reason
            case _:
                pass

    def fail(self, reason: str) -> None:
        """Hear that the mapping has stopped for good."""
        self.phase = "failed"
        self.failure = reason

    def keep(self, counters: Counters) -> None:
        """Keep what a machine has counted that goes away."""
        self.counted = add_counters(self.counted, counters)


def add_counters(left: Counters, right: Counters) -> Counters:
    """Add two sets of counters."""
    return Counters(**{one.name: getattr(left, one.name) + getattr(right, one.name) for one in fields(Counters)})


def trouble_kind(error: SourceError) -> TroubleKind:
    """Sort an error by who has to do something about it."""
    if error.is_retryable:
        return "unavailable"
    return "wrong" if isinstance(error, SourceDenied | SourceMissing) else "broken"
