"""The state of Mentat's own reporter, read once, and put into the schema `mentat_reporter`.

Everything comes as sets: rows are streamed from one database and copied into temporary tables of the other.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.idea import one_line_class
from mentat_reporter.core.model import Severity
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.events import naive
from mentat_reporter.store.queries import get

PAGE: Final = 10_000
"""Rows that are in memory at once."""
MAIN_TABLES: Final = ("state_reporter",)
EVENT_TABLES: Final = ("thresholds", "events_thresholded")
JOINT: Final = "+++"
"""Between class and address in a key of Mentat's."""

Row = tuple[Any, ...]


class Own(NamedTuple):
    """What the reporter has of its own already."""

    has_windows: bool
    has_thresholds: bool


class Counts(NamedTuple):
    """What there was, and what of it was taken."""

    thresholds: int
    taken: int
    held: int
    held_taken: int
    reported: int
    """Thresholds whose report is stored."""


def lock(main: Connection) -> None:
    """Keep other imports out until the transaction ends."""
    with main.cursor() as cursor:
        cursor.execute(get("importing.lock"))


def tables(connection: Connection, names: Iterable[str]) -> dict[str, bool]:
    """Return which of these tables there are, each with whether it may be read."""
    with connection.cursor() as cursor:
        cursor.execute(get("mentat.tables"), {"tables": list(names)})
        return dict(cursor.fetchall())


def own_state(main: Connection) -> Own:
    with main.cursor() as cursor:
        cursor.execute(get("mentat.own_state"))
        return Own._make(cursor.fetchall()[0])


def taken_marks(main: Connection) -> dict[str, datetime]:
    """Return how far Mentat was, by severity, when its state was taken."""
    return _pairs(main, "taken_marks")


def marks(main: Connection) -> dict[str, datetime]:
    """Return how far Mentat is now, by severity."""
    return _pairs(main, "marks")


def latest_mark(main: Connection) -> datetime | None:
    """Return the end of the last window of Mentat's own reporter, of whatever severity."""
    with main.cursor() as cursor:
        cursor.execute(get("mentat.beside"))
        found: datetime | None = cursor.fetchall()[0][0]
        return found


def _pairs(main: Connection, query: str) -> dict[str, datetime]:
    with main.cursor() as cursor:
        cursor.execute(get(f"mentat.{query}"))
        return dict(cursor.fetchall())


def _do(main: Connection, *queries: str) -> None:
    with main.cursor() as cursor:
        for query in queries:
            cursor.execute(get(f"mentat.{query}"))


def forget(main: Connection) -> None:
    """Forget what was taken before."""
    _do(main, "forget_threshold", "forget_held", "forget_ledger", "forget_marks")


def stage(main: Connection) -> None:
    """Make the temporary tables; they end with the transaction."""
    _do(main, "stage")


def _pages(connection: Connection, query: str, parameters: Mapping[str, Any]) -> Iterator[list[Row]]:
    with connection.cursor(name="taken") as cursor:
        cursor.execute(get(f"mentat.{query}"), parameters)
        while rows := cursor.fetchmany(PAGE):
            yield rows


def _field(value: Any) -> str:
    if value is None:
        return "\\N"
    text = "{" + ",".join(map(_quoted, value)) + "}" if isinstance(value, list) else str(value)
    for plain, escaped in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return text


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _copy(
    source: Connection, query: str, main: Connection, table: str,
    change: Callable[[Row], Iterable[Row]], **parameters: Any,
) -> None:  # fmt: skip
    """Stream a query's rows into a temporary table, each as what `change` makes of it."""
    for rows in _pages(source, query, parameters):
        lines = ("\t".join(map(_field, made)) + "\n" for row in rows for made in change(row))
        with main.cursor() as cursor:
            cursor.copy_expert(f"copy {table} from stdin", io.StringIO("".join(lines)))


def _split(row: Row) -> list[Row]:
    """Part a key into class and address, which never has the joint in it."""
    event_class, _, address = row[0].rpartition(JOINT)
    return [(row[0], event_class, address, *row[1:])]


def read_thresholds(events: Connection, main: Connection) -> None:
    _copy(events, "thresholds", main, "taken_key", _split)
    _do(main, "analyze_keys")


def read_held(events: Connection, main: Connection) -> None:
    _copy(events, "held", main, "taken_held", lambda row: [row])


def read_seen(
    events: Connection, main: Connection, severity: Severity, until: datetime, margin: timedelta
) -> None:
    """Read which events lie within the margin before Mentat's last window ended."""

    def directions(row: Row) -> Iterable[Row]:
        sides = (("source", row[1]), ("target", row[2]))
        return [(row[0], severity, side, row[3]) for side, found in sides if found == severity]

    bounds = {"since": naive(until - margin), "until": naive(until)}
    _copy(events, "seen", main, "taken_seen", directions, severity=severity, **bounds)


def find_problems(main: Connection, ownership: Ownership) -> None:
    """Find the report of each threshold, and give it the key that it has here."""

    def problems(row: Row) -> Iterable[Row]:
        key, written, address, *times, label, severity, direction, shadow, groups = row
        try:
            parsed = parse_address(address)
        except ValueError:
            return  # counted with those whose report is not found
        shares = [
            (share.chain[0], share.text) for share in ownership.shares(parsed)
            if share.chain and share.chain[0] in groups
        ]  # fmt: skip
        # the networks have moved since, to nobody whom the report told: whoever it told is not told again
        owners = shares or [(group, parsed.text) for group in groups]
        for group, text in owners:
            yield (
                key, groups, group, severity, direction, shadow, one_line_class(written), text, *times, label
            )  # fmt: skip

    _copy(main, "told_by", main, "taken_problem", problems)
    _do(main, "index_problems")


def put_marks(main: Connection, found: Mapping[str, datetime], margin: timedelta) -> None:
    with main.cursor() as cursor:
        for severity, until in found.items():
            cursor.execute(
                get("mentat.put_mark"), {"severity": severity, "hi": until, "since": until - margin}
            )


def put(main: Connection) -> Counts:
    """Put what is staged into the reporter's own tables; marks are put before."""
    reported = _counts(main)[1]
    _do(main, "drop_expired", "put_thresholds", "put_held", "put_seen", "put_told")
    thresholds, taken, held, held_taken = _counts(main)
    return Counts(thresholds, taken, held, held_taken, reported)


def _counts(main: Connection) -> Row:
    with main.cursor() as cursor:
        cursor.execute(get("mentat.counts"))
        return cursor.fetchall()[0]
