"""Plays a case: a fresh database filled, the run before, the run that is measured, and its floor."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import make_dsn

from benchmarks.cases import NOW, Case
from benchmarks.delivery import sink
from benchmarks.loading import Loaded, load_events, make_tables, settle
from benchmarks.measuring import Cost, measured
from benchmarks.world import World
from mentat_reporter.store.connection import Connection, connect, transaction

Dsn = dict[str, str]

COUNTED: Final = re.compile(r"run summary: \d+ windows: (?P<counts>[^;]*)")
THRESHOLDS: Final = """
    insert into mentat_reporter.threshold
    select format('abuse@unit%%s.example.org', lpad((n %% %(groups)s)::text, 5, '0')),
           (array['info', 'low', 'medium'])[n %% 3 + 1], 'source', false, 'recon-scanning',
           host('192.0.0.0'::inet + n), %(now)s, %(now)s, %(now)s + interval '1 day' * (1 + n %% 5), 'M', 'M'
    from generate_series(1, %(count)s) n
"""


class Options(NamedTuple):
    """What holds for all cases of a run of the benchmarks."""

    scale: float = 1
    workers: int = 1
    profile: str = ""
    """A folder for what takes the time in each case; measured figures mean little then."""


class Played(NamedTuple):
    """What came of a case."""

    case: Case
    cost: Cost
    floor: Cost | None
    counts: dict[str, int]
    """What the run says of itself, by name; `statements` and `fetches` besides."""
    owners: tuple[float, float] | None
    """Seconds to load all networks, and microseconds to find the owners of an address."""
    loaded: Loaded = Loaded()


def play(case: Case, server: Dsn, place: Path, options: Options) -> Played:
    """Play a case in a database and a folder that are gone afterwards."""
    case = case.scaled(options.scale)
    with database(server, f"bench_{case.name.replace('-', '_')}") as dsn, folder(place / case.name) as home:
        world = World(case.shape)
        with closing(connect(dsn, what="benchmark", limits={})) as connection:
            make_tables(connection, world)
            if case.before:
                load_events(connection, world, case.batch_before())
                _Run(case, dsn, home, options).play(NOW - case.gap, {})
            loaded = load_events(connection, world, case.batch())
            _add_thresholds(connection, case)
        played = _Run(case, dsn, home, options).measure()
        return played._replace(loaded=loaded)


@contextmanager
def database(server: Dsn, name_of: str) -> Iterator[Dsn]:
    """Make an empty database, and drop it at the end."""
    named = sql.Identifier(name_of)
    _execute(server, sql.SQL("drop database if exists {} with (force)").format(named))
    _execute(server, sql.SQL("create database {} template template0 encoding 'UTF8'").format(named))
    try:
        yield {**server, "dbname": name_of}
    finally:
        _execute(server, sql.SQL("drop database if exists {} with (force)").format(named))


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _execute(server: Dsn, statement: sql.Composable) -> None:
    with closing(psycopg2.connect(make_dsn(**server))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def _add_thresholds(connection: Connection, case: Case) -> None:
    if case.thresholds:
        with transaction(connection), connection.cursor() as cursor:
            values = {"groups": case.shape.groups, "count": case.thresholds, "now": NOW}
            cursor.execute(THRESHOLDS, values)
        settle(connection)


class _Run:
    """The runs of a case."""

    def __init__(self, case: Case, dsn: Dsn, home: Path, options: Options) -> None:
        self._case = case
        self._dsn = dsn
        self._home = home
        self._options = options

    def measure(self) -> Played:
        case = self._case
        with ExitStack() as stack:
            mail: dict[str, Any] = {}
            if case.delivers:
                port = stack.enter_context(sink())
                mail = {"mail_transport": "smtp", "smtp_host": "127.0.0.1", "smtp_port": port}
            cost, counts = self.play(NOW, mail)
        floor = owners = None
        if case.events:
            times = [f"{moment:%Y-%m-%dT%H:%M}" for moment in (NOW - case.span, NOW)]
            floor = self._child("floor", make_dsn(**self._dsn), *times)
        if case.aim.microseconds:
            said = self._child("owners", make_dsn(**self._dsn), "200000").output.split()
            owners = (float(said[0]), float(said[1]))
        return Played(case, cost, floor, counts, owners)

    def play(self, moment: datetime, mail: dict[str, Any]) -> tuple[Cost, dict[str, int]]:
        """Run once as of a moment, as cron does; return what it took and what it says it did."""
        statements, log = self._home / "statements", self._home / "log"
        for file in (statements, log):
            file.unlink(missing_ok=True)
        cost = self._child(
            "run", str(statements), self._profile(moment), "--config-file", str(self._configured(mail)),
            "--config-dir", str(self._home), "--config-dir-silent", "--log-file", str(log), "--regular",
            "--quiet", "--time-high", f"{moment:%Y-%m-%dT%H:%MZ}", "--workers", str(self._options.workers),
        )  # fmt: skip
        noted = statements.read_bytes()
        return cost, _counts(log.read_text()) | {
            "statements": noted.count(b"s"),
            "fetches": noted.count(b"f"),
        }

    def _child(self, *arguments: str) -> Cost:
        environment = {"MENTAT_REPORTER_HOME": str(self._home)}
        return measured(arguments, environment=environment, place=self._home)

    def _profile(self, moment: datetime) -> str:
        wanted = self._options.profile and moment == NOW
        return str(Path(self._options.profile, f"{self._case.name}.txt")) if wanted else ""

    def _configured(self, mail: dict[str, Any]) -> Path:
        url = f"postgresql:///?{urlencode(self._dsn)}"
        file = self._home / "benchmark.conf"
        settings = {
            "__core__database": {"sqlstorage": {"url": url}},
            "mail_transport": "null",
            "mail_from": "Reporter <reports@reporter.example>",
            "mail_admin": ["admin@reporter.example"],
            "max_runtime": "12hrs",
            **mail,
        }
        file.write_text(json.dumps(settings))
        return file


def _counts(log: str) -> dict[str, int]:
    """Return what the run says in its log that it did."""
    found = COUNTED.search(log)
    if found is None:
        raise SystemExit(f"the run does not say what it did:\n{log[-3000:]}")
    parts = (part.strip().rpartition(" ") for part in found["counts"].split(","))
    return {what: int(count) for what, _, count in parts if count.isdigit()}
