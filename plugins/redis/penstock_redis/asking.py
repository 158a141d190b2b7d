"""Asking several servers one question at once: who leads, who has a slot. Who is silent is not waited for."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock_redis.address import Node
from penstock_redis.client_types import Argument, RedisError
from penstock_redis.ending import end
from penstock_redis.wire import exchange, hang_up, let_go, options_of

ANSWER_S = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What one server said: a reply, or the error that stood in its place."""

    node: Node
    reply: Any
    error: Exception | None = None


async def ask_each(nodes: Sequence[Node], command: Sequence[Argument], *, enough: int) -> list[Answer]:
    """Ask all; return when so many have replied, all have spoken, or `ANSWER_S` are over. The order is theirs."""
    asking = [asyncio.create_task(_ask(node, command)) for node in nodes]
    answers: list[Answer] = []
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                for answered in asyncio.as_completed(asking):
                    answers.append(await answered)
                    if sum(answer.error is None for answer in answers) >= enough:
                        break
    finally:
        for task in asking:
            await end(task)
        await let_go()
    silent = {node.shown for node in nodes} - {answer.node.shown for answer in answers}
    if not any(answer.error is None for answer in answers):
        answers += [Answer(node, None, TimeoutError("no answer in time")) for node in nodes if node.shown in silent]
    return answers


async def _ask(node: Node, command: Sequence[Argument]) -> Answer:
    connection = node.connection_class(**options_of(node, ANSWER_S, connect_s=ANSWER_S))
    try:
        await connection.connect()  # type: ignore[no-untyped-call] # no types
        return Answer(node, await exchange(connection, command))
    except (RedisError, OSError) as raised:
        return Answer(node, None, raised)
    finally:
        await hang_up(connection)
