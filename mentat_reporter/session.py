"""What a run holds on to: the lock, the connections, the clock, and the house as it is today."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final

from mentat_reporter.errors import LockBusyError
from mentat_reporter.lock import SimpleFlock
from mentat_reporter.result import RunResult
from mentat_reporter.settings import Settings
from mentat_reporter.store import embedded, schema, state
from mentat_reporter.store.connection import (
    EVENT_LIMITS,
    STATE_LIMITS,
    Connection,
    Dsn,
    connect,
    transaction,
)

if TYPE_CHECKING:
    from mentat_reporter.today import Today

LOCK_PATIENCE: Final = 10.0
"""Seconds to wait for the advisory lock: a killed run's backend may linger (docs/reliability.md)."""

Progress = Callable[[str], None]


def databases(settings: Settings) -> tuple[Dsn, Dsn]:
    """Return how to reach the main and the events database; starts the embedded one if none is configured."""
    main = settings.database.main
    if main is None:
        main = embedded.Cluster(settings.home).start()
    return main, settings.database.events or main


@dataclass
class Session:
    """One run. Everything that costs something is made when it is first needed."""

    settings: Settings
    logger: logging.Logger
    progress: Progress
    main: Connection
    events: Connection
    now: datetime
    started: float = field(default_factory=time.monotonic)
    result: RunResult = field(default_factory=RunResult)
    bad: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    """What goes to quarantine: error and count by kind and reference."""
    mail_ids: list[int] = field(default_factory=list)
    """The outbox rows that this run made."""
    slow_templates: set[tuple[str, str, str]] = field(default_factory=set)
    """Template, kind of report and locale of what took too long."""

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


def _advisory_lock(connection: Connection) -> None:
    deadline = time.monotonic() + LOCK_PATIENCE
    while not state.try_lock(connection):
        connection.rollback()
        if time.monotonic() > deadline:
            raise LockBusyError("another run, on this host or another, holds the lock of the database")
        time.sleep(0.2)
    connection.rollback()


@contextmanager
def opened(settings: Settings, logger: logging.Logger, progress: Progress) -> Iterator[Session]:
    """Take the locks, connect, read the clock. A dry run takes no lock: it changes nothing.

    Raises LockBusyError (exit 75) when another run has one of the locks, StoreError when a database
    is not there or not initialised.
    """
    with ExitStack() as stack:
        if not settings.run.dry_run:
            stack.enter_context(SimpleFlock(settings.reporter.lock_file, timeout=0))
        main_dsn, events_dsn = databases(settings)
        main = connect(main_dsn, what="main", limits=STATE_LIMITS)
        stack.callback(main.close)
        events_connection = connect(events_dsn, what="events", limits=EVENT_LIMITS)
        stack.callback(events_connection.close)
        schema.require(main, events_connection)
        if not settings.run.dry_run:
            _advisory_lock(main)
        now = settings.run.time_high or state.now(main)
        main.rollback()
        yield Session(settings, logger, progress, main, events_connection, now)
