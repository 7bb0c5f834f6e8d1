"""The commands report and deliver.

docs/reliability.md gives the order.
"""

import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from difflib import get_close_matches
from typing import Final

from mentat_reporter import dispatch
from mentat_reporter.clocks import Clocks
from mentat_reporter.core.model import Severity
from mentat_reporter.core.window import DEFAULT_TIMING, next_run
from mentat_reporter.errors import FilesError, ReporterError, UsageError
from mentat_reporter.filing.lists import write_index
from mentat_reporter.filters.patience import limited
from mentat_reporter.outside import REAL, Outside
from mentat_reporter.result import RunResult
from mentat_reporter.rounds import retry_units, run_round
from mentat_reporter.session import Progress, Session, opened
from mentat_reporter.settings import Settings
from mentat_reporter.store import events, state
from mentat_reporter.store.connection import explained, transaction
from mentat_reporter.store.outbox import Outbox

STALE: Final = timedelta(hours=24)
"""A newest event older than this is worth a warning (docs/reliability.md)."""
KEEP_WINDOWS: Final = timedelta(days=30)


@contextmanager
def few_collections() -> Iterator[None]:
    """Spare the collector: decoding makes garbage that reference counting frees."""
    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def report(
    settings: Settings, logger: logging.Logger, progress: Progress, outside: Outside = REAL
) -> RunResult:
    """Report what is due, store it, and deliver.

    Raises LockBusyError when another run is at work, StoreError when a database cannot be used,
    LostDatabaseError when it went away; what one group, filter, template or event causes is named in the
    result and stops nobody else.
    """
    with opened(settings, logger, progress, outside) as session, few_collections(), limited():
        session.lasting(lambda: _report(session))
        return session.result


def _report(session: Session) -> None:
    """Do all of a run. What an earlier call did that lost its connection is found done, and left alone."""
    settings = session.settings
    drains = settings.moves_state
    check_groups(session, settings.run.groups)
    if drains or session.mail_ids:
        dispatch.recover(session, None if drains else session.mail_ids)
    waited = drains and dispatch.deliver(session, None)
    clocks = work_due(session)
    if session.writes and (waited or session.mail_ids):
        dispatch.deliver(session, None if drains else session.mail_ids)
    write_index(session)
    if drains:
        dispatch.tell_admin(session)
        with transaction(session.main):
            state.forget_windows(session.main, session.now - KEEP_WINDOWS)
    dispatch.sum_up(session)
    session.keep_quarantine()
    session.logger.info("run summary: %s", session.result.log_line())
    if settings.run.regular:
        _tell_waiting(session, clocks)


def work_due(session: Session) -> Clocks:
    """Work what is due, the most urgent first, as long as there is time."""
    clocks = Clocks(session)
    for severity in session.settings.run.severities:
        if not _work(session, clocks, severity):
            break
    session.name_rule_failures()
    return clocks


def _work(session: Session, clocks: Clocks, severity: Severity) -> bool:
    """Work what is due of a severity; False when the run's time is over.

    What its events or its state meet stops no other severity: its window stays open for the next run.
    """
    try:
        if session.moves_state:
            retry_units(session, severity)
        return all(run_round(session, clocks, current) for current in clocks.rounds(severity))
    except Exception as error:
        if session.is_cut_off or (isinstance(error, ReporterError) and not isinstance(error, FilesError)):
            raise
        session.logger.debug("traceback of %s", severity, exc_info=True)
        session.fail(f"{severity} events cannot be worked: {explained(error)}")
        return True


def check_groups(session: Session, names: Sequence[str]) -> None:
    """Raise UsageError for groups on the command line that there are not."""
    known = names and session.today.house.groups
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise UsageError(f"--abuse-group {name}: there is no enabled abuse group of that name{hint}")


def deliver(
    settings: Settings, logger: logging.Logger, progress: Progress, outside: Outside = REAL
) -> RunResult:
    """Drain the outbox and nothing else; raises what `report` does."""
    if settings.mail.test_mode:
        raise UsageError("deliver sends what waits to its own recipients; leave out --mail-test-mode")
    with opened(settings, logger, progress, outside) as session:
        session.lasting(lambda: _drain(session))
        return session.result


def _drain(session: Session) -> None:
    if session.writes:
        dispatch.recover(session, None)
        dispatch.deliver(session, None)
        dispatch.tell_admin(session)
        dispatch.sum_up(session)
        session.keep_quarantine()
    else:
        due = Outbox(session.main).due(session.now)
        session.result.plans.append(f"{len(due)} mails would be tried")
    session.logger.info("run summary: %s", session.result.log_line())


def _tell_waiting(session: Session, clocks: Clocks) -> None:
    """Say how many stored events this run was too early for, and which run takes them."""
    run = session.settings.run
    ahead = events.ahead(session.events, clocks.hi)
    for waiting in ahead.waiting:
        if waiting.severity not in DEFAULT_TIMING:
            continue
        known = clocks.known.get(("", waiting.severity))
        period = DEFAULT_TIMING[waiting.severity].period
        first = next_run(waiting.first, known.last_hi if known else None, period, run.interval)
        last = next_run(waiting.last, first, period, run.interval) if waiting.last >= first else first
        until = f" to {last:%Y-%m-%d %H:%M}" if last != first else ""
        text = (
            f"{waiting.events:,} {waiting.severity} events are newer than this run's "
            f"{clocks.hi:%Y-%m-%d %H:%M} UTC; the run at {first:%Y-%m-%d %H:%M}{until} UTC takes them"
        )
        session.result.notes.append(text)
        session.logger.info("%s", text)
    if ahead.timeless:
        session.fail(
            f"{ahead.timeless} events have a storage time after the year 9000, which no run reaches: correct "
            "events.storagetime"
        )
    newest = ahead.newest
    if newest is not None and clocks.hi - newest > STALE:
        session.logger.warning(
            "the newest event was stored at %s, over a day before this run's %s: do events still come in?",
            newest.isoformat(), clocks.hi.isoformat(),
        )  # fmt: skip
