"""What XARF v4 has types for, and what an event says that they ask for (docs/reports.md).

Nothing that a type requires is made up: an event that does not say it makes no document.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from mentat_reporter.core.idea import categories, detectors, sections, strings

MOST_LETTERS: Final = 1000
"""Of a description."""
_LAST_PORT: Final = 65535
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[][A-Za-z0-9@:._~%-]+)((?:[/?#].*)?)", re.ASCII)
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MAILBOX: Final = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+")
_IN_PATHS: Final = ":/?#@!$&'()*+,;=%-._~"
_PLAIN: Final[Mapping[str, str]] = {
    **{name: name for name in ("tcp", "udp", "icmp", "sctp")},
    **dict.fromkeys(("icmp6", "icmpv6", "ipv6-icmp"), "icmp"),
}
_TRANSPORTS: Final[Mapping[str, str]] = {
    **_PLAIN,
    **dict.fromkeys(
        ("ssh", "telnet", "http", "https", "smtp", "smtps", "submission", "ftp", "rdp", "ms-wbt-server",
         "imap", "imaps", "pop3", "pop3s", "mysql", "mssql", "ms-sql-s", "postgresql", "smb", "microsoft-ds",
         "vnc", "irc", "redis", "mongodb"), "tcp"),
    **dict.fromkeys(("ntp", "snmp", "ssdp", "tftp", "chargen", "mdns", "netbios-ns"), "udp"),
}  # fmt: skip
"""Transport protocols, and those that are spoken over one alone."""


class Seen(NamedTuple):
    """What an event says that a document may need."""

    transports: tuple[str, ...]
    services: tuple[str, ...]
    source_port: int | None
    destination_ip: str
    destination_port: int | None
    destination_host: str
    url: str
    email: str
    description: str
    categories: tuple[str, ...]
    detectors: tuple[str, ...]


Fields = dict[str, Any]
"""Of a document: what its type has beyond what all have."""
Shape = Callable[[Seen], Fields | None]
"""Makes the fields of a type; None: the event does not say what is required."""


class Sample(NamedTuple):
    """An event that makes a document: its type and fields, its first time."""

    type: str
    fields: Fields
    time: datetime


def _connection(seen: Seen, transports: Iterable[str]) -> Fields | None:
    protocol = next((name for name in seen.transports if name in transports), None)
    if protocol is None:
        return None
    said = {
        "source_port": seen.source_port,
        "destination_ip": seen.destination_ip,
        "destination_port": seen.destination_port,
        "protocol": protocol,
    }
    return {name: value for name, value in said.items() if value}


def _attack(seen: Seen) -> Fields | None:
    return _connection(seen, ("tcp", "udp", "icmp", "sctp")) if seen.source_port else None


def _scan(kind: str) -> Shape:
    def shape(seen: Seen) -> Fields | None:
        known = [name for name in seen.transports if name in ("tcp", "udp", "icmp")]
        if not known:
            return None
        fields: Fields = {"scan_type": kind, "protocol": known[0] if len(known) == 1 else "mixed"}
        said = {
            "source_port": seen.source_port,
            "destination_ip": seen.destination_ip,
            "targeted_ports": [seen.destination_port] if seen.destination_port else None,
        }
        return fields | {name: value for name, value in said.items() if value}

    return shape


def _infected(seen: Seen) -> Fields | None:
    fields = _connection(seen, ("tcp", "udp"))
    return None if fields is None else fields | {"bot_type": "malicious"}


def _botnet(seen: Seen) -> Fields | None:
    evidence = seen.description or f"{', '.join(seen.categories)}: {', '.join(seen.detectors)}"
    fields = {"compromise_evidence": cut(evidence)}
    server = seen.destination_host or seen.destination_ip
    return fields | {"c2_server": server} if server else fields


def _compromised(_seen: Seen) -> Fields:
    return {"compromise_method": "unknown"}


def _spam(seen: Seen) -> Fields | None:
    if not (seen.source_port and seen.email) or not {"smtp", "submission"} & set(seen.services):
        return None
    return {"source_port": seen.source_port, "protocol": "smtp", "smtp_from": seen.email}


def _content(**more: str) -> Shape:
    return lambda seen: {"url": seen.url, **more} if seen.url else None


def _copyright(seen: Seen) -> Fields | None:
    return {"infringing_url": seen.url} if seen.url else None


def _probe(seen: Seen) -> Fields | None:
    return _connection(seen, ("tcp", "udp"))


def _threat(seen: Seen) -> Fields | None:
    return {"threat_type": seen.categories[0]} if seen.categories else None


def _service(seen: Seen) -> Fields | None:
    return {"service": seen.services[0]} if seen.services else None


SHAPES: Final[Mapping[str, Shape]] = {
    "connection/port_scan": _attack,
    "connection/login_attack": _attack,
    "connection/ddos": _attack,
    "connection/vulnerability_scan": _scan("vulnerability_scan"),
    "connection/sql_injection": _probe,
    "connection/infected_host": _infected,
    "infrastructure/botnet": _botnet,
    "infrastructure/compromised_server": _compromised,
    "messaging/spam": _spam,
    "content/phishing": _content(),
    "content/malware": _content(),
    "content/fraud": _content(fraud_type="other"),
    "content/remote_compromise": _content(compromise_type="other"),
    "copyright/copyright": _copyright,
    "vulnerability/open_service": _service,
    "vulnerability/misconfiguration": _service,
    "reputation/blocklist": _threat,
    "reputation/threat_intelligence": _threat,
}
"""The types that documents are made of; an event class may name one of them as its own."""

_LOOSER: Final[Mapping[str, tuple[str, Shape]]] = {
    "connection/port_scan": ("connection/vulnerability_scan", _scan("port_scan"))
}
"""What else says the same where events lack what a type requires: most scans name no source port."""

TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "Recon.Scanning": ("connection/port_scan",),
    "Attempt.Login": ("connection/login_attack",),
    "Attempt.Exploit": ("connection/vulnerability_scan",),
    "Availability.DoS": ("connection/ddos",),
    "Availability.DDoS": ("connection/ddos",),
    "Intrusion.Botnet": ("infrastructure/botnet",),
    "Intrusion.AdminCompromise": ("infrastructure/compromised_server",),
    "Intrusion.UserCompromise": ("infrastructure/compromised_server",),
    "Intrusion.AppCompromise": ("infrastructure/compromised_server",),
    "Malware": ("content/malware", "connection/infected_host", "infrastructure/botnet"),
    "Abusive.Spam": ("messaging/spam",),
    "Fraud.Phishing": ("content/phishing",),
    "Fraud.Scam": ("content/fraud",),
    "Fraud.Copyright": ("copyright/copyright",),
    "Vulnerable.Open": ("vulnerability/open_service",),
    "Vulnerable.Config": ("vulnerability/misconfiguration",),
}
"""IDEA categories, with all below them, to the types that say the same, the best first."""


def types_of(own_type: str, found: Iterable[str]) -> tuple[str, ...]:
    """Return the types for an event class that names its own, or else for the categories of its event."""
    if own_type:
        return (own_type,)
    for category in found:
        for known, types in TYPES.items():
            if f"{category}.".startswith(f"{known}."):
                return types
    return ()


def sample(
    own_type: str, message: Mapping[str, Any], own: Sequence[Mapping[str, Any]], time: datetime
) -> Sample | None:
    """Return what a document can be made of, from a cleaned message and its sections at the address; None if
    it says too little, or nothing that XARF has a type for.
    """
    types = types_of(own_type, categories(message))
    if not types:
        return None
    seen = _seen(message, own)
    shapes = [(name, SHAPES[name]) for name in types if name in SHAPES]
    for name, shape in (*shapes, *(_LOOSER[name] for name in types if name in _LOOSER)):
        fields = shape(seen)
        if fields is not None:
            return Sample(name, fields, time)
    return None


def _seen(message: Mapping[str, Any], own: Sequence[Mapping[str, Any]]) -> Seen:
    targets = sections(message, "Target")
    protocols = [name.lower() for name in _all((*own, *targets), "Proto")]
    return Seen(
        transports=tuple(dict.fromkeys(_TRANSPORTS[name] for name in protocols if name in _TRANSPORTS)),
        services=(
            *(name.lower() for name in _all(own, "ServiceName")),
            *(name for name in protocols if name not in _PLAIN),
        ),
        source_port=_port(own),
        destination_ip=_first(_all(targets, "IP4", "IP6"), _is_address),
        destination_port=_port(targets),
        destination_host=_first(_all(targets, "Hostname"), bool),
        url=next(filter(None, map(_url, _all(own, "URL"))), ""),
        email=_first(_all(own, "Email"), _MAILBOX.fullmatch),
        description=" ".join(strings(message.get("Description", []))),
        categories=tuple(categories(message)),
        detectors=detectors(message),
    )


def _all(parts: Iterable[Mapping[str, Any]], *keys: str) -> list[str]:
    return [text for part in parts for key in keys if key in part for text in strings(part[key])]


def _first(found: Iterable[str], fits: Callable[[str], object]) -> str:
    return next((text for text in found if fits(text)), "")


def _url(text: str) -> str:
    """Return a URL with all escaped that none may hold; empty if it is none."""
    match = _URL.fullmatch(text.strip())
    return match[1] + quote(_BAD_PERCENT.sub("%25", match[2]), safe=_IN_PATHS) if match else ""


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _port(parts: Iterable[Mapping[str, Any]]) -> int | None:
    """Return the first port that is one."""
    for text in _all(parts, "Port"):
        if text.isdecimal() and text.isascii() and len(text) <= len(str(_LAST_PORT)):
            number = int(text)
            if 0 < number <= _LAST_PORT:
                return number
    return None


def cut(text: str) -> str:
    """Shorten a text to what XARF takes."""
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"
