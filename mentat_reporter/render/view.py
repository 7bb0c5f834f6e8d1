"""A report as its reader meets it: what text, and later HTML, are made of.

Pure: a report, the event classes and a reader go in. Everything that an event supplied comes out as one
harmless line; times and numbers come out as words.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from mentat_reporter.core.model import Entry, EventClass, Report
from mentat_reporter.render.bars import DAY, MOST_DAYS, Scale, bar, scale
from mentat_reporter.render.fields import Field, field, fields_of
from mentat_reporter.render.i18n import N_, Reader
from mentat_reporter.render.plain import CAP, inert, one_line

MOST_ROWS: Final = 1000
"""Addresses that one class lists; a mail with more is read by nobody and refused by many."""
MOST_DETAILED: Final = 200
"""Of these, addresses shown with details."""

SEVERITY_NAMES: Final = {
    "info": N_("Info"),
    "low": N_("Low"),
    "medium": N_("Medium"),
    "high": N_("High"),
    "critical": N_("Critical"),
}
_TLP_STRICTEST_FIRST: Final = ("RED", "AMBER+STRICT", "AMBER", "GREEN", "CLEAR", "WHITE")
_BY_UNIT: Final = {"hour": N_("By hour"), "day": N_("By day")}
_LABEL_DATE: Final = slice(1, 9)


class Row(NamedTuple):
    """One event class at one address."""

    address: str
    events: int
    number: str
    first: str
    last: str
    bar: str
    before: str
    """Label of the report that told of it before, empty if none did."""
    times: tuple[Field, ...]
    """How many events, the first and the last, in full."""
    fields: tuple[Field, ...]
    """When it was reported before, its small picture, who saw it, and what they saw."""


class ClassView(NamedTuple):
    """An event class and the addresses where it was seen, largest first."""

    label: str
    name: str
    known: bool
    reference: str
    advice: str
    hosts: int
    rows: tuple[Row, ...]
    more: int
    """Addresses beyond those in `rows`."""


class Part(NamedTuple):
    """The new problems of a report, or the recurring ones."""

    classes: tuple[ClassView, ...]
    offset: str
    unit: str
    """What a column of the small pictures stands for: `hour`, `day`, or nothing when there are none."""
    span: str


class View(NamedTuple):
    """Everything that a template may say of a report."""

    label: str
    type: str
    severity: str
    severity_name: str
    address: str
    parent: str
    test: bool
    tlp: str
    window: str
    timezone: str
    events: int
    hosts: int
    relapses: int
    classes: tuple[ClassView, ...]
    """Every class once, whether its problems are new, recurring or both."""
    new: Part
    recurring: Part
    filtered: int
    repeated: int
    distrusted: int
    oversized: int
    """Events that are told without their details, because they are too large."""
    held_until: str
    groups: tuple[str, ...]
    fallback: bool
    cut: bool
    """Whether a list was cut short."""


def strictest_tlp(statistics: Mapping[str, Any]) -> str:
    """Return the strictest traffic light that the report's events carry, empty if none."""
    found = {str(key).upper().removeprefix("TLP:") for key in statistics.get("tlps") or ()}
    return next((light for light in _TLP_STRICTEST_FIRST if light in found), "")


def view(report: Report, reader: Reader, event_classes: Mapping[str, EventClass]) -> View:
    """Return the report as its reader meets it."""
    new = _part(report, report.regular, report.lo - DAY, reader, event_classes)
    recurring = _part(report, report.relapsed, report.hi - MOST_DAYS * DAY, reader, event_classes)
    counters = report.counters
    classes = {shown.name: shown for shown in (*new.classes, *recurring.classes)}
    entries = (*report.regular, *report.relapsed)
    return View(
        label=one_line(report.label),
        type=report.type,
        severity=report.severity,
        severity_name=reader.gettext(SEVERITY_NAMES[report.severity]),
        address=one_line(report.address or ""),
        parent=one_line(report.parent or ""),
        test=report.test_data,
        tlp=strictest_tlp(report.statistics),
        window=reader.span(report.lo, report.hi),
        timezone=reader.timezone,
        events=counters.rep,
        hosts=len({entry.address for entry in entries if entry.address}),
        relapses=counters.rlp or len(report.relapsed),
        classes=tuple(classes.values()),
        new=new,
        recurring=recurring,
        filtered=counters.flt_blk or 0,
        repeated=counters.thr_blk or 0,
        distrusted=counters.det_blk or 0,
        oversized=len(report.statistics.get("oversized") or ()),
        held_until="" if report.held_until is None else _until(report.held_until, reader),
        groups=tuple(one_line(group) for group in report.chain),
        fallback=report.mail is not None and report.mail.fallback != "",
        cut=any(_is_cut(shown) for shown in classes.values()),
    )


