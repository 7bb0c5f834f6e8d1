"""A past time worked again as regular runs would have, with thresholds that are kept in memory alone."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from mentat_reporter.core.compare import Key, Side, Stored, tiles
from mentat_reporter.core.model import (
    Direction,
    Group,
    Held,
    Problem,
    Report,
    Severity,
    Threshold,
    ThresholdTimes,
    Window,
)
from mentat_reporter.core.threshold import new_times
from mentat_reporter.core.window import Span, timing_of
from mentat_reporter.store.state import Unit
from mentat_reporter.store.thresholds import Expired


class Decided(Protocol):
    """What a unit decided; see `unit.Decision`."""

    @property
    def reports(self) -> Sequence[Report]: ...
    @property
    def held(self) -> Mapping[Problem, Sequence[Held]]: ...
    @property
    def labels(self) -> Mapping[Problem, str]: ...
    @property
    def times(self) -> ThresholdTimes | None: ...


class Rehearsal:
    """What is remembered from window to window: what the database has for regular runs."""

    def __init__(self, stored: Sequence[Stored], lo: datetime, groups: Mapping[str, Group]) -> None:
        self._thresholds: dict[Unit, dict[Problem, Threshold]] = {}
        self._held: dict[Unit, dict[Problem, list[Held]]] = {}
        self._worked: dict[Severity, list[Span]] = {}
        self.told: dict[Key, Side] = {}
        """What was told, by whom it was told to."""
        self.held_by: dict[tuple[Key, str], str] = {}
        """The report for which an event was held back."""
        for report in stored:
            if report.hi > lo:
                self._worked.setdefault(report.severity, []).append(Span(report.lo, report.hi))
            else:
                self._remember(report, groups)

    def _remember(self, report: Stored, groups: Mapping[str, Group]) -> None:
        """Have a report of before hold back as one of this reporter would have."""
        window = Window("", report.severity, report.lo, report.hi, report.lo, timedelta())
        for name in report.groups:
            timing = timing_of(groups.get(name), report.severity, report.direction)
            times = new_times(window, timing)
            if times is None:
                continue
            unit = self._thresholds.setdefault(Unit(name, report.severity, report.direction), {})
            for event_class, address in report.problems:
                problem = Problem(report.shadow, event_class, address)
                unit[problem] = Threshold(*times, report.label, report.label)

    def spans(self, severity: Severity, lo: datetime, hi: datetime, period: timedelta) -> list[Span]:
        """Return the windows to work: those that Mentat's reports have, where there are any."""
        return tiles(self._worked.get(severity, ()), lo, hi, period)

    def thresholds(self, unit: Unit, problems: Iterable[Problem]) -> dict[Problem, Threshold]:
        """As `store.thresholds.thresholds`."""
        known = self._thresholds.get(unit, {})
        return {problem: known[problem] for problem in problems if problem in known}

    def expired(self, unit: Unit, hi: datetime) -> dict[Problem, Expired]:
        """As `store.thresholds.expired`."""
        held = self._held.get(unit, {})
        return {
            problem: Expired(threshold, list(held.get(problem, ())))
            for problem, threshold in self._thresholds.get(unit, {}).items()
            if threshold.ttltime <= hi
        }

    def relapsing(self, severity: Severity, hi: datetime) -> list[tuple[str, Direction]]:
        """Return the groups and directions with something held whose threshold has expired by `hi`."""
        return [
            (unit.group, unit.direction)
            for unit, held in self._held.items()
            if unit.severity == severity and self._has_expired(unit, held, hi)
        ]

    def _has_expired(self, unit: Unit, held: Mapping[Problem, list[Held]], hi: datetime) -> bool:
        known = self._thresholds[unit]
        return any(
            events and problem in known and known[problem].ttltime <= hi for problem, events in held.items()
        )

    def note(self, unit: Unit, window: Window, decided: Decided) -> None:
        """Remember what a unit decided."""
        known = self._thresholds.setdefault(unit, {})
        held = self._held.setdefault(unit, {})
        for problem, events in decided.held.items():
            held.setdefault(problem, []).extend(events)
            key = Key(*unit, problem.shadow)
            for event in events:
                self.held_by[key, event.event_id] = known[problem].report_label
        for problem, label in decided.labels.items():
            if decided.times:
                known[problem] = Threshold(*decided.times, label, label)
            held[problem] = [event for event in held.get(problem, ()) if event.createtime >= window.hi]
        for problem in [each for each, threshold in known.items() if threshold.ttltime < window.hi]:
            del known[problem]
            held.pop(problem, None)
        for report in decided.reports:
            for name in report.chain:
                key = Key(name, report.severity, report.direction, report.shadow)
                self.told.setdefault(key, Side()).add(report.statistics["list_ids"])
