"""The details of an address: which fields are shown, in what order, and under what name."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice, product
from operator import attrgetter, itemgetter
from typing import Final, Literal, NamedTuple

from mentat_reporter.core.model import UNKNOWN, Detail, Direction, Entry
from mentat_reporter.render.i18n import N_, Reader
from mentat_reporter.render.plain import defanged, defanged_host, defanged_url, inert

_PORT_DIGITS: Final = 5

Group = Literal["main", "source", "target", "attach"]


class Field(NamedTuple):
    """A detail with its values; `more` of them are not shown. `text` says it all in words."""

    label: str
    values: tuple[str, ...]
    more: int
    is_picture: bool
    """Whether `text` is the small picture of events over time, which HTML draws."""
    text: str


def field(label: str, *values: str, more: int = 0, reader: Reader) -> Field:
    text = ", ".join(values)
    if more:
        sentence = reader.ngettext("%(values)s and %(number)s more", "%(values)s and %(number)s more", more)
        text = sentence % {"values": text, "number": reader.number(more)}
    return Field(label, values, more, is_picture=False, text=text)


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
    _List(N_("Protocols"), "Proto", defanged),
    _List(N_("Services"), "services", defanged),
    _List(N_("URLs"), "URL", defanged_url),
    _List(N_("E-mail"), "Email", defanged),
    _List(N_("Types"), "Type", defanged),
    _List(N_("Networks"), "Netname", defanged),
    _List(N_("Interfaces"), "Interface", defanged),
    _List(N_("Routers"), "Router", defanged),
    _List(N_("Bit masks"), "BitMask", defanged),
    _List(N_("Ciphers"), "Ciphers", defanged),
    _List(N_("Certificates expired"), "X509ExpiredTime", defanged),
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
    _List(N_("Hashes"), "Hash", defanged),
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

_MAIN: Final[tuple[Group, ...]] = ("main",)
_ATTACH: Final[tuple[Group, ...]] = ("attach",)
_LISTS: Final[Mapping[Group, Callable[[Detail], Mapping[str, Mapping[str, None]]]]] = {
    "main": attrgetter("main_lists"),
    "source": attrgetter("source_lists"),
    "target": attrgetter("target_lists"),
    "attach": attrgetter("attach_lists"),
}
_NUMBERS: Final[Mapping[Group, Callable[[Detail], Mapping[str, float]]]] = {
    "main": attrgetter("main_numbers"),
    "source": attrgetter("source_numbers"),
    "target": attrgetter("target_numbers"),
}
_MAIN_USUAL: Final = frozenset({"conncount", "flowcount", "packetcount", "bytecount"})
_OWN_USUAL: Final = frozenset({"hostname", "mac", "port", "proto", "services", "url", "email"})
_OTHER_USUAL: Final = frozenset({"port"})


class _Wish(NamedTuple):
    """Whom fields are for, and how many values each may have."""

    direction: Direction
    most: int
    reader: Reader


class _Chosen(NamedTuple):
    """The names that an event class lists in each group of fields."""

    main: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    attach: tuple[str, ...] = ()


_USUAL: Final = _Chosen()


class _ListPlan(NamedTuple):
    """A list that is wanted, under its name in the reader's language."""

    label: str
    name: str
    clean: Callable[[object], str]
    values: Callable[[Detail], Mapping[str, Mapping[str, None]]]


class _NumberPlan(NamedTuple):
    """A number that is wanted, as above."""

    label: str
    name: str
    values: Callable[[Detail], Mapping[str, float]]


class _Plan(NamedTuple):
    """The fields that are wanted, in their order."""

    lists: tuple[_ListPlan, ...]
    numbers: tuple[_NumberPlan, ...]


