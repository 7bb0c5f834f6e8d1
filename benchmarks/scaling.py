"""What it costs to read events from elsewhere: a streaming replica, partitions by time, two foreign servers.

    python benchmarks/scaling.py [events] [--binaries /usr/lib/postgresql/15/bin]

Makes throwaway servers and prints, for each layout of the events, what a day costs as a run reads it, what a
thousand events cost that are asked for by their ids, and the ratio of each to the plain tables of one server.
"""

import argparse
import os
import pwd
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from mentat_reporter.store import events, schema
from mentat_reporter.store.accounts import Account, run
from mentat_reporter.store.connection import EVENT_LIMITS, Connection, Dsn, connect, transaction

DEBIANS: Final = Path("/usr/lib/postgresql/15/bin")
"""Of the package postgresql-15, which brings postgres_fdw."""
DAYS: Final = 10
END: Final = datetime(2026, 5, 11, tzinfo=UTC)
ROUNDS: Final = 5
"""Every layout is read so often, in turn; its fastest round counts."""
CONFIGURATION: Final = """
listen_addresses = ''
fsync = off
shared_buffers = 512MB
max_wal_size = 8GB
hot_standby_feedback = on
"""

FILL: Final = """
insert into events (id, detecttime, storagetime, category, node_name, source_ip, resolvedabuses, eventclass,
                    eventseverity, shadow_reporting, shadow_reporting_target)
select md5(n::text), at, at, array['Recon.Scanning'], array['org.example.sensor'], array['192.0.2.1'],
       array['abuse@g' || n %% 200], 'recon-scanning', 'low', false, false
from (select n, timestamp '2026-05-01' + n * (interval '10 days' / %(events)s) as at
      from generate_series(0, %(events)s - 1) n) made;
insert into events_json (id, event)
select md5(n::text), convert_to('{"Format": "IDEA0", "Note": "' || repeat(md5(n::text), 30) || '"}', 'UTF8')
from generate_series(0, %(events)s - 1) n;
analyze events, events_json;
"""

PARTITIONED: Final = """
alter table events rename to plain;
alter table events_json drop constraint events_json_id_fkey;
create table events (like plain including defaults) partition by range (storagetime);
create index on events (id);
create index on events (storagetime);
"""
PARTITION: Final = (
    "create table events_{0:%Y%m%d} partition of events for values from ('{0:%F}') to ('{1:%F}')"
)

SPREAD: Final = """
create extension postgres_fdw;
drop table events_json;
alter table events rename to plain;
create table events (like plain including defaults) partition by hash (id);
create table events_json (id text not null, event bytea not null) partition by hash (id);
"""
SHARD: Final = """
create server shard{0} foreign data wrapper postgres_fdw
    options (host '{1}', dbname 'shard', fetch_size '500', batch_size '1000', use_remote_estimate 'true');
create user mapping for public server shard{0} options (user 'postgres');
create foreign table events_{0} partition of events for values with (modulus 2, remainder {0})
    server shard{0} options (table_name 'events');
create foreign table events_json_{0} partition of events_json for values with (modulus 2, remainder {0})
    server shard{0} options (table_name 'events_json');
"""


class Cost(NamedTuple):
    """Microseconds an event, of a day and by ids."""

    streamed: float
    by_ids: float


