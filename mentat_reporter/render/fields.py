"""The details of an address: which fields are shown, in what order, and under what name."""

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice, product
from typing import Final, Literal, NamedTuple

from mentat_reporter.core.model import Detail, Direction, Entry
from mentat_reporter.render.i18n import N_, Reader
from mentat_reporter.render.plain import defanged, defanged_host, defanged_url, inert

MOST_VALUES: Final = 15
_PORT_DIGITS: Final = 5

Group = Literal["main", "source", "target", "attach"]


class Field(NamedTuple):
    """A detail with its values; `more` of them are not shown. `text` says it all in words."""

    label: str
    values: tuple[str, ...]
    more: int
    text: str


def field(label: str, *values: str, more: int = 0, reader: Reader) -> Field:
    text = ", ".join(values)
    if more:
        sentence = reader.ngettext("%(values)s and %(number)s more", "%(values)s and %(number)s more", more)
        text = sentence % {"values": text, "number": reader.number(more)}
    return Field(label, values, more, text)


class _List(NamedTuple):
    label: str
    name: str
    clean: Callable[[object], str] = inert


class _Number(NamedTuple):
    label: str
    name: str


_SIDE_LISTS: Final = (
    _List(N_("Addresses"), "ips"),
    _List(N_("Attacked addresses"), "relevant_ips"),
    _List(N_("Host names"), "Hostname", defanged_host),
    _List(N_("MAC addresses"), "MAC"),
    _List(N_("Ports"), "Port"),
    _List(N_("Protocols"), "Proto"),
    _List(N_("Services"), "services"),
    _List(N_("URLs"), "URL", defanged_url),
    _List(N_("E-mail"), "Email", defanged),
    _List(N_("Types"), "Type"),
    _List(N_("Networks"), "Netname", defanged),
    _List(N_("Interfaces"), "Interface"),
    _List(N_("Routers"), "Router", defanged),
    _List(N_("Bit masks"), "BitMask"),
    _List(N_("Ciphers"), "Ciphers"),
    _List(N_("Certificates expired"), "X509ExpiredTime"),
    _List(N_("References"), "Ref", defanged),
)
_MAIN_LISTS: Final = (
    _List(N_("Categories"), "Category"),
    _List(N_("Descriptions"), "Description", defanged),
    _List(N_("References"), "Ref", defanged),
    _List(N_("Credentials"), "UsernameAndPassword", defanged),
)
_ATTACH_LISTS: Final = (
    _List(N_("Files"), "Name", defanged),
    _List(N_("File names"), "FileName", defanged),
    _List(N_("Hashes"), "Hash"),
)
_SIDE_NUMBERS: Final = (
    _Number(N_("Flows in"), "InFlowCount"),
    _Number(N_("Packets in"), "InPacketCount"),
    _Number(N_("Bytes in"), "InByteCount"),
    _Number(N_("Flows out"), "OutFlowCount"),
    _Number(N_("Packets out"), "OutPacketCount"),
    _Number(N_("Bytes out"), "OutByteCount"),
    _Number(N_("Clock skew"), "ClockSkew"),
)
_MAIN_NUMBERS: Final = (
    _Number(N_("Connections"), "ConnCount"),
    _Number(N_("Flows"), "FlowCount"),
    _Number(N_("Packets"), "PacketCount"),
    _Number(N_("Bytes"), "ByteCount"),
    _Number(N_("Flows dropped"), "FlowCountDropped"),
    _Number(N_("Packets dropped"), "PacketCountDropped"),
    _Number(N_("Bytes dropped"), "ByteCountDropped"),
    _Number(N_("Bytes by average"), "ByteCountFromAvg"),
    _Number(N_("Average packet size"), "AvgPacketSize"),
)
_SIDED: Final = {
    ("source", "Port"): N_("Source ports"),
    ("target", "Port"): N_("Target ports"),
    ("source", "ips"): N_("Source addresses"),
    ("target", "ips"): N_("Target addresses"),
}
_OF_THE_OTHER: Final = {"source": N_("%(field)s (source)"), "target": N_("%(field)s (target)")}

_MAIN_USUAL: Final = frozenset({"conncount", "flowcount", "packetcount", "bytecount"})
_OWN_USUAL: Final = frozenset({"hostname", "mac", "port", "proto", "services", "url", "email"})
_OTHER_USUAL: Final = frozenset({"port"})


