"""The outbox: finished mails that wait for a server, one row each, and what became of each recipient.

`enqueue` belongs to the transaction of the unit that made the mails. Every method of `Outbox` commits
on its own, so that no transaction is open while a server is talked to; give it a connection on which
nothing else is under way. A mail costs two statements, each its own transaction without the round trips
of BEGIN and COMMIT: one notes that DATA begins, the other settles it and claims the next.

Only what settles and claims waits for the disk, and with it goes all that was committed before. A mark
that a power cut takes back puts its mail to `pending`, as `recover` would where such mail is sent again;
where it is held, marks wait for the disk too. A kill of the reporter loses none.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from mentat_reporter.errors import MailError
from mentat_reporter.store import queries
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.prepared import prepared

State = Literal["pending", "sending", "sent", "deferred", "failed", "held"]
Verdict = Literal["sent", "deferred", "failed", "held"]
RecipientVerdict = Literal["sent", "deferred", "failed"]
Ambiguous = Literal["resend", "hold"]
"""What becomes of a mail that the server may have taken."""

MAX_RECOVERIES: Final = 5
BATCH_MAILS: Final = 500
BATCH_BYTES: Final = 16 * 2**20  # of content; in a statement it takes twice that
KILLED_ONCE: Final = "a run ended while sending it, and ambiguous is hold"
KILLED_OFTEN: Final = f"{MAX_RECOVERIES} runs ended while sending it"
_TYPES: Final = {
    "outbox.mark_data_begun": {"id": "bigint", "attempts": "integer", "commit": "text"},
    "outbox.step": {
        "id": "bigint", "attempts": "integer", "state": "text", "next_attempt": "timestamptz",
        "code": "integer", "text": "text", "ambiguous": "boolean", "fallback": "text[]",
        "addresses": "text[]", "states": "text[]", "codes": "integer[]", "texts": "text[]",
        "now": "timestamptz", "next": "bigint",
    },
}  # fmt: skip
"""What the statements of each mail take."""
_NOTHING: Final[Mapping[str, Any]] = dict.fromkeys(_TYPES["outbox.step"])
"""Settles no mail."""


class OutgoingMail(NamedTuple):
    """A mail as it will be sent, now or in five days: bytes and Message-ID never change again."""

    report_label: str
    message_id: str
    envelope_sender: str
    recipients: tuple[str, ...]
    content: bytes
    fallback: bool = False
    """It goes to the fallback recipients already: there is nobody left to turn to."""


class Claimed(NamedTuple):
    """A mail that is ours to send, with those recipients that still wait for it."""

    id: int
    report_label: str
    message_id: str
    envelope_sender: str
    content: bytes
    attempts: int
    fallback_used: bool
    since: datetime
    """When it was enqueued, or handed to the fallback recipients, or released: five days count from here."""
    recipients: tuple[str, ...]
    reached: bool
    """Whether an earlier attempt got it to somebody."""


class RecipientOutcome(NamedTuple):
    address: str
    state: RecipientVerdict
    code: int | None
    text: str


class Settlement(NamedTuple):
    """How an attempt ended; delivery/outcomes.py decides it."""

    state: Verdict
    recipients: tuple[RecipientOutcome, ...]
    next_attempt: datetime | None
    code: int | None
    text: str
    ambiguous: bool


class Step(NamedTuple):
    """What `Outbox.step` did."""

    ours: bool
    """False: the mail to be settled was another's by then, and nothing was written of it."""
    following: Claimed | None


class Recovered(NamedTuple):
    pending: int
    held: tuple[tuple[str, str], ...] = ()
    """Report label and Message-ID of the mails that were not put back: to be named to the admin."""
    reason: str = ""
    """Why they are held."""


def enqueue(connection: Connection, mails: Sequence[OutgoingMail], now: datetime) -> list[int]:
    """Store mails in the caller's transaction; return the ids of the new ones, in the mails' order.

    A Message-ID that stands already keeps its row and bytes, whatever its state (a redo must not make a
    second mail of it, nor change one that may be under way), and yields no id: a shorter list tells.
    """
    ids: list[int] = []
    with connection.cursor() as cursor:
        for batch in _batches(mails):
            recipients = [(mail.message_id, address) for mail in batch for address in mail.recipients]
            cursor.execute(
                queries.get("outbox.enqueue"),
                {
                    "now": now,
                    "report_labels": [mail.report_label for mail in batch],
                    "message_ids": [mail.message_id for mail in batch],
                    "envelope_senders": [mail.envelope_sender for mail in batch],
                    "messages": [mail.content for mail in batch],
                    "fallbacks": [mail.fallback for mail in batch],
                    "recipient_message_ids": [message_id for message_id, _ in recipients],
                    "addresses": [address for _, address in recipients],
                },
            )
            ids += [row[0] for row in cursor]
    return ids


