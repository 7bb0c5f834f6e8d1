"""Addresses, networks and ranges as text and as whole numbers."""

import re
import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import Final, Literal

from mentat_reporter.core.model import Address

_BITS: Final[dict[int, int]] = {4: 32, 6: 128}
_PREFIX: Final = re.compile(r"[0-9]{1,3}")


def _number(text: str) -> tuple[Literal[4, 6], int]:
    try:
        return 4, int.from_bytes(socket.inet_pton(socket.AF_INET, text))
    except (OSError, ValueError):
        if ":" not in text or "%" in text:
            raise ValueError(f"'{text}' is no address") from None
    return 6, int(IPv6Address(text))


def number_text(version: int, number: int) -> str:
    """Write an address canonically: `192.0.2.1`, `2001:db8::1`."""
    if version == 4:  # noqa: PLR2004 - the Internet Protocol's version
        return socket.inet_ntoa(number.to_bytes(4))
    return str(IPv6Address(number))


@lru_cache(maxsize=1 << 16)
def parse_address(text: str) -> Address:
    """Read `a`, `a/prefix` or `a-b`, IPv4 or IPv6, a reversed range turned round.

    The text is written canonically in the form that it had. Raises ValueError for anything else.
    """
    text = text.strip()
    head, dash, tail = text.partition("-")
    if dash:
        version, one = _number(head.strip())
        other_version, other = _number(tail.strip())
        if version != other_version:
            raise ValueError(f"'{text}' joins IPv4 and IPv6")
        first, last = min(one, other), max(one, other)
        written = f"{number_text(version, first)}-{number_text(version, last)}"
        return Address(version, first, last, "range", written)
    head, slash, tail = text.partition("/")
    version, number = _number(head)
    if not slash:
        return Address(version, number, number, "single", number_text(version, number))
    bits = _BITS[version]
    if not _PREFIX.fullmatch(tail) or int(tail) > bits:
        raise ValueError(f"'{text}' has no prefix length from 0 to {bits}")
    host = (1 << (bits - int(tail))) - 1
    first = number & ~host
    return Address(version, first, first | host, "cidr", f"{number_text(version, first)}/{int(tail)}")


def span_text(version: int, first: int, last: int) -> str:
    """Write a span as an address, as CIDR when it is one block, else as `first-last`."""
    size = last - first + 1
    if size == 1:
        return number_text(version, first)
    if size & (size - 1) == 0 and first % size == 0:
        return f"{number_text(version, first)}/{_BITS[version] - size.bit_length() + 1}"
    return f"{number_text(version, first)}-{number_text(version, last)}"


def joined(addresses: list[Address]) -> list[Address]:
    """Join touching and overlapping addresses into as few spans as they fill, in order."""
    spans: list[list[int]] = []
    for version, first, last, _, _ in sorted(addresses):
        if spans and spans[-1][0] == version and first <= spans[-1][2] + 1:
            spans[-1][2] = max(spans[-1][2], last)
        else:
            spans.append([version, first, last])
    return [parse_address(span_text(*span)) for span in spans]


def blocks(address: Address) -> list[str]:
    """Return the CIDR blocks that fill an address, for whoever only understands those."""
    kind = IPv4Address if address.version == 4 else IPv6Address  # noqa: PLR2004
    return [str(block) for block in summarize_address_range(kind(address.first), kind(address.last))]
