"""What must hold after every fault, seen in the databases, the files and the received mails alone.

I1 every event ends in exactly one of reported, held back by a threshold, filtered, not credible, unowned,
   quarantined, owed by a failed unit.
I2 no event is told twice to one chain in one direction, relapses apart.
I3 the report of every threshold exists.
I4 no mail is under way, and each that waits has a time at which it is tried.
I5 every file is complete and belongs to a stored report; where there are files, every report has its own.
I6 the mails received are those that the outbox says were sent, to whom it says, byte by byte; and every
   report that is to be mailed has one there.

Nothing of the program is imported here. `expected.py` says which worlds can be judged.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psycopg2
from faults import books
from faults.books import Books, Event, HeldKey, Told
from faults.expected import Chain, Direction, House, Span
from faults.expected import load as load_house
from faults.filecheck import check_maildir, check_reports
from faults.mailcheck import Mail, check_mails
from psycopg2.extensions import connection as Connection  # noqa: N812 - the class, named as the type it is

Dsn = Mapping[str, str]


@dataclass
class Findings:
    """What is wrong, each a sentence; all empty when everything holds."""

    judged: int = 0
    """Events below their watermark, times the chains and directions that they concern."""
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    duplicate_mails: int = 0
    """Mails that somebody got once more than needed; the same bytes each time, else it is a fault."""

    @property
    def all(self) -> list[str]:
        """What is wrong; duplicate mails are for the caller to judge."""
        return [*self.lost, *self.twice, *self.faults]


def held_now(dsn: Dsn) -> frozenset[HeldKey]:
    """Return what thresholds hold back now: they forget what is told again and what ran out."""
    connection = _connect(dsn)
    try:
        return frozenset(books.held(connection))
    finally:
        connection.close()


def check(
    main: Dsn,
    events: Dsn,
    now: datetime,
    received: Sequence[Mail],
    *,
    held_before: Iterable[HeldKey] = (),
    reports_dir: Path | None = None,
    maildir: Path | None = None,
) -> Findings:
    """Check I1 to I6 after a run as of `now`. `held_before`: what `held_now` said after each run."""
    found = Findings()
    ours, theirs = _connect(main), _connect(events)
    try:
        house, written = load_house(ours), books.load(ours, held_before)
        for event in books.events(theirs):
            _judge(found, house, written, event)
        _check_state(found.faults, ours, now)
        found.duplicate_mails = check_mails(found.faults, ours, received)
        if reports_dir is not None:
            check_reports(found.faults, ours, reports_dir)
        if maildir is not None:
            check_maildir(found.faults, ours, maildir)
    finally:
        ours.close()
        theirs.close()
    return found


def _connect(dsn: Dsn) -> Connection:
    connection = psycopg2.connect(**dsn, options="-c timezone=UTC")  # type: ignore[call-overload] # keywords
    connection.autocommit = True
    return connection  # type: ignore[no-any-return] # the stub's overloads do not know a mapping


@dataclass(frozen=True)
class _Part:
    """What one chain owns of an event, and what became of it."""

    event: Event
    chain: Chain
    severity: str
    direction: Direction
    spans: set[Span]
    told: Told | None
    dropped: bool

    @property
    def unit(self) -> tuple[str, str, str]:
        return self.chain[0], self.severity, self.direction

    def __str__(self) -> str:
        return f"event {self.event.id} ({self.event.at}), {self.severity} {self.direction} of {self.chain[0]}"


def _judge(found: Findings, house: House, written: Books, event: Event) -> None:
    told = dict(written.told.get(event.id, {}))
    for direction, severity in event.sides.items():
        if event.message is None:
            if event.id not in written.quarantined and written.covers("", severity, event.at):
                found.lost.append(f"event {event.id} cannot be read and is not in quarantine")
            continue
        for chain, spans in house.owned(event.message, direction).items():
            reports = told.pop((frozenset(chain), severity, direction), None)
            dropped = house.drops(event.message, direction, chain)
            _judge_part(found, written, _Part(event, chain, severity, direction, spans, reports, dropped))
    for (groups, severity, side), reports in told.items():
        found.faults.append(
            f"event {event.id}, {severity} {side}, is no matter of {' '.join(sorted(groups))}, whom "
            f"{', '.join(reports.labels)} tells of it"
        )


def _judge_part(found: Findings, written: Books, part: _Part) -> None:
    held = written.held.get(part.event.id, {}).get(part.unit, set())
    once_held = held | written.held_before.get(part.event.id, {}).get(part.unit, set())
    settled = held | (once_held - written.relapsing.get(part.event.id, {}).get(part.unit, set()))
    is_owed = part.unit in written.owed.get(part.event.id, ())
    known = part.told is not None or bool(held) or is_owed
    if not written.covers(part.chain[0], part.severity, part.event.at):
        if known:
            found.faults.append(f"{part} was taken before its window")
        return
    found.judged += 1
    if part.dropped:
        if known:
            found.faults.append(f"{part} should have been dropped, and was not")
    elif not known and not part.spans <= settled and part.event.id not in written.quarantined:
        found.lost.append(f"{part} is lost")
    _judge_once(found, part, held, once_held, is_owed=is_owed)


def _judge_once(
    found: Findings, part: _Part, held: set[Span | None], once_held: set[Span | None], *, is_owed: bool
) -> None:
    if is_owed and (part.told is not None or part.spans <= held):
        found.twice.append(f"{part} is owed by a failed unit, though it was told or is held")
    if part.told is None:
        return
    labels = ", ".join(part.told.labels)
    if part.spans <= held:
        found.twice.append(f"{part} is told in {labels} and held back")
    elif part.spans <= once_held and not part.told.relapsed:
        found.twice.append(f"{part} is told in {labels}, was held back, and did not relapse")
    # an event may be told for one address and relapse at another
    allowed = len(part.spans) if part.told.relapsed else 1
    if len(part.told.labels) > allowed:
        found.twice.append(f"{part} is told in {labels}")


def _check_state(faults: list[str], connection: Connection, now: datetime) -> None:
    """Check I3 and I4, and that no window was left open."""
    for group, label in books.rows(
        connection,
        "select group_name, report_label from mentat_reporter.threshold t where not exists"
        " (select from reports_events r where r.label = t.report_label)",
    ):
        faults.append(f"the threshold of {group} rests on report {label}, which is not there")
    for message_id, state, attempt in books.rows(
        connection,
        "select message_id, state, next_attempt from mentat_reporter.outbox"
        " where state in ('pending', 'sending', 'deferred')",
    ):
        if state != "deferred" or attempt is None or attempt <= now:
            faults.append(f"mail {message_id} is left {state}, next attempt {attempt}")
    for clock, severity, hi in books.rows(
        connection, "select clock, severity, hi from mentat_reporter.run_window where state = 'open'"
    ):
        faults.append(f"the window of {clock or 'the common clock'}, {severity}, up to {hi} is left open")