def _until(moment: datetime, reader: Reader) -> str:
    return f"{reader.minute(moment)} ({reader.offset(moment)})"


def _is_cut(shown: ClassView) -> bool:
    return bool(shown.more) or any(known.more for row in shown.rows for known in row.fields)


def _part(
    report: Report,
    entries: Sequence[Entry],
    floor: datetime,
    reader: Reader,
    event_classes: Mapping[str, EventClass],
) -> Part:
    if not entries:
        return Part((), "", "", "")
    of_class: dict[str, list[Entry]] = {}
    for entry in entries:
        of_class.setdefault(entry.event_class, []).append(entry)
    pictures = scale(floor, report.lo, report.hi, (entry.hours for entry in entries), reader)
    largest_first = sorted(of_class.items(), key=_largest_first)
    classes = tuple(
        _class(report, members, reader, event_classes.get(members[0].class_name or ""), pictures)
        for _, members in largest_first
    )
    return Part(
        classes,
        offset=reader.offset(report.hi),
        unit=pictures.unit if pictures.cells else "",
        span=reader.span(pictures.start, pictures.end),
    )


def _largest_first(item: tuple[str, Sequence[Entry]]) -> tuple[int, int, str]:
    name, members = item
    return -sum(entry.count for entry in members), -len(members), name


def _class(
    report: Report, entries: list[Entry], reader: Reader, known: EventClass | None, pictures: Scale
) -> ClassView:
    name = inert(entries[0].event_class) or "?"
    entries = sorted(entries, key=lambda entry: -entry.count)
    shown = entries[:MOST_ROWS]
    return ClassView(
        label=_worded(known.labels, reader, CAP) if known else "",
        name=name,
        known=known is not None,
        reference=one_line(known.reference, cap=2 * CAP) if known else "",
        advice=_worded(known.advice, reader, cap=10 * CAP) if known else "",
        hosts=len(entries),
        rows=tuple(
            _row(report, entry, reader, known, pictures, detailed=number < MOST_DETAILED)
            for number, entry in enumerate(shown)
        ),
        more=len(entries) - len(shown),
    )


def _worded(texts: Mapping[str, str], reader: Reader, cap: int) -> str:
    """Return the text in the reader's language, else in English, else in any."""
    text = texts.get(reader.locale) or texts.get("en") or next(filter(None, texts.values()), "")
    return one_line(text, cap)


def _row(
    report: Report, entry: Entry, reader: Reader, known: EventClass | None, pictures: Scale, *, detailed: bool
) -> Row:
    number = reader.number(entry.count)
    before = one_line(entry.reference or "")
    picture = bar(entry.hours, pictures, reader) if detailed else ""
    fields: tuple[Field, ...] = ()
    if detailed:
        fields = fields_of(entry, report.direction, known.displayed if known else {}, reader)
    if picture:
        unit = reader.gettext(_BY_UNIT[pictures.unit])
        fields = (field(unit, picture, reader=reader), *fields)
    if before:
        fields = (_reported_before(before, reader), *fields)
    return Row(
        address=one_line(entry.address),
        events=entry.count,
        number=number,
        first=reader.short(entry.first_time, report.hi),
        last=reader.short(entry.last_time, report.hi),
        bar=picture,
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
