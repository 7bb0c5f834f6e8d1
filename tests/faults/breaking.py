"""Faults at the boundaries of a run: every statement, commit, step of SMTP and of a file.

Tests give the program an `Outside` that reports each boundary as it is reached; what happens there is the
test's choice. `Counter` counts, and kills the process at one of them.
"""

import os
import signal
import smtplib
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from typing import Any, Final

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - the class, named as the type it is

from mentat_reporter.delivery.smtp import Server
from mentat_reporter.files import FileSteps
from mentat_reporter.outside import Outside
from mentat_reporter.store.connection import Connection, connect

Reach = Callable[[str], None]
"""Called with the name of each boundary before it is passed."""
FETCHED: Final = 10
"""Rows of a stream that are fetched at a time, so that small worlds have boundaries inside it."""
DOT: Final = b".\r\n"


class Counter:
    """Numbers the boundaries from 1 and ends the process, without a word, at the one numbered `fatal`."""

    def __init__(self, fatal: int | None = None) -> None:
        self._fatal = fatal
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)


def outside(reach: Reach) -> Outside:
    """Return the world as it is, with every boundary reported."""
    files = {
        step.name: _told(reach, f"file {step.name}", getattr(FileSteps(), step.name))
        for step in fields(FileSteps)
    }
    return Outside(
        connect=partial(connect, factory=connections(reach)),
        open_smtp=partial(_Conversation, reach),
        run_program=_told(reach, "program", subprocess.run),
        files=FileSteps(**files),
    )


def _told(reach: Reach, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
    def first_tell(*arguments: Any, **keywords: Any) -> Any:
        reach(name)
        return step(*arguments, **keywords)

    return first_tell


def connections(reach: Reach) -> type[Connection]:
    """Make a class of connections whose statements, fetches and ends of transactions are reported."""
    return type("WatchedConnection", (_WatchedConnection,), {"reach": staticmethod(reach)})


class _WatchedConnection(Connection):
    reach: Reach

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.cursor_factory = _WatchedCursor

    def commit(self) -> None:
        self.reach("commit")
        super().commit()
        self.reach("after commit")

    def rollback(self) -> None:
        self.reach("rollback")
        super().rollback()


class _WatchedCursor(Cursor):
    def _reach(self, name: str) -> None:
        if isinstance(self.connection, _WatchedConnection):
            self.connection.reach(name)

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2 names it so
        if not self.connection.autocommit:
            self._reach(f"statement {_words(query)}")
            super().execute(query, vars)
            return
        self._reach(f"commit of {_words(query)}")
        super().execute(query, vars)
        self._reach(f"after commit of {_words(query)}")

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override] # a stream, not the cursor itself
        return super().__iter__() if self.name is None else self._stream()

    def _stream(self) -> Iterator[Any]:
        while rows := self._fetch():
            yield from rows

    def _fetch(self) -> list[tuple[Any, ...]]:
        self._reach("fetch")
        return self.fetchmany(FETCHED)

    def close(self) -> None:
        if self.name is not None:
            self._reach("end of the stream")
        super().close()


def _words(query: Any) -> str:
    """Return how a statement begins."""
    text = query.decode() if isinstance(query, bytes) else str(query)
    return " ".join(text.split())[:60]


class _Conversation(smtplib.SMTP):
    """A session with a server, greeted, whose every step is reported."""

    def __init__(self, reach: Reach, server: Server) -> None:
        self._reach = reach
        self._within_data = False
        reach("smtp connect")
        super().__init__(server.host, server.port, local_hostname="reporter.example", timeout=60)
        if self.sock is not None:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ehlo_or_helo_if_needed()

    def send(self, s: Any) -> None:
        step = self._step(s)
        self._reach(f"smtp {step}")
        super().send(s)
        if step == "final dot":
            self._reach("smtp final dot is under way")

    def _step(self, s: Any) -> str:
        if not self._within_data:
            return str(s).split()[0].upper()
        return "final dot" if s == DOT else "body"

    def getreply(self) -> tuple[int, bytes]:
        code, text = super().getreply()
        if self._within_data:
            self._reach("after smtp final dot")
        self._within_data = code == 354
        return code, text
