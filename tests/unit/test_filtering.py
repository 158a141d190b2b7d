"""The stage that divides what a source gives."""

from penstock.api import Fetched, Gap, Message, Record
from penstock.core.events import Origin
from penstock.core.filtering import SUSPICIOUS_COUNT, Filtering, sift_fetched
from penstock.core.patterns import FilterCriteria

ORIGIN = Origin(source_arn="arn:aws:sqs:us-east-1:000000000000:jobs", region="us-east-1", topic="orders")


def records(*values: bytes | None) -> list[Record]:
    return [Record(number, value, b"key", 0) for number, value in enumerate(values)]


def kafka(pattern: dict) -> Filtering[Record]:
    return Filtering(FilterCriteria([pattern], "kafka").record_filter(ORIGIN))


def sqs(pattern: dict) -> Filtering[Message]:
    return Filtering(FilterCriteria([pattern], "sqs").record_filter(ORIGIN))


def messages(*bodies: bytes) -> list[Message]:
    return [Message(f"id-{number}", f"r-{number}", body, 1, 0, 0) for number, body in enumerate(bodies)]


ODD = {"value": {"n": [1]}}


def test_both_parts_keep_their_order_and_are_counted():
    filtering = sqs({"body": {"n": [1]}})
    given = messages(b'{"n": 1}', b'{"n": 2}', b"text", b'{"n": 1}', b'{"n": 3}')
    sifted = filtering.sift(given)
    assert list(sifted.kept) == [given[0], given[3]]
    assert list(sifted.left_out) == [given[1], given[2], given[4]]
    assert (filtering.polled, filtering.left_out) == (5, 3)


def test_without_a_filter_everything_goes_on_untouched():
    filtering: Filtering[Record] = Filtering()
    given = records(b"a", None)
    assert filtering.sift(given).kept is given
    assert (filtering.polled, filtering.left_out) == (2, 0)
    assert not filtering.takes_suspicion()


def test_a_list_of_which_all_or_nothing_is_kept_is_not_copied():
    given = records(b'{"n": 1}', b'{"n": 1}')
    assert kafka(ODD).sift(given).kept is given
    given = records(b'{"n": 2}', b'{"n": 2}')
    sifted = kafka(ODD).sift(given)
    assert (sifted.kept, sifted.left_out is given) == ((), True)


def test_the_position_of_a_fetch_moves_past_what_was_left_out():
    given = Fetched("orders-0", records(b'{"n": 1}', b'{"n": 2}'), 9, 38, lag=4, gap=Gap(0, 3))
    sifted = sift_fetched(kafka(ODD), given)
    assert sifted == Fetched("orders-0", given.records[:1], 9, len(b'{"n": 1}' + b"key"), lag=4, gap=Gap(0, 3))
    nothing = sift_fetched(kafka({"value": {"n": [7]}}), given)
    assert nothing == Fetched("orders-0", [], 9, 0, lag=4, gap=Gap(0, 3))
    everything = sift_fetched(kafka({"partition": [0]}), given)
    assert everything is given


def test_two_equal_messages_are_not_confused():
    given = [messages(b'{"n": 2}')[0], messages(b'{"n": 2}')[0], messages(b'{"n": 1}')[0]]
    sifted = sqs({"body": {"n": [1]}}).sift(given)
    assert [id(each) for each in sifted.left_out] == [id(each) for each in given[:2]]


def test_a_filter_that_has_matched_nothing_of_a_thousand_is_suspected_once():
    filtering = sqs({"body": {"n": [1]}})
    filtering.sift(messages(*[b'{"n": 2}'] * (SUSPICIOUS_COUNT - 1)))
    assert not filtering.takes_suspicion()
    filtering.sift(messages(b"text"))
    assert filtering.takes_suspicion()
    assert not filtering.takes_suspicion()


def test_a_filter_that_has_matched_once_is_not_suspected():
    filtering = sqs({"body": {"n": [1]}})
    filtering.sift(messages(b'{"n": 1}', *[b"text"] * SUSPICIOUS_COUNT))
    assert not filtering.takes_suspicion()


def test_a_changed_filter_is_judged_anew():
    filtering = sqs({"body": {"n": [1]}})
    filtering.sift(messages(*[b"text"] * SUSPICIOUS_COUNT))
    assert filtering.takes_suspicion()
    filtering.change(FilterCriteria([{"body": ["text"]}], "sqs").record_filter(ORIGIN))
    assert len(filtering.sift(messages(b"text", b"other")).kept) == 1
    assert (filtering.polled, filtering.left_out) == (2, 1)
