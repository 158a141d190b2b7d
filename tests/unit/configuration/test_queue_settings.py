"""What a queue can be told besides its visibility timeout: where dead letters go, and order within groups."""

import pytest

EVENT = "Functions.billing.Events.From"
POLICY = "Sources.orders.RedrivePolicy"


def queue(policy="", *, kind="pile", more=""):
    redrive = f", RedrivePolicy: {policy}" if policy else ""
    return f"{{Type: {kind}{redrive}{more}}}"


def redrive(target, count=5):
    return f"{{maxReceiveCount: {count}, deadLetterTargetArn: {target}}}"


@pytest.mark.parametrize("target", ["dead", "'arn:aws:sqs:us-east-1:000000000000:dead'"])
def test_dead_letters_go_to_another_source_by_its_name_or_arn(folder, write, target):
    text = write("Source: orders", source=queue(redrive(target)), others="dead: {Type: pile}")
    (mapping,) = folder.load(text).mappings
    assert (mapping.dead_letter_target.name, mapping.queue.receive_count_max) == ("dead", 5)
    assert mapping.queue.has_dead_letters


def test_a_stream_can_take_dead_letters(folder, write):
    text = write("Source: orders", source=queue(redrive("dead")), others="dead: {Type: tape, Servers: a, Reel: b}")
    assert folder.load(text).mappings[0].dead_letter_target.type.kind == "stream"


@pytest.mark.parametrize(
    ("target", "others", "problem"),
    [
        ("daed", "dead: {Type: pile}", "there is no source 'daed'; did you mean dead?"),
        (
            "orders", "dead: {Type: pile}",
            "'orders' is the queue itself; another one: what is sent there would come back for ever",
        ),
        (
            "dead", "dead: {Type: pile, Queue: orders}",
            ("'dead' is the queue itself, where it is called 'orders'; "
            "another one: what is sent there would come back for ever"),
        ),
        (
            "dead", "dead: {Type: drum}",
            "nothing can be written to 'dead', a source of type drum; no source of this file can be written",
        ),
        (
            "dead", "dead: {Type: shelf, FifoQueue: true}",
            "'dead' is a FIFO queue; a standard one: what is given up is in no message group",
        ),
    ],
)  # fmt: skip
def test_a_target_that_could_never_take_them_is_refused(folder, write, target, others, problem):
    text = write("Source: orders", source=queue(redrive(target)), others=others)
    assert folder.findings(text) == [f"penstock.yaml:2: {POLICY}.deadLetterTargetArn: {problem}"]


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        ("{deadLetterTargetArn: dead}", "maxReceiveCount: is missing"),
        ("{maxReceiveCount: 5}", "deadLetterTargetArn: is missing"),
        ("{maxReceiveCount: 0, deadLetterTargetArn: dead}", "maxReceiveCount: is 0; a whole number from 1 to 1000"),
        ("{maxReceiveCount: 1001, deadLetterTargetArn: dead}", "maxReceiveCount: is 1001; a whole number from 1"),
    ],
)
def test_a_policy_is_whole_and_within_bounds(folder, write, policy, path):
    (finding,) = folder.findings(write("Source: orders", source=queue(policy), others="dead: {Type: pile}"))
    assert finding.startswith(f"penstock.yaml:2: {POLICY}.{path}")


def test_a_queue_with_an_end_to_its_retries_is_not_warned_of(folder, write):
    text = write("Source: orders", source=queue(redrive("dead")), others="dead: {Type: pile}")
    assert folder.load(text).warnings == ()


def test_a_fifo_queue_without_an_end_to_its_retries_is_warned_of_its_groups_too(folder, write):
    (warning,) = folder.load(write("Source: orders", source=queue(kind="shelf", more=", FifoQueue: true"))).warnings
    assert warning.problem == (
        "a message of 'orders' that always fails comes back for ever, and the later ones of its group wait behind it"
    )


def test_a_source_without_groups_can_be_no_fifo_queue(folder, write):
    assert folder.findings(write("Source: orders", source=queue(more=", FifoQueue: true"))) == [
        (
            "penstock.yaml:2: Sources.orders.FifoQueue: a source of type pile has no message groups; "
            "leave it out or write false"
        )
    ]


def test_a_fifo_queue_may_have_a_window_and_large_batches_in_a_file(folder, write):
    text = write(
        "Source: orders", "BatchSize: 500", "MaximumBatchingWindowInSeconds: 2",
        source=queue(kind="shelf", more=", FifoQueue: true"),
    )  # fmt: skip
    settings = folder.load(text).mappings[0].queue
    assert (settings.is_fifo, settings.batch_size, settings.batching_window_ms) == (True, 500, 2_000)
    assert settings.group_failure_mode == "group"


def test_how_a_group_fails_is_for_fifo_queues(folder, write):
    assert folder.findings(write("Source: orders", "GroupFailureMode: group", source=queue())) == [
        (
            f"penstock.yaml:10: {EVENT}.GroupFailureMode: is given, and 'orders' is no FIFO queue; "
            "leave it out, or set FifoQueue on the source"
        )
    ]


def test_what_is_filtered_out_can_not_be_left_in_a_fifo_queue(folder, write):
    text = write("Source: orders", "OnFiltered: keep", source=queue(kind="shelf", more=", FifoQueue: true"))
    assert folder.findings(text) == [
        (
            f"penstock.yaml:10: {EVENT}.OnFiltered: is keep, and 'orders' is a FIFO queue: "
            "what is left there holds its group up; delete or dead-letter"
        )
    ]


@pytest.mark.parametrize(
    ("setting", "finding"),
    [
        ("ScalingConfig: {Policy: fast}", "ScalingConfig.Policy: is 'fast'; one of eager, lambda, lambda-2023"),
        ("ScalingConfig: {MaximumConcurrency: 0}", "ScalingConfig.MaximumConcurrency: is 0; a whole number"),
        ("FunctionResponseTypes: [Report]", "FunctionResponseTypes: is 'Report'; a list of ReportBatchItemFailures"),
        ("GroupFailureMode: all", "GroupFailureMode: is 'all'; one of group, aws"),
    ],
)
def test_a_queue_mapping_says_what_it_takes(folder, write, setting, finding):
    (found, *_) = folder.findings(write("Source: orders", setting, source=queue()))
    assert found.startswith(f"penstock.yaml:10: {EVENT}.{finding}")


@pytest.mark.parametrize(("kind", "delayed"), [("pile", False), ("shelf", True)])
def test_the_core_is_told_what_the_source_can_do(folder, write, kind, delayed):
    settings = folder.load(write("Source: orders", source=queue(kind=kind))).mappings[0].queue
    assert settings.is_delayed == delayed


def test_the_dead_letter_target_of_a_queue_that_no_mapping_reads_is_looked_for_too(folder, write):
    text = write("Source: orders", source=queue(), others=f"unread: {queue(redrive('nowhere'))}")
    (found,) = folder.findings(text)
    assert found.startswith(
        "penstock.yaml:2: Sources.unread.RedrivePolicy.deadLetterTargetArn: there is no source 'nowhere'"
    )


def test_a_second_mapping_on_a_fifo_queue_that_one_receiver_has_is_refused(folder, write):
    more = "\n      Again: {Source: orders}"
    text = write("Source: orders", source=queue(kind="whole", more=", FifoQueue: true")) + more
    (found,) = folder.findings(text)
    assert "Functions.billing.Events.Again.Source: 'orders' is read by billing.From already" in found
    assert folder.load(text.replace("Again: {Source: orders}", "Again: {Source: orders, Enabled: false}"))
