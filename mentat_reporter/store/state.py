"""Windows, ledger, failed units and quarantine: the schema `mentat_reporter`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from mentat_reporter.core.ledger import Decided
from mentat_reporter.core.model import Direction, Severity, Window
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.events import UNKNOWN, Snapshot
from mentat_reporter.store.queries import get

RESTORED: Final = timedelta(hours=24)
"""How far back a restored events database is read again (docs/reliability.md)."""
LEDGER_PAGE: Final = 50_000
"""Rows of the ledger a statement, whose text is in memory several times."""


class ClockState(NamedTuple):
    """What a clock has covered for a severity: it never fetches anything stored before `first_fetch`."""

    clock: str
    first_fetch: datetime
    last_hi: datetime
    open_window: int | None


class Beside(NamedTuple):
    """What is known of another reporter on these databases: Mentat's own."""

    covered: datetime | None
    """Up to when this reporter, or the one before it, has covered all."""
    told: datetime | None
    """The end of the newest window that the other one made a report for, if it is news."""
    is_taken: bool
    """What is covered was taken over; nothing was done since."""
    has_marks: bool
    """Whether the other one keeps how far it is."""

    def is_ahead(self, mark: datetime | None) -> bool:
        """Tell whether a mark of the other one says that it works what this one does."""
        if mark is None or self.covered is None:
            return False
        return mark > self.covered or (mark == self.covered and not self.is_taken)


class Unit(NamedTuple):
    """One transaction's work: what a group is told of a severity and direction in one window."""

    group: str
    severity: Severity
    direction: Direction


class OpenWindow(NamedTuple):
    """A window with its row, if it has one, and where the next window will begin to fetch."""

    window: Window
    id: int | None
    next_fetch_lo: datetime
    resumed: bool = False
    """Left open by an earlier run, some of its units may be done."""
    is_first: bool = False
    """The first of its clock: what was stored before it belongs to the common clock's windows."""


class Before(NamedTuple):
    """What is to be known before windows are worked."""

    decided: list[Decided]
    """Events that were decided before and may be fetched again."""
    relapsing: list[tuple[str, Direction]]
    """The groups and directions with a problem that may have relapsed by the end of their window."""
    outruns_ledger: bool
    """Whether a window reads what the ledger forgot: after a restored backup, or a clock set back."""


class Retry(NamedTuple):
    """A failed unit with the events that it owes. `next_attempt` None: given up."""

    unit: Unit
    window: Window
    event_ids: Sequence[str]
    attempts: int
    next_attempt: datetime | None
    error: str


def now(connection: Connection) -> datetime:
    """Return the database's clock in aware UTC."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.now"))
        moment: datetime = cursor.fetchall()[0][0]
        return moment.astimezone(UTC)


def try_lock(connection: Connection) -> bool:
    """Take the advisory lock that keeps runners of other hosts out; it lasts as long as the connection."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.lock"))
        return bool(cursor.fetchall()[0][0])


def join_lock(connection: Connection) -> None:
    """Take the lock that a run's processes share, in the process that has this connection."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.join_lock"))


def clocks(connection: Connection) -> tuple[dict[tuple[str, Severity], ClockState], Beside]:
    """Return what each clock has covered, and what is known of another reporter."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.clocks"))
        *rows, (_, _, _, until, _, *beside) = sorted(cursor.fetchall(), key=lambda row: row[0] is None)
    return {(row[0], row[1]): ClockState(row[0], *row[2:5]) for row in rows}, Beside(until, *beside)


def _fetch_from(
    connection: Connection, window: Window, first_fetch: datetime, margin: timedelta, snapshot: Snapshot
) -> datetime:
    """Return where a window that follows others begins to fetch (docs/reliability.md)."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.horizon"), window._asdict())
        [(horizon, last_xid)] = cursor.fetchall() or [(None, None)]
    since = max(first_fetch, min(window.lo, horizon or window.lo) - margin)
    if last_xid and snapshot.own_xid and int(last_xid) > int(snapshot.own_xid):
        return max(first_fetch, min(since, window.lo - RESTORED))
    return since


def fetch_lo(
    connection: Connection, window: Window, follows: ClockState | None, snapshot: Snapshot, margin: timedelta
) -> datetime:
    """Return where a new window begins to fetch; one that follows no other fetches from `lo`."""
    if follows is None:
        return window.lo
    return _fetch_from(
        connection, window._replace(clock=follows.clock), follows.first_fetch, margin, snapshot
    )


def open_window(
    connection: Connection, window: Window, follows: ClockState | None, snapshot: Snapshot, margin: timedelta
) -> OpenWindow:
    """Store a window as open, in the caller's transaction; an open one of its clock makes that fail.

    `follows` is the clock whose windows end where this one begins: its own, or the common one when a group
    begins a clock of its own.
    """
    window = window._replace(fetch_lo=fetch_lo(connection, window, follows, snapshot, margin))
    with connection.cursor() as cursor:
        parameters = {**window._asdict(), "snap_xmin": snapshot.xmin, "own_xid": snapshot.own_xid}
        cursor.execute(get("state.open_window"), parameters)
        row_id: int = cursor.fetchall()[0][0]
    is_first = follows is None or follows.clock != window.clock
    first_fetch = window.fetch_lo if is_first or follows is None else follows.first_fetch
    return _with_next(connection, window, row_id, first_fetch, margin)._replace(is_first=is_first)


def _with_next(
    connection: Connection, window: Window, row_id: int, first_fetch: datetime, margin: timedelta
) -> OpenWindow:
    follower = window._replace(lo=window.hi)
    return OpenWindow(window, row_id, _fetch_from(connection, follower, first_fetch, margin, UNKNOWN))


def resume_window(connection: Connection, known: ClockState, row_id: int, margin: timedelta) -> OpenWindow:
    """Return a window that a run left open, with the bounds that it had."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.window"), {"id": row_id})
        window = Window(*cursor.fetchall()[0])
    opened = _with_next(connection, window, row_id, known.first_fetch, margin)
    return opened._replace(resumed=True, is_first=known.first_fetch == window.fetch_lo)


