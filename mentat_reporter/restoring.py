"""Stored reports as they were before their mails were rendered: rows, what is left of their events, and the
house as it is today.
"""

from collections.abc import Iterator
from dataclasses import replace
from email import policy
from email.parser import BytesHeaderParser

from mentat_reporter.core import report as reporting
from mentat_reporter.core.model import Chain, Event, MailPlan, Report, Window
from mentat_reporter.core.recipients import plan_mail, settings_group
from mentat_reporter.core.report import Desk, Told
from mentat_reporter.core.restored import (
    Evidence,
    Restored,
    StoredReport,
    addresses_of,
    in_chain_order,
    restored,
)
from mentat_reporter.core.window import timing_of
from mentat_reporter.deal import read_raw
from mentat_reporter.errors import MessageError
from mentat_reporter.render.i18n import is_timezone
from mentat_reporter.render.message import Answers
from mentat_reporter.session import Session
from mentat_reporter.shelf import Shelf
from mentat_reporter.store import events, stored_reports
from mentat_reporter.store.connection import transaction


def report_of(session: Session, row: StoredReport, *, is_shown: bool = True) -> Report:
    """Return a stored report, to be rendered again; what it told that is gone is named in the log.

    Not `is_shown`: it is only needed for another one.
    """
    known = list(_events(session, row))
    evidence = Evidence(row, known, session.today.ownership, session.today.rules)
    found = restored(row, evidence, lambda name: _class_of(session, name))
    if is_shown:
        _say_what_is_gone(session, row, len(known), found)
    chain, fallbacks = _owners(session, row, evidence, found)
    told = Told(chain, row.shadow, found.new, found.recurring)
    fallbacks = told.fallbacks or fallbacks
    desk = session.today.desk
    look = desk.look(settings_group(row.type, chain, desk.groups, desk.mail_rules))
    if "timezone" not in desk.force_look and is_timezone(row.timezone):
        look = look._replace(timezone=row.timezone)
    events_told = told.events
    report = Report(
        label=row.label,
        type=row.type,
        severity=row.severity,
        shadow=row.shadow,
        test_data=row.test_data,
        chain=chain,
        fallbacks=fallbacks,
        lo=row.lo,
        hi=row.hi,
        created=row.created,
        counters=row.counters,
        regular=found.regular,
        relapsed=found.relapsed,
        statistics=dict(row.statistics),
        filtering=dict(row.filtering),
        address=row.address,
        parent=row.parent,
        regular_by_class=found.regular_by_class,
        relapsed_by_class=found.relapsed_by_class,
        places=reporting.places(told, events_told),
        events=events_told,
        mail=_mail(row, chain, fallbacks, desk),
        **look._asdict(),
    )
    _hold(session, report, told)
    return report


def _events(session: Session, row: StoredReport) -> Iterator[Event]:
    shelf = Shelf()
    for raw in events.by_ids(session.events, row.event_ids):
        try:
            yield read_raw(session, raw, row.severity, shelf)
        except MessageError as error:
            session.logger.warning("report %s: event %s %s", row.label, raw.stored.id, error)


def _class_of(session: Session, name: str) -> str | None:
    """Return the class of a class with its subclasses, if it is one of today's."""
    classes = session.today.event_classes
    while name not in classes:
        name, slash, _ = name.rpartition("/")
        if not slash:
            return None
    return name


def _say_what_is_gone(session: Session, row: StoredReport, known: int, found: Restored) -> None:
    total = len(row.event_ids)
    if known < total:
        session.logger.warning(
            "report %s: %d of its %d events are gone from the database, and with them what only they say: "
            "small pictures, attached data, addresses of a target report", row.label, total - known, total,
        )  # fmt: skip
    elif found.unsure:
        session.logger.warning(
            "report %s: it is not certain any more which events %d of its lines counted, they have no small "
            "picture and no attached data",
            row.label, found.unsure,
        )  # fmt: skip


def _owners(session: Session, row: StoredReport, evidence: Evidence, found: Restored) -> tuple[Chain, Chain]:
    """Return the chain in its order, and the fallbacks that its addresses have today."""
    shares = [share for address in addresses_of(found) for share in session.today.ownership.shares(address)]
    chain = in_chain_order(row.groups, [*(share.chain for share in shares), *evidence.chains])
    fallbacks = (name for share in shares if share.chain == chain for name in share.fallbacks)
    return chain, tuple(dict.fromkeys(fallbacks))


# Who got it


def _mail(row: StoredReport, chain: Chain, fallbacks: Chain, desk: Desk) -> MailPlan | None:
    """Return who got a report, or gets it by the options of this call; None if it was not mailed.

    Rows do not say that recipients are a fallback or redirected: that is known when today's are the same.
    """
    rules = desk.mail_rules
    today = plan_mail(row.type, row.severity, chain, fallbacks, desk.group, rules)
    if row.shadow:
        return None
    if rules.force_mode:
        return today
    if not row.mailed:
        return None
    to, cc = (_entries(row, kind) for kind in ("to:", "cc:"))
    if today is not None and reporting.mailed_to(today) == list(row.mail_to):
        return today
    plan = MailPlan(rules.to or to, rules.cc or (() if rules.to else cc), rules.bcc)
    if rules.test_mode:
        return MailPlan(to, cc, redirected_to=rules.to or rules.admin)
    return plan


def _entries(row: StoredReport, kind: str) -> tuple[str, ...]:
    return tuple(entry.removeprefix(kind) for entry in row.mail_to if entry.startswith(kind))


def answers_of(session: Session, label: str) -> Answers | None:
    """Return what the mail of a stored report answered, None if nothing, or if there is no mail of it."""
    with transaction(session.main):
        head = stored_reports.sent(session.main, label)
    mail = BytesHeaderParser(policy=policy.default).parsebytes(head)
    parent, thread = str(mail["In-Reply-To"] or ""), str(mail["References"] or "")
    return Answers(parent.strip(), tuple(thread.split())) if parent else None


# How long it is held back


def _hold(session: Session, report: Report, told: Told) -> None:
    """Find out until when a report's problems are held back.

    Their thresholds say so. When those are gone, or belong to a later report, the label says whether the
    report was one of a regular run, which are held back; no row does.
    """
    owner = session.today.groups.get(report.chain[0]) if report.chain else None
    timing = timing_of(owner, report.severity, report.direction)
    with transaction(session.main):
        report.held_until = stored_reports.held_until(session.main, report.label)
    if report.held_until is None and timing.threshold and _is_regular(session, report, told):
        report.held_until = report.hi + timing.threshold


def _is_regular(session: Session, report: Report, told: Told) -> bool:
    desk = replace(session.today.desk, nonce="", taken_labels=frozenset())
    address = (report.address,) if report.address else ()
    span = report.hi - report.lo
    windows = (
        Window(clock, report.severity, report.lo, report.hi, report.lo, span)
        for clock in ("", *report.chain[:1])
    )
    return report.label in {
        reporting.make_label(desk, report.type, window, *reporting.identity(window, told), *address)
        for window in windows
    }
