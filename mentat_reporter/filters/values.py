"""The types that rules are written for: decoded JSON knows only strings.

Mentat evaluates rules on typed messages, so the last key of a path decides: `IP4` and `IP6` hold addresses,
the time keys hold moments. What does not parse stays the string it is.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from ipranges import IP4, IP6, IP4Net, IP4Range, IP6Net, IP6Range

ADDRESS_KEYS: Final = frozenset({"IP4", "IP6"})
TIME_KEYS: Final = frozenset(
    {"CreateTime", "DetectTime", "EventTime", "CeaseTime", "WinStartTime", "WinEndTime", "StorageTime"}
)


def _with_text(base: Any) -> Any:
    """Derive the same address type, which also knows how the message wrote it."""
    return type(base.__name__, (base,), {"__slots__": ("text",)})


# What the value looks like ("/", "-", neither) and whether it has a colon.
_SINGLE4, _SINGLE6 = _with_text(IP4), _with_text(IP6)
_NET4, _NET6 = _with_text(IP4Net), _with_text(IP6Net)
_RANGE4, _RANGE6 = _with_text(IP4Range), _with_text(IP6Range)

SINGLE_ADDRESSES: Final = frozenset({_SINGLE4, _SINGLE6})
_LONGEST_PREFIX_TEXT: Final = 3


@lru_cache(maxsize=16384)
def address(text: str) -> Any:
    """`192.0.2.7`, `192.0.2.0/24` or `192.0.2.1-192.0.2.9`, of either family, as an `ipranges` object.

    The object carries `text`, the way it was written.
    """
    six = ":" in text
    _, slash, prefix = text.rpartition("/")
    if slash:
        # ipranges would take -5, and would build a number of a billion bits for /-1000000000.
        if len(prefix) > _LONGEST_PREFIX_TEXT or not (prefix.isascii() and prefix.isdigit()):
            return text
        kind = _NET6 if six else _NET4
    elif "-" in text:
        kind = _RANGE6 if six else _RANGE4
    else:
        kind = _SINGLE6 if six else _SINGLE4
    try:
        found = kind(text)
    except ValueError:
        return text
    found.text = text
    return found


@lru_cache(maxsize=4096)
def moment(text: str) -> Any:
    """Read an ISO 8601 time, `T` or blank in the middle, as an aware UTC datetime; naive means UTC."""
    try:
        found = datetime.fromisoformat(text[:-1] + "Z" if text.endswith("z") else text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # year 1 with an offset has no UTC
        return text


def naive_moment(text: str) -> Any:
    """Read the same without time zone: pynspect's own constants are naive UTC."""
    found = moment(text)
    return found.replace(tzinfo=None) if isinstance(found, datetime) else found


def converter(key: str, read_time: Callable[[str], Any] = moment) -> Callable[[Any], Any] | None:
    """How to type what stands under `key`: a string or a list of them. None when it stays as it is."""
    read: Callable[[str], Any]
    if key in ADDRESS_KEYS:
        read = address
    elif key in TIME_KEYS:
        read = read_time
    else:
        return None

    def convert(value: Any) -> Any:
        if type(value) is list:
            return [read(item) if type(item) is str else item for item in value]
        return read(value) if type(value) is str else value

    return convert
