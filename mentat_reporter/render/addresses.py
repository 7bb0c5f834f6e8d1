"""Mail addresses: one an entry, checked as a whole, domains as the DNS knows them."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_LOCAL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~][A-Za-z0-9!#$%&'*+/=?^_`{|}~-]*(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
)
_DOMAIN: Final = re.compile(
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
_MOST_LOCAL: Final = 64
_MOST_DOMAIN: Final = 253
_MOST: Final = 254


@lru_cache(maxsize=16384)
def valid_address(text: str) -> str | None:
    """Return the address with its domain in lower case and in ASCII; None if it is not exactly one.

    >>> valid_address("Abuse@Bücher.example")
    'Abuse@xn--bcher-kva.example'
    >>> valid_address("a@example.org, b@example.org")
    """
    local, _, domain = text.strip(" ").rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii").lower() if not domain.isascii() else domain.lower()
    except UnicodeError:
        return None
    if len(local) > _MOST_LOCAL or len(domain) > _MOST_DOMAIN or len(local) + 1 + len(domain) > _MOST:
        return None
    return f"{local}@{domain}" if _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain) else None


def parse_addresses(values: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Part entries into distinct addresses and those that are none, both in order."""
    good: dict[str, None] = {}
    bad: dict[str, None] = {}
    for value in values:
        address = valid_address(value)
        if address is None:
            bad[value] = None
        else:
            good[address] = None
    return tuple(good), tuple(bad)
