from dataclasses import replace

import pytest

from penstock.core import reports
from penstock.core.views import Counters
from penstock.shell.health import CALL_FAILED, NO_RECORDS, OK, PARTLY_FAILED, Health

SUCCEEDED = reports.BatchSucceeded("id", "0", "9", 10, 1, 12)
FAILED = reports.BatchFailed("id", "0", "9", 10, 1, 12, "KeyError", "'id'", 500)
PARTLY = reports.BatchPartlyFailed("id", "0", "9", 10, 1, 12, 4, "4", 500)
DROPPED = reports.RecordsDropped("RetryAttemptsExhausted", "4", "4", 1, 3, "KeyError", "'id'")
AWAY = reports.DeliveryTroubled(
    "RetryAttemptsExhausted", "4", "6", 3, "the broker is away", refused=False, retry_in_ms=500
)


def after(*given):
    health = Health(now_ms=lambda: 0)
    for report in given:
        health.on_report(report)
    return health


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], NO_RECORDS),
        ([SUCCEEDED], OK),
        ([FAILED], CALL_FAILED),
        ([FAILED, SUCCEEDED], OK),
        ([PARTLY], PARTLY_FAILED),
        ([PARTLY, SUCCEEDED], OK),
        ([FAILED, DROPPED], CALL_FAILED),
        ([FAILED, DROPPED, AWAY], CALL_FAILED),
        ([SUCCEEDED, reports.WindowClosed(0, 1, early=False), reports.RecordsLate(1, "0", "0")], OK),
        ([SUCCEEDED, reports.StoreTroubled("the disk is full", 500)], "PROBLEM: the disk is full"),
        ([reports.StoreTroubled("the disk is full", 500), SUCCEEDED], OK),
        ([reports.Held("a state that is lost")], "PROBLEM: a state that is lost"),
    ],
)
def test_the_last_result_is_said_in_lambdas_words(given, expected):
    assert after(*given).last_result == expected


def test_the_last_error_says_which_record_was_reported():
    assert after(PARTLY).last_error == "the function reported 4 as failed; 6 records are not done"


def test_the_last_error_says_what_the_destination_did_not_take():
    assert after(AWAY).last_error == (
        "the destination did not take the document of 3 records, 4 to 6: the broker is away"
    )


def test_the_last_error_is_the_functions_again_when_the_destination_took_the_document():
    delivered = reports.RecordDelivered("RetryAttemptsExhausted", "4", "6", 3, shrunk=False)

    assert after(FAILED, DROPPED, AWAY, delivered).last_error == "KeyError: 'id'"


def test_a_document_that_was_given_up_stays_the_last_error():
    given_up = replace(AWAY, retry_in_ms=None)

    assert after(FAILED, DROPPED, AWAY, given_up).last_error.startswith("the destination did not take")


def test_what_machines_that_are_gone_have_counted_is_kept():
    health = after()
    health.keep(Counters(polled=3, dropped_before=1))
    health.keep(Counters(polled=4, delivered=2))

    assert health.counted == Counters(polled=7, dropped_before=1, delivered=2)
