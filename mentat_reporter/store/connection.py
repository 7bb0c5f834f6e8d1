"""Connections to PostgreSQL: URLs and keywords, time limits, tidy errors."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import connection as Connection  # noqa: N812 - the class, named as the type it is

from mentat_reporter.errors import StoreError, UsageError

Dsn = Mapping[str, str]
"""libpq keywords: dbname, user, password, host, port …"""

STATE_LIMITS: Final = {
    # docs/reliability.md
    "statement_timeout": "5min",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "2min",
}
EVENT_LIMITS: Final = {"statement_timeout": "5min", "lock_timeout": "5s"}
"""The stream of events may wait while a unit renders."""

__all__ = ["EVENT_LIMITS", "STATE_LIMITS", "Connection", "Dsn", "connect", "dsn_from_url", "transaction"]


def dsn_from_url(url: str) -> dict[str, str]:
    """Read an SQLAlchemy URL of PostgreSQL, `postgresql+driver://user:password@host:port/name?key=value`.

    Any driver is ignored. Raises UsageError, which never quotes the password.
    """
    parts = urlsplit(url)
    if not re.fullmatch(r"postgres(ql)?(\+\w+)?", parts.scheme):
        raise UsageError(
            "__core__database.sqlstorage.url must start with postgresql://, "
            f"not {parts.scheme or 'nothing'}://; only PostgreSQL is supported"
        )
    try:
        port = parts.port
    except ValueError as error:
        raise UsageError(f"__core__database.sqlstorage.url has no usable port: {error}") from None
    found = {
        "dbname": unquote(parts.path.lstrip("/")),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": unquote(parts.hostname or ""),
        "port": str(port or ""),
        **dict(parse_qsl(parts.query)),
    }
    return {keyword: value for keyword, value in found.items() if value}


def connect(dsn: Dsn, *, what: str, limits: Mapping[str, str]) -> Connection:
    """Open a connection in UTC and UTF-8. `what` names the database in errors; raises StoreError."""
    options = " ".join(["-c timezone=UTC", *(f"-c {name}={value}" for name, value in limits.items())])
    try:
        keywords = {
            **dsn,
            "options": options,
            "connect_timeout": "30",
            "client_encoding": "UTF8",
            "application_name": "mentat-reporter",
        }
        return psycopg2.connect(psycopg2.extensions.make_dsn(**keywords))
    except psycopg2.Error as error:
        where = ", ".join(f"{key} {dsn[key]}" for key in ("host", "port", "dbname", "user") if key in dsn)
        raise StoreError(
            f"cannot connect to the {what} database ({where or 'libpq defaults'}): "
            f"{str(error).strip().splitlines()[-1]}; see __core__database in the configuration"
        ) from error


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
