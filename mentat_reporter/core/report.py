"""What a unit of work decides → the reports that are stored and told. docs/semantics.md."""

from base64 import b32encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.aggregate import Finding, entries, structured
from mentat_reporter.core.figures import figures
from mentat_reporter.core.intake import Tally
from mentat_reporter.core.model import (
    MAX_ATTACHMENT_SIZE,
    AttachmentKind,
    Chain,
    Counters,
    Direction,
    Entry,
    Event,
    Group,
    MailPlan,
    Place,
    Problem,
    Report,
    ReportType,
    Sighting,
    Window,
)
from mentat_reporter.core.recipients import MailRules, plan_mail, settings_group, wanting

TYPE_LETTER: Final[Mapping[ReportType, str]] = {"summary": "S", "extra": "E", "target": "T"}
LABEL_LETTERS: Final = 8


class Look(NamedTuple):
    """How a report looks: what is forced, else the group's, else the default (docs/reports.md)."""

    template: str = "default"
    locale: str = "en"
    timezone: str = "UTC"
    attachments: AttachmentKind = "none"
    compress: bool = False
    max_attachment_size: int = MAX_ATTACHMENT_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What all reports of a run share: the groups, the mail rules, the clock, the looks."""

    groups: Mapping[str, Group]
    mail_rules: MailRules
    created: datetime
    test_data: bool
    nonce: str
    """Makes labels of another run differ; a redo of the same window has the same."""
    default_look: Look
    force_look: Mapping[str, Any] = field(default_factory=dict)
    taken_labels: frozenset[str] = frozenset()

    def group(self, name: str) -> Group:
        return self.groups.get(name) or Group(name=name)

    def look(self, group: Group | None) -> Look:
        own = {name: getattr(group, name) for name in Look._fields} if group else {}
        said = {name: value for name, value in own.items() if value is not None}
        return self.default_look._replace(**said)._replace(**self.force_look)


class Told(NamedTuple):
    """All that one chain is told in one window."""

    chain: Chain
    shadow: bool
    new: list[Finding]
    recurring: list[Finding]

    @property
    def fallbacks(self) -> Chain:
        """The fallback groups of all that is told, each once, in the order of the addresses.

        Rules may have removed some of an address's fallbacks for some of its events: the most first.
        """
        findings = (*self.new, *self.recurring)
        seen = {(finding.address, finding.fallbacks) for finding in findings if finding.fallbacks}
        ordered = sorted(seen, key=lambda one: (parse_address(one[0]), -len(one[1]), one[1]))
        return tuple(dict.fromkeys(name for _, fallbacks in ordered for name in fallbacks))

    @property
    def events(self) -> dict[str, Event]:
        """All that is told, by id, in the order of the events' first times."""
        found = {finding.event.id: finding.event for finding in (*self.new, *self.recurring)}
        return {event.id: event for event in sorted(found.values(), key=_by_first_time)}


def _by_first_time(event: Event) -> tuple[datetime, str]:
    return event.first_time, event.id


def make_label(desk: Desk, report_type: ReportType, window: Window, *identity: str) -> str:
    """Return `M20261122SL-7QK2F9XA`: date of the window's end, type, severity, 8 characters of the identity.

    The same report of the same window has the same label after a crash, be it the next day, so that a
    redo replaces what it left behind.
    """
    severity = window.severity
    head = f"M{window.hi:%Y%m%d}{TYPE_LETTER[report_type]}{severity[0].upper()}-"
    for salt in range(1000):
        text = "\0".join((desk.nonce, report_type, severity, *identity, str(salt)))
        label = head + b32encode(sha256(text.encode()).digest()).decode()[:LABEL_LETTERS]
        if label not in desk.taken_labels:
            return label
    raise AssertionError("a thousand labels in a row cannot all be taken")


def gather(new: Iterable[Sighting], recurring: Iterable[tuple[Sighting, Problem, str]]) -> list[Told]:
    """Sort sightings, new ones and recurring ones with their problem and its report, by chain and shadow."""
    told: dict[tuple[Chain, bool], Told] = {}

    def part(chain: Chain, shadow: bool) -> Told:
        return told.setdefault((chain, shadow), Told(chain, shadow, [], []))

    for event, direction, origins, address, chain, fallbacks in new:
        side = event.side(direction)
        finding = Finding(event, side.event_class, side.class_name, origins, address, fallbacks)
        part(chain, side.shadow).new.append(finding)
    for (event, direction, origins, _, chain, fallbacks), problem, reference in recurring:
        name = event.side(direction).class_name
        finding = Finding(event, problem.event_class, name, origins, problem.address, fallbacks, reference)
        part(chain, problem.shadow).recurring.append(finding)
    return [told[key] for key in sorted(told)]


def places(told: Told, events: Iterable[str]) -> dict[str, tuple[Place, ...]]:
    """Return where each of these events, all that is told, is told: addresses as numbers.

    Events of one place have the same tuple: there may be hundreds of thousands.
    """
    found: dict[str, tuple[Place, ...]] = dict.fromkeys(events, ())
    known: dict[Place, tuple[Place, ...]] = {}
    several: dict[str, dict[str, Place]] = {}
    for finding in (*told.new, *told.recurring):
        place = Place(finding.event_class, finding.address, finding.origins)
        event_id = finding.event.id
        before = found[event_id]
        if not before:
            found[event_id] = known.setdefault(place, (place,))
        else:  # each address once, as it came first
            of_event = several.setdefault(event_id, {before[0].address: before[0]})
            of_event.setdefault(place.address, place)
    for event_id, of_event in several.items():
        found[event_id] = tuple(sorted(of_event.values(), key=lambda place: (place.origins, place.address)))
    return found


