"""A decoded IDEA0 message → Event: cleaned once, here, and never again.

What the specification asks of a message is not taken for granted: lists may be bare values, times
garbage, sections strings. What cannot be used is left out and, where it decides something, named.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

from mentat_reporter.core.addresses import joined, parse_address
from mentat_reporter.core.model import DIRECTIONS, Address, Direction, Event, Messages, Severity, Side
from mentat_reporter.core.times import EARLIEST, LATEST, parse_time
from mentat_reporter.errors import MessageError

SECTION: Final[Mapping[Direction, str]] = {"source": "Source", "target": "Target"}

# docs/reliability.md
MAX_DEPTH: Final = 64
MAX_ADDRESSES: Final = 10_000
MAX_CLASS: Final = 200
MAX_SIZE: Final = 2**20
"""Bytes of a message."""
MAX_SPELLED: Final = 2**22
"""Characters that the details of an event may come to when each of its addresses is told with them."""

_MANY_LINES: Final = frozenset(("Note", "Content"))
_CONTROL: Final = re.compile("[\x01-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MANY_LINES_TEXT: Final = re.compile(
    r'(?<!\\)"(?:Note|Content)":\s*"[^"\\\ud800-\udfff]*(?:\\[^u][^"\\\ud800-\udfff]*)*"'
)
"""A field in JSON that may have many lines, without what is refused there, too."""
_ESCAPED: Final = re.compile("\\\\(?:[bfnrt]|u00[01789]|u202[89]|u[dD][89a-fA-F])")
_UNESCAPED: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Subclasses = Callable[[str, Mapping[str, Any]], list[str]]
"""Subclasses of a class for a message that does not name its class itself."""


class StoredEvent(NamedTuple):
    """A row of `events`: what the database says of an event beside its message."""

    id: str
    storage_time: datetime
    eventclass: str | None
    targetclass: str | None
    eventseverity: Severity | None
    targetseverity: Severity | None
    shadow: bool
    shadow_target: bool


class _Alone(NamedTuple):
    """A message that its event keeps, whatever the place."""

    message: Mapping[str, Any]

    def text(self, _place: int) -> bytes:
        return json.dumps(self.message).encode()


def needs_cleaning(text: str) -> bool:
    """Tell whether a message's JSON text can hold a character that `clean` would change."""
    return _is_suspect(text) and _is_suspect(_MANY_LINES_TEXT.sub("", text))


def _is_suspect(text: str) -> bool:
    """Look for what `clean` changes, escaped or not; most texts have none, which is seen without a search."""
    if "\\" in text and _ESCAPED.search(text):
        return True
    if text.isascii():
        return "\x7f" in text
    return not text.isprintable() and _UNESCAPED.search(text) is not None


