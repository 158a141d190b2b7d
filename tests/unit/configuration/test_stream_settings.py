"""A stream mapping's settings beside each other: what they become, what is refused, and what is warned of."""

import pytest

from penstock.core.settings import DeliverySettings

EVENT = "Functions.billing.Events.From"
STREAM = ("Source: orders", "StartingPosition: LATEST")
OTHERS = "jobs: {Type: pile}, wheel: {Type: drum}"
DRUM = "{Type: drum}"
FAILED = "DestinationConfig: {OnFailure: {Destination: jobs}}"


def settings(folder, text):
    (mapping,) = folder.load(text).mappings
    return mapping.stream


def shown(folder, text):
    return folder.load(text).masked["Functions"]["billing"]["Events"]["From"]


def warnings(folder, text):
    return [str(each).replace(f"{folder.path}/penstock.yaml:", "") for each in folder.load(text).warnings]


@pytest.mark.parametrize(
    ("key", "name", "value"),
    [
        ("MaximumRetryAttempts: -1", "retry_attempts_max", -1),
        ("MaximumRetryAttempts: 0", "retry_attempts_max", 0),
        ("MaximumRecordAgeInSeconds: -1", "record_age_ms_max", None),
        ("MaximumRecordAgeInSeconds: 60", "record_age_ms_max", 60_000),
        ("MaximumRecordAgeInSeconds: 604800", "record_age_ms_max", 604_800_000),
        ("BisectBatchOnFunctionError: true", "bisects", True),
        ("FunctionResponseTypes: [ReportBatchItemFailures]", "reports_item_failures", True),
        ("FunctionResponseTypes: ReportBatchItemFailures", "reports_item_failures", True),
        ("FunctionResponseTypes: []", "reports_item_failures", False),
        ("ParallelizationFactor: 1", "lanes", 1),
        ("ParallelizationFactor: 10", "lanes", 10),
        ("TumblingWindowInSeconds: 0", "tumbling_window_ms", 0),
        ("TumblingWindowInSeconds: 900", "tumbling_window_ms", 900_000),
        ("TumblingWindowInSeconds: 1", "tumbling_idle_ms", 5_000),
    ],
)
def test_a_setting_arrives_in_the_cores_units(folder, write, key, name, value):
    assert getattr(settings(folder, write(*STREAM, key)), name) == value


def test_an_idle_window_closes_when_the_file_says(folder, write):
    text = write(*STREAM, "TumblingWindowInSeconds: 30", "TumblingWindowIdleSeconds: 0.5")
    assert settings(folder, text).tumbling_idle_ms == 500


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ((), DeliverySettings()),
        (("DestinationConfig: {}",), DeliverySettings()),
        (("DestinationConfig: {OnFailure: {}}",), DeliverySettings()),
        ((FAILED,), DeliverySettings(on_failure=True)),
        (("DestinationConfig: {OnSuccess: {Destination: jobs}}",), DeliverySettings(on_success=True)),
        (
            (FAILED, "OnDestinationRefusal: drop", "MaximumDeliveryAttempts: 1"),
            DeliverySettings(on_failure=True, on_refusal="drop", attempts_max=1),
        ),
    ],
)
def test_destinations_become_what_is_delivered(folder, write, keys, wanted):
    assert settings(folder, write(*STREAM, *keys, others=OTHERS)).delivery == wanted


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("MaximumRecordAgeInSeconds: 604801", "is 604801; a whole number of seconds from -1 to 604800"),
        *(
            (
                f"MaximumRecordAgeInSeconds: {age}",
                (
                    f"is {age}, and no limit is shorter than a minute, as on AWS; "
                    "-1 for no limit, or a whole number of seconds from 60 to 604800"
                ),
            )
            for age in (0, 1, 59)
        ),
        ("MaximumRecordAgeInSeconds: -2", "is -2; a whole number of seconds from -1 to 604800"),
        ("BisectBatchOnFunctionError: 1", "is 1; true or false"),
        ("FunctionResponseTypes: [Report]", "is 'Report'; a list of ReportBatchItemFailures, or of nothing"),
        ("FunctionResponseTypes: yes please", "is 'yes please'; a list of ReportBatchItemFailures, or of nothing"),
        ("FunctionResponseTypes: {}", "is an object; a list of ReportBatchItemFailures, or of nothing"),
        ("ParallelizationFactor: 0", "is 0; a whole number from 1 to 10"),
        ("ParallelizationFactor: 11", "is 11; a whole number from 1 to 10"),
        ("TumblingWindowInSeconds: -1", "is -1; a whole number of seconds from 0 to 900"),
        ("TumblingWindowInSeconds: 901", "is 901; a whole number of seconds from 0 to 900"),
        ("OnDestinationRefusal: wait", "is 'wait'; one of hold, drop"),
        ("MaximumDeliveryAttempts: 0", "is 0; a whole number, at least 1"),
        ("DestinationConfig: jobs", "is a single value; an object with OnFailure, OnSuccess"),
        ("MixPartitions: true", "is not supported yet; leave it out or write false"),
    ],
)
def test_a_value_that_can_not_be_is_refused_at_its_line(folder, write, key, message):
    name = key.partition(":")[0]
    assert folder.findings(write(*STREAM, key)) == [f"penstock.yaml:11: {EVENT}.{name}: {message}"]


