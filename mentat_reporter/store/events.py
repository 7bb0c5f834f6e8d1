"""The events database: only ever read here."""

from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from mentat_reporter.core.idea import StoredEvent
from mentat_reporter.core.model import Severity
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.queries import get

BATCH: Final = 500
"""Rows a round trip; about a megabyte of messages, unless they are very large."""
IDS: Final = 1000
"""Events that are asked for at once by their ids."""


class Raw(NamedTuple):
    """A stored event with its message still in bytes; None: the message is missing."""

    stored: StoredEvent
    message: bytes | None


class Waiting(NamedTuple):
    """Events of a severity that are stored at or after `hi`."""

    severity: Severity
    events: int
    first: datetime
    last: datetime


class Ahead(NamedTuple):
    """What lies ahead of a run."""

    waiting: list[Waiting]
    timeless: int
    """Events with a storage time that no run reaches, such as `infinity`."""
    newest: datetime | None
    """When the newest of the others was stored."""


class Snapshot(NamedTuple):
    """The events database's transactions when a window opens; None where it is not known."""

    xmin: str | None
    own_xid: str | None


UNKNOWN: Final = Snapshot(None, None)


def naive(time: datetime) -> datetime:
    """Return the UTC time without zone, as the `timestamp` columns of Mentat have it."""
    return time.astimezone(UTC).replace(tzinfo=None)


def _raw(row: tuple[Any, ...]) -> Raw:
    message = row[8]
    return Raw(StoredEvent(*row[:8]), None if message is None else bytes(message))


def stream(
    connection: Connection, severity: Severity, lo: datetime, hi: datetime, *, test_data: bool
) -> Generator[Raw, None, None]:
    """Yield the events of a severity stored in `[lo, hi)` that name a group, in no particular order."""
    parameters = {"severity": severity, "lo": naive(lo), "hi": naive(hi), "test": test_data}
    with connection, connection.cursor(name="events") as cursor:
        cursor.itersize = BATCH
        cursor.execute(get("events.stream"), parameters)
        yield from map(_raw, cursor)


def by_ids(connection: Connection, ids: Sequence[str]) -> Iterator[Raw]:
    """Yield the events with these ids, in no particular order; those that are gone are left out."""
    for begin in range(0, len(ids), IDS):
        with connection, connection.cursor() as cursor:
            cursor.execute(get("events.by_ids"), {"ids": list(ids[begin : begin + IDS])})
            rows = cursor.fetchall()
        yield from map(_raw, rows)


def ahead(connection: Connection, hi: datetime) -> Ahead:
    """Return what is stored at or after `hi`, and how far storage times go."""
    with connection, connection.cursor() as cursor:
        cursor.execute(get("events.ahead"), {"hi": naive(hi)})
        rows = cursor.fetchall()
    [(_, timeless, _, newest)] = (row for row in rows if row[0] is None)
    return Ahead([Waiting(*row) for row in rows if row[0] is not None], timeless, newest)


def elsewhere(connection: Connection) -> str | None:
    """Say where events are stored, if by other servers' transactions than those that `snapshot` tells of."""
    with connection, connection.cursor() as cursor:
        cursor.execute(get("events.elsewhere"))
        [(replica, spread)] = cursor.fetchall()
    if replica:
        return "a read-only replica"
    return "spread over several servers" if spread else None


def snapshot(connection: Connection) -> Snapshot:
    """Take the snapshot that opens a window (docs/reliability.md)."""
    with connection, connection.cursor() as cursor:
        cursor.execute(get("events.snapshot"))
        return Snapshot(*cursor.fetchall()[0])
