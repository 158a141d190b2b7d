"""The `FilterCriteria` of a mapping: patterns as JSON texts or YAML mappings, compiled when the file is read (D41)."""

from collections.abc import Iterator, Mapping
from typing import Any

from penstock.configuration.findings import Findings
from penstock.configuration.validator import Part, nearest
from penstock.core.patterns import FRAMES, FilterCriteria, PatternRefused

_KEYS = ("FilterCriteria",)
_ALLOWED = "an object `{Filters: [{Pattern: …}]}`"


def read_criteria(part: Part, event_format: str, findings: Findings) -> FilterCriteria | None:
    """Compile a mapping's filters; None where there are none, or where something is wrong with them and was said."""
    given = part.values.get("FilterCriteria")
    if not given or event_format not in FRAMES:
        return None
    errors_before = findings.count()
    patterns = tuple(_patterns(given, part, findings))
    if findings.count() > errors_before or not patterns:
        return None
    try:
        criteria = FilterCriteria(patterns, event_format)
    except PatternRefused as refused:
        keys = (*_KEYS, "Filters", str(refused.index or 0), "Pattern")
        found = f"{refused.path}: " if refused.path else ""
        findings.error(
            *part.place(*keys), f"{found}{refused.reason.rstrip('.')}, found {refused.found}", refused.allowed
        )
        return None
    for warning in criteria.warnings:
        place = part.place(*_KEYS, "Filters", str(warning.index), "Pattern")
        findings.warning(*place, f"{warning.path}: {warning.text}" if warning.path else warning.text, "")
    return criteria


def _patterns(given: Any, part: Part, findings: Findings) -> Iterator[str | Mapping[str, Any]]:
    if not isinstance(given, Mapping):
        findings.error(*part.place(*_KEYS), f"is {given!r}", _ALLOWED)
        return
    for name in given:
        if name != "Filters":
            findings.error(*part.place(*_KEYS, name), "is not known", nearest(name, ("Filters",)))
    filters = given.get("Filters") or []
    if not isinstance(filters, list):
        findings.error(*part.place(*_KEYS, "Filters"), "is not a list", "a list of `{Pattern: …}`")
        return
    for number, entry in enumerate(filters):
        keys = (*_KEYS, "Filters", str(number))
        if not isinstance(entry, Mapping) or set(entry) != {"Pattern"}:
            findings.error(*part.place(*keys), "is not an object with one key, Pattern", "`{Pattern: …}`")
        elif not isinstance(entry["Pattern"], str | Mapping):
            findings.error(*part.place(*keys, "Pattern"), "is no pattern", "JSON text, or a YAML mapping")
        else:
            yield entry["Pattern"]
