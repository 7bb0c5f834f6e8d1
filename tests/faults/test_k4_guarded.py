"""K4: what takes connections away from a run costs what it concerns, and nothing else."""

from contextlib import closing
from typing import Any, Final

import pytest
from conftest import MakeDatabase
from faults.cutting import Copy, Watched, copy, cutting, prepared, terminate
from faults.helpers_post import mailed_by
from faults.helpers_told import SETTLED, TEN, owed
from integration.conftest_delivery import Actor
from integration.helpers_run import ALICE, BOB, CAROL, LOG, MINUTE, START, Reporter, event, reporter

from mentat_reporter import run, unit
from mentat_reporter.core import report as reporting
from mentat_reporter.core import threshold as thresholding
from mentat_reporter.errors import StoreError
from mentat_reporter.outside import REAL
from mentat_reporter.store import events
from mentat_reporter.store.connection import connect, transaction

__all__ = ["copy", "prepared", "reporter"]

ADDRESSES: Final = {ALICE: "192.0.2.1", BOB: "198.51.100.1", CAROL: "203.0.113.1"}
STATES: Final = "select attempts, state from mentat_reporter.outbox"


# Units that end connections


def poison(connection: Watched, what: str) -> None:
    """End the connection whenever a report is to be stored that tells of a poisonous event."""
    if "insert into reports_events" in what and "poison" in str(connection.last):
        terminate(connection)


