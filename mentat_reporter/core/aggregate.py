"""Sightings → the lines of a report.

The groups of fields and their names are those of Mentat 2.15's `structured_data` (docs/reports.md shows a
row).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Any, Final, NamedTuple

from mentat_reporter.core.idea import (
    SECTION,
    own_sections,
    sections,
    strings,
)
from mentat_reporter.core.model import UNKNOWN, Address, Chain, Detail, Direction, Entry, Event

MAIN_LISTS: Final = ("Category", "Description", "Ref", "UsernameAndPassword")
MAIN_NUMBERS: Final = (
    "AvgPacketSize", "ByteCount", "ByteCountDropped", "ByteCountFromAvg", "ConnCount",
    "FlowCount", "FlowCountDropped", "PacketCount", "PacketCountDropped",
)  # fmt: skip
SIDE_LISTS: Final = (
    "BitMask", "Ciphers", "Email", "Hostname", "Interface", "MAC", "Netname", "Port", "Proto",
    "Ref", "Router", "Type", "URL", "X509ExpiredTime", "ips", "services",
)  # fmt: skip
SIDE_NUMBERS: Final = (
    "ClockSkew", "InByteCount", "InFlowCount", "InPacketCount",
    "OutByteCount", "OutFlowCount", "OutPacketCount",
)  # fmt: skip
ATTACH_LISTS: Final = ("Name",)
PAIRS: Final = frozenset({"UsernameAndPassword", "services"})
"""Lists whose values are two texts each: a row stores them as two, a line as one with BETWEEN in it."""
BETWEEN: Final = "\x1f"
"""Cleaned messages have no such character; who writes a line out puts a space for it."""
EXACT: Final = 2**53
"""The largest number that every reader of JSON takes exactly; what claims more counts as this."""

_MAIN_LISTS: Final = frozenset(MAIN_LISTS) - PAIRS
_MAIN_NUMBERS: Final = frozenset(MAIN_NUMBERS) - {"AvgPacketSize"}
_SIDE_LISTS: Final = frozenset(SIDE_LISTS) - PAIRS - {"ips"}
_SIDE_NUMBERS: Final = frozenset(SIDE_NUMBERS) - {"ClockSkew"}


class Finding(NamedTuple):
    """One event to tell of: under which class, at which address, told before in which report."""

    event: Event
    event_class: str
    class_name: str | None
    origins: tuple[Address, ...]
    address: str
    fallbacks: Chain
    reference: str | None = None
    """The report that told of this problem before."""


def _add(lists: dict[str, dict[str, None]], key: str, values: Iterable[str]) -> None:
    found = lists.setdefault(key, {})
    for value in values:
        found[value] = None


def _number(value: Any) -> float:
    """Return what can be added up; anything else counts as nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -inf < value < inf:
        return 0
    return max(-EXACT, min(value, EXACT))


def _take_fields(
    source: Mapping[str, Any],
    lists: dict[str, dict[str, None]],
    numbers: dict[str, float],
    list_keys: frozenset[str],
    number_keys: frozenset[str],
) -> None:
    for key, value in source.items():
        if key in list_keys:
            _add(lists, key, strings(value))
        elif key in number_keys:
            numbers[key] = numbers.get(key, 0) + _number(value)


def _service(section: Mapping[str, Any]) -> list[str]:
    names = strings(section.get("ServiceName", []))
    version = " ".join(strings(section.get("ServiceVersion", [])))
    return [name + BETWEEN + version for name in names]


def _credentials(message: Mapping[str, Any]) -> list[str]:
    found = [
        tuple(" ".join(strings(section.get(key, []))) for key in ("Username", "Password"))
        for section in sections(message, "Credentials")
    ]
    return [BETWEEN.join(pair) for pair in found if any(pair)]


def _take_section(
    section: Mapping[str, Any], lists: dict[str, dict[str, None]], numbers: dict[str, float]
) -> None:
    _take_fields(section, lists, numbers, _SIDE_LISTS, _SIDE_NUMBERS)
    if "ServiceName" in section:
        _add(lists, "services", _service(section))
    if "ClockSkew" in section:
        seen = (numbers.get("ClockSkew", 0), _number(section["ClockSkew"]))
        numbers["ClockSkew"] = max(seen, key=lambda skew: (abs(skew), skew))


def _take_main(
    message: Mapping[str, Any], lists: dict[str, dict[str, None]], numbers: dict[str, float]
) -> None:
    _take_fields(message, lists, numbers, _MAIN_LISTS, _MAIN_NUMBERS)
    if "Credentials" in message:
        _add(lists, "UsernameAndPassword", _credentials(message))
    if "AvgPacketSize" in message:
        size = _number(message["AvgPacketSize"]) * _number(message.get("PacketCount"))
        numbers["ByteCountFromAvg"] = numbers.get("ByteCountFromAvg", 0) + size


def _written_addresses(section: Mapping[str, Any]) -> list[str]:
    return [text for key in ("IP4", "IP6") if key in section for text in strings(section[key])]


