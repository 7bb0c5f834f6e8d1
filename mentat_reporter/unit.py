"""One unit of work: what a group is told of a severity and direction in one window, in one transaction.

docs/reliability.md: ledger, thresholds, reports and mails with their final bytes are committed
together, so that a crash leaves all of them or none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from mentat_reporter.core import report as reporting
from mentat_reporter.core import threshold as thresholding
from mentat_reporter.core.intake import Intake, Tally, own, sift
from mentat_reporter.core.model import (
    Event,
    Group,
    Held,
    Problem,
    Report,
    Sighting,
    Threshold,
    ThresholdTimes,
    Timing,
)
from mentat_reporter.core.window import timing_of
from mentat_reporter.deal import read_raw
from mentat_reporter.errors import MessageError
from mentat_reporter.filing.reports import ReportFiles
from mentat_reporter.mails import mails_of
from mentat_reporter.render.message import Mail
from mentat_reporter.session import Session
from mentat_reporter.shelf import Shelf
from mentat_reporter.store import events, groups, mailed, outbox, reports, state, thresholds
from mentat_reporter.store.connection import transaction
from mentat_reporter.store.state import OpenWindow, Retry, Unit
from mentat_reporter.threads import NO_THREADS, Threads

Recurring = tuple[Sighting, Problem, str]
"""A sighting to tell again, the problem that it was held under, the report that told of that first."""


class Relapse(NamedTuple):
    """A problem's events to tell again, with the labels of the reports that told of it last, and first."""

    event_ids: list[str]
    told_by: str
    first_told_by: str


class Decision(NamedTuple):
    """All that a unit will write."""

    reports: list[Report]
    held: dict[Problem, list[Held]]
    """Events held back, by problem."""
    counts: dict[str, int]
    """Events told, held back, and told again."""
    labels: dict[Problem, str]
    """By problem, the report that tells of it."""
    times: ThresholdTimes | None
    threads: Threads


def _relapses(
    session: Session, unit: Unit, opened: OpenWindow, decided: thresholding.Decided, timing: Timing
) -> dict[Problem, Relapse]:
    """Return the events to tell again by problem."""
    found = {}
    hi = opened.window.hi
    past = session.rehearsal
    expired = past.expired(unit, hi) if past else thresholds.expired(session.main, unit, hi)
    for problem, (threshold, held) in expired.items():
        kept = [*held, *decided.held.get(problem, ())]
        ids = thresholding.relapsed_events(threshold, kept, opened.window, timing.relapse)
        if ids:
            found[problem] = Relapse(ids, threshold.report_label, threshold.first_label)
    return found


def _recurring(
    session: Session, unit: Unit, intake: Intake, relapses: Mapping[Problem, Relapse]
) -> list[Recurring]:
    """Own and filter the relapsed events again, each at its problem's own address."""
    wanted: dict[str, list[Problem]] = {}
    for problem, relapse in relapses.items():
        for event_id in relapse.event_ids:
            wanted.setdefault(event_id, []).append(problem)
    found: list[Recurring] = []
    known, shelf = 0, Shelf()
    for raw in events.by_ids(session.events, sorted(wanted)) if wanted else ():
        try:
            event = read_raw(session, raw, unit.severity, shelf)
        except MessageError as error:
            session.quarantine("event", raw.stored.id, str(error))
            continue
        known += 1
        for problem, sighting in _at(session, unit, intake, event, wanted[event.id]):
            found.append((sighting, problem, relapses[problem].told_by))
    if gone := len(wanted) - known:
        session.logger.warning("%d events that group %s was to be told again are gone", gone, unit.group)
    return found


def _threads(
    session: Session, relapses: Mapping[Problem, Relapse], recurring: Iterable[Recurring]
) -> Threads:
    """Look up the mails that first told of what is told again."""
    first = {problem: relapses[problem].first_told_by for _, problem, _ in recurring}
    if not first:
        return NO_THREADS
    with transaction(session.main):
        return Threads(first, mailed.told_by(session.main, set(first.values())))


def _at(
    session: Session, unit: Unit, intake: Intake, event: Event, problems: Iterable[Problem]
) -> Iterable[tuple[Problem, Sighting]]:
    """Return what of an event is still the unit's at the addresses of some problems, and passes the rules."""
    today = session.today
    owned = {sighting.address: sighting for sighting in own(event, unit.direction, today.ownership)}
    for problem in problems:
        sighting = owned.get(problem.address)
        if sighting is None or not sighting.chain or sighting.owner != unit.group:
            continue
        sifted = sift(sighting, today.rules)
        for rule in (sifted.dropped_by, *sifted.fallbacks_dropped_by):
            if rule is not None:
                intake.rule_hits[rule.id] += 1
        if sifted.sighting is not None:
            yield problem, sifted.sighting


def _build_reports(
    session: Session, unit: Unit, opened: OpenWindow, intake: Intake, told: list[reporting.Told],
    held_until: datetime | None,
) -> list[Report]:  # fmt: skip
    """Build the reports with labels that no stored report has."""
    desk = session.today.desk
    while True:
        built = [
            report
            for part in told
            for report in reporting.reports_of(
                desk, unit.direction, opened.window, part,
                intake.tallies.get((part.chain, part.shadow), Tally()), held_until,
            )
        ]  # fmt: skip
        with transaction(session.main):
            taken = reports.taken_labels(session.main, [report.label for report in built])
        if not taken:
            return built
        desk = replace(desk, taken_labels=desk.taken_labels | taken)


