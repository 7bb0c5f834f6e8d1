"""Reads the events of a stretch of time once and deals them to the units that they concern."""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import Final, Protocol

from mentat_reporter.core.idea import capped, read_event
from mentat_reporter.core.intake import Intake, own, take_in
from mentat_reporter.core.model import DIRECTIONS, Direction, Event, Severity, Sighting
from mentat_reporter.errors import MessageError
from mentat_reporter.session import Session
from mentat_reporter.store import events
from mentat_reporter.store.jsontext import decode
from mentat_reporter.store.state import OpenWindow

MAX_ID: Final = 500
"""Bytes of an event id: more would not fit into the keys of the ledger and of held events."""
PROGRESS_STEP: Final = 5000
"""Events between two progress lines."""

_ODDITIES: Final = {
    "oversized": "is too large, it is told without its details",
    "odd_times": "has a time outside 1970 to 2100, which is put on that edge",
}
Key = tuple[str, Direction]
"""A unit within a severity: group and direction."""


class Plan(Protocol):
    """Which window a unit is worked in, if it is asked for; and what was decided before."""

    def window_of(self, key: Key) -> OpenWindow | None: ...

    def is_known(self, event_id: str, key: Key, moment: datetime) -> bool: ...


def _covers(opened: OpenWindow | None, moment: datetime) -> bool:
    return opened is not None and opened.window.fetch_lo <= moment < opened.window.hi


def read_raw(session: Session, raw: events.Raw, severity: Severity) -> Event:
    """Decode and read a stored event with its sides of a severity; raises MessageError."""
    if raw.message is None:
        raise MessageError("has no message in events_json")
    if len(raw.stored.id.encode()) > MAX_ID:
        raise MessageError(f"has an id of more than {MAX_ID} bytes")
    message, size = decode(raw.message), len(raw.message)
    return read_event(raw.stored, message, severity, session.today.subclasses, size=size)


class Deal:
    """Deals events to units.

    `common` is the window in which events that nobody owns are counted. The ids of events stored at or
    after `keep_from`, which a later window may fetch again, are kept.
    """

    def __init__(
        self, session: Session, severity: Severity, plan: Plan, common: OpenWindow | None, keep_from: datetime
    ) -> None:
        self._session = session
        self._severity = severity
        self._plan = plan
        self._common = common
        self._keep_from = keep_from
        self._seen: dict[Direction, dict[str, datetime]] = {"source": {}, "target": {}}
        self._oddities: set[tuple[str, str]] = set()
        self.intakes: dict[Key, Intake] = {}

    def read(self, fetch_lo: datetime, hi: datetime) -> None:
        """Stream the events of `[fetch_lo, hi)`, each decoded once, however many groups it concerns."""
        session, severity = self._session, self._severity
        stream = events.stream(
            session.events, severity, fetch_lo, hi, test_data=session.settings.run.test_data
        )
        with closing(stream):  # now, and not when its connection may be gone
            for number, raw in enumerate(stream, 1):
                if number % PROGRESS_STEP == 0:
                    session.progress(f"{severity}: {number:,} events read")
                self._take_in(raw)

    def read_again(self, ids: Sequence[str]) -> None:
        """Read events by their ids; those that are gone are left out and counted in the log."""
        found = 0
        for raw in events.by_ids(self._session.events, ids):
            found += 1
            self._take_in(raw)
        if found < len(ids):
            self._session.logger.warning("%d events that were to be read again are gone", len(ids) - found)

    def count_events(self) -> int:
        return len({event_id for intake in self.intakes.values() for event_id in intake.considered})

    def _take_in(self, raw: events.Raw) -> None:
        try:
            event = read_raw(self._session, raw, self._severity)
        except MessageError as error:
            severities = (raw.stored.eventseverity, raw.stored.targetseverity)
            for direction, stored in zip(DIRECTIONS, severities, strict=True):
                if stored == self._severity:
                    self._bad(raw.stored.id, raw.stored.storage_time, direction, str(error))
            return
        for direction in DIRECTIONS:
            if event.side(direction).severity == self._severity:
                self._deal(event, direction)

    def seen_by(self, opened: OpenWindow, direction: Direction) -> dict[str, datetime]:
        """Return the storage times, by id, of the events that a window saw and may be fetched again."""
        return {
            event_id: moment for event_id, moment in self._seen[direction].items() if _covers(opened, moment)
        }

    def _see(self, event_id: str, direction: Direction, moment: datetime) -> None:
        if moment >= self._keep_from and len(event_id.encode()) <= MAX_ID:
            self._seen[direction][event_id] = moment

    def _counts(self, event_id: str, direction: Direction, moment: datetime) -> bool:
        """Tell whether an event that no unit takes is new to the common window."""
        return _covers(self._common, moment) and not self._plan.is_known(event_id, ("", direction), moment)

    def _takes(self, key: Key, event: Event) -> bool:
        if not _covers(self._plan.window_of(key), event.storage_time):
            return False
        return not self._plan.is_known(event.id, key, event.storage_time)

    def _bad(self, event_id: str, moment: datetime, direction: Direction, error: str) -> None:
        self._see(event_id, direction, moment)
        if self._counts(event_id, direction, moment):
            name = capped(event_id)
            self._session.quarantine("event", name, error)
            self._session.fail(f"event {name} {error}; it is kept in mentat_reporter.quarantine")
            self._session.result.add(self._severity, events=1, bad=1)

    def _note_oddities(self, event: Event) -> None:
        """Count an event, once, that is told otherwise than it stands."""
        found = {"oversized": event.oversized, "odd_times": event.has_odd_time}
        for name in (name for name, holds in found.items() if holds):
            if (name, event.id) not in self._oddities:
                self._oddities.add((name, event.id))
                self._session.result.add(self._severity, **{name: 1})
                self._session.logger.info("event %s: %s", event.id, _ODDITIES[name])

    def _deal(self, event: Event, direction: Direction) -> None:
        session = self._session
        side = event.side(direction)
        if side.invalid and not side.addresses:
            self._bad(event.id, event.storage_time, direction, f"has no usable address: {side.invalid[0]}")
            return
        self._see(event.id, direction, event.storage_time)
        owners: dict[str, list[Sighting]] = {}
        nobodys = 0
        for sighting in own(event, direction, session.today.ownership):
            if sighting.chain:
                owners.setdefault(sighting.owner, []).append(sighting)
            else:
                nobodys += 1
        if (nobodys or side.invalid or not owners) and self._counts(event.id, direction, event.storage_time):
            session.result.add(self._severity, unowned_addresses=nobodys, invalid_addresses=len(side.invalid))
            if not owners:
                session.result.add(self._severity, unowned=1, events=1)
            if side.invalid:
                session.logger.info("event %s: no address: %s", event.id, ", ".join(side.invalid[:5]))
        for owner, sightings in owners.items():
            key = (owner, direction)
            if self._takes(key, event):
                if event.oversized or event.has_odd_time:
                    self._note_oddities(event)
                intake = self.intakes.setdefault(key, Intake())
                take_in(intake, sightings, session.today.rules, session.today.house.credibilities)
