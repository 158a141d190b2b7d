"""What a mapping in a file becomes: the core's settings, with Lambda's defaults filled in."""

import pytest

from penstock.api import Start
from penstock.configuration.starting import time_ms
from penstock.core.settings import DeliverySettings, QueueSettings, RetryBackoff, StreamSettings

EVENT = "Functions.billing.Events.From"
STREAM = ("Source: orders", "StartingPosition: TRIM_HORIZON")
PILE = "{Type: pile}"
NOW_S = 1_800_000_000


def test_a_stream_mapping_has_lambdas_defaults(folder, write):
    (mapping,) = folder.load(write(*STREAM, "EventFormat: kinesis")).mappings
    assert mapping.stream == StreamSettings(
        start=Start("TRIM_HORIZON"),
        batch_size=100,
        batching_window_ms=0,
        retry_attempts_max=-1,
        backoff=RetryBackoff(),
        function_timeout_ms=3000,
    )
    assert (mapping.name, mapping.enabled, mapping.event_format) == ("billing.From", True, "kinesis")
    assert mapping.queue is None
    assert mapping.line == 8


def test_a_queue_mapping_has_lambdas_defaults(folder, write):
    (mapping,) = folder.load(write("Source: orders", source=PILE)).mappings
    assert mapping.queue == QueueSettings(
        batch_size=10,
        batching_window_ms=0,
        visibility_timeout_ms=30_000,
        concurrency_max=None,
        backoff=RetryBackoff(),
        function_timeout_ms=3000,
        is_delayed=False,
    )
    assert (mapping.event_format, mapping.stream, mapping.dead_letter_target) == ("sqs", None, None)


def test_every_setting_of_a_stream_mapping_arrives(folder, write):
    text = write(
        *STREAM,
        "Enabled: false",
        "BatchSize: 10000",
        "MaximumBatchingWindowInSeconds: 300",
        "MaximumRetryAttempts: 10000",
        "RetryBackoff: {InitialMs: 1, MaximumMs: 2, Multiplier: 1.5}",
        "ReaderId: me",
        "MaximumRecordAgeInSeconds: 604800",
        "BisectBatchOnFunctionError: true",
        "FunctionResponseTypes: [ReportBatchItemFailures]",
        "ParallelizationFactor: 10",
        "DestinationConfig: {OnFailure: {Destination: jobs}, OnSuccess: {Destination: jobs}}",
        "OnDestinationRefusal: drop",
        "MaximumDeliveryAttempts: 3",
        others="jobs: {Type: pile}",
    ).replace("Handler: app.handler", "Handler: app.handler\n    Timeout: 900")
    (mapping,) = folder.load(text).mappings
    assert mapping.stream == StreamSettings(
        start=Start("TRIM_HORIZON"),
        batch_size=10_000,
        batching_window_ms=300_000,
        retry_attempts_max=10_000,
        record_age_ms_max=604_800_000,
        bisects=True,
        reports_item_failures=True,
        lanes=10,
        delivery=DeliverySettings(on_failure=True, on_success=True, on_refusal="drop", attempts_max=3),
        backoff=RetryBackoff(initial_ms=1, maximum_ms=2, multiplier=1.5),
        function_timeout_ms=900_000,
    )
    assert mapping.settings == {"ReaderId": "me"}
    assert mapping.enabled is False


def test_every_setting_of_a_queue_mapping_arrives(folder, write):
    text = write(
        "Source: orders",
        "BatchSize: 10000",
        "MaximumBatchingWindowInMilliseconds: 250",
        "ScalingConfig: {MaximumConcurrency: 1, Policy: lambda-2023}",
        "RetryBackoff: {InitialMs: 7}",
        "FunctionResponseTypes: [ReportBatchItemFailures]",
        "GroupFailureMode: aws",
        "OnFiltered: dead-letter",
        source="{Type: shelf, VisibilityTimeout: 60, FifoQueue: true,"
        " RedrivePolicy: {maxReceiveCount: 1000, deadLetterTargetArn: dead}}",
        others="dead: {Type: shelf, FifoQueue: true}",
    )
    (mapping,) = folder.load(text).mappings
    assert mapping.dead_letter_target is not None
    assert mapping.dead_letter_target.name == "dead"
    assert mapping.queue == QueueSettings(
        batch_size=10_000,
        batching_window_ms=250,
        visibility_timeout_ms=60_000,
        concurrency_max=1,
        scaling="lambda-2023",
        backoff=RetryBackoff(initial_ms=7),
        function_timeout_ms=3000,
        reports_item_failures=True,
        is_fifo=True,
        group_failure_mode="aws",
        on_filtered="dead-letter",
        receive_count_max=1000,
        has_dead_letters=True,
    )


