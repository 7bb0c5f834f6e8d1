"""Deliver what waits in the outbox: claim, send, settle, one mail at a time."""

import logging
import re
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mentat_reporter.delivery.outcomes import Attempt, Ending, Outcome, Reply, Then, clean_reply, judge
from mentat_reporter.delivery.record import DeliveryResult, Record, Unsettled, name_of
from mentat_reporter.delivery.transports import Transport
from mentat_reporter.settings import MailSettings
from mentat_reporter.store.outbox import Claimed, Outbox, turns_to_fallback

__all__ = ["DeliveryResult", "deliver", "settle_late"]

MAX_UNREACHABLE: Final = 3  # in a row
MANY: Final = 20  # mails
NO_ADDRESS: Final = Reply(553, "not an address that can be mailed to")
# A last look at what is about to become a command or an argument; addresses were checked when configured.
_ADDRESS: Final = re.compile(r'(?!-)[^\s\x00-\x1f\x7f<>(),;:"@\\]+@[^\s\x00-\x1f\x7f<>(),;"@\\]+')


def deliver(
    outbox: Outbox,
    transport_factory: Callable[[], Transport],
    settings: MailSettings,
    now: datetime,
    *,
    log: logging.Logger,
    result: DeliveryResult,
    only: Sequence[int] | None = None,
    fallback: Sequence[str] = (),
    deadline: Callable[[], bool] = lambda: False,
    undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Send the mails that are due at `now`; of those in `only`, unless it is None.

    What becomes of each is put into `result` as soon as it is settled. A mail that reaches nobody goes to
    the `fallback` recipients once, test mode apart. `deadline` is asked before each mail and ends the
    delivery; each is sent and settled within `undisturbed()`. Errors of the database pass through; then
    the mail at hand is in `result.unsettled`, or still `sending`, and `Outbox.recover` frees it. The
    transport is made when the first mail needs it.
    """
    round_ = _Round(
        outbox=outbox,
        transport_factory=transport_factory,
        settings=settings,
        now=now,
        record=Record(result, log),
        fallback=() if settings.test_mode else tuple(fallback),
        deadline=deadline,
        queue=deque(outbox.due(now, only)),
        stopped=result.stopped,
    )
    many = len(round_.queue) >= MANY
    with outbox.planned_once() if many else nullcontext():
        try:
            more = True
            while more:
                with undisturbed():
                    more = round_.work()
        finally:
            round_.end()


def settle_late(outbox: Outbox, result: DeliveryResult, now: datetime, log: logging.Logger) -> None:
    """Write down what the database was lost at, if anything; `outbox` has a new connection.

    To be called before `Outbox.recover`, which would have the mail sent again.
    """
    if result.unsettled is None:
        return
    mail, outcome, fallback = result.unsettled
    record = Record(result, log)
    ours = outbox.settle(mail, outcome.settlement, now, fallback)
    if ours or outbox.is_settled(mail, outcome.settlement, fallback):
        record.settled(mail, outcome, fallback)
    else:
        record.taken_over(mail)
    result.unsettled = None


class _TakenOverError(Exception):
    """Another run has the mail that this one was about to send."""


@dataclass
class _Round:
    outbox: Outbox
    transport_factory: Callable[[], Transport]
    settings: MailSettings
    now: datetime
    record: Record
    fallback: tuple[str, ...]
    deadline: Callable[[], bool]
    queue: deque[int]
    transport: Transport | None = None
    ahead: Claimed | None = None
    """The next mail, claimed when the last was settled."""
    stopped: bool = False

    def work(self) -> bool:
        """Send and settle one mail; False when there is none, or no time, or no server."""
        mail, self.ahead = self.ahead, None
        while mail is None:
            following = self._following()
            if following is None:
                return False
            mail = self.outbox.claim(following, self.now)
        if self.transport is None:
            self.transport = self.transport_factory()
        try:
            attempt = self._try(self.transport, mail)
        except _TakenOverError:
            self.transport.close()
            self.record.taken_over(mail)
            return True
        outcome = judge(attempt, mail, self.now, self.settings.ambiguous)
        self._mind_server(attempt, outcome.then)
        self._settle(mail, outcome)
        if outcome.then is not Then.CONTINUE:
            self.transport.close()
        if self.stopped:
            self._tell_stop(attempt, outcome.then)
        return True

    def end(self) -> None:
        """Hang up, and give back a mail that was claimed for nothing."""
        left, self.record.result.left = self.ahead, len(self.queue) + (self.ahead is not None)
        try:
            if self.transport is not None:
                self.transport.close()
        finally:
            if left is not None:
                self.outbox.release(left)

    def _following(self) -> int | None:
        return self.queue.popleft() if self.queue and not self.stopped and not self.deadline() else None

    def _try(self, transport: Transport, mail: Claimed) -> Attempt:
        if not _ADDRESS.fullmatch(mail.envelope_sender):
            return Attempt(Ending.ANSWERED, NO_ADDRESS._replace(text="not a usable envelope sender"))
        refused = {address: NO_ADDRESS for address in mail.recipients if not _ADDRESS.fullmatch(address)}
        recipients = [address for address in mail.recipients if address not in refused]
        if not recipients:
            return Attempt(Ending.ANSWERED, NO_ADDRESS, refused)
        try:
            attempt = transport.send(
                mail.envelope_sender, recipients, mail.content, lambda: self._begin(mail)
            )
        except ValueError as error:  # a mail that the library cannot put into words must not stop the others
            self.record.log.exception("%s cannot be sent", name_of(mail))
            why = clean_reply(None, error)
            self.record.unspeakable(mail, why)
            attempt = Attempt(Ending.LOST, why)
        return attempt._replace(refused={**attempt.refused, **refused})

    def _begin(self, mail: Claimed) -> None:
        """Note that the server may take the mail; where a copy must never go out twice, on the disk."""
        if not self.outbox.mark_data_begun(mail, durable=self.settings.ambiguous == "hold"):
            raise _TakenOverError

    def _settle(self, mail: Claimed, outcome: Outcome) -> None:
        """Write down how it ended before anything else is sent; the next mail is claimed with it."""
        turns = turns_to_fallback(mail, outcome.settlement, self.fallback)
        fallback = self.fallback if turns else ()
        result = self.record.result
        result.unsettled = Unsettled(mail, outcome, fallback)
        ours, self.ahead = self.outbox.settle_and_claim(
            mail, outcome.settlement, self.now, fallback, self._following()
        )
        result.unsettled = None
        if ours:
            self.record.settled(mail, outcome, fallback)
        else:
            self.record.taken_over(mail)
        if turns and ours:
            self.queue.append(mail.id)

    def _mind_server(self, attempt: Attempt, then: Then) -> None:
        result = self.record.result
        result.unreachable = result.unreachable + 1 if attempt.ending is Ending.UNREACHABLE else 0
        self.stopped = then is Then.STOP or result.unreachable == MAX_UNREACHABLE
        result.stopped = self.stopped

    def _tell_stop(self, attempt: Attempt, then: Then) -> None:
        why = f"{MAX_UNREACHABLE} failures in a row to reach the server: {attempt.reply}"
        if then is Then.STOP:
            why = f"{attempt.reply}; see smtp_user in the configuration"
        self.record.alarm(f"delivery stopped, {why}")
