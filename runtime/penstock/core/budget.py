"""Shares the node's bytes for buffers out among its shards (`Settings.BufferMegabytes`)."""

SHARE_BYTES_LEAST = 256 * 1024
"""With more shards than the budget allows for, each still reads ahead this much."""


def bytes_share(*, node_bytes_max: int, shards: int) -> int:
    """Tell how many bytes one shard may buffer, when so many share the node."""
    return max(SHARE_BYTES_LEAST, node_bytes_max // max(shards, 1))
