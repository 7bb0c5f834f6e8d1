"""One round: read the events of its windows once, deal them to units, work the units, close the windows."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from mentat_reporter.clocks import COMMON, Clocks, Round
from mentat_reporter.core.intake import Intake, own, take_in
from mentat_reporter.core.model import DIRECTIONS, Direction, Event, Severity, Sighting
from mentat_reporter.errors import MessageError
from mentat_reporter.session import Session
from mentat_reporter.store import events, state
from mentat_reporter.store.connection import Connection, transaction
from mentat_reporter.store.state import OpenWindow, Retry, Unit
from mentat_reporter.unit import read_raw, work

RETRY_AFTER: Final = timedelta(minutes=10)
GIVE_UP: Final = 10
"""Failures after which a unit is kept for an operator (RELIABILITY section 2)."""
PROGRESS_STEP: Final = 5000

Key = tuple[str, Direction]
"""A unit within a severity: group and direction."""


def _covers(opened: OpenWindow | None, event: Event) -> bool:
    return opened is not None and opened.window.fetch_lo <= event.storage_time < opened.window.hi


class Deal:
    """Deals the events of `[fetch_lo, hi)` to the units that they concern.

    `window_of` gives the window that a unit is worked in, or None if it is not asked for; `common` is
    the window in which events without an owner are counted; `is_known` tells what was decided before
    by event id and unit, an empty group standing for nobody.
    """

    def __init__(
        self,
        session: Session,
        severity: Severity,
        window_of: Callable[[Key], OpenWindow | None],
        common: OpenWindow | None,
        is_known: Callable[[str, Key], bool],
    ) -> None:
        self._session = session
        self._severity = severity
        self._window_of = window_of
        self._common = common
        self._is_known = is_known
        self.intakes: dict[Key, Intake] = {}
        self.unowned: dict[Direction, dict[str, datetime]] = {"source": {}, "target": {}}

    def read(self, fetch_lo: datetime, hi: datetime) -> None:
        """Stream the events, each decoded once, however many groups it concerns."""
        session, severity = self._session, self._severity
        stream = events.stream(
            session.events, severity, fetch_lo, hi, test_data=session.settings.run.test_data
        )
        for number, raw in enumerate(stream, 1):
            if number % PROGRESS_STEP == 0:
                session.progress(f"{severity}: {number:,} events read")
            try:
                event = read_raw(session, raw, severity)
            except MessageError as error:
                self._bad(raw.stored.id, raw.stored.storage_time, str(error))
                continue
            for direction in DIRECTIONS:
                if event.side(direction).severity == severity:
                    self._deal(event, direction)

    def _bad(self, event_id: str, storage_time: datetime, error: str) -> None:
        if self._is_known(event_id, ("", "source")):
            return
        self.unowned["source"][event_id] = storage_time
        self._session.quarantine("event", event_id, error)
        self._session.fail(f"event {event_id} {error}; it is kept in mentat_reporter.quarantine")
        self._session.result.add(self._severity, events=1, bad=1)

    def _deal(self, event: Event, direction: Direction) -> None:
        session = self._session
        side = event.side(direction)
        owners: dict[str, list[Sighting]] = {}
        for sighting in own(event, direction, session.today.ownership):
            if sighting.chain:
                owners.setdefault(sighting.owner, []).append(sighting)
        if side.invalid and not side.addresses:
            self._unusable(event, direction)
        elif not owners:
            self._unowned(event, direction)
        for owner, sightings in owners.items():
            key = (owner, direction)
            if _covers(self._window_of(key), event) and not self._is_known(event.id, key):
                intake = self.intakes.setdefault(key, Intake())
                take_in(intake, sightings, session.today.rules, session.today.house.credibilities)

    def _common_covers(self, event: Event, direction: Direction) -> bool:
        return _covers(self._common, event) and not self._is_known(event.id, ("", direction))

    def _unowned(self, event: Event, direction: Direction) -> None:
        if self._common_covers(event, direction):
            self.unowned[direction][event.id] = event.storage_time
            self._session.result.add(self._severity, unowned=1, events=1)

    def _unusable(self, event: Event, direction: Direction) -> None:
        if self._common_covers(event, direction):
            self._bad(
                event.id, event.storage_time, f"has no usable address: {event.side(direction).invalid[0]}"
            )


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
    """Which unit is worked in which window of a round."""

    def __init__(self, session: Session, clocks: Clocks, current: Round) -> None:
        self._windows = current.windows
        self._own = clocks.own(current.severity)
        self._wanted = frozenset(session.settings.run.groups)
        self._ledger: set[tuple[Direction, str, str]] = set()
        self._dealt: set[tuple[str, str, Direction]] = set()
        self.done: set[Key] = set()
        self.waiting: set[Key] = set()
        self.relapsing: list[Key] = []
        if session.thresholding:
            with transaction(session.main):
                self._read_state(session.main, current)

    def _read_state(self, main: Connection, current: Round) -> None:
        self._ledger = state.considered(main, current.severity, current.fetch_lo)
        self.waiting = {
            (retry.unit.group, retry.unit.direction)
            for retry in state.retries(main, current.severity)
            if retry.next_attempt is not None
        }
        for clock, opened in self._windows.items():
            if opened.resumed:
                self.done |= state.units_done(main, opened)
            self.relapsing += state.relapsing(
                main, current.severity, clock, list(self._own), opened.window.hi
            )
        if not any(opened.resumed for opened in self._windows.values()):
            self._dealt = {
                (event_id, self._clock_of(group), direction) for direction, group, event_id in self._ledger
            }

    def _clock_of(self, group: str) -> str:
        return group if group in self._own else COMMON

    def is_known(self, event_id: str, key: Key) -> bool:
        """Tell whether an event was decided before: for this unit, or when its clock dealt it to others.

        An event that an earlier window dealt is not dealt again because a network has a new owner since.
        A window that is resumed has dealt to some of its units only, so there each asks for itself.
        """
        group, direction = key
        return (direction, group, event_id) in self._ledger or (
            (event_id, self._clock_of(group), direction) in self._dealt
        )

    def window_of(self, key: Key) -> OpenWindow | None:
        if key in self.done or (self._wanted and key[0] not in self._wanted):
            return None
        return self._windows.get(self._clock_of(key[0]))


def _close(session: Session, clocks: Clocks, deal: Deal, current: Round) -> None:
    """Mark the windows done, and clean up what ran out, each in one transaction."""
    own = list(clocks.own(current.severity))
    given_up = clocks.given_up(current.severity)
    for clock, opened in current.windows.items():
        if opened.id is None:
            continue
        with transaction(session.main):
            if clock == COMMON:
                for direction, ids in deal.unowned.items():
                    unit = Unit("", current.severity, direction)
                    state.consider(session.main, unit, ids, opened.next_fetch_lo)
            state.close_window(session.main, opened)
            state.forget_thresholds(session.main, opened.window, own)
            state.forget_considered(session.main, opened, own)
            if clock in given_up and opened.window.hi == clocks.hi:
                state.drop_clock(session.main, opened.window)


def run_round(session: Session, clocks: Clocks, current: Round) -> bool:
    """Do one round; False if the run's time was over before all units were worked."""
    plan = _RoundPlan(session, clocks, current)
    deal = Deal(session, current.severity, plan.window_of, current.windows.get(COMMON), plan.is_known)
    deal.read(current.fetch_lo, current.hi)
    for key in plan.relapsing:
        if plan.window_of(key) is not None and key[0] in session.today.groups:
            deal.intakes.setdefault(key, Intake())
    session.result.windows += [opened.window for opened in current.windows.values()]
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
            _attempt(session, unit, opened, intake)
    _close(session, clocks, deal, current)
    return True


def _again(session: Session, retry: Retry) -> bool:
    """Read the events of a failed unit again and work it."""
    unit, window = retry.unit, retry.window
    opened = OpenWindow(window, None, window.fetch_lo)
    with transaction(session.main):
        ledger = state.considered(session.main, unit.severity, window.fetch_lo)
    key = (unit.group, unit.direction)
    deal = Deal(
        session,
        unit.severity,
        lambda other: opened if other == key else None,
        None,
        lambda event_id, _key: (unit.direction, unit.group, event_id) in ledger,
    )
    deal.read(window.fetch_lo, window.hi)
    return _attempt(session, unit, opened, deal.intakes.get(key, Intake()), retry)


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
