"""I6: the mails that were received, against the outbox, and the outbox against the reports."""

from collections import Counter
from collections.abc import Sequence
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Final, NamedTuple

from faults import books
from psycopg2.extensions import connection as Connection  # noqa: N812 - the class, named as the type it is

UNMADE: Final = """
select label from reports_events r
where flag_mailed and not flag_testdata
  and not exists (select from mentat_reporter.outbox o where o.report_label = r.label)
"""
"""Reports whose mail was never made."""


class Mail(NamedTuple):
    """A mail as a server got it; no recipients: it is not known for whom, as in a maildir."""

    message_id: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes


def read_maildir(folder: Path) -> list[Mail]:
    """Return the mails of a maildir, which does not know for whom they are."""
    found = [path.read_bytes() for path in sorted((folder / "new").glob("*"))]
    return [Mail(str(BytesHeaderParser().parsebytes(mail)["Message-ID"]), "", (), mail) for mail in found]


class _Row(NamedTuple):
    message_id: str
    state: str
    sender: str
    content: bytes
    sent_to: list[str]
    ambiguous: bool


def as_received(content: bytes) -> bytes:
    """Return stored bytes as SMTP delivers them: every line ends with CRLF."""
    return b"".join(line + b"\r\n" for line in content.splitlines())


def check_mails(faults: list[str], connection: Connection, received: Sequence[Mail]) -> int:
    """Check I6; return how many mails somebody got more often than needed."""
    query = (
        "select message_id, state, envelope_sender, message, array(select address from"
        " mentat_reporter.outbox_recipient r where r.outbox_id = o.id and r.state = 'sent' order by 1),"
        " ambiguous from mentat_reporter.outbox o"
    )
    stored = {row[0]: _Row(*row) for row in books.rows(connection, query)}
    arrived: dict[str, list[Mail]] = {}
    for mail in received:
        arrived.setdefault(mail.message_id, []).append(mail)
    faults.extend(
        f"mail {message_id} was received, and the outbox does not know it"
        for message_id in sorted(arrived.keys() - stored.keys())
    )
    unmade = [label for (label,) in books.rows(connection, UNMADE)]
    faults.extend(f"report {label} is mailed, and has no mail" for label in unmade)
    for message_id, row in stored.items():
        faults.extend(f"mail {message_id} {fault}" for fault in _wrong(row, arrived.get(message_id, [])))
    return sum(map(_duplicates, arrived.values()))


def _wrong(row: _Row, mails: Sequence[Mail]) -> list[str]:
    found = []
    got = sorted({address for mail in mails for address in mail.recipients})
    if row.sent_to and not mails:
        found.append(f"is {row.state}, but did not arrive")
    elif mails and all(mail.recipients for mail in mails) and got != row.sent_to and not row.ambiguous:
        found.append(f"reached {got}, the outbox says {row.sent_to}")
    if row.state == "sent" and not row.sent_to:
        found.append("is sent to nobody")
    if any(as_received(mail.content) != as_received(bytes(row.content)) for mail in mails):
        found.append("arrived with other bytes than the outbox has")
    if any(mail.sender and mail.sender != row.sender for mail in mails):
        found.append("arrived from another envelope sender")
    return found


def _duplicates(mails: Sequence[Mail]) -> int:
    """Count the copies of one mail that somebody had already."""
    times = Counter(address for mail in mails for address in mail.recipients or ("somebody",))
    return max(times.values()) - 1
