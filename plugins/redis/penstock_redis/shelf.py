"""What a queue is on the server: the script that works on it, its keys, and what to wait at for news."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock_redis.client import Argument, Client
from penstock_redis.entries import GROUP
from penstock_redis.keys import Keys
from penstock_redis.scripts import LIST, STREAM, Script
from penstock_redis.settings import ListSettings, QueueSettings

LIST_GROUP = "list"
"""Stands in a list's keys where a stream's have the group."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A queue's script and keys.

    `ack_option` stands before the ids of an acknowledgement, `take_options` behind what else taking is told.
    `lost_words` say what is gone when the server has forgotten the queue.
    """

    client: Client
    script: Script
    keys: Sequence[str]
    group: str
    wake_key: str
    news_key: str
    is_stream: bool
    lost_words: str
    ack_option: str = ""
    take_options: tuple[Argument, ...] = ()

    async def ask(self, operation: str, owner: str, lease_ms: int, *arguments: Argument) -> Any:
        """Carry out an operation of the script as one owner. Raises a SourceError."""
        return await self.client.run(self.script, self.keys, (operation, self.group, owner, lease_ms, *arguments))


def stream_shelf(client: Client, settings: QueueSettings) -> Shelf:
    """Describe a queue on a stream and a consumer group."""
    keys = Keys(settings.key, settings.group)
    wake = keys.shared_key("wake")
    return Shelf(
        client=client,
        script=STREAM,
        keys=(
            settings.key,
            *(keys.group_key(what) for what in ("owners", "returned", "runs")),
            keys.shared_key("delayed"),
            wake,
            *(keys.group_key(what) for what in ("meta", "seen")),
        ),
        group=settings.group,
        wake_key=wake,
        news_key=settings.key,
        is_stream=True,
        lost_words="the consumer group was gone and is made again",
        ack_option=settings.deletes,
        take_options=(settings.group_from or GROUP.decode(),),
    )


def list_shelf(client: Client, settings: ListSettings) -> Shelf:
    """Describe a queue on a list."""
    keys = Keys(settings.key, LIST_GROUP)
    wake = keys.shared_key("wake")
    return Shelf(
        client=client,
        script=LIST,
        keys=(
            settings.key,
            *(keys.group_key(what) for what in ("owners", "returned", "runs")),
            keys.shared_key("delayed"),
            wake,
            *(keys.group_key(what) for what in ("meta", "values", "holders")),
        ),
        group=LIST_GROUP,
        wake_key=wake,
        news_key=settings.key,
        is_stream=False,
        lost_words="the server has forgotten what was held",
        take_options=("RPOP" if settings.take_from == "right" else "LPOP",),
    )
