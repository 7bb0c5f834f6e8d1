"""The daily digest: what failed, is held or was given up, to the admin. docs/operations.md."""

from datetime import datetime
from typing import TYPE_CHECKING

from mentat_reporter.core.digest import Trouble, label_of
from mentat_reporter.session import Session
from mentat_reporter.store import digest
from mentat_reporter.store.connection import transaction
from mentat_reporter.store.outbox import OutgoingMail

if TYPE_CHECKING:
    from mentat_reporter.render.message import Mail


def enqueue(session: Session) -> list[int]:
    """Put the day's digest into the outbox, where it is due; return its id there, if there is one.

    It is made once a UTC day, as soon as there is something to tell, in one transaction with the marks of
    what it tells. For runs that drain the outbox, after quarantine was written.
    """
    now = session.now
    with transaction(session.main):
        if not digest.may_be_due(session.main, now):
            return []
    if not session.settings.mail.admin:
        session.logger.info("there is something to tell, but nobody to tell it to: mail_admin is empty")
        return []
    with transaction(session.main):
        trouble = digest.tell(session.main, now)
        if not trouble:
            return []
        mail = _written(trouble, session, now)
        ids = digest.store(session.main, OutgoingMail(label_of(now.date()), *mail, fallback=True), now)
        if not ids:
            session.main.rollback()
    is_written = "is written" if ids else "is in the outbox already, what is new waits for the next"
    session.logger.info("the digest of %s %s", now.date(), is_written)
    return ids


def _written(trouble: Trouble, session: Session, now: datetime) -> "Mail":
    from mentat_reporter.render.digest import digest_mail  # noqa: PLC0415 - a quiet run writes nothing
    from mentat_reporter.render.message import Frame  # noqa: PLC0415 - the same

    mail = session.settings.mail
    frame = Frame(mail.sender, mail.reply_to, mail.return_path, mail.message_id_domain, None, test_mode=False)
    return digest_mail(trouble, mail.admin, now, frame, session.sign)
