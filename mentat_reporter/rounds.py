"""One round: read the events of its windows once, deal them to units, work the units, close the windows."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mentat_reporter.clocks import COMMON, Clocks, Round
from mentat_reporter.core.intake import Intake
from mentat_reporter.core.ledger import Ledger
from mentat_reporter.core.model import DIRECTIONS, Severity
from mentat_reporter.deal import Deal
from mentat_reporter.errors import ReporterError, WorkerLostError
from mentat_reporter.session import Session
from mentat_reporter.shelf import Key
from mentat_reporter.store import state
from mentat_reporter.store.connection import transaction
from mentat_reporter.store.state import OpenWindow, Retry, Unit

RETRY_AFTER: Final = timedelta(minutes=10)
GIVE_UP: Final = 10
"""Failures after which a unit is kept for an operator (docs/reliability.md)."""
MAX_CUT_OFF: Final = 2
"""Connections lost at a unit in one run after which it has failed: perhaps it is what ends them."""


def _name(unit: Unit) -> str:
    return f"group {unit.group}, {unit.severity} {unit.direction}"


def _postpone(
    session: Session, unit: Unit, opened: OpenWindow, intake: Intake, attempts: int, error: str,
    *, is_retry: bool = False,
) -> None:  # fmt: skip
    """Keep a unit, with the events that it owes, for a later run; in a small transaction of its own."""
    given_up = attempts >= GIVE_UP
    next_attempt = None if given_up else session.now + RETRY_AFTER
    kept = Retry(unit, opened.window, list(intake.considered), attempts, next_attempt, error[:1000])
    with transaction(session.main):
        state.retry_later(session.main, kept, is_retry=is_retry)
        state.consider(session.main, unit, intake.considered.items(), opened.next_fetch_lo)
        if opened.id is not None:
            state.unit_done(session.main, opened, unit, intake.considered)
    if given_up:
        session.fail(_farewell(kept))


def _farewell(retry: Retry) -> str:
    return (
        f"{_name(retry.unit)} failed {retry.attempts} times for the window up to "
        f"{retry.window.hi:%Y-%m-%d %H:%M} UTC and is given up: {retry.error}; see docs/operations.md"
    )


def _attempt(
    session: Session, unit: Unit, opened: OpenWindow, intake: Intake, retry: Retry | None = None
) -> bool:
    """Work a unit; one that fails is rolled back, named, and tried again by a later run."""
    from mentat_reporter.unit import work  # noqa: PLC0415 - a quiet run renders nothing

    job = (unit, opened.window)
    if job in session.finished:
        return True
    if session.cut_off[job] >= MAX_CUT_OFF:
        _fail(session, unit, opened, intake, retry, "the connection was lost at it, repeatedly")
        session.take_heart()
        return False
    try:
        work(session, unit, opened, intake, retry)
    except Exception as error:  # whatever one unit meets, the others are served
        if session.is_cut_off:
            session.cut_off[job] += 1
            raise
        session.logger.debug("traceback of %s", _name(unit), exc_info=True)
        text = str(error).strip().partition("\n")[0]
        if not isinstance(error, ReporterError):
            text = f"{type(error).__name__}: {text}"
        _fail(session, unit, opened, intake, retry, text)
        return False
    return True


def _fail(
    session: Session, unit: Unit, opened: OpenWindow, intake: Intake, retry: Retry | None, text: str
) -> None:
    session.quarantine("group", _name(unit), text)
    if not session.moves_state:
        session.fail(f"{_name(unit)} failed: {text}")
        return
    attempts = (retry.attempts if retry else 0) + 1
    if attempts < GIVE_UP:
        session.fail(f"{_name(unit)} failed and will be tried again: {text}")
    _postpone(session, unit, opened, intake, attempts, text, is_retry=retry is not None)


def failed_units(session: Session, severity: Severity) -> list[Retry]:
    """Return the failed units of a severity, oldest window first, anew when there may be others."""
    if session.owed is None or session.owed or session.result.failures:
        session.owed = state.retries(session.main)
    return [retry for retry in session.owed if retry.unit.severity == severity]


class _RoundPlan:
    """Which unit is worked in which window of a round, and what was decided before."""

    def __init__(self, session: Session, clocks: Clocks, current: Round) -> None:
        self.windows = current.windows
        self.own = clocks.own(current.severity)
        self._wanted = frozenset(session.settings.run.groups)
        self._ledger = Ledger()
        self._told = Ledger()
        self.waiting: set[Key] = set()
        self.relapsing: list[Key] = []
        if session.thresholding:
            with transaction(session.main):
                self._read_state(session, current)
        elif session.rehearsal:
            self.relapsing = session.rehearsal.relapsing(current.severity, current.hi)

    def _read_state(self, session: Session, current: Round) -> None:
        main, severity = session.main, current.severity
        before = state.before(main, severity, current.fetch_lo, self.windows.values(), self.own)
        self._ledger.add(before.decided)
        self.relapsing = before.relapsing
        self.waiting = {
            (retry.unit.group, retry.unit.direction)
            for retry in failed_units(session, severity)
            if retry.next_attempt is not None
        }
        for opened in self.windows.values():
            if opened.resumed:
                self._ledger.add(state.decided(main, opened))
        if before.outruns_ledger:
            self._told.add(state.told(main, severity, current.fetch_lo))

    def clock_of(self, group: str) -> str:
        return group if group in self.own else COMMON

    def is_known(self, event_id: str, key: Key, moment: datetime) -> bool:
        """Tell whether an event was decided before: for this unit, or by a closed window of its clock.

        What an earlier window saw is not dealt again because a network has a new owner since. The units
        of a window that was left open take what they did not have.
        """
        group, direction = key
        clock = self.clock_of(group)
        if self._ledger.has(direction, group, event_id) or self._ledger.has(direction, clock, event_id):
            return True
        opened = self.windows.get(clock)
        if opened is None or moment >= opened.window.lo:
            return False
        dealt_in_common = opened.is_first and self._ledger.has(direction, COMMON, event_id)
        return dealt_in_common or self._told.has(direction, group, event_id)

    def window_of(self, key: Key) -> OpenWindow | None:
        if self._wanted and key[0] not in self._wanted:
            return None
        return self.windows.get(self.clock_of(key[0]))


def _close(session: Session, clocks: Clocks, plan: _RoundPlan, deal: Deal, severity: Severity) -> None:
    """Mark the windows done, and clean up what ran out, each in one transaction.

    What a window saw and a later one may fetch again goes into the ledger under its clock's name; for a
    group's own clock only as far as its margin, since it would be every event for every such group.
    """
    if not session.moves_state:
        return
    session.keep_quarantine()
    own = list(plan.own)
    margin = session.settings.reporter.late_margin
    for clock, opened in plan.windows.items():
        since = (
            opened.next_fetch_lo if clock == COMMON else max(opened.next_fetch_lo, opened.window.hi - margin)
        )
        with transaction(session.main):
            for direction in DIRECTIONS:
                state.consider(
                    session.main, Unit(clock, severity, direction), deal.seen_by(opened, direction), since
                )
            state.close_window(session.main, opened, own)
            if clock == COMMON and opened.window.hi == clocks.hi:
                for name in clocks.given_up(severity):
                    if clocks.known[name, severity].last_hi >= clocks.hi:
                        state.drop_clock(session.main, name, severity)


def run_round(session: Session, clocks: Clocks, current: Round) -> bool:
    """Do one round; False if the run's time was over before all units were worked."""
    plan = _RoundPlan(session, clocks, current)
    windows = current.windows.values()
    keep_from = min(opened.next_fetch_lo for opened in windows)
    deal = Deal(session, current.severity, plan, current.windows.get(COMMON), keep_from)
    deal.read(current.fetch_lo, current.hi)
    for key in plan.relapsing:
        if plan.window_of(key) is not None and key[0] in session.today.house.groups:
            deal.add_unit(key)
    known = session.result.windows
    known += [opened.window for opened in windows if opened.window not in known]
    session.result.add(current.severity, events=deal.events)
    if not _work_units(session, plan, deal, current.severity):
        return False
    _close(session, clocks, plan, deal, current.severity)
    return True


