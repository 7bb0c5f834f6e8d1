"""From reports to finished mails. Rendering touches no database."""

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from mentat_reporter.core.model import Report
from mentat_reporter.errors import TemplateError
from mentat_reporter.render.message import Mail, build
from mentat_reporter.render.templates import Rendered
from mentat_reporter.session import Session

PATIENCE: Final = 30.0
"""Seconds that a template may take for a report (docs/reliability.md)."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TemplateError in a block that takes longer. Only the main thread can be interrupted so."""

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise TemplateError(f"takes longer than {seconds:.0f} s")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _rendered(session: Session, report: Report) -> Rendered:
    """Render with the report's own template; if that fails, with the shipped default, and say so.

    A template that ran out of time is not asked again in this run.
    """
    templates = session.today.templates
    key = (report.template, report.type, report.locale)
    if key not in session.slow_templates:
        begun = time.monotonic()
        try:
            with time_limit(PATIENCE):
                return templates.render(
                    report, template=report.template, locale=report.locale, timezone=report.timezone
                )
        except TemplateError as error:
            if time.monotonic() - begun >= PATIENCE:
                session.slow_templates.add(key)
            session.quarantine("template", f"{report.template}/{report.type}", str(error))
            session.fail(f"template {report.template}: {error}; the shipped default is used")
    with time_limit(PATIENCE):
        return templates.render_shipped(report, locale=report.locale, timezone=report.timezone)


def _render(session: Session, report: Report, reply_to_id: str | None) -> Mail:
    return build(report, _rendered(session, report), session.today.frame, reply_to_id=reply_to_id)


def mails_of(session: Session, built: Iterable[Report]) -> dict[str, Mail]:
    """Render what is to be mailed, by label; who wants a report and has nobody to get it is named."""
    mails: dict[str, Mail] = {}
    for report in built:
        plan = report.mail
        if plan is None:
            continue
        if not (plan.redirected_to or plan.to):
            cure = "give the group an address or set __core__reporter.fallback"
            if not plan.fallback:  # nobody was even looked for
                cure = "they are redirected to the admin, set mail_admin"
            session.fail(
                f"{report.severity} reports for {', '.join(report.chain)} have no recipient: {cure}; "
                "they are stored, not mailed"
            )
            report.mail = None
            continue
        if plan.fallback:
            session.logger.info("report %s goes to the %s fallback", report.label, plan.fallback)
        if plan.redirected_to:
            session.logger.info(
                "report %s for %s goes to %s", report.label,
                ", ".join((*plan.to, *plan.cc)) or "nobody", ", ".join(plan.redirected_to),
            )  # fmt: skip
        answers = mails.get(report.parent or "")
        mails[report.label] = _render(session, report, answers.message_id if answers else None)
    return mails
