"""A report as its reader meets it: what text, HTML and page are made of.

Pure: a report, the event classes and a reader go in. Everything that an event supplied comes out as one
harmless line; times and numbers come out as words.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from operator import ge
from typing import Any, Final, NamedTuple

from mentat_reporter.core.model import Entry, EventClass, Report
from mentat_reporter.render.bars import DAY, MOST_DAYS, Scale, scale
from mentat_reporter.render.enclosed import NOTHING, XARF, Enclosed
from mentat_reporter.render.i18n import N_, Reader
from mentat_reporter.render.plain import CAP, inert, one_line
from mentat_reporter.render.rows import Row, row

SEVERITY_NAMES: Final = {
    "info": N_("Info"),
    "low": N_("Low"),
    "medium": N_("Medium"),
    "high": N_("High"),
    "critical": N_("Critical"),
}
_TLP_STRICTEST_FIRST: Final = ("RED", "AMBER+STRICT", "AMBER", "GREEN", "CLEAR", "WHITE")


class Limits(NamedTuple):
    """Where lists end. The usual ones are a mail's: with more it is read by nobody and refused by many."""

    rows: int = 1000
    """Addresses that one class lists; all classes together list three times as many."""
    detailed: int = 200
    """Addresses that the classes of a report show with details, all together."""
    values: int = 15
    """Values of one detail."""


MAIL: Final = Limits()


class ClassView(NamedTuple):
    """An event class and the addresses where it was seen, largest first."""

    id: str
    """The class without its subclasses, by which label, advice and folder are found; empty if it has none."""
    label: str
    name: str
    """With its subclasses; for events that have no class, their categories."""
    known: bool
    reference: str
    advice: str
    hosts: int
    rows: tuple[Row, ...]
    more: int
    """Addresses beyond those in `rows`."""
    bare: int
    """Addresses in `rows` that are shown without details."""


class Part(NamedTuple):
    """The new problems of a report, or the recurring ones."""

    classes: tuple[ClassView, ...]
    offset: str
    unit: str
    """What a column of the small pictures stands for: `hour`, `day`, or nothing when there are none."""
    span: str


class File(NamedTuple):
    """A file by its name, with its size as people write it: `1.2 MB`."""

    name: str
    size: str


class View(NamedTuple):
    """Everything that a template may say of a report."""

    label: str
    language: str
    """The reader's, as HTML's `lang` has it."""
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
    attached: tuple[File, ...]
    has_data: bool
    """Whether all events are in what is attached."""
    squeezed: bool
    """What is attached was compressed because it would have been too large as it is."""
    left_out: tuple[File, ...]
    """What was too large to be attached; it is kept in `folder`."""
    folder: str
    unmapped: tuple[str, ...]
    """Event classes that have no XARF type, where documents were asked for."""


def strictest_tlp(statistics: Mapping[str, Any]) -> str:
    """Return the strictest traffic light that the report's events carry, empty if none."""
    tlps = statistics.get("tlps")
    if not tlps:
        return ""
    found = {str(key).upper().removeprefix("TLP:") for key in tlps}
    return next((light for light in _TLP_STRICTEST_FIRST if light in found), "")


def view(
    report: Report,
    reader: Reader,
    event_classes: Mapping[str, EventClass],
    enclosed: Enclosed = NOTHING,
    limits: Limits = MAIL,
) -> View:
    """Return the report as its reader meets it."""
    parts = [_by_class(report.regular), _by_class(report.relapsed)]
    limits = _shared(limits, [len(entries) for part in parts for entries in part])
    floors = (report.lo - DAY, report.hi - MOST_DAYS * DAY)
    new, recurring = (
        _part(report, part, floor, reader, event_classes, limits)
        for part, floor in zip(parts, floors, strict=True)
    )
    counters = report.counters
    classes = {shown.name: shown for shown in (*new.classes, *recurring.classes)}
    entries = (*report.regular, *report.relapsed)
    seen = View(
        label=one_line(report.label),
        language=reader.locale.replace("_", "-"),
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
        cut=any(_is_cut(shown) for shown in (*new.classes, *recurring.classes)),
        attached=(),
        has_data=False,
        squeezed=False,
        left_out=(),
        folder="",
        unmapped=(),
    )
    return with_files(seen, enclosed, reader)


