"""Which windows a run covers: resumed, due, or only looked at. docs/semantics.md, reliability.md."""

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final, NamedTuple

from mentat_reporter.core.model import OwnTiming, Severity, Window
from mentat_reporter.core.window import DEFAULT_TIMING, Span, due_spans, floor_to
from mentat_reporter.errors import UsageError
from mentat_reporter.session import Session
from mentat_reporter.store import events, groups, mentat, state
from mentat_reporter.store.connection import transaction
from mentat_reporter.store.state import ClockState, OpenWindow

HELD_BACK: Final = timedelta(hours=24)
"""How far a long transaction may hold back where windows fetch from before it is worth a warning."""
LONGEST: Final = timedelta(days=3653)
"""The longest window of an ad hoc run."""
COMMON: Final = ""
"""The clock of all groups without one of their own."""


class _Queue(NamedTuple):
    """What one clock still has to cover, oldest first; None: its window left open."""

    clock: str
    period: timedelta
    spans: deque[Span | None]


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
        """What each clock has covered by now."""
        return dict(self._at_start)

    @cached_property
    def _at_start(self) -> dict[tuple[str, Severity], ClockState]:
        session = self._session
        with transaction(session.main):
            found, beside = state.clocks(session.main)
            mark = mentat.latest_mark(session.main) if beside.has_marks else None
            ahead = any(known.last_hi > session.now for known in found.values())
            if ahead and session.moves_state and session.settings.run.time_high is None:
                # it may have been set back at any time since the run before
                state.set_back(session.main, session.now, session.now - session.settings.run.interval)
        if session.settings.run.regular and (beside.told or beside.is_ahead(mark)):
            self._warn_of_other(beside.told or mark)
        return found

    def _warn_of_other(self, until: datetime | None) -> None:
        """Say, once a run, that groups may be told everything twice."""
        text = (
            "another reporter is at work on these databases, Mentat's own by the look of it: it covered up "
            f"to {until:%Y-%m-%d %H:%M} UTC, and groups may be told twice; stop its cron job or this one's "
            "(docs/mentat.md)"
        )
        if text not in self._session.result.notes:
            self._session.result.notes.append(text)
            self._session.logger.warning("%s", text)

    @cached_property
    def _is_elsewhere(self) -> bool:
        """Ask whether the transactions that store events are not to be seen, and say so."""
        elsewhere = events.elsewhere(self._session.events)
        if elsewhere:
            self._session.logger.warning(
                "the events database is %s: events that become visible late are found within "
                "late_margin (%s) only", elsewhere, self._session.settings.reporter.late_margin,
            )  # fmt: skip
        return elsewhere is not None

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

        A group that gave its clock up keeps it until the common one is due: both end there together. One
        that wants a clock stays on the common one while that has a window open, which is the group's too.
        """
        common = self._at_start.get((COMMON, severity))
        is_open = common is not None and common.open_window is not None
        found = dict.fromkeys(self.given_up(severity), DEFAULT_TIMING[severity].period)
        for name, timing in self._own_timing.items():
            own = timing.get(severity)
            if own and own.period and not (is_open and (name, severity) not in self._at_start):
                found[name] = own.period
        return found

    def given_up(self, severity: Severity) -> set[str]:
        """Return the groups that have a clock for a severity, but no period of their own any more."""
        clocks = {clock for clock, level in self.known if level == severity and clock != COMMON}
        timings = {clock: self._own_timing.get(clock, {}).get(severity) for clock in clocks}
        return {clock for clock, own in timings.items() if own is None or own.period is None}

    def _periods(self, severity: Severity) -> dict[str, timedelta]:
        return {COMMON: DEFAULT_TIMING[severity].period, **self.own(severity)}

    def _ad_hoc(self, severity: Severity) -> list[_Queue]:
        given = self._session.settings.run.time_low
        queues = []
        for clock, period in self._periods(severity).items():
            lo = given or self.hi - period
            if lo >= self.hi or self.hi - lo > LONGEST:
                raise UsageError(
                    f"--time-low {lo:%Y-%m-%dT%H:%MZ} must lie before the window's end, "
                    f"{self.hi:%Y-%m-%dT%H:%MZ}, by at most ten years"
                )
            past = self._session.rehearsal
            spans = past.spans(severity, lo, self.hi, period) if past else [Span(lo, self.hi)]
            queues.append(_Queue(clock, period, deque(spans)))
        return queues

    def _regular(self, severity: Severity) -> list[_Queue]:
        queues = []
        for clock, period in self._periods(severity).items():
            known = self.known.get((clock, severity))
            spans: deque[Span | None] = deque(self._due(clock, severity, known, period))
            if known is not None and known.open_window is not None:
                spans.appendleft(None)
            if spans:
                queues.append(_Queue(clock, period, spans))
            elif known and clock == COMMON:
                self._too_soon(severity, known, period)
        return queues

    def _due(self, clock: str, severity: Severity, known: ClockState | None, period: timedelta) -> list[Span]:
        if known is None and clock != COMMON:
            return self._first_due(severity, period)
        if known is None or clock not in self.given_up(severity):
            return due_spans(known.last_hi if known else None, self.hi, period)
        common = self.known.get((COMMON, severity))
        if known.last_hi >= self.hi or (
            common is not None and not due_spans(common.last_hi, self.hi, DEFAULT_TIMING[severity].period)
        ):
            return []
        return due_spans(known.last_hi, self.hi, min(period, self.hi - known.last_hi))

    def _first_due(self, severity: Severity, period: timedelta) -> list[Span]:
        """Return the first windows of a group's clock, which goes on where the common one is.

        It begins when either is due: later, the common clock has gone on without the group.
        """
        common = self._at_start.get((COMMON, severity))
        if common is None:
            return due_spans(None, self.hi, period)
        if not due_spans(common.last_hi, self.hi, min(period, DEFAULT_TIMING[severity].period)):
            return []
        return due_spans(common.last_hi, self.hi, min(period, self.hi - common.last_hi))

    def _too_soon(self, severity: Severity, known: ClockState, period: timedelta) -> None:
        if known.last_hi - self.hi > period:
            self._session.logger.warning(
                "%s is covered up to %s, which is after this run's %s: was the clock set back?",
                severity, known.last_hi.isoformat(), self.hi.isoformat(),
            )  # fmt: skip
        self._session.result.too_soon[severity] = known.last_hi + period
        self._session.logger.info("%s: skipped-too-soon, due at %s", severity, known.last_hi + period)

    def _next(self, severity: Severity, queue: _Queue) -> OpenWindow:
        span = queue.spans.popleft()
        known = self.known.get((queue.clock, severity))
        if span is None:
            return self._resume(known)
        window = Window(queue.clock, severity, span.lo, span.hi, span.lo, queue.period)
        if not self._session.thresholding:
            return OpenWindow(window, None, span.hi)
        follows = known or self._at_start.get((COMMON, severity))
        return self._open(window, follows) if self._session.moves_state else self._look(window, follows)

    def _resume(self, known: ClockState | None) -> OpenWindow:
        """Go on with a window that was left open."""
        if known is None or known.open_window is None:
            raise AssertionError("only a window that is open can be resumed")
        main = self._session.main
        with transaction(main):
            return state.resume_window(main, known, known.open_window, self._margin)

    def _open(self, window: Window, follows: ClockState | None) -> OpenWindow:
        session = self._session
        snapshot = events.UNKNOWN if self._is_elsewhere else events.snapshot(session.events)
        with transaction(session.main):
            opened = state.open_window(session.main, window, follows, snapshot, self._margin)
        # a busy database, or windows that catch up, hold it back by a window or two
        back = window.lo - opened.window.fetch_lo
        if not window.catch_up and back > HELD_BACK + 2 * window.period:
            session.result.held_back = max(back, session.result.held_back or back)
            session.logger.warning(
                "%s: events are read again from %s on: a transaction has been open in the events database "
                "since then, see pg_stat_activity", window.severity, opened.window.fetch_lo.isoformat(),
            )  # fmt: skip
        known = self.known.get((window.clock, window.severity))
        first_fetch = known.first_fetch if known else opened.window.fetch_lo
        self.known[window.clock, window.severity] = ClockState(
            window.clock, first_fetch, window.hi, opened.id
        )
        return opened

    def _look(self, window: Window, follows: ClockState | None) -> OpenWindow:
        """Return the window as it would be opened: a test or dry run leaves no trace of it."""
        main = self._session.main
        with transaction(main):
            since = state.fetch_lo(main, window, follows, events.UNKNOWN, self._margin)
        is_first = follows is None or follows.clock != window.clock
        return OpenWindow(window._replace(fetch_lo=since), None, window.hi, is_first=is_first)

    @property
    def _margin(self) -> timedelta:
        return self._session.settings.reporter.late_margin