class Server:
    """A server in a folder of its own, with a socket there and nowhere else."""

    def __init__(self, folder: Path, binaries: Path, account: Account) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._binaries = binaries
        self._account = account

    def program(self, name: str, *arguments: object) -> None:
        done = run([self._binaries / name, *map(str, arguments)], self._account)
        if done.returncode != 0:
            raise RuntimeError(f"{name} failed: {done.stdout}")

    def make(self) -> None:
        self.program("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(CONFIGURATION)

    def copy(self, primary: "Server") -> None:
        where = ("-D", self.data, "-h", primary.folder, "-U", "postgres")
        self.program("pg_basebackup", *where, "-R", "-N", "-c", "fast")

    @contextmanager
    def running(self) -> Iterator[None]:
        options = f"-k {self.folder}"
        log = self.folder / "server.log"
        try:
            self.program("pg_ctl", "-D", self.data, "-l", log, "-o", options, "-w", "start")
        except RuntimeError as error:
            raise RuntimeError(log.read_text(encoding="utf-8")[-2000:]) from error
        try:
            yield
        finally:
            self.program("pg_ctl", "-D", self.data, "-m", "immediate", "stop")

    def dsn(self, dbname: str = "postgres") -> Dsn:
        return {"host": str(self.folder), "user": "postgres", "dbname": dbname}

    def database(self, name: str) -> Connection:
        """Make a database with all tables; the caller closes the connection."""
        self.program("createdb", "-h", self.folder, "-U", "postgres", name)
        connection = connect(self.dsn(name), what=name, limits={})
        schema.initialise(connection, None)
        return connection


def execute(connection: Connection, statements: str, **values: object) -> None:
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute(statements, values or None)


def plain(server: Server, count: int) -> None:
    with closing(server.database("plain")) as connection:
        execute(connection, FILL, events=count)


def partitioned(server: Server, count: int) -> None:
    with closing(server.database("partitioned")) as connection:
        execute(connection, PARTITIONED)
        for day in range(DAYS):
            begin = END - timedelta(days=DAYS - day)
            execute(connection, PARTITION.format(begin, begin + timedelta(days=1)))
        execute(connection, FILL, events=count)


def spread(coordinator: Server, shards: tuple[Server, Server], count: int) -> None:
    with closing(coordinator.database("spread")) as connection:
        execute(connection, SPREAD)
        for number, server in enumerate(shards):
            with closing(server.database("shard")) as shard:
                execute(shard, "alter table events_json drop constraint events_json_id_fkey")
            execute(connection, SHARD.format(number, server.folder))
        execute(connection, "alter database spread set enable_partitionwise_join = on")
        execute(connection, FILL, events=count)


def seconds(work: Callable[[], int]) -> float:
    """Return the wall time of work for each event that it says it read."""
    begin = time.perf_counter()
    read = work()
    return (time.perf_counter() - begin) / read


def cost(dsn: Dsn, count: int) -> Cost:
    """Read the last day but one, then a thousand of its events by their ids."""
    with closing(connect(dsn, what="events", limits=EVENT_LIMITS)) as connection:
        lo, hi = END - timedelta(days=2), END - timedelta(days=1)
        found: list[str] = []

        def day() -> int:
            stream = events.stream(connection, "low", lo, hi, test_data=False)
            found.extend(raw.stored.id for raw in stream)
            return len(found)

        streamed = seconds(day)
        if len(found) != count // DAYS:
            raise RuntimeError(f"{len(found)} events were read, not {count // DAYS}")
        wanted = found[:: max(1, len(found) // 1000)][:1000]
        by_ids = seconds(lambda: len([*events.by_ids(connection, wanted)]))
    return Cost(streamed * 1e6, by_ids * 1e6)


def wait_for(replica: Server, count: int) -> None:
    """Wait until the replica has everything."""
    while True:
        try:
            with closing(connect(replica.dsn("plain"), what="replica", limits={})) as connection:
                waiting = events.newer(connection, END - timedelta(days=DAYS))
        except Exception as error:  # noqa: BLE001 - not there yet
            waiting = []
            print(f"waiting for the replica: {str(error).splitlines()[0][:100]}")
        if sum(severity.events for severity in waiting) == count:
            return
        time.sleep(1)


def compare(layouts: dict[str, Dsn], count: int) -> None:
    rounds = [{name: cost(dsn, count) for name, dsn in layouts.items()} for _ in range(ROUNDS)]
    best = {name: Cost(*map(min, zip(*(found[name] for found in rounds), strict=True))) for name in layouts}
    first = best["one server"]
    print(f"{'events from':<28} {'a day':>16} {'ratio':>6} {'by ids':>16} {'ratio':>6}")
    for name, found in best.items():
        ratios = found.streamed / first.streamed, found.by_ids / first.by_ids
        print(
            f"{name:<28} {found.streamed:>7.1f} µs/event {ratios[0]:>6.2f}"
            f" {found.by_ids:>7.1f} µs/event {ratios[1]:>6.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("events", type=int, nargs="?", default=300_000)
    parser.add_argument("--binaries", type=Path, default=DEBIANS, help="the folder of PostgreSQL's programs")
    given = parser.parse_args()
    binaries = given.binaries
    name = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    account = Account(*pwd.getpwnam(name)[2:4])
    count = given.events - given.events % DAYS
    home = Path(tempfile.mkdtemp(prefix="mentat-reporter-scaling-"))
    try:
        for name in (".", "a", "b", "replica"):
            (home / name).mkdir(exist_ok=True)
            os.chown(home / name, *account)
        measure(*(Server(home / name, binaries, account) for name in ("a", "b", "replica")), count=count)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def measure(one: Server, other: Server, replica: Server, *, count: int) -> None:
    for server in (one, other):
        server.make()
    with one.running(), other.running():
        plain(one, count)
        partitioned(one, count)
        spread(one, (one, other), count)
        replica.copy(one)
        with replica.running():
            wait_for(replica, count)
            compare(
                {
                    "one server": one.dsn("plain"),
                    "its streaming replica": replica.dsn("plain"),
                    "partitions by day": one.dsn("partitioned"),
                    "two servers by postgres_fdw": one.dsn("spread"),
                },
                count,
            )


if __name__ == "__main__":
    main()
