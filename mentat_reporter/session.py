"""What a run holds on to: the lock, the connections, the clock, and the house as it is today."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from mentat_reporter.core.model import Window
from mentat_reporter.errors import (
    EmbeddedError,
    LockBusyError,
    LostDatabaseError,
    StoreError,
    WorkerLostError,
)
from mentat_reporter.links import Links
from mentat_reporter.lock import SimpleFlock
from mentat_reporter.outside import Outside
from mentat_reporter.result import RunResult
from mentat_reporter.settings import Settings
from mentat_reporter.store import reports, state
from mentat_reporter.store.connection import Connection, explained, transaction
from mentat_reporter.store.state import Retry, Unit

if TYPE_CHECKING:
    from mentat_reporter.core.model import Report
    from mentat_reporter.delivery.deliver import DeliveryResult
    from mentat_reporter.rehearsal import Rehearsal
    from mentat_reporter.render.message import Mail, Sign
    from mentat_reporter.rendering import Views
    from mentat_reporter.threads import Answering
    from mentat_reporter.today import Today

LOCK_PATIENCE: Final = 10.0
"""Seconds to wait for the advisory lock: a killed run's backend may linger (docs/reliability.md)."""
LOCK_POLL: Final = 0.2  # seconds
BACKOFFS: Final = (1.0, 5.0, 20.0)
"""Seconds before each of the tries to connect again, without getting further (docs/reliability.md)."""

Progress = Callable[[str], None]
Done = TypeVar("Done")
Job = tuple[Unit, Window]
Show = Callable[["Sequence[Report]", "Answering"], "Mapping[str, Mail]"]
"""Takes a unit's reports, and the mails that told of their problems before; returns their mails by label."""


