"""The names of the keys that a queue has beside its own.

All of them are in one slot of a cluster, by the tag that Redis would hash of the queue's own key:
`penstock:{<tag>}:<key>:<what>` for what all groups share, `penstock:{<tag>}:<key>:<group>:<what>` for a group's.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one queue and, for a stream, of one group of it."""

    own: str
    group: str

    def group_key(self, what: str) -> str:
        """Name what belongs to the group: `owners`, `returned`, `runs`, `meta`, `seen`."""
        return f"{self._prefix()}:{self.group}:{what}"

    def shared_key(self, what: str) -> str:
        """Name what producers touch too, whatever the group: `delayed`, `wake`."""
        return f"{self._prefix()}:{what}"

    def _prefix(self) -> str:
        return f"penstock:{{{hash_tag(self.own)}}}:{self.own}"


def hash_tag(key: str) -> str:
    """Tell the part of a key that decides its slot, as Redis does: what is in its first braces, else all of it."""
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return tag if opened and closed and tag else key
