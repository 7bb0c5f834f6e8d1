"""Event classes at an address as XARF v4 documents (docs/reports.md): for readers that are programs.

A document is made of one event, the first that says what its type requires, so that time and port belong
together.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from email.utils import parseaddr
from hashlib import sha256
from typing import Any, Final, NamedTuple
from uuid import UUID

from mentat_reporter.core.model import Entry, Report
from mentat_reporter.render.enclosed import XARF
from mentat_reporter.render.xarf_types import Sample, cut

VERSION: Final = "4.2.0"
_LONGEST_NAME: Final = 60
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._]+")


class Sender(NamedTuple):
    """Who reports: a name, an address, its domain."""

    name: str
    address: str
    domain: str


class Document(NamedTuple):
    """A finished document of one event class."""

    ending: str
    """Of its file's name, after the report's label."""
    event_class: str
    content: bytes


def sender_of(mailbox: str, domain: str) -> Sender:
    """Return the sender by a From header; without a name in it, its domain is the name."""
    name, address = parseaddr(mailbox)
    own = address.rpartition("@")[2] or domain
    return Sender(name[:200] or own, address, own)


def documents(report: Report, samples: Mapping[str, Sample], sender: Sender) -> list[Document]:
    """Return the documents of an extra report, one for each class that has a sample; the same report gives
    the same bytes.
    """
    contact = {"org": sender.name, "contact": sender.address, "domain": sender.domain}
    found: list[Document] = []
    taken: set[str] = set()
    for event_class, entries in sorted(_by_class(report).items()):
        if event_class in samples:
            whole = _document(report, event_class, entries, samples[event_class], contact)
            content = json.dumps(whole, ensure_ascii=False, indent=2).encode(errors="replace") + b"\n"
            ending = _ending(event_class, taken)
            found.append(Document(ending, event_class, content))
    return found


def without(report: Report, found: Iterable[Document]) -> tuple[str, ...]:
    """Return the event classes of an extra report that no document tells of."""
    return tuple(sorted(_by_class(report).keys() - {document.event_class for document in found}))


def _by_class(report: Report) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in (*report.regular, *report.relapsed):
        found.setdefault(entry.event_class, []).append(entry)
    return found


def _document(
    report: Report, event_class: str, entries: Sequence[Entry], chosen: Sample, contact: Mapping[str, str]
) -> dict[str, Any]:
    events = sum(entry.count for entry in entries)
    category, _, kind = chosen.type.partition("/")
    times = {}
    if category == "connection":
        times = {
            "first_seen": _written(min(entry.first_time for entry in entries)),
            "last_seen": _written(max(entry.last_time for entry in entries)),
        }
    counted = f"{events} event{'' if events == 1 else 's'}"
    return {
        "xarf_version": VERSION,
        "report_id": _identifier(report.label, event_class),
        "timestamp": _written(chosen.time),
        "reporter": contact,
        "sender": contact,
        "source_identifier": report.address,
        "category": category,
        "type": kind,
        **chosen.fields,
        **times,
        "description": cut(f"{event_class}: {counted}, told in report {report.label}"),
        "event_count": events,
    }


def _identifier(label: str, event_class: str) -> str:
    """Return an id in the form of version 4, which XARF asks for, but the same whenever it is made again."""
    return str(
        UUID(bytes=sha256(f"{label}\0{event_class}".encode(errors="replace")).digest()[:16], version=4)
    )


def _written(time: datetime) -> str:
    return time.replace(tzinfo=None).isoformat() + "Z"


def _ending(event_class: str, taken: set[str]) -> str:
    """Return the end of a name that is one on any system, and no other document's."""
    safe = _UNSAFE.sub("-", event_class)[:_LONGEST_NAME].strip(".-") or "class"
    stem, number = safe, 1
    while stem.casefold() in taken:
        number += 1
        stem = f"{safe}-{number}"
    taken.add(stem.casefold())
    return f"-{stem}{XARF}"
