"""The world of the sweep: small, and yet with something of everything that a run may have under way.

Runs A, B and C come before; the run of T is the one that is killed; N and D come after.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from integration.helpers_run import (
    DAY,
    HOUR,
    JIFFY,
    MINUTE,
    Row,
    Stored,
    event,
    group,
)

T: Final = datetime(2026, 5, 20, 12, tzinfo=UTC)
A: Final = T - DAY
B: Final = T - 2 * HOUR
C: Final = T - 10 * MINUTE
N: Final = T + 10 * MINUTE
D: Final = T + DAY

ALICE, BOB, CAROL, DAVE, HOUSE, ERIN, FRANK, GRACE, HEIDI = (
    f"abuse@{name}.example"
    for name in ("alice", "bob", "carol", "dave", "house", "erin", "frank", "grace", "heidi")
)
SECOND: Final = "second@alice.example"
LIAR: Final = "org.example.liar"
FAILING: Final = (ERIN, FRANK, HEIDI)
"""Their units fail in run C: one is due again at T, one is given up, one is due after T."""
NAMED: Final = (FRANK, HEIDI, "t-unreadable")
"""What a run from T on may name as failed, by a word of it."""
UNKIND: Final = {"later": [SECOND, BOB], "vanish": [CAROL]}
"""What the mail server does in run C."""

GROUPS: Final = (
    group(
        ALICE, "192.0.2.0/24", emails={"info": [ALICE, SECOND]},
        filters=[{"name": "logins", "filter": "'Attempt.Login' in Category"}], attachments="json",
    ),
    group(BOB, "198.51.100.0/24", mode="both", attachments="all", compress=True),
    group(CAROL, "203.0.113.0/24", timing={"low": {"period": "2hrs"}}),
    group(DAVE, "192.0.2.128/25", mode="extra"),
    group(HOUSE, {"network": "192.0.0.0/16", "is_base": True}),
    group(ERIN, "10.1.0.0/16"),
    group(FRANK, "10.2.0.0/16"),
    group(GRACE, "10.3.0.0/16", timing={"high": {"threshold": "none"}}),
    group(HEIDI, "10.4.0.0/16"),
)  # fmt: skip
RULES: Final = [{"name": "everybody's", "filter": "'Other' in Category"}]
DETECTORS: Final = [{"name": LIAR, "credibility": 0.3}]

HELD: Final = 10
"""Last part of an address whose threshold still holds at T."""
RELAPSING: Final = 20
"""Last part of one whose threshold ends at T, and which was seen shortly before."""
PREFIXES: Final = {
    ALICE: "192.0.2", BOB: "198.51.100", CAROL: "203.0.113", DAVE: "192.0.2", HOUSE: "192.0.7",
    ERIN: "10.1.0", FRANK: "10.2.0", GRACE: "10.3.0", HEIDI: "10.4.0",
}  # fmt: skip


class _Maker:
    """Makes events, all by one address of a group, which no threshold has met before."""

    def __init__(self, prefix: str, last: int) -> None:
        self._prefix = prefix
        self._numbers = count(1)
        self._last = last

    def __call__(
        self, name: str, severity: str, at: datetime, last: int | None = None, **more: Any
    ) -> Stored:
        address = f"{PREFIXES[name]}.{last or self._last}"
        return event(self._name(name, severity), at, address, severity=severity, **more)

    def target(self, name: str, severity: str, at: datetime) -> Stored:
        return event(
            self._name(name, f"{severity}-target"), at, "172.16.0.1", severity=None,
            targets=(f"{PREFIXES[name]}.{self._last}",), target_severity=severity,
        )  # fmt: skip

    def _name(self, group_name: str, severity: str) -> str:
        short = group_name.partition("@")[2].partition(".")[0]
        return f"{self._prefix}-{next(self._numbers)}-{severity}-{short}"


def before_a() -> Iterator[Stored]:
    """Set thresholds: one that still holds at T, one that ends exactly then."""
    make = _Maker("a", 200)
    yield make(ALICE, "low", A - HOUR, HELD)
    yield make(ALICE, "high", A - 5 * MINUTE, RELAPSING)
    yield make.target(BOB, "high", A - 5 * MINUTE)


def before_b() -> Iterator[Stored]:
    make = _Maker("b", 200)
    yield make(CAROL, "low", B - HOUR)
    yield make(GRACE, "high", B - HOUR)


def before_c() -> Iterator[Stored]:
    """Yield what relapses at T, what fails, and what makes mails that do not arrive."""
    make = _Maker("c", 210)
    yield make(ALICE, "high", C - HOUR, RELAPSING)
    for name in (ALICE, BOB, CAROL, *FAILING):
        yield make(name, "high", C - HOUR)
    yield make(ALICE, "critical", C - MINUTE, HELD)
    yield make.target(GRACE, "high", C - MINUTE)


def visible_after_c() -> Iterator[Stored]:
    """Yield what was stored before C and committed after it, within the margin."""
    make = _Maker("margin", 220)
    yield make(GRACE, "high", C - JIFFY)
    yield make(ALICE, "critical", C - 4 * MINUTE)
    yield make.target(BOB, "high", C - 3 * MINUTE)


def before_t() -> Iterator[Stored]:
    """Fill the windows of the run that is killed, also on their edges and in the margin of the next."""
    make = _Maker("t", 40)
    for severity, lo in (("critical", C), ("high", C), ("low", A)):
        for at in (lo, lo + (T - lo) / 3, T - MINUTE, T - JIFFY):
            yield make(ALICE, severity, at)
        for at in (lo, T - MINUTE):
            yield make.target(BOB, severity, at)
    yield make(ALICE, "low", T - HOUR, HELD)
    yield make(ALICE, "critical", T - MINUTE, HELD)
    yield from _high(make)
    yield from _low(make)
    yield make(CAROL, "info", T - MINUTE)


def _high(make: _Maker) -> Iterator[Stored]:
    for name in (BOB, ERIN, HEIDI, GRACE):
        yield make(name, "high", C + MINUTE)
        yield make(name, "high", T - MINUTE)
    # one event, told to two groups on two sides, in two severities
    yield event(
        "t-two-sides", T - MINUTE, "192.0.2.40", targets=("198.51.100.40",),
        severity="high", target_severity="critical",
    )  # fmt: skip


def _low(make: _Maker) -> Iterator[Stored]:
    for at in (B, T - MINUTE):
        yield make(CAROL, "low", at)
    yield make(HOUSE, "low", T - MINUTE)
    yield make(ALICE, "low", T - HOUR, shadow=True)
    yield make(ALICE, "low", T - HOUR, category="Attempt.Login")
    yield make(ALICE, "low", T - HOUR, category="Other")
    yield make(ALICE, "low", T - HOUR, message={"Node": [{"Name": LIAR}]})
    yield make(ALICE, "low", T - HOUR, category="Test")
    yield event("t-range", T - HOUR, "192.0.2.120-192.0.2.135", severity="low")
    yield event("t-unowned", T - HOUR, "172.20.0.1", severity="low")
    yield event("t-unreadable", T - HOUR, severity="low")._replace(message=b"{")


def by_writer(number: int) -> Iterator[Stored]:
    """Yield what a long transaction stores in the windows killed, and commits when they are done."""
    make = _Maker(f"w{number}", 60 + number)
    yield make(ALICE, "critical", C)
    for severity, at in (
        ("critical", T - 7 * MINUTE), ("high", T - 7 * MINUTE), ("high", T - JIFFY), ("medium", T - HOUR),
        ("low", T - 5 * HOUR), ("low", T - JIFFY),
    ):  # fmt: skip
        yield make(ALICE, severity, at)
        yield make.target(BOB, severity, at)
    yield make(CAROL, "low", T - HOUR)


def visible_after_t() -> Iterator[Stored]:
    """Yield what was stored before T, within the margin, by a transaction that began and ended later."""
    make = _Maker("late", 130)
    for severity in ("critical", "high", "low"):
        yield make(ALICE, severity, T - 4 * MINUTE)
        yield make.target(BOB, severity, T - JIFFY)
    yield make(CAROL, "low", T - 4 * MINUTE)


def before_n() -> Iterator[Stored]:
    make = _Maker("n", 110)
    for severity in ("critical", "high", "low"):
        for at in (T, N - JIFFY):
            yield make(ALICE, severity, at)
        yield make.target(BOB, severity, T)


def before_d() -> Iterator[Stored]:
    make = _Maker("d", 100)
    for severity in ("critical", "high", "low"):
        for at in (N, D - JIFFY):
            yield make(ALICE, severity, at)
    yield make.target(BOB, "high", D - HOUR)


def document() -> Row:
    """Return the file of groups to import."""
    return {"groups": GROUPS, "filters": RULES, "detectors": DETECTORS}
