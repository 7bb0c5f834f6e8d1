"""What a benchmark measures as a process of its own.

    python -m benchmarks.child run STATEMENTS PROFILE [options of the reporter]
    python -m benchmarks.child floor KEYWORDS LOW HIGH
    python -m benchmarks.child owners KEYWORDS ADDRESSES

`run` is the reporter's own command line. A byte is added to the file STATEMENTS for each statement, `s`,
and for each round trip of a server-side cursor, `f`; none for those that begin and end transactions. With
PROFILE, unless it is empty, it says there where the time goes. `floor` streams the same rows and decodes
each. `owners` prints what it takes to find the owners of addresses in all networks.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Final

import psycopg2
import psycopg2.extensions


class Counted(psycopg2.extensions.cursor):
    """Notes each statement in a file, which processes that this one starts go on with."""

    file: ClassVar[int]

    def execute(self, query: Any, parameters: Any = None) -> None:
        os.write(self.file, b"s")
        super().execute(query, parameters)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        os.write(self.file, b"s")
        super().copy_expert(sql, file, size)

    def __iter__(self) -> Any:
        return chain.from_iterable(self._batches()) if self.name else super().__iter__()

    def _batches(self) -> Iterator[list[tuple[Any, ...]]]:
        """Yield rows as the library would fetch them, so that counting costs nothing a row."""
        while rows := self.fetchmany(self.itersize):
            os.write(self.file, b"f")
            yield rows


def run(statements: str, profile: str, *options: str) -> None:
    Counted.file = os.open(statements, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    psycopg2.connect = partial(psycopg2.connect, cursor_factory=Counted)
    sys.argv = ["mentat-reporter.py", *options]
    from mentat_reporter.script import MentatReporterScript  # noqa: PLC0415 - as late as in the program

    if not profile:
        MentatReporterScript().run()
    _profiled(MentatReporterScript().run, profile)


def _profiled(work: Any, file: str) -> None:
    import cProfile  # noqa: PLC0415 - a run that is measured does without
    import pstats  # noqa: PLC0415

    profile = cProfile.Profile()
    try:
        profile.runcall(work)
    finally:
        with open(file, "w") as out:  # noqa: PTH123 - pathlib is not needed otherwise
            pstats.Stats(profile, stream=out).sort_stats("tottime").print_stats(60)


def floor(keywords: str, low: str, high: str) -> None:
    import orjson  # noqa: PLC0415

    connection = psycopg2.connect(keywords)
    cursor = connection.cursor(name="floor")
    cursor.itersize = 500
    cursor.execute(
        "select e.id, e.storagetime, e.eventclass, e.targetclass, e.eventseverity, e.targetseverity, j.event"
        " from events e join events_json j using (id) where e.storagetime >= %s and e.storagetime < %s",
        (low, high),
    )
    for row in cursor:
        orjson.loads(row[-1].tobytes())


def owners(keywords: str, count: str) -> None:
    import time  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415

    from mentat_reporter.core.addresses import parse_address  # noqa: PLC0415
    from mentat_reporter.core.ownership import Ownership  # noqa: PLC0415
    from mentat_reporter.store import groups  # noqa: PLC0415

    connection = psycopg2.connect(keywords)
    begun = time.process_time()
    house = groups.load(connection, datetime.now(UTC))
    ownership = Ownership(house.networks)
    loaded = time.process_time()
    with connection.cursor() as cursor:
        cursor.execute("select unnest(source_ip || target_ip) from events limit %s", (int(count),))
        addresses = [parse_address(text) for (text,) in cursor]
    ready = time.process_time()
    for address in addresses:
        ownership.shares(address)
    print(loaded - begun, (time.process_time() - ready) / len(addresses) * 1e6)


WORK: Final[Mapping[str, Callable[..., None]]] = {"run": run, "floor": floor, "owners": owners}

if __name__ == "__main__":
    WORK[sys.argv[1]](*sys.argv[2:])