@pytest.mark.parametrize("names", [(ALICE, BOB), (ALICE, CAROL), (ALICE, BOB, CAROL)])
def test_k4_units_that_end_the_connection_each_time_are_put_off_and_the_others_are_served(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    reporter.groups()
    told = {name: [f"{'poison' if name in names else 'good'} {name}"] for name in ADDRESSES}
    at = START - MINUTE
    for name, address in ADDRESSES.items():
        reporter.store(event(told[name][0], at, address, severity="critical"))
        reporter.store(event(f"low {name}", at, f"{address}1", severity="low"))
    reporter.outside = cutting(monkeypatch, poison)

    result = reporter.run(START)

    assert result.exit_code == 3
    failed = [line for line in result.failures if "will be tried again" in line]
    assert [line.partition(",")[0] for line in failed] == [f"group {name}" for name in names]
    assert all("the connection was lost at it" in line for line in failed)
    served = {name: sorted([f"low {name}", *(() if name in names else told[name])]) for name in ADDRESSES}
    assert reporter.told() == served
    assert sorted(reporter.recipients()) == sorted(name for name, ids in served.items() for _ in ids)
    assert reporter.rows("select group_name, attempts from mentat_reporter.unit_retry order by 1") == [
        (name, 1) for name in names
    ]
    reporter.outside = REAL
    assert reporter.run(START + TEN).exit_code == 0
    assert reporter.told() == {name: sorted([*told[name], f"low {name}"]) for name in ADDRESSES}
    assert owed(reporter) == SETTLED


# The events database alone is gone


@pytest.fixture
def apart(reporter: Reporter, make_database: MakeDatabase) -> Reporter:
    """Give a reporter whose events have a database of their own, with a mail that waits."""
    there = make_database()
    with closing(connect(there, what="events", limits={})) as events_there:
        home, reporter.connection = reporter.connection, events_there
        reporter.store(event("one", START - MINUTE, severity="critical"))
        reporter.store(event("two", START + 9 * MINUTE, "192.0.2.2", severity="critical"))
        reporter.connection = home
    reporter.groups()
    reporter.config["__core__database"]["eventstorage"] = there
    with Actor(MAIL="451 later") as server:
        mailed_by(reporter, server)
        reporter.run(START)
    assert reporter.rows(STATES) == [(1, "deferred")]
    return reporter


def without_events(reporter: Reporter) -> dict[str, str]:
    """Let nobody answer for the events database; return where it was."""
    section = reporter.config["__core__database"]
    there: dict[str, str] = section["eventstorage"]
    section["eventstorage"] = {"host": "127.0.0.1", "port": "1", "dbname": "mentat_events", "user": "mentat"}
    return there


def test_k4_deliver_sends_what_waits_while_the_events_database_is_down(apart: Reporter) -> None:
    without_events(apart)
    with Actor() as server:
        mailed_by(apart, server)

        result = run.deliver(apart.settings(time_high=START + TEN), LOG, lambda _text: None)

        assert (result.exit_code, result.delivered["sent"]) == (0, 1)
        assert len(server.mails) == 1
        assert apart.rows(STATES) == [(2, "sent")]


def test_k4_report_sends_what_waits_and_then_says_that_the_events_database_is_down(apart: Reporter) -> None:
    there = without_events(apart)
    with Actor() as server:
        mailed_by(apart, server)

        with pytest.raises(StoreError, match=r"the events database .*mentat_events") as caught:
            apart.run(START + TEN)

        assert caught.value.exit_code == 1
        assert "\n" not in str(caught.value)
        assert len(server.mails) == 1
        assert apart.rows(STATES) == [(2, "sent")]
        apart.config["__core__database"]["eventstorage"] = there
        assert apart.run(START + 2 * TEN).exit_code == 0
        assert apart.told() == {ALICE: ["one", "two"]}
        assert len(server.mails) == 2


# No transaction is open while there is work that needs none

IDLE: Final = """
select pid from pg_stat_activity
where datname = current_database() and application_name = 'mentat-reporter'
  and state like 'idle in transaction%%'
"""
MANY: Final = 20_000


class Onlooker:
    """Looks at the moments of a unit whether one of the run's connections has a transaction that idles."""

    def __init__(self, reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
        self._reporter = reporter
        self._monkeypatch = monkeypatch
        self.moments: set[str] = set()
        self.idle: list[str] = []

    def watch(self, module: Any, name: str) -> None:
        real = getattr(module, name)

        def look(*arguments: Any, **options: Any) -> Any:
            self._look(f"before {name}")
            found = real(*arguments, **options)
            self._look(f"after {name}")
            return found

        self._monkeypatch.setattr(module, name, look)

    def _look(self, moment: str) -> None:
        self.moments.add(moment.partition(" ")[2])
        self.idle += [moment for _ in self._reporter.rows(IDLE)]


@pytest.fixture
def onlook(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(reporter: Reporter) -> Onlooker:
        made = Onlooker(reporter, monkeypatch)
        made.watch(thresholding, "decide")
        made.watch(reporting, "gather")
        made.watch(reporting, "reports_of")
        made.watch(unit, "mails_of")
        return made

    return make


def multiply(reporter: Reporter, number: int) -> None:
    """Store as many copies of the one event there is, of all addresses of its group."""
    with transaction(reporter.connection), reporter.connection.cursor() as cursor:
        cursor.execute("select * from events limit 0")
        columns = [column.name for column in cursor.description or ()]
        values = ["'e' || n" if column == "id" else column for column in columns]
        cursor.execute(
            f"insert into events ({', '.join(columns)})"
            f" select {', '.join(values)} from events, generate_series(1, %s) n",
            (number,),
        )
        cursor.execute(
            "insert into events_json select 'e' || n, convert_to(replace(replace(convert_from(event, 'UTF8'),"
            " 'first', 'e' || n), '192.0.2.1', '192.0.2.' || n %% 250 + 1), 'UTF8')"
            " from events_json, generate_series(1, %s) n",
            (number,),
        )


def test_k4_no_transaction_idles_while_the_reports_of_a_large_unit_are_built(
    reporter: Reporter, onlook: Any
) -> None:
    reporter.groups()
    reporter.store(event("first", START - MINUTE, severity="critical"))
    multiply(reporter, MANY)
    onlooker = onlook(reporter)

    assert reporter.run(START).exit_code == 0

    assert onlooker.moments == {"decide", "gather", "reports_of", "mails_of"}
    assert onlooker.idle == []
    [report] = reporter.reports()
    assert report["evcount_rep"] == MANY + 1


def test_k4_no_transaction_idles_while_what_is_told_again_is_read(copy: Copy, onlook: Any) -> None:
    victim = copy()
    onlooker = onlook(victim)
    onlooker.watch(events, "by_ids")
    onlooker.watch(unit, "own")

    victim.run(START)

    assert onlooker.moments >= {"decide", "by_ids", "own", "gather", "reports_of", "mails_of"}
    assert onlooker.idle == []
