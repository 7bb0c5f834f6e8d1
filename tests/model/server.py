"""A PostgreSQL server to try things on, and fresh databases in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARIES = (os.environ.get("MENTAT_REPORTER_TEST_PGBIN", ""), "/usr/lib/postgresql/15/bin")


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


def find_binaries() -> Path:
    for folder in filter(None, BINARIES):
        if (Path(folder) / "initdb").exists():
            return Path(folder)
    raise FileNotFoundError("no PostgreSQL: set MENTAT_REPORTER_TEST_DSN or MENTAT_REPORTER_TEST_PGBIN")


@contextlib.contextmanager
def throwaway() -> Iterator[str]:
    """Start a server that forgets everything, as another user when we are root."""
    binaries = find_binaries()
    home = Path(tempfile.mkdtemp(prefix="model-pg-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(home, user)
    data = home / "data"

    def start(*command: str | Path) -> None:
        subprocess.run(command, check=True, user=user, cwd=home, stdout=subprocess.DEVNULL)

    control = (binaries / "pg_ctl", "-w", "-D", data)
    start(binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses='' -c fsync=off -c full_page_writes=off -k {home}"
    start(*control, "-l", home / "log", "-o", options, "start")
    try:
        yield f"postgresql://postgres@/postgres?host={home}"
    finally:
        start(*control, "-m", "immediate", "stop")
        shutil.rmtree(home)
