import asyncio

import pytest

from contract.fifo_contract import FIFO_CHECKS
from contract.queue_contract import QUEUE_CHECKS, QueueSubject
from contract.stream_contract import STREAM_CHECKS, StreamSubject
from penstock.api import SourceContext
from penstock.embedded.plugin import QUEUE, STREAM


@pytest.mark.parametrize("check", STREAM_CHECKS, ids=lambda check: check.__name__)
def test_the_stream_keeps_that(check, stream_source):
    asyncio.run(check(StreamSubject(type=STREAM, source=stream_source)))


@pytest.mark.parametrize("check", QUEUE_CHECKS, ids=lambda check: check.__name__)
def test_the_queue_keeps_that(check, queue_source):
    asyncio.run(check(QueueSubject(type=QUEUE, source=queue_source)))


@pytest.mark.parametrize("check", FIFO_CHECKS, ids=lambda check: check.__name__)
def test_a_fifo_queue_keeps_that(check, tmp_path):
    source = SourceContext(project="tests", name="ordered", settings={"FifoQueue": True}, data_dir=tmp_path)
    asyncio.run(QUEUE.operate(source).create())
    asyncio.run(check(QueueSubject(type=QUEUE, source=source)))