def clean(value: Any, *, key: str = "", depth: int = 0) -> Any:
    """Drop NUL, replace surrogates by U+FFFD and control characters of one-line fields by a blank.

    Raises MessageError for values nested deeper than 64.
    """
    if depth > MAX_DEPTH:
        raise MessageError(f"is nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        if value.isprintable():  # most are, and this costs a tenth
            return value
        value = _SURROGATE.sub("�", value.replace("\0", ""))
        return value if key in _MANY_LINES else _CONTROL.sub(" ", value)
    if isinstance(value, dict):
        return {
            clean(name, depth=depth + 1): clean(item, key=name, depth=depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [clean(item, key=key, depth=depth + 1) for item in value]
    return value


def strings(value: Any) -> list[str]:
    """Return the texts of a list, or of a bare one; numbers are written out, anything else is left out."""
    items = value if isinstance(value, list) else [value]
    return [
        item if isinstance(item, str) else str(item)
        for item in items
        if isinstance(item, str) or (isinstance(item, int | float) and not isinstance(item, bool))
    ]


def sections(message: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list of sections such as Source, Target or Node; one alone counts."""
    value = message.get(name)
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def _written(section: Mapping[str, Any]) -> Iterator[Any]:
    for key in ("IP4", "IP6"):
        value = section.get(key)
        if isinstance(value, list):
            yield from value
        elif value is not None:
            yield value


def _parsed(section: Mapping[str, Any]) -> Iterator[tuple[Address | None, Any]]:
    for written in _written(section):
        try:
            yield parse_address(written), written
        except (ValueError, TypeError, AttributeError):
            yield None, written


def addresses(
    message: Mapping[str, Any], direction: Direction
) -> tuple[tuple[Address, ...], tuple[str, ...]]:
    """Return the distinct addresses of a direction, and what stands there or for a section, but is none.

    More than 10,000 are joined into the spans that they fill.
    """
    found: dict[str, Address] = {}
    invalid: dict[str, None] = {}
    value = message.get(SECTION[direction])
    found_sections = []
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, dict):
            found_sections.append(item)
        elif item is not None:  # what stands where a section should, but is no object
            invalid[repr(item)[:MAX_CLASS]] = None
    for section in found_sections:
        for address, written in _parsed(section):
            if address is None:
                invalid[repr(written)[:MAX_CLASS]] = None
            else:
                found.setdefault(address.text, address)
    distinct = list(found.values())
    if len(distinct) > MAX_ADDRESSES:
        distinct = joined(distinct)
    return tuple(distinct), tuple(invalid)


class _Places(NamedTuple):
    """The sections of a direction, and which of them hold an address, by version, first and last."""

    sections: list[Mapping[str, Any]]
    held: dict[tuple[int, int, int], list[int]]
    spans: list[tuple[int, int, int]]


def _places(message: Mapping[str, Any], direction: Direction) -> _Places:
    """Look through a message's sections once: there may be thousands, each with an address to be told."""
    found = sections(message, SECTION[direction])
    held: dict[tuple[int, int, int], list[int]] = {}
    for place, section in enumerate(found):
        for span in {address[:3] for address, _ in _parsed(section) if address is not None}:
            held.setdefault(span, []).append(place)
    return _Places(found, held, sorted(held))


@lru_cache(maxsize=4)
def _places_of_event(event: Event, direction: Direction) -> _Places:
    return _places(event.message, direction)


def own_sections(event: Event, direction: Direction, origins: tuple[Address, ...]) -> list[Mapping[str, Any]]:
    """Return the sections of a direction that hold one of these addresses of the event.

    An address that was joined from many stands in none; then those with its parts are returned.
    """
    if _is_alone(event.message, direction):
        return sections(event.message, SECTION[direction])
    return _own(_places_of_event(event, direction), origins)


def own_sections_of(
    message: Mapping[str, Any], direction: Direction, each: Sequence[tuple[Address, ...]]
) -> list[list[Mapping[str, Any]]]:
    """Return the sections for each of several addresses of a message, as `own_sections` does for one."""
    if _is_alone(message, direction):
        return [sections(message, SECTION[direction])] * len(each)
    known = _places(message, direction)
    return [_own(known, origins) for origins in each]


def _is_alone(message: Mapping[str, Any], direction: Direction) -> bool:
    written = message.get(SECTION[direction])
    return not isinstance(written, list) or len(written) == 1


def _own(known: _Places, origins: tuple[Address, ...]) -> list[Mapping[str, Any]]:
    places = {place for origin in origins for place in _places_of(known, origin)}
    return [known.sections[place] for place in sorted(places)]


def _places_of(known: _Places, origin: Address) -> Iterable[int]:
    places = known.held.get(origin[:3])
    if places is not None:
        return places
    version, first, last = origin[:3]
    begin, end = bisect_left(known.spans, (version, first)), bisect_left(known.spans, (version, last + 1))
    parts = (span for span in known.spans[begin:end] if span[2] <= last)
    return (place for span in parts for place in known.held[span])


def _is_only(section: Mapping[str, Any], key: str, other: str, text: str) -> bool:
    return other not in section and section.get(key) == [text]


def view(event: Event, direction: Direction, origins: tuple[Address, ...], text: str) -> Mapping[str, Any]:
    """Return the message as a rule sees it: with one address alone, in all sections that hold it."""
    key, other = ("IP4", "IP6") if origins[0].version == 4 else ("IP6", "IP4")  # noqa: PLR2004
    own = own_sections(event, direction, origins)
    if len(own) == 1 and _is_only(own[0], key, other, text) and _is_alone(event.message, direction):
        return event.message
    reduced = []
    for section in own:
        alone = {name: value for name, value in section.items() if name not in (key, other)}
        alone[key] = [text]
        reduced.append(alone)
    return {**event.message, SECTION[direction]: reduced}


def capped(text: str) -> str:
    """Shorten a class name to 200 characters; what differed before differs after."""
    if len(text) <= MAX_CLASS:
        return text
    digest = sha256(text.encode()).hexdigest()[:16]
    return f"{text[: MAX_CLASS - 17]}~{digest}"


def one_line_class(name: str) -> str:
    """Return a class with its subclasses, as somebody else wrote it, the way that a key has it here."""
    return capped(_CONTROL.sub(" ", name))


def mentat_fields(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what Mentat added to a message, under `_Mentat` or the older `_CESNET`."""
    for key in ("_Mentat", "_CESNET"):
        fields = message.get(key)
        if isinstance(fields, dict):
            return fields
    return {}


def categories(message: Mapping[str, Any]) -> list[str]:
    return strings(message.get("Category", []))


def detectors(message: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every distinct `Node.Name`, in order."""
    names = (name for node in sections(message, "Node") for name in strings(node.get("Name", [])))
    return _shared_names(tuple(dict.fromkeys(names)))


_CLASS_KEYS: Final[Mapping[Direction, tuple[str, str]]] = {
    "source": ("EventClass", "EventSubclass"),
    "target": ("TargetClass", "TargetSubclass"),
}


def _class(
    message: Mapping[str, Any], direction: Direction, name: str | None, subclasses: Subclasses
) -> tuple[str, str | None]:
    if not name:
        return capped("/".join(categories(message))), None
    name = _CONTROL.sub(" ", name)
    fields = mentat_fields(message)
    class_key, subclass_key = _CLASS_KEYS[direction]
    subs = strings(fields.get(subclass_key, []))
    if not subs and not fields.get(class_key):
        subs = subclasses(name, message)
    parts = ", ".join(subs)
    return capped(f"{name}/{parts}" if parts else name), capped(name)


def _side(
    direction: Direction,
    columns: tuple[Severity | None, str | None, bool],
    message: Mapping[str, Any],
    severity: Severity,
    subclasses: Subclasses,
) -> Side:
    stored_severity, class_name, shadow = columns
    if stored_severity != severity:
        return _shared_side(Side(stored_severity, "", class_name, shadow, ()))
    found, invalid = addresses(message, direction)
    name, base = _class(message, direction, class_name, subclasses)
    return _shared_side(Side(severity, name, base, shadow, found, invalid))


@lru_cache(maxsize=1 << 14)
def _shared_side(side: Side) -> Side:
    """Return the same object for equal ones: there may be a million events, which say little that differs."""
    return side


@lru_cache(maxsize=1 << 10)
def _shared_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return names


def _letters(value: Any) -> int:
    """Return roughly how many characters a value comes to when it is written out."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_letters, value.values()))
    return sum(map(_letters, value)) if isinstance(value, list) else 1


def _spelled(message: Mapping[str, Any], direction: Direction, addresses: int) -> int:
    """Return roughly how many characters of details the addresses of a direction come to.

    Each gets what all have in common, and the rest of the sections that it stands in.
    """
    own = sections(message, SECTION[direction])
    common = _letters(message) - sum(map(_letters, own))
    apart = 0
    for section in own:
        written = [section.get("IP4"), section.get("IP6")]
        entries = sum(len(value) if isinstance(value, list) else 1 for value in written)
        apart += entries * (_letters(section) - _letters(written))
    return addresses * common + apart


def _is_oversized(message: Mapping[str, Any], size: int, source: Side, target: Side) -> bool:
    most = max(len(source.addresses), len(target.addresses))
    if size <= MAX_SIZE and most * size <= MAX_SPELLED:  # spares most events the counting
        return False
    return size > MAX_SIZE or any(
        len(side.addresses) * size > MAX_SPELLED
        and _spelled(message, direction, len(side.addresses)) > MAX_SPELLED
        for direction, side in zip(DIRECTIONS, (source, target), strict=True)
    )


def read_event(
    stored: StoredEvent,
    message: Any,
    severity: Severity,
    subclasses: Subclasses = lambda _name, _message: [],
    *,
    size: int = 0,
    messages: Messages | None = None,
    place: int = 0,
) -> Event:
    """Read a cleaned, decoded message, of `size` bytes, with the sides that have the severity.

    `messages` has it at `place`; None: it is kept with the event. Raises MessageError if it is no JSON
    object.
    """
    if not isinstance(message, dict):
        raise MessageError(f"is no JSON object but {type(message).__name__}")
    source = _side(
        "source", (stored.eventseverity, stored.eventclass, stored.shadow), message, severity, subclasses
    )
    target = _side(
        "target",
        (stored.targetseverity, stored.targetclass, stored.shadow_target),
        message,
        severity,
        subclasses,
    )
    detect, begin, end = (parse_time(message.get(key)) for key in ("DetectTime", "EventTime", "CeaseTime"))
    first = begin or detect or stored.storage_time
    return Event(
        stored.id, stored.storage_time, messages or _Alone(message), place, source, target,
        first, end or first, detectors(message),
        oversized=_is_oversized(message, size, source, target),
        has_odd_time=any(time is EARLIEST or time is LATEST for time in (detect, begin, end)),
    )  # fmt: skip
