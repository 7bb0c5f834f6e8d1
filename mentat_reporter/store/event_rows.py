"""IDEA messages → rows of `events`, in the columns that Mentat fills."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha1
from typing import Any, Final, NamedTuple
from uuid import UUID

from mentat_reporter.core import idea
from mentat_reporter.core.addresses import number_text
from mentat_reporter.core.model import Address
from mentat_reporter.core.times import parse_time
from mentat_reporter.errors import MessageError
from mentat_reporter.store import jsontext
from mentat_reporter.store.resolver import Resolver

NAMESPACE: Final = UUID("6b1f7c2e-3d0a-4e54-9a35-0f6d6e746174")
"""Of the ids given to messages that cannot have their own. Never to be changed."""

_LONGEST_ID: Final = 200
_LONGEST_WORD: Final = 500
"""Of the words in lists, which an index must hold; the message itself keeps all of it."""
_LAST_PORT: Final = 65535
_PORT: Final = re.compile("[0-9]{1,5}")
_UNUSABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_KINDS: Final = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}


class EventRow(NamedTuple):
    """A message ready to be stored."""

    id: str | None
    """None: it has no usable one."""
    columns: dict[str, Any]
    oddities: list[str]
    undated: bool
    owned: bool


def derived_id(message: bytes) -> str:
    """Return the UUIDv5 of a message's bytes."""
    digest = sha1(NAMESPACE.bytes + message, usedforsecurity=False).digest()
    return str(UUID(bytes=digest[:16], version=5))


def read_row(message: bytes, resolver: Resolver, now: datetime) -> EventRow:
    """Read a message, stored now unless it says otherwise. Raises MessageError if it is none."""
    value, suspect = jsontext.load(message)
    if not isinstance(value, dict):
        raise MessageError(f"is no JSON object but {_KINDS.get(type(value), 'a number')}")
    own_id = _own_id(value.get("ID"))
    event = idea.clean(value) if suspect else value
    oddities: list[str] = []
    columns = _searched(event)
    undated = _set_times(columns, event, now, oddities)
    owned = _set_sides(columns, event, resolver)
    return EventRow(own_id, columns, oddities, undated, owned)


def _own_id(value: Any) -> str | None:
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_ID or _UNUSABLE.search(value):
        return None
    return value


def _set_times(columns: dict[str, Any], event: Mapping[str, Any], now: datetime, oddities: list[str]) -> bool:
    """Fill in storage and detection time; tell whether the latter is not the message's own."""
    given = idea.mentat_fields(event).get("StorageTime")
    storage = parse_time(given)
    if storage is None and given is not None:
        oddities.append("its StorageTime is no time, now stands for it")
    detect, stand_in = parse_time(event.get("DetectTime")), ""
    if detect is None:
        detect, stand_in = parse_time(event.get("EventTime")), "EventTime"
    if detect is None:
        stand_in = "the storage time"
    if stand_in:
        oddities.append(f"has no usable DetectTime, {stand_in} stands for it")
    columns["storagetime"] = _stored(storage or now)
    columns["detecttime"] = _stored(detect or storage or now)
    return bool(stand_in)


def _stored(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def _set_sides(columns: dict[str, Any], event: Mapping[str, Any], resolver: Resolver) -> bool:
    """Fill in addresses and verdicts of both directions; tell whether anybody owns any."""
    sources, _ = idea.addresses(event, "source")
    targets, _ = idea.addresses(event, "target")
    source = resolver.judge(event, "source", sources)
    target = resolver.judge(event, "target", targets)
    columns |= {
        "source_ip": [address.text for address in sources],
        "target_ip": [address.text for address in targets],
        "source_ip_aggr_ip4": _spanned(sources, 4),
        "source_ip_aggr_ip6": _spanned(sources, 6),
        "target_ip_aggr_ip4": _spanned(targets, 4),
        "target_ip_aggr_ip6": _spanned(targets, 6),
        "eventclass": source.class_name,
        "eventseverity": source.severity,
        "resolvedabuses": _words(source.abuses),
        "shadow_reporting": source.shadow,
        "targetclass": target.class_name,
        "targetseverity": target.severity,
        "targetabuses": _words(target.abuses),
        "shadow_reporting_target": target.shadow,
    }
    return bool(source.abuses or target.abuses)


def _spanned(addresses: Sequence[Address], version: int) -> str | None:
    """Return the one range that holds all addresses of a version, for columns that only Mentat has."""
    found = [address for address in addresses if address.version == version]
    if not found:
        return None
    first, last = min(address.first for address in found), max(address.last for address in found)
    return f"{number_text(version, first)}-{number_text(version, last)}"


def _searched(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that people search by."""
    sources, targets = idea.sections(event, "Source"), idea.sections(event, "Target")
    nodes = idea.sections(event, "Node")
    return {
        "tlp": _text(event.get("TLP")),
        "category": _words(idea.categories(event)),
        "description": _text(event.get("Description")),
        "source_port": _ports(sources),
        "target_port": _ports(targets),
        "source_type": _gathered(sources, "Type"),
        "target_type": _gathered(targets, "Type"),
        "source_hostname": _gathered(sources, "Hostname"),
        "target_hostname": _gathered(targets, "Hostname"),
        "protocol": _gathered([*sources, *targets], "Proto"),
        "node_name": _gathered(nodes, "Name"),
        "node_type": _gathered(nodes, "Type"),
        "node_sw": _gathered(nodes, "SW"),
        "inspectionerrors": _gathered([idea.mentat_fields(event)], "InspectionErrors"),
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _words(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(word[:_LONGEST_WORD] for word in words))


def _gathered(sections: Iterable[Mapping[str, Any]], key: str) -> list[str]:
    return _words(word for section in sections if key in section for word in idea.strings(section[key]))


def _ports(sections: Iterable[Mapping[str, Any]]) -> list[int]:
    written = (word for section in sections if "Port" in section for word in idea.strings(section["Port"]))
    ports = (int(word) for word in written if _PORT.fullmatch(word))
    return list(dict.fromkeys(port for port in ports if port <= _LAST_PORT))
