"""What librdkafka says, as it reaches a person: reasons that are never empty, and a log without floods."""

from __future__ import annotations

import logging
import time

import pytest
from confluent_kafka import KafkaError

from penstock_kafka.errors import reason_of, source_error
from penstock_kafka.quiet_log import QuietLog

REFUSED = "[thrd:k1:9092/bootstrap]: k1:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", "GROUP_AUTHORIZATION_FAILED"),
        ("ConsumerGroupDescribe:", "ConsumerGroupDescribe: GROUP_AUTHORIZATION_FAILED"),
        ("ConsumerGroupDescribe: ", "ConsumerGroupDescribe: GROUP_AUTHORIZATION_FAILED"),
        ("(after 3ms in state CONNECT)", "GROUP_AUTHORIZATION_FAILED"),
        ("k1:9092/bootstrap: no route (after 3ms in state CONNECT)", "no route"),
    ],
)
def test_an_error_without_words_is_told_by_its_name(words: str, reason: str) -> None:
    error = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, words)
    assert reason_of(error) == reason
    assert str(source_error(error, "topic 'orders' on k1:9092")).endswith(f"({reason})")


def test_a_line_that_is_said_again_and_again_is_logged_once_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, logger="penstock_kafka.librdkafka")
    said, log, now_s = caplog.records, QuietLog(), 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    for tries in range(200):
        now_s += 0.1
        name = f"rdkafka#producer-{tries % 7}"
        log.log(40, "%s [%s] %s", "FAIL", name, f"{REFUSED} (after {tries}ms in state CONNECT)")
    log.log(40, "%s [%s] %s", "FAIL", "rdkafka#consumer-1", REFUSED.replace("10.0.0.1", "10.0.0.2"))
    assert len(said) == 2
    assert said[0].getMessage() == f"FAIL [rdkafka#producer-0] {REFUSED} (after 0ms in state CONNECT)"
    now_s += 30
    log.log(40, "%s [%s] %s", "FAIL", "rdkafka#producer-9", f"{REFUSED} (after 1ms in state CONNECT)")
    assert said[2].getMessage().endswith("in state CONNECT) (and 199 more like it before)")


def test_a_log_that_nobody_reads_remembers_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="penstock_kafka.librdkafka")
    log = QuietLog()
    log.log(40, "%s [%s] %s", "FAIL", "rdkafka#producer-1", REFUSED)
    assert not caplog.records
    assert not log._said
