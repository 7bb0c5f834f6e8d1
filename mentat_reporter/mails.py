"""From reports to finished mails. Rendering touches no database."""

from collections.abc import Iterable

from mentat_reporter.core.model import Report
from mentat_reporter.errors import TemplateError
from mentat_reporter.render.message import Mail, build
from mentat_reporter.session import Session


def _render(session: Session, report: Report, reply_to_id: str | None) -> Mail:
    templates = session.today.templates
    look = {"template": report.template, "locale": report.locale, "timezone": report.timezone}
    try:
        rendered = templates.render(report, **look)
    except TemplateError as error:
        session.quarantine("template", f"{report.template}/{report.type}", str(error))
        session.fail(f"template {report.template}: {error}; the shipped default is used")
        rendered = templates.render_shipped(report, locale=report.locale, timezone=report.timezone)
    return build(report, rendered, session.today.frame, reply_to_id=reply_to_id)


def mails_of(session: Session, built: Iterable[Report]) -> dict[str, Mail]:
    """Render what is to be mailed, by label; who wants a report and has nobody to get it is named."""
    mails: dict[str, Mail] = {}
    for report in built:
        plan = report.mail
        if plan is None:
            continue
        if not (plan.redirected_to or plan.to):
            session.fail(
                f"report {report.label} for {', '.join(report.chain)} has no recipient: give the group an "
                "address or set __core__reporter.fallback; it is stored, not mailed"
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
