"""The events of a world, drawn from a seed: messages as they arrive, and the columns that they fill."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from benchmarks.kinds import TROUBLES, Section, Trouble
from benchmarks.world import Host

SEVERAL: Final = 0.25
"""The share of events with two or three addresses."""
DOUBTFUL: Final = 0.01
"""The share of events from a detector of low credibility."""
UNRELIABLE: Final = "org.example.experimental.guess"
COLUMNS: Final = (
    "id", "detecttime", "storagetime", "category", "description", "source_ip", "target_ip", "source_port",
    "target_port", "source_type", "target_type", "source_hostname", "target_hostname", "protocol",
    "node_name", "node_type", "node_sw", "resolvedabuses", "targetabuses", "eventclass", "targetclass",
    "eventseverity", "targetseverity", "shadow_reporting", "shadow_reporting_target",
)  # fmt: skip


class Batch(NamedTuple):
    """Events stored in `[lo, hi)`, evenly. Each host is told of once before any is told of again."""

    events: int
    lo: datetime
    hi: datetime
    seed: int = 1


class Stored(NamedTuple):
    """An event as it lies in the database: its columns, as COPY takes them, and its message."""

    id: str
    row: str
    message: bytes
    units: set[tuple[str, str, str, int]]
    """Owner, severity and direction of each of its addresses, and the day: a window is cut into days."""
    addresses: int


def stored(batch: Batch, hosts: Sequence[Host]) -> Iterator[Stored]:
    """Yield the events of a batch about these hosts."""
    draw = Random(f"{batch.seed} events")  # noqa: S311 - nothing depends on its secrecy
    order = list(range(len(hosts)))
    draw.shuffle(order)
    alike: dict[tuple[int, str, bool], list[Host]] = {}
    for host in hosts:
        alike.setdefault(_problem(host), []).append(host)
    for number in range(batch.events):
        host = hosts[order[number % len(order)]]
        told = _companions(host, alike[_problem(host)], draw)
        moment = batch.lo + (batch.hi - batch.lo) * number / batch.events
        yield _stored(told, moment, (moment - batch.lo).days, draw)


def _problem(host: Host) -> tuple[int, str, bool]:
    """Return what hosts must have in common to be told of by one event."""
    return host.kind, host.severity, host.shadow


def _companions(host: Host, alike: Sequence[Host], draw: Random) -> list[Host]:
    """Return the hosts of an event: one, or a few more of anybody."""
    if draw.random() >= SEVERAL:
        return [host]
    found = {host.address: host}
    for _ in range(draw.randrange(1, 3)):
        other = alike[draw.randrange(len(alike))]
        found[other.address] = other
    return list(found.values())


def _stored(hosts: Sequence[Host], moment: datetime, day: int, draw: Random) -> Stored:
    trouble = TROUBLES[hosts[0].kind]
    message = _message(trouble, hosts, moment, draw)
    direction = "target" if trouble.target else "source"
    return Stored(
        id=message["ID"],
        row="\t".join(map(_field, columns(message))),
        message=orjson.dumps(message),
        units={(host.owners[0], host.severity, direction, day) for host in hosts},
        addresses=len(hosts),
    )


def _message(trouble: Trouble, hosts: Sequence[Host], moment: datetime, draw: Random) -> dict[str, Any]:
    section = _section(hosts)
    rest = trouble.fill(section, draw)
    ended = moment - timedelta(seconds=draw.randrange(5, 200))
    detected, begun = ended.isoformat(), (ended - timedelta(seconds=draw.randrange(900))).isoformat()
    detector = UNRELIABLE if draw.random() < DOUBTFUL else trouble.detector
    return {
        "Format": "IDEA0",
        "ID": str(UUID(int=draw.getrandbits(128))),
        "DetectTime": detected,
        "EventTime": begun,
        "CeaseTime": detected,
        "CreateTime": detected,
        "Category": [trouble.category],
        "Description": trouble.description,
        **rest,
        "Target" if trouble.target else "Source": [section],
        "Node": [{"Name": detector, "Type": ["Flow", "Statistical"], "SW": ["Sensor", trouble.software]}],
        "_Mentat": {"StorageTime": moment.isoformat(), **_verdict(trouble, hosts)},
    }


def _section(hosts: Sequence[Host]) -> Section:
    section: Section = {}
    for host in hosts:
        section.setdefault("IP6" if ":" in host.address else "IP4", []).append(host.address)
    if hosts[0].number % 2:
        section["Hostname"] = [f"pc{host.number}.{host.owners[0].partition('@')[2]}" for host in hosts]
    return section


def _verdict(trouble: Trouble, hosts: Sequence[Host]) -> dict[str, Any]:
    """Return what Mentat's inspection says of an event."""
    names = ("TargetAbuses", "TargetClass", "TargetSeverity", "ShadowReportingTarget")
    if not trouble.target:
        names = ("ResolvedAbuses", "EventClass", "EventSeverity", "ShadowReporting")
    owners = list(dict.fromkeys(owner for host in hosts for owner in host.owners))
    return dict(zip(names, (owners, trouble.event_class, hosts[0].severity, hosts[0].shadow), strict=True))


def columns(message: dict[str, Any]) -> tuple[object, ...]:
    """Return what `COLUMNS` hold of a message, as an import would fill them."""
    sources, targets = message.get("Source", ()), message.get("Target", ())
    node, mentat = message["Node"], message["_Mentat"]
    return (
        message["ID"], message["DetectTime"], mentat["StorageTime"], message["Category"],
        message["Description"], _all(sources, "IP4", "IP6"), _all(targets, "IP4", "IP6"),
        _all(sources, "Port"), _all(targets, "Port"), _all(sources, "Type"), _all(targets, "Type"),
        _all(sources, "Hostname"), _all(targets, "Hostname"), _all([*sources, *targets], "Proto"),
        [node[0]["Name"]], _all(node, "Type"), _all(node, "SW"),
        mentat.get("ResolvedAbuses", []), mentat.get("TargetAbuses", []),
        mentat.get("EventClass"), mentat.get("TargetClass"),
        mentat.get("EventSeverity", "low"), mentat.get("TargetSeverity"),
        mentat.get("ShadowReporting", False), mentat.get("ShadowReportingTarget", False),
    )  # fmt: skip


def _all(sections: Iterable[Section], *keys: str) -> list[Any]:
    return list(
        dict.fromkeys(value for section in sections for key in keys for value in section.get(key, ()))
    )


def _field(value: object) -> str:
    """Write a value as COPY reads it; nothing in a world needs more quoting than this."""
    if value is None:
        return "\\N"
    if isinstance(value, list):
        return "{" + ",".join(f'"{word}"' for word in value) + "}" if value else "{}"
    return str(value)
