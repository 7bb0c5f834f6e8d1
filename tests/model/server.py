"""A PostgreSQL server to try things on, and fresh databases in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

from mentat_reporter.store.embedded import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Yield the URL of a server that may create databases: the named one, else one of our own."""
    if named := os.environ.get("MENTAT_REPORTER_TEST_DSN"):
        yield named
        return
    with throwaway() as url:
        yield url


@contextlib.contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    name = f"model_{uuid.uuid4().hex}"
    execute(server_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        execute(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def execute(url: str, statement: sql.Composable) -> None:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


@contextlib.contextmanager
def throwaway() -> Iterator[str]:
    """Start an embedded server that forgets everything."""
    home = Path(tempfile.mkdtemp(prefix="model-"))
    home.chmod(0o755)
    cluster = Cluster(home, durable=False)
    try:
        yield url_of(cluster.start())
    finally:
        cluster.stop()
        shutil.rmtree(home)


def url_of(dsn: Mapping[str, str]) -> str:
    """Write libpq keywords as the URL that a configuration has."""
    keywords = {name: value for name, value in dsn.items() if name in {"host", "port", "password"}}
    return f"postgresql://{quote(dsn['user'])}@/{dsn['dbname']}?{urlencode(keywords)}"
