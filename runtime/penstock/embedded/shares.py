"""Who should have which shard: the same answer for every node that looks at the same table."""

from collections.abc import Collection, Mapping
from typing import NamedTuple


class Share(NamedTuple):
    """What one node should do next: shards to take that nobody has, and shards of its own to give up."""

    take: tuple[int, ...]
    give: tuple[int, ...]


def share(node: str, members: Collection[str], owners: Mapping[int, str | None]) -> Share:
    """Compare what a node has with its fair part of all shards.

    Parts differ by one at most; the larger ones go to those who have more already, so that nothing moves without need.
    What nobody has is taken from the front, what is too much is given up from the back. `owners` names a member or
    None for each shard, and `members` holds the node itself.
    """
    held_counts = dict.fromkeys(members, 0)
    for owner in owners.values():
        if owner is not None:
            held_counts[owner] += 1
    least, larger_count = divmod(len(owners), len(members))
    larger = sorted(members, key=lambda member: (-held_counts[member], member))[:larger_count]
    fair = least + (node in larger)
    held = [shard for shard, owner in sorted(owners.items()) if owner == node]
    free = [shard for shard, owner in sorted(owners.items()) if owner is None]
    return Share(take=tuple(free[: max(0, fair - len(held))]), give=tuple(held[fair:]))