def _known(session: Session, unit: Unit, sightings: Iterable[Sighting]) -> Mapping[Problem, Threshold]:
    """Return the thresholds that may hold sightings back."""
    problems = (thresholding.problem_of(sighting) for sighting in sightings)
    if session.rehearsal:
        return session.rehearsal.thresholds(unit, problems)
    return thresholds.thresholds(session.main, unit, problems)


def decide(session: Session, unit: Unit, opened: OpenWindow, intake: Intake) -> Decision:
    """Decide what is told, what is held and what is told again; nothing is written yet."""
    group: Group | None = session.today.groups.get(unit.group)
    timing = timing_of(group, unit.severity, unit.direction)
    holds = session.thresholding or session.rehearsal is not None
    known: Mapping[Problem, Threshold] = {}
    relapses: Mapping[Problem, Relapse] = {}
    if holds and intake.sightings:
        with transaction(session.main):
            known = _known(session, unit, intake.sightings)
    decided = thresholding.decide(intake.sightings, known, opened.window)
    if holds:
        with transaction(session.main):
            relapses = _relapses(session, unit, opened, decided, timing)
    recurring = _recurring(session, unit, intake, relapses)
    held_until = opened.window.hi + timing.threshold if session.thresholding and timing.threshold else None
    kept, new = _events(intake.sightings), _events(decided.reported)
    told = reporting.gather(decided.reported, recurring)
    # findings stand for the sightings from here on, and there may be a million
    intake.sightings.clear()
    decided.reported.clear()
    built = _build_reports(session, unit, opened, intake, told, held_until) if told else []
    return Decision(
        built,
        decided.held,
        {"reported": new, "held": kept - new, "relapsed": _events(sighting for sighting, _, _ in recurring)},
        reporting.labels_by_problem(built),
        thresholding.new_times(opened.window, timing),
        _threads(session, relapses, recurring),
    )


def _events(sightings: Iterable[Sighting]) -> int:
    return len({sighting.event.id for sighting in sightings})


def _store(session: Session, built: Sequence[Report], mails: Mapping[str, Mail]) -> None:
    if built:
        reports.store(session.main, [reports.Stored(report, report.label in mails) for report in built])
    if mails:
        # a test's mail must not turn to the fallback recipients when it cannot be delivered
        no_fallback = session.settings.mail.test_mode
        outgoing = [outbox.OutgoingMail(label, *mail, fallback=no_fallback) for label, mail in mails.items()]
        session.mail_ids += outbox.enqueue(session.main, outgoing, session.now)


def _move(
    session: Session, unit: Unit, opened: OpenWindow, intake: Intake, decision: Decision, retry: Retry | None
) -> None:
    """Write what a regular run remembers: ledger, thresholds, held events, hits."""
    main = session.main
    state.consider(main, unit, intake.considered.items(), opened.next_fetch_lo)
    thresholds.hold(main, unit, decision.held)
    if decision.labels:
        if decision.times:
            thresholds.renew(main, unit, decision.labels, decision.times, decision.threads.kept())
        thresholds.forget_held(main, unit, decision.labels, opened.window.hi)
    groups.hit(main, intake.rule_hits, intake.detector_hits, session.now)
    if opened.id is not None:
        state.unit_done(main, opened, unit, intake.considered)
    if retry is not None:
        state.retry_done(main, retry)


def _count(session: Session, unit: Unit, intake: Intake, decision: Decision) -> None:
    kept = decision.counts["reported"] + decision.counts["held"]
    session.result.add(
        unit.severity,
        **decision.counts,
        filtered=len(intake.considered) - intake.survived,
        doubtful=intake.survived - kept,
    )


def work(
    session: Session, unit: Unit, opened: OpenWindow, intake: Intake, retry: Retry | None = None
) -> None:
    """Decide, render, and write a unit in one transaction; a dry run only tells what it would do.

    What is decided upon is read before: nobody else changes it while this run has the lock, and neither a
    long decision nor a long rendering keeps a transaction open. `retry` is the failure that this attempt
    makes good.
    """
    decision = decide(session, unit, opened, intake)
    job = (unit, opened.window)
    mails: Mapping[str, Mail]
    if session.writes:
        with ReportFiles(session, decision.reports) as files:
            mails = mails_of(session, decision.reports, files.enclosed, decision.threads.answers)
            for report in decision.reports:  # what is stored takes memory of its own
                report.places, report.events = {}, {}
            if not session.moves_state:
                session.in_doubt = (job, [report.label for report in decision.reports])
            with transaction(session.main):
                _store(session, decision.reports, mails)
                if session.moves_state:
                    _move(session, unit, opened, intake, decision, retry)
    elif session.rehearsal is not None:
        session.rehearsal.note(unit, opened.window, decision)
        mails = {}
    elif session.show is not None:
        mails = session.show(decision.reports, decision.threads.answers)
    else:
        mails = mails_of(session, decision.reports, answering=decision.threads.answers)
        _foretell(session, decision.reports, mails)
    if not session.moves_state:
        session.finished.add(job)
    _count(session, unit, intake, decision)
    session.result.add(unit.severity, mails=len(mails), reports=len(decision.reports))


def _foretell(session: Session, built: Sequence[Report], mails: Mapping[str, Mail]) -> None:
    """Keep a line a report, of what a run would have stored and sent."""
    for report in built:
        mail = mails.get(report.label)
        session.result.plans.append(
            f"{report.type} {report.severity} {', '.join(report.chain)}"
            f"{' host ' + report.address if report.address else ''}: {report.counters.rep} events, "
            + (f"mail to {', '.join(mail.recipients)}" if mail else "no mail")
        )
