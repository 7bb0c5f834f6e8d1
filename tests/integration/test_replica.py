"""Events that are read from another server than the one that stores them."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from factories import compiled_catalogues
from integration.helpers_run import (
    ALICE,
    BOB,
    DAY,
    HOUR,
    MINUTE,
    START,
    Reporter,
    Stored,
    event,
    insert_events,
)

from mentat_reporter.store import events, schema
from mentat_reporter.store.accounts import Account, run
from mentat_reporter.store.connection import Connection, Dsn, connect, transaction
from mentat_reporter.store.embedded import Cluster

LATE = "events that become visible late are found within late_margin"


class Replicated:
    """A reporter whose events are read from a streaming replica, and stored at its primary."""

    def __init__(self, reporter: Reporter, primary: Connection, replica: Dsn) -> None:
        self.reporter = reporter
        self.primary = primary
        self.replica = replica

    def store(self, *stored: Stored) -> None:
        """Store events, and wait until the replica has them."""
        with transaction(self.primary):
            insert_events(self.primary, stored)
        with self.primary.cursor() as cursor:
            cursor.execute("select pg_current_wal_insert_lsn()::text")
            [(written,)] = cursor.fetchall()
        self.primary.rollback()
        self.wait(f"select pg_last_wal_replay_lsn() >= '{written}'")

    def wait(self, condition: str) -> None:
        with closing(connect(self.replica, what="replica", limits={})) as connection:
            connection.autocommit = True
            for _ in range(600):
                with connection.cursor() as cursor:
                    cursor.execute(condition)
                    if cursor.fetchall() == [(True,)]:
                        return
                time.sleep(0.1)
        pytest.fail(f"never came true: {condition}")


@pytest.fixture
def replicated(database: Dsn, tmp_path: Path) -> Iterator[Replicated]:
    """Give two servers of our own: one that stores events, and its streaming replica."""
    compiled_catalogues()
    home = Path(tempfile.mkdtemp(prefix="mentat-reporter-replica-"))
    home.chmod(0o755)
    primary, replica = Cluster(home / "primary", durable=False), Cluster(home / "replica", durable=False)
    try:
        dsn = primary.start()
        with closing(connect(dsn, what="events", limits={})) as stored:
            schema.initialise(stored, None)
            replica.start()  # makes its folders, as its account may use them
            replica.stop()
            follow(dsn, primary, replica)
            reporter = Reporter(database, tmp_path)
            reporter.config["__core__database"]["eventstorage"] = replica.start()
            with closing(reporter.connection):
                yield Replicated(reporter, stored, replica.dsn)
    finally:
        replica.stop()
        primary.stop()
        shutil.rmtree(home, ignore_errors=True)


def follow(dsn: Dsn, primary: Cluster, replica: Cluster) -> None:
    """Put a copy of the primary, which follows it, where the replica's own data are."""
    owner = replica.data.stat()
    account = Account(owner.st_uid, owner.st_gid)
    postmaster = Path(f"/proc/{(primary.data / 'postmaster.pid').read_text().split()[0]}/exe").resolve()
    for entry in replica.data.iterdir():  # it stays itself: only its owner may write there
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    done = run(
        [
            postmaster.with_name("pg_basebackup"), "-D", replica.data, "-h", dsn["host"], "-p", dsn["port"],
            "-U", dsn["user"], "-R", "-N", "-c", "fast",
        ],
        account,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    with (replica.data / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(
            "max_standby_streaming_delay = 0\n"
        )  # whoever is in the way of the primary is cut off at once


def scans(count: int) -> list[Stored]:
    return [event(f"{n}", START - HOUR, f"192.0.2.{n % 200}") for n in range(count)]


def test_events_are_read_from_a_replica_within_the_margin_alone(
    replicated: Replicated, caplog: pytest.LogCaptureFixture
) -> None:
    reporter = replicated.reporter
    reporter.groups()
    replicated.store(event("one", START - HOUR))
    reporter.run(START)
    replicated.store(
        event("late", START - MINUTE, "192.0.2.9"), event("too late", START - HOUR, "192.0.2.10")
    )
    reporter.run(START + DAY)

    assert reporter.told()[ALICE] == ["late", "one"]
    assert {window["snap_xmin"] for window in reporter.windows()} == {None}
    assert f"the events database is a read-only replica: {LATE}" in caplog.text


@pytest.mark.parametrize(
    "conflict", ["alter table events add column other text", "lock table events in access exclusive mode"]
)
def test_a_stream_that_is_in_the_primarys_way_is_read_again(
    replicated: Replicated,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    conflict: str,
) -> None:
    reporter = replicated.reporter
    reporter.groups()
    replicated.store(*scans(2000), event("bob", START - HOUR, "198.51.100.7"))
    cut_in(monkeypatch, lambda: clash(replicated, conflict))

    result = reporter.run(START)

    assert result.failures == []
    assert "lost the database" in caplog.text
    assert reporter.told() == {ALICE: sorted(f"{n}" for n in range(2000)), BOB: ["bob"]}


def test_a_statement_that_is_cancelled_leaves_its_window_to_the_next_run(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = replicated.reporter
    reporter.groups()
    replicated.store(*scans(100))
    with monkeypatch.context() as cancelled:
        cut_in(cancelled, lambda: cancel(replicated.reporter))
        result = reporter.run(START)

    assert len(result.failures) == 1
    assert "low events cannot be worked: " in result.failures[0]
    assert reporter.told() == {}
    reporter.run(START + 10 * MINUTE)
    assert reporter.told() == {ALICE: sorted(f"{n}" for n in range(100))}


def cut_in(monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Have something happen, once, when the first event of a stream was read."""
    whole = events.stream
    waits = [what]

    def stream(*arguments: object, **options: object) -> Iterator[events.Raw]:
        for number, raw in enumerate(whole(*arguments, **options)):  # type: ignore[arg-type]
            if number == 0 and waits:
                waits.pop()()
            yield raw

    monkeypatch.setattr("mentat_reporter.deal.events.stream", stream)


def clash(replicated: Replicated, conflict: str) -> None:
    """Have the primary take a lock that the replica's reader is in the way of."""
    with transaction(replicated.primary), replicated.primary.cursor() as cursor:
        cursor.execute(conflict)
        cursor.execute("create table noted ()")  # so that there is something to commit
        cursor.execute("drop table noted")
    ours = "select count(*) = 0 from pg_stat_activity where application_name = 'mentat-reporter'"
    replicated.wait(f"{ours} and state = 'idle in transaction'")


def cancel(reporter: Reporter) -> None:
    """Fail as a statement does that the replica cancels while it is at work on it."""
    with transaction(reporter.connection), reporter.connection.cursor() as cursor:
        cursor.execute("do $$ begin raise exception using errcode = '40001', message = 'conflict'; end $$")


def test_events_in_foreign_tables_are_known_to_be_elsewhere(connection: Connection) -> None:
    assert events.elsewhere(connection) is None
    with connection.cursor() as cursor:
        cursor.execute(
            "create foreign data wrapper other; create server other foreign data wrapper other;"
            " alter table events rename to kept;"
            " create table events (like kept) partition by hash (id);"
            " create foreign table a partition of events for values with (modulus 1, remainder 0)"
            " server other"
        )

    assert events.elsewhere(connection) == "spread over several servers"
