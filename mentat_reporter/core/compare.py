"""What two reporters tell of the same time, and why an event is on one side alone. docs/mentat.md.

Stored reports, events and the house go in, causes come out. Each cause is found by looking; where none is
found, that is said.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mentat_reporter.core.intake import RuleBook, is_credible, own, sift
from mentat_reporter.core.model import Chain, Direction, Event, Group, Network, ReportType, Severity, Sighting
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.core.window import Span, timing_of

_OWN_LABEL: Final = re.compile(r"-[A-Z2-7]{8}\Z")
UNKNOWN: Final = "the cause is not known: networks, rules or settings may have changed since"
GONE: Final = "the event is not stored any more"


class Key(NamedTuple):
    """What is compared: all that one group was told of a severity and direction."""

    group: str
    severity: Severity
    direction: Direction
    shadow: bool


class Stored(NamedTuple):
    """A stored report, as far as it is compared."""

    label: str
    type: ReportType
    severity: Severity
    shadow: bool
    lo: datetime
    hi: datetime
    groups: Chain
    event_ids: frozenset[str]
    problems: frozenset[tuple[str, str]]
    """Classes, each with an address."""

    @property
    def direction(self) -> Direction:
        return "target" if self.type == "target" else "source"

    @property
    def is_own(self) -> bool:
        """Whether this reporter made it: Mentat's labels end in five characters."""
        return _OWN_LABEL.search(self.label) is not None

    def whom(self) -> Iterator[Key]:
        return (Key(name, self.severity, self.direction, self.shadow) for name in self.groups)


@dataclass(slots=True)
class Side:
    """The reports of one reporter, and the events that they tell."""

    reports: int = 0
    events: set[str] = field(default_factory=set)

    def add(self, events: Iterable[str]) -> None:
        self.reports += 1
        self.events.update(events)


class Line(NamedTuple):
    """Both sides of a key."""

    key: Key
    here: Side
    there: Side

    @property
    def only_here(self) -> set[str]:
        return self.here.events - self.there.events

    @property
    def only_there(self) -> set[str]:
        return self.there.events - self.here.events


def side_by_side(here: Mapping[Key, Side], there: Mapping[Key, Side]) -> list[Line]:
    """Return a line for each key of either side, in order."""
    return [Line(key, here.get(key, Side()), there.get(key, Side())) for key in sorted({*here, *there})]


def tiles(worked: Iterable[Span], lo: datetime, hi: datetime, period: timedelta) -> list[Span]:
    """Cover `[lo, hi)`: windows that were worked, and what lies between them in whole periods."""
    found: list[Span] = []
    covered = lo
    for span in [*sorted({(span.lo, span.hi) for span in worked}), (hi, hi)]:
        begin, end = max(span[0], covered), min(span[1], hi)
        while covered < min(begin, hi):
            step = min(covered + period, begin, hi)
            found.append(Span(covered, step))
            covered = step
        if covered < end:
            found.append(Span(covered, end))
            covered = end
    return found


