"""Windows, ledger, thresholds, failed units and quarantine: the schema `mentat_reporter`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from mentat_reporter.core.model import Direction, Held, Problem, Severity, Threshold, ThresholdTimes, Window
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.events import Snapshot
from mentat_reporter.store.queries import get

RESTORED: Final = timedelta(hours=24)
"""How far back a restored events database is read again (RELIABILITY section 3)."""


class ClockState(NamedTuple):
    """What a clock has covered for a severity."""

    first_lo: datetime
    last_hi: datetime
    open_window: int | None


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


class Retry(NamedTuple):
    """A failed unit. `next_attempt` None: given up."""

    unit: Unit
    window: Window
    attempts: int
    next_attempt: datetime | None
    error: str


class Expired(NamedTuple):
    """A threshold that has run out, with what was held since it was set."""

    threshold: Threshold
    held: list[Held]


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


def clocks(connection: Connection) -> dict[tuple[str, Severity], ClockState]:
    with connection.cursor() as cursor:
        cursor.execute(get("state.clocks"))
        return {(row[0], row[1]): ClockState(*row[2:]) for row in cursor}


def _fetch_from(connection: Connection, window: Window, first_lo: datetime, margin: timedelta) -> datetime:
    """Return where a window that follows others begins to fetch (RELIABILITY section 3, as written there)."""
    parameters = {"clock": window.clock, "severity": window.severity}
    with connection.cursor() as cursor:
        cursor.execute(get("state.horizon"), parameters)
        rows = cursor.fetchall()
    horizon = rows[0][0] if rows and rows[0][0] is not None else window.lo
    return max(first_lo, min(window.lo, horizon) - margin)


def _is_restored(connection: Connection, window: Window, snapshot: Snapshot) -> bool:
    if snapshot.own_xid is None:
        return False
    with connection.cursor() as cursor:
        cursor.execute(get("state.newest_xid"), {"clock": window.clock, "severity": window.severity})
        newest = cursor.fetchall()[0][0]
    return newest is not None and int(newest) > int(snapshot.own_xid)


def fetch_lo(
    connection: Connection, window: Window, known: ClockState | None, snapshot: Snapshot, margin: timedelta
) -> datetime:
    """Return where a new window begins to fetch; a clock's first window fetches from `lo`."""
    if known is None:
        return window.lo
    since = _fetch_from(connection, window, known.first_lo, margin)
    if _is_restored(connection, window, snapshot):
        since = max(known.first_lo, min(since, window.lo - RESTORED))
    return since


def open_window(
    connection: Connection, window: Window, known: ClockState | None, snapshot: Snapshot, margin: timedelta
) -> OpenWindow:
    """Store a window as open, in the caller's transaction; an open one of its clock makes that fail."""
    window = window._replace(fetch_lo=fetch_lo(connection, window, known, snapshot, margin))
    with connection.cursor() as cursor:
        parameters = {**window._asdict(), "snap_xmin": snapshot.xmin, "own_xid": snapshot.own_xid}
        cursor.execute(get("state.open_window"), parameters)
        row_id: int = cursor.fetchall()[0][0]
    return _with_next(connection, window, row_id, known.first_lo if known else window.lo, margin)


def _with_next(
    connection: Connection, window: Window, row_id: int, first_lo: datetime, margin: timedelta
) -> OpenWindow:
    follower = window._replace(lo=window.hi)
    return OpenWindow(window, row_id, _fetch_from(connection, follower, first_lo, margin))


def resume_window(connection: Connection, row_id: int, first_lo: datetime, margin: timedelta) -> OpenWindow:
    """Return a window that a run left open, with the bounds that it had."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.window"), {"id": row_id})
        window = Window(*cursor.fetchall()[0])
    return _with_next(connection, window, row_id, first_lo, margin)._replace(resumed=True)


def close_window(connection: Connection, opened: OpenWindow) -> None:
    with connection.cursor() as cursor:
        cursor.execute(get("state.close_window"), {"id": opened.id})


def drop_clock(connection: Connection, window: Window) -> None:
    """Forget a clock that its group has given up, when the common one has come as far."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.drop_clock"), {"clock": window.clock, "severity": window.severity})


def units_done(connection: Connection, opened: OpenWindow) -> set[tuple[str, Direction]]:
    with connection.cursor() as cursor:
        cursor.execute(get("state.units_done"), {"window": opened.id})
        return set(cursor.fetchall())


def unit_done(connection: Connection, opened: OpenWindow, unit: Unit) -> None:
    with connection.cursor() as cursor:
        parameters = {"window": opened.id, "group": unit.group, "direction": unit.direction}
        cursor.execute(get("state.unit_done"), parameters)


