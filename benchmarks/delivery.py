"""How fast the outbox drains: a durable database of its own, a light mail server in another process.

    python benchmarks/delivery.py [mails]

Prints mails a second, CPU of this process, statements and commits a mail, and the floor measured in the
same run: as many durable commits of one row, and nothing else.
"""

import argparse
import logging
import multiprocessing
import resource
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, Final

from mentat_reporter.delivery.deliver import DeliveryResult, deliver
from mentat_reporter.delivery.transports import make_transport
from mentat_reporter.settings import MailSettings, build_settings
from mentat_reporter.store import schema
from mentat_reporter.store.connection import STATE_LIMITS, Connection, connect, transaction
from mentat_reporter.store.embedded import Cluster
from mentat_reporter.store.outbox import Outbox, OutgoingMail, enqueue

MAILS: Final = 5000
SIZE: Final = 6000
"""Bytes of a mail: a typical extra report as plain text."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mails", type=int, nargs="?", default=MAILS)
    count = parser.parse_args().mails
    home = Path(tempfile.mkdtemp(prefix="mentat-reporter-bench-"))
    cluster = Cluster(home)
    try:
        dsn = cluster.start()
        with closing(connect(dsn, what="main", limits=STATE_LIMITS)) as connection, sink() as port:
            schema.initialise(connection, None)
            floor = durable_commits(connection, count)
            settings = build_settings(
                {"mail_transport": "smtp", "smtp_host": "127.0.0.1", "smtp_port": port}, home=home
            )[0].mail
            wall, cpu, statements = drain(connection, settings, count)
    finally:
        cluster.stop()
        shutil.rmtree(home, ignore_errors=True)
    print(f"{count} mails of {SIZE} bytes in {wall:.2f} s: {count / wall:.0f} mails/s")
    print(f"CPU of the reporter: {cpu / count * 1000:.2f} s per 1000 mails")
    print(f"statements a mail: {statements / count:.2f}")
    print(f"floor: {count} durable commits alone in {floor:.2f} s: {count / floor:.0f}/s")


def durable_commits(connection: Connection, count: int) -> float:
    """Return the seconds that so many commits of a row take."""
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute("create table public.floor (number integer)")
    begun = time.perf_counter()
    connection.autocommit = True
    with connection.cursor() as cursor:
        for number in range(count):
            cursor.execute("insert into public.floor values (%s)", (number,))
    connection.autocommit = False
    return time.perf_counter() - begun


def drain(connection: Connection, settings: MailSettings, count: int) -> tuple[float, float, int]:
    """Enqueue and deliver; return seconds on the clock and of CPU, and statements."""
    now = datetime.now(UTC)
    body = b"\r\n".join([b"x" * 70] * (SIZE // 72))
    mails = [
        OutgoingMail(
            f"M{number}",
            f"<M{number}@reporter.example>",
            "reports@reporter.example",
            (f"abuse{number}@example.org",),
            b"Subject: [M%d]\r\n\r\n%s\r\n" % (number, body),
        )
        for number in range(count)
    ]
    with transaction(connection):
        enqueue(connection, mails, now)
    before, cpu = statements_of(connection), cpu_seconds()
    result = DeliveryResult()
    begun = time.perf_counter()
    deliver(
        Outbox(connection),
        lambda: make_transport(settings),
        settings,
        now,
        log=logging.getLogger("benchmark"),
        result=result,
    )
    wall, cpu = time.perf_counter() - begun, cpu_seconds() - cpu
    if result.sent != count:
        raise SystemExit(f"only {result.sent} of {count} mails were sent: {result}")
    return wall, cpu, statements_of(connection) - before


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def statements_of(connection: Connection) -> int:
    """Return how many transactions the database has seen; each statement of the delivery is one."""
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute("select pg_stat_force_next_flush()")
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute("select xact_commit from pg_stat_database where datname = current_database()")
        return int(cursor.fetchall()[0][0])


@contextmanager
def sink() -> Iterator[int]:
    """Run a mail server in another process that takes everything; give its port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Pipe) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    pipe.send(listener.getsockname()[1])
    while True:
        connected, _ = listener.accept()
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connected, connected.makefile("rb") as lines:
            _talk(connected, lines)


def _talk(connected: socket.socket, lines: Any) -> None:
    connected.sendall(b"220 sink\r\n")
    for line in lines:
        verb = line[:4].upper()
        if verb == b"DATA":
            connected.sendall(b"354 go\r\n")
            for text in lines:
                if text == b".\r\n":
                    break
        connected.sendall(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
        if verb == b"QUIT":
            return


if __name__ == "__main__":
    main()
