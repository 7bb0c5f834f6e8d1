"""Those who use the same database server while a reporter runs."""

import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from functools import partial

import psycopg2
from integration.helpers_run import Stored, insert_events

Dsn = Mapping[str, str]


class Noise:
    """Transactions of others that take ids all the time, in this database and in another one."""

    def __init__(self, *dsns: Dsn) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=partial(self._make, dsns), daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _make(self, dsns: tuple[Dsn, ...]) -> None:
        with ExitStack() as opened:
            connections = [
                opened.enter_context(closing(psycopg2.connect(**dsn)))  # type: ignore[call-overload] # keywords
                for dsn in dsns
            ]
            while not self._over.wait(0.002):
                for connection in connections:
                    connection.commit()
                    connection.cursor().execute("select pg_current_xact_id()")


class Writer:
    """A transaction that stores events within savepoints, and is not yet committed."""

    def __init__(self, dsn: Dsn, events: Iterable[Stored]) -> None:
        self._connection = psycopg2.connect(**dsn)  # type: ignore[call-overload] # keywords
        with self._connection.cursor() as cursor:
            cursor.execute("select pg_current_xact_id()")
            for number, stored in enumerate(events):
                cursor.execute(f"savepoint s{number}")
                insert_events(self._connection, (stored,))
                cursor.execute(f"release savepoint s{number}")

    def commit(self) -> None:
        self._connection.commit()
        self.close()

    def close(self) -> None:
        """Let go; what is not committed is undone."""
        self._connection.close()
