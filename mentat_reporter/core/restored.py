"""A stored report → the lines that its mail told, as far as the row and its events still say.

The layout is that of Mentat 2.15 (docs/reports.md shows a row), so rows that Mentat stored itself can be
read as well. Rows hold no small pictures, and of target reports no lines by address: both are taken from
the events, where it is certain which of them a line counted.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.aggregate import BETWEEN, PAIRS, Finding, entries
from mentat_reporter.core.idea import strings
from mentat_reporter.core.intake import RuleBook, own, sift
from mentat_reporter.core.model import (
    Address,
    Chain,
    Counters,
    Detail,
    Direction,
    Entry,
    Event,
    ReportType,
    Severity,
    Sighting,
)
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.core.times import parse_time

ClassOf = Callable[[str], str | None]
"""The class alone of a class with its subclasses; None: it is no class, but categories."""


class StoredReport(NamedTuple):
    """A row of `reports_events`, with the label of its summary and the names of its groups, in no order."""

    label: str
    type: ReportType
    severity: Severity
    parent: str | None
    lo: datetime
    hi: datetime
    created: datetime
    shadow: bool
    test_data: bool
    mailed: bool
    counters: Counters
    mail_to: tuple[str, ...]
    """`to:` and `cc:` entries."""
    statistics: Mapping[str, Any]
    structured: Mapping[str, Any]
    filtering: Mapping[str, int]
    groups: Chain

    @property
    def direction(self) -> Direction:
        return "target" if self.type == "target" else "source"

    @property
    def event_ids(self) -> list[str]:
        return strings(self.statistics.get("list_ids") or [])

    @property
    def timezone(self) -> str:
        return str(self.structured.get("timezone") or "")

    @property
    def address(self) -> str | None:
        """Of an extra report, which tells of one."""
        parts = (_object(self.structured.get(name)) for name in ("regular", "relapsed"))
        found = (address for part in parts for line in part.values() for address in _object(line))
        return next(found, None) if self.type == "extra" else None


class Restored(NamedTuple):
    """The lines of a report as its reader met them, and the findings that could be told for certain."""

    regular: list[Entry]
    relapsed: list[Entry]
    regular_by_class: list[Entry]
    relapsed_by_class: list[Entry]
    new: list[Finding]
    recurring: list[Finding]
    unsure: int
    """Lines without a picture: it is not certain which events they counted."""


# From the row


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def in_order(value: Any) -> Any:
    """Return a value with the keys of all its objects in order: the database keeps none."""
    if isinstance(value, dict):
        return {name: in_order(value[name]) for name in sorted(value)}
    return value


def lines(data: Any, since: datetime, class_of: ClassOf) -> list[Entry]:
    """Return a part of `structured_data` as lines, ordered by class and address.

    A line of a whole class has no address. `since` stands for times that cannot be read.
    """
    found = []
    for event_class, part in sorted(_object(data).items()):
        of_class = {"": part} if "detector_data" in _object(part) else _object(part)
        for address, line in sorted(of_class.items()):
            found.append(_line(event_class, class_of(event_class), address, _object(line), since))
    return found


def _line(
    event_class: str, class_name: str | None, address: str, data: Mapping[str, Any], since: datetime
) -> Entry:
    first = parse_time(data.get("first_time")) or since
    count, reference = data.get("event_count"), data.get("reference")
    return Entry(
        event_class,
        class_name,
        address,
        count if isinstance(count, int) else 0,
        first,
        parse_time(data.get("last_time")) or first,
        reference if isinstance(reference, str) else None,
        {name: _detail(_object(seen)) for name, seen in sorted(_object(data.get("detector_data")).items())},
        {},
    )


def _texts(name: str, values: Any) -> list[str]:
    """Return the values of a list; rows hold pairs, older ones of the reporter's a text for both."""
    if name not in PAIRS or not isinstance(values, list):
        return strings(values)
    return [BETWEEN.join(strings(value)) for value in values]


def _detail(data: Mapping[str, Any]) -> Detail:
    def lists(group: str) -> dict[str, dict[str, None]]:
        found = _object(data.get(f"{group}_list_data"))
        return {name: dict.fromkeys(_texts(name, values)) for name, values in found.items() if values}

    def numbers(group: str) -> dict[str, float]:
        found = _object(data.get(f"{group}_numeric_data"))
        return {name: value for name, value in found.items() if isinstance(value, int | float) and value}

    return Detail(
        lists("main"), numbers("main"), lists("source"), numbers("source"), lists("target"),
        numbers("target"), lists("attach"),
    )  # fmt: skip


# From the events


class _Told(NamedTuple):
    """What a row says of one class at one address, or of a class in a target report."""

    event_class: str
    addresses: frozenset[str]
    regular: Entry | None
    relapsed: Entry | None


def _canonical(text: str) -> str:
    try:
        return parse_address(text).text
    except ValueError:
        return text


def relevant(line: Entry) -> list[str]:
    """Return the addresses of the group that a line tells of: its own, or those that a whole class names."""
    if line.address:
        return [line.address]
    named = (detail.target_lists.get("relevant_ips", {}) for detail in line.details.values())
    return sorted({address for addresses in named for address in addresses})