@dataclass
class Causes:
    """Says why an event is on one side alone."""

    stored: Sequence[Stored]
    """Mentat's reports of the time, and of as long before it as a threshold lasts."""
    held_here: Mapping[tuple[Key, str], str]
    """By key and event, the report for which this reporter would have held it back."""
    groups: Mapping[str, Group]
    networks: Iterable[Network]
    rules: RuleBook
    credibilities: Mapping[str, float]
    lo: datetime
    """When the time that is compared begins."""
    _told: dict[tuple[Key, str], list[Stored]] = field(default_factory=dict)
    _problems: dict[tuple[str, str], list[Stored]] = field(default_factory=dict)
    _spans: dict[Severity, set[Span]] = field(default_factory=dict)
    _all: Ownership = field(init=False)
    _without_bases: Ownership = field(init=False)

    def __post_init__(self) -> None:
        networks = list(self.networks)
        self._all = Ownership(networks)
        self._without_bases = Ownership(found for found in networks if not found.is_base)
        for report in self.stored:
            self._spans.setdefault(report.severity, set()).add(Span(report.lo, report.hi))
            for problem in report.problems:
                self._problems.setdefault(problem, []).append(report)
            for key in report.whom() if report.hi > self.lo else ():
                for event_id in report.event_ids:
                    self._told.setdefault((key, event_id), []).append(report)

    def only_there(self, key: Key, event_id: str, event: Event | None) -> str:
        """Return why Mentat told an event, and this reporter would not."""
        if event is None:
            return GONE
        if key.group not in self.groups:
            return "the group is disabled today, or there is none of that name"
        if label := self.held_here.get((key, event_id)):
            return f"held back here: {label} has told of the same problem"
        return (
            self._told_late(self._told.get((key, event_id), []), event)
            or _changed(key, event)
            or _tested(key, event)
            or self._not_told_here(key, event)
        )

    def _told_late(self, reports: Sequence[Stored], event: Event) -> str | None:
        if any(event.storage_time == report.hi for report in reports):
            return "stored at the end of Mentat's window, which takes both ends: here it is the next window's"
        if not reports or event.storage_time >= min(report.lo for report in reports):
            return None
        if event.storage_time < self.lo:
            return "told again by Mentat, and stored before the time that is compared: begin earlier"
        return "told again by Mentat, which tells a relapse at all addresses of its events"

    def _not_told_here(self, key: Key, event: Event) -> str:
        owned = own(event, key.direction, self._all)
        mine = [sighting for sighting in owned if key.group in sighting.chain]
        if not mine:
            others = sorted({sighting.owner for sighting in owned if sighting.chain})
            whose = f"they are those of {', '.join(others[:3])}" if others else "they are nobody's"
            return f"no address of it is in the group's networks today: {whose}"
        rules = {sifted.dropped_by for sifted in (sift(sighting, self.rules) for sighting in mine)}
        if None not in rules:
            names = sorted(rule.name for rule in rules if rule is not None)
            return f"removed by the rule {', '.join(repr(name) for name in names)}"
        if not is_credible(event, self.credibilities):
            return "its detectors are not credible enough today"
        return UNKNOWN

    def only_here(self, key: Key, event: Event | None) -> str:
        """Return why this reporter would tell an event, and Mentat did not."""
        if event is None:
            return GONE
        mine = [found for found in own(event, key.direction, self._all) if key.group in found.chain]
        nearer = {found.address: found.chain for found in own(event, key.direction, self._without_bases)}
        if mine and all(key.group not in nearer.get(found.address, ()) for found in mine):
            return "the group has the address by a base network alone: Mentat reports such to nobody"
        if mine and all(_is_split(found) for found in mine):
            return "an address range that reaches beyond one network: Mentat finds nobody for it"
        return self._held_by_mentat(key, event, mine) or (
            f"{UNKNOWN}, or it became visible only after Mentat's run"
            if self._ends(key.severity, event)
            else "no report of Mentat for anybody is of that time: it may not have run, or found nothing"
        )

    def _ends(self, severity: Severity, event: Event) -> datetime | None:
        """Return the end of the window that Mentat had an event in, if any report is of it."""
        spans = self._spans.get(severity, ())
        return max((span.hi for span in spans if span.lo <= event.storage_time <= span.hi), default=None)

    def _held_by_mentat(self, key: Key, event: Event, mine: Iterable[Sighting]) -> str | None:
        """Tell which report of before Mentat held an event back for.

        A window in which all was held back has no report that says when it ended: then what the event's
        storage time says must do.
        """
        ends = self._ends(key.severity, event)
        event_class = event.side(key.direction).event_class
        for found in mine:
            for report in reversed(self._problems.get((event_class, found.address), [])):
                if cause := self._held_for(key, found.owner, report, event.storage_time, ends):
                    return cause
        return None

    def _held_for(
        self, key: Key, owner: str, report: Stored, moment: datetime, ends: datetime | None
    ) -> str | None:
        """Tell whether a report of before held its problems back at a moment, in a window with that end."""
        told = list(report.whom())
        for threshold in (
            timing_of(self.groups.get(of.group), of.severity, of.direction).threshold for of in told
        ):
            until = report.hi + threshold if threshold else report.hi
            if not (report.hi < ends <= until if ends else report.hi <= moment < until):
                continue
            whom = f"{report.label} told {', '.join(report.groups)} ({report.severity})"
            if key not in told or owner not in report.groups:
                return f"held back by Mentat, whose thresholds are for a class and an address alone: {whom}"
            if ends == until:
                return f"the threshold of {report.label} ends with the window: Mentat holds back then"
            return f"held back by Mentat until {until:%Y-%m-%d %H:%M} and its window's end: {whom}"
        return None


def _changed(key: Key, event: Event) -> str | None:
    """Tell whether an event is of another severity today, or shadow."""
    side = event.side(key.direction)
    if side.severity != key.severity:
        return f"its severity is {side.severity or 'none'} today"
    if side.shadow != key.shadow:
        return f"its class is {'' if side.shadow else 'not '}in shadow today"
    return None


def _tested(key: Key, event: Event) -> str | None:
    """Tell whether only a shadow report of Mentat's takes the event."""
    if key.shadow and "Test" in (event.message.get("Category") or ()):
        return "of category Test: Mentat's shadow reports take these too"
    return None


def _is_split(sighting: Sighting) -> bool:
    """Tell whether somebody has only a part of an address."""
    return any(origin.first != origin.last and origin.text != sighting.address for origin in sighting.origins)
