"""One round: read the events of its windows once, deal them to units, work the units, close the windows."""

from datetime import timedelta
from typing import Final, NamedTuple

from mentat_reporter.clocks import COMMON, Clocks, Round
from mentat_reporter.core.intake import Intake
from mentat_reporter.core.model import DIRECTIONS, Direction, Severity, Window
from mentat_reporter.deal import Deal, Key
from mentat_reporter.session import Session
from mentat_reporter.store import state
from mentat_reporter.store.connection import Connection, transaction
from mentat_reporter.store.state import OpenWindow, Retry, Unit

RETRY_AFTER: Final = timedelta(minutes=10)
GIVE_UP: Final = 10
"""Failures after which a unit is kept for an operator (RELIABILITY section 2)."""


def _name(unit: Unit) -> str:
    return f"group {unit.group}, {unit.severity} {unit.direction}"


def _postpone(session: Session, unit: Unit, opened: OpenWindow, attempts: int, error: str) -> None:
    """Keep a unit for a later run, in a small transaction of its own."""
    given_up = attempts >= GIVE_UP
    next_attempt = None if given_up else session.now + RETRY_AFTER
    with transaction(session.main):
        state.retry_later(session.main, Retry(unit, opened.window, attempts, next_attempt, error[:1000]))
        if opened.id is not None:
            state.unit_done(session.main, opened, unit)
    if given_up:
        session.fail(
            f"{_name(unit)} failed {attempts} times and is given up: {error}; see docs/operations.md"
        )


def _attempt(
    session: Session, unit: Unit, opened: OpenWindow, intake: Intake, retry: Retry | None = None
) -> bool:
    """Work a unit; one that fails is rolled back, named, and tried again by a later run."""
    from mentat_reporter.unit import work  # noqa: PLC0415 - a quiet run renders nothing

    try:
        work(session, unit, opened, intake, retry)
    except Exception as error:  # whatever one unit meets, the others are served
        if session.main.closed:
            raise
        session.logger.debug("traceback of %s", _name(unit), exc_info=True)
        text = f"{type(error).__name__}: {str(error).strip()}"
        session.fail(f"{_name(unit)} failed and will be tried again: {text}")
        session.quarantine("group", _name(unit), text)
        if session.moves_state:
            _postpone(session, unit, opened, (retry.attempts if retry else 0) + 1, text)
        return False
    return True


class _RoundPlan:
    """Which unit is worked in which window of a round, and what was decided before."""

    def __init__(self, session: Session, clocks: Clocks, current: Round) -> None:
        self.windows = current.windows
        self.own = clocks.own(current.severity)
        self._wanted = frozenset(session.settings.run.groups)
        self._ledger: set[tuple[Direction, str, str]] = set()
        self._done: set[Key] = set()
        self.waiting: set[Key] = set()
        self._given_up: dict[Key, list[Window]] = {}
        self.relapsing: list[Key] = []
        if session.thresholding:
            with transaction(session.main):
                self._read_state(session.main, current)

    def _read_state(self, main: Connection, current: Round) -> None:
        self._ledger = state.considered(main, current.severity, current.fetch_lo)
        for retry in state.retries(main, current.severity):
            key = (retry.unit.group, retry.unit.direction)
            if retry.next_attempt is None:
                self._given_up.setdefault(key, []).append(retry.window)
            else:
                self.waiting.add(key)
        for clock, opened in self.windows.items():
            if opened.resumed:
                self._done |= state.units_done(main, opened)
            self.relapsing += state.relapsing(main, current.severity, clock, list(self.own), opened.window.hi)

    def clock_of(self, group: str) -> str:
        return group if group in self.own else COMMON

    def is_known(self, event_id: str, key: Key) -> bool:
        """Tell whether an event was decided before: for this unit, or by a closed window of its clock.

        What an earlier window saw is not dealt again because a network has a new owner since.
        """
        group, direction = key
        return (direction, group, event_id) in self._ledger or (
            (direction, self.clock_of(group), event_id) in self._ledger
        )

    def remembering(self, key: Key, opened: OpenWindow) -> OpenWindow:
        """Return the window, so that the ledger also tells a unit that was given up what it decided."""
        begins = [kept.fetch_lo for kept in self._given_up.get(key, ()) if opened.window.fetch_lo < kept.hi]
        return opened._replace(next_fetch_lo=min([opened.next_fetch_lo, *begins]))

    def window_of(self, key: Key) -> OpenWindow | None:
        if key in self._done or (self._wanted and key[0] not in self._wanted):
            return None
        return self.windows.get(self.clock_of(key[0]))


