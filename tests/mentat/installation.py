"""A Mentat 2.15 installation for tests: Debian's PostgreSQL with ip4r, databases by Mentat's own code."""

import json
import os
import pwd
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import psycopg2

from mentat_reporter.store.accounts import Account, is_root, run

BINARIES: Final = Path("/usr/lib/postgresql/15/bin")
IP4R: Final = Path("/usr/share/postgresql/15/extension/ip4r.control")
INSIDE: Final = Path(__file__).with_name("inside.py")
CARELESS: Final = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c listen_addresses="
Dsn = dict[str, str]


def missing() -> list[str]:
    """Return what must be installed before these tests can run, each with how."""
    return [
        *([] if IP4R.exists() else ["ip4r for PostgreSQL 15 (apt install postgresql-15 postgresql-15-ip4r)"]),
        *([] if os.environ.get("MENTAT_PYTHON") else ["mentat-ng (make test-mentat installs it)"]),
    ]


@contextmanager
def ip4r_server(folder: Path) -> Iterator[Dsn]:
    """Run a PostgreSQL 15 in a folder that may be given to another account: it refuses to run as root."""
    found = pwd.getpwnam("postgres") if is_root() else pwd.getpwuid(os.geteuid())
    account = Account(found.pw_uid, found.pw_gid)
    if is_root():
        os.chown(folder, *account)
    data = folder / "data"
    control: list[str | Path] = [
        BINARIES / "pg_ctl",
        "-D",
        data,
        "-w",
        "-s",
        "-l",
        folder / "log",
        "-o",
        f"{CARELESS} -k {folder}",
    ]
    _must(
        run([BINARIES / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "-A", "trust", "-N"], account)
    )
    _must(run([*control, "start"], account))
    try:
        yield {"host": str(folder), "user": "postgres", "dbname": "postgres"}
    finally:
        run([BINARIES / "pg_ctl", "-D", data, "-m", "immediate", "-s", "stop"], account)
        shutil.rmtree(folder, ignore_errors=True)


def _must(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise RuntimeError(f"{done.args}: {done.stdout}")


@dataclass(frozen=True)
class Installation:
    """Two databases on one server: groups and reports in `main`, events and thresholds in `events`."""

    server: Dsn
    main: Dsn = field(init=False)
    events: Dsn = field(init=False)

    def __post_init__(self) -> None:
        mark = uuid.uuid4().hex
        object.__setattr__(self, "main", {**self.server, "dbname": f"mentat_main_{mark}"})
        object.__setattr__(self, "events", {**self.server, "dbname": f"mentat_events_{mark}"})

    @property
    def database_section(self) -> dict[str, Any]:
        """`__core__database` as Mentat 2.15 writes it."""
        main = dict(self.main)
        name = main.pop("dbname")
        url = f"postgresql+psycopg:///{name}?{urlencode(main)}"
        return {
            "sqlstorage": {"url": url, "echo": False},
            "eventstorage": dict(self.events),
        }

    def create(self, of: "Installation | None" = None) -> None:
        """Make both databases: with ip4r alone, or as those of another are, to which nobody is connected."""
        for name in ("main", "events"):
            source = "template0" if of is None else getattr(of, name)["dbname"]
            self.execute(
                self.server, f'create database "{getattr(self, name)["dbname"]}" template "{source}"'
            )
            if of is None:
                self.execute(getattr(self, name), "create extension ip4r; create extension pg_trgm")

    def drop(self) -> None:
        for name in ("main", "events"):
            dropped = getattr(self, name)["dbname"]
            self.execute(self.server, f'drop database if exists "{dropped}" with (force)')

    def ask_mentat(self, task: str, **keys: Any) -> Any:
        """Have Mentat's own code do a task of `inside.py` on these databases; return its answer."""
        done = subprocess.run(
            [os.environ["MENTAT_PYTHON"], INSIDE, task],
            input=json.dumps({"config": {"__core__database": self.database_section}, **keys}),
            capture_output=True,
            text=True,
            check=False,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )
        if done.returncode:
            raise RuntimeError(f"mentat-ng: {task}: {done.stderr}")
        return json.loads(done.stdout)

    def execute(self, dsn: Dsn, statement: str, values: Sequence[Any] = ()) -> None:
        """Execute a statement of its own, committed; `dsn` is `main`, `events` or `server`."""
        with closing(psycopg2.connect(**dsn)) as connection:  # type: ignore[call-overload]
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)

    def rows(self, dsn: Dsn, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(**dsn)) as connection, connection.cursor() as cursor:  # type: ignore[call-overload]
            cursor.execute(query, values or None)
            return list(cursor.fetchall())
