"""The events of a report → the figures that Mentat keeps with it, as its `statistics` (docs/reports.md)."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple

from mentat_reporter.core.aggregate import Finding
from mentat_reporter.core.idea import capped, categories, mentat_fields, sections, strings
from mentat_reporter.core.model import UNKNOWN, Direction, Event, Severity

FACETS_OF_OVERSIZED: Final = 100
"""Values of a facet, shortened, that an oversized event counts for in each of its reports."""


def _distinct(*values: Any) -> list[str]:
    """Return the texts of some lists, each once; where they say nothing, that it is unknown."""
    return list(dict.fromkeys(text for value in values for text in strings(value))) or [UNKNOWN]


def _said(parts: Iterable[Mapping[str, Any]], *keys: str) -> list[str]:
    return _distinct(*(part[key] for part in parts for key in keys if key in part))


_ABUSES: Final[Mapping[Direction, str]] = {"source": "ResolvedAbuses", "target": "TargetAbuses"}


def _facets(event: Event, direction: Direction) -> dict[str, list[str]]:
    message = event.message
    fields = mentat_fields(message)
    sources, targets = sections(message, "Source"), sections(message, "Target")
    facets = {
        "abuses": _distinct(fields.get(_ABUSES[direction])),
        "analyzers": _said(sections(message, "Node"), "SW"),
        "asns": _distinct(fields.get("SourceResolvedASN")),
        "categories": _distinct(message.get("Category")),
        "category_sets": ["/".join(categories(message) or [UNKNOWN])],
        "classes": [event.side(direction).class_name or UNKNOWN],
        "countries": _distinct(fields.get("SourceResolvedCountry")),
        "detectors": list(event.detectors) or [UNKNOWN],
        "inspectionerrors": _distinct(fields.get("InspectionErrors")),
        "source_hostnames": _said(sources, "Hostname"),
        "sources": _said(sources, "IP4", "IP6"),
        "target_hostnames": _said(targets, "Hostname"),
        "targets": _said(targets, "IP4", "IP6"),
        "tlps": _distinct(message.get("TLP")),
    }
    if event.oversized:
        return {facet: list(map(capped, values[:FACETS_OF_OVERSIZED])) for facet, values in facets.items()}
    return facets


class _Statistics:
    """The figures over the distinct events of a report, each facet counted by its values."""

    __slots__ = ("_counts", "_events", "_recurring")

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}
        self._events: dict[str, Event] = {}
        self._recurring = 0

    def add(self, finding: Finding, facets: Mapping[str, Iterable[str]], *, is_recurring: bool) -> None:
        """Count an event, the first time that it comes."""
        if finding.event.id in self._events:
            return
        self._events[finding.event.id] = finding.event
        self._recurring += is_recurring
        for facet, values in facets.items():
            counts = self._counts.get(facet)
            if counts is None:
                counts = self._counts[facet] = {}
            for value in values:
                counts[value] = counts.get(value, 0) + 1

    def data(self, severity: Severity) -> dict[str, Any]:
        """Return the figures as they are stored."""
        events = self._events
        return {
            **{facet: dict(sorted(counts.items())) for facet, counts in self._counts.items()},
            "severities": {severity: len(events)},
            "cnt_alerts": len(events),
            "cnt_events": len(events),
            "cnt_recurring": self._recurring,
            "cnt_unique": len(events) - self._recurring,
            "list_ids": sorted(events),
            **_oddities(events.values()),
        }


class Figures(NamedTuple):
    """The figures of a report, and those of its extra reports by address."""

    whole: dict[str, Any]
    parts: dict[str, dict[str, Any]]


def figures(
    new: Iterable[Finding],
    recurring: Iterable[Finding],
    severity: Severity,
    direction: Direction,
    *,
    by_address: bool,
) -> Figures:
    """Return the figures over the distinct events; each event's message is looked at once.

    Classes are without their subclasses: Mentat's searches for reports and events know them so.

    `by_address`: also those of each address alone.
    """
    whole = _Statistics()
    parts: dict[str, _Statistics] = {}
    for is_recurring, findings in enumerate((new, recurring)):
        for event, of_event in groupby(findings, key=attrgetter("event")):
            facets = _facets(event, direction)
            for finding in of_event:
                whole.add(finding, facets, is_recurring=bool(is_recurring))
                if by_address:
                    part = parts.get(finding.address)
                    if part is None:
                        part = parts[finding.address] = _Statistics()
                    part.add(finding, facets, is_recurring=bool(is_recurring))
    return Figures(whole.data(severity), {address: part.data(severity) for address, part in parts.items()})


def _oddities(events: Iterable[Event]) -> dict[str, list[str]]:
    """Name the events that are told otherwise than they stand; most reports have none."""
    oversized, odd_times = [], []
    for event in events:
        if event.oversized:
            oversized.append(event.id)
        if event.has_odd_time:
            odd_times.append(event.id)
    found = {"oversized": sorted(oversized), "odd_times": sorted(odd_times)}
    return {name: ids for name, ids in found.items() if ids}