def _ids(findings: Iterable[Finding]) -> set[str]:
    return {finding.event.id for finding in findings}


def count(tally: Tally, told: Told) -> Counters:
    """Count events; what is blocked at a step is what no sighting of the chain brought past it."""
    new, flt, det = tally.new, tally.kept, tally.credible
    thr, rlp = len(_ids(told.new)), len(_ids(told.recurring))
    return Counters(
        new=new, flt=flt, flt_blk=new - flt, det=det, det_blk=flt - det,
        thr=thr, thr_blk=det - thr, rlp=rlp, all=new + rlp, rep=thr + rlp,
    )  # fmt: skip


class _Part(NamedTuple):
    """What one report tells: its lines, figures and events."""

    regular: list[Entry]
    relapsed: list[Entry]
    statistics: dict[str, Any]
    places: Mapping[str, tuple[Place, ...]]
    events: Mapping[str, Event]
    """At least those of the places."""


def _report(
    desk: Desk,
    report_type: ReportType,
    window: Window,
    told: Told,
    part: _Part,
    **more: Any,
) -> Report:
    look = desk.look(settings_group(report_type, told.chain, desk.groups, desk.mail_rules))
    fallbacks = told.fallbacks
    plan = plan_mail(report_type, window.severity, told.chain, fallbacks, desk.group, desk.mail_rules)
    return Report(
        type=report_type,
        severity=window.severity,
        shadow=told.shadow,
        test_data=desk.test_data,
        chain=told.chain,
        fallbacks=fallbacks,
        lo=window.lo,
        hi=window.hi,
        created=desk.created,
        mail=None if told.shadow else plan,
        **part._asdict(),
        **look._asdict(),
        **more,
    )


def _by_address(lines: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for line in lines:
        found.setdefault(line.address, []).append(line)
    return found


def _parts(
    told: Told, whole: _Part, statistics: Mapping[str, dict[str, Any]]
) -> Iterator[tuple[Told, _Part]]:
    """Divide what a summary tells by its addresses, in order."""
    findings: dict[str, tuple[list[Finding], list[Finding]]] = {}
    for side, of_side in enumerate((told.new, told.recurring)):
        for finding in of_side:
            findings.setdefault(finding.address, ([], []))[side].append(finding)
    places: dict[str, dict[str, tuple[Place, ...]]] = {}
    for event_id, of_event in whole.places.items():
        for place in of_event:
            places.setdefault(place.address, {})[event_id] = (place,)
    regular, relapsed = _by_address(whole.regular), _by_address(whole.relapsed)
    for address, (new, recurring) in sorted(findings.items()):
        part = _Part(
            regular.get(address, []), relapsed.get(address, []), statistics[address], places[address],
            whole.events,
        )  # fmt: skip
        yield told._replace(new=new, recurring=recurring), part


def _extras(
    desk: Desk, window: Window, summary: Report, parts: Iterable[tuple[Told, _Part]]
) -> Iterator[Report]:
    for told, part in parts:
        address = (*told.new, *told.recurring)[0].address
        rep = len(_ids(told.new)) + len(_ids(told.recurring))
        yield _report(
            desk, "extra", window, told, part,
            label=make_label(desk, "extra", window, *identity(window, told), address),
            counters=Counters(rep=rep, all=summary.counters.rep),
            address=address, parent=summary.label, filtering={}, held_until=summary.held_until,
        )  # fmt: skip


def identity(window: Window, told: Told) -> tuple[str, ...]:
    return (window.clock, window.lo.isoformat(), window.hi.isoformat(), str(told.shadow), *told.chain, "")


def reports_of(
    desk: Desk,
    direction: Direction,
    window: Window,
    told: Told,
    tally: Tally,
    held_until: datetime | None,
) -> list[Report]:
    """Return the reports of one chain: its summary and, where a group asks for them, extras; or its target
    report.
    """
    report_type: ReportType = "target" if direction == "target" else "summary"
    groups = [desk.group(name) for name in told.chain]
    apart = direction == "source" and bool(wanting(groups, "extra", desk.mail_rules))
    found = figures(told.new, told.recurring, window.severity, direction, by_address=apart)
    regular, relapsed = (entries(part, direction) for part in (told.new, told.recurring))
    events = told.events
    whole = _Part(regular, relapsed, found.whole, places(told, events), events)
    report = _report(
        desk, report_type, window, told, whole,
        label=make_label(desk, report_type, window, *identity(window, told)),
        counters=count(tally, told), filtering=dict(sorted(tally.filtered.items())), held_until=held_until,
    )  # fmt: skip
    if direction == "target":
        report.regular_by_class = entries(told.new, "target", by_address=False)
        report.relapsed_by_class = entries(told.recurring, "target", by_address=False)
    if apart:
        return [report, *_extras(desk, window, report, _parts(told, whole, found.parts))]
    return [report]


def structured_data(report: Report) -> dict[str, Any]:
    """Return the report as its row stores it; target reports by class alone."""
    target = report.type == "target"
    return {
        "timezone": report.timezone,
        "regular": structured(report.regular_by_class if target else report.regular),
        "relapsed": structured(report.relapsed_by_class if target else report.relapsed),
    }


def mailed_to(plan: MailPlan | None) -> list[str]:
    """Return `to:` and `cc:` entries as rows store them."""
    if plan is None:
        return []
    return [*(f"to:{address}" for address in plan.to), *(f"cc:{address}" for address in plan.cc)]


def labels_by_problem(reports: Sequence[Report]) -> dict[Problem, str]:
    """Return the report that tells of each problem: its extra if there is one, else the chain's report."""
    labels: dict[Problem, str] = {}
    for report in reports:
        for line in (*report.regular, *report.relapsed):
            labels[Problem(report.shadow, line.event_class, line.address)] = report.label
    return labels