@pytest.mark.parametrize(
    ("keys", "window_ms"),
    [
        (("EventFormat: kafka",), 500),
        (("EventFormat: kinesis",), 0),
        (("EventFormat: kafka", "MaximumBatchingWindowInSeconds: 0"), 0),
        (("EventFormat: kafka", "MaximumBatchingWindowInMilliseconds: 20"), 20),
    ],
)
def test_the_default_window_is_that_of_the_service_whose_layout_it_is(folder, write, keys, window_ms):
    (mapping,) = folder.load(write(*STREAM, *keys)).mappings
    assert mapping.stream.batching_window_ms == window_ms


@pytest.mark.parametrize(
    ("visibility", "timeout_s", "wanted_ms"), [("", 3, 30_000), ("", 60, 60_000), (", VisibilityTimeout: 0", 3, 0)]
)
def test_the_visibility_timeout_is_thirty_seconds_or_the_functions_timeout(
    folder, write, visibility, timeout_s, wanted_ms
):
    text = write("Source: orders", source=f"{{Type: pile{visibility}}}")
    text = text.replace("Handler: app.handler", f"Handler: app.handler\n    Timeout: {timeout_s}")
    assert folder.load(text).mappings[0].queue.visibility_timeout_ms == wanted_ms


@pytest.mark.parametrize(
    ("timestamp", "wanted_ms"),
    [
        ("1700000000", 1_700_000_000_000),
        ("1700000000.5", 1_700_000_000_500),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("'2023-11-14T23:13:20+01:00'", 1_700_000_000_000),
        ("2023-11-14 22:13:20", 1_700_000_000_000),
        ("2023-11-14", 1_699_920_000_000),
        ("${env:WHEN}", 1_700_000_000_000),
    ],
)
def test_a_starting_time_is_unix_seconds_or_an_iso_time(folder, write, timestamp, wanted_ms):
    folder.environ = {"WHEN": "1700000000"}
    text = write("Source: orders", "StartingPosition: AT_TIMESTAMP", f"StartingPositionTimestamp: {timestamp}")
    assert folder.load(text).mappings[0].stream.start == Start("AT_TIMESTAMP", wanted_ms)


@pytest.mark.parametrize(
    ("key", "finding"),
    [
        (
            f"StartingPositionTimestamp: {NOW_S + 1}",
            f"11: {EVENT}.StartingPositionTimestamp: {NOW_S + 1} is in the future; a time that has passed",
        ),
        (
            "StartingPositionTimestamp: soon",
            f"11: {EVENT}.StartingPositionTimestamp: is soon; Unix seconds, or a time such as 2026-01-31T12:00:00Z",
        ),
        ("BatchSize: 1", f"10: {EVENT}.StartingPosition: is AT_TIMESTAMP; StartingPositionTimestamp is missing"),
    ],
)
def test_a_starting_time_that_can_not_be_is_refused(folder, write, key, finding):
    text = write("Source: orders", "StartingPosition: AT_TIMESTAMP", key)
    assert folder.findings(text) == [f"penstock.yaml:{finding}"]


def test_a_starting_time_is_refused_where_the_source_knows_no_time(folder, write):
    text = write(
        "Source: orders", "StartingPosition: AT_TIMESTAMP", "StartingPositionTimestamp: 5", source="{Type: drum}"
    )
    assert folder.findings(text) == [
        (
            f"penstock.yaml:10: {EVENT}.StartingPosition: is AT_TIMESTAMP, "
            "and a source of type drum can not seek by time; TRIM_HORIZON or LATEST"
        )
    ]


