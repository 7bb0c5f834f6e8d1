"""`preview`: mails as a run would send them now, or those of stored reports, as files to look at.

It changes nothing: the databases are opened read-only, there is no lock and no connection for mail.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from difflib import get_close_matches
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from mentat_reporter.core.model import Report
from mentat_reporter.core.restored import StoredReport
from mentat_reporter.errors import UsageError
from mentat_reporter.files import make_folders, put
from mentat_reporter.filing.reports import ReportFiles
from mentat_reporter.filters.patience import limited
from mentat_reporter.mails import body_of, mails_of
from mentat_reporter.outside import REAL, Outside, read_only
from mentat_reporter.render.message import Mail
from mentat_reporter.restoring import answers_of, report_of
from mentat_reporter.result import Answer
from mentat_reporter.run import check_groups, few_collections, work_due
from mentat_reporter.session import Progress, Session, opened
from mentat_reporter.settings import Settings
from mentat_reporter.store import stored_reports
from mentat_reporter.store.connection import explained, transaction
from mentat_reporter.threads import Answering

LABEL: Final = re.compile(r"M[0-9]{8}[SET][ILMHC]-[0-9A-Za-z]{5,40}", re.ASCII)
"""Labels become names of files: nothing else gets further."""
_SHOWN: Final = 60
"""Characters of what is no label."""


def preview(
    settings: Settings,
    labels: Sequence[str],
    logger: logging.Logger,
    progress: Progress,
    outside: Outside = REAL,
) -> Answer:
    """Write the mails of these stored reports, or without labels those that a run would send now.

    Raises UsageError for what is no label or not stored, and for a folder that cannot be written;
    StoreError when a database cannot be used.
    """
    wanted = list(dict.fromkeys(map(_label, labels)))
    looking = replace(settings, run=replace(settings.run, dry_run=True))
    with (
        _room(outside, settings.run.preview_dir) as room,
        opened(looking, logger, progress, read_only(outside)) as session,
        few_collections(),
        limited(),
    ):
        showing = _Showing(session, settings.run.preview_dir, room)
        session.show = showing.show
        session.lasting(lambda: showing.stored(wanted) if wanted else showing.due())
        return Answer(showing.lines(), session.result.failures)


def _label(text: str) -> str:
    """Return a label, which may be given as subjects have it: `[M20261122SL-7QK2F9XA]`."""
    label = text.strip().removeprefix("[").removesuffix("]")
    if not LABEL.fullmatch(label):
        raise UsageError(f"{text[:_SHOWN]!r} is no label of a report; they look like M20261122SL-7QK2F9XA")
    return label


@contextmanager
def _room(outside: Outside, folder: Path) -> Iterator[Path]:
    """Make the folder, and in it room for what is attached, for as long as it takes."""
    try:
        make_folders(outside.files, folder)
        room = TemporaryDirectory(prefix=".attached-", dir=folder, ignore_cleanup_errors=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror}; name another folder by --preview-dir"
        ) from error
    with room as name:
        yield Path(name)


class _Showing:
    """Renders reports into files, and keeps a line for each."""

    def __init__(self, session: Session, folder: Path, room: Path) -> None:
        self._session = session
        self._folder = folder
        self._room = room
        self._told: dict[str, str] = {}
        self._notes: list[str] = []
        self._mails = 0
        self._groups: set[str] = set()
        """Whom the reports are about."""

    # What is shown

    def due(self) -> None:
        """Show what a run would send; if that is nothing, what was stored last."""
        session = self._session
        run = session.settings.run
        check_groups(session, run.groups)
        work_due(session)
        self._notes = [
            f"{severity}: nothing is due before {when:%Y-%m-%d %H:%M} UTC"
            for severity, when in session.result.too_soon.items()
        ]
        silent = [name for name in run.groups if name not in self._groups]
        if (silent or not self._told) and not (run.regular or run.time_low or run.time_high):
            self._newest(silent)

    def _newest(self, groups: Sequence[str]) -> None:
        """Show what was stored last for these groups, or for anybody."""
        run = self._session.settings.run
        with transaction(self._session.main):
            labels = [
                label
                for group in groups or ("",)
                for label in stored_reports.newest(
                    self._session.main, group, run.severities, test_data=run.test_data
                )
            ]
        whom = f" for {', '.join(groups)}" if groups else ""
        if labels:
            self._notes.append(
                f"a run would report nothing{whom} now; shown are the newest stored reports, one of each type"
            )
            self.stored([label for label in labels if LABEL.fullmatch(label)])
        else:
            self._notes.append(
                f"a run would report nothing{whom} now, and no such report is stored; "
                "name a time that has events by --time-low and --time-high"
            )

    def stored(self, labels: Sequence[str]) -> None:
        """Show stored reports; raises UsageError, before any is shown, when there is none of that label."""
        session = self._session
        with transaction(session.main):
            rows = stored_reports.by_labels(session.main, labels)
            for label in labels:
                if label not in rows:
                    raise UsageError(_unknown(label, stored_reports.near(session.main, label)))
        for label in dict.fromkeys(labels):
            session.progress(f"report {label}")
            try:
                self._restore(rows[label])
            except Exception as error:  # a row may hold anything
                if session.is_cut_off:
                    raise
                session.logger.debug("traceback of %s", label, exc_info=True)
                session.fail(f"report {label} cannot be rendered again: {explained(error)}")

    def _restore(self, row: StoredReport) -> None:
        if not row.structured:
            self._session.fail(
                f"report {row.label} cannot be rendered again: its row has no structured_data, as those "
                "of Mentat before 2.15"
            )
            return
        report = report_of(self._session, row)
        as_sent = answers_of(self._session, row.label)
        self.show([report], lambda _report, _summary: as_sent, beside=self._summary_of(report))

    def _summary_of(self, extra: Report) -> list[Report]:
        """Return an extra report's summary, out of whose files its own are made."""
        if extra.parent is None:
            return []
        with transaction(self._session.main):
            [row] = stored_reports.by_labels(self._session.main, [extra.parent]).values()
        summary = report_of(self._session, row, is_shown=False)
        theirs = {
            event_id: tuple(dict.fromkeys((*summary.places.get(event_id, ()), *places)))
            for event_id, places in extra.places.items()
        }
        known = {**summary.events, **extra.events}
        return [replace(summary, places={**summary.places, **theirs}, events=known)]

    # Files

    def show(
        self, reports: Sequence[Report], answering: Answering, beside: Sequence[Report] = ()
    ) -> dict[str, Mail]:
        """Write the files of one unit's reports; return the mails by label.

        `beside` are reports that are needed for the others' attachments.
        """
        with ReportFiles(self._session, [*beside, *reports], root=self._room) as files:
            mails = mails_of(self._session, reports, files.enclosed, answering)
            for report in reports:
                mail = mails.get(report.label)
                if mail is not None:
                    text, html = _bodies(mail.content)
                    self._put(report.label, mail.content, text, html)
                else:
                    body = body_of(self._session, report, files.enclosed(report))
                    self._put(report.label, b"", f"{body.text.rstrip()}\n", body.html)
                self._tell(report, mail)
        return mails

    def _put(self, label: str, mail: bytes, text: str, html: str) -> None:
        """Write the files of a report; of a kind that it does not have none is left from before."""
        files = self._session.outside.files
        bodies = {".txt": text, ".html": html}
        contents = {".eml": mail, **{kind: body.encode(errors="replace") for kind, body in bodies.items()}}
        for ending, content in contents.items():
            path = self._folder / f"{label}{ending}"
            if content:
                put(files, path, (content,))
            else:
                with suppress(FileNotFoundError):
                    files.remove(path)

    # Lines

    def _tell(self, report: Report, mail: Mail | None) -> None:
        host = f" host {report.address}" if report.address else ""
        if mail is not None:
            whom = f"to {', '.join(mail.recipients)}"
        else:
            whom = "a shadow report, not mailed" if report.shadow else "not mailed"
        path = self._folder / f"{report.label}{'.eml' if mail else '.txt'}"
        self._groups.update(report.chain)
        self._mails += mail is not None and report.label not in self._told
        self._told[report.label] = (
            f"{report.type} {report.severity} {', '.join(report.chain) or 'nobody'}{host}: "
            f"{_several(report.counters.rep, 'event')}, {whom}: {path}"
        )

    def lines(self) -> list[str]:
        """Return what is to be read at the end."""
        if not self._told:
            return self._notes or ["nothing would be reported"]
        written = [_several(self._mails, "mail")]
        if silent := len(self._told) - self._mails:
            written.append(f"{_several(silent, 'report')} that nobody gets by mail")
        unsigned = ", unsigned" if self._session.settings.mail.pgp_key else ""
        return [
            *self._notes,
            *self._told.values(),
            f"{' and '.join(written)} in {self._folder}",
            f".eml is the mail as sent{unsigned}, .txt and .html what is read; nothing was stored or sent",
        ]


def _several(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _unknown(label: str, known: Sequence[str]) -> str:
    near = get_close_matches(label, known, 3)
    hint = f"; the nearest are {', '.join(near)}" if near else ""
    return f"there is no stored report {label}{hint}"


def _bodies(content: bytes) -> tuple[str, str]:
    """Return the text and the HTML of a mail as its reader has them."""
    mail = BytesParser(policy=policy.default).parsebytes(content)
    if not isinstance(mail, EmailMessage):
        raise TypeError("the parser's policy makes mails")
    parts = (mail.get_body((kind,)) for kind in ("plain", "html"))
    text, html = (str(part.get_content()).replace("\r\n", "\n") if part else "" for part in parts)
    return text, html
