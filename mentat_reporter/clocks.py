"""Which windows a run covers: resumed, due, or only looked at. SEMANTICS section 1, RELIABILITY section 2."""

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final, NamedTuple

from mentat_reporter.core.model import OwnTiming, Severity, Window
from mentat_reporter.core.window import DEFAULT_TIMING, Span, due_spans, floor_to
from mentat_reporter.session import Session
from mentat_reporter.store import events, groups, state
from mentat_reporter.store.connection import transaction
from mentat_reporter.store.state import ClockState, OpenWindow

HELD_BACK: Final = timedelta(hours=24)
"""How far a long transaction may hold back where windows fetch from before it is worth a warning."""
COMMON: Final = ""
"""The clock of all groups without one of their own."""


class _Queue(NamedTuple):
    """What one clock still has to cover: first the window left open, then what is due."""

    clock: str
    period: timedelta
    open_window: int | None
    spans: deque[Span]


class Round(NamedTuple):
    """One window of each clock that has work, by clock: their events are read together."""

    severity: Severity
    windows: dict[str, OpenWindow]

    @property
    def fetch_lo(self) -> datetime:
        return min(opened.window.fetch_lo for opened in self.windows.values())

    @property
    def hi(self) -> datetime:
        return max(opened.window.hi for opened in self.windows.values())


class Clocks:
    """The clocks of a run, as the database had them when it began."""

    def __init__(self, session: Session) -> None:
        self._session = session
        run = session.settings.run
        self.hi = floor_to(session.now, run.interval) if run.regular else session.now
        """The end of this run's windows."""

    @cached_property
    def known(self) -> dict[tuple[str, Severity], ClockState]:
        found = state.clocks(self._session.main)
        self._session.main.rollback()
        return found

    @cached_property
    def _on_replica(self) -> bool:
        replica = events.is_replica(self._session.events)
        if replica:
            self._session.logger.warning(
                "the events database is a read-only replica: events that become visible late are found "
                "within late_margin (%s) only", self._session.settings.reporter.late_margin,
            )  # fmt: skip
        return replica

    def rounds(self, severity: Severity) -> Iterator[Round]:
        """Yield a severity's windows round by round, each opened when it is asked for."""
        queues = self._regular(severity) if self._session.settings.run.regular else self._ad_hoc(severity)
        while queues:
            yield Round(severity, {queue.clock: self._next(severity, queue) for queue in queues})
            queues = [queue for queue in queues if queue.spans]

    @cached_property
    def _own_timing(self) -> Mapping[str, Mapping[Severity, OwnTiming]]:
        """The timing of the groups that have any: a quiet run needs no more of the house."""
        found = groups.own_clocks(self._session.main)
        self._session.main.rollback()
        return found

    def own(self, severity: Severity) -> dict[str, timedelta]:
        """Return the groups with clocks of their own for a severity, and their periods.

        A group that gave its clock up keeps it until the common one is due: both end there together.
        """
        timings = ((name, timing.get(severity)) for name, timing in self._own_timing.items())
        return {
            name: own.period for name, own in timings if own is not None and own.period is not None
        } | dict.fromkeys(self.given_up(severity), DEFAULT_TIMING[severity].period)

    def given_up(self, severity: Severity) -> set[str]:
        """Return the groups that have a clock for a severity, but no period of their own any more."""
        clocks = {clock for clock, level in self.known if level == severity and clock != COMMON}
        timings = {clock: self._own_timing.get(clock, {}).get(severity) for clock in clocks}
        return {clock for clock, own in timings.items() if own is None or own.period is None}

    def _periods(self, severity: Severity) -> dict[str, timedelta]:
        return {COMMON: DEFAULT_TIMING[severity].period, **self.own(severity)}

    def _ad_hoc(self, severity: Severity) -> list[_Queue]:
        lo = self._session.settings.run.time_low
        return [
            _Queue(clock, period, None, deque([Span(lo or self.hi - period, self.hi)]))
            for clock, period in self._periods(severity).items()
        ]

    def _regular(self, severity: Severity) -> list[_Queue]:
        queues = []
        for clock, period in self._periods(severity).items():
            known = self.known.get((clock, severity))
            spans = deque(self._due(clock, severity, known, period))
            left_open = known.open_window if known else None
            if known is not None and left_open is not None:
                spans.appendleft(Span(known.last_hi, known.last_hi))
            if spans:
                queues.append(_Queue(clock, period, left_open, spans))
            elif known and clock == COMMON:
                self._too_soon(severity, known, period)
        return queues

    def _due(self, clock: str, severity: Severity, known: ClockState | None, period: timedelta) -> list[Span]:
        if known is not None and clock in self.given_up(severity):
            common = self.known.get((COMMON, severity))
            is_due = common is None or due_spans(common.last_hi, self.hi, DEFAULT_TIMING[severity].period)
            return due_spans(known.last_hi, self.hi, min(period, self.hi - known.last_hi)) if is_due else []
        return due_spans(self._covered(clock, severity, known), self.hi, period)

    def _covered(self, clock: str, severity: Severity, known: ClockState | None) -> datetime | None:
        """Return up to when a clock has covered; a group's new clock goes on where the common one is."""
        if known is None and clock != COMMON:
            known = self.known.get((COMMON, severity))
        return known.last_hi if known else None

    def _too_soon(self, severity: Severity, known: ClockState, period: timedelta) -> None:
        if known.last_hi - self.hi > period:
            self._session.logger.warning(
                "%s is covered up to %s, which is after this run's %s: was the clock set back?",
                severity, known.last_hi.isoformat(), self.hi.isoformat(),
            )  # fmt: skip
        self._session.result.too_soon[severity] = known.last_hi + period
        self._session.logger.info("%s: skipped-too-soon, due at %s", severity, known.last_hi + period)

    def _next(self, severity: Severity, queue: _Queue) -> OpenWindow:
        session = self._session
        span = queue.spans.popleft()
        margin = session.settings.reporter.late_margin
        known = self.known.get((queue.clock, severity))
        if span.lo == span.hi and queue.open_window is not None and known is not None:
            with transaction(session.main):
                return state.resume_window(session.main, queue.open_window, known.first_lo, margin)
        window = Window(queue.clock, severity, span.lo, span.hi, span.lo, queue.period)
        if not session.thresholding:
            return OpenWindow(window, None, span.hi)
        if not session.moves_state:
            return self._look(window, known, margin)
        snapshot = events.Snapshot(None, None) if self._on_replica else events.snapshot(session.events)
        with transaction(session.main):
            opened = state.open_window(session.main, window, known, snapshot, margin)
        if window.lo - opened.window.fetch_lo > HELD_BACK:
            session.logger.warning(
                "%s: events are read again from %s on: a transaction has been open in the events database "
                "since then, see pg_stat_activity", severity, opened.window.fetch_lo.isoformat(),
            )  # fmt: skip
        first_lo = known.first_lo if known else window.lo
        self.known[queue.clock, severity] = ClockState(first_lo, window.hi, opened.id)
        return opened

    def _look(self, window: Window, known: ClockState | None, margin: timedelta) -> OpenWindow:
        """Return the window as it would be opened: a test or dry run leaves no trace of it."""
        main = self._session.main
        with transaction(main):
            since = state.fetch_lo(main, window, known, events.Snapshot(None, None), margin)
        return OpenWindow(window._replace(fetch_lo=since), None, window.hi)
