"""The way to a primary that Sentinels watch: they are asked where it is, and believed by its epoch.

A Sentinel that was cut off tells of a primary that was replaced. So a majority is waited for, and of what they tell the
one with the highest epoch counts. Whether it still is a primary the server itself says: a replica refuses what we send.
"""

from collections.abc import Mapping, Sequence

from penstock.api import SourceBroken, SourceDenied, SourceError, SourceUnavailable
from penstock_redis.address import BehindSentinels, Node
from penstock_redis.asking import Answer, ask_each
from penstock_redis.errors import source_error
from penstock_redis.route import Search


class SentinelRoute(Search):
    """Leads to the primary of a service."""

    words: Mapping[str, str] = {
        "READONLY": "the server is a replica by now; the Sentinels are asked again for the primary",
        "UNBLOCKED": "the server let go of a waiting call, as a primary does that becomes a replica",
        "MOVED": "the service is a node of a Redis Cluster, which needs no Sentinels; set Url and `Cluster: true`",
    }

    def __init__(self, address: BehindSentinels, place: str) -> None:
        """Take the Sentinels and the service's name; nobody is asked yet."""
        super().__init__(place, "the primary")
        self._address = address

    def follow(self, node: Node, host: str, port: int) -> Node | None:  # noqa: ARG002 - the protocol's
        return None

    async def _look(self) -> Node:
        sentinels = self._address.sentinels
        command = ("SENTINEL", "MASTER", self._address.service)
        answers = await ask_each(sentinels, command, enough=len(sentinels) // 2 + 1)
        told = [_facts(answer.reply) for answer in answers if answer.error is None]
        if not told:
            raise self._silence(answers)
        best = max(told, key=lambda facts: int(facts.get("config-epoch", "0")))
        primary = self._address.primary.beside(best["ip"], int(best["port"]))
        if "o_down" in best["flags"].split(","):
            raise SourceUnavailable(
                f"{self._place}: the primary {primary.shown} is down, and the Sentinels have not yet made another"
            )
        return primary

    def _silence(self, answers: Sequence[Answer]) -> SourceError:
        """Say why nobody told anything: the reason that somebody has to mend counts before those that pass."""
        reasons = [_reason(answer) for answer in answers]
        service = self._address.service
        if any(_is_unknown(answer) for answer in answers):
            return SourceBroken(f"{self._place}: the Sentinels know no service {service!r} ({_list(answers)})")
        for reason in reasons:
            if isinstance(reason, SourceDenied | SourceBroken):
                return type(reason)(f"{self._place}: {reason}")
        return SourceUnavailable(f"{self._place}: no Sentinel answers: {'; '.join(map(str, reasons))}")


def _facts(reply: Sequence[bytes]) -> Mapping[str, str]:
    texts = [part.decode(errors="replace") for part in reply]
    return dict(zip(texts[::2], texts[1::2], strict=False))


def _is_unknown(answer: Answer) -> bool:
    return "No such master" in str(answer.error)


def _reason(answer: Answer) -> SourceError:
    who = f"Sentinel {answer.node.shown}"
    if "unknown command" in str(answer.error):
        return SourceBroken(f"{who}: it is a Redis server, and no Sentinel")
    if "No such master" in str(answer.error):
        return SourceBroken(f"{who}: it does not know the service")
    reason = source_error(answer.error or TimeoutError(), who)
    if isinstance(reason, SourceDenied):
        return SourceDenied(f"{reason} (SentinelUsername, SentinelPassword and SentinelTls are for them)")
    return reason


def _list(answers: Sequence[Answer]) -> str:
    return ", ".join(sorted(answer.node.shown for answer in answers if _is_unknown(answer)))
