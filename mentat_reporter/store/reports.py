"""`reports_events` and `asoc_groups_reports` in the layout of Mentat 2.15."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from mentat_reporter.core.aggregate import naive
from mentat_reporter.core.model import Report
from mentat_reporter.core.report import mailed_to, structured_data
from mentat_reporter.errors import StoreError
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.queries import get

PAGE: Final = 200
"""Reports a statement."""


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
