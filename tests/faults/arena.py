"""Where the sweep is played: servers, a prepared world to clone, a mail server, a process for the runs."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlencode

import psycopg2
from faults import sink, sweep_world
from faults.books import HeldKey
from faults.invariants import Findings, check, held_now
from faults.mailcheck import Mail, read_maildir
from faults.runner import Order, Outcome
from integration.helpers_run import Stored, insert_events

from mentat_reporter import imports
from mentat_reporter.settings import build_settings
from mentat_reporter.store import schema
from mentat_reporter.store.connection import connect
from mentat_reporter.store.embedded import Cluster

Dsn = Mapping[str, str]
QUIET: Final = ("alter system set autovacuum = off", "select pg_reload_conf()")
"""Nobody takes transaction ids but those who play."""
QUICK: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a private folder is made in it
REPORTER: Final = "mentat-reporter"
PATIENCE: Final = 60.0  # seconds
MAKE_FAIL: Final = """
create function refuse() returns trigger language plpgsql as $$ begin
    if (select name from groups where id = new.group_id) = any('{%s}') then
        raise exception 'made to fail';
    end if;
    return new;
end $$;
create trigger refuse before insert on asoc_groups_reports for each row execute function refuse()
"""


def execute(dsn: Dsn, *statements: str) -> list[tuple[Any, ...]]:
    """Execute statements outside transactions; return the rows of the last."""
    with closing(psycopg2.connect(**dsn)) as connection:  # type: ignore[call-overload] # keywords
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def store(dsn: Dsn, events: Iterable[Stored]) -> None:
    with closing(psycopg2.connect(**dsn)) as connection:  # type: ignore[call-overload] # keywords
        insert_events(connection, tuple(events))
        connection.commit()


@dataclass
class Place:
    """A world with its databases and files, in some state."""

    main: Dsn
    events: Dsn
    home: Path
    port: int
    transport: str = "smtp"
    before: tuple[Mail, ...] = ()
    """Mails of the runs that prepared it."""
    held: set[HeldKey] = field(default_factory=set)
    """What was held back after some run."""

    def config(self) -> dict[str, Any]:
        return {
            "__core__database": {
                "sqlstorage": {"url": f"postgresql:///?{urlencode(self.main)}"},
                "eventstorage": dict(self.events),
            },
            "mail_from": "Reporter <reports@reporter.example>",
            "mail_admin": ["admin@reporter.example"],
            "mail_transport": self.transport,
            "smtp_host": "127.0.0.1",
            "smtp_port": self.port,
        }

    def look(self) -> None:
        self.held |= held_now(self.main)

    def check(self, now: datetime, received: Iterable[Mail]) -> Findings:
        maildir = self.home / "maildir"
        return check(
            self.main,
            self.events,
            now,
            [*self.before, *received, *read_maildir(maildir)],
            held_before=self.held,
            reports_dir=self.home / "reports",
            maildir=maildir,
        )


class Process:
    """A module of this folder in a process of its own, spoken to by lines."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def hear(self) -> str:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError("the process ended")
        return line

    def ask(self, line: str) -> str:
        pipe = self._pipe(self._process.stdin)
        pipe.write(line + "\n")
        pipe.flush()
        return self.hear()

    def close(self) -> None:
        self._process.communicate(timeout=PATIENCE)

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        if pipe is None:
            raise RuntimeError("the process has no pipes")
        return pipe


@contextmanager
def _cluster() -> Iterator[Dsn]:
    home = Path(tempfile.mkdtemp(prefix="mentat-reporter-sweep-"))
    cluster = Cluster(home, durable=False)
    try:
        dsn = cluster.start()
        execute(dsn, *QUIET)
        yield dsn
    finally:
        cluster.stop()
        shutil.rmtree(home, ignore_errors=True)


