"""What a mapping on a stream becomes: the core's settings, which of them exclude each other, and which are dangerous.

A setting that could only be ignored beside the others is refused at its own line, with the reason (D42).
"""

from typing import Literal

from penstock.api import Start, StreamCapabilities
from penstock.configuration.destinations import Destinations
from penstock.configuration.draft import Draft
from penstock.configuration.findings import Findings
from penstock.configuration.timing import read_backoff, read_batching_window_ms
from penstock.configuration.vocabulary import RECORD_AGE_S_LEAST, RECORD_AGE_S_MOST, TUMBLING_IDLE_MS
from penstock.core.settings import DeliverySettings, StreamSettings


def stream_settings(draft: Draft, start: Start, destinations: Destinations, findings: Findings) -> StreamSettings:
    """Translate a mapping's settings, and report those that can not be beside the others."""
    values = draft.part.values
    _check_lanes(draft, findings)
    return StreamSettings(
        start=start,
        batch_size=values["BatchSize"],
        batching_window_ms=read_batching_window_ms(draft, findings),
        retry_attempts_max=_retry_attempts_max(draft, destinations, findings),
        record_age_ms_max=_record_age_ms_max(draft, findings),
        bisects=values["BisectBatchOnFunctionError"],
        reports_item_failures="ReportBatchItemFailures" in values["FunctionResponseTypes"],
        lanes=values["ParallelizationFactor"],
        tumbling_window_ms=values["TumblingWindowInSeconds"] * 1000,
        tumbling_idle_ms=_tumbling_idle_ms(draft, findings),
        delivery=_delivery(draft, destinations, findings),
        backoff=read_backoff(draft, findings),
        function_timeout_ms=draft.function.timeout_ms,
    )


def warn_of_stream(draft: Draft, settings: StreamSettings, findings: Findings) -> None:
    """Say what is allowed and dangerous."""
    part = draft.part
    age_ms = settings.record_age_ms_max
    if settings.retry_attempts_max < 0 and age_ms is None:
        findings.warning(
            *part.place("MaximumRetryAttempts"),
            "a record that always fails may block its shard for ever",
            "set MaximumRetryAttempts, MaximumRecordAgeInSeconds or both",
        )
    if age_ms is not None and age_ms <= settings.batching_window_ms:
        findings.warning(
            *part.place("MaximumRecordAgeInSeconds"),
            "records may grow too old while their batch is gathered, and be given up without being invoked",
            f"more than the batching window, which is {settings.batching_window_ms / 1000:g} seconds",
        )
    if age_ms is not None and settings.retry_attempts_max and age_ms <= settings.backoff.initial_ms:
        findings.warning(
            *part.place("MaximumRecordAgeInSeconds"),
            "records are too old before their first retry, so nothing is tried again",
            f"more than RetryBackoff.InitialMs, which is {settings.backoff.initial_ms}",
        )
    capabilities = draft.source.config.type.capabilities
    if settings.lanes > 1 and isinstance(capabilities, StreamCapabilities) and not capabilities.keyed:
        findings.warning(
            *part.place("ParallelizationFactor"),
            "nothing is kept in order",
            f"order is kept for each key, and records of a source of type {draft.source.config.type.name} have none",
        )


def _check_lanes(draft: Draft, findings: Findings) -> None:
    lanes, window_s = draft.part.values["ParallelizationFactor"], draft.part.values["TumblingWindowInSeconds"]
    if lanes > 1 and window_s:
        findings.error(
            *draft.part.place("ParallelizationFactor"),
            f"is {lanes} beside TumblingWindowInSeconds {window_s}",
            "1, or no window: a window's state goes from one batch of the shard to the next",
        )


def _retry_attempts_max(draft: Draft, destinations: Destinations, findings: Findings) -> int:
    """Read how many retries there are: -1 is not endless everywhere (D2)."""
    given: int = draft.part.values["MaximumRetryAttempts"]
    source_type = draft.source.config.type
    instead = source_type.endless_retries_with_destination
    if given >= 0 or instead is None or destinations.on_failure is None:
        return given
    draft.part.shown["MaximumRetryAttempts"] = instead
    findings.note(
        draft.part.place("MaximumRetryAttempts")[1],
        f"-1 is {instead} where a mapping on a source of type {source_type.name} has an on-failure destination",
    )
    return instead


def _record_age_ms_max(draft: Draft, findings: Findings) -> int | None:
    seconds: int = draft.part.values["MaximumRecordAgeInSeconds"]
    if seconds < 0:
        return None
    if seconds < RECORD_AGE_S_LEAST:
        findings.error(
            *draft.part.place("MaximumRecordAgeInSeconds"),
            f"is {seconds}, and no limit is shorter than a minute, as on AWS",
            f"-1 for no limit, or a whole number of seconds from {RECORD_AGE_S_LEAST} to {RECORD_AGE_S_MOST}",
        )
    return seconds * 1000


def _tumbling_idle_ms(draft: Draft, findings: Findings) -> int:
    part = draft.part
    seconds: float | None = part.values["TumblingWindowIdleSeconds"]
    has_window = bool(part.values["TumblingWindowInSeconds"]) or _is_wrong(draft, "TumblingWindowInSeconds")
    if seconds is not None and not has_window:
        findings.error(
            *part.place("TumblingWindowIdleSeconds"),
            "is given without TumblingWindowInSeconds",
            "leave it out, or set a window: it says when one without new records closes",
        )
    if seconds is not None:
        return round(seconds * 1000)
    if has_window:
        part.shown["TumblingWindowIdleSeconds"] = TUMBLING_IDLE_MS // 1000
    return TUMBLING_IDLE_MS


def _delivery(draft: Draft, destinations: Destinations, findings: Findings) -> DeliverySettings:
    part = draft.part
    for name in ("OnDestinationRefusal", "MaximumDeliveryAttempts"):
        if part.values[name] is not None and not destinations.are_given:
            findings.error(
                *part.place(name), "is given without a destination", "leave it out, or set DestinationConfig"
            )
    on_refusal: Literal["hold", "drop"] = part.values["OnDestinationRefusal"] or "hold"
    if destinations.are_given:
        part.shown["OnDestinationRefusal"] = on_refusal
    return DeliverySettings(
        on_failure=destinations.on_failure is not None,
        on_success=destinations.on_success is not None,
        on_refusal=on_refusal,
        attempts_max=part.values["MaximumDeliveryAttempts"],
    )


def _is_wrong(draft: Draft, name: str) -> bool:
    """Tell whether a setting is there and could not be read, so that nothing follows from its value."""
    return name in draft.part.origins and name not in draft.part.shown
