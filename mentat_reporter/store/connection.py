"""Connections to PostgreSQL: URLs and keywords, time limits, tidy errors."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import connection as Connection  # noqa: N812 - the class, named as the type it is

from mentat_reporter.errors import StoreError, UsageError
from mentat_reporter.store.queries import get

Dsn = Mapping[str, str]
"""libpq keywords: dbname, user, password, host, port …"""

STATE_LIMITS: Final = {
    # docs/reliability.md
    "statement_timeout": "5min",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "2min",
    # a report whose mail has left must survive a power cut, whatever the database is set to
    "synchronous_commit": "on",
}
EVENT_LIMITS: Final = {"statement_timeout": "5min", "lock_timeout": "5s"}
"""The stream of events may wait while a unit renders."""
EVENT_READS: Final = {**EVENT_LIMITS, "default_transaction_read_only": "on"}
"""A run only looks at the events database, and could do no more."""

__all__ = [
    "EVENT_LIMITS",
    "EVENT_READS",
    "STATE_LIMITS",
    "Connection",
    "Dsn",
    "connect",
    "dsn_from_url",
    "explained",
    "is_lost",
    "reading",
    "transaction",
]


def _split(url: str) -> tuple[SplitResult, int | None]:
    """Return the parts of a URL, and its port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text may quote a part of the password
        parts, port = SplitResult("postgresql", "", "@", "", ""), None
    if "@" in parts.path or parts.fragment:
        raise UsageError(
            "__core__database.sqlstorage.url has no usable host and port; in a user or password write "
            "/ ? # [ ] @ : % as %2F %3F %23 %5B %5D %40 %3A %25"
        )
    return parts, port


def dsn_from_url(url: str) -> dict[str, str]:
    """Read an SQLAlchemy URL of PostgreSQL, `postgresql+driver://user:password@host:port/name?key=value`.

    Any driver is ignored. Raises UsageError, which never quotes the password.
    """
    parts, port = _split(url)
    if not re.fullmatch(r"postgres(ql)?(\+\w+)?", parts.scheme):
        raise UsageError(
            "__core__database.sqlstorage.url must start with postgresql://, "
            f"not {parts.scheme or 'nothing'}://; only PostgreSQL is supported"
        )
    found = {
        "dbname": unquote(parts.path.lstrip("/")),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": unquote(parts.hostname or ""),
        "port": str(port or ""),
        **dict(parse_qsl(parts.query)),
    }
    return {keyword: value for keyword, value in found.items() if value}


def connect(
    dsn: Dsn, *, what: str, limits: Mapping[str, str], factory: type[Connection] = Connection
) -> Connection:
    """Open a connection in UTC and UTF-8. `what` names the database in errors; raises StoreError.

    `factory` makes the connection, if it is to be of a class of its own.
    """
    options = " ".join(["-c timezone=UTC", *(f"-c {name}={value}" for name, value in limits.items())])
    try:
        keywords = {
            **dsn,
            "options": options,
            "connect_timeout": "30",
            # a peer that is silently gone is noticed in two minutes, while the lock is held
            "keepalives_idle": "60",
            "keepalives_interval": "10",
            "keepalives_count": "6",
            "tcp_user_timeout": "120000",
            "client_encoding": "UTF8",
            "application_name": "mentat-reporter",
        }
        return psycopg2.connect(psycopg2.extensions.make_dsn(**keywords), connection_factory=factory)
    except psycopg2.Error as error:
        where = ", ".join(f"{key} {dsn[key]}" for key in ("host", "port", "dbname", "user") if key in dsn)
        raise StoreError(
            f"cannot connect to the {what} database ({where or 'libpq defaults'}): "
            f"{str(error).strip().splitlines()[-1]}; see __core__database in the configuration"
        ) from error


def explained(error: Exception) -> Exception:
    """Return a database's error as a StoreError in one line; others as they are."""
    if not isinstance(error, psycopg2.Error):
        return error
    return StoreError(
        f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}; what was committed stands, "
        "the next run goes on"
    )


def is_lost(connection: Connection) -> bool:
    """Ask a connection on which nothing is under way whether it is gone; the library does not always know."""
    if connection.closed:
        return True
    try:
        connection.rollback()
        with connection.cursor() as cursor:
            cursor.execute(get("state.ping"))
        connection.rollback()
    except psycopg2.Error:
        return True
    return False


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Commit when the block ends, roll back when it raises."""
    try:
        yield
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    connection.commit()


@contextmanager
def reading(connection: Connection | None) -> Iterator[None]:
    """Have all that is read in the block be of one moment, and nothing written; None: do nothing."""
    if connection is None:
        yield
        return
    connection.rollback()
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    try:
        yield
    finally:
        if not connection.closed:
            connection.rollback()
            connection.set_session(isolation_level="DEFAULT", readonly="default")