def set_back(connection: Connection, now: datetime, since: datetime) -> None:
    """Note that the clock was set back to `now`: the next windows fetch from `since` on at the latest."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.set_back"), {"now": now, "since": since})


def close_window(connection: Connection, opened: OpenWindow, own: Sequence[str]) -> None:
    """Mark a window done, and purge what ran out with it, after the relapse search.

    `own`: the groups with clocks of their own for its severity.
    """
    parameters = {
        **opened.window._asdict(), "id": opened.id, "next_fetch_lo": opened.next_fetch_lo, "own": list(own),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(get("state.close_window"), parameters)


def drop_clock(connection: Connection, clock: str, severity: Severity) -> None:
    """Forget a clock that its group has given up, when the common one has come as far."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.drop_clock"), {"clock": clock, "severity": severity})


def decided(connection: Connection, opened: OpenWindow) -> list[Decided]:
    """Return what committed units of an open window decided."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.decided"), {"window": opened.id})
        return cursor.fetchall()


def unit_done(connection: Connection, opened: OpenWindow, unit: Unit, event_ids: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        parameters = {
            "window": opened.id,
            "group": unit.group,
            "direction": unit.direction,
            "event_ids": list(event_ids),
        }
        cursor.execute(get("state.unit_done"), parameters)


def before(
    connection: Connection,
    severity: Severity,
    since: datetime,
    windows: Iterable[OpenWindow] = (),
    own: Iterable[str] = (),
) -> Before:
    """Return what is to be known before windows of a severity are worked that fetch from `since` on.

    `own`: the groups with clocks of their own.
    """
    opened = list(windows)
    parameters = {
        "severity": severity,
        "since": since,
        "clocks": [each.window.clock for each in opened],
        "his": [each.window.hi for each in opened],
        "until": max((each.window.hi for each in opened), default=since),
        "ids": [each.id for each in opened],
        "own": list(own),
    }
    found = Before([], [], outruns_ledger=False)
    with connection.cursor() as cursor:
        cursor.execute(get("state.before"), parameters)
        for direction, name, ids in cursor.fetchall():
            if direction is None:
                found = found._replace(outruns_ledger=True)
            elif ids is None:
                found.relapsing.append((name, direction))
            else:
                found.decided.append((direction, name, ids))
    return found


def told(connection: Connection, severity: Severity, since: datetime) -> list[Decided]:
    """Return what units told, held or owe since a time."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.told"), {"severity": severity, "since": since})
        return cursor.fetchall()


def consider(
    connection: Connection, unit: Unit, events: Iterable[tuple[str, datetime]], since: datetime
) -> None:
    """Write the ledger: ids and storage times. Only what a later window can fetch again needs a row."""
    rows = (row for row in events if row[1] >= since)
    while page := list(islice(rows, LEDGER_PAGE)):
        ids, times = zip(*page, strict=True)
        parameters = {**unit._asdict(), "ids": list(ids), "times": list(times)}
        with connection.cursor() as cursor:
            cursor.execute(get("state.consider"), parameters)


def retries(connection: Connection) -> list[Retry]:
    """Return the failed units, oldest window first."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.retries"))
        return [
            Retry(
                Unit(group, severity, direction),
                Window(clock, severity, lo, hi, since, period),
                *rest,
            )
            for group, severity, direction, clock, lo, hi, since, period, *rest in cursor
        ]


def retry_later(connection: Connection, retry: Retry, *, is_retry: bool) -> None:
    """Keep a failed unit; `is_retry`: it was made again from this row, and owes no more than it had now."""
    window = retry.window
    parameters = {
        **retry.unit._asdict(),
        **window._asdict(),
        "is_retry": is_retry,
        "event_ids": list(retry.event_ids),
        "attempts": retry.attempts,
        "next_attempt": retry.next_attempt,
        "error": retry.error,
    }
    with connection.cursor() as cursor:
        cursor.execute(get("state.retry_later"), parameters)


def retry_done(connection: Connection, retry: Retry) -> None:
    with connection.cursor() as cursor:
        cursor.execute(get("state.retry_done"), {**retry.unit._asdict(), "hi": retry.window.hi})


def quarantine(connection: Connection, bad: Mapping[tuple[str, str], tuple[str, int]], now: datetime) -> None:
    """Keep what could not be used: error and count by kind and reference."""
    parameters = {
        "kinds": [kind for kind, _ in bad],
        "references": [reference for _, reference in bad],
        "errors": [error for error, _ in bad.values()],
        "counts": [count for _, count in bad.values()],
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(get("state.quarantine"), parameters)


def forget_windows(connection: Connection, before: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(get("state.forget_windows"), {"before": before})