COMBINATIONS = {
    "a window beside lanes": (
        ("TumblingWindowInSeconds: 60", "ParallelizationFactor: 2"),
        (
            "12: {}.ParallelizationFactor: is 2 beside TumblingWindowInSeconds 60; "
            "1, or no window: a window's state goes from one batch of the shard to the next"
        ),
    ),
    "an idle time without a window": (
        ("TumblingWindowIdleSeconds: 3",),
        (
            "11: {}.TumblingWindowIdleSeconds: is given without TumblingWindowInSeconds; "
            "leave it out, or set a window: it says when one without new records closes"
        ),
    ),
    "an idle time beside a window of no length": (
        ("TumblingWindowInSeconds: 0", "TumblingWindowIdleSeconds: 3"),
        (
            "12: {}.TumblingWindowIdleSeconds: is given without TumblingWindowInSeconds; "
            "leave it out, or set a window: it says when one without new records closes"
        ),
    ),
    "what a refusal does, without a destination": (
        ("OnDestinationRefusal: hold",),
        "11: {}.OnDestinationRefusal: is given without a destination; leave it out, or set DestinationConfig",
    ),
    "a bound on deliveries, without a destination": (
        ("MaximumDeliveryAttempts: 5", "DestinationConfig: {OnFailure: {}}"),
        "11: {}.MaximumDeliveryAttempts: is given without a destination; leave it out, or set DestinationConfig",
    ),
    "a payload without a destination": (
        ("DestinationConfig: {OnFailure: {IncludePayload: false}}",),
        (
            "11: {}.DestinationConfig.OnFailure.Destination: is missing; "
            "a source's name or ARN, file:FOLDER, function:NAME, or an address that a plugin knows"
        ),
    ),
    "a start in the future": (
        ("StartingPosition: AT_TIMESTAMP", "StartingPositionTimestamp: 1800000001"),
        "11: {}.StartingPositionTimestamp: 1800000001 is in the future; a time that has passed",
    ),
}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_what_can_not_be_together_is_refused_with_the_reason(folder, write, name):
    keys, finding = COMBINATIONS[name]
    if keys[0].startswith("StartingPosition:"):
        text = write("Source: orders", *keys, others=OTHERS)
    else:
        text = write(*STREAM, *keys, others=OTHERS)
    assert folder.findings(text) == [f"penstock.yaml:{finding.format(EVENT)}"]


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        (("TumblingWindowInSeconds: 901", "TumblingWindowIdleSeconds: 3"), "TumblingWindowInSeconds"),
        (("DestinationConfig: {OnFailure: {Destination: nobody}}", "MaximumDeliveryAttempts: 3"), "DestinationConfig"),
        (("DestinationConfig: [jobs]", "OnDestinationRefusal: drop"), "DestinationConfig"),
    ],
)
def test_one_mistake_is_one_message(folder, write, keys, wrong):
    (finding,) = folder.findings(write(*STREAM, *keys, others=OTHERS))
    assert finding.startswith(f"penstock.yaml:11: {EVENT}.{wrong}")


def test_a_window_and_partial_responses_go_together(folder, write):
    text = write(*STREAM, "TumblingWindowInSeconds: 60", "FunctionResponseTypes: [ReportBatchItemFailures]")
    assert settings(folder, text).reports_item_failures


# Retries: -1 is not without end everywhere (D2). A tape says 7, a drum nothing.


def test_endless_retries_end_where_the_source_type_says_so_beside_a_destination(folder, write):
    text = write(*STREAM, FAILED, others=OTHERS)
    assert settings(folder, text).retry_attempts_max == 7
    assert shown(folder, text)["MaximumRetryAttempts"] == 7
    how = "-1 is 7 where a mapping on a source of type tape has an on-failure destination"
    assert folder.load(text).masked["x-notes"] == {f"{EVENT}.MaximumRetryAttempts": how}
    assert warnings(folder, text) == []


