"""From reports to finished mails. Rendering touches no database."""

from collections.abc import Callable, Iterable

from mentat_reporter.core.model import MailPlan, Report
from mentat_reporter.render.enclosed import NOTHING, Enclosed
from mentat_reporter.render.message import Mail, build
from mentat_reporter.render.templates import Rendered
from mentat_reporter.rendering import rendered
from mentat_reporter.session import Session
from mentat_reporter.threads import NO_THREADS, Answering


def body_of(session: Session, report: Report, enclosed: Enclosed) -> Rendered:
    """Return a report's subject and both bodies."""
    templates = session.today.templates
    seen = session.views.take(report)
    return rendered(
        session, report.template, report.type, report.locale,
        lambda: templates.render(report, enclosed, seen=seen),
        lambda: templates.render_shipped(report, enclosed),
    )  # fmt: skip


def mails_of(
    session: Session,
    built: Iterable[Report],
    enclose: Callable[[Report], Enclosed] = lambda _report: NOTHING,
    answering: Answering = NO_THREADS.answers,
) -> dict[str, Mail]:
    """Render what is to be mailed, by label; who wants a report and has nobody to get it is named.

    `enclose` gives a report's attachments, `answering` the mails that told of its problems before.
    """
    mails: dict[str, Mail] = {}
    for report in built:
        if report.mail is None:
            continue
        if not _reaches_anybody(session, report, report.mail):
            report.mail = None
            continue
        summary = mails.get(report.parent or "")
        enclosed = enclose(report)
        mails[report.label] = build(
            report, body_of(session, report, enclosed), session.today.frame,
            answers=answering(report, summary.message_id if summary else None),
            attachments=enclosed.attachments,
            sign=session.sign,
        )  # fmt: skip
    return mails


def _reaches_anybody(session: Session, report: Report, plan: MailPlan) -> bool:
    """Tell whether there is a recipient; name it if there is none, or another than one would think."""
    if not (plan.redirected_to or plan.to):
        cure = "give the group an address or set __core__reporter.fallback"
        if not plan.fallback:  # nobody was even looked for
            cure = "they are redirected to the admin, set mail_admin"
        session.fail(
            f"{report.severity} reports for {', '.join(report.chain)} have no recipient: {cure}; "
            "they are stored, not mailed"
        )
        return False
    if plan.fallback:
        session.logger.info("report %s goes to the %s fallback", report.label, plan.fallback)
    if plan.redirected_to:
        session.logger.info(
            "report %s for %s goes to %s", report.label,
            ", ".join((*plan.to, *plan.cc)) or "nobody", ", ".join(plan.redirected_to),
        )  # fmt: skip
    return True