def _take(detail: Detail, of_event: Sequence[Finding], direction: Direction) -> None:
    """Add an event: of its own direction only what belongs to its addresses here, of the other one all."""
    event = of_event[0].event
    message = event.message
    addresses = [finding.address for finding in of_event]
    _take_main(message, detail.main_lists, detail.main_numbers)
    facts: Mapping[Direction, tuple[dict[str, dict[str, None]], dict[str, float]]] = {
        "source": (detail.source_lists, detail.source_numbers),
        "target": (detail.target_lists, detail.target_numbers),
    }
    for side, (lists, numbers) in facts.items():
        if side == direction:
            origins = tuple(origin for finding in of_event for origin in finding.origins)
            for section in own_sections(event, direction, origins):
                _take_section(section, lists, numbers)
            _add(lists, "ips", addresses)
        else:
            for section in sections(message, SECTION[side]):
                _take_section(section, lists, numbers)
                _add(lists, "ips", _written_addresses(section))
    if direction == "target":
        _add(detail.target_lists, "relevant_ips", addresses)
    for attachment in sections(message, "Attach"):
        if "Name" in attachment:
            _add(detail.attach_lists, "Name", strings(attachment["Name"]))


def _entry(finding: Finding, address: str) -> Entry:
    event = finding.event
    return Entry(
        finding.event_class, finding.class_name, address, 0,
        event.first_time, event.last_time, finding.reference, {}, {},
    )  # fmt: skip


def _together(findings: Iterable[Finding], *, by_address: bool) -> Iterable[Sequence[Finding]]:
    """Return findings event by event: a line of a whole class has those of all its addresses at once."""
    if by_address:
        return ((finding,) for finding in findings)
    grouped: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        grouped.setdefault((finding.event_class, finding.event.id), []).append(finding)
    return grouped.values()


def entries(findings: Iterable[Finding], direction: Direction, *, by_address: bool = True) -> list[Entry]:
    """Return a line per class and address (or per class alone), ordered by class and address.

    An event counts once in a line. Of one that is oversized nothing else is told.
    """
    lines: dict[tuple[str, str], Entry] = {}
    counted: dict[tuple[str, str], set[str]] = {}
    for of_event in _together(findings, by_address=by_address):
        finding = of_event[0]
        key = (finding.event_class, finding.address if by_address else "")
        line = lines.get(key)
        if line is None:
            line = lines[key] = _entry(finding, key[1])
            counted[key] = set()
        event = finding.event
        if event.id in counted[key]:
            continue
        counted[key].add(event.id)
        line.count += 1
        line.first_time = min(line.first_time, event.first_time)
        line.last_time = max(line.last_time, event.last_time)
        hour = event.first_time.replace(minute=0, second=0, microsecond=0)
        line.hours[hour] = line.hours.get(hour, 0) + 1
        for detector in () if event.oversized else event.detectors or (UNKNOWN,):
            detail = line.details.get(detector)
            if detail is None:
                detail = line.details[detector] = Detail({}, {}, {}, {}, {}, {}, {})
            _take(detail, of_event, direction)
    _average(lines.values())
    return [lines[key] for key in sorted(lines)]


def _average(lines: Iterable[Entry]) -> None:
    """Set the average packet size of each detail from the bytes that the events' averages come to."""
    for line in lines:
        for detail in line.details.values():
            numbers = detail.main_numbers
            if "ByteCountFromAvg" in numbers and (packets := numbers.get("PacketCount", 0)) > 0:
                numbers["AvgPacketSize"] = round(numbers["ByteCountFromAvg"] / packets)


def _lists(found: Mapping[str, Mapping[str, None]], keys: Iterable[str]) -> dict[str, list[Any]]:
    return {key: _stored(key, sorted(found.get(key, ()))) for key in keys}


def _stored(key: str, texts: list[str]) -> list[Any]:
    """Return the values of a list as a row has them: pairs always have two texts, an empty one maybe."""
    return [list(text.partition(BETWEEN)[::2]) for text in texts] if key in PAIRS else texts


def _numbers(found: Mapping[str, float], keys: Iterable[str]) -> dict[str, float]:
    return {key: value if abs(value := found.get(key, 0)) < EXACT else float(value) for key in keys}


def _detail_data(detail: Detail) -> dict[str, Any]:
    return {
        "main_list_data": _lists(detail.main_lists, MAIN_LISTS),
        "main_numeric_data": _numbers(detail.main_numbers, MAIN_NUMBERS),
        "source_list_data": _lists(detail.source_lists, SIDE_LISTS),
        "source_numeric_data": _numbers(detail.source_numbers, SIDE_NUMBERS),
        "target_list_data": _lists(detail.target_lists, (*SIDE_LISTS, "relevant_ips")),
        "target_numeric_data": _numbers(detail.target_numbers, SIDE_NUMBERS),
        "attach_list_data": _lists(detail.attach_lists, ATTACH_LISTS),
    }


def naive(time: datetime) -> str:
    """Write a time as Mentat stores it: ISO, UTC, without zone."""
    return time.replace(tzinfo=None).isoformat()


def entry_data(line: Entry) -> dict[str, Any]:
    return {
        "event_count": line.count,
        "first_time": naive(line.first_time),
        "last_time": naive(line.last_time),
        "reference": line.reference,
        "detector_data": {name: _detail_data(detail) for name, detail in sorted(line.details.items())},
    }


def structured(lines: Iterable[Entry]) -> dict[str, Any]:
    """Return `{class: {address: …}}`, or `{class: …}` for lines that have no address."""
    data: dict[str, Any] = {}
    for line in lines:
        if line.address:
            data.setdefault(line.event_class, {})[line.address] = entry_data(line)
        else:
            data[line.event_class] = entry_data(line)
    return data
