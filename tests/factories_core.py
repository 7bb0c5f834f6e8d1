"""Events, sightings, groups and desks for the core's tests, told by what matters."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from strategies import START

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.aggregate import Finding
from mentat_reporter.core.idea import StoredEvent, read_event
from mentat_reporter.core.intake import FilterRule
from mentat_reporter.core.model import Direction, Event, Group, Severity, Sighting, Window
from mentat_reporter.core.recipients import MailRules
from mentat_reporter.core.report import Desk, Look
from mentat_reporter.errors import RuleError

CHAIN = ("abuse@a.example",)


def stored(event_id: str = "event", **columns: Any) -> StoredEvent:
    """Return a row of `events` of the source direction; `columns` replaces what it says."""
    row = StoredEvent(event_id, START, "scan", None, "low", None, shadow=False, shadow_target=False)
    return row._replace(**columns)


def event(
    event_id: str = "event",
    *,
    event_class: str | None = "scan",
    severity: Severity = "low",
    storage_time: datetime = START,
    shadow: bool = False,
    **message: Any,
) -> Event:
    """Return an event of the source direction; `message` replaces keys of a small valid one."""
    whole = {"Category": ["Recon.Scanning"], "DetectTime": "2026-03-01T12:00:00Z", **message}
    row = stored(
        event_id, storage_time=storage_time, eventclass=event_class, eventseverity=severity, shadow=shadow
    )
    return read_event(row, whole, severity)


def attack(event_id: str = "event", *, shadow: bool = False, **message: Any) -> Event:
    """Return an event of the target direction."""
    row = stored(
        event_id, eventseverity=None, targetclass="attack", targetseverity="low", shadow_target=shadow
    )
    return read_event(row, {"Category": ["Attempt.Exploit"], **message}, "low")


def sighting(
    seen: Event,
    address: str = "192.0.2.1",
    chain: tuple[str, ...] = CHAIN,
    fallbacks: tuple[str, ...] = (),
    direction: Direction = "source",
) -> Sighting:
    return Sighting(seen, direction, (parse_address(address),), address, chain, fallbacks)


def finding(
    seen: Event, address: str = "192.0.2.1", direction: Direction = "source", **changes: Any
) -> Finding:
    side = seen.side(direction)
    made = Finding(seen, side.event_class, side.class_name, (parse_address(address),), address, ())
    return made._replace(**changes)


def rule(
    name: str,
    matches: Any = True,
    *,
    group: str = "",
    direction: Direction = "source",
    number: int = 1,
) -> FilterRule:
    """Return a rule that matches where a message holds `matches`; True: everywhere; None: it fails."""

    def decide(message: Mapping[str, Any]) -> bool:
        if matches is None:
            raise RuleError(f"{name} fails")
        return matches is True or str(matches) in repr(message)

    return FilterRule(number, name, group, direction, decide)


def window(length: timedelta = timedelta(days=1), *, severity: Severity = "low", clock: str = "") -> Window:
    """Return a window of the clock that ends at START."""
    return Window(clock, severity, START - length, START, START - length, timedelta(days=1))


def desk(*groups: Group, rules: MailRules | None = None, **changes: Any) -> Desk:
    facts: dict[str, Any] = {
        "groups": {group.name: group for group in groups},
        "mail_rules": rules or MailRules(),
        "created": START + timedelta(minutes=10),
        "test_data": False,
        "nonce": "",
        "default_look": Look("default", "en", "UTC"),
    }
    return Desk(**(facts | changes))


def texts(addresses: Iterable[Any]) -> list[str]:
    return [address.text for address in addresses]
