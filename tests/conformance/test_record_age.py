"""The recorded number of tries of a record that fails until it is too old (T6), in time that only passes on paper."""

from __future__ import annotations

import pytest

from penstock.core import commands as do
from penstock.core.settings import DeliverySettings
from unit.core import driving
from unit.core.driving import FAILED, DrivenStream

AGE_MS = 60_000
STEP_MS = 10


def failed_until_too_old(shard: DrivenStream) -> do.Deliver:
    """Fail every try at once, until the record is given up."""
    shard.invoke(0)
    while not shard.count(do.Deliver):
        if shard.machine.view().in_flight is not None:
            shard.respond(FAILED)
            shard.commit()
        elif do.RequestEnvironment in driving.kinds(shard.pass_time(STEP_MS)):
            shard.grant()
    return shard.last(do.Deliver)


@pytest.mark.parametrize(("jitter", "tries"), [(0.0, 8), (1.0, 7), (-1.0, 9)])
def test_a_record_that_always_fails_is_tried_about_eight_times_in_its_minute(jitter, tries, monkeypatch):
    monkeypatch.setattr(driving, "no_jitter", lambda: jitter)
    shard = DrivenStream(batch_size=1, record_age_ms_max=AGE_MS, delivery=DeliverySettings(on_failure=True))

    record = failed_until_too_old(shard).record

    assert record.condition == "RecordAgeExceeded"
    assert record.answer is None
    assert record.invoke_count == shard.count(do.Invoke) == tries
    assert AGE_MS < shard.now_ms <= AGE_MS + 20_000 * 1.2
    assert len(record.records) == 1


def test_a_record_that_is_too_old_when_it_is_read_is_never_tried_and_counts_one():
    shard = DrivenStream(batch_size=1, record_age_ms_max=AGE_MS, delivery=DeliverySettings(on_failure=True))
    shard.pass_time(AGE_MS + 1)

    shard.fetch(0)

    record = shard.last(do.Deliver).record
    assert (record.condition, record.invoke_count, record.answer) == ("RecordAgeExceeded", 1, None)
    assert shard.count(do.Invoke) == 0
