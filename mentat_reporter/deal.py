"""Reads the events of a stretch of time once and deals them to the units that they concern."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Final, Protocol

from mentat_reporter.core.idea import capped, read_event
from mentat_reporter.core.intake import Intake, own, take_in
from mentat_reporter.core.model import DIRECTIONS, Direction, Event, Severity, Sighting
from mentat_reporter.errors import MessageError
from mentat_reporter.session import Session
from mentat_reporter.shelf import Intakes, Key, Shelf
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


class Plan(Protocol):
    """Which window a unit is worked in, if it is asked for; and what was decided before."""

    def window_of(self, key: Key) -> OpenWindow | None: ...

    def is_known(self, event_id: str, key: Key, moment: datetime) -> bool: ...


def _covers(opened: OpenWindow | None, moment: datetime) -> bool:
    return opened is not None and opened.window.fetch_lo <= moment < opened.window.hi


def read_raw(session: Session, raw: events.Raw, severity: Severity, shelf: Shelf) -> Event:
    """Decode and read a stored event with its sides of a severity, its message on the shelf.

    Raises MessageError.
    """
    if raw.message is None:
        raise MessageError("has no message in events_json")
    if len(raw.stored.id.encode()) > MAX_ID:
        raise MessageError(f"has an id of more than {MAX_ID} bytes")
    message = decode(raw.message)
    place = shelf.keep(raw.message, message)
    try:
        return read_event(
            raw.stored, message, severity, session.today.subclasses,
            size=len(raw.message), messages=shelf, place=place,
        )  # fmt: skip
    except MessageError:
        shelf.drop(place)
        raise


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
        self._seen: dict[Direction, list[tuple[str, datetime]]] = {"source": [], "target": []}
        self._oddities: set[tuple[str, str]] = set()
        self._shelf = Shelf()
        self._intakes = Intakes(self._shelf)
        self.events = 0
        """Events that some unit has to work."""

    def units(self) -> list[Key]:
        """Return what is to be worked, in order."""
        return self._intakes.keys()

    def add_unit(self, key: Key) -> None:
        """Have a unit worked, whether or not it has events."""
        self._intakes.open(key)

    def weight(self, key: Key) -> int:
        """Return how much there is to work for a unit."""
        return self._intakes.weight(key)

    def take(self, key: Key) -> Intake:
        """Hand over what a unit has to work; it is not kept any longer."""
        return self._intakes.pop(key)

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

    def _take_in(self, raw: events.Raw) -> None:
        try:
            event = read_raw(self._session, raw, self._severity, self._shelf)
        except MessageError as error:
            severities = (raw.stored.eventseverity, raw.stored.targetseverity)
            for direction, stored in zip(DIRECTIONS, severities, strict=True):
                if stored == self._severity:
                    self._bad(raw.stored.id, raw.stored.storage_time, direction, str(error))
            return
        concerned = [way for way in DIRECTIONS if event.side(way).severity == self._severity]
        taken = [self._deal(event, direction) for direction in concerned]
        if any(taken):
            self.events += 1
        else:
            self._shelf.drop(event.place)

    def seen_by(self, opened: OpenWindow, direction: Direction) -> Iterator[tuple[str, datetime]]:
        """Yield ids and storage times of the events that a window saw and may be fetched again."""
        return (seen for seen in self._seen[direction] if _covers(opened, seen[1]))

    def _see(self, event_id: str, direction: Direction, moment: datetime) -> None:
        if moment >= self._keep_from and len(event_id.encode()) <= MAX_ID:
            self._seen[direction].append((event_id, moment))

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

    def _deal(self, event: Event, direction: Direction) -> bool:
        """Give an event to the units that it is new to; tell whether there is any."""
        session = self._session
        side = event.side(direction)
        if side.invalid and not side.addresses:
            self._bad(event.id, event.storage_time, direction, f"has no usable address: {side.invalid[0]}")
            return False
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
        units = [(owner, direction) for owner in owners if self._takes((owner, direction), event)]
        if units and (event.oversized or event.has_odd_time):
            self._note_oddities(event)
        for key in units:
            intake = self._intakes.open(key)
            kept = take_in(intake, owners[key[0]], session.today.rules, session.today.house.credibilities)
            self._intakes.added(key, kept)
        return bool(units)
