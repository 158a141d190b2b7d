"""What a mapping on a queue becomes: the core's settings, and what is allowed of them and dangerous.

What could only be ignored is refused at its own line, with the reason (D42).
"""

from typing import Literal

from penstock.api import QueueCapabilities
from penstock.configuration.draft import Draft
from penstock.configuration.findings import Findings
from penstock.configuration.timing import read_backoff, read_batching_window_ms
from penstock.core.settings import QueueSettings

VISIBILITY_TIMEOUT_MS = 30_000
HELD_MAX = 10_000


def queue_settings(draft: Draft, findings: Findings) -> QueueSettings:
    """Translate a mapping's settings, and its queue's: visibility timeout (D44), redrive policy and order."""
    values, source = draft.part.values, draft.source.config
    given: int | None = source.settings.get("VisibilityTimeout")
    visibility_ms = max(VISIBILITY_TIMEOUT_MS, draft.function.timeout_ms) if given is None else given * 1000
    redrive = source.settings.get("RedrivePolicy")
    capabilities = source.type.capabilities
    assert isinstance(capabilities, QueueCapabilities)
    scaling = values["ScalingConfig"] or {}
    return QueueSettings(
        batch_size=values["BatchSize"],
        batching_window_ms=read_batching_window_ms(draft, findings),
        visibility_timeout_ms=visibility_ms,
        concurrency_max=scaling.get("MaximumConcurrency"),
        scaling=scaling.get("Policy") or "eager",
        backoff=read_backoff(draft, findings),
        function_timeout_ms=draft.function.timeout_ms,
        on_filtered=_on_filtered(draft, findings),
        reports_item_failures="ReportBatchItemFailures" in values["FunctionResponseTypes"],
        receive_count_max=redrive["maxReceiveCount"] if redrive else None,
        has_dead_letters=bool(redrive),
        is_fifo=bool(source.settings.get("FifoQueue")),
        group_failure_mode=_group_failure_mode(draft, findings),
        # Of what a broker sends ahead no more than half may be failures that wait here.
        held_max=min(HELD_MAX, source.settings.get("Prefetch") or HELD_MAX),
        is_delayed=capabilities.delayed,
        is_leased=capabilities.leased,
    )


def warn_of_queue(draft: Draft, settings: QueueSettings, findings: Findings) -> None:
    """Say what is allowed and dangerous."""
    if settings.receive_count_max is None:
        behind = ", and the later ones of its group wait behind it" if settings.is_fifo else ""
        findings.warning(
            *draft.part.place("Source"),
            f"a message of {draft.source.config.name!r} that always fails comes back for ever{behind}",
            "give the source a RedrivePolicy to end that",
        )
    if settings.visibility_timeout_ms < settings.function_timeout_ms:
        function = draft.name.partition(".")[0]
        findings.warning(
            *draft.source.part.place("VisibilityTimeout"),
            f"is shorter than the Timeout of the function {function!r}",
            f"{settings.function_timeout_ms // 1000} seconds or more; leases are extended while it runs",
        )


def _on_filtered(draft: Draft, findings: Findings) -> Literal["delete", "keep", "dead-letter"]:
    chosen: Literal["delete", "keep", "dead-letter"] = draft.part.values["OnFiltered"]
    source = draft.source.config
    if chosen == "dead-letter" and not source.settings.get("RedrivePolicy"):
        problem = f"is dead-letter, and {source.name!r} has nowhere to send dead letters"
        findings.error(*draft.part.place("OnFiltered"), problem, "give the source a RedrivePolicy, or delete or keep")
    if chosen == "keep" and source.settings.get("FifoQueue"):
        problem = f"is keep, and {source.name!r} is a FIFO queue: what is left there holds its group up"
        findings.error(*draft.part.place("OnFiltered"), problem, "delete or dead-letter")
    return chosen


def _group_failure_mode(draft: Draft, findings: Findings) -> Literal["group", "aws"]:
    chosen: Literal["group", "aws"] | None = draft.part.values["GroupFailureMode"]
    is_fifo = draft.source.config.settings.get("FifoQueue")
    if chosen is not None and not is_fifo:
        problem = f"is given, and {draft.source.config.name!r} is no FIFO queue"
        findings.error(*draft.part.place("GroupFailureMode"), problem, "leave it out, or set FifoQueue on the source")
    if is_fifo:
        draft.part.shown["GroupFailureMode"] = chosen or "group"
    return chosen or "group"
