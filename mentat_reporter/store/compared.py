"""Stored reports, as `--compare` needs them."""

from datetime import UTC, datetime

from mentat_reporter.core.compare import Stored
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.events import naive
from mentat_reporter.store.queries import get


def reports(connection: Connection, since: datetime, lo: datetime, hi: datetime) -> list[Stored]:
    """Return the reports whose windows end in `(since, hi]`, oldest first; of those up to `lo` no events."""
    bounds = {"since": naive(since), "lo": naive(lo), "hi": naive(hi)}
    with connection.cursor() as cursor:
        cursor.execute(get("compare.reports"), bounds)
        return [
            Stored(
                label, kind, severity, shadow, begun.astimezone(UTC), ended.astimezone(UTC), tuple(groups),
                frozenset(ids), frozenset((event_class, address) for event_class, address in problems),
            )
            for label, kind, severity, shadow, begun, ended, groups, ids, problems in cursor
        ]  # fmt: skip
