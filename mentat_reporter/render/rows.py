"""One event class at one address: its times, its small picture, its details."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from mentat_reporter.core.model import Entry, Report
from mentat_reporter.render.bars import BLOCKS, Scale, levels, moment_of
from mentat_reporter.render.fields import Field, field, fields_of
from mentat_reporter.render.i18n import N_, Reader
from mentat_reporter.render.plain import one_line

_BY_UNIT: Final = {"hour": N_("By hour"), "day": N_("By day")}
_LABEL_DATE: Final = slice(1, 9)


class Row(NamedTuple):
    """One event class at one address."""

    address: str
    events: int
    number: str
    """`events` in the reader's form."""
    first: str
    last: str
    bar: str
    """The small picture of events over time, a block character for each hour or day."""
    levels: tuple[int, ...]
    """The same as numbers: 0 for none, 7 for the most."""
    peak: str
    """When the most events were."""
    before: str
    """Label of the report that told of it before, empty if none did."""
    times: tuple[Field, ...]
    """How many events, the first and the last, in full."""
    fields: tuple[Field, ...]
    """When it was reported before, its small picture, who saw it, and what they saw."""


def row(
    report: Report,
    entry: Entry,
    reader: Reader,
    displayed: Mapping[str, tuple[str, ...]],
    pictures: Scale,
    values: int,
) -> Row:
    """Return an entry as its reader meets it, with that many values of each detail; none: no details."""
    number = reader.number(entry.count)
    before = one_line(entry.reference or "")
    heights = levels(entry.hours, pictures, reader) if values else ()
    picture = "".join([BLOCKS[height] for height in heights])
    fields: tuple[Field, ...] = ()
    if values:
        fields = fields_of(entry, report.direction, displayed, reader, values)
    if picture:
        unit = reader.gettext(_BY_UNIT[pictures.unit])
        fields = (Field(unit, (picture,), 0, is_picture=True, text=picture), *fields)
    if before:
        fields = (_reported_before(before, reader), *fields)
    return Row(
        address=one_line(entry.address),
        events=entry.count,
        number=number,
        first=reader.short(entry.first_time, report.hi),
        last=reader.short(entry.last_time, report.hi),
        bar=picture,
        levels=heights,
        peak=moment_of(heights.index(max(heights)), pictures, reader) if heights else "",
        before=before,
        times=(
            field(reader.gettext("Events"), number, reader=reader),
            field(reader.gettext("First event"), reader.moment(entry.first_time), reader=reader),
            field(reader.gettext("Last event"), reader.moment(entry.last_time), reader=reader),
        ),
        fields=fields,
    )


def _reported_before(label: str, reader: Reader) -> Field:
    day = _date_of_label(label, reader)
    return field(reader.gettext("Reported before"), f"{label} ({day})" if day else label, reader=reader)


def _date_of_label(label: str, reader: Reader) -> str:
    """Return the day that a label bears (`M20261122…`), empty if it bears none."""
    try:
        return reader.date(datetime.strptime(label[_LABEL_DATE], "%Y%m%d").replace(tzinfo=UTC))
    except ValueError:
        return ""
