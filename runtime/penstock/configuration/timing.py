"""How long a mapping gathers a batch and waits before a retry: the settings of time that both kinds have."""

from penstock.configuration.draft import Draft
from penstock.configuration.findings import Findings
from penstock.configuration.vocabulary import BATCHING_WINDOW_MS_BY_FORMAT
from penstock.core.settings import RetryBackoff


def read_batching_window_ms(draft: Draft, findings: Findings) -> int:
    """Read how long to gather, in either unit; unset, it is the layout's."""
    part = draft.part
    seconds: int | None = part.values["MaximumBatchingWindowInSeconds"]
    milliseconds: int | None = part.values["MaximumBatchingWindowInMilliseconds"]
    if seconds is not None and milliseconds is not None:
        place = part.place("MaximumBatchingWindowInMilliseconds")
        findings.error(*place, "is given besides MaximumBatchingWindowInSeconds", "give one of the two")
    if seconds is not None:
        return seconds * 1000
    window_ms = BATCHING_WINDOW_MS_BY_FORMAT.get(draft.event_format, 0) if milliseconds is None else milliseconds
    part.shown["MaximumBatchingWindowInMilliseconds"] = window_ms
    return window_ms


def read_backoff(draft: Draft, findings: Findings) -> RetryBackoff:
    """Read the waits before retries (D1)."""
    given = draft.part.values["RetryBackoff"]
    if given is None:
        default = RetryBackoff()
        given = {"InitialMs": default.initial_ms, "MaximumMs": default.maximum_ms, "Multiplier": default.multiplier}
        draft.part.shown["RetryBackoff"] = given
    if given["InitialMs"] > given["MaximumMs"]:
        place = draft.part.place("RetryBackoff", "MaximumMs")
        findings.error(*place, f"is {given['MaximumMs']}", f"at least InitialMs, which is {given['InitialMs']}")
    return RetryBackoff(
        initial_ms=given["InitialMs"], maximum_ms=given["MaximumMs"], multiplier=float(given["Multiplier"])
    )