def _told(regular: Iterable[Entry], relapsed: Iterable[Entry]) -> list[_Told]:
    both: dict[tuple[str, str], list[Entry | None]] = {}
    for place, part in enumerate((regular, relapsed)):
        for line in part:
            both.setdefault((line.event_class, line.address), [None, None])[place] = line
    return [
        _Told(
            event_class,
            frozenset(_canonical(text) for line in pair if line is not None for text in relevant(line)),
            *pair,
        )
        for (event_class, _), pair in both.items()
    ]


class Evidence:
    """The events of a report that still exist, seen at the addresses that today's networks make of them."""

    def __init__(
        self, row: StoredReport, events: Iterable[Event], ownership: Ownership, rules: RuleBook
    ) -> None:
        self._rules = rules
        self._groups = frozenset(row.groups)
        self._by_class: dict[str, list[Sighting]] = {}
        self._places: dict[tuple[str, str], int] = {}
        for event in sorted(events, key=lambda event: (event.storage_time, event.id)):
            for sighting in own(event, row.direction, ownership):
                name = event.side(row.direction).event_class
                self._by_class.setdefault(name, []).append(sighting)
                self._places[event.id, sighting.address] = len(self._places)
        self.chains = {
            sighting.chain: None for sightings in self._by_class.values() for sighting in sightings
        }
        """Each chain that owns one of the addresses."""

    def in_order(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return findings with the oldest event first, and an event's addresses as it names them."""
        return sorted(findings, key=lambda finding: self._places[finding.event.id, finding.address])

    def of(self, told: _Told) -> list[Sighting] | None:
        """Return what a line counted, oldest first; None when that is not certain.

        What the row does not say, that a rule removed one address of an event, is asked of today's rules.
        """
        events = sum(line.count for line in (told.regular, told.relapsed) if line is not None)
        found = [
            sighting
            for sighting in self._by_class.get(told.event_class, ())
            if sighting.address in told.addresses
            or (sighting.event.oversized and self._groups == frozenset(sighting.chain))
        ]
        sifted = [sift(sighting, self._rules).sighting for sighting in found]
        for seen in (list(filter(None, sifted)), found):
            if len({sighting.event.id for sighting in seen}) == events:
                return seen
        return None


def _findings(told: _Told, seen: Iterable[Sighting]) -> tuple[list[Finding], list[Finding]]:
    """Divide sightings into new and recurring ones: what was held back was stored before what is new."""
    parts: tuple[list[Finding], list[Finding]] = ([], [])
    held = told.relapsed.count if told.relapsed else 0
    counted: dict[str, bool] = {}
    for event, direction, origins, address, _, fallbacks in seen:
        is_held = counted.setdefault(event.id, len(counted) < held)
        name = event.side(direction).class_name
        reference = told.relapsed.reference if told.relapsed and is_held else None
        parts[is_held].append(Finding(event, told.event_class, name, origins, address, fallbacks, reference))
    return parts


def _drawn(lines: Iterable[Entry], findings: Iterable[Finding], direction: Direction) -> list[Entry]:
    """Return the lines of a row with their small pictures."""
    seen = {(line.event_class, line.address): line for line in entries(findings, direction)}
    found = []
    for line in lines:
        same = seen.get((line.event_class, _canonical(line.address)))
        found.append(replace(line, class_name=same.class_name, hours=same.hours) if same else line)
    return found


def _by_address(lines: Iterable[Entry], findings: Iterable[Finding]) -> list[Entry]:
    """Return the lines by address of a target report; a class that is not certain is one line."""
    seen = entries(findings, "target")
    certain = {line.event_class for line in seen}
    rest = [
        replace(line, address=", ".join(relevant(line))) for line in lines if line.event_class not in certain
    ]
    return sorted([*seen, *rest], key=lambda line: (line.event_class, line.address))


def restored(row: StoredReport, evidence: Evidence, class_of: ClassOf) -> Restored:
    """Return the lines of a stored report, with what its events add to them."""
    regular = lines(row.structured.get("regular"), row.lo, class_of)
    relapsed = lines(row.structured.get("relapsed"), row.lo, class_of)
    new: list[Finding] = []
    recurring: list[Finding] = []
    unsure = 0
    for told in _told(regular, relapsed):
        seen = evidence.of(told)
        if seen is None:
            unsure += 1
            continue
        fresh, held = _findings(told, seen)
        new += fresh
        recurring += held
    new, recurring = evidence.in_order(new), evidence.in_order(recurring)
    if row.type == "target":
        return Restored(
            _by_address(regular, new), _by_address(relapsed, recurring), regular, relapsed, new, recurring,
            unsure,
        )  # fmt: skip
    return Restored(
        _drawn(regular, new, row.direction), _drawn(relapsed, recurring, row.direction), [], [], new,
        recurring, unsure,
    )  # fmt: skip


def addresses_of(found: Restored) -> list[Address]:
    """Return the addresses that a report tells of, those that can be read."""
    told = []
    for line in (*found.regular, *found.relapsed):
        try:
            told.append(parse_address(line.address))
        except ValueError:
            continue
    return told


def in_chain_order(groups: Chain, chains: Iterable[Chain]) -> Chain:
    """Return a report's groups as their networks have them today, in the order of the first chain that fits.

    A chain of just these groups fits best. Groups that no chain has come last, by name.
    """
    named = frozenset(groups)
    fitting = sorted(chains, key=lambda chain: (frozenset(chain) != named, -len(named.intersection(chain))))
    order = [name for name in (fitting[0] if fitting else ()) if name in named]
    return (*order, *sorted(named.difference(order)))