def _work_units(session: Session, plan: _RoundPlan, deal: Deal, severity: Severity) -> bool:
    """Work the units in order, at least one however little time is left; False if the time was over."""
    jobs = [(key, opened) for key in deal.units() if (opened := plan.window_of(key)) is not None]

    def work_one(number: int) -> None:
        key, opened = jobs[number]
        _work_unit(session, deal, Unit(key[0], severity, key[1]), opened, waits=key in plan.waiting)

    # What keeps no state has nothing by which to find what a lost process did; and what has ended a process
    # must not end the run.
    is_worth_it = session.settings.run.workers > 1 and (len(jobs) > 1 or bool(session.cut_off))
    if is_worth_it and session.moves_state:
        return _work_together(session, deal, severity, jobs, work_one)
    for number in range(len(jobs)):
        if number and session.out_of_time():
            session.stop_early()
            return False
        work_one(number)
    return True


def _work_together(
    session: Session, deal: Deal, severity: Severity, jobs: Sequence[tuple[Key, OpenWindow]],
    work_one: Callable[[int], None],
) -> bool:  # fmt: skip
    from mentat_reporter import crew  # noqa: PLC0415 - most runs are one process

    try:
        return crew.work(session, [deal.weight(key) for key, _ in jobs], work_one)
    except WorkerLostError as error:
        for number in error.units:
            key, opened = jobs[number]
            session.cut_off[Unit(key[0], severity, key[1]), opened.window] += 1
        session.lost_worker = True
        raise


