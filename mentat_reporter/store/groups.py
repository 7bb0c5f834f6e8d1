"""Groups, networks, rules, detectors and classes as the main database has them today."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.durations import parse_duration
from mentat_reporter.core.model import SEVERITIES, EventClass, Group, Network, OwnTiming, Severity
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.events import naive
from mentat_reporter.store.queries import get


class RuleText(NamedTuple):
    """An enabled filter that is valid now; `group` is empty for a global one."""

    id: int
    name: str
    group: str
    source_based: bool
    text: str


class Fault(NamedTuple):
    """A row that cannot be used, and why."""

    kind: str
    reference: str
    error: str


class House(NamedTuple):
    """All that decides who owns what and how it is told."""

    groups: Mapping[str, Group]
    networks: list[Network]
    rules: list[RuleText]
    credibilities: Mapping[str, float]
    event_classes: Mapping[str, EventClass]
    faults: list[Fault]


def _duration(value: Any) -> timedelta | None:
    """Read a stored duration; what is not said is None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no duration, write it as '6days' or 'none'")  # noqa: TRY004 - as for a bad text
    return parse_duration(value)


def own_timing(data: Any) -> dict[Severity, OwnTiming]:
    """Read a group's timing as stored: `{"low": {"period": "1day", "threshold": "none"}}`.

    Raises ValueError, naming the severity, for a duration that is none.
    """
    timing: dict[Severity, OwnTiming] = {}
    for severity in SEVERITIES:
        own = data.get(severity) if isinstance(data, dict) else None
        if not isinstance(own, dict):
            continue
        try:
            timing[severity] = OwnTiming(
                period=_duration(own.get("period")),
                threshold=_duration(own.get("threshold")),
                relapse=_duration(own.get("relapse")),
                has_threshold=own.get("threshold") is not None,
                has_relapse=own.get("relapse") is not None,
            )
        except ValueError as error:
            raise ValueError(f"timing of {severity}: {error}") from None
    return timing


def own_clocks(connection: Connection) -> dict[str, dict[Severity, OwnTiming]]:
    """Return the timing of the groups that have any."""
    with connection.cursor() as cursor:
        cursor.execute(get("groups.own_timing"))
        found = {}
        for name, data in cursor.fetchall():
            try:
                found[name] = own_timing(data)
            except ValueError:
                continue  # said, with the group's name, when the groups are loaded
        return found


def _group(row: tuple[Any, ...], faults: list[Fault]) -> Group:
    name, mode, locale, timezone, redirect = row[1:6]
    emails = {
        severity: tuple(address for address in row[6 + place] or () if address)
        for place, severity in enumerate(SEVERITIES)
    }
    timing: Mapping[Severity, OwnTiming] = {}
    try:
        timing = own_timing(row[11])
    except ValueError as error:
        faults.append(Fault("group", name, f"{error}; the default times are used"))
    return Group(
        name=name,
        emails={severity: found for severity, found in emails.items() if found},
        mode=mode,
        locale=locale or None,
        timezone=timezone or None,
        redirect=bool(redirect),
        timing=timing,
        mute=row[12],
        template=row[13] or None,
        attachments=row[14] or None,
        compress=row[15],
        max_attachment_size=row[16],
    )


def _networks(rows: list[tuple[Any, ...]], faults: list[Fault]) -> list[Network]:
    networks = []
    for group, row_id, text, rank, is_base in rows:
        try:
            address = parse_address(text or "")
        except ValueError as error:
            faults.append(Fault("group", f"{group} (network {row_id})", f"{error}; the network is left out"))
            continue
        networks.append(Network(group, address.version, address.first, address.last, rank, is_base))
    return networks


def _credibilities(rows: list[tuple[Any, ...]], faults: list[Fault]) -> dict[str, float]:
    found = {}
    for name, credibility in rows:
        if 0 <= credibility <= 1:
            found[name] = float(credibility)
        else:
            faults.append(
                Fault("group", f"detector {name}", f"credibility {credibility} is not 0 to 1; it counts as 1")
            )
    return found


def _event_class(row: tuple[Any, ...]) -> EventClass:
    name, label_en, label_cs, reference, subclassing, main, source, target, attach, labels, advice = row
    return EventClass(
        name,
        {
            language: text
            for language, text in {"en": label_en, "cs": label_cs, **(labels or {})}.items()
            if text
        },
        advice or {},
        reference or "",
        subclassing or "",
        {
            "main": tuple(main or ()),
            "source": tuple(source or ()),
            "target": tuple(target or ()),
            "attach": tuple(attach or ()),
        },
    )


def load(connection: Connection, now: datetime) -> House:
    """Read everything once; rows that cannot be used are left out and named in `faults`."""
    faults: list[Fault] = []

    def fetch(query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        cursor.execute(get(f"groups.{query}"), parameters)
        return cursor.fetchall()

    with connection.cursor() as cursor:
        groups: dict[str, Group] = {}
        for row in fetch("groups"):
            groups.setdefault(row[1], _group(row, faults))
        networks = _networks(fetch("networks"), faults)
        rules = [RuleText(*row) for row in fetch("rules", now=naive(now))]
        credibilities = _credibilities(fetch("detectors"), faults)
        classes = {row[0]: _event_class(row) for row in fetch("event_classes")}
    return House(groups, networks, rules, credibilities, classes, faults)


def hit(
    connection: Connection, rules: Mapping[int, int], detectors: Mapping[str, int], now: datetime
) -> None:
    """Add to the hit counts of rules, by id, and detectors, by name, in the caller's transaction."""
    if not rules and not detectors:
        return
    parameters = {
        "rules": list(rules),
        "rule_hits": list(rules.values()),
        "detectors": list(detectors),
        "detector_hits": list(detectors.values()),
        "now": naive(now),
    }
    with connection.cursor() as cursor:
        cursor.execute(get("groups.hit"), parameters)
