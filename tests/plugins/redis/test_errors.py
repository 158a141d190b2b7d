from __future__ import annotations

from penstock.api import SourceUnavailable
from penstock_redis.client_types import ConnectionError_
from penstock_redis.errors import source_error


def test_a_chain_of_causes_that_runs_in_a_circle_ends():
    outer, inner = ConnectionError_("lost"), RuntimeError("inner")
    outer.__cause__, inner.__context__ = inner, outer

    error = source_error(outer, "queue 'jobs'")

    assert isinstance(error, SourceUnavailable)
    assert str(error) == "queue 'jobs': the server can not be reached (lost)"
