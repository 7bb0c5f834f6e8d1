"""Events and sightings for the core's tests, told by what matters."""

from datetime import datetime
from typing import Any

from strategies import START

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.idea import StoredEvent, read_event
from mentat_reporter.core.model import Direction, Event, Severity, Sighting


def event(
    event_id: str = "event",
    *,
    event_class: str | None = "scan",
    severity: Severity = "low",
    storage_time: datetime = START,
    shadow: bool = False,
    **message: Any,
) -> Event:
    """An event of the source direction; `message` replaces keys of a small valid one."""
    whole = {"Category": ["Recon.Scanning"], "DetectTime": "2026-03-01T12:00:00Z", **message}
    stored = StoredEvent(event_id, storage_time, event_class, None, severity, None, shadow, False)
    return read_event(stored, whole, severity)


def sighting(
    seen: Event,
    address: str = "192.0.2.1",
    chain: tuple[str, ...] = ("abuse@a.example",),
    fallbacks: tuple[str, ...] = (),
    direction: Direction = "source",
) -> Sighting:
    return Sighting(seen, direction, parse_address(address), address, chain, fallbacks)
