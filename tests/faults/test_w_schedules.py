"""W4, by chance: whatever writers and runs do in whatever order, each committed event is told once."""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from random import Random
from typing import Final

import pytest
from faults.helpers_told import SETTLED, SEVERITIES, TEN, address, attack, house, once, owed, told_or_held
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    HOUR,
    START,
    Reporter,
    Stored,
    event,
    insert_events,
    reporter,
)
from integration.test_report_units import dying

from mentat_reporter.store.connection import Connection, connect

__all__ = ["reporter"]

SEEDS: Final = int(os.environ.get("MENTAT_REPORTER_FAULT_SEEDS", "6"))
STEPS: Final = 60
STRIDES: Final = (TEN, TEN, TEN, TEN, 2 * TEN, 5 * TEN, 2 * HOUR + TEN, 26 * HOUR)


class Writer:
    """Somebody who stores events in one transaction, with its beginning as their storage time."""

    def __init__(self, reporter: Reporter, begun: datetime) -> None:
        self.connection: Connection = connect(reporter.dsn, what="writer", limits={})
        self.begun = begun
        self.stored: list[tuple[str, str]] = []

    def say(self, statement: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)

    def end(self, *, commits: bool) -> list[tuple[str, str]]:
        """Commit or roll back; return what became visible, by group and id."""
        if commits:
            self.connection.commit()
        self.connection.close()
        return self.stored if commits else []


class Play:
    """One schedule: writers, runs, killed runs and time, drawn from a seed."""

    def __init__(self, reporter: Reporter, elsewhere: dict[str, str], seed: int) -> None:
        self.reporter = reporter
        self.elsewhere = connect(elsewhere, what="elsewhere", limits={})
        self.random = Random(seed)  # noqa: S311 - a schedule to be played again, no secret
        self.now = START
        self.number = 0
        self.writers: list[Writer] = []
        self.visible: list[tuple[str, str]] = []
        reporter.groups(*house())
        reporter.run(START)

    def new_event(self, at: datetime) -> tuple[str, Stored]:
        self.number += 1
        name = self.random.choice((ALICE, BOB, CAROL))
        severity = self.random.choice(SEVERITIES)
        where = address(name, self.number)
        if self.random.random() < 0.5:
            return name, attack(f"{self.number:03}", at, where, severity)
        return name, event(f"{self.number:03}", at, where, severity=severity)

    # What may happen

    def open_writer(self) -> None:
        if len(self.writers) < 4:
            writer = Writer(self.reporter, self.now + timedelta(minutes=self.random.randrange(10)))
            self.writers.append(writer)
            self.write(writer)

    def write(self, writer: Writer) -> None:
        """Store an event under a savepoint, which is kept, released or rolled back."""
        name, found = self.new_event(writer.begun)
        how = self.random.choice(("plain", "kept", "released", "rolled back"))
        if how != "plain":
            writer.say("savepoint try")
        insert_events(writer.connection, (found,))
        if how == "released":
            writer.say("release try")
        if how == "rolled back":
            writer.say("rollback to try")
        else:
            writer.stored.append((name, found.id))

    def write_on(self) -> None:
        if self.writers:
            self.write(self.random.choice(self.writers))

    def end_writer(self) -> None:
        if self.writers:
            writer = self.writers.pop(self.random.randrange(len(self.writers)))
            self.visible += writer.end(commits=self.random.random() < 0.9)

    def store_at_once(self) -> None:
        name, found = self.new_event(self.now + timedelta(microseconds=self.random.randrange(600_000_000)))
        self.reporter.store(found)
        self.visible.append((name, found.id))

    def burn(self) -> None:
        """Take a transaction id in another database of the cluster, and perhaps hold it."""
        with self.elsewhere.cursor() as cursor:
            cursor.execute("select pg_current_xact_id()")
        if self.random.random() < 0.7:
            self.elsewhere.commit()

    def run(self) -> None:
        self.now += self.random.choice(STRIDES)
        self.reporter.run(self.now)

    def killed_run(self) -> None:
        self.now += TEN
        with suppress(pytest.fail.Exception), dying(self.random.randrange(3)):  # it may have less to do
            self.reporter.run(self.now)

    def play(self) -> None:
        deeds: dict[Callable[[], None], int] = {
            self.open_writer: 3, self.write_on: 4, self.end_writer: 3, self.store_at_once: 6, self.burn: 2,
            self.run: 7, self.killed_run: 1,
        }  # fmt: skip
        for deed in self.random.choices(list(deeds), list(deeds.values()), k=STEPS):
            deed()
        while self.writers:
            self.end_writer()
        self.elsewhere.close()
        for day in range(1, 10):
            self.reporter.run(self.now + day * DAY)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_w4_whatever_the_schedule_each_committed_event_is_told_once(
    reporter: Reporter, make_database: Callable[..., dict[str, str]], seed: int
) -> None:
    game = Play(reporter, make_database(empty=True), seed)

    game.play()

    assert told_or_held(reporter) == once(game.visible)
    assert owed(reporter) == SETTLED
