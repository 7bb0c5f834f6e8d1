"""The tables: made where there are none, brought up to date, looked for before a run."""

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple

import psycopg2

from mentat_reporter.errors import StoreError
from mentat_reporter.store.connection import Connection, transaction
from mentat_reporter.store.queries import get

MAIN_TABLES: Final = (
    "groups", "networks", "filters", "settings_reporting", "detectors", "event_classes", "reports_events",
    "asoc_groups_reports",
)  # fmt: skip
EVENT_TABLES: Final = ("events", "events_json")
STATE_TABLES: Final = tuple(
    f"mentat_reporter.{name}"
    for name in (
        "run_window", "unit_done", "considered", "threshold", "thresholded_event", "unit_retry", "quarantine",
        "outbox", "outbox_recipient", "digest", "group_settings", "event_class_text",
    )
)  # fmt: skip
CURE: Final = "run `mentat-reporter.py init`"

_SCHEMA: Final = files("mentat_reporter.store") / "sql" / "schema"
_NUMBERED: Final = re.compile(r"([0-9]{4})_(\w+)\.sql")


class Migration(NamedTuple):
    number: int
    name: str
    statements: str


def migrations() -> list[Migration]:
    """Return the numbered files of `sql/schema`, in order."""
    found = ((_NUMBERED.fullmatch(entry.name), entry) for entry in _SCHEMA.iterdir())
    return sorted(
        Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8"))
        for match, entry in found
        if match is not None
    )


def initialise(main: Connection, events: Connection | None) -> list[str]:
    """Make what is missing and say so in lines: Mentat's tables on empty databases, the reporter's own
    schema in the main one. What is there is left alone. `events` None: the main database holds them.

    Raises StoreError when Mentat's tables are there in part.
    """
    try:
        return [
            *_create_tables(main, "main", MAIN_TABLES),
            *_create_tables(events or main, "events", EVENT_TABLES),
            *_migrate(main),
        ]
    except psycopg2.Error as error:
        raise StoreError(f"the database cannot be initialised: {str(error).strip()}") from error


def _create_tables(connection: Connection, what: str, tables: Sequence[str]) -> Iterator[str]:
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute(get("importing.lock"))
        missing = _missing(cursor, tables)
        where = f"the {what} database ({connection.info.dbname})"
        if not missing:
            yield f"{where} has Mentat's tables, nothing to do"
            return
        if len(missing) < len(tables):
            raise StoreError(
                f"{where} has only a part of Mentat's tables: {', '.join(missing)} are missing; "
                "complete them, or name an empty database"
            )
        cursor.execute((_SCHEMA / f"mentat_{what}.sql").read_text(encoding="utf-8"))
    yield f"created {', '.join(tables)} in {where}"


def _missing(cursor: Any, tables: Sequence[str]) -> list[str]:
    cursor.execute(get("importing.missing_tables"), {"tables": list(tables)})
    return [name for (name,) in cursor]


def _migrate(connection: Connection) -> Iterator[str]:
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute(get("importing.lock"))
        if not _has_schema(cursor):
            cursor.execute((_SCHEMA / "migration.sql").read_text(encoding="utf-8"))
            yield "created schema mentat_reporter"
    applied = 0
    for migration in migrations():
        with transaction(connection), connection.cursor() as cursor:
            cursor.execute(get("importing.lock"))
            if _version(cursor) >= migration.number:
                continue
            cursor.execute(migration.statements)
            cursor.execute(get("importing.record_migration"), migration._asdict())
            applied += 1
            yield f"applied migration {migration.number:04} ({migration.name}) to schema mentat_reporter"
    version = current_version(connection)
    if version > migrations()[-1].number:
        raise StoreError(_newer(version))
    yield f"schema mentat_reporter is at {version}{'' if applied else ', nothing to do'}"


def _newer(version: int) -> str:
    known = migrations()[-1].number
    return f"schema mentat_reporter is at {version}, this program knows {known}: upgrade mentat-reporter"


def _has_schema(cursor: Any) -> bool:
    return not _missing(cursor, ["mentat_reporter.migration"])


def _version(cursor: Any) -> int:
    cursor.execute(get("importing.version"))
    return int(cursor.fetchone()[0])


def current_version(connection: Connection) -> int:
    """Return the number of the last migration applied, 0 where there is no schema."""
    with transaction(connection), connection.cursor() as cursor:
        return _version(cursor) if _has_schema(cursor) else 0


def require_main(connection: Connection, *, writes: bool = True) -> None:
    """Raise StoreError unless the main database has what a run needs, and the role its rights; one query.

    Not `writes`: the right to read is enough.
    """
    _require(connection, "main", "main_state", MAIN_TABLES + STATE_TABLES, writes=writes)


def require_events(connection: Connection) -> None:
    """Raise StoreError unless the events database has what a run needs; one query."""
    _require(connection, "events", "events_state", EVENT_TABLES)


def _require(
    connection: Connection, what: str, query: str, tables: Sequence[str], *, writes: bool = False
) -> None:
    where = f"the {what} database ({connection.info.dbname})"
    try:
        with transaction(connection), connection.cursor() as cursor:
            cursor.execute(get(f"importing.{query}"), {"tables": list(tables)})
            missing, unread, unwritten, *version = cursor.fetchone() or ([], [], [])
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
        raise StoreError(f"{where} has no schema mentat_reporter: {CURE}") from None
    except psycopg2.Error as error:
        raise StoreError(f"{where} cannot be read: {str(error).strip()}") from error
    known = migrations()[-1].number
    if version and version[0] < known:
        raise StoreError(f"schema mentat_reporter in {where} is at {version[0]}, not at {known}: {CURE}")
    if version and version[0] > known:
        raise StoreError(_newer(version[0]))
    if missing:
        lost = any(name in STATE_TABLES for name in missing)
        cure = "restore them from a backup, `init` does not make them again" if lost else CURE
        raise StoreError(f"{where} lacks the tables {', '.join(missing)}: {cure}")
    if lacking := [*unread, *(unwritten if writes else [])]:
        raise StoreError(_ungranted(connection.info.user, where, lacking))


def _ungranted(role: str, where: str, lacking: Sequence[str]) -> str:
    grants = "; ".join(f'grant {right} to "{role}"' for right in lacking)
    return f"the role {role} lacks rights in {where}: have their owner {grants} (docs/mentat.md)"
