"""Dead letters: messages that a queue mapping gave up, with the failure that brought them there (D13, D22, D25)."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from penstock.api import Message

DeadLetterCondition: TypeAlias = Literal["MaximumReceiveCountExceeded", "MaximumPayloadSizeExceeded", "Filtered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message. `runs` counts how often it was handed to the function, as far as is known.

    Error type and message are of its last failure, empty where there was none. Times are Unix milliseconds: when it was
    first received, and when it was given up.
    """

    message: Message
    condition: DeadLetterCondition
    runs: int
    error_type: str
    error_message: str
    first_received_ms: int
    ended_ms: int

    def span(self) -> tuple[str, str, str, int]:
        """Say which message it tells of: the condition, its id twice, and one."""
        return self.condition, self.message.message_id, self.message.message_id, 1