def _work_unit(session: Session, deal: Deal, unit: Unit, opened: OpenWindow, *, waits: bool) -> None:
    intake = deal.take((unit.group, unit.direction))
    session.progress(f"{unit.severity}: {_name(unit)}")
    if waits and session.moves_state:
        _postpone(session, unit, opened, intake, 0, "waits for its earlier window")
        session.fail(f"{_name(unit)} waits: its earlier window failed")
    else:
        _attempt(session, unit, opened, intake)


class _RetryPlan(NamedTuple):
    """What one failed unit owes: to itself, or to whom its networks belong today."""

    unit: Unit
    opened: OpenWindow
    ledger: Ledger

    def window_of(self, key: Key) -> OpenWindow | None:
        return self.opened if key[1] == self.unit.direction else None

    def is_known(self, event_id: str, key: Key, moment: datetime) -> bool:
        del moment
        return key[0] not in ("", self.unit.group) and self.ledger.has(key[1], key[0], event_id)


def _again(session: Session, retry: Retry) -> bool:
    """Read the events that a failed unit owes, and work whatever units have them today, its own last."""
    unit, window = retry.unit, retry.window
    opened = OpenWindow(window, None, window.fetch_lo)
    with transaction(session.main):
        ledger = Ledger(state.before(session.main, unit.severity, window.fetch_lo).decided)
    deal = Deal(session, unit.severity, _RetryPlan(unit, opened, ledger), opened, window.hi)
    deal.read_again(retry.event_ids)
    session.result.add(unit.severity, events=deal.events)
    own = deal.take((unit.group, unit.direction))
    for key in deal.units():
        _attempt(session, Unit(key[0], unit.severity, key[1]), opened, deal.take(key))
    return _attempt(session, unit, opened, own, retry)


def retry_units(session: Session, severity: Severity) -> None:
    """Try failed units again, oldest window first; one that fails again keeps its later windows waiting.

    Units that were given up are named in every run until somebody looks at them.
    """
    with transaction(session.main):
        found = failed_units(session, severity)
    blocked: set[Unit] = set()
    for retry in found:
        if retry.next_attempt is None:
            session.fail(_farewell(retry))
            continue
        waits_only = retry.attempts == 0
        due = waits_only or retry.next_attempt <= session.now
        if retry.unit in blocked or not due or session.out_of_time() or not _again(session, retry):
            blocked.add(retry.unit)
