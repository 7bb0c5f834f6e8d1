"""The index of report pages as its reader meets it: rows, the filters that they offer, the picture of days.

Pure: what is listed and a reader go in. Every foreign value comes out as one harmless line.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from mentat_reporter.core.listing import DayFigures, Listed
from mentat_reporter.core.model import SEVERITIES, URGENT_FIRST, ReportType, Severity
from mentat_reporter.render.i18n import N_, Reader
from mentat_reporter.render.plain import inert, one_line
from mentat_reporter.render.view import SEVERITY_NAMES

PICTURED_DAYS: Final = 30
SHOWN: Final = 3
"""Classes and addresses of a row that are shown; searching finds more."""
HEIGHT: Final = 100
"""Of the picture, in its own units."""
_LEAST: Final = 2
"""Height of what is not nothing, so that few critical events are seen beside many others."""
_WIDTH: Final = 8
_STEP: Final = 10
_DAY: Final = timedelta(days=1)

TYPE_NAMES: Final[Mapping[ReportType, str]] = {
    "summary": N_("Summary"),
    "extra": N_("Single address"),
    "target": N_("Attacks"),
}


class Choice(NamedTuple):
    """What a list can be narrowed to."""

    value: str
    name: str


class IndexRow(NamedTuple):
    """A report in the list."""

    href: str
    label: str
    date: str
    moment: int
    """The same in seconds since 1970, by which it is sorted."""
    severity: str
    severity_name: str
    rank: int
    type: str
    type_name: str
    marks: str
    """What is odd about it: test data, a shadow report."""
    groups: str
    group_numbers: str
    """The places of its groups among the choices."""
    events: int
    number: str
    """`events` in the reader's form."""
    classes: str
    class_count: int
    addresses: str
    address_count: int
    words: str
    """What else is found by searching, in lower case."""


class Block(NamedTuple):
    """The events of a severity on a day, as a piece of its column."""

    severity: str
    x: int
    y: float
    height: float


class DayRow(NamedTuple):
    """A day of the picture or of its table."""

    name: str
    folder: str
    reports: str
    events: str
    of_severity: tuple[str, ...]
    """Events by severity, critical first, in the reader's form."""


class Picture(NamedTuple):
    """Events a day as columns, the oldest at the left."""

    width: int
    height: int
    blocks: tuple[Block, ...]
    first: str
    last: str
    most: str
    """The greatest number of a day, and which day that was."""
    peak: str


class Index(NamedTuple):
    """Everything that a template may say of a list of reports."""

    language: str
    day: str
    """Of the list of one day: which; empty: it is the list of all."""
    written: str
    """When, with the offset of all times."""
    rows: tuple[IndexRow, ...]
    more: int
    """Reports that are not listed here."""
    severities: tuple[Choice, ...]
    types: tuple[Choice, ...]
    groups: tuple[Choice, ...]
    picture: Picture | None
    days: tuple[DayRow, ...]
    day_severities: tuple[Choice, ...]


VIEWS: Final = frozenset({Choice, IndexRow, Block, DayRow, Picture, Index})


def index_of(
    listed: Sequence[Listed],
    days: Sequence[DayFigures],
    total: int,
    written: str,
    reader: Reader,
    *,
    day: date | None = None,
) -> Index:
    """Return a list of reports as its reader meets it.

    `total` is how many there are, `days` the figures of each day, the newest first; of the list of one
    `day` they are left out.
    """
    groups = sorted({group for report in listed for group in report.groups})
    numbers = {group: str(number) for number, group in enumerate(groups)}
    severities = {report.severity for report in listed}
    types = {report.type for report in listed}
    return Index(
        language=reader.locale.replace("_", "-"),
        day="" if day is None else reader.date(day),
        written=written,
        rows=tuple(_row(report, numbers, reader, in_folder=day is not None) for report in listed),
        more=max(0, total - len(listed)),
        severities=_severities(reader, severities),
        types=tuple(Choice(kind, reader.gettext(name)) for kind, name in TYPE_NAMES.items() if kind in types),
        groups=tuple(Choice(numbers[group], one_line(group)) for group in groups),
        picture=_picture(days, reader),
        days=tuple(_day(figures, reader) for figures in days),
        day_severities=_severities(reader, frozenset(SEVERITIES)),
    )