def with_files(seen: View, enclosed: Enclosed, reader: Reader) -> View:
    """Return a view of a report without files as that of its mail with files."""
    if enclosed == NOTHING:
        return seen
    return seen._replace(
        attached=tuple(File(file.name, reader.size(len(file.content))) for file in enclosed.attachments),
        has_data=any(not file.name.endswith(XARF) for file in enclosed.attachments),
        squeezed=enclosed.squeezed,
        left_out=tuple(File(file.name, reader.size(file.size)) for file in enclosed.left_out),
        folder=one_line(enclosed.folder, cap=10 * CAP),
        unmapped=tuple(map(inert, enclosed.unmapped)),
    )


def is_whole(seen: View, limits: Limits) -> bool:
    """Tell whether a view within a mail's limits is the same as one within those."""
    return not seen.cut and all(map(ge, limits, MAIL))


def _until(moment: datetime, reader: Reader) -> str:
    return f"{reader.minute(moment)} ({reader.offset(moment)})"


def _is_cut(shown: ClassView) -> bool:
    return bool(shown.more or shown.bare) or any(known.more for row in shown.rows for known in row.fields)


def _by_class(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Return the lines of each class, largest first in both."""
    of_class: dict[str, list[Entry]] = {}
    for entry in entries:
        of_class.setdefault(entry.event_class, []).append(entry)
    found = [members for _, members in sorted(of_class.items(), key=_largest_first)]
    for members in found:
        members.sort(key=lambda entry: -entry.count)
    return found


def _shared(limits: Limits, sizes: Collection[int]) -> Limits:
    """Return what each class may have of what all may have, by the numbers of their addresses."""
    rows = min(limits.rows, _share(sizes, 3 * limits.rows))
    return limits._replace(rows=rows, detailed=_share([min(size, rows) for size in sizes], limits.detailed))


def _share(sizes: Iterable[int], whole: int) -> int:
    """Return how much each may have at most, if small ones get all and large ones the same.

    >>> _share([1, 100, 2, 300], whole=200)
    98
    """
    waiting = sorted(sizes)
    share = whole
    for number, size in enumerate(waiting):
        share = whole // (len(waiting) - number)
        if size > share:
            break
        whole -= size
    return share


def _part(
    report: Report,
    of_class: Sequence[Sequence[Entry]],
    floor: datetime,
    reader: Reader,
    event_classes: Mapping[str, EventClass],
    limits: Limits,
) -> Part:
    if not of_class:
        return Part((), "", "", "")
    hours = (entry.hours for entries in of_class for entry in entries)
    pictures = scale(floor, report.lo, report.hi, hours, reader)
    classes = tuple(
        _class(report, entries, reader, event_classes.get(entries[0].class_name or ""), pictures, limits)
        for entries in of_class
    )
    return Part(
        classes,
        offset=reader.offset(report.hi),
        unit=pictures.unit if any(row.bar for known in classes for row in known.rows) else "",
        span=reader.span(pictures.start, pictures.end),
    )


def _largest_first(item: tuple[str, Sequence[Entry]]) -> tuple[int, int, str]:
    name, members = item
    return -sum(entry.count for entry in members), -len(members), name


def _class(
    report: Report,
    entries: Sequence[Entry],
    reader: Reader,
    known: EventClass | None,
    pictures: Scale,
    limits: Limits,
) -> ClassView:
    shown = entries[: limits.rows]
    displayed = known.displayed if known else {}
    return ClassView(
        id=one_line(entries[0].class_name or ""),
        label=_worded(known.labels, reader, CAP) if known else "",
        name=inert(entries[0].event_class) or "?",
        known=known is not None,
        reference=one_line(known.reference, cap=2 * CAP) if known else "",
        advice=_worded(known.advice, reader, cap=10 * CAP) if known else "",
        hosts=len(entries),
        rows=tuple(
            row(report, entry, reader, displayed, pictures, limits.values if place < limits.detailed else 0)
            for place, entry in enumerate(shown)
        ),
        more=len(entries) - len(shown),
        bare=max(0, len(shown) - limits.detailed),
    )


def _worded(texts: Mapping[str, str], reader: Reader, cap: int) -> str:
    """Return the text in the reader's language, else in English, else in any."""
    text = texts.get(reader.locale) or texts.get("en") or next(filter(None, texts.values()), "")
    return one_line(text, cap)
