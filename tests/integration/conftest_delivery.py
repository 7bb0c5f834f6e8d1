"""For tests of the outbox and of delivery: mails, settings, a server that plays any part."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import pytest

from mentat_reporter.delivery.deliver import DeliveryResult, deliver
from mentat_reporter.delivery.outcomes import Attempt, Ending, Reply
from mentat_reporter.delivery.transports import make_transport
from mentat_reporter.settings import MailSettings
from mentat_reporter.store.connection import Connection, connect, transaction
from mentat_reporter.store.outbox import Outbox, OutgoingMail, enqueue

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def outbox(connection: Connection) -> Outbox:
    return Outbox(connection)


def run(dsn: dict[str, str], statement: str) -> None:
    connection = connect(dsn, what="test", limits={})
    connection.autocommit = True
    connection.cursor().execute(statement)
    connection.close()


def rows(connection: Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else []


def mail(number: int = 1, *recipients: str, content: bytes = b"", fallback: bool = False) -> OutgoingMail:
    return OutgoingMail(
        report_label=f"M2026050{number}",
        message_id=f"<M{number}.1@reporter.example>",
        envelope_sender="reporter@example.org",
        recipients=recipients or ("abuse@example.com",),
        content=content or f"Subject: number {number}\n\nBody\n".encode(),
        fallback=fallback,
    )


def store(connection: Connection, *mails: OutgoingMail, now: datetime = NOW) -> list[int]:
    with transaction(connection):
        return enqueue(connection, mails, now)


def states(connection: Connection) -> list[str]:
    """Return the mails' states in the order in which they were enqueued."""
    return [row[0] for row in rows(connection, "select state from mentat_reporter.outbox order by id")]


def recipients(connection: Connection) -> dict[str, str]:
    return dict(rows(connection, "select address, state from mentat_reporter.outbox_recipient"))


def settings(**changes: Any) -> MailSettings:
    values: dict[str, Any] = {
        "transport": "smtp",
        "sender": "Reporter <reporter@example.org>",
        "reply_to": (),
        "return_path": "reporter@example.org",
        "admin": ("admin@example.org",),
        "subject": None,
        "test_mode": False,
        "dev_mode": False,
        "dev_server": "127.0.0.1",
        "dev_port": 9,
        "to": (),
        "cc": (),
        "bcc": (),
        "message_id_domain": "example.org",
        "pgp_key": None,
        "pgp_home": None,
        "pgp_passphrase": None,
        "maildir": Path("/nonexistent"),
        "smtp_host": "127.0.0.1",
        "smtp_port": 9,
        "smtp_security": "none",
        "smtp_user": None,
        "smtp_password": None,
        "ambiguous": "resend",
    }
    return MailSettings(**{**values, **changes})


# A server


HANG_UP: Final = "hang up"
SILENCE: Final = "silence"
Answer = str | Callable[[str], str] | Sequence[str]
PART: Final[dict[str, Answer]] = {
    "BANNER": "220 ready",
    "EHLO": "250 hello",
    "HELO": "250 hello",
    "MAIL": "250 sender",
    "RCPT": "250 recipient",
    "DATA": "354 go",
    "BODY": "250 taken",
    "RSET": "250 reset",
    "QUIT": "221 bye",
}


class Actor:
    """A mail server of one thread that plays a part: for each command an answer or one of the two signs.

    An answer is a text (it may end in HANG_UP), a function of the line, or a series of texts of which
    the last stays. `said` has what it was told, `mails` the bodies that it took, `unanswered` those after
    which it left without a word.
    """

    def __init__(self, **part: Answer) -> None:
        self._part = {**PART, **part}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: socket.socket | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.port: int = self._listener.getsockname()[1]
        self.said: list[str] = []
        self.mails: list[bytes] = []
        self.unanswered: list[bytes] = []
        self.connections = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for each in (self._open, self._listener):
            if each is not None:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def verbs(self) -> list[str]:
        return [line.split(" ")[0].split(":")[0].upper() for line in self.said]

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._open, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._open, self._open.makefile("rb") as lines, suppress(OSError):
                self._talk(self._open, iter(lines))

    def _talk(self, sock: socket.socket, lines: Iterator[bytes]) -> None:
        if not self._answer(sock, "BANNER", ""):
            return
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            verb = line.split(" ")[0].split(":")[0].upper()
            self.said.append(line)
            if not self._answer(sock, verb, line) or verb == "QUIT":
                return
            if verb == "DATA" and self._last.startswith("354") and not self._take(sock, lines):
                return

    def _take(self, sock: socket.socket, lines: Iterator[bytes]) -> bool:
        body = []
        for line in lines:
            if line == b".\r\n":
                break
            body.append(line)
        goes_on = self._answer(sock, "BODY", "")
        if self._last.startswith("250"):
            self.mails.append(b"".join(body))
        elif not self._last:
            self.unanswered.append(b"".join(body))
        return goes_on

    def _answer(self, sock: socket.socket, verb: str, line: str) -> bool:
        answer = self._part.get(verb, "502 what?")
        if callable(answer):
            answer = answer(line)
        elif not isinstance(answer, str):
            answer, *rest = answer
            self._part[verb] = rest or answer
        if answer == SILENCE:
            self._stopping.wait(30)
            return False
        self._last = answer.removesuffix(HANG_UP)
        if self._last:
            sock.sendall(self._last.encode() + b"\r\n")
        return not answer.endswith(HANG_UP)


# A delivery


LOG: Final = logging.getLogger("mentat_reporter.test")
FALLBACK: Final = ("fallback@example.org",)
AFTER_5_MIN: Final = NOW + timedelta(minutes=5)
SUMMARY: Final = (
    "select state, smtp_code, next_attempt, attempts, ambiguous from mentat_reporter.outbox order by id"
)


def attempt(
    outbox: Outbox, server: Actor | None = None, now: datetime = NOW, **options: Any
) -> DeliveryResult:
    mail_settings = settings(
        smtp_port=server.port if server else unused_port(), **options.pop("settings", {})
    )
    options.setdefault("transport_factory", lambda: make_transport(mail_settings))
    result = DeliveryResult()
    deliver(outbox, settings=mail_settings, now=now, log=LOG, result=result, **options)
    return result


def unused_port() -> int:
    with Actor() as gone:
        return gone.port


class Story:
    """A transport that plays a list of attempts, the last one again and again."""

    def __init__(self, *attempts: Attempt | Exception, before: Callable[[], object] = lambda: None) -> None:
        self.attempts = list(attempts)
        self.sent: list[tuple[str, tuple[str, ...], bytes]] = []
        self.closed = 0
        self.before = before

    def send(
        self, envelope_sender: str, recipients: Any, content: bytes, on_data: Callable[[], None]
    ) -> Attempt:
        on_data()
        self.before()
        self.sent.append((envelope_sender, tuple(recipients), content))
        found = self.attempts.pop(0) if len(self.attempts) > 1 else self.attempts[0]
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        self.closed += 1


SENT: Final = Attempt(Ending.ANSWERED, Reply(250, "ok"))
REFUSED: Final = Attempt(Ending.ANSWERED, Reply(550, "no"))
GONE: Final = Attempt(Ending.UNREACHABLE, Reply(None, "connection refused"))
