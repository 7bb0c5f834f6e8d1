"""The events of each report as a file, `reports_dir/YYYYMMDD/security-report-LABEL.json`.

A file is on the disk before its report is committed, so there is no report without it. Its name follows
from the report's label, so that a redo after a crash replaces what is there.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from mentat_reporter.core.model import Report
from mentat_reporter.errors import MessageError
from mentat_reporter.files import make_folders, put, sync_folder
from mentat_reporter.session import Session
from mentat_reporter.store import events
from mentat_reporter.store.jsontext import as_json

BATCH: Final = 200
"""Messages in memory at a time."""


class _Span(NamedTuple):
    """Where a message stands in its report's file."""

    offset: int
    length: int


def path_of(folder: Path, report: Report) -> Path:
    """Return where a report's events are: the day's folder is that of its label."""
    return folder / f"{report.hi:%Y%m%d}" / f"security-report-{report.label}.json"


class ReportFiles:
    """The files of one unit's reports, written once they are entered as a context.

    Leaving it by an exception takes them away again, unless the connection was lost: then the reports may
    stand. Raises OSError where files cannot be written.
    """

    def __init__(self, session: Session, built: Sequence[Report]) -> None:
        self._session = session
        self._built = built
        self._written: list[Path] = []

    def __enter__(self) -> None:
        try:
            self._write()
        except Exception:
            self._take_away()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, Exception) and not self._session.is_cut_off:
            self._take_away()

    def _write(self) -> None:
        extras: dict[str, list[Report]] = {}
        for report in self._built:
            if report.parent is not None:
                extras.setdefault(report.parent, []).append(report)
        for report in self._built:
            if report.parent is None:
                spans: dict[str, _Span] = {}
                path = self._put(report, _listed(_spanned(self._messages(report), spans)))
                with path.open("rb") as whole:
                    for extra in extras.get(report.label, ()):
                        self._put(extra, _listed(_copied(whole.fileno(), extra, spans)))
        for folder in dict.fromkeys(path.parent for path in self._written):
            sync_folder(self._session.outside.files, folder)

    def _put(self, report: Report, content: Iterable[bytes]) -> Path:
        steps = self._session.outside.files
        path = path_of(self._session.settings.reporter.reports_dir, report)
        make_folders(steps, path.parent)
        self._written.append(path)
        put(steps, path, content)
        return path

    def _messages(self, report: Report) -> Iterator[tuple[str, bytes]]:
        """Yield the events of a report by id, as JSON; those that are gone by now are left out."""
        ids = list(report.statistics["list_ids"])
        for begin in range(0, len(ids), BATCH):
            for raw in events.by_ids(self._session.events, ids[begin : begin + BATCH]):
                with suppress(MessageError):  # it was read a moment ago
                    yield raw.stored.id, as_json(raw.message or b"")

    def _take_away(self) -> None:
        for path in self._written:
            with suppress(OSError):
                self._session.outside.files.remove(path)


def _listed(messages: Iterable[bytes]) -> Iterator[bytes]:
    """Write messages as a JSON array, one a line unless they have line breaks of their own."""
    opening = b"[\n"
    for message in messages:
        yield opening
        yield message
        opening = b",\n"
    yield b"[]\n" if opening == b"[\n" else b"\n]\n"


def _spanned(messages: Iterable[tuple[str, bytes]], spans: dict[str, _Span]) -> Iterator[bytes]:
    """Pass messages on, and note where each will stand in the array."""
    offset = 2
    for event_id, message in messages:
        spans[event_id] = _Span(offset, len(message))
        offset += len(message) + 2
        yield message


def _copied(whole: int, extra: Report, spans: dict[str, _Span]) -> Iterator[bytes]:
    """Yield the messages of an extra report out of its summary's file."""
    for event_id in extra.statistics["list_ids"]:
        if event_id in spans:
            yield os.pread(whole, spans[event_id].length, spans[event_id].offset)
