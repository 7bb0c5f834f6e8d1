"""W4: what becomes visible late, by writers that hold their transactions open, is told once."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from threading import Event, Thread

import pytest
from faults.helpers_told import SETTLED, SEVERITIES, TEN, address, attack, house, once, owed, told_or_held
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    GROUPS,
    HOUR,
    MINUTE,
    START,
    Reporter,
    Stored,
    event,
    insert_events,
    reporter,
)

from mentat_reporter.store.connection import Connection, connect

__all__ = ["reporter"]

BURN = "select pg_current_xact_id()"
"""Takes a transaction id."""


@pytest.fixture
def writer(reporter: Reporter) -> Iterator[Connection]:
    """Give a connection that stores what becomes visible when it commits."""
    with closing(connect(reporter.dsn, what="writer", limits={})) as opened:
        yield opened


def run_sql(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@contextmanager
def noise(dsn: Mapping[str, str]) -> Iterator[None]:
    """Burn transaction ids all the time, as other users of a busy cluster do."""
    over = Event()

    def burn() -> None:
        with closing(connect(dsn, what="noise", limits={})) as busy:
            while not over.wait(0.001):
                run_sql(busy, BURN)
                busy.commit()

    thread = Thread(target=burn)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def store_by_savepoints(writer: Connection, *events: Stored) -> None:
    """Store events as a bulk writer does: a subtransaction each, released; some tries are rolled back."""
    for number, found in enumerate(events):
        run_sql(writer, "savepoint try")
        insert_events(writer, (found._replace(id=f"{found.id} rolled back"),))
        run_sql(writer, "rollback to try")
        insert_events(writer, (found,))
        if number % 2:
            run_sql(writer, "release try")


DELAYS = pytest.mark.parametrize(
    ("delay", "step"),
    [
        pytest.param(timedelta(seconds=1), TEN, id="1 s"),
        pytest.param(6 * MINUTE, TEN, id="6 min"),
        pytest.param(3 * HOUR, 30 * MINUTE, id="3 h"),
        pytest.param(23 * HOUR, 140 * MINUTE, id="23 h"),
    ],
)


@DELAYS
@pytest.mark.parametrize("cluster", ["quiet", "noisy", "noise in another database"])
def test_w4_what_a_writer_commits_late_is_told_once(
    reporter: Reporter,
    writer: Connection,
    make_database: Callable[..., dict[str, str]],
    cluster: str,
    delay: timedelta,
    step: timedelta,
) -> None:
    reporter.groups()
    reporter.run(START)
    stored = START + TEN - timedelta(milliseconds=500)
    late = [attack(f"late {n}", stored, f"192.0.2.{n}") for n in range(1, 5)]
    in_time = [event(f"b {n}", START + n * step + MINUTE, f"198.51.100.{n + 1}", severity="high")
               for n in range(int(delay / step) + 2)]  # fmt: skip
    noisy = reporter.dsn if cluster == "noisy" else make_database(empty=True)

    def play() -> None:
        store_by_savepoints(writer, *late)
        reporter.store(*in_time)
        now = START + TEN
        while now < stored + delay:
            reporter.run(now)
            now += step
        assert ALICE not in reporter.told()
        writer.commit()
        for number in range(4):
            reporter.run(now + number * TEN)

    if cluster == "quiet":
        play()
    else:
        with noise(noisy):
            play()

    wanted = [(ALICE, found.id) for found in late] + [(BOB, found.id) for found in in_time]
    assert told_or_held(reporter) == once(wanted)
    assert owed(reporter) == SETTLED


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", [ALICE, BOB, CAROL], ids=["common", "quick", "slow"])
def test_w4_what_is_committed_after_a_period_is_told_once_in_each_severity(
    reporter: Reporter, writer: Connection, name: str, severity: str
) -> None:
    reporter.groups(*house())
    reporter.run(START)
    period = max(
        window["period"]
        for window in reporter.windows()
        if window["severity"] == severity and window["clock"] in ("", name)
    )
    step = max(TEN, period / 4)
    late = [attack(f"{n}", START + n * MINUTE, address(name, n), severity) for n in (0, 1, 4)]
    store_by_savepoints(writer, *late)
    reporter.store(attack("in time", START + 2 * MINUTE, address(name, 9), severity))

    for number in range(1, 10):
        reporter.run(START + number * step)
    assert told_or_held(reporter) == once([(name, "in time")])
    writer.commit()
    for number in range(10, 16):
        reporter.run(START + number * step)

    assert told_or_held(reporter) == once([(name, "in time"), *((name, found.id) for found in late)])
    assert owed(reporter) == SETTLED


def test_w4_a_writer_may_commit_in_between_and_go_on(reporter: Reporter, writer: Connection) -> None:
    reporter.groups(*house())
    reporter.run(START)
    wanted = []
    for number in range(1, 9):
        at = START + number * TEN
        for name in (ALICE, BOB, CAROL):
            found = attack(f"{name} {number}", at - MINUTE, address(name, number))
            store_by_savepoints(writer, found)
            wanted.append((name, found.id))
        reporter.run(at)
        if number in (3, 4, 7):
            writer.commit()
    writer.commit()
    for number in range(1, 5):
        reporter.run(START + 9 * TEN + number * 8 * HOUR)

    assert told_or_held(reporter) == once(wanted)


def test_w4_overlapping_writers_that_commit_out_of_order_lose_and_repeat_nothing(
    reporter: Reporter,
) -> None:
    reporter.groups(*house())
    reporter.run(START)
    begins, lasts = range(8), (5, 1, 9, 2, 0, 7, 3, 12)
    writers: dict[int, Connection] = {}
    wanted = []
    for number in range(24):
        now = START + number * TEN
        for which in begins:
            if number == which:
                writers[which] = connect(reporter.dsn, what="writer", limits={})
                for group_number, name in enumerate((ALICE, BOB, CAROL)):
                    found = attack(f"{name} {which}", now + MINUTE, address(name, which + 10 * group_number))
                    store_by_savepoints(writers[which], found)
                    wanted.append((name, found.id))
            if number == which + lasts[which]:
                writers[which].commit()
        reporter.run(now + TEN)
    for which in begins:
        writers[which].close()
    for days in range(1, 3):
        reporter.run(START + days * DAY)

    assert told_or_held(reporter) == once(wanted)
    assert owed(reporter) == SETTLED


@pytest.mark.parametrize("at", ["another database", "this database"])
def test_w4_a_long_transaction_that_stores_nothing_loses_and_repeats_nothing_and_is_warned_of(
    reporter: Reporter,
    make_database: Callable[..., dict[str, str]],
    caplog: pytest.LogCaptureFixture,
    at: str,
) -> None:
    reporter.groups()
    reporter.run(START)
    dsn = reporter.dsn if at == "this database" else make_database(empty=True)
    wanted = []
    with closing(connect(dsn, what="long writer", limits={})) as long:
        run_sql(long, BURN)
        for number in range(1, 20):
            now = START + number * 2 * HOUR
            found = attack(str(number), now - 3 * MINUTE, f"192.0.2.{number}")
            reporter.store(found)
            wanted.append((ALICE, found.id))
            reporter.run(now)
        held_back = [record for record in caplog.records if "has been open" in record.getMessage()]
        long.commit()
    for number in range(1, 4):
        reporter.run(now + number * TEN)

    assert told_or_held(reporter) == once(wanted)
    assert {record.levelname for record in held_back} == {"WARNING"}
    lagging = reporter.windows()[-1]
    assert lagging["lo"] - lagging["fetch_lo"] == 5 * MINUTE  # it has caught up


def test_w4_an_old_writer_is_seen_by_a_clock_that_a_group_takes_meanwhile(
    reporter: Reporter, writer: Connection
) -> None:
    reporter.groups()
    reporter.run(START)
    late = [attack(f"{n}", START + n * MINUTE, f"192.0.2.{n}") for n in range(1, 9)]
    store_by_savepoints(writer, *late)
    for number in range(1, 4):
        reporter.run(START + number * TEN)
    reporter.groups({**GROUPS[0], "settings": {"emails": {"info": [ALICE]}, "timing": {
        "high": {"period": "1hr"}}}}, *GROUPS[1:])  # fmt: skip
    for number in range(4, 12):
        reporter.run(START + number * TEN)
    writer.commit()
    for number in range(12, 20):
        reporter.run(START + number * TEN)

    assert told_or_held(reporter) == once((ALICE, found.id) for found in late)
