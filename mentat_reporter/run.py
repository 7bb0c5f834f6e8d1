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

from mentat_reporter.clocks import Clocks
from mentat_reporter.core.window import DEFAULT_TIMING, next_run
from mentat_reporter.errors import UsageError
from mentat_reporter.result import RunResult
from mentat_reporter.rounds import retry_units, run_round
from mentat_reporter.session import Progress, Session, opened
from mentat_reporter.settings import Settings
from mentat_reporter.store import events, state
from mentat_reporter.store.connection import transaction
from mentat_reporter.store.outbox import Outbox

STALE: Final = timedelta(hours=24)
"""A newest event older than this is worth a warning (docs/reliability.md)."""
KEEP_WINDOWS: Final = timedelta(days=30)


@contextmanager
def _few_collections() -> Iterator[None]:
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


def report(settings: Settings, logger: logging.Logger, progress: Progress) -> RunResult:
    """Report what is due, store it, and deliver.

    Raises LockBusyError when another run is at work, StoreError when a database cannot be used; what
    one group, filter, template or event causes is named in the result and stops nobody else.
    """
    with opened(settings, logger, progress) as session, _few_collections():
        drains = settings.moves_state
        _check_groups(session)
        if drains:
            _recover(session)
            _deliver(session, None)
        clocks = Clocks(session)
        for severity in settings.run.severities:
            if session.moves_state:
                retry_units(session, severity)
            if not all(run_round(session, clocks, current) for current in clocks.rounds(severity)):
                break
        session.name_rule_failures()
        session.keep_quarantine()
        if session.writes:
            _deliver(session, None if drains else session.mail_ids)
        if drains:
            with transaction(session.main):
                state.forget_windows(session.main, session.now - KEEP_WINDOWS)
        logger.info("run summary: %s", session.result.log_line())
        if settings.run.regular:
            _tell_waiting(session, clocks)
        return session.result


def _check_groups(session: Session) -> None:
    """Raise UsageError for groups on the command line that there are not."""
    known = session.settings.run.groups and session.today.house.groups
    for name in session.settings.run.groups:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise UsageError(f"--abuse-group {name}: there is no enabled abuse group of that name{hint}")


def deliver(settings: Settings, logger: logging.Logger, progress: Progress) -> RunResult:
    """Drain the outbox and nothing else."""
    if settings.mail.test_mode:
        raise UsageError("deliver sends what waits to its own recipients; leave out --mail-test-mode")
    with opened(settings, logger, progress) as session:
        if session.writes:
            _recover(session)
            _deliver(session, None)
        else:
            due = Outbox(session.main).due(session.now)
            session.result.plans.append(f"{len(due)} mails would be tried")
        logger.info("run summary: %s", session.result.log_line())
        return session.result


def _recover(session: Session) -> None:
    """Free the mails that a killed run was sending."""
    recovered = Outbox(session.main).recover(session.now)
    if recovered.pending:
        session.logger.info("%d mails of an interrupted run wait again", recovered.pending)
    for label, message_id in recovered.held:
        session.fail(
            f"mail {message_id} of report {label} ended five runs; it is held, see docs/operations.md"
        )


def _deliver(session: Session, only: Sequence[int] | None) -> None:
    """Send what is due; of the mails in `only`, unless it is None."""
    outbox = Outbox(session.main)
    if (only is not None and not only) or not outbox.due(session.now, only):
        return
    # an idle run needs neither smtplib nor ssl
    from mentat_reporter.delivery.deliver import deliver as drain  # noqa: PLC0415
    from mentat_reporter.delivery.transports import make_transport  # noqa: PLC0415

    mail = session.settings.mail
    session.progress("delivering mail")
    done = drain(
        outbox,
        lambda: make_transport(mail),
        mail,
        session.now,
        log=session.logger,
        only=only,
        fallback=session.settings.reporter.fallback,
        deadline=session.out_of_time,
    )
    session.result.delivered.update(
        sent=done.sent, deferred=done.deferred, failed=done.failed, held=done.held, left=done.left
    )
    for alarm in done.alarms:
        session.result.fail(alarm)  # it stands in the log already
    if done.deferred or done.failed:
        session.fail(f"{done.deferred} mails were deferred and {done.failed} failed; the log says why")
    if done.left:
        session.result.notes.append(f"{done.left} mails are left for the next run")


def _tell_waiting(session: Session, clocks: Clocks) -> None:
    """Say how many stored events this run was too early for, and which run takes them."""
    run = session.settings.run
    for waiting in events.newer(session.events, clocks.hi):
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
    if lost := events.timeless(session.events):
        session.fail(
            f"{lost} events have a storage time after the year 9000, which no run reaches: correct "
            "events.storagetime"
        )
    newest = events.newest(session.events)
    if newest is not None and clocks.hi - newest > STALE:
        session.logger.warning(
            "the newest event was stored at %s, over a day before this run's %s: do events still come in?",
            newest.isoformat(), clocks.hi.isoformat(),
        )  # fmt: skip