def considered(
    connection: Connection, severity: Severity, since: datetime
) -> set[tuple[Direction, str, str]]:
    """Return direction, group and event id of what was decided before and may be fetched again."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.considered"), {"severity": severity, "since": since})
        return set(cursor.fetchall())


def consider(connection: Connection, unit: Unit, events: Mapping[str, datetime], since: datetime) -> None:
    """Write the ledger: ids by storage time. Only what a later window can fetch again needs a row."""
    rows = {event_id: time for event_id, time in events.items() if time >= since}
    if rows:
        parameters = {**unit._asdict(), "ids": list(rows), "times": list(rows.values())}
        with connection.cursor() as cursor:
            cursor.execute(get("state.consider"), parameters)


def forget_considered(connection: Connection, opened: OpenWindow, own: Sequence[str]) -> None:
    parameters = {
        "severity": opened.window.severity,
        "clock": opened.window.clock,
        "own": list(own),
        "before": opened.next_fetch_lo,
    }
    with connection.cursor() as cursor:
        cursor.execute(get("state.forget_considered"), parameters)


def _columns(problems: Iterable[Problem]) -> dict[str, list[Any]]:
    distinct = list(dict.fromkeys(problems))
    return {
        "shadows": [problem.shadow for problem in distinct],
        "classes": [problem.event_class for problem in distinct],
        "sources": [problem.address for problem in distinct],
    }


def thresholds(connection: Connection, unit: Unit, problems: Iterable[Problem]) -> dict[Problem, Threshold]:
    """Return the thresholds of these problems, as they are before the window."""
    parameters = {**unit._asdict(), **_columns(problems)}
    with connection.cursor() as cursor:
        cursor.execute(get("state.thresholds"), parameters)
        return {Problem(*row[:3]): Threshold(*row[3:]) for row in cursor}


def expired(connection: Connection, unit: Unit, hi: datetime) -> dict[Problem, Expired]:
    """Return the unit's thresholds that have run out by `hi`, with what they held."""
    found: dict[Problem, Expired] = {}
    with connection.cursor() as cursor:
        cursor.execute(get("state.expired"), {**unit._asdict(), "hi": hi})
        for row in cursor:
            entry = found.setdefault(Problem(*row[:3]), Expired(Threshold(*row[3:7]), []))
            if row[7] is not None:
                entry.held.append(Held(*row[7:]))
    return found


def relapsing(
    connection: Connection, severity: Severity, clock: str, own: Sequence[str], hi: datetime
) -> list[tuple[str, Direction]]:
    """Return the groups and directions of a clock with a problem that may have relapsed by `hi`."""
    parameters = {"severity": severity, "clock": clock, "own": list(own), "hi": hi}
    with connection.cursor() as cursor:
        cursor.execute(get("state.relapsing"), parameters)
        return cursor.fetchall()


def renew(connection: Connection, unit: Unit, labels: Mapping[Problem, str], times: ThresholdTimes) -> None:
    """Set the thresholds of problems, each with the label of the report that tells of it."""
    parameters = {**unit._asdict(), **_columns(labels), **times._asdict(), "labels": list(labels.values())}
    with connection.cursor() as cursor:
        cursor.execute(get("state.renew"), parameters)


def forget_held(connection: Connection, unit: Unit, problems: Iterable[Problem], hi: datetime) -> None:
    """Forget what was held under problems before `hi`, when they have been told again."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.forget_held"), {**unit._asdict(), **_columns(problems), "hi": hi})


def hold(connection: Connection, unit: Unit, held: Mapping[Problem, Sequence[Held]]) -> None:
    """Keep events under the problems that hold them back."""
    rows = [(problem, event) for problem, events in held.items() for event in events]
    if rows:
        parameters = {
            **unit._asdict(),
            "ids": [event.event_id for _, event in rows],
            "times": [event.createtime for _, event in rows],
            "shadows": [problem.shadow for problem, _ in rows],
            "classes": [problem.event_class for problem, _ in rows],
            "sources": [problem.address for problem, _ in rows],
        }
        with connection.cursor() as cursor:
            cursor.execute(get("state.hold"), parameters)


def forget_thresholds(connection: Connection, window: Window, own: Sequence[str]) -> None:
    """Delete what ran out below the watermark of its clock, after the relapse search."""
    parameters = {
        "severity": window.severity,
        "clock": window.clock,
        "own": list(own),
        "watermark": window.hi,
    }
    with connection.cursor() as cursor:
        cursor.execute(get("state.forget_thresholds"), parameters)


def retries(connection: Connection, severity: Severity) -> list[Retry]:
    """Return the failed units of a severity, oldest window first."""
    with connection.cursor() as cursor:
        cursor.execute(get("state.retries"), {"severity": severity})
        return [
            Retry(
                Unit(group, severity, direction),
                Window(clock, severity, lo, hi, since, period),
                *rest,
            )
            for group, direction, clock, lo, hi, since, period, *rest in cursor
        ]


def retry_later(connection: Connection, retry: Retry) -> None:
    window = retry.window
    parameters = {
        **retry.unit._asdict(),
        **window._asdict(),
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
