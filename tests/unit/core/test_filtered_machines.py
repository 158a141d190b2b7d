"""What a mapping's filter changes in its machine: what counts, what is settled, and where the checkpoint stands."""

from penstock.api import Message, Record
from penstock.core import commands as do
from penstock.core import reports
from penstock.core.events import Origin
from penstock.core.patterns import FilterCriteria
from penstock.core.shard import QUIET_MS
from unit.core.driving import FAILED, RETURNED, DrivenQueue, DrivenStream, message, names, positions

ORIGIN = Origin(source_arn="arn:aws:kinesis:us-east-1:000000000000:stream/orders", region="us-east-1")


def wants_even(event_format):
    data_key = {"kafka": "value", "sqs": "body"}[event_format]
    return FilterCriteria([{data_key: {"even": [True]}}], event_format).record_filter(ORIGIN)


def numbered(position):
    return Record(position, b'{"even": true}' if position % 2 == 0 else b'{"even": false}', None, 0)


def told(name, *, even):
    one = message(name)
    return Message(one.message_id, one.receipt, b'{"even": true}' if even else b'{"even": false}', 1, 0, 0)


def test_a_record_that_is_filtered_out_takes_no_room_in_a_batch():
    shard = DrivenStream(record_filter=wants_even("kafka"), batch_size=3)
    invoke = shard.invoke(*map(numbered, range(6)))
    assert positions(invoke.batch) == [0, 2, 4]
    shard.respond(RETURNED)
    assert shard.committed()[-1] == 5, "the checkpoint moves past what was left out behind the batch"
    assert (shard.machine.counters.polled, shard.machine.counters.filtered) == (6, 3)


def test_a_stream_on_which_nothing_matches_commits_its_position_in_bounded_time_though_records_keep_coming():
    shard = DrivenStream(record_filter=wants_even("kafka"))
    began_ms = shard.now_ms
    for position in range(1, 4 * QUIET_MS // 100, 2):
        shard.fetch(numbered(position))
        shard.pass_time(100)
        if shard.all_of(do.Commit):
            break
    assert shard.committed(), "it would be read again from the beginning after a crash"
    assert shard.now_ms - began_ms <= 2 * QUIET_MS
    assert shard.count(do.Invoke) == 0


def test_a_failed_batch_is_the_same_batch_after_a_restart_though_records_between_are_filtered_out():
    shard = DrivenStream(record_filter=wants_even("kafka"), batch_size=3)
    shard.invoke(*map(numbered, range(7)))
    shard.respond(FAILED)
    (kept,) = [commit.checkpoint for commit in shard.all_of(do.Commit) if commit.checkpoint.note]

    again = DrivenStream(checkpoint=kept, record_filter=wants_even("kafka"), batch_size=100)
    invoke = again.invoke(*map(numbered, range(20)))
    assert positions(invoke.batch) == [0, 2, 4]
    assert invoke.attempt == 2


def test_the_window_begins_at_the_first_record_that_matches():
    shard = DrivenStream(record_filter=wants_even("kafka"), batching_window_ms=1_000)
    shard.fetch(numbered(1))
    shard.pass_time(900)
    shard.fetch(numbered(2))
    shard.pass_time(900)
    assert shard.count(do.RequestEnvironment) == 0
    shard.pass_time(100)
    assert shard.count(do.RequestEnvironment) == 1


def test_a_message_that_does_not_match_is_deleted_and_never_run():
    queue = DrivenQueue(record_filter=wants_even("sqs"))
    queue.receive(told("a", even=True), told("b", even=False))
    assert [ack.receipts for ack in queue.all_of(do.Ack)] == [("b/1",)]
    queue.grant()
    assert names(queue.last(do.Invoke).batch) == ["a"]
    assert queue.machine.counters.filtered == 1


def test_a_message_that_does_not_match_is_left_for_others_where_the_mapping_keeps_it():
    queue = DrivenQueue(record_filter=wants_even("sqs"), on_filtered="keep", visibility_timeout_ms=7_000)
    queue.receive(told("b", even=False))
    (nack,) = queue.all_of(do.Nack)
    assert (nack.receipts, nack.delay_ms, nack.counted) == (("b/1",), 7_000, False)
    assert queue.count(do.Ack) == 0


def test_a_queue_whose_filter_has_matched_nothing_of_a_thousand_messages_is_warned_of_once():
    queue = DrivenQueue(record_filter=wants_even("sqs"), batch_size=100)
    for number in range(30):
        queue.receive(*(told(f"{number}-{each}", even=False) for each in range(100)))
        queue.settle(queue.last(do.Ack))
    assert queue.reports(reports.NothingMatches) == [reports.NothingMatches(1_000)]


def test_a_queue_whose_filter_has_matched_once_is_not_warned_of():
    queue = DrivenQueue(record_filter=wants_even("sqs"), batch_size=1_000)
    queue.receive(told("first", even=True), *(told(str(each), even=False) for each in range(1_500)))
    assert queue.reports(reports.NothingMatches) == []
