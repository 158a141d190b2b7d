"""Keeps secrets out of everything that is shown: messages, logs, `penstock config`, answers of the API."""

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

MASK = "******"
_URL_PASSWORD = re.compile(r"(?P<before>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/?#:@]*:)(?P<password>[^\s/?#]*)(?=@)")
_PART_LENGTH_MIN = 8
_LENGTH_OF_A_WORD = 4


def mask_urls(text: str) -> str:
    """Replace the password inside each URL of a text."""
    return _URL_PASSWORD.sub(lambda match: match["before"] + MASK if match["password"] else match[0], text)


def url_passwords(text: str) -> set[str]:
    """Find the passwords inside the URLs of a text, as written and with their percent signs resolved."""
    found = {match["password"] for match in _URL_PASSWORD.finditer(text) if match["password"]}
    return found | {unquote(password) for password in found}


def mask_function(secrets: Iterable[str]) -> Callable[[str], str]:
    """Make a function that replaces every secret in a text, and every password in a URL.

    A secret shorter than four characters is replaced where it stands as a word of its own: otherwise a password of one
    letter would blacken every message.
    """
    wanted = sorted({part for secret in secrets for part in _parts(secret)}, key=lambda part: (-len(part), part))
    if not wanted:
        return mask_urls
    pattern = re.compile("|".join(_pattern(part) for part in wanted))
    return lambda text: pattern.sub(MASK, mask_urls(text))


def _parts(secret: str) -> set[str]:
    """A secret of several lines (a key, a certificate) is logged line by line."""
    lines = {line for line in secret.splitlines() if len(line) >= _PART_LENGTH_MIN}
    return {part for part in {secret, secret.strip(), *lines} if part.strip()}


def _pattern(part: str) -> str:
    if len(part) >= _LENGTH_OF_A_WORD:
        return re.escape(part)
    return rf"(?<!\w){re.escape(part)}(?!\w)"
