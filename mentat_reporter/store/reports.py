"""`reports_events` and `asoc_groups_reports` in the layout of Mentat 2.15."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import orjson

from mentat_reporter.core.aggregate import naive
from mentat_reporter.core.listing import DayFigures, Listed
from mentat_reporter.core.model import Report
from mentat_reporter.core.report import mailed_to, structured_data
from mentat_reporter.errors import StoreError
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.queries import get

PAGE: Final = 500
"""Reports a statement."""
LISTED_CLASSES: Final = 20
"""Classes of a report that an index knows by name."""


class Stored(NamedTuple):
    """A report as its row will have it."""

    report: Report
    mailed: bool


def taken_labels(connection: Connection, labels: Sequence[str]) -> set[str]:
    """Return which labels stand already."""
    with connection.cursor() as cursor:
        cursor.execute(get("reports.taken"), {"labels": list(labels)})
        return {label for (label,) in cursor}


def _row(stored: Stored, parents: Mapping[str, int]) -> dict[str, Any]:
    report = stored.report
    created = naive(report.created)
    counters = {f"evcount_{name}": value for name, value in report.counters.items()}
    return {
        "createtime": created,
        "parent_id": parents.get(report.parent or ""),
        "label": report.label,
        "severity": report.severity,
        "type": report.type,
        "dt_from": naive(report.lo),
        "dt_to": naive(report.hi),
        "delta": int((report.hi - report.lo).total_seconds()),
        "flag_shadow": report.shadow,
        "flag_testdata": report.test_data,
        "flag_mailed": stored.mailed,
        **counters,
        "mail_to": mailed_to(report.mail) if stored.mailed else [],
        "mail_dt": created if stored.mailed else None,
        "statistics": report.statistics,
        "filtering": None if report.type == "extra" else report.filtering,
        "structured_data": structured_data(report),
    }


def _insert(connection: Connection, reports: Sequence[Stored], parents: Mapping[str, int]) -> dict[str, int]:
    ids: dict[str, int] = {}
    with connection.cursor() as cursor:
        for start in range(0, len(reports), PAGE):
            rows = [_row(stored, parents) for stored in reports[start : start + PAGE]]
            cursor.execute(get("reports.insert"), {"reports": orjson.dumps(rows).decode()})
            ids.update(cursor.fetchall())
    return ids


def store(connection: Connection, reports: Sequence[Stored]) -> None:
    """Write a unit's reports, parents before their extras, and the groups of each one's chain.

    Raises StoreError for a group that is gone since the groups were read: a report must belong to its chain.
    """
    ids = _insert(connection, [stored for stored in reports if stored.report.parent is None], {})
    ids |= _insert(connection, [stored for stored in reports if stored.report.parent is not None], ids)
    links = [(name, ids[stored.report.label]) for stored in reports for name in stored.report.chain]
    with connection.cursor() as cursor:
        cursor.execute(
            get("reports.link"),
            {"groups": [name for name, _ in links], "reports": [report for _, report in links]},
        )
        found = {name for (name,) in cursor}
    gone = sorted({name for name, _ in links} - found)
    if gone:
        raise StoreError(f"group {', '.join(gone)} was renamed or deleted during the run")


# For the index


def newest(connection: Connection, *, days: int, most: int) -> list[str]:
    """Return the labels of the newest reports, none older than the last by more than so many days."""
    with connection.cursor() as cursor:
        cursor.execute(get("reports.newest"), {"days": days, "most": most})
        return [label for (label,) in cursor]


def listed(connection: Connection, labels: Sequence[str], *, most: int, addresses: int) -> list[Listed]:
    """Return what an index says of these reports, the newest first; beyond `most` extras go first.

    Of each the first `addresses` are named.
    """
    wanted = {"labels": list(labels), "most": most, "addresses": addresses, "classes": LISTED_CLASSES}
    with connection.cursor() as cursor:
        cursor.execute(get("reports.listed"), wanted)
        return [
            Listed._make((*facts, tuple(groups), tuple(classes), class_count, tuple(found), address_count))
            for *facts, groups, classes, class_count, found, address_count in cursor
        ]


def figures(connection: Connection, day: date, labels: Sequence[str]) -> DayFigures:
    """Return the figures of a day's reports; those that are not stored do not count."""
    with connection.cursor() as cursor:
        cursor.execute(get("reports.figures"), {"labels": list(labels)})
        rows = cursor.fetchall()
    return DayFigures(
        day, sum(count for _, count, _ in rows), {severity: found for severity, _, found in rows}
    )
