"""`--compare`: what this reporter would have told in a past time, beside what the stored reports told.

It changes nothing: databases are opened read-only, there is no lock, and nothing is rendered. docs/mentat.md.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from mentat_reporter.core.compare import Causes, Key, Line, Side, Stored, side_by_side
from mentat_reporter.core.model import SEVERITIES, Event, Severity
from mentat_reporter.core.window import timing_of
from mentat_reporter.deal import read_raw
from mentat_reporter.errors import MessageError
from mentat_reporter.filters.patience import limited
from mentat_reporter.outside import REAL, Outside, read_only
from mentat_reporter.rehearsal import Rehearsal
from mentat_reporter.result import Answer, table
from mentat_reporter.run import check_groups, few_collections, work_due
from mentat_reporter.session import Progress, Session, opened
from mentat_reporter.settings import RunSettings, Settings
from mentat_reporter.shelf import Shelf
from mentat_reporter.store import compared, events
from mentat_reporter.store.connection import transaction

EXAMPLES: Final = 3
"""Events that are named for each cause."""
PAGE: Final = 1000
"""Events that are looked at together."""
HEADER: Final = ("group, severity", "here: reports", "events", "Mentat: reports", "events", "same")


def compare(
    settings: Settings, logger: logging.Logger, progress: Progress, outside: Outside = REAL
) -> Answer:
    """Compare the time from `--time-low` to `--time-high`.

    Raises StoreError when a database cannot be used.
    """
    # of all groups, since reports are those of a chain; and however long it takes: nobody else waits for it
    run = replace(settings.run, groups=(), max_runtime=settings.run.max_runtime * 1000)
    looking = replace(settings, run=run)
    with (
        opened(looking, logger, progress, read_only(outside)) as session,
        few_collections(),
        limited(),
    ):
        lines = session.lasting(lambda: list(_compare(session, settings.run)))
        return Answer(lines, session.result.failures)


def _compare(session: Session, wanted: RunSettings) -> Iterator[str]:
    lo, hi = wanted.time_low, session.now
    if lo is None:
        raise AssertionError("settings_checks.py asks for it")
    check_groups(session, wanted.groups)
    stored = _stored(session, lo, hi)
    session.rehearsal = past = Rehearsal(stored, lo, session.today.groups)
    session.finished.clear()
    work_due(session)
    of_the_time = [report for report in stored if report.hi > lo]
    lines = side_by_side(past.told, _told(of_the_time))
    today = session.today
    causes = Causes(
        stored, past.held_by, today.groups, today.house.networks, today.rules, today.house.credibilities, lo
    )
    yield f"{lo:%Y-%m-%d %H:%M} to {hi:%Y-%m-%d %H:%M} UTC"
    yield from _mixed(of_the_time)
    yield from _said(session, [line for line in lines if _is_wanted(wanted, line.key)], causes)


def _told(stored: Iterable[Stored]) -> dict[Key, Side]:
    found: dict[Key, Side] = {}
    for report in stored:
        for key in report.whom():
            found.setdefault(key, Side()).add(report.event_ids)
    return found


def _stored(session: Session, lo: datetime, hi: datetime) -> list[Stored]:
    """Read the reports of the time, and those before it whose thresholds may reach into it."""
    longest = max(
        timing.threshold
        for group in (None, *session.today.groups.values())
        for severity in SEVERITIES
        if (timing := timing_of(group, severity, "source")).threshold is not None
    )
    with transaction(session.main):
        return compared.reports(session.main, lo - longest, lo, hi)


def _is_wanted(wanted: RunSettings, key: Key) -> bool:
    return key.severity in wanted.severities and (not wanted.groups or key.group in wanted.groups)


def _said(session: Session, lines: Sequence[Line], causes: Causes) -> Iterator[str]:
    """Yield the table, with the causes below each line that differs, and a sum."""
    if not lines:
        yield "nothing was reported, and nothing would have been"
        return
    shown = table(HEADER, [_cells(line) for line in lines])
    yield shown[0]
    differing = 0
    for line, text in zip(lines, shown[1:], strict=True):
        yield text
        found = list(_explained(session, line, causes))
        differing += bool(found)
        yield from found
    if differing:
        yield f"{differing} of {len(lines)} differ"
    else:
        yield "no difference"


def _mixed(stored: Sequence[Stored]) -> Iterator[str]:
    """Say that not all reports are another reporter's, where some are."""
    own = sum(report.is_own for report in stored)
    if 0 < own < len(stored):
        yield (
            f"{own:,} of the {len(stored):,} stored reports are this reporter's own, as runs make them with "
            "--mail-test-mode"
        )


def _cells(line: Line) -> tuple[str, int, int, int, int, int]:
    key = line.key
    name = f"{key.group}, {key.severity}" + (" target" if key.direction == "target" else "")
    return (
        name + (" shadow" if key.shadow else ""),
        line.here.reports, len(line.here.events), line.there.reports, len(line.there.events),
        len(line.here.events & line.there.events),
    )  # fmt: skip


def _explained(session: Session, line: Line, causes: Causes) -> Iterator[str]:
    for where, ids in (("here", line.only_here), ("Mentat", line.only_there)):
        counts: Counter[str] = Counter()
        examples: dict[str, list[str]] = {}
        for event_id, event in _events(session, sorted(ids), line.key.severity):
            if where == "here":
                cause = causes.only_here(line.key, event)
            else:
                cause = causes.only_there(line.key, event_id, event)
            counts[cause] += 1
            if counts[cause] <= EXAMPLES:
                examples.setdefault(cause, []).append(event_id)
        for cause, count in counts.most_common():
            more = ", …" if count > EXAMPLES else ""
            yield f"    only {where}, {count:,}: {cause} ({', '.join(examples[cause])}{more})"


def _events(session: Session, ids: Sequence[str], severity: Severity) -> Iterator[tuple[str, Event | None]]:
    """Yield events by id; None for those that are gone or cannot be read."""
    for begin in range(0, len(ids), PAGE):
        page = ids[begin : begin + PAGE]
        yield from _read(session, page, severity).items()


def _read(session: Session, ids: Iterable[str], severity: Severity) -> dict[str, Event | None]:
    shelf = Shelf()
    found: dict[str, Event | None] = dict.fromkeys(ids)
    for raw in events.by_ids(session.events, list(found)):
        try:
            found[raw.stored.id] = read_raw(session, raw, severity, shelf)
        except MessageError as error:
            session.logger.info("event %s: %s", raw.stored.id, error)
    return found
