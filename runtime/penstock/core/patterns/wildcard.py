r"""Wildcards: `*` stands for any characters, also none; a backslash takes the meaning from `*` and from itself.

Matching never goes back: the literal parts are looked for from left to right, each once, so a value is read about once
however many stars there are. A pattern that AWS's machine would refuse for its complexity is refused all the same.
"""

from collections.abc import Callable

from penstock.core.patterns.refusal import TOO_COMPLEX, PatternRefused, shown

COMPLEXITY_MAX = 10
"""Where "too complex" begins. AWS tells no figure: of the recorded patterns one of 7 is taken and one of 11 refused."""

_TOO_COMPLEX = (
    f"{TOO_COMPLEX} - try using fewer wildcard characters or fewer repeating character sequences after a wildcard "
    "character"
)
_ALLOWED = r"`*` for any characters, never two in a row; `\*` and `\\` for the characters themselves"


def literal_parts(text: str, *, path: str) -> tuple[str, ...]:
    """Split a pattern at its wildcards: one part more than there are stars. Raises PatternRefused.

    Positions in refusals are those of AWS: in bytes of UTF-8, after the quote that opens the text.
    """
    parts: list[str] = [""]
    position = 1
    index = 0
    while index < len(text):
        character = text[index]
        following = text[index + 1 : index + 2]
        taken = character
        if character == "*":
            if following == "*":
                raise _refused(f"Consecutive wildcard characters at pos {position}", text, path)
            parts.append("")
            index += 1
            position += 1
            continue
        if character == "\\":
            if following not in {"*", "\\"}:
                raise _refused(f"Invalid escape character at pos {position}", text, path)
            taken = following
            index += 1
            position += 1
        parts[-1] += taken
        index += 1
        position += len(taken.encode("utf-8", "surrogatepass"))
    if complexity(parts) > COMPLEXITY_MAX:
        raise PatternRefused(_TOO_COMPLEX, path=path, found=shown(text), allowed="fewer `*`, or texts that repeat less")
    return tuple(parts)


def _refused(reason: str, text: str, path: str) -> PatternRefused:
    return PatternRefused(reason, path=path, found=shown(text), allowed=_ALLOWED)


def complexity(parts: list[str]) -> int:
    """Count how many beginnings of a pattern a value could be at once, as a machine that reads bytes would have them.

    After a star every place where the next text may have begun counts, so that texts which repeat themselves are dear.
    """
    return sum(1 + _overlaps_most(part) for part in parts[1:])


def _overlaps_most(text: str) -> int:
    """Count the most beginnings of a text that can end at one place: the longest chain of its borders."""
    borders = [0] * (len(text) + 1)
    chain = [0] * (len(text) + 1)
    border = 0
    for index, character in enumerate(text, start=1):
        if index > 1:
            while border and text[border] != character:
                border = borders[border]
            border += text[border] == character
            borders[index] = border
        chain[index] = 1 + chain[borders[index]]
    return max(chain)


def wildcard_match(parts: tuple[str, ...]) -> Callable[[str], bool]:
    """Make the comparison with the literal parts of a pattern."""
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return lambda value: value == first
    middle = tuple(part for part in parts[1:-1] if part)
    length_least = len(first) + len(last)
    if not middle:
        return lambda value: len(value) >= length_least and value.startswith(first) and value.endswith(last)

    def matches(value: str) -> bool:
        end = len(value) - len(last)
        if end < len(first) or not value.startswith(first) or not value.endswith(last):
            return False
        begin = len(first)
        for part in middle:
            found = value.find(part, begin, end)
            if found < 0:
                return False
            begin = found + len(part)
        return True

    return matches