def _batches(mails: Sequence[OutgoingMail]) -> Iterator[list[OutgoingMail]]:
    batch: list[OutgoingMail] = []
    size = 0
    for mail in mails:
        if not mail.recipients:
            raise MailError(f"mail {mail.message_id} of report {mail.report_label} has no recipients")
        if batch and (len(batch) == BATCH_MAILS or size + len(mail.content) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(mail)
        size += len(mail.content)
    if batch:
        yield batch


class Outbox:
    """Claim, send, settle: the mails of one connection, one at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._planned: dict[str, str] = {}

    @contextmanager
    def planned_once(self) -> Iterator[None]:
        """Have the statements of each mail planned once; worth while from a dozen mails on."""
        statements = {query: prepared(query, types) for query, types in _TYPES.items()}
        try:
            for query, statement in statements.items():
                self._execute(statement.prepare)
                self._planned[query] = statement.execute
            yield
        finally:
            done, self._planned = self._planned, {}
            with suppress(psycopg2.Error):  # a connection that is gone has forgotten them
                for query in done:
                    self._execute(statements[query].deallocate)

    def due(self, now: datetime, only: Sequence[int] | None = None) -> list[int]:
        """Return the ids of mails to be tried now, oldest first; of those in `only` unless it is None."""
        return [row[0] for row in self._run("outbox.due", now=now, only=_list(only))]

    def claim(self, mail_id: int, now: datetime) -> Claimed | None:
        """Take a due mail for sending; None if it is no longer due or another runner has it."""
        return self._step(_NOTHING, now, mail_id).following

    def mark_data_begun(self, claimed: Claimed, *, durable: bool = False) -> bool:
        """Note that the server may take this mail from now on; False if it is no longer ours.

        `durable`: on the disk, so that a power cut of the database does not forget it.
        """
        commit = "on" if durable else "off"
        return bool(
            self._run("outbox.mark_data_begun", id=claimed.id, attempts=claimed.attempts, commit=commit)
        )

    def settle(
        self, claimed: Claimed, settlement: Settlement, now: datetime, fallback: Sequence[str] = ()
    ) -> bool:
        """Write down how an attempt ended; False, and nothing written, if the mail is no longer ours.

        A failed mail that has not been there yet goes to the `fallback` recipients.
        """
        return self.settle_and_claim(claimed, settlement, now, fallback, None).ours

    def settle_and_claim(
        self,
        claimed: Claimed,
        settlement: Settlement,
        now: datetime,
        fallback: Sequence[str],
        following: int | None,
    ) -> Step:
        """Settle a mail and claim another, if it is due: both are written, or neither."""
        turns = turns_to_fallback(claimed, settlement, fallback)
        values = {
            **settlement._asdict(),
            "id": claimed.id,
            "attempts": claimed.attempts,
            "state": "pending" if turns else settlement.state,
            "fallback": list(dict.fromkeys(fallback)) if turns else [],
            "addresses": [recipient.address for recipient in settlement.recipients],
            "states": [recipient.state for recipient in settlement.recipients],
            "codes": [recipient.code for recipient in settlement.recipients],
            "texts": [recipient.text for recipient in settlement.recipients],
        }
        return self._step(values, now, following)

    def is_settled(self, claimed: Claimed, settlement: Settlement, fallback: Sequence[str] = ()) -> bool:
        """Tell whether that is written down already: the database may have done it and not got to say so."""
        turns = turns_to_fallback(claimed, settlement, fallback)
        state = "pending" if turns else settlement.state
        [(found,)] = self._run("outbox.is_settled", id=claimed.id, attempts=claimed.attempts, state=state)
        return bool(found)

    def release(self, claimed: Claimed) -> None:
        """Give back a mail that was claimed and not tried. If the database is gone, `recover` will do it."""
        with suppress(psycopg2.Error):
            self._run("outbox.release", id=claimed.id, attempts=claimed.attempts)

    def recover(
        self, now: datetime, *, policy: Ambiguous = "resend", only: Sequence[int] | None = None
    ) -> Recovered:
        """Free what a killed run left half sent; of the mails in `only` unless it is None.

        `policy` is for those that the server may have taken. Only for the holder of the run's locks.
        """
        limit, reason = (1, KILLED_ONCE) if policy == "hold" else (MAX_RECOVERIES, KILLED_OFTEN)
        rows = self._run("outbox.recover", now=now, limit=limit, only=_list(only))
        held = tuple((label, message_id) for label, message_id, state in rows if state == "held")
        return Recovered(len(rows) - len(held), held, reason if held else "")

    def counts(self) -> dict[State, int]:
        """Return the number of mails by state; a state without any is left out."""
        return dict(self._run("outbox.counts"))

    def _step(self, values: Mapping[str, Any], now: datetime, following: int | None) -> Step:
        [(settled, *row)] = self._run("outbox.step", **{**values, "now": now, "next": following})
        if row[0] is None:
            return Step(bool(settled), None)
        mail = Claimed._make(row)
        mail = mail._replace(content=bytes(mail.content), recipients=tuple(mail.recipients))
        return Step(bool(settled), mail)

    def _run(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        return self._execute(self._planned.get(query) or queries.get(query), values)

    def _execute(self, statement: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with _alone(self._connection), self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


def turns_to_fallback(claimed: Claimed, settlement: Settlement, fallback: Sequence[str]) -> bool:
    """Tell whether a mail that reached nobody goes to fallback recipients: once, if there are any."""
    return bool(fallback) and settlement.state == "failed" and not claimed.fallback_used


def _list(ids: Sequence[int] | None) -> list[int] | None:
    return None if ids is None else list(ids)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Let each statement be a transaction; one that was left open, by whoever only read, ends."""
    if connection.info.transaction_status != TRANSACTION_STATUS_IDLE and not connection.closed:
        connection.rollback()
    connection.autocommit = True
    try:
        yield
    finally:
        if not connection.closed:
            connection.autocommit = False
