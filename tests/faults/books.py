"""What the reporter has written, read back from its tables; nothing of the program is imported."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from faults.expected import Direction, Span, read, span_of
from psycopg2.extensions import connection as Connection  # noqa: N812 - the class, named as the type it is

HELD: Final = """
select h.event_id, h.group_name, h.severity, h.direction, h.source,
       coalesce(h.createtime >= t.thresholdtime and exists (
           select from mentat_reporter.thresholded_event o
           where (o.group_name, o.severity, o.direction, o.shadow, o.event_class, o.source)
                 = (h.group_name, h.severity, h.direction, h.shadow, h.event_class, h.source)
             and o.createtime >= t.relapsetime), false)
from mentat_reporter.thresholded_event h
left join mentat_reporter.threshold t
  on (t.group_name, t.severity, t.direction, t.shadow, t.event_class, t.source)
     = (h.group_name, h.severity, h.direction, h.shadow, h.event_class, h.source)
"""
BEGINNING: Final = datetime.min.replace(tzinfo=UTC)

Audience = tuple[frozenset[str], str, str]
"""The groups of a chain, severity, direction."""
Unit = tuple[str, str, str]
"""Group, severity, direction."""


class HeldKey(NamedTuple):
    """One event held back at one address."""

    event_id: str
    group: str
    severity: str
    direction: str
    source: str
    relapses: bool
    """Whether it is told again when its threshold has run out."""


class Told(NamedTuple):
    """The reports that tell one audience of one event."""

    labels: list[str]
    relapsed: bool
    """Whether one of them tells of relapses."""


class Event(NamedTuple):
    id: str
    at: datetime
    sides: Mapping[Direction, str]
    """Severity by direction, where there is any."""
    message: dict[str, Any] | None
    """None: it cannot be read."""


@dataclass(frozen=True)
class Books:
    """By event id: what was told, is held, was held at some time, is owed by a failed unit."""

    told: Mapping[str, dict[Audience, Told]]
    held: Mapping[str, dict[Unit, set[Span | None]]]
    held_before: Mapping[str, dict[Unit, set[Span | None]]]
    relapsing: Mapping[str, dict[Unit, set[Span | None]]]
    """What was held and must be told again, once it is not held any more."""
    owed: Mapping[str, set[Unit]]
    quarantined: set[str]
    covered: Mapping[tuple[str, str], tuple[datetime, datetime]]
    """Where each clock began to fetch and how far it is, by clock and severity."""

    def covers(self, group: str, severity: str, moment: datetime) -> bool:
        """Tell whether a group must have been told of what was stored at a moment."""
        common = self.covered.get(("", severity), (BEGINNING, BEGINNING))
        own = self.covered.get((group, severity), common)
        return min(own[0], common[0]) <= moment < own[1]


def rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def held(connection: Connection) -> Iterator[HeldKey]:
    return map(HeldKey._make, rows(connection, HELD))


def load(connection: Connection, held_before: Iterable[HeldKey]) -> Books:
    before = frozenset(held_before)
    owed: dict[str, set[Unit]] = {}
    for group, severity, direction, event_id in rows(
        connection,
        "select group_name, severity, direction, unnest(event_ids) from mentat_reporter.unit_retry",
    ):
        owed.setdefault(event_id, set()).add((group, severity, direction))
    bad = rows(connection, "select reference from mentat_reporter.quarantine where kind = 'event'")
    windows = rows(
        connection,
        "select clock, severity, min(fetch_lo), max(hi) filter (where state = 'done')"
        " from mentat_reporter.run_window group by 1, 2",
    )
    return Books(
        told=_told(connection),
        held=_by_event(held(connection)),
        held_before=_by_event(before),
        relapsing=_by_event(key for key in before if key.relapses),
        owed=owed,
        quarantined={reference for (reference,) in bad},
        covered={(clock, level): (since, until or BEGINNING) for clock, level, since, until in windows},
    )


def _by_event(keys: Iterable[HeldKey]) -> dict[str, dict[Unit, set[Span | None]]]:
    found: dict[str, dict[Unit, set[Span | None]]] = {}
    for key in keys:
        unit = (key.group, key.severity, key.direction)
        found.setdefault(key.event_id, {}).setdefault(unit, set()).add(span_of(key.source))
    return found


def _told(connection: Connection) -> dict[str, dict[Audience, Told]]:
    found: dict[str, dict[Audience, Told]] = {}
    for label, severity, kind, relapsed, groups, ids in rows(
        connection,
        "select r.label, r.severity::text, r.type::text, coalesce(r.evcount_rlp, 0) > 0,"
        " array(select g.name::text from asoc_groups_reports a join groups g on g.id = a.group_id"
        " where a.report_id = r.id), array(select jsonb_array_elements_text(r.statistics -> 'list_ids'))"
        " from reports_events r where r.type <> 'extra' and not r.flag_testdata order by r.id",
    ):
        audience = (frozenset(groups), severity, "target" if kind == "target" else "source")
        for event_id in ids:
            told = found.setdefault(event_id, {})
            before = told.get(audience, Told([], relapsed=False))
            told[audience] = Told([*before.labels, label], before.relapsed or relapsed)
    return found


def events(connection: Connection) -> Iterator[Event]:
    """Yield the events that reports are about: none of category Test, and with a severity on some side."""
    for event_id, at, source, target, message in rows(
        connection,
        "select e.id, e.storagetime at time zone 'utc',"
        " case when cardinality(e.resolvedabuses) > 0 then e.eventseverity end,"
        " case when cardinality(e.targetabuses) > 0 then e.targetseverity end, j.event"
        " from events e left join events_json j on j.id = e.id"
        " where not coalesce('Test' = any(e.category), false)",
    ):
        sides: dict[Direction, str] = {}
        if source is not None:
            sides["source"] = source
        if target is not None:
            sides["target"] = target
        yield Event(event_id, at, sides, read(None if message is None else bytes(message)))