@dataclass
class Session:
    """One run. Everything that costs something is made when it is first needed."""

    settings: Settings
    logger: logging.Logger
    progress: Progress
    outside: Outside
    started: float = field(default_factory=time.monotonic)
    result: RunResult = field(default_factory=RunResult)
    bad: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    """What goes to quarantine: error and count by kind and reference."""
    mail_ids: list[int] = field(default_factory=list)
    """The outbox rows that this run made."""
    delivery: "DeliveryResult | None" = None
    """What became of mails so far; None: none was tried."""
    slow_templates: set[tuple[str, str, str]] = field(default_factory=set)
    """Template, kind of report and locale of what took too long."""
    cut_off: Counter[Job] = field(default_factory=Counter)
    """How often the connection was lost at a unit."""
    finished: set[Job] = field(default_factory=set)
    """What a run that keeps no state has done, so as not to do it again after it lost the connection."""
    in_doubt: tuple[Job, list[str]] | None = None
    """What such a run is committing, with the labels of its reports."""
    show: "Show | None" = None
    """Shows the reports of a run that stores none; None: each is told in a line."""
    owed: list[Retry] | None = None
    """The failed units as they were last read."""
    rehearsal: "Rehearsal | None" = None
    """Remembers what a run would, that works a past time again and keeps no state."""
    lost_worker: bool = False
    """A process of this run ended in the middle of its work: the run has to begin anew."""
    _links: Links | None = None
    _not_ours: Links | None = None
    """Of the process that this one was forked from: to close them here would end them there."""
    _pauses: Iterator[float] = field(default_factory=lambda: iter(BACKOFFS))

    # Databases

    @property
    def main(self) -> Connection:
        return self._connected.main

    @property
    def events(self) -> Connection:
        return self._connected.events

    @property
    def _connected(self) -> Links:
        if self._links is None:
            raise RuntimeError("a session is connected by `lasting`")
        return self._links

    @property
    def is_cut_off(self) -> bool:
        """Ask, after a failure, whether a connection was lost, here or in a worker process: then what helps
        is to connect again.
        """
        return self.lost_worker or (self._links is not None and self._links.are_cut)

    def lasting(self, work: Callable[[], Done]) -> Done:
        """Connect and do the work; when a connection is lost, do it anew on new ones.

        What is committed stands, and the work must find it so. Raises LostDatabaseError when the
        database does not come back, LockBusyError when another run took over, StoreError when it was
        not there in the first place.
        """
        while True:
            try:
                if self._links is None:
                    self._connect()
                return work()
            except Exception as error:
                if not self.is_cut_off:
                    raise explained(error) from error
                self._reconnect(error)

    def _connect(self) -> None:
        self._links = Links(self.settings, self.outside)
        self._links.check()
        if not self.settings.run.dry_run:
            self._lock()
        _ = self.now
        self._clear_doubt()

    def _lock(self) -> None:
        deadline = time.monotonic() + LOCK_PATIENCE
        while not state.try_lock(self.main):
            self.main.rollback()
            if time.monotonic() > deadline:
                raise LockBusyError("another run, on this host or another, holds the lock of the database")
            self.outside.sleep(LOCK_POLL)
        self.main.rollback()

    def _clear_doubt(self) -> None:
        if self.in_doubt is not None:
            job, labels = self.in_doubt
            with transaction(self.main):
                if reports.taken_labels(self.main, labels):
                    self.finished.add(job)
        self.in_doubt = None

    def become_worker(self) -> None:
        """Go on in a forked process, with connections of its own and nothing done yet.

        A lock that is shared by all workers keeps new runs out for as long as one of them lives.
        """
        self._not_ours, self._links = self._links, None
        self.result = RunResult()
        self.bad, self.mail_ids = {}, []
        self.progress = _say_nothing
        self._links = Links(self.settings, self.outside)
        state.join_lock(self.main)
        self.main.rollback()

    def disconnect(self) -> None:
        if self._links is not None:
            self._links.close()
        self._links = None

    def take_heart(self) -> None:
        """Allow as many tries to connect again: what ended the connections was put off."""
        self._pauses = iter(BACKOFFS)

    def _reconnect(self, error: Exception) -> None:
        read_events = self._connected.has_events
        self.result.too_soon.clear()
        self.owed = None
        self.lost_worker = False
        what = "a worker process" if isinstance(error, WorkerLostError) else "the database"
        for pause in self._pauses:
            self.logger.warning("lost %s (%s), trying again in %g s", what, _reason(error), pause)
            self.disconnect()
            self.__dict__.pop("today", None)
            self.outside.sleep(pause)
            try:
                self._connect()
                _ = read_events and self.events
            except Exception as again:
                if not (isinstance(again, StoreError | EmbeddedError) or self.is_cut_off):
                    raise
                error = again
            else:
                return
        raise LostDatabaseError(
            f"lost {what}: {_reason(error)}; what was committed stands, "
            + ("the next run goes on there" if self.moves_state else "the rest is not reported")
        ) from error

    @cached_property
    def now(self) -> datetime:
        """The run's only look at the clock, the main database's; aware UTC."""
        if self.settings.run.time_high:
            return self.settings.run.time_high
        found = state.now(self.main)
        self.main.rollback()
        return found

    # What kind of run this is

    @property
    def moves_state(self) -> bool:
        return self.settings.moves_state

    @property
    def thresholding(self) -> bool:
        """Ad hoc runs and test data are told in full (docs/semantics.md)."""
        return self.settings.run.regular and not self.settings.run.test_data

    @property
    def writes(self) -> bool:
        return not self.settings.run.dry_run

    def out_of_time(self) -> bool:
        return time.monotonic() - self.started > self.settings.run.max_runtime.total_seconds()

    # What is to be said

    def stop_early(self) -> None:
        """Say that the run's time is over."""
        after = "the next run goes on here" if self.moves_state else "the rest is not reported"
        text = f"out of time (--max-runtime): {after}"
        self.logger.warning("%s", text)
        self.result.notes.append(text)

    def quarantine(self, kind: str, reference: str, error: str, count: int = 1) -> None:
        """Count what cannot be used, to be kept for an operator with its reason."""
        _, known = self.bad.get((kind, reference), ("", 0))
        self.bad[kind, reference] = (error, known + count)

    def fail(self, text: str) -> None:
        """Name a failure in the log and in the result; the run goes on."""
        if text not in self.result.failures:
            self.logger.warning("%s", text)
        self.result.fail(text)

    @cached_property
    def today(self) -> "Today":
        """The house as it is today; a quiet run does not ask."""
        from mentat_reporter.today import Today  # noqa: PLC0415 - it brings templates and rule parsers

        return Today(self.settings, self.main, self.now, self.quarantine, self.fail)

    @cached_property
    def views(self) -> "Views":
        """What pages and mails of reports have in common."""
        from mentat_reporter.rendering import Views  # noqa: PLC0415 - it knows the session

        return Views()

    @cached_property
    def sign(self) -> "Sign | None":
        """What signs the mails of this run; None: they go out unsigned."""
        mail = self.settings.mail
        if mail.pgp_key is None or not self.writes:
            return None
        from mentat_reporter.signing import Signing  # noqa: PLC0415 - only where mail is signed

        return Signing(mail.pgp_key, mail.pgp_home, mail.pgp_passphrase, self.fail)

    def name_rule_failures(self) -> None:
        """Say which rules failed on events, if any were asked."""
        if "today" in self.__dict__:
            self.today.name_rule_failures()

    def keep_quarantine(self) -> None:
        """Write what could not be used, in a transaction of its own."""
        if self.bad and self.writes:
            with transaction(self.main):
                state.quarantine(self.main, self.bad, self.now)
        self.bad.clear()


def _say_nothing(_text: str) -> None:
    """Take the place of a progress line, which the run itself shows."""


def _reason(error: BaseException) -> str:
    """Return what went wrong first; a rollback on a lost connection only says that there is none."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).strip().partition("\n")[0]


@contextmanager
def opened(
    settings: Settings, logger: logging.Logger, progress: Progress, outside: Outside
) -> Iterator[Session]:
    """Take the lock of this host; `Session.lasting` connects. A dry run takes no lock: it changes nothing.

    Raises LockBusyError (exit 75) when another run has it.
    """
    lock = nullcontext() if settings.run.dry_run else SimpleFlock(settings.reporter.lock_file, timeout=0)
    session = Session(settings, logger, progress, outside)
    with lock:
        try:
            yield session
        finally:
            session.disconnect()