def _severities(reader: Reader, among: Iterable[Severity]) -> tuple[Choice, ...]:
    found = frozenset(among)
    return tuple(Choice(name, reader.gettext(SEVERITY_NAMES[name])) for name in URGENT_FIRST if name in found)


def _row(report: Listed, numbers: Mapping[str, str], reader: Reader, *, in_folder: bool) -> IndexRow:
    file = f"security-report-{report.label}.html"
    marks = [
        reader.gettext(name)
        for name, is_so in ((N_("test data"), report.test_data), (N_("shadow"), report.shadow))
        if is_so
    ]
    words = (report.severity, report.type, *report.classes, *report.addresses)
    return IndexRow(
        href=file if in_folder else f"{report.label[1:9]}/{file}",
        label=report.label,
        date=reader.minute(report.created.replace(second=0, microsecond=0)),
        moment=int(report.created.timestamp()),
        severity=report.severity,
        severity_name=reader.gettext(SEVERITY_NAMES[report.severity]),
        rank=SEVERITIES.index(report.severity),
        type=report.type,
        type_name=reader.gettext(TYPE_NAMES[report.type]),
        marks=", ".join(marks),
        groups=", ".join(map(one_line, report.groups)),
        group_numbers=" ".join(numbers[group] for group in report.groups),
        events=report.events,
        number=reader.number(report.events),
        classes=_some(report.classes, report.class_count, reader),
        class_count=report.class_count,
        addresses=_some(report.addresses, report.address_count, reader),
        address_count=report.address_count,
        words=" ".join(map(one_line, words)).lower(),
    )


def _some(values: Sequence[str], count: int, reader: Reader) -> str:
    shown = ", ".join(map(inert, values[:SHOWN]))
    more = count - min(len(values), SHOWN)
    if not more:
        return shown
    sentence = reader.ngettext("%(values)s and %(number)s more", "%(values)s and %(number)s more", more)
    return sentence % {"values": shown, "number": reader.number(more)}


def _day(figures: DayFigures, reader: Reader) -> DayRow:
    return DayRow(
        name=reader.date(figures.day),
        folder=f"{figures.day:%Y%m%d}",
        reports=reader.number(figures.reports),
        events=reader.number(sum(figures.events.values())),
        of_severity=tuple(reader.number(figures.events.get(name, 0)) for name in URGENT_FIRST),
    )


def _picture(days: Sequence[DayFigures], reader: Reader) -> Picture | None:
    """Draw the last days up to the newest; days without reports have empty columns."""
    if not days:
        return None
    last = max(figures.day for figures in days)
    first = last - (PICTURED_DAYS - 1) * _DAY
    shown = [figures for figures in days if figures.day >= first]
    peak = max(shown, key=lambda figures: sum(figures.events.values()))
    most = sum(peak.events.values())
    return Picture(
        width=PICTURED_DAYS * _STEP - (_STEP - _WIDTH),
        height=HEIGHT,
        blocks=tuple(
            block for figures in shown for block in _column(figures, (figures.day - first).days * _STEP, most)
        ),
        first=reader.date(first),
        last=reader.date(last),
        most=reader.number(most),
        peak=reader.date(peak.day),
    )


def _column(figures: DayFigures, x: int, most: int) -> Iterable[Block]:
    """Yield the blocks of a day from the bottom up, the most severe lowest."""
    known = [(name, figures.events[name]) for name in URGENT_FIRST if figures.events.get(name)]
    heights = [max(_LEAST, HEIGHT * events / most) for _, events in known]
    if (excess := sum(heights) - HEIGHT) > 0:
        heights[heights.index(max(heights))] -= excess
    bottom = float(HEIGHT)
    for (severity, _), height in zip(known, heights, strict=True):
        bottom -= height
        yield Block(severity, x, round(bottom, 1), round(height, 1))


@lru_cache(maxsize=4096)
def strokes(levels: tuple[int, ...]) -> str:
    """Return the small picture of a row as an SVG path: columns one wide and up to eight high."""
    return "".join(f"M{place} 8v-{level}h.8v{level}z" for place, level in enumerate(levels) if level)


def csp_hash(text: str) -> str:
    """Return how a content security policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(str(text).encode()).digest()).decode()
