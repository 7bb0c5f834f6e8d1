"""The files of each report, `reports_dir/YYYYMMDD/security-report-LABEL.json` and its like.

They are on the disk before their report is committed, so there is no report without them. Their names
follow from the report's label, so that a redo after a crash replaces what is there.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from mentat_reporter.core.model import Report
from mentat_reporter.errors import FilesError
from mentat_reporter.files import make_folders, put, sync_folder
from mentat_reporter.filing.events import BLOCK, Notes, Paths, write_events, write_extra
from mentat_reporter.filing.page import page_of
from mentat_reporter.render.attachments import CSV, JSON, ZIP, Member, zipped
from mentat_reporter.render.enclosed import Attachment, Enclosed, LeftOut, choose
from mentat_reporter.session import Session

if TYPE_CHECKING:
    from datetime import date

WANTED: Final = {"none": (), "json": ("json",), "csv": ("csv",), "all": ("json", "csv")}
"""By what a group wants attached: the kinds of files."""


class Filed(NamedTuple):
    """A finished file of a report."""

    path: Path
    size: int
    content_type: str


class _Folder:
    """The files of one report, by kind."""

    def __init__(self) -> None:
        self.events: dict[str, Filed] = {}
        """`json` and `csv`."""
        self.archive: Filed | None = None
        self.documents: list[Filed] = []
        self.unmapped: tuple[str, ...] = ()

    def all(self) -> list[Filed]:
        archive = [self.archive] if self.archive else []
        return [*self.events.values(), *archive, *self.documents]


def path_of(folder: Path, report: Report, ending: str = ".json") -> Path:
    """Return where a report's file is: the day's folder is that of its label."""
    return folder / f"{report.hi:%Y%m%d}" / _name(report, ending)


def _name(report: Report, ending: str) -> str:
    return f"security-report-{report.label}{ending}"


class ReportFiles:
    """The files of one unit's reports, written once they are entered as a context.

    Leaving it by an exception takes them away again, unless the connection was lost: then the reports may
    stand. Entering it raises FilesError where files cannot be written. `root` is where they go instead of
    `reports_dir`, without pages.
    """

    def __init__(self, session: Session, built: Sequence[Report], *, root: Path | None = None) -> None:
        self._session = session
        self._root = root or session.settings.reporter.reports_dir
        self._has_pages = root is None
        self._built = built
        self._begun: list[Path] = []
        self._folders: dict[date, Path] = {}
        """By the day of the window's end."""
        self._of: dict[str, _Folder] = {}

    def __enter__(self) -> Self:
        self._session.views.clear()
        try:
            self._write()
        except OSError as error:
            self._take_away()
            raise FilesError(_cannot_write(self._root, error)) from error
        except Exception:
            self._take_away()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, Exception) and not self._session.is_cut_off:
            self._take_away()

    def enclosed(self, report: Report) -> Enclosed:
        """Return what goes with the mail of one of the reports; raises OSError."""
        own = self._of[report.label]
        plain = [own.events[kind] for kind in WANTED[report.attachments]]
        archive = [own.archive] if plain and own.archive else []
        first = archive if report.compress else plain
        smaller = [] if report.compress else archive
        sizes = ([filed.size for filed in files] for files in (first, smaller, own.documents))
        chosen = choose(report.max_attachment_size, *sizes)
        data = {"as wanted": first, "squeezed": smaller, "none": []}[chosen.data]
        documents = own.documents if chosen.documents else []
        left_out = [*([] if data else first), *([] if documents else own.documents)]
        return Enclosed(
            attachments=tuple(map(_attached, (*data, *documents))),
            squeezed=chosen.data == "squeezed",
            left_out=tuple(LeftOut(filed.path.name, filed.size) for filed in left_out),
            folder=self._shown_folder(report) if left_out else "",
            unmapped=own.unmapped,
        )

    def _shown_folder(self, report: Report) -> str:
        reporter = self._session.settings.reporter
        folder = path_of(reporter.reports_dir, report).parent
        return f"{reporter.reports_url.rstrip('/')}/{folder.name}/" if reporter.reports_url else str(folder)

    def _write(self) -> None:
        extras: dict[str, list[Report]] = {report.label: [] for report in self._built}
        alone = [report for report in self._built if report.parent not in extras]
        for report in self._built:
            if report.parent in extras:
                extras[report.parent].append(report)
        for report in alone:
            self._write_chain(report, extras[report.label])
        for folder in dict.fromkeys(self._folders.values()):
            sync_folder(self._session.outside.files, folder)

    def _write_chain(self, report: Report, extras: Sequence[Report]) -> None:
        notes = Notes() if extras else None
        if notes and self._session.settings.reporter.xarf:
            notes.samples = {}
        whole = self._event_paths(report)
        self._file_events(report, whole, write_events(self._session, report, whole, notes))
        if notes is None:
            return
        with whole.json.open("rb") as messages, whole.csv.open("rb") as rows:
            for extra in extras:
                paths = self._event_paths(extra)
                sizes = write_extra(self._session, extra, paths, (messages.fileno(), rows.fileno()), notes)
                self._file_events(extra, paths, sizes, notes)

    def _event_paths(self, report: Report) -> Paths:
        return Paths(self._begin(report, ".json"), self._begin(report, ".csv"))

    def _begin(self, report: Report, ending: str) -> Path:
        day = report.hi.date()
        folder = self._folders.get(day)
        if folder is None:
            folder = self._folders[day] = path_of(self._root, report).parent
            make_folders(self._session.outside.files, folder)
        path = folder / _name(report, ending)
        self._begun.append(path)
        return path

    def _file_events(
        self, report: Report, paths: Paths, sizes: tuple[int, int], notes: Notes | None = None
    ) -> None:
        """File the events of a report, and write what else there is of it."""
        own = self._of[report.label] = _Folder()
        own.events = {
            "json": Filed(paths.json, sizes[0], JSON),
            "csv": Filed(paths.csv, sizes[1], CSV),
        }
        if notes is not None and notes.samples is not None:
            self._write_documents(report, own, notes)
        wanted = [own.events[kind] for kind in WANTED[report.attachments]]
        total = sum(filed.size for filed in (*wanted, *own.documents))
        if report.compress or (wanted and report.mail and total > report.max_attachment_size):
            own.archive = self._write_archive(report, wanted or list(own.events.values()))
        if self._has_pages:
            page = page_of(self._session, report, [(filed.path.name, filed.size) for filed in own.all()])
            put(self._session.outside.files, self._begin(report, ".html"), [page])

    def _write_documents(self, report: Report, own: _Folder, notes: Notes) -> None:
        from mentat_reporter.render import xarf  # noqa: PLC0415 - few reporters need it

        mail = self._session.settings.mail
        samples = (notes.samples or {}).get(report.address or "", {})
        found = xarf.documents(report, samples, xarf.sender_of(mail.sender, mail.message_id_domain))
        own.unmapped = xarf.without(report, found)
        for document in found:
            path = self._begin(report, document.ending)
            put(self._session.outside.files, path, [document.content])
            own.documents.append(Filed(path, len(document.content), JSON))

    def _write_archive(self, report: Report, members: Iterable[Filed]) -> Filed:
        path = self._begin(report, ".zip")
        content = (Member(filed.path.name, filed.size, _blocks(filed.path)) for filed in members)
        put(self._session.outside.files, path, zipped(content, report.hi))
        return Filed(path, path.stat().st_size, ZIP)

    def _take_away(self) -> None:
        for path in self._begun:
            with suppress(OSError):
                self._session.outside.files.remove(path)


def _cannot_write(folder: Path, error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return (
        f"report files cannot be written below {folder}: {error.strerror or error}{where}; "
        "make room or allow it, or name another folder (reports_dir, --preview-dir)"
    )


def _attached(filed: Filed) -> Attachment:
    return Attachment(filed.path.name, filed.content_type, filed.path.read_bytes())


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block
