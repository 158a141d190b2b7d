import pytest

from penstock.core.settings import QueueSettings


@pytest.mark.parametrize(("visibility_timeout_ms", "lease_ms"), [(0, 1_000), (999, 1_000), (2_000, 2_000)])
def test_what_is_held_is_held_for_a_moment_even_where_failures_return_at_once(visibility_timeout_ms, lease_ms):
    assert QueueSettings(visibility_timeout_ms=visibility_timeout_ms).lease_ms == lease_ms
