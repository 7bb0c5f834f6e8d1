"""What the admin is told once a day: mail and groups that need a hand, as values."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final, NamedTuple

LABEL: Final = "digest-{:%Y%m%d}"


class Refusal(NamedTuple):
    """An address that a mail will not reach, and the server's last words about it."""

    address: str
    code: int | None
    text: str


class Undelivered(NamedTuple):
    """A mail that did not reach all of its recipients."""

    report_label: str
    groups: Sequence[str]
    """Whom the report is about, where that is known."""
    message_id: str
    refusals: Sequence[Refusal]
    reached: Sequence[str]
    waiting: Sequence[str]
    """Those for whom it will be tried again."""


class Held(NamedTuple):
    """A mail of which nobody knows whether it arrived."""

    id: int
    report_label: str
    groups: Sequence[str]
    message_id: str
    recipients: Sequence[str]
    since: datetime
    text: str
    """What the server said, if it did."""
    recoveries: int
    """Runs that ended while they sent it."""


class GivenUp(NamedTuple):
    """A group's unit that failed too often."""

    group: str
    severity: str
    direction: str
    lo: datetime
    hi: datetime
    events: int
    attempts: int
    error: str


class Unusable(NamedTuple):
    """A row of quarantine, with the number of those of its kind."""

    kind: str
    reference: str
    error: str
    times: int
    last_seen: datetime
    of_kind: int


class Trouble(NamedTuple):
    """All of it; empty lists when there is none."""

    undelivered: Sequence[Undelivered]
    held: Sequence[Held]
    given_up: Sequence[GivenUp]
    unusable: Sequence[Unusable]
    """The newest of each kind."""

    def __bool__(self) -> bool:
        return any(map(len, self))


def label_of(day: date) -> str:
    """Return what stands in place of a report's label."""
    return LABEL.format(day)
