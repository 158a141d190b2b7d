"""Looking before reading or writing: do the brokers answer, is the topic there, may we?

Every question has a deadline, and what librdkafka knows of a failed connection becomes one sentence.
"""

import concurrent.futures
import time
from collections.abc import Callable, Mapping
from typing import Any

from penstock.api import SourceBroken, SourceDenied, SourceError, SourceMissing, SourceUnavailable
from penstock_kafka.client import Answer, KafkaError, KafkaException, Member, error_of, may, new_admin
from penstock_kafka.codes import ALL_BROKERS_DOWN, DENIED, NOT_READY, UNREACHED
from penstock_kafka.config import bootstrap_servers, common_config
from penstock_kafka.errors import code_of, reason_of, source_error
from penstock_kafka.notes import METADATA_BYTES_MAX

CONNECT_TIMEOUT_S = 8.0
REASON_TIMEOUT_S = 0.5
"""How long to wait for the reason when librdkafka has said only that all brokers are down."""

AGAIN_S = 0.2

_STEP_S = 0.02


class Connection:
    """A client that only asks. Blocking: use it on a thread of its own."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Begin to connect, in the background."""
        self.topic: str = settings["Topic"]
        self.place = place_of(settings)
        self._settings = settings
        self._is_over = False
        self._errors: list[KafkaError] = []
        config = common_config(settings) | {"error_cb": self._errors.append}
        try:
            self._admin = new_admin(config)
        except KafkaException as raised:
            raise source_error(raised, self.place) from None

    def check(self, *, read: bool = False, write: bool = False, group: str | None = None) -> None:
        """Raise the SourceError that says why we can not read (in a group) or write this topic."""
        found = self._ask(lambda left_s: self._admin.describe_topic(self.topic, timeout_s=left_s))
        for wanted, right in ((read, "READ"), (write, "WRITE")):
            if wanted and not may(found.authorized_operations, right):
                raise SourceDenied(f"{self.place}: the user has no right to {right} this topic{self._user()}")
        if group is not None:
            self._check_group(group)
            self._check_notes(found.partitions[0].leader.id if found.partitions else None)

    def members(self, group: str) -> list[Member]:
        """List who is in a group now, the sessions of stopped nodes that have not ended among them."""
        found = self._ask(lambda left_s: self._admin.describe_group(group, timeout_s=left_s), f"group {group!r}: ")
        return list(found.members)

    def give_up(self) -> None:
        """Let a question that waits for its answer end now, as one that was not answered. From any thread."""
        self._is_over = True

    def create(self) -> bool:
        """Make the topic, if it is not there; True when it was made."""
        try:
            self.check()
        except SourceMissing:
            pass
        else:
            return False
        partitions = self._settings.get("Partitions") or -1
        replication = self._settings.get("ReplicationFactor") or -1

        def create(left_s: float) -> Answer:
            return self._admin.create_topic(
                self.topic, partitions=partitions, replication=replication, timeout_s=left_s
            )

        try:
            self._ask(create)
        except _AlreadyThereError:
            return False
        self._wait_until_led()
        return True

    def _wait_until_led(self) -> None:
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        while time.monotonic() < deadline_s:
            try:
                self.check()
            except SourceMissing:
                time.sleep(_STEP_S)  # a new topic takes a moment to be known
            else:
                return

    def _check_group(self, group: str) -> None:
        found = self._ask(lambda left_s: self._admin.describe_group(group, timeout_s=left_s), f"group {group!r}: ")
        if not may(found.authorized_operations, "READ"):
            raise SourceDenied(
                f"{self.place}: the user has no right to READ the consumer group {group!r}{self._user()}"
            )

    def _check_notes(self, broker: int | None) -> None:
        if broker is None or broker < 0:
            return
        try:
            config = self._ask(lambda left_s: self._admin.describe_broker(broker, timeout_s=left_s))
        except SourceError:
            return  # asking takes a right that reading does not; a note that is too large is then said at its commit
        entry = config.get("offset.metadata.max.bytes")
        if entry is not None and entry.value is not None and int(entry.value) < METADATA_BYTES_MAX:
            raise SourceBroken(
                f"{self.place}: the broker's offset.metadata.max.bytes is {entry.value}; "
                f"{METADATA_BYTES_MAX} or more are needed for the notes that are committed with a position"
            )

    def _ask(self, ask: Callable[[float], Answer], what: str = "") -> Any:
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        down_since_s: float | None = None
        answer = ask(CONNECT_TIMEOUT_S)
        while True:
            self._admin.serve()
            try:
                return answer.result(timeout=_STEP_S)
            except (TimeoutError, concurrent.futures.TimeoutError):
                pass
            except KafkaException as raised:
                error = error_of(raised)
                if error.code() not in NOT_READY or time.monotonic() > deadline_s:
                    raise self._failure(error, what) from None
                time.sleep(AGAIN_S)
                answer = ask(CONNECT_TIMEOUT_S)
            now_s = time.monotonic()
            if self._refusal() is not None or now_s > deadline_s or self._is_over:
                raise self._unreachable()
            if self._is_down():
                down_since_s = down_since_s or now_s
                if self._reason() or now_s - down_since_s > REASON_TIMEOUT_S:
                    raise self._unreachable()

    def _failure(self, error: KafkaError, what: str) -> SourceError:
        if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return _AlreadyThereError(f"{self.place}: it exists already")
        if error.code() in UNREACHED and self._errors:
            return self._unreachable()
        return source_error(error, self.place, reason=f"{what}{reason_of(error)}{self._user()}")

    def _unreachable(self) -> SourceError:
        refusal = self._refusal()
        if refusal is not None:
            return source_error(refusal, self.place)
        reason = self._reason() or "the connection was closed; check the listener, Sasl and Tls"
        return SourceUnavailable(f"{self.place}: no broker answers ({reason})")

    def _refusal(self) -> KafkaError | None:
        return next((error for error in self._errors if code_of(error) in DENIED), None)

    def _is_down(self) -> bool:
        return any(error.code() == ALL_BROKERS_DOWN for error in self._errors)

    def _reason(self) -> str:
        told = (error for error in self._errors if error.code() in UNREACHED)
        error = next(told, None)
        return "" if error is None else reason_of(error)

    def _user(self) -> str:
        sasl = self._settings.get("Sasl")
        return f"; the user is {sasl['Username']!r}" if sasl else ""


class _AlreadyThereError(SourceError):
    pass


def place_of(settings: Mapping[str, Any]) -> str:
    """Name a source as errors do."""
    return f"topic {settings['Topic']!r} on {bootstrap_servers(settings)}"
