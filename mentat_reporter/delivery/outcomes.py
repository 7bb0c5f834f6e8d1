"""What becomes of a mail after an attempt to send it: docs/reliability.md as a function over values.

A transport tells what happened (`Attempt`), `judge` says what follows (`Outcome`). No clock, no socket.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from mentat_reporter.store.outbox import Claimed, RecipientOutcome, RecipientVerdict, Settlement, Verdict

BACKOFF: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 66))
GIVE_UP: Final = timedelta(days=5)
CLOSING: Final = 421  # the server hangs up after this reply, whatever it replied to
TEXT_LENGTH: Final = 500
GIVEN_UP: Final = "given up after five days"


class Reply(NamedTuple):
    """What a server answered; without a code: what went wrong instead."""

    code: int | None
    text: str

    @property
    def is_accepted(self) -> bool:
        return self.code is not None and 200 <= self.code < 300  # noqa: PLR2004 - classes of RFC 5321

    @property
    def is_refused(self) -> bool:
        return self.code is not None and 500 <= self.code < 600  # noqa: PLR2004 - classes of RFC 5321

    def __str__(self) -> str:
        return self.text if self.code is None else f"{self.code} {self.text}"


def clean_reply(code: int | None, text: str | bytes | BaseException) -> Reply:
    """Make a reply that can be logged and stored: one line, printable, not endless."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    if not words.isprintable():
        words = "".join(letter if letter.isprintable() else " " for letter in words)
    return Reply(code, " ".join(words.split())[:TEXT_LENGTH])


class Ending(Enum):
    """How far an attempt came."""

    UNREACHABLE = auto()
    """No session: refused, no banner in time, EHLO or TLS failed."""
    LOGIN_REFUSED = auto()
    ANSWERED = auto()
    """The server decided: on the sender, on every recipient, or on the mail."""
    LOST = auto()
    """The connection broke while the server could not have the whole mail yet."""
    LOST_AFTER_DOT = auto()
    """It broke when the server had the mail and had not answered: it may deliver it."""


class Attempt(NamedTuple):
    """What happened when a mail was sent. `reply` is for every recipient that `refused` does not name."""

    ending: Ending
    reply: Reply
    refused: Mapping[str, Reply] = MappingProxyType({})


class Then(Enum):
    """What to do with the connection."""

    CONTINUE = auto()
    RECONNECT = auto()
    STOP = auto()
    """No mail of this run will fare better."""


class Outcome(NamedTuple):
    """What to write down, and what to do next."""

    settlement: Settlement
    then: Then
    expired: bool
    """Some recipients were given up because five days had passed."""

    @property
    def failed(self) -> tuple[RecipientOutcome, ...]:
        return tuple(one for one in self.settlement.recipients if one.state == "failed")


def judge(attempt: Attempt, mail: Claimed, now: datetime, ambiguous: Literal["resend", "hold"]) -> Outcome:
    """Given an attempt to send `mail`, say what becomes of the mail and of each recipient.

    `ambiguous` is the policy for a mail that the server may have taken.
    """
    unclear = attempt.ending is Ending.LOST_AFTER_DOT
    held = unclear and ambiguous == "hold"
    recipients = [_judge_recipient(address, attempt) for address in mail.recipients]
    waiting = any(one.state == "deferred" for one in recipients)
    expired = waiting and not held and now - mail.since >= GIVE_UP
    if expired:
        recipients = [_given_up(one) if one.state == "deferred" else one for one in recipients]
    deferred = waiting and not expired and not held
    final: Verdict = "sent" if mail.reached or any(one.state == "sent" for one in recipients) else "failed"
    settlement = Settlement(
        state="held" if held else "deferred" if deferred else final,
        recipients=tuple(recipients),
        next_attempt=now + backoff(mail.attempts) if deferred else None,
        code=attempt.reply.code,
        text=attempt.reply.text,
        ambiguous=unclear,
    )
    return Outcome(settlement, _then(attempt), expired)


def backoff(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts."""
    return BACKOFF[min(max(attempts, 1), len(BACKOFF)) - 1]


def _given_up(recipient: RecipientOutcome) -> RecipientOutcome:
    return recipient._replace(state="failed", text=f"{GIVEN_UP}, the last answer was: {recipient.text}")


def _judge_recipient(address: str, attempt: Attempt) -> RecipientOutcome:
    reply = attempt.refused.get(address, attempt.reply)
    decided = attempt.ending is Ending.ANSWERED or address in attempt.refused
    state: RecipientVerdict = "deferred"
    if decided and reply.is_refused:
        state = "failed"
    elif decided and reply.is_accepted:
        state = "sent"
    return RecipientOutcome(address, state, reply.code, reply.text)


def _then(attempt: Attempt) -> Then:
    if attempt.ending is Ending.LOGIN_REFUSED:
        return Then.STOP
    replies = (attempt.reply, *attempt.refused.values())
    unusable = any(reply.code is None or reply.code == CLOSING for reply in replies)
    return Then.RECONNECT if attempt.ending is not Ending.ANSWERED or unusable else Then.CONTINUE
