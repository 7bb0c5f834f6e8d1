"""Stored reports as an index lists them, and the figures of a day."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from mentat_reporter.core.model import ReportType, Severity


class Listed(NamedTuple):
    """What an index says of a stored report. Times are aware UTC."""

    label: str
    type: ReportType
    severity: Severity
    shadow: bool
    test_data: bool
    mailed: bool
    created: datetime
    events: int
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    """The first of them by name; `class_count` is how many there are."""
    class_count: int
    addresses: tuple[str, ...]
    """The first of them as texts; `address_count` is how many there are."""
    address_count: int


class DayFigures(NamedTuple):
    """The reports of a day that have pages, the day being that of their labels."""

    day: date
    reports: int
    events: Mapping[Severity, int]
    """Events of summaries and target reports: extras tell of the same again."""
