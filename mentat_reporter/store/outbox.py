"""The outbox: finished mails that wait for a server, one row each, and what became of each recipient.

`enqueue` belongs to the transaction of the unit that made the mails. Every method of `Outbox` commits
on its own, so that no transaction is open while a server is talked to; give it a connection on which
nothing else is under way.

Only `settle` waits for the disk, and with it goes all that was committed before. A claim or mark that a
power cut takes back puts its mail to `pending`, as `recover` would; a kill of the reporter loses neither.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from mentat_reporter.errors import MailError
from mentat_reporter.store import queries
from mentat_reporter.store.connection import Connection, transaction

State = Literal["pending", "sending", "sent", "deferred", "failed", "held"]
Verdict = Literal["sent", "deferred", "failed", "held"]
RecipientVerdict = Literal["sent", "deferred", "failed"]

MAX_RECOVERIES: Final = 5
BATCH_MAILS: Final = 500
BATCH_BYTES: Final = 16 * 2**20  # of content; in a statement it takes twice that


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


class Recovered(NamedTuple):
    pending: int
    held: tuple[tuple[str, str], ...]
    """Report label and Message-ID of the mails that five runs died on: to be named to the admin."""


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

    def due(self, now: datetime, only: Sequence[int] | None = None) -> list[int]:
        """Return the ids of mails to be tried now, oldest first; of those in `only` unless it is None."""
        chosen = None if only is None else list(only)
        return [row[0] for row in self._commit("outbox.due", now=now, only=chosen)]

    def claim(self, mail_id: int, now: datetime) -> Claimed | None:
        """Take a due mail for sending; None if it is no longer due or another runner has it."""
        rows = self._commit("outbox.claim", id=mail_id, now=now)
        if not rows:
            return None
        mail = Claimed._make(rows[0])
        return mail._replace(content=bytes(mail.content), recipients=tuple(mail.recipients))

    def mark_data_begun(self, claimed: Claimed) -> None:
        """Note that the server may take this mail from now on."""
        self._commit("outbox.mark_data_begun", id=claimed.id, attempts=claimed.attempts)

    def settle(
        self, claimed: Claimed, settlement: Settlement, now: datetime, fallback: Sequence[str] = ()
    ) -> bool:
        """Write down how an attempt ended; False, and nothing written, if the mail is no longer ours.

        A failed mail that has not been there yet goes to the `fallback` recipients in the same commit.
        """
        with transaction(self._connection):
            rows = self._run(
                "outbox.settle",
                id=claimed.id,
                attempts=claimed.attempts,
                state=settlement.state,
                next_attempt=settlement.next_attempt,
                code=settlement.code,
                text=settlement.text,
                ambiguous=settlement.ambiguous,
                now=now,
                addresses=[recipient.address for recipient in settlement.recipients],
                states=[recipient.state for recipient in settlement.recipients],
                codes=[recipient.code for recipient in settlement.recipients],
                texts=[recipient.text for recipient in settlement.recipients],
            )
            ours = bool(rows[0][0])
            if ours and fallback and settlement.state == "failed":
                self._run("outbox.send_to_fallback", id=claimed.id, addresses=list(dict.fromkeys(fallback)))
        return ours

    def recover(self, now: datetime) -> Recovered:
        """Free what a killed run left half sent. Only for the holder of the run's locks."""
        rows = self._commit("outbox.recover", now=now, limit=MAX_RECOVERIES)
        held = tuple((label, message_id) for label, message_id, state in rows if state == "held")
        return Recovered(len(rows) - len(held), held)

    def counts(self) -> dict[State, int]:
        """Return the number of mails by state; a state without any is left out."""
        return dict(self._commit("outbox.counts"))

    def _commit(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with transaction(self._connection):
            return self._run(query, **values)

    def _run(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(queries.get(query), values)
            return cursor.fetchall() if cursor.description else []
