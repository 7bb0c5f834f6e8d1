"""Stored reports, read back: any row in the layout of Mentat 2.15, also those that Mentat stored."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from mentat_reporter.core.model import Counters
from mentat_reporter.core.restored import StoredReport, in_order
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.queries import get

_COUNTERS: Final = (
    "rep", "all", "new", "flt", "flt_blk", "det", "det_blk", "thr", "thr_blk", "rlp",
)  # fmt: skip
"""In the order of the query's columns, from the eleventh on."""
_DAY: Final = slice(0, 9)
"""`M20261122` of a label."""


def _row(found: tuple[Any, ...]) -> StoredReport:
    label, kind, severity, parent, lo, hi, created, shadow, test, mailed, *rest = found
    counters, (mail_to, statistics, structured, filtering, groups) = rest[:10], rest[10:]
    return StoredReport(
        label,
        kind,
        severity,
        parent,
        lo.astimezone(UTC),
        hi.astimezone(UTC),
        created.astimezone(UTC),
        shadow,
        test,
        mailed,
        Counters(**dict(zip(_COUNTERS, counters, strict=True))),
        tuple(mail_to or ()),
        in_order(statistics or {}),
        structured or {},
        in_order(filtering or {}),
        tuple(groups),
    )


def by_labels(connection: Connection, labels: Sequence[str]) -> dict[str, StoredReport]:
    """Return stored reports by label; those that there are not are left out."""
    with connection.cursor() as cursor:
        cursor.execute(get("stored_reports.by_labels"), {"labels": list(labels)})
        return {row[0]: _row(row) for row in cursor}


def newest(connection: Connection, group: str, severities: Iterable[str], *, test_data: bool) -> list[str]:
    """Return the label of a group's newest report of each type; without a name, of anybody's."""
    with connection.cursor() as cursor:
        parameters = {"group": group, "severities": list(severities), "test": test_data}
        cursor.execute(get("stored_reports.newest"), parameters)
        return [label for (label,) in cursor]


def near(connection: Connection, label: str) -> list[str]:
    """Return stored labels that may have been meant by one that is not stored."""
    with connection.cursor() as cursor:
        cursor.execute(get("stored_reports.near"), {"day": f"{label[_DAY]}%"})
        return [found for (found,) in cursor]


def held_until(connection: Connection, label: str) -> datetime | None:
    """Return when what a report told may be told again; None if nothing of it is held back any more."""
    with connection.cursor() as cursor:
        cursor.execute(get("stored_reports.held_until"), {"label": label})
        until: datetime | None = cursor.fetchall()[0][0]
        return until and until.astimezone(UTC)


def sent(connection: Connection, label: str) -> bytes:
    """Return the headers of a report's mail, and some of what follows; empty if there is no mail."""
    with connection.cursor() as cursor:
        cursor.execute(get("stored_reports.sent"), {"label": label})
        rows = cursor.fetchall()
        return bytes(rows[0][0]) if rows else b""
