"""Addresses and networks (`cidr`), version 4 and 6, without asking anything of the outside."""

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address

from penstock.core.patterns.refusal import PatternRefused, shown

_V6_CHARACTERS = re.compile(r"[0-9a-fA-F:]{2,45}", re.ASCII)
_V4_CHARACTERS = re.compile(r"([0-9]{1,8})\.([0-9]{1,8})\.([0-9]{1,8})\.([0-9]{1,8})", re.ASCII)
_ALLOWED = "an address, '/' and the number of its leading bits, such as 10.0.0.0/24 or 2001:db8::/32"


def address_v4(text: str) -> int | None:
    """Read an address of version 4; None for any other text."""
    found = _V4_CHARACTERS.fullmatch(text)
    if found is None:
        return None
    address = 0
    for part in found.groups():
        number = int(part)
        if number > 255:
            return None
        address = address << 8 | number
    return address


def address_v6(text: str) -> int | None:
    """Read an address of version 6; None for any other text."""
    if _V6_CHARACTERS.fullmatch(text) is None:
        return None
    try:
        return int(IPv6Address(text))
    except AddressValueError:
        return None


def network_match(text: str, *, path: str) -> Callable[[str], bool]:
    """Make the comparison with a network. Bits of its address beyond the mask do not count. Raises PatternRefused."""

    def refused(reason: str) -> PatternRefused:
        return PatternRefused(reason, path=path, found=shown(text), allowed=_ALLOWED)

    # An empty part at the end does not count as one: that is how the machine that AWS runs cuts a text.
    pieces = text.rstrip("/").split("/") if text.endswith("/") else text.split("/")
    if len(pieces) != 2:
        raise refused("Malformed CIDR, one '/' required")
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", pieces[1], re.ASCII):
        raise refused("Malformed CIDR, mask bits must be an integer")
    bits = int(pieces[1])
    if bits < 0:
        raise refused("Malformed CIDR, mask bits must not be negative")
    for read, width, version in ((address_v4, 32, 4), (address_v6, 128, 6)):
        address = read(pieces[0])
        if address is not None:
            if bits > width:
                raise refused(f"IPv{version} mask bits must be < {width}")
            return _inside(read, address, width - bits)
    raise refused(f"Nonstandard IP address: {pieces[0]}")


def _inside(read: Callable[[str], int | None], address: int, free_bits: int) -> Callable[[str], bool]:
    network = address >> free_bits

    def matches(value: str) -> bool:
        found = read(value)
        return found is not None and found >> free_bits == network

    return matches
