"""The page of a report, for people; it is one of the report's files. docs/operations.md."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from mentat_reporter.core.model import Report
from mentat_reporter.rendering import rendered
from mentat_reporter.session import Session

ROWS: Final = 20_000
"""Addresses that a class lists on a page."""
DETAILED: Final = 2_000
VALUES: Final = 1_000


def page_of(session: Session, report: Report, files: Sequence[tuple[str, int]]) -> bytes:
    """Return a report's page, which points at its files, each a name and a size in bytes.

    Where the report's own template fails or takes too long the shipped one is used, and the run names it.
    """
    from mentat_reporter.render.view import File, Limits  # noqa: PLC0415 - a quiet run has no pages

    templates = session.today.templates
    limits = Limits(ROWS, DETAILED, VALUES)
    reader = templates.reader(report.locale, report.timezone)
    beside = tuple(File(name, reader.size(size)) for name, size in files)
    render = partial(templates.render_page, report, "page.html", limits, files=beside)
    return encoded(
        rendered(
            session, report.template, "page", report.locale,
            lambda: render(seen=session.views.of(session, report)),
            lambda: render(shipped_only=True),
        )
    )  # fmt: skip


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
