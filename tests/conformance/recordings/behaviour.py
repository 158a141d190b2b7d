"""What the function of a case does: the words of the recordings as a plan for `function/app.py`."""

from __future__ import annotations

import re
from typing import Any

from conformance.recordings.case import Case, NotUnderstood
from conformance.recordings.scope import documents

SLEEP_SCALE = 0.2
"""What is told of a function that takes its time is the order and the gaps of its invocations, not how long it took."""

_RAISES = re.compile(r"<raises (\w+)>")
_SLEEPS = re.compile(r"sleeps ([\d.]+) s")
_REPORTS = re.compile(r"returns batchItemFailures\b.*?(\w+)(?: is)? true")
_PASSES_ON = re.compile(r"(?:records|prints|logs|sends|forwards) [^,;]*|\(prints [^)]*\)|returns nothing")
"""What it does with an event besides is the ledger's business here."""
_KNOWN = re.compile("|".join(each.pattern for each in (_REPORTS, _SLEEPS, _PASSES_ON)) + r"|raises|echo|[\s,.;]+")


def plan_of(case: Case) -> dict[str, Any]:
    """Make the plan of a case's function. Raises NotUnderstood."""
    if "function_returns" in case.setup:
        value = case.setup["function_returns"]
        raises = _RAISES.fullmatch(value) if isinstance(value, str) else None
        return {"raises": raises[1]} if raises else {"returns": value}
    text = case.setup.get("function")
    return _assumed(case) if text is None else _read(case, text)


def flag_of(case: Case) -> str | None:
    """Tell which member of a record's data makes the function report it."""
    return plan_of(case).get("reports")


def _read(case: Case, text: str) -> dict[str, Any]:
    rest = _KNOWN.sub("", text)
    if rest:
        raise NotUnderstood(f"{case.id}: what the function does, {text!r}: {rest!r} means nothing here")
    plan: dict[str, Any] = {}
    if sleeps := _SLEEPS.search(text):
        plan["sleep_s"] = float(sleeps[1]) * SLEEP_SCALE
    if reports := _REPORTS.search(text):
        plan["reports"] = reports[1]
    elif "raises" in text:
        plan["raises"] = "Exception"
    elif "echo" in text:
        plan["echoes"] = True
    return plan


def _assumed(case: Case) -> dict[str, Any]:
    """Guess what is not said: a function whose records were given up raised, any other returned nothing."""
    for document in documents(case):
        if document["requestContext"]["approximateInvokeCount"] == 1:
            continue
        if document.get("responseContext", {"functionError": "Unhandled"})["functionError"] is None:
            raise NotUnderstood(f"{case.id}: it is not said which response made the function fail")
        return {"raises": "Exception"}
    return {}