def fields_of(
    entry: Entry, direction: Direction, displayed: Mapping[str, tuple[str, ...]], reader: Reader, most: int
) -> tuple[Field, ...]:
    """Return the details of a class at an address, each with at most that many values.

    `displayed` chooses fields, else the usual ones stand.
    """
    chosen = (
        _Chosen(**{group: displayed.get(group, ()) for group in _Chosen._fields}) if displayed else _USUAL
    )
    plan = _plan(chosen, direction, bool(entry.address), reader.gettext)
    wish = _Wish(direction, most, reader)
    detectors = [name for name in sorted(entry.details) if name != UNKNOWN]
    found = [_cut(reader.gettext("Detectors"), detectors, inert, wish)]
    found += _lists(entry, plan.lists, wish)
    found += _numbers(entry, plan.numbers, wish)
    return tuple([known for known in found if known.values])


@lru_cache(maxsize=1024)
def _plan(
    displayed: _Chosen, direction: Direction, has_address: bool, gettext: Callable[[str], str]
) -> _Plan:
    """Return which fields a class shows: the same for all its addresses and all who read that language."""
    wanted = _wanted(displayed, direction, has_address=has_address)
    other: Direction = "target" if direction == "source" else "source"
    sides: tuple[Group, ...] = (direction, other)
    lists = (*product(_SIDE_LISTS, sides), *product(_MAIN_LISTS, _MAIN), *product(_ATTACH_LISTS, _ATTACH))
    numbers = (*product(_MAIN_NUMBERS, _MAIN), *product(_SIDE_NUMBERS, sides))
    return _Plan(
        tuple(
            _ListPlan(_label(known, group, direction, gettext), known.name, known.clean, _LISTS[group])
            for known, group in lists
            if known.name.lower() in wanted[group]
        ),
        tuple(
            _NumberPlan(_label(known, group, direction, gettext), known.name, _NUMBERS[group])
            for known, group in numbers
            if known.name.lower() in wanted[group]
        ),
    )


def _wanted(displayed: _Chosen, direction: Direction, *, has_address: bool) -> dict[str, frozenset[str]]:
    if any(displayed):
        return {group: frozenset(map(str.lower, names)) for group, names in displayed._asdict().items()}
    own = _OWN_USUAL if has_address else _OWN_USUAL | {"relevant_ips"}
    sides = {"source": _OTHER_USUAL, "target": _OTHER_USUAL, direction: own}
    return {"main": _MAIN_USUAL, "attach": frozenset(), **sides}


def _label(known: _List | _Number, group: str, direction: Direction, gettext: Callable[[str], str]) -> str:
    sided = _SIDED.get((group, known.name))
    if sided:
        return gettext(sided)
    label = gettext(known.label)
    if group in {direction, "main", "attach"}:
        return label
    return gettext(_OF_THE_OTHER[group]) % {"field": label}


def _lists(entry: Entry, every: Iterable[_ListPlan], wish: _Wish) -> Iterator[Field]:
    details = entry.details.values()
    for label, name, clean, group in every:
        found = [values for detail in details if (values := group(detail).get(name))]
        if found:
            values = found[0] if len(found) == 1 else {value: None for one in found for value in one}
            yield _cut(label, _in_order(values), clean, wish)


def _numbers(entry: Entry, every: Iterable[_NumberPlan], wish: _Wish) -> Iterator[Field]:
    """Yield each number once a detector: two detectors may have counted the same packets."""
    several = len(entry.details) > 1
    said = wish.reader.number
    details = sorted(entry.details.items(), key=itemgetter(0))
    for label, name, group in every:
        counted = [
            f"{said(value)} ({inert(detector)})" if several and detector != UNKNOWN else said(value)
            for detector, detail in details
            if (value := group(detail).get(name, 0))
        ]
        if counted:
            yield _cut(label, counted, str, wish)


def _cut(label: str, values: Collection[str], clean: Callable[[object], str], wish: _Wish) -> Field:
    shown = [text for value in islice(values, wish.most) if (text := clean(value))]
    return field(label, *shown, more=max(0, len(values) - wish.most), reader=wish.reader)


def _in_order(values: Mapping[str, None]) -> Collection[str]:
    """Ports come by number, everything else by its letters: events come in no order."""
    if len(values) == 1:
        return values
    return sorted(values, key=int if all(map(_is_port, values)) else None)


def _is_port(text: str) -> bool:
    return len(text) <= _PORT_DIGITS and text.isascii() and text.isdigit()
