"""What the function of a queue's case does: the words of the recordings as a plan for `function/messages.py`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from conformance.recordings.behaviour import SLEEP_SCALE
from conformance.recordings.case import Case, NotUnderstood

Plan = dict[str, Any]

TIMES_OUT = "runs past its timeout"
_CLAUSES: tuple[tuple[str, Callable[[re.Match[str]], Plan]], ...] = (
    (r"handler: requires exactly one record", lambda _: {"takes_one": True}),
    (r"parses body JSON \{destination, fail_attempts\}", lambda _: {}),
    (r"raises while fail_attempts >= ApproximateReceiveCount", lambda _: {"raises_while": True}),
    (
        r"handler: marks a record failed while body\.fail_attempts >= ApproximateReceiveCount",
        lambda _: {"reports_while": True},
    ),
    (r"returns \{batchItemFailures:\[\{itemIdentifier: messageId\}\]\}", lambda _: {}),
    (r"env OVERWRITE_RESULT replaces the returned value", lambda _: {}),
    (r"OVERWRITE_RESULT=(.*)", lambda found: {"returns": _value(found[1])}),
    (r"sleeps ([\d.]+) s", lambda found: {"sleep_s": float(found[1]) * SLEEP_SCALE}),
    (r"raises", lambda _: {"raises": "Exception"}),
    (TIMES_OUT, lambda _: {"sleep_s": 60.0}),
    (r"echo \(prints the event\)", lambda _: {"echoes": True}),
    # What it does with an event besides is the ledger's business here.
    (r"(?:always )?(?:prints|sends|forwards) .*", lambda _: {}),
)


def plan_of(case: Case) -> Plan:
    """Make the plan of a case's function. Raises NotUnderstood."""
    plan: Plan = {}
    for clause in re.split(r"; ", case.setup.get("function", "forwards what it gets")):
        found = ((re.fullmatch(pattern, clause), make) for pattern, make in _CLAUSES)
        made = next((make(match) for match, make in found if match), None)
        if made is None:
            raise NotUnderstood(f"{case.id}: what the function does, {clause!r}, means nothing here")
        plan |= made
    if "function_returns" in case.setup:
        plan["returns"] = case.setup["function_returns"]
    return plan


def _value(text: str) -> Any:
    """Read a value as the recorded function read its environment: JSON, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