def _close(session: Session, clocks: Clocks, plan: _RoundPlan, deal: Deal, severity: Severity) -> None:
    """Mark the windows done, and clean up what ran out, each in one transaction.

    What a window saw and a later one may fetch again goes into the ledger under its clock's name.
    """
    own = list(plan.own)
    given_up = clocks.given_up(severity)
    for clock, opened in plan.windows.items():
        if opened.id is None:
            continue
        with transaction(session.main):
            for direction in DIRECTIONS:
                intake = deal.intakes.get((clock, direction), Intake())
                seen = deal.seen_by(opened, direction, without=intake.considered)
                unit = Unit(clock, severity, direction)
                state.consider(session.main, unit, seen, opened.next_fetch_lo)
            state.close_window(session.main, opened)
            state.forget_thresholds(session.main, opened.window, own)
            state.forget_considered(session.main, opened, own)
            if clock in given_up and opened.window.hi == clocks.hi:
                state.drop_clock(session.main, opened.window)


def run_round(session: Session, clocks: Clocks, current: Round) -> bool:
    """Do one round; False if the run's time was over before all units were worked."""
    plan = _RoundPlan(session, clocks, current)
    windows = current.windows.values()
    keep_from = min(opened.next_fetch_lo for opened in windows)
    deal = Deal(session, current.severity, plan, current.windows.get(COMMON), keep_from)
    deal.read(current.fetch_lo, current.hi)
    for key in plan.relapsing:
        if plan.window_of(key) is not None and key[0] in session.today.groups:
            deal.intakes.setdefault(key, Intake())
    session.result.windows += [opened.window for opened in windows]
    considered = {event_id for intake in deal.intakes.values() for event_id in intake.considered}
    session.result.add(current.severity, events=len(considered))
    for key, intake in sorted(deal.intakes.items()):
        if session.out_of_time():
            session.logger.warning("out of time (--max-runtime); the next run goes on here")
            return False
        opened = plan.window_of(key)
        if opened is None:
            continue
        unit = Unit(key[0], current.severity, key[1])
        session.progress(f"{current.severity}: {_name(unit)}")
        if key in plan.waiting and session.moves_state:
            _postpone(session, unit, opened, 0, "waits for its earlier window")
            session.fail(f"{_name(unit)} waits: its earlier window failed")
        else:
            _attempt(session, unit, plan.remembering(key, opened), intake)
    _close(session, clocks, plan, deal, current.severity)
    return True


class _RetryPlan(NamedTuple):
    """One failed unit with its own bounds."""

    unit: Unit
    opened: OpenWindow
    ledger: set[tuple[Direction, str, str]]

    def window_of(self, key: Key) -> OpenWindow | None:
        return self.opened if key == (self.unit.group, self.unit.direction) else None

    def is_known(self, event_id: str, key: Key) -> bool:
        return (key[1], key[0], event_id) in self.ledger


def _again(session: Session, retry: Retry) -> bool:
    """Read the events of a failed unit again and work it."""
    unit, window = retry.unit, retry.window
    opened = OpenWindow(window, None, window.fetch_lo)
    with transaction(session.main):
        ledger = state.considered(session.main, unit.severity, window.fetch_lo)
    deal = Deal(session, unit.severity, _RetryPlan(unit, opened, ledger), None, window.hi)
    deal.read(window.fetch_lo, window.hi)
    return _attempt(session, unit, opened, deal.intakes.get((unit.group, unit.direction), Intake()), retry)


def retry_units(session: Session, severity: Severity) -> None:
    """Try failed units again, oldest window first; one that fails again keeps its later windows waiting."""
    with transaction(session.main):
        found = [retry for retry in state.retries(session.main, severity) if retry.next_attempt is not None]
    blocked: set[Unit] = set()
    for retry in found:
        waits_only = retry.attempts == 0
        due = waits_only or (retry.next_attempt is not None and retry.next_attempt <= session.now)
        if retry.unit in blocked or not due or session.out_of_time() or not _again(session, retry):
            blocked.add(retry.unit)
