"""Lists of the report pages, made when a run is about to end, of what the main database says of the reports
whose pages are there. docs/operations.md.
"""

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mentat_reporter.core.listing import DayFigures, Listed
from mentat_reporter.core.model import SEVERITIES
from mentat_reporter.files import put, sync_folder
from mentat_reporter.filing.page import encoded
from mentat_reporter.rendering import rendered
from mentat_reporter.session import Session
from mentat_reporter.store import reports
from mentat_reporter.store.connection import explained, transaction

if TYPE_CHECKING:
    from mentat_reporter.render.pages import Index

MOST_LISTED: Final = 2_000
"""Reports in the list of all."""
MOST_OF_DAY: Final = 4_000
"""Reports in the list of a day."""
LISTED_DAYS: Final = 90
"""How long before the newest a report of the list of all may be."""
MOST_DAYS: Final = 366
"""Days in the table of days."""
ADDRESSES: Final = 40_000
"""Addresses by which all reports of a list are found, together; each report has at least the least."""
LEAST_ADDRESSES: Final = 10
MOST_ADDRESSES: Final = 500
INDEX: Final = "index.html"
FIGURES: Final = "index.json"

_DAY: Final = re.compile(r"\d{8}")
_PAGE: Final = re.compile(r"security-report-(M[A-Za-z0-9-]+)\.html")
_LABEL: Final = re.compile(r"M(\d{8})[A-Za-z0-9-]+")


def write_index(session: Session) -> None:
    """Bring the lists of report pages up to date, if a day's folder is newer than the list of all.

    So a list that a killed run left behind is mended by the next, and a quiet run looks at nothing but the
    folders. What fails is named and stops nothing else.
    """
    if not session.writes:
        return
    folder = session.settings.reporter.reports_dir
    try:
        if days := _changed(folder):
            _write(session, folder, days)
    except Exception as error:
        if session.is_cut_off:
            raise
        session.logger.debug("traceback of the index of reports", exc_info=True)
        reason = str(explained(error))
        session.fail(f"{folder / INDEX} cannot be written, the next run tries again: {reason}")


def _changed(folder: Path) -> list[Path]:
    """Return the folders of the days that changed since the index was written, the newest first."""
    days = _days(folder)
    if not days:
        return []
    try:
        index = (folder / INDEX).stat().st_mtime_ns
    except FileNotFoundError:
        index = 0
    if index > time.time_ns():  # it tells nothing: the clock was ahead when it was written
        index = 0
    return [day for day in days if day.stat().st_mtime_ns > index]


def _days(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            names = [entry.name for entry in found if _DAY.fullmatch(entry.name) and entry.is_dir()]
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names, reverse=True) if _date_of(name)]


def _date_of(name: str) -> date | None:
    try:
        return datetime.strptime(name, "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def _write(session: Session, folder: Path, changed: Iterable[Path]) -> None:
    """Write the lists of the changed days, then the list of all, which is the newest file then."""
    steps = session.outside.files
    for day in changed:
        _write_day(session, day)
    with transaction(session.main):
        labels = reports.newest(session.main, days=LISTED_DAYS, most=MOST_LISTED)
        there = [label for label in labels if _has_page(folder, label)]
        listed = reports.listed(session.main, there, most=MOST_LISTED, addresses=_share(len(there)))
    days = [*_figures(_days(folder)[:MOST_DAYS])]
    total = sum(day.reports for day in days)
    _put(session, folder / INDEX, _index(session, listed, days, total, None))
    sync_folder(steps, folder)


def _write_day(session: Session, folder: Path) -> None:
    steps = session.outside.files
    day = _date_of(folder.name)
    with os.scandir(folder) as found:
        labels = [match[1] for entry in found if (match := _PAGE.fullmatch(entry.name))]
    with transaction(session.main):
        figures = reports.figures(session.main, day, labels) if day else None
        listed = reports.listed(session.main, labels, most=MOST_OF_DAY, addresses=_share(len(labels)))
    if figures is None or not listed:
        for name in (INDEX, FIGURES):
            with suppress(FileNotFoundError):
                steps.remove(folder / name)
        return
    _put(session, folder / INDEX, _index(session, listed, [], figures.reports, day))
    told = {"reports": figures.reports, "events": figures.events}
    _put(session, folder / FIGURES, json.dumps(told).encode() + b"\n")
    sync_folder(steps, folder)


def _put(session: Session, path: Path, content: bytes) -> None:
    put(session.outside.files, path, [content])


def _has_page(folder: Path, label: str) -> bool:
    match = _LABEL.fullmatch(label)
    return match is not None and (folder / match[1] / f"security-report-{label}.html").is_file()


def _share(rows: int) -> int:
    """Return by how many addresses each of so many reports is found."""
    return max(LEAST_ADDRESSES, min(MOST_ADDRESSES, ADDRESSES // max(1, rows)))


def _figures(folders: Iterable[Path]) -> Iterator[DayFigures]:
    """Yield the figures of days as their own lists keep them; a day without pages has none."""
    for folder in folders:
        day = _date_of(folder.name)
        try:
            found = json.loads((folder / FIGURES).read_bytes())
            events = {name: int(found["events"].get(name, 0)) for name in SEVERITIES}
            reports_of_day = int(found["reports"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
        if day:
            yield DayFigures(day, reports_of_day, events)


def _index(
    session: Session, listed: Sequence[Listed], days: Sequence[DayFigures], total: int, day: date | None
) -> bytes:
    from mentat_reporter.render.pages import index_of  # noqa: PLC0415 - a quiet run has no pages

    look = session.settings.reporter
    templates = session.today.templates
    reader = templates.reader(look.default_locale, look.default_timezone)
    written = f"{reader.minute(session.now.replace(second=0, microsecond=0))} ({reader.offset(session.now)})"
    index: Index = index_of(listed, days, total, written, reader, day=day)
    template, locale = look.default_template, look.default_locale
    render = partial(templates.render_index, index, template, locale)
    return encoded(rendered(session, template, "index", locale, render, partial(render, shipped_only=True)))