@pytest.mark.parametrize("value", [True, -1, None, [], "never", "1.2.3"])
def test_what_is_no_time_is_none(value):
    assert time_ms(value) is None


def test_a_uuid_stays_with_project_function_and_event(folder, write):
    first = folder.load("Name: shop\n" + write(*STREAM)).mappings[0].uuid
    again = folder.load("Name: shop\n# moved\n\n" + write(*STREAM, "BatchSize: 7")).mappings[0].uuid
    other_project = folder.load("Name: staging\n" + write(*STREAM)).mappings[0].uuid
    other_event = folder.load("Name: shop\n" + write(*STREAM).replace("From:", "Into:")).mappings[0].uuid
    assert first == again
    assert len({first, other_project, other_event}) == 3


def test_a_uuid_never_changes_between_releases(folder, write):
    assert folder.load("Name: shop\n" + write(*STREAM)).mappings[0].uuid == "afd9adec-c80e-51e6-b637-0f6c1782327f"


def test_the_project_is_called_as_its_folder_unless_it_has_a_name(folder, write):
    assert folder.load(write(*STREAM)).name == "shop"
    assert folder.load("Name: other\n" + write(*STREAM)).name == "other"


def test_a_source_can_be_named_by_its_arn_which_chooses_the_layout(folder, write):
    text = write("Source: arn:aws:kinesis:us-east-1:000000000000:stream/orders", "StartingPosition: LATEST")
    (mapping,) = folder.load(text).mappings
    assert (mapping.source.name, mapping.event_format) == ("orders", "kinesis")


def test_a_sources_own_arn_names_it(folder, write):
    text = write(
        "Source: arn:aws:kinesis:eu-west-1:1:stream/x",
        "StartingPosition: LATEST",
        source="{Type: drum, Arn: 'arn:aws:kinesis:eu-west-1:1:stream/x'}",
    )
    (mapping,) = folder.load(text).mappings
    assert (mapping.source.name, mapping.source.arn) == ("orders", "arn:aws:kinesis:eu-west-1:1:stream/x")


def test_an_arn_that_fits_two_sources_is_refused(folder, write):
    text = write("Source: 'arn:x'", "StartingPosition: LATEST", source="{Type: drum, Arn: 'arn:x'}")
    text = text.replace("Functions:", "  more: {Type: drum, Arn: 'arn:x'}\nFunctions:")
    assert folder.findings(text) == [
        f"penstock.yaml:10: {EVENT}.Source: 'arn:x' names orders and more; name one of them"
    ]


def test_warnings_name_what_is_allowed_and_dangerous(folder):
    project = folder.load(
        """
        Sources:
          orders: {Type: drum}
          jobs: {Type: pile, VisibilityTimeout: 5}
        Functions:
          billing:
            CodeUri: code
            Handler: app.handler
            Timeout: 10
            Events:
              A: {Source: orders, StartingPosition: LATEST}
              B: {Source: orders, StartingPosition: LATEST, MaximumRetryAttempts: 3}
              C: {Source: jobs}
        """
    )
    assert [str(each).replace(f"{folder.path}/", "") for each in project.warnings] == [
        (
            "penstock.yaml:3: Sources.jobs.VisibilityTimeout: is shorter than the Timeout of the function 'billing'; "
            "10 seconds or more; leases are extended while it runs"
        ),
        (
            "penstock.yaml:10: Functions.billing.Events.A.MaximumRetryAttempts: "
            "a record that always fails may block its shard for ever; "
            "set MaximumRetryAttempts, MaximumRecordAgeInSeconds or both"
        ),
        (
            "penstock.yaml:12: Functions.billing.Events.C.Source: "
            "a message of 'jobs' that always fails comes back for ever; "
            "give the source a RedrivePolicy to end that"
        ),
    ]
