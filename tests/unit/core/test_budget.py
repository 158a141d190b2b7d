from __future__ import annotations

import pytest

from penstock.core.budget import SHARE_BYTES_LEAST, bytes_share


@pytest.mark.parametrize(
    ("node_bytes_max", "shards", "share"),
    [
        (64_000_000, 1, 64_000_000),
        (64_000_000, 4, 16_000_000),
        (64_000_000, 3, 21_333_333),
        (64_000_000, 0, 64_000_000),
        (64_000_000, 10_000, SHARE_BYTES_LEAST),
        (1, 1, SHARE_BYTES_LEAST),
    ],
)
def test_shards_share_the_nodes_buffer_equally_and_each_has_some(node_bytes_max: int, shards: int, share: int):
    assert bytes_share(node_bytes_max=node_bytes_max, shards=shards) == share
