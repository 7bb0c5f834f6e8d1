"""The events of a report as a table, and files as one ZIP archive: bytes, a piece at a time."""

import csv
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from typing import Any, Final, NamedTuple

from mentat_reporter.core.idea import (
    SECTION,
    capped,
    categories,
    detectors,
    own_sections_of,
    sections,
    strings,
)
from mentat_reporter.core.model import Direction, Place, Severity
from mentat_reporter.core.times import parse_time

JSON: Final = "application/json"
CSV: Final = "text/csv; charset=utf-8"
ZIP: Final = "application/zip"

COLUMNS: Final = (
    "detect_time", "event_time", "cease_time", "create_time", "class", "categories", "severity", "source_ip",
    "source_port", "source_hostname", "target_ip", "target_port", "protocol", "detector", "detector_sw",
    "conn_count", "flow_count", "packet_count", "byte_count", "description", "note", "ref", "event_id",
)  # fmt: skip
VALUES_OF_OVERSIZED: Final = 100
"""Values of a list, shortened, that the rows of an oversized event have."""

_TIMES: Final = ("DetectTime", "EventTime", "CeaseTime", "CreateTime")
_COUNTS: Final = ("ConnCount", "FlowCount", "PacketCount", "ByteCount")
_OTHER: Final[Mapping[Direction, Direction]] = {"source": "target", "target": "source"}
_FORMULA: Final = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet may take for the beginning of a formula, at the beginning of a cell."""
_BLANK: Final = frozenset("\t\r\n")
_SUSPECT: Final = _FORMULA | _BLANK | {" ", "\xa0"}
_MODE: Final = 0o640 << 16
_FIRST_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""An archive has none before."""

_Ends = tuple[str, str, str, str, str]


class _Lines:
    """What the writer of CSV writes to: a line at a time."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.write = self.lines.append

    def taken(self) -> list[bytes]:
        found = [line.encode(errors="replace") for line in self.lines]
        self.lines.clear()
        return found


class Sheet:
    """The table of a report: a row for each event and address (docs/reports.md)."""

    def __init__(self, severity: Severity, direction: Direction, *, bom: bool = False) -> None:
        self._severity = severity
        self._direction = direction
        self._bom = bom
        self._lines = _Lines()
        self._writer = csv.writer(self._lines, lineterminator="\r\n")

    def head(self) -> bytes:
        self._writer.writerow(COLUMNS)
        [line] = self._lines.taken()
        return b"\xef\xbb\xbf" + line if self._bom else line

    def rows(
        self,
        event_id: str,
        message: Mapping[str, Any],
        places: Sequence[Place],
        *,
        oversized: bool = False,
    ) -> list[bytes]:
        """Return a row for each place of a cleaned message.

        Of an oversized event the rows have no more than its times, counts, categories and detectors.
        """
        counts = [_number(message.get(key)) for key in _COUNTS]
        times = [_time(message.get(key)) for key in _TIMES]
        if oversized:
            kinds, seen_by = _shortened(categories(message)), _shortened(detectors(message))
            sides: Iterable[_Ends] = [("", "", "", "", "")] * len(places)
            software = description = note = ref = ""
        else:
            sides = self._sides(message, places)
            nodes = sections(message, "Node")
            kinds = _joined((message,), "Category")
            seen_by, software = _joined(nodes, "Name"), _joined(nodes, "SW")
            description, note, ref = (_text(message, key) for key in ("Description", "Note", "Ref"))
        for place, (port, hostname, addresses, ports, protocols) in zip(places, sides, strict=True):
            ends = (place.address, port, hostname, addresses, ports)
            if self._direction == "target":
                ends = (addresses, ports, hostname, place.address, port)
            cells = (
                *times, place.event_class, kinds, self._severity, *ends, protocols, seen_by, software,
                *counts, description, note, ref, event_id,
            )  # fmt: skip
            self._writer.writerow(
                [harmless(cell) if cell and cell[0] in _SUSPECT else cell for cell in cells]
            )
        return self._lines.taken()

    def _sides(self, message: Mapping[str, Any], places: Sequence[Place]) -> Iterator[_Ends]:
        """Yield for each place: its own ports, the hosts of the source, and of the other side all addresses
        and ports; and both sides' protocols.
        """
        others = sections(message, SECTION[_OTHER[self._direction]])
        addresses, ports = _joined(others, "IP4", "IP6"), _joined(others, "Port")
        other_hosts = _joined(others, "Hostname")
        for own in own_sections_of(message, self._direction, [place.origins for place in places]):
            hosts = _joined(own, "Hostname") if self._direction == "source" else other_hosts
            yield _joined(own, "Port"), hosts, addresses, ports, _joined((*own, *others), "Proto")


def harmless(cell: str) -> str:
    """Put an apostrophe before what a spreadsheet would work out as a formula."""
    return f"'{cell}" if cell[0] in _BLANK or cell.lstrip()[:1] in _FORMULA else cell


def _joined(parts: Iterable[Mapping[str, Any]], *keys: str) -> str:
    """Join the distinct texts that stand under some keys."""
    found: list[Any] = []
    for part in parts:
        for key in keys:
            value = part.get(key)
            if isinstance(value, list):
                found += value
            elif value is not None:
                found.append(value)
    try:
        return ", ".join(dict.fromkeys(found))  # most are texts and nothing else
    except TypeError:
        return ", ".join(dict.fromkeys(strings(found)))


def _text(message: Mapping[str, Any], key: str) -> str:
    value = message.get(key, "")
    return value if isinstance(value, str) else _joined((message,), key)


def _shortened(found: Sequence[str]) -> str:
    return ", ".join(map(capped, found[:VALUES_OF_OVERSIZED]))


def _number(value: Any) -> str:
    if isinstance(value, float):
        return str(value) if isfinite(value) else ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _time(value: Any) -> str:
    return _written(value) if isinstance(value, str) else ""


@lru_cache(maxsize=256)
def _written(text: str) -> str:
    """Write a time as `2026-01-12T06:14:34Z`, with microseconds where there are any; empty if it is none."""
    time = parse_time(text)
    return "" if time is None else time.replace(tzinfo=None).isoformat() + "Z"


class Member(NamedTuple):
    """A file of an archive; `size` in bytes."""

    name: str
    size: int
    content: Iterable[bytes]


class _Pieces:
    """A file that can only be written to, and gives what was written since."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: what is written is at hand."""

    def taken(self) -> bytes:
        found = b"".join(self._pieces)
        self._pieces.clear()
        return found


def zipped(members: Iterable[Member], moment: datetime) -> Iterator[bytes]:
    """Yield an archive of files in one folder, all dated `moment` in UTC; the same members give the same
    bytes.
    """
    dated = max(_FIRST_DATE, moment.astimezone(UTC).timetuple()[:6])
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w") as archive:  # type: ignore[call-overload] # it only writes and flushes
        for member in members:
            facts = zipfile.ZipInfo(member.name, dated)
            facts.compress_type = zipfile.ZIP_DEFLATED
            facts.external_attr = _MODE
            facts.file_size = member.size  # tells whether it needs the form for large files
            with archive.open(facts, "w") as inner:
                for part in member.content:
                    inner.write(part)
                    if ready := pieces.taken():
                        yield ready
    yield pieces.taken()