@pytest.mark.parametrize(
    ("keys", "source", "attempts"),
    [
        ((), "{Type: tape, Servers: a, Reel: b}", -1),
        (("DestinationConfig: {OnSuccess: {Destination: jobs}}",), "{Type: tape, Servers: a, Reel: b}", -1),
        ((FAILED, "MaximumRetryAttempts: 0"), "{Type: tape, Servers: a, Reel: b}", 0),
        ((FAILED, "MaximumRetryAttempts: 10000"), "{Type: tape, Servers: a, Reel: b}", 10_000),
        ((FAILED,), DRUM, -1),
    ],
)
def test_endless_retries_stay_endless_elsewhere(folder, write, keys, source, attempts):
    text = write(*STREAM, *keys, source=source, others=OTHERS)
    assert settings(folder, text).retry_attempts_max == attempts
    assert "x-notes" not in folder.load(text).masked


# Warnings.

BLOCKS = (
    f"8: {EVENT}.MaximumRetryAttempts: a record that always fails may block its shard for ever; "
    "set MaximumRetryAttempts, MaximumRecordAgeInSeconds or both"
)


@pytest.mark.parametrize(
    ("keys", "warned"),
    [
        ((), True),
        (("MaximumRecordAgeInSeconds: 60",), False),
        (("MaximumRetryAttempts: 0",), False),
        (("BisectBatchOnFunctionError: true",), True),
        ((FAILED,), True),
    ],
)
def test_a_stream_without_any_bound_is_warned_of_once(folder, write, keys, warned):
    assert warnings(folder, write(*STREAM, *keys, source=DRUM, others=OTHERS)) == ([BLOCKS] if warned else [])


@pytest.mark.parametrize(
    ("keys", "warning"),
    [
        (
            ("MaximumRecordAgeInSeconds: 60", "MaximumBatchingWindowInSeconds: 60"),
            (
                "records may grow too old while their batch is gathered, and be given up without being invoked; "
                "more than the batching window, which is 60 seconds"
            ),
        ),
        (("MaximumRecordAgeInSeconds: 61", "MaximumBatchingWindowInSeconds: 60"), None),
        (
            ("MaximumRecordAgeInSeconds: 60", "RetryBackoff: {InitialMs: 60000, MaximumMs: 60000}"),
            (
                "records are too old before their first retry, so nothing is tried again; "
                "more than RetryBackoff.InitialMs, which is 60000"
            ),
        ),
        (
            (
                "MaximumRecordAgeInSeconds: 60",
                "RetryBackoff: {InitialMs: 60000, MaximumMs: 60000}",
                "MaximumRetryAttempts: 0",
            ),
            None,
        ),
    ],
)
def test_an_age_that_is_over_too_soon_is_warned_of(folder, write, keys, warning):
    wanted = [] if warning is None else [f"11: {EVENT}.MaximumRecordAgeInSeconds: {warning}"]
    assert warnings(folder, write(*STREAM, *keys)) == wanted


def test_lanes_without_keys_are_warned_of(folder, write):
    keys = ("MaximumRetryAttempts: 1", "ParallelizationFactor: 2")
    assert warnings(folder, write(*STREAM, *keys)) == []
    assert warnings(folder, write(*STREAM, *keys, source=DRUM)) == [
        (
            f"12: {EVENT}.ParallelizationFactor: nothing is kept in order; "
            "order is kept for each key, and records of a source of type drum have none"
        )
    ]


# What `penstock config` shows.


def test_what_is_not_said_is_shown_where_it_matters_and_nowhere_else(folder, write):
    plain = shown(folder, write(*STREAM))
    assert plain["FunctionResponseTypes"] == []
    assert (plain["MaximumRecordAgeInSeconds"], plain["ParallelizationFactor"]) == (-1, 1)
    assert not {"TumblingWindowIdleSeconds", "OnDestinationRefusal", "DestinationConfig"} & set(plain)
    windowed = shown(folder, write(*STREAM, "TumblingWindowInSeconds: 60"))
    assert windowed["TumblingWindowIdleSeconds"] == 5
    delivering = shown(folder, write(*STREAM, FAILED, others=OTHERS))
    assert delivering["OnDestinationRefusal"] == "hold"
    assert delivering["DestinationConfig"] == {"OnFailure": {"Destination": "jobs", "IncludePayload": True}}


def test_a_destination_that_is_nothing_is_not_shown(folder, write):
    assert shown(folder, write(*STREAM, "DestinationConfig: {OnFailure: {}}"))["DestinationConfig"] == {}
