"""Deliver what waits in the outbox: claim, send, settle, one mail at a time."""

import logging
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from mentat_reporter.delivery.outcomes import Attempt, Ending, Outcome, Reply, Then, clean_reply, judge
from mentat_reporter.delivery.transports import Transport
from mentat_reporter.settings import MailSettings
from mentat_reporter.store.outbox import Claimed, Outbox, RecipientOutcome

MAX_UNREACHABLE: Final = 3  # in a row
NO_ADDRESS: Final = Reply(553, "not an address that can be mailed to")
# A last look at what is about to become a command or an argument; addresses were checked when configured.
_ADDRESS: Final = re.compile(r'(?!-)[^\s\x00-\x1f\x7f<>(),;:"@\\]+@[^\s\x00-\x1f\x7f<>(),;"@\\]+')


class Undelivered(NamedTuple):
    """For the admin's digest: recipients that a mail will not reach."""

    report_label: str
    message_id: str
    recipients: tuple[RecipientOutcome, ...]
    reached_nobody: bool
    """Nor any other; the fallback recipients have it, or are listed too."""


@dataclass
class DeliveryResult:
    """What a run's delivery did. A mail counts once, as it was left."""

    sent: int = 0
    deferred: int = 0
    failed: int = 0
    held: int = 0
    left: int = 0
    """Due, but not tried: the time was up or the server is not to be had."""
    alarms: list[str] = field(default_factory=list)
    """What somebody must look at, each a sentence."""
    undelivered: list[Undelivered] = field(default_factory=list)


def deliver(
    outbox: Outbox,
    transport_factory: Callable[[], Transport],
    settings: MailSettings,
    now: datetime,
    *,
    log: logging.Logger,
    only: Sequence[int] | None = None,
    fallback: Sequence[str] = (),
    deadline: Callable[[], bool] = lambda: False,
) -> DeliveryResult:
    """Send the mails that are due at `now`; of those in `only`, unless it is None.

    A mail that reaches nobody goes to the `fallback` recipients once, test mode apart. `deadline` is asked
    before each mail and ends the delivery. Errors of the database pass through; then the mail at hand is
    still `sending`, and `Outbox.recover` frees it. The transport is made when the first mail needs it.
    """
    round_ = _Round(outbox, settings, now, log, () if settings.test_mode else tuple(fallback))
    queue = deque(outbox.due(now, only))
    transport: Transport | None = None
    try:
        while queue and not round_.stopped and not deadline():
            mail = outbox.claim(queue.popleft(), now)
            if mail is None:
                continue
            transport = transport or transport_factory()
            if round_.send(transport, mail):
                queue.append(mail.id)
    finally:
        if transport is not None:
            transport.close()
    round_.result.left = len(queue)
    return round_.result


@dataclass
class _Round:
    outbox: Outbox
    settings: MailSettings
    now: datetime
    log: logging.Logger
    fallback: tuple[str, ...]
    result: DeliveryResult = field(default_factory=DeliveryResult)
    stopped: bool = False
    unreachable: int = 0

    def send(self, transport: Transport, mail: Claimed) -> bool:
        """Send and settle one mail; True if it now waits for its fallback recipients."""
        attempt = self._try(transport, mail)
        outcome = judge(attempt, mail, self.now, self.settings.ambiguous)
        fallback = () if mail.fallback_used or outcome.settlement.state != "failed" else self.fallback
        if self.outbox.settle(mail, outcome.settlement, self.now, fallback):
            self._record(mail, outcome, fallback)
        else:
            self._alarm(f"{_name(mail)} was taken over by another run while this one sent it")
        self._mind_connection(transport, attempt, outcome.then)
        return bool(fallback)

    def _try(self, transport: Transport, mail: Claimed) -> Attempt:
        if not _ADDRESS.fullmatch(mail.envelope_sender):
            return Attempt(Ending.ANSWERED, NO_ADDRESS._replace(text="not a usable envelope sender"))
        refused = {address: NO_ADDRESS for address in mail.recipients if not _ADDRESS.fullmatch(address)}
        recipients = [address for address in mail.recipients if address not in refused]
        if not recipients:
            return Attempt(Ending.ANSWERED, NO_ADDRESS, refused)
        try:
            attempt = transport.send(
                mail.envelope_sender, recipients, mail.content, lambda: self.outbox.mark_data_begun(mail)
            )
        except ValueError as error:  # a mail that the library cannot put into words must not stop the others
            self.log.exception("%s cannot be sent", _name(mail))
            attempt = Attempt(Ending.LOST, clean_reply(None, error))
        return attempt._replace(refused={**attempt.refused, **refused})

    def _record(self, mail: Claimed, outcome: Outcome, fallback: tuple[str, ...]) -> None:
        settled = outcome.settlement
        what = _name(mail)
        if outcome.failed:
            addresses = "; ".join(f"{one.address}: {one.code or ''} {one.text}" for one in outcome.failed)
            self.log.warning("%s is not delivered to %s", what, addresses)
            self.result.undelivered.append(
                Undelivered(mail.report_label, mail.message_id, outcome.failed, settled.state == "failed")
            )
        if fallback:
            self.log.warning("%s reached nobody, it goes to the fallback %s", what, ", ".join(fallback))
            return
        setattr(self.result, settled.state, getattr(self.result, settled.state) + 1)
        self._tell(what, outcome)

    def _tell(self, what: str, outcome: Outcome) -> None:
        settled = outcome.settlement
        reply = Reply(settled.code, settled.text)
        reached = ", ".join(one.address for one in settled.recipients if one.state == "sent")
        if reached:
            self.log.info("%s sent to %s", what, reached)
        if settled.next_attempt is not None:
            doubt = ", it may have arrived" if settled.ambiguous else ""
            self.log.info("%s put off to %s%s: %s", what, settled.next_attempt.isoformat(), doubt, reply)
        elif settled.state == "held":
            self._alarm(f"{what} is held, it may have arrived: {reply}")
        elif settled.state == "failed":
            why = "given up after five days" if outcome.expired else "failed"
            self._alarm(f"{what} {why}: {reply}")
        elif outcome.expired:
            self._alarm(f"{what} given up after five days for some recipients: {reply}")

    def _mind_connection(self, transport: Transport, attempt: Attempt, then: Then) -> None:
        self.unreachable = self.unreachable + 1 if attempt.ending is Ending.UNREACHABLE else 0
        if then is not Then.CONTINUE:
            transport.close()
        if then is Then.STOP:
            self.stopped = True
            self._alarm(f"delivery stopped, {attempt.reply}; see smtp_user in the configuration")
        elif self.unreachable == MAX_UNREACHABLE:
            self.stopped = True
            self._alarm(
                f"delivery stopped, {MAX_UNREACHABLE} failures in a row to reach the server: {attempt.reply}"
            )

    def _alarm(self, text: str) -> None:
        self.log.error("%s", text)
        self.result.alarms.append(text)


def _name(mail: Claimed) -> str:
    return f"mail {mail.message_id} of report {mail.report_label}"
