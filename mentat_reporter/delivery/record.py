"""What became of mails: counted, logged, and kept for whoever calls, mail by mail."""

import logging
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mentat_reporter.delivery.outcomes import GIVEN_UP, Outcome, Reply
from mentat_reporter.store.outbox import Claimed

UNSPEAKABLE: Final = "cannot be sent, the library fails on it"


class Unsettled(NamedTuple):
    """A mail that was tried while it is not known whether that is written down."""

    mail: Claimed
    outcome: Outcome
    fallback: tuple[str, ...]


@dataclass
class DeliveryResult:
    """What a run's delivery did. A mail counts once, as it was left."""

    sent: int = 0
    deferred: int = 0
    failed: int = 0
    held: int = 0
    stopped: bool = False
    """The server is not to be had: nothing more is tried in this run."""
    unreachable: int = 0
    """Sessions in a row that could not be had."""
    left: int = 0
    """Due, but not tried in the last delivery: the time was up or the server is not to be had."""
    alarms: list[str] = field(default_factory=list)
    """What somebody must look at, each a sentence."""
    troubled: list[tuple[str, str]] = field(default_factory=list)
    """For quarantine: Message-IDs of mails that failed, are held or cannot be sent, and why."""
    unsettled: Unsettled | None = None
    """Left by a database that went away: for `deliver.settle_late`, on a new connection."""


def name_of(mail: Claimed) -> str:
    return f"mail {mail.message_id} of report {mail.report_label}"


@dataclass(frozen=True)
class Record:
    """Writes what happens into a result and a log."""

    result: DeliveryResult
    log: logging.Logger

    def alarm(self, text: str) -> None:
        self.log.error("%s", text)
        self.result.alarms.append(text)

    def unspeakable(self, mail: Claimed, why: Reply) -> None:
        """Note a mail that the library cannot put into words."""
        self.result.troubled.append((mail.message_id, f"{UNSPEAKABLE}: {why}"))

    def taken_over(self, mail: Claimed) -> None:
        self.alarm(f"{name_of(mail)} was taken over by another run")

    def settled(self, mail: Claimed, outcome: Outcome, fallback: tuple[str, ...]) -> None:
        """Count and tell an attempt that is written down."""
        settled = outcome.settlement
        what = name_of(mail)
        if outcome.failed:
            addresses = "; ".join(f"{one.address}: {one.code or ''} {one.text}" for one in outcome.failed)
            self.log.warning("%s is not delivered to %s", what, addresses)
        if fallback:
            self.log.warning("%s reached nobody, it goes to the fallback %s", what, ", ".join(fallback))
            return
        setattr(self.result, settled.state, getattr(self.result, settled.state) + 1)
        self._tell(mail, outcome)

    def _tell(self, mail: Claimed, outcome: Outcome) -> None:
        settled = outcome.settlement
        what = name_of(mail)
        reply = Reply(settled.code, settled.text)
        reached = ", ".join(one.address for one in settled.recipients if one.state == "sent")
        if reached:
            self.log.info("%s sent to %s", what, reached)
        if settled.next_attempt is not None:
            doubt = ", it may have arrived" if settled.ambiguous else ""
            self.log.info("%s put off to %s%s: %s", what, settled.next_attempt.isoformat(), doubt, reply)
        elif settled.state == "held":
            self._trouble(mail, f"is held, it may have arrived: {reply}")
        elif settled.state == "failed":
            why = GIVEN_UP if outcome.expired else "failed"
            self._trouble(mail, f"{why}: {reply}")
        elif outcome.expired:
            self.alarm(f"{what} {GIVEN_UP} for some recipients: {reply}")

    def _trouble(self, mail: Claimed, what: str) -> None:
        self.alarm(f"{name_of(mail)} {what}")
        self.result.troubled.append((mail.message_id, what))
