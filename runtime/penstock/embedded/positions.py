"""How a shard and a position make the row number of a segment, so that one tree holds all shards in order."""

_POSITION_BITS = 43
POSITION_MAX = (1 << _POSITION_BITS) - 1
_SHARD_PREFIX = "shardId-"
_SHARD_DIGITS = 12


def row_of(shard_id: int, position: int) -> int:
    """Tell the row number for a position of a shard."""
    return (shard_id << _POSITION_BITS) | position


def position_of(row: int) -> int:
    """Tell the position that a row number stands for."""
    return row & POSITION_MAX


def segment_range(shard_id: int) -> tuple[int, int]:
    """Tell the first and the last row number that a shard can have."""
    return row_of(shard_id, 0), row_of(shard_id, POSITION_MAX)


def shard_name(number: int) -> str:
    """Name a shard as Kinesis does, from its number within its stream."""
    return f"{_SHARD_PREFIX}{number:0{_SHARD_DIGITS}d}"


def shard_number(name: str) -> int:
    """Tell a shard's number from its name; ValueError for what is no name of a shard."""
    if not name.startswith(_SHARD_PREFIX):
        raise ValueError(name)
    return int(name.removeprefix(_SHARD_PREFIX))
