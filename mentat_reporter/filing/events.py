"""The events of a chain's reports as JSON and CSV, in one pass and a message at a time.

Each message is read once for that: the files of extra reports are pieced together from their
summary's.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mentat_reporter.core.idea import own_sections_of
from mentat_reporter.core.model import EventClass, Place, Report
from mentat_reporter.core.times import parse_time
from mentat_reporter.files import drafted
from mentat_reporter.render.attachments import Sheet
from mentat_reporter.session import Session
from mentat_reporter.store.jsontext import as_json

if TYPE_CHECKING:
    from mentat_reporter.render.xarf_types import Sample

BLOCK: Final = 1 << 18
"""Bytes that are written at a time."""


class Paths(NamedTuple):
    """Where the events of a report go."""

    json: Path
    csv: Path


class _Span(NamedTuple):
    """Where something stands in a file."""

    offset: int
    length: int


class _Message(NamedTuple):
    """An event as its file has it, and its cleaned value."""

    id: str
    storage_time: datetime
    text: bytes
    value: Mapping[str, Any]


@dataclass(slots=True)
class Notes:
    """What is kept of a summary's files for its extra reports."""

    messages: dict[str, _Span] = field(default_factory=dict)
    """By event."""
    rows: dict[tuple[str, str], _Span] = field(default_factory=dict)
    """By event and address."""
    samples: "dict[str, dict[str, Sample]] | None" = None
    """By address and event class, what makes a XARF document; None: nobody asks for them."""


class _Output:
    """Writes to a file in large blocks, and knows where it is."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._waiting: list[bytes] = []
        self._letters = 0
        self.offset = 0

    def __call__(self, part: bytes) -> _Span:
        span = _Span(self.offset, len(part))
        self._waiting.append(part)
        self._letters += len(part)
        self.offset += len(part)
        if self._letters >= BLOCK:
            self.flush()
        return span

    def flush(self) -> None:
        if self._waiting:
            self._write(b"".join(self._waiting))
        self._waiting.clear()
        self._letters = 0


class _Listing:
    """Writes messages as a JSON array, one a line unless they have line breaks of their own."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._output = _Output(write)
        self._output(b"[")

    def __call__(self, message: bytes) -> _Span:
        self._output(b"\n" if self._output.offset == 1 else b",\n")
        return self._output(message)

    def end(self) -> int:
        """Write what is left, return how many bytes there are."""
        self._output(b"]\n" if self._output.offset == 1 else b"\n]\n")
        self._output.flush()
        return self._output.offset


def write_events(session: Session, report: Report, paths: Paths, notes: Notes | None) -> tuple[int, int]:
    """Write the files of a summary or target report; return their sizes. What extra reports need goes
    into `notes`. Raises OSError.
    """
    steps, settings = session.outside.files, session.settings.reporter
    sheet = Sheet(report.severity, report.direction, bom=settings.csv_bom)
    oversized = frozenset(report.statistics.get("oversized") or ())
    sampler = None if notes is None or notes.samples is None else _Sampler(session, report, notes.samples)
    with drafted(steps, paths.json) as to_json, drafted(steps, paths.csv) as to_csv:
        listing, table = _Listing(to_json), _Output(to_csv)
        table(sheet.head())
        for message in _messages(report):
            places = report.places[message.id]
            is_oversized = message.id in oversized
            spans = (
                listing(message.text),
                [table(row) for row in sheet.rows(message.id, message.value, places, oversized=is_oversized)],
            )
            if notes is not None:
                _note(notes, message.id, places, *spans)
            if sampler and not is_oversized:
                sampler(message, places)
        table.flush()
        return listing.end(), table.offset


def _note(notes: Notes, event_id: str, places: Sequence[Place], whole: _Span, rows: Sequence[_Span]) -> None:
    notes.messages[event_id] = whole
    for place, row in zip(places, rows, strict=True):
        notes.rows[event_id, place.address] = row


def _messages(report: Report) -> Iterator[_Message]:
    """Yield the events of a report, the first to the last."""
    for event_id in report.places:
        event = report.events[event_id]
        text = as_json(event.messages.text(event.place), event.message)
        yield _Message(event_id, event.storage_time, text, event.message)


def write_extra(
    session: Session, extra: Report, paths: Paths, whole: tuple[int, int], notes: Notes
) -> tuple[int, int]:
    """Write the files of an extra report out of its summary's, which are open as `whole`; return their
    sizes. Raises OSError.
    """
    steps, settings = session.outside.files, session.settings.reporter
    with drafted(steps, paths.json) as to_json, drafted(steps, paths.csv) as to_csv:
        listing, table = _Listing(to_json), _Output(to_csv)
        table(Sheet(extra.severity, extra.direction, bom=settings.csv_bom).head())
        for event_id, places in extra.places.items():
            span = notes.messages.get(event_id)
            if span is not None:
                listing(_piece(whole[0], span))
                for place in places:
                    table(_piece(whole[1], notes.rows[event_id, place.address]))
        table.flush()
        return listing.end(), table.offset


def _piece(handle: int, span: _Span) -> bytes:
    return os.pread(handle, span.length, span.offset)


class _Sampler:
    """Finds, for each event class at each address, the first event that makes a XARF document."""

    def __init__(self, session: Session, report: Report, samples: "dict[str, dict[str, Sample]]") -> None:
        from mentat_reporter.render.xarf_types import sample  # noqa: PLC0415 - few reporters need it

        self._sample = sample
        self._samples = samples
        classes = session.today.event_classes
        self._types = {
            entry.event_class: _type(classes.get(entry.class_name or ""))
            for entry in (*report.regular, *report.relapsed)
        }

    def __call__(self, message: _Message, places: Sequence[Place]) -> None:
        wanted = [place for place in places if place.event_class not in self._samples.get(place.address, ())]
        if not wanted:
            return
        time = _first_time(message)
        sections = own_sections_of(message.value, "source", [place.origins for place in wanted])
        for place, own in zip(wanted, sections, strict=True):
            found = self._sample(self._types.get(place.event_class, ""), message.value, own, time)
            if found is not None:
                self._samples.setdefault(place.address, {})[place.event_class] = found


def _type(known: EventClass | None) -> str:
    return known.xarf if known else ""


def _first_time(message: _Message) -> datetime:
    said = (parse_time(message.value.get(key)) for key in ("EventTime", "DetectTime"))
    return next(filter(None, said), message.storage_time)
