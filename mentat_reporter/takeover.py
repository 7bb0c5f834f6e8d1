"""What `init` takes over of Mentat's own reporter, so that the first run goes on where that one ended.

Mentat's tables are only read. docs/mentat.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from mentat_reporter.core.model import SEVERITIES, URGENT_FIRST
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.errors import StoreError
from mentat_reporter.store import groups, mentat, state
from mentat_reporter.store.connection import Connection, explained, reading, transaction
from mentat_reporter.store.mentat import Counts

SHORTEST: Final = timedelta(seconds=1)
"""A window has a length, whatever the margin."""


def take_over(main: Connection, events: Connection, margin: timedelta) -> list[str]:
    """Take over what Mentat's reporter left, once, and say what; no line where there is no Mentat.

    All or nothing. `margin`: how far back the first run reads again for what became visible late. Raises
    StoreError, which names the table and the cure, where something may not be read.
    """
    try:
        with reading(events if events is not main else None), transaction(main):
            mentat.lock(main)
            return list(_take_over(main, events, max(margin, SHORTEST)))
    except StoreError:
        raise
    except Exception as error:
        raise explained(error) from error


def _take_over(main: Connection, events: Connection, margin: timedelta) -> Iterator[str]:
    there = _readable(main, "main", mentat.MAIN_TABLES) | _readable(events, "events", mentat.EVENT_TABLES)
    if not there:
        return
    own = mentat.own_state(main)
    if own.has_windows or own.has_thresholds:
        yield "Mentat's state is left alone: the reporter has its own, nothing to do"
        return
    marks = mentat.marks(main) if "state_reporter" in there else {}
    before = mentat.taken_marks(main)
    if before and before == marks:
        yield "Mentat's state was taken over before, and Mentat has not run since: nothing to do"
        return
    if before:
        yield "Mentat has run since its state was taken over: it is taken anew"
    mentat.forget(main)
    counts = _put(main, events, marks, margin, has_thresholds=set(mentat.EVENT_TABLES) <= there)
    yield from _marks_lines(marks, has_table="state_reporter" in there)
    yield from _threshold_lines(counts, set(mentat.EVENT_TABLES) - there)


def _readable(connection: Connection, what: str, names: Iterable[str]) -> set[str]:
    found = mentat.tables(connection, names)
    for name, may_read in found.items():
        if not may_read:
            user = connection.info.user
            raise StoreError(
                f"the role {user} may not read {name} in the {what} database ({connection.info.dbname}): "
                f'grant select on {name} to "{user}", see docs/mentat.md; then run `init` again'
            )
    return set(found)


def _put(
    main: Connection, events: Connection, marks: Mapping[str, datetime], margin: timedelta, *,
    has_thresholds: bool,
) -> Counts:  # fmt: skip
    mentat.stage(main)
    mentat.put_marks(main, marks, margin)
    if has_thresholds:
        mentat.read_thresholds(events, main)
        mentat.read_held(events, main)
        house = groups.load(main, state.now(main))
        mentat.find_problems(main, Ownership(house.networks))
    for severity in SEVERITIES:
        if severity in marks:
            mentat.read_seen(events, main, severity, marks[severity], margin)
    return mentat.put(main)


def _marks_lines(marks: Mapping[str, datetime], *, has_table: bool) -> Iterator[str]:
    if not marks:
        why = "Mentat's reporter has not run yet" if has_table else "this Mentat has no table state_reporter"
        yield f"no watermarks taken over: {why}; the first run covers one period"
    for severity in URGENT_FIRST:
        if severity in marks:
            yield (
                f"{severity}: Mentat's reporter is done up to {marks[severity]:%Y-%m-%d %H:%M:%S} UTC, "
                "the first run goes on there"
            )


def _threshold_lines(counts: Counts, missing: set[str]) -> Iterator[str]:
    if missing:
        yield f"no thresholds taken over: the events database has no {' and no '.join(sorted(missing))}"
        return
    yield f"took over {counts.taken:,} of Mentat's {counts.thresholds:,} thresholds"
    gone, over = counts.thresholds - counts.reported, counts.reported - counts.taken
    if over:
        yield f"left {over:,} thresholds that have run out"
    if gone:
        yield (
            f"left {gone:,} thresholds of which no report says whose they are: their problems are told "
            "once more if they go on"
        )
    yield f"took over {counts.held_taken:,} of {counts.held:,} events that these hold back"
    if counts.held_taken < counts.held:
        yield "left the others: their threshold is gone, or was set for another group or severity"
