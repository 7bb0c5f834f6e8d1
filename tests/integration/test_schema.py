"""Tables are made, migrated and looked for; every query fits them."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.resources import files

import psycopg2
import pytest

from mentat_reporter.errors import StoreError
from mentat_reporter.store import queries, schema
from mentat_reporter.store.connection import Connection, connect, transaction

MakeDatabase = Callable[..., dict[str, str]]

DUMPS = (
    """select table_name, column_name, ordinal_position, data_type, is_nullable, column_default, is_identity
       from information_schema.columns where table_schema = 'mentat_reporter' order by 1, 3""",
    """select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
       where connamespace = 'mentat_reporter'::regnamespace order by 1, 2""",
    "select tablename, indexdef from pg_indexes where schemaname = 'mentat_reporter' order by 1, 2",
)


@pytest.fixture
def empty(make_database: MakeDatabase) -> Iterator[Connection]:
    with closing(connect(make_database(empty=True), what="main", limits={})) as opened:
        yield opened


def rows(connection: Connection, statement: str) -> list[tuple[object, ...]]:
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def execute(connection: Connection, statement: str) -> None:
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute(statement)


def require(main: Connection, events: Connection) -> None:
    schema.require_main(main)
    schema.require_events(events)


def test_an_empty_database_gets_everything_and_a_second_time_nothing(empty: Connection) -> None:
    first = schema.initialise(empty, None)
    second = schema.initialise(empty, None)

    applied = ["applied"] * len(schema.migrations())
    assert [line.split()[0] for line in first] == ["created"] * 3 + applied + ["schema"]
    assert all(line.endswith("nothing to do") for line in second)
    assert schema.current_version(empty) == schema.migrations()[-1].number
    require(empty, empty)


def test_events_may_have_a_database_of_their_own(empty: Connection, make_database: MakeDatabase) -> None:
    with closing(connect(make_database(empty=True), what="events", limits={})) as events:
        schema.initialise(empty, events)

        require(empty, events)
        assert rows(events, "select to_regclass('groups'), to_regclass('mentat_reporter.outbox')") == [
            (None, None)
        ]
        with pytest.raises(StoreError, match="events, events_json"):
            require(empty, empty)


def test_tables_that_are_there_are_left_alone(empty: Connection) -> None:
    for table in schema.MAIN_TABLES + schema.EVENT_TABLES:
        execute(empty, f"create table {table} (kept integer)")

    schema.initialise(empty, None)

    assert rows(empty, "select column_name from information_schema.columns where table_name = 'groups'") == [
        ("kept",)
    ]


def test_a_part_of_mentats_tables_is_refused_by_name(empty: Connection) -> None:
    for table in schema.MAIN_TABLES[1:]:
        execute(empty, f"create table {table} (kept integer)")

    with pytest.raises(StoreError, match="only a part of Mentat's tables: groups are missing"):
        schema.initialise(empty, None)


def test_a_run_without_tables_is_told_to_init(empty: Connection) -> None:
    with pytest.raises(StoreError, match=r"no schema mentat_reporter: run `mentat-reporter.py init`"):
        require(empty, empty)
    assert schema.current_version(empty) == 0


def test_a_missing_table_and_a_missing_migration_are_told(connection: Connection) -> None:
    execute(connection, "drop table detectors")
    with pytest.raises(StoreError, match=r"lacks the tables detectors: run `mentat-reporter.py init`"):
        require(connection, connection)

    execute(connection, "create table detectors (); delete from mentat_reporter.migration")
    with pytest.raises(StoreError, match=r"is at 0, not at [0-9]+: run"):
        require(connection, connection)


def test_a_database_of_a_newer_program_is_refused(connection: Connection) -> None:
    execute(connection, "insert into mentat_reporter.migration (number, name) values (9999, 'later')")

    with pytest.raises(StoreError, match="is at 9999, this program knows"):
        require(connection, connection)
    with pytest.raises(StoreError, match="upgrade"):
        schema.initialise(connection, None)


def test_migrations_make_what_the_schema_file_shows(connection: Connection, empty: Connection) -> None:
    shown = files("mentat_reporter.store") / "sql" / "schema" / "mentat_reporter.sql"
    execute(empty, shown.read_text(encoding="utf-8"))

    for dump in DUMPS:
        assert rows(empty, dump) == rows(connection, dump)


# those of tables that only Mentat has are asked in tests/mentat
@pytest.mark.parametrize("name", [name for name in queries.names() if not name.startswith("mentat.")])
def test_a_query_fits_the_tables(connection: Connection, name: str) -> None:
    numbers: dict[str, str] = {}

    def numbered(match: re.Match[str]) -> str:
        return numbers.setdefault(match[1], f"${len(numbers) + 1}")

    statement = re.sub(r"%\((\w+)\)s", numbered, queries.get(name)).replace("%%", "%")

    try:
        execute(connection, f"prepare fitting as {statement}")
    except psycopg2.Error as error:
        pytest.fail(f"{name}: {error}")
