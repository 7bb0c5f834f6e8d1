"""A PostgreSQL server for the session, a database of its own for every test that asks for one."""

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from mentat_reporter.store import schema
from mentat_reporter.store.connection import STATE_LIMITS, Connection, connect
from mentat_reporter.store.embedded import Cluster

# A shell that starts the tests in the background has them, and all that they start, ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is timed: machines are shared. Continuous integration draws the same examples each time, so that
# a submission is judged for what it changes; everybody else draws new ones.
for name, same in (("new", False), ("same", True)):
    hypothesis_settings.register_profile(
        name, deadline=None, derandomize=same, suppress_health_check=[HealthCheck.too_slow]
    )
hypothesis_settings.load_profile("same" if os.environ.get("CI") else "new")

Dsn = dict[str, str]
MakeDatabase = Callable[..., Dsn]


@pytest.fixture(scope="session")
def server() -> Iterator[Dsn]:
    """Give a server that may create databases: `$MENTAT_REPORTER_TEST_DSN`, else one for this process."""
    if named := os.environ.get("MENTAT_REPORTER_TEST_DSN"):
        yield {keyword: str(value) for keyword, value in parse_dsn(named).items()}
        return
    home = Path(tempfile.mkdtemp(prefix="mentat-reporter-test-"))
    cluster = Cluster(home, durable=False)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def template(server: Dsn) -> Iterator[str]:
    """Give the name of a database with all tables, which is never connected to again."""
    with temporary_database(server, "template0") as dsn:
        with closing(connect(dsn, what="template", limits={})) as connection:
            schema.initialise(connection, None)
        yield dsn["dbname"]


@pytest.fixture
def make_database(server: Dsn, request: pytest.FixtureRequest) -> Iterator[MakeDatabase]:
    """Make databases that are dropped after the test: with all tables, or `empty=True`, or as another is.

    `of` names one that nobody is connected to.
    """
    opened: list[Any] = []

    def make(*, empty: bool = False, of: str = "") -> Dsn:
        source = "template0" if empty else of or request.getfixturevalue("template")
        opened.append(temporary_database(server, source))
        made: Dsn = opened[-1].__enter__()
        return made

    yield make
    for database in reversed(opened):
        database.__exit__(None, None, None)


@pytest.fixture
def database(make_database: MakeDatabase) -> Dsn:
    """Give the keywords of a fresh database with all tables, both Mentat's and the reporter's."""
    return make_database()


@pytest.fixture
def connection(database: Dsn) -> Iterator[Connection]:
    """Give a connection to `database`."""
    with closing(connect(database, what="test", limits=STATE_LIMITS)) as opened:
        yield opened


@pytest.fixture(scope="session")
def feeds() -> Path:
    """Give the folder of real messages, which are not part of the checkout."""
    named = os.environ.get("MENTAT_REPORTER_FEEDS")
    if not named:
        pytest.skip("MENTAT_REPORTER_FEEDS does not name the folder with idea-feeds.ndjson")
    return Path(named)


@contextmanager
def temporary_database(server: Dsn, source: str) -> Iterator[Dsn]:
    """Make a database like another, to which nobody is connected, and drop it at the end."""
    name = sql.Identifier(f"test_{uuid.uuid4().hex}")
    _execute(server, sql.SQL("create database {} template {}").format(name, sql.Identifier(source)))
    try:
        yield {**server, "dbname": name.string}
    finally:
        _execute(server, sql.SQL("drop database if exists {} with (force)").format(name))


def _execute(server: Dsn, statement: sql.Composable) -> None:
    with closing(psycopg2.connect(**server)) as connection:  # type: ignore[call-overload]
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
