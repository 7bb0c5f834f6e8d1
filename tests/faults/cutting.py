"""Connections that tell of each statement and commit, and are cut there; and something to do for a run."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any, ClassVar

import psycopg2
import pytest
from conftest import Dsn, MakeDatabase, temporary_database
from factories import compiled_catalogues
from integration.helpers_run import ALICE, BOB, CAROL, DAY, HOUR, MINUTE, START, Reporter, event, group
from psycopg2.extensions import make_dsn

from mentat_reporter.errors import ReporterError
from mentat_reporter.outside import Outside
from mentat_reporter.store.connection import Connection, connect


class Watched(Connection):
    """Tells of each statement and commit before it is sent."""

    seen: ClassVar[Callable[["Watched", str], None]]

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        return super().cursor(*arguments, **{"cursor_factory": WatchedCursor, **options})

    last: Any = None
    """The parameters of the last statement."""

    def commit(self) -> None:
        Watched.seen(self, "commit")
        super().commit()


class WatchedCursor(psycopg2.extensions.cursor):
    def execute(self, query: Any, parameters: Any = None) -> None:
        assert isinstance(self.connection, Watched)
        self.connection.last = parameters
        Watched.seen(self.connection, str(query))
        super().execute(query, parameters)


def terminate(connection: Connection) -> None:
    """End a connection's backend, as an administrator or a crash would, and wait until it is gone."""
    dsn = connection.get_dsn_parameters()
    keywords = {name: dsn[name] for name in ("host", "port", "user", "dbname") if name in dsn}
    with closing(psycopg2.connect(make_dsn(**keywords))) as admin, admin.cursor() as cursor:
        cursor.execute("select pg_terminate_backend(%s, 10000)", (connection.info.backend_pid,))


class Cut:
    """Ends the backend that works at the boundary `number`, and those at the next ones up to `times`."""

    def __init__(self, number: int, times: int = 1) -> None:
        self.number = number
        self.left = times
        self.count = 0

    def __call__(self, connection: Watched, _what: str) -> None:
        self.count += 1
        if self.count >= self.number and self.left:
            self.left -= 1
            terminate(connection)

    @property
    def happened(self) -> bool:
        return self.count >= self.number


def cutting(monkeypatch: pytest.MonkeyPatch, cut: Callable[[Watched, str], None]) -> Outside:
    monkeypatch.setattr(Watched, "seen", cut, raising=False)
    return Outside(connect=partial(connect, factory=Watched), sleep=lambda _seconds: None)


def fill(reporter: Reporter) -> None:
    """Leave thresholds, a held event that relapses, mails that wait, and events to come."""
    reporter.config |= {"mail_transport": "smtp", "smtp_host": "127.0.0.1", "smtp_port": 9}
    reporter.groups(
        group(ALICE, "192.0.2.0/24", mode="both"),
        group(BOB, "198.51.100.0/24"),
        group(CAROL, "198.51.0.0/16"),
    )
    reporter.store(event("first", START - DAY - MINUTE, severity="high"))
    reporter.run(START - DAY)
    reporter.store(event("held", START - HOUR - MINUTE, severity="high"))
    reporter.run(START - HOUR)
    reporter.config["mail_transport"] = "maildir"
    at = START - MINUTE
    reporter.store(
        event("new", at, "192.0.2.7", severity="high"),
        event("other", at, "198.51.100.1", "198.51.7.1", severity="high"),
        event("attack", at, targets=("192.0.2.9",), severity=None, target_severity="high"),
        event("lone", at, "10.0.0.1", severity="medium"),
    )


def run(reporter: Reporter, *now: Any, **options: Any) -> int:
    try:
        return reporter.run(*now, **options).exit_code
    except ReporterError as error:
        return error.exit_code


Copy = Callable[[], Reporter]


@pytest.fixture(scope="module")
def prepared(server: Dsn, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dsn]:
    """Give a database that `fill` filled."""
    compiled_catalogues()
    with temporary_database(server, template) as dsn:
        made = Reporter(dsn, tmp_path_factory.mktemp("prepared"))
        fill(made)
        made.connection.close()
        yield dsn


@pytest.fixture
def copy(
    prepared: Dsn, make_database: MakeDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Copy]:
    """Give a function that makes a reporter with a copy of what is prepared."""
    made: list[Reporter] = []

    def make() -> Reporter:
        made.append(Reporter(make_database(of=prepared["dbname"]), tmp_path_factory.mktemp("copy")))
        return made[-1]

    yield make
    for each in made:
        each.connection.close()


def reports(reporter: Reporter) -> list[tuple[Any, ...]]:
    return reporter.rows(
        "select label, statistics -> 'list_ids', evcount_rep, evcount_rlp, flag_mailed"
        " from reports_events order by label"
    )


def assert_told_once(found: Reporter, expected: Reporter) -> None:
    """Compare with an undisturbed reporter whose windows may have been others; only a mail may come twice."""
    assert found.told() == expected.told()
    ids = [mail["Message-ID"] for mail in found.mails()]
    assert len(ids) <= len(set(ids)) + 1
    assert {str(found_id) for found_id in ids} == {
        message_id for (message_id,) in found.rows("select message_id from mentat_reporter.outbox")
    }
    assert found.rows("select distinct state from mentat_reporter.outbox") == [("sent",)]


def assert_same(found: Reporter, expected: Reporter) -> None:
    """Compare with an undisturbed reporter that had the same windows."""
    assert_told_once(found, expected)
    assert reports(found) == reports(expected)
    for table in ("considered", "threshold", "thresholded_event", "unit_retry"):
        assert found.tables()[table] == expected.tables()[table], table
