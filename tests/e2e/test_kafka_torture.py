"""A few kills at random moments over everything that a stream mapping can do; `make torture` does many."""

from __future__ import annotations

import logging

import pytest

from torture.torture import Torture

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

LOG = logging.getLogger("tests.torture")

KILLS = 5
SEED = 5


def test_the_books_balance_after_five_kills_over_lanes_bisection_partial_responses_age_and_windows(kafka, tmp_path):
    torture = Torture(tmp_path, kafka.address, kills=KILLS, seed=SEED, say=LOG.info)

    assert torture.run() == []
