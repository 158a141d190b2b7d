import asyncio

import pytest
from rabbit_queues import KINDS, a_queue, settings_of

from contract import queue_contract
from contract.queue_contract import QUEUE_CHECKS

pytestmark = pytest.mark.rabbitmq

# RabbitMQ shows nothing that it does not give out: see test_operations.py.
_CHECKS = [check for check in QUEUE_CHECKS if check is not queue_contract.peeking_shows_messages_and_takes_nothing]
# Two receivers at once: of a FIFO queue one receives, and the other stands by (see test_fifo.py).
_OF_TWO_RECEIVERS = {queue_contract.a_held_message_comes_to_nobody_else}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", _CHECKS, ids=lambda check: check.__name__)
def test_a_queue_keeps_that(check, kind, queue_source):
    if kind == "fifo" and check in _OF_TWO_RECEIVERS:
        return
    asyncio.run(check(a_queue(queue_source(**settings_of(kind)))))
