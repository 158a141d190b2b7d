import asyncio
import io
import json
from dataclasses import replace
from typing import get_args

import pytest

from penstock.core import reports
from penstock.shell import log_allowance, reporting
from penstock.shell.health import Health
from penstock.shell.log_allowance import LINES_MAX, LogAllowance
from penstock.shell.logs import make_log
from penstock.shell.reporting import Reporting
from shell.twins import run, until

SUCCEEDED = reports.BatchSucceeded("id-1", "0", "9", 10, 1, 12)
FAILED = reports.BatchFailed("id-1", "0", "9", 10, 2, 12, "KeyError", "'id'", 500)
PARTLY = reports.BatchPartlyFailed("id-1", "0", "9", 10, 1, 12, 4, "4", 500)
NOT_RUN = reports.BatchNotRun("0", "9", 10, "too many at once", 500)
DROPPED = reports.RecordsDropped("RetryAttemptsExhausted", "4", "4", 1, 3, "KeyError", "'id'")
DELIVERED = reports.RecordDelivered("RetryAttemptsExhausted", "4", "4", 1, shrunk=False)
TROUBLED = reports.DeliveryTroubled(
    "RetryAttemptsExhausted", "4", "4", 1, "the broker is away", refused=False, retry_in_ms=500
)
EXAMPLES = [
    *(SUCCEEDED, FAILED, PARTLY, NOT_RUN, DROPPED, DELIVERED, TROUBLED),
    reports.LanesChanged(1, 10),
    reports.RecordsLate(3, "4", "6"),
    reports.WindowClosed(0, 60_000, early=False),
    reports.PositionLost(0, 7),
    reports.Started(-1, "TRIM_HORIZON"),
    reports.SourceTroubled("read", "the broker is away", 500),
    reports.StoreTroubled("the disk is full", 500),
    reports.Held("a note of version 9"),
    reports.NothingMatches(1000),
    reports.MessagesReturned(3, "the node stops"),
    reports.LeasesExpired(2),
]


class Told:
    """A reporting and every line that it has written."""

    def __init__(self, level: str = "info") -> None:
        self._stream = io.StringIO()
        log = make_log(log_format="json", level=level, stream=self._stream).bind(mapping="tally.From")
        self.health = Health(now_ms=lambda: 0)
        self.reporting = Reporting(log, self.health, level=level)

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    def events(self, *names: str) -> list[dict[str, object]]:
        return [line for line in self.lines if line["event"] in names]


def told(*given: reports.Report, level: str = "info", closes: bool = False) -> list[dict[str, object]]:
    async def scenario() -> list[dict[str, object]]:
        bench = Told(level)
        for report in given:
            bench.reporting.report(report, "s-0")
        if closes:
            bench.reporting.close()
        return bench.lines

    return run(scenario())


def test_there_is_an_example_of_every_report():
    assert {type(report) for report in EXAMPLES} == set(get_args(reports.Report))


@pytest.mark.parametrize("report", EXAMPLES, ids=lambda report: type(report).__name__)
def test_every_report_has_one_line_with_its_mapping_its_shard_and_what_it_says(report):
    # A source's trouble is told once for all shards, by whoever hears of it.
    expected = 0 if isinstance(report, reports.SourceTroubled) else 1

    lines = told(report, level="debug")

    assert len(lines) == expected
    for line in lines:
        assert (line["mapping"], line["shard"]) == ("tally.From", "s-0")
        said = {name: getattr(report, name) for name in report.__slots__}
        if isinstance(report, reports.WindowClosed):
            said = {"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:01:00Z", "early": False}
        assert {name: line[name] for name in said} == said


@pytest.mark.parametrize(
    ("report", "level", "outcome"),
    [
        (SUCCEEDED, "info", "succeeded"),
        (FAILED, "warning", "failed"),
        (PARTLY, "warning", "partly failed"),
        (NOT_RUN, "warning", "not run"),
        (DROPPED, "error", "dropped"),
        (DELIVERED, "info", "delivered"),
        (TROUBLED, "warning", "not delivered"),
        (replace(TROUBLED, refused=True), "error", "not delivered"),
        (replace(TROUBLED, retry_in_ms=None), "error", "not delivered"),
    ],
)
def test_the_fate_of_records_is_seen_at_the_default_level(report, level, outcome):
    [line] = told(report)

    assert (line["level"], line["outcome"], line["first"]) == (level, outcome, report.first)


