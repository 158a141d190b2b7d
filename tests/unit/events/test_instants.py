from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.events.instants import english, iso_milliseconds, iso_seconds

FIRST = datetime(1, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001 - made aware below
def test_a_time_is_written_as_the_standard_library_writes_it(time):
    time = time.replace(tzinfo=UTC)
    time_ms = (time - EPOCH) // timedelta(milliseconds=1)

    assert iso_milliseconds(time_ms) == time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert iso_seconds(time_ms) == time.isoformat(timespec="seconds").replace("+00:00", "Z")


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001 - made aware below
def test_a_time_in_english_is_what_the_standard_library_reads_back(time):
    time = time.replace(tzinfo=UTC, microsecond=0)

    text = english((time - EPOCH) // timedelta(seconds=1))

    month, _, rest = text.partition(" ")
    day, year, clock = rest.split(", ")
    read = datetime.strptime(f"{month} {int(day):02} {int(year):04} {clock}", "%b %d %Y %I:%M:%S %p")  # noqa: DTZ007
    assert read.replace(tzinfo=UTC) == time


@pytest.mark.parametrize(
    ("time_s", "expected"),
    [
        (2021, "Jan 1, 1970, 12:33:41 AM"),
        (1_769_860_799, "Jan 31, 2026, 11:59:59 AM"),
        (1_769_860_800, "Jan 31, 2026, 12:00:00 PM"),
        (1_769_864_400, "Jan 31, 2026, 1:00:00 PM"),
        (2**64 - 1, "Nov 9, 584554051223, 7:00:15 AM"),
    ],
)
def test_hours_in_english_are_those_of_a_clock_with_two_halves(time_s, expected):
    assert english(time_s) == expected


def test_every_day_of_four_hundred_years_is_itself():
    for day in range(146_097 + 1):
        time = EPOCH + timedelta(days=day)

        assert iso_seconds(day * 86_400_000) == time.strftime("%Y-%m-%dT00:00:00Z")


@pytest.mark.parametrize(
    ("time_ms", "expected"),
    [
        (-1, "1969-12-31T23:59:59.999Z"),
        (2**63 - 1, "292278994-08-17T07:12:55.807Z"),
        (253_402_300_800_000, "10000-01-01T00:00:00.000Z"),
    ],
)
def test_a_producers_wild_time_is_still_written(time_ms, expected):
    assert iso_milliseconds(time_ms) == expected
