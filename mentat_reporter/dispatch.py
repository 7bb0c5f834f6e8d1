"""What a run does about the outbox: free what a killed run left, send what is due, tell the admin."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from mentat_reporter import digest
from mentat_reporter.interrupts import put_off
from mentat_reporter.session import Session
from mentat_reporter.store.connection import explained
from mentat_reporter.store.outbox import Outbox

DRAINS: Final = 3
"""How often a delivery that was interrupted goes on."""
SETTLE_TRIES: Final = 24
"""Each waits for a lock as long as `lock_timeout` says, two minutes in all."""
SETTLE_PAUSE: Final = 1.0  # seconds


@contextmanager
def _going_on(session: Session, what: str) -> Iterator[None]:
    """Name what the outbox meets, and go on with the run; a lost connection is for others."""
    try:
        yield
    except Exception as error:
        if session.is_cut_off:
            raise
        session.logger.debug("traceback: %s", what, exc_info=True)
        session.fail(f"{what}: {explained(error)}")


def recover(session: Session, only: Sequence[int] | None) -> None:
    """Settle what a lost connection left open, then free the mails that a killed run was sending.

    `only` these mails, unless it is None.
    """
    with _going_on(session, "mails of an interrupted run stay as they are"):
        _recover(session, Outbox(session.main), only)


def _recover(session: Session, outbox: Outbox, only: Sequence[int] | None) -> None:
    if session.delivery is not None:
        from mentat_reporter.delivery.deliver import settle_late  # noqa: PLC0415 - a quiet run sends nothing

        settle_late(outbox, session.delivery, session.now, session.logger)
    recovered = outbox.recover(session.now, policy=session.settings.mail.ambiguous, only=only)
    if recovered.pending:
        session.logger.info("%d mails of an interrupted run wait again", recovered.pending)
    for label, message_id in recovered.held:
        session.quarantine("mail", message_id, recovered.reason)
        session.fail(
            f"mail {message_id} of report {label} is held: {recovered.reason}; see docs/operations.md"
        )


def deliver(session: Session, only: Sequence[int] | None) -> bool:
    """Send what is due; of the mails in `only`, unless it is None. Tell whether there was any."""
    outbox = Outbox(session.main)
    if session.delivery is not None and session.delivery.unsettled is not None:
        _settle_patiently(session, outbox, tries=1)
    if (only is not None and not only) or not outbox.due(session.now, only):
        return False
    from mentat_reporter.delivery.deliver import DeliveryResult  # noqa: PLC0415 - idle runs need no smtplib

    session.delivery = session.delivery or DeliveryResult()
    session.progress("delivering mail")
    for _ in range(DRAINS):
        with _going_on(session, "delivery was interrupted"):
            _drain(session, outbox, only)
            break
        if not _settle_patiently(session, outbox):
            break
    return True


def _drain(session: Session, outbox: Outbox, only: Sequence[int] | None) -> None:
    from mentat_reporter.delivery.deliver import deliver as drain  # noqa: PLC0415 - as above
    from mentat_reporter.delivery.transports import make_transport  # noqa: PLC0415 - the same

    if session.delivery is None:
        raise AssertionError("whoever drains has made the result")
    mail, outside = session.settings.mail, session.outside
    drain(
        outbox,
        partial(
            make_transport, mail,
            open_session=outside.open_smtp, run_program=outside.run_program, files=outside.files,
        ),
        mail,
        session.now,
        log=session.logger,
        result=session.delivery,
        only=only,
        fallback=session.settings.reporter.fallback,
        deadline=session.out_of_time,
        undisturbed=partial(put_off, session.logger),
    )  # fmt: skip


def _settle_patiently(session: Session, outbox: Outbox, tries: int = SETTLE_TRIES) -> bool:
    """Write down what became of the mail at hand, once whoever locks its row lets go; False if nobody does.

    Then the mail is in doubt, and the next run sends it again.
    """
    from mentat_reporter.delivery.deliver import settle_late  # noqa: PLC0415 - as above

    for _ in range(tries):
        try:
            if session.delivery is not None:
                settle_late(outbox, session.delivery, session.now, session.logger)
        except Exception:
            if session.is_cut_off:
                raise
            session.logger.debug("the mail at hand cannot be settled yet", exc_info=True)
            session.outside.sleep(SETTLE_PAUSE)
        else:
            return True
    return False


def tell_admin(session: Session) -> None:
    """Send the daily digest of what failed, is held or was given up."""
    _quarantine(session)
    session.keep_quarantine()
    ids: list[int] = []
    with _going_on(session, "the admin's digest is left to the next run"):
        ids = digest.enqueue(session)
    if ids:
        left = session.delivery.left if session.delivery else 0
        deliver(session, ids)
        if session.delivery:
            session.delivery.left += left


def sum_up(session: Session) -> None:
    """Put into the result what became of the mails."""
    done = session.delivery
    if done is None:
        return
    session.result.delivered.update(
        sent=done.sent, deferred=done.deferred, failed=done.failed, held=done.held, left=done.left
    )
    _quarantine(session)
    for alarm in done.alarms:
        session.result.fail(alarm)  # it stands in the log already
    if done.deferred or done.failed:
        session.fail(f"{done.deferred} mails were deferred and {done.failed} failed; the log says why")
    if done.left:
        session.result.notes.append(f"{done.left} mails are left for the next run")


def _quarantine(session: Session) -> None:
    """Keep, once, what became of mails that somebody must look at."""
    troubled = session.delivery.troubled if session.delivery else []
    while troubled:
        session.quarantine("mail", *troubled.pop(0))