def fields_of(
    entry: Entry, direction: Direction, displayed: Mapping[str, tuple[str, ...]], reader: Reader
) -> tuple[Field, ...]:
    """Return the details of a class at an address; `displayed` chooses fields, else the usual ones stand."""
    wanted = _wanted(displayed, direction, has_address=bool(entry.address))
    other: Direction = "target" if direction == "source" else "source"
    sides = (direction, other)
    found = [_cut(reader.gettext("Detectors"), entry.details, inert, reader)]
    for every, groups in ((_SIDE_LISTS, sides), (_MAIN_LISTS, ("main",)), (_ATTACH_LISTS, ("attach",))):
        found += _lists(entry, every, groups, direction, wanted, reader)
    for numbers, groups in ((_MAIN_NUMBERS, ("main",)), (_SIDE_NUMBERS, sides)):
        found += _numbers(entry, numbers, groups, direction, wanted, reader)
    return tuple(known for known in found if known.values)


def _wanted(
    displayed: Mapping[str, tuple[str, ...]], direction: Direction, *, has_address: bool
) -> dict[str, frozenset[str]]:
    if any(displayed.values()):
        groups = ("main", "source", "target", "attach")
        return {group: frozenset(name.lower() for name in displayed.get(group, ())) for group in groups}
    own = _OWN_USUAL if has_address else _OWN_USUAL | {"relevant_ips"}
    sides = {"source": _OTHER_USUAL, "target": _OTHER_USUAL, direction: own}
    return {"main": _MAIN_USUAL, "attach": frozenset(), **sides}


_LISTS: Final[Mapping[str, Callable[[Detail], Mapping[str, Mapping[str, None]]]]] = {
    "main": lambda detail: detail.main_lists,
    "source": lambda detail: detail.source_lists,
    "target": lambda detail: detail.target_lists,
    "attach": lambda detail: detail.attach_lists,
}
_NUMBERS: Final[Mapping[str, Callable[[Detail], Mapping[str, float]]]] = {
    "main": lambda detail: detail.main_numbers,
    "source": lambda detail: detail.source_numbers,
    "target": lambda detail: detail.target_numbers,
}


def _lists(
    entry: Entry,
    every: Iterable[_List],
    groups: Iterable[str],
    direction: Direction,
    wanted: Mapping[str, frozenset[str]],
    reader: Reader,
) -> Iterable[Field]:
    for known, group in product(every, groups):
        if known.name.lower() not in wanted[group]:
            continue
        values: dict[str, None] = {}
        for detail in entry.details.values():
            values.update(_LISTS[group](detail).get(known.name) or {})
        if values:
            yield _cut(_label(known, group, direction, reader), _in_order(values), known.clean, reader)


def _numbers(
    entry: Entry,
    every: Iterable[_Number],
    groups: Iterable[str],
    direction: Direction,
    wanted: Mapping[str, frozenset[str]],
    reader: Reader,
) -> Iterable[Field]:
    """Yield each number once a detector: two detectors may have counted the same packets."""
    several = len(entry.details) > 1
    for known, group in product(every, groups):
        if known.name.lower() not in wanted[group]:
            continue
        counted = [
            f"{reader.number(value)} ({inert(name)})" if several else reader.number(value)
            for name, detail in entry.details.items()
            if (value := _NUMBERS[group](detail).get(known.name, 0))
        ]
        if counted:
            yield _cut(_label(known, group, direction, reader), counted, str, reader)


def _cut(label: str, values: Collection[str], clean: Callable[[object], str], reader: Reader) -> Field:
    shown = filter(None, map(clean, islice(values, MOST_VALUES)))
    return field(label, *shown, more=max(0, len(values) - MOST_VALUES), reader=reader)


def _in_order(values: Mapping[str, None]) -> Collection[str]:
    """Ports come by number, everything else as it was met."""
    return sorted(values, key=int) if all(map(_is_port, values)) else values


def _is_port(text: str) -> bool:
    return len(text) <= _PORT_DIGITS and text.isascii() and text.isdigit()


def _label(known: _List | _Number, group: str, direction: Direction, reader: Reader) -> str:
    sided = _SIDED.get((group, known.name))
    if sided:
        return reader.gettext(sided)
    label = reader.gettext(known.label)
    if group in {direction, "main", "attach"}:
        return label
    return reader.gettext(_OF_THE_OTHER[group]) % {"field": label}