def test_a_batch_says_all_that_there_is_to_know_of_it():
    [line] = told(FAILED)

    del line["timestamp"]
    assert line == {
        "mapping": "tally.From",
        "shard": "s-0",
        "outcome": "failed",
        "request_id": "id-1",
        "first": "0",
        "last": "9",
        "records": 10,
        "attempt": 2,
        "duration_ms": 12,
        "error_type": "KeyError",
        "error_message": "'id'",
        "retry_in_ms": 500,
        "event": "batch failed",
        "level": "warning",
    }


def test_the_last_try_has_no_next_one():
    [line] = told(replace(FAILED, retry_in_ms=None))

    assert "retry_in_ms" not in line


def test_what_is_below_the_level_is_not_logged():
    assert [line["event"] for line in told(SUCCEEDED, FAILED, DROPPED, level="error")] == ["records dropped"]


def test_a_quiet_mapping_shows_every_batch():
    lines = told(*[SUCCEEDED] * LINES_MAX, closes=True)

    assert [line["event"] for line in lines] == ["batch succeeded"] * LINES_MAX


def test_a_busy_mapping_sums_up_what_it_left_out():
    async def scenario() -> None:
        bench = Told()
        for number in range(500):
            bench.reporting.report(replace(SUCCEEDED, duration_ms=number), f"s-{number % 3}")
        bench.reporting.close()
        *lines, last = bench.lines

        assert [line["event"] for line in lines] == ["batch succeeded"] * LINES_MAX
        del last["timestamp"]
        assert last == {
            "mapping": "tally.From",
            "event": "more batches succeeded",
            "level": "info",
            "outcome": "succeeded",
            "batches": 500 - LINES_MAX,
            "records": 10 * (500 - LINES_MAX),
            "shards": 3,
            "duration_ms_max": 499,
        }

    run(scenario())


def test_what_was_left_out_is_told_though_nothing_more_happens(monkeypatch):
    monkeypatch.setattr(log_allowance, "INTERVAL_S", 0.05)

    async def scenario() -> None:
        bench = Told()
        for _ in range(LINES_MAX + 3):
            bench.reporting.report(SUCCEEDED, "s-0")
        await until(lambda: bench.events("more batches succeeded"))
        assert bench.lines[-1]["batches"] == 3

        # A new interval has lines of its own.
        bench.reporting.report(SUCCEEDED, "s-0")
        assert bench.lines[-1]["event"] == "batch succeeded"

    run(scenario())


def test_whatever_the_rate_every_record_is_counted_in_some_line(monkeypatch):
    monkeypatch.setattr(log_allowance, "INTERVAL_S", 0.02)

    async def scenario() -> None:
        bench = Told()
        for _ in range(300):
            bench.reporting.report(SUCCEEDED, "s-0")
            bench.reporting.report(DELIVERED, "s-0")
            await asyncio.sleep(0.0005)
        bench.reporting.close()

        batches = bench.events("batch succeeded", "more batches succeeded")
        deliveries = bench.events("records delivered", "more records delivered")
        assert sum(line["records"] for line in batches) == 3000
        assert sum(line["records"] for line in deliveries) == 300
        assert len(batches) < 300

    run(scenario())


def test_what_goes_wrong_is_never_left_out():
    lines = told(*[FAILED] * 50, *[DROPPED] * 50, *[TROUBLED] * 50, *[NOT_RUN] * 50)

    assert len(lines) == 200


def test_when_debugging_every_batch_has_its_line():
    lines = told(*[SUCCEEDED] * 200, level="debug", closes=True)

    assert [line["event"] for line in lines] == ["batch succeeded"] * 200


def test_an_error_that_is_too_long_for_a_line_is_cut():
    [line] = told(replace(FAILED, error_message="x" * 100_000))

    assert line["error_message"] == "x" * reporting.TEXT_CHARACTERS_MAX + "… (100000 characters)"


def test_the_health_is_told_of_what_has_no_line():
    async def scenario() -> None:
        bench = Told("error")
        bench.reporting.report(SUCCEEDED, "s-0")
        assert bench.health.last_result == "OK"

    run(scenario())


def test_an_allowance_begins_anew_with_each_interval():
    allowance = LogAllowance()
    values = {"records": 2, "duration_ms": 5}

    first = [allowance.take("s-0", values, 100.0) for _ in range(LINES_MAX + 2)]
    left_out = allowance.close()

    assert first == [True] * LINES_MAX + [False] * 2
    assert left_out is not None
    assert (left_out.count, left_out.records, left_out.duration_ms_max, left_out.shards) == (2, 4, 5, {"s-0"})
    assert allowance.take("s-0", values, 100.1)
    assert allowance.close() is None


def test_a_batch_now_and_then_is_always_shown():
    allowance = LogAllowance()

    assert all(allowance.take("s-0", {}, float(second)) for second in range(1000))