class Arena:
    """Everything that outlives a point of the sweep. `apart`: events have a server of their own."""

    def __init__(self, *, apart: bool) -> None:
        self._ends = ExitStack()
        self._boundaries: dict[str, list[str]] = {}
        self._names = (f"point_{number}" for number in count(1))
        folder = tempfile.TemporaryDirectory(prefix="mentat-reporter-sweep-", dir=QUICK)
        self.folder = Path(self._ends.enter_context(folder))
        self.server = self._ends.enter_context(_cluster())
        self.events_server = self._ends.enter_context(_cluster()) if apart else self.server
        sink.be(self.folder)
        mails = Process("faults.sink", str(self.folder))
        self._ends.callback(mails.close)
        self.port = int(mails.hear())
        self._runner = Process("faults.runner")
        self._ends.callback(self._runner.close)
        self.prepared = self._prepare()

    def close(self) -> None:
        self._ends.close()

    def boundaries(self, transport: str) -> list[str]:
        """Name the boundaries of the run of T, when nothing disturbs it."""
        if transport not in self._boundaries:
            with self.clone(transport) as place:
                outcome = self.run(place, sweep_world.T)
            if outcome["error"]:
                raise RuntimeError(outcome["error"])
            self._boundaries[transport] = outcome["boundaries"]
        return self._boundaries[transport]

    def collect(self) -> list[Mail]:
        """Return the mails that came since the last call."""
        return sink.collect(self.folder)

    def run(
        self, place: Place, now: datetime, fatal: int | None = None, *, warms_up: bool = False
    ) -> Outcome:
        """Run regularly as of `now`, in a process of its own; note what is held afterwards."""
        order = Order(
            config=place.config(), home=str(place.home), time=now.isoformat(), fatal=fatal, warms_up=warms_up
        )
        outcome: Outcome = json.loads(self._runner.ask(json.dumps(order)))
        if outcome["killed"]:
            self._wait_for_the_end_of(place)
        place.look()
        return outcome

    def _wait_for_the_end_of(self, place: Place) -> None:
        """Wait until the servers have noticed that their client is gone."""
        query = (
            f"select count(*) from pg_stat_activity where application_name = '{REPORTER}'"
            f" and datname in ('{place.main['dbname']}', '{place.events['dbname']}')"
        )
        end = time.monotonic() + PATIENCE
        for server in {id(one): one for one in (self.server, self.events_server)}.values():
            while execute(server, query) != [(0,)]:
                if time.monotonic() > end:
                    raise RuntimeError("the backend of a killed run does not end")
                time.sleep(0.005)

    def _prepare(self) -> Place:
        """Make the world as it is before T."""
        home = self.folder / "prepared"
        home.mkdir()
        execute(self.server, "create database prepared template template0")
        main = {**self.server, "dbname": "prepared"}
        events = main
        if self.events_server is not self.server:
            execute(self.events_server, "create database prepared template template0")
            events = {**self.events_server, "dbname": "prepared"}
        _make_tables(main, events)
        place = Place(main, events, home, self.port)
        _import(place)
        self._live(place)
        return replace(place, before=tuple(self.collect()))

    def _live(self, place: Place) -> None:
        for stored, now in ((sweep_world.before_a(), sweep_world.A), (sweep_world.before_b(), sweep_world.B)):
            store(place.events, stored)
            self._well(place, now)
        execute(place.main, MAKE_FAIL % ",".join(sweep_world.FAILING))
        sink.be(self.folder, **sweep_world.UNKIND)
        store(place.events, sweep_world.before_c())
        self._well(place, sweep_world.C)
        sink.be(self.folder)
        execute(
            place.main,
            "drop function refuse cascade",
            "update mentat_reporter.unit_retry set attempts = 10, next_attempt = null"
            f" where group_name = '{sweep_world.FRANK}'",
            "update mentat_reporter.unit_retry set next_attempt = next_attempt + interval '5 minutes'"
            f" where group_name = '{sweep_world.HEIDI}'",
        )
        store(place.events, (*sweep_world.visible_after_c(), *sweep_world.before_t()))

    def _well(self, place: Place, now: datetime) -> None:
        if error := self.run(place, now, warms_up=True)["error"]:
            raise RuntimeError(error)

    @contextmanager
    def clone(self, transport: str) -> Iterator[Place]:
        """Give a copy of the prepared world, whose mails go another way from now on; it is thrown away."""
        name = next(self._names)
        prepared = self.prepared
        home = self.folder / name
        shutil.copytree(prepared.home, home)
        servers = {id(one): one for one in (self.server, self.events_server)}.values()
        for server in servers:
            execute(server, f"create database {name} template prepared")
        try:
            yield replace(
                prepared,
                main={**self.server, "dbname": name},
                events={**self.events_server, "dbname": name},
                home=home,
                transport=transport,
                held=set(prepared.held),
            )
        finally:
            for server in servers:
                execute(server, f"drop database {name} with (force)")
            shutil.rmtree(home)


def _make_tables(main: Dsn, events: Dsn) -> None:
    with closing(connect(main, what="sweep", limits={})) as connection:
        if events is main:
            schema.initialise(connection, None)
            return
        with closing(connect(events, what="sweep", limits={})) as other:
            schema.initialise(connection, other)


def _import(place: Place) -> None:
    file = place.home / "groups.json"
    file.write_text(json.dumps(sweep_world.document()))
    settings, _ = build_settings(place.config(), home=place.home, named={})
    faults = imports.import_groups(settings, [str(file)], replace=False).faults
    if faults:
        raise RuntimeError(str(faults))
