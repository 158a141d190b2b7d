"""Texts compared in either case, character by character (`equals-ignore-case` and its relatives).

A character of the pattern stands for itself, its small and its capital form, each taken alone: `ß` also for `SS`, `k`
never for the Kelvin sign.
"""

import re
from collections.abc import Callable


def _forms(character: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((character, character.lower(), character.upper())))


def _expression(texts: list[tuple[str, ...]]) -> str:
    parts = []
    for forms in texts:
        if len(forms) == 1:
            parts.append(re.escape(forms[0]))
        elif all(len(form) == 1 for form in forms):
            parts.append(f"[{''.join(re.escape(form) for form in forms)}]")
        else:
            parts.append(f"(?:{'|'.join(re.escape(form) for form in forms)})")
    return "".join(parts)


def caseless_equals(text: str) -> Callable[[str], bool]:
    """Make the comparison with a whole text."""
    find = re.compile(_expression([_forms(each) for each in text])).fullmatch
    return lambda value: find(value) is not None


def caseless_prefix(text: str) -> Callable[[str], bool]:
    """Make the comparison with how a text begins."""
    find = re.compile(_expression([_forms(each) for each in text])).match
    return lambda value: find(value) is not None


def caseless_suffix(text: str) -> Callable[[str], bool]:
    """Make the comparison with how a text ends: forwards over its mirror image, so that no place is tried twice."""
    forms = [_forms(each) for each in text]
    length_most = sum(max(map(len, each)) for each in forms)
    if length_most == 0:
        return lambda _: True
    mirrored = [tuple(form[::-1] for form in each) for each in reversed(forms)]
    find = re.compile(_expression(mirrored)).match
    return lambda value: find(value[-length_most:][::-1]) is not None
