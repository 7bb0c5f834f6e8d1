"""docs/semantics.md: which reports a window makes, their counters, labels and looks."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any

import pytest
from factories_core import CHAIN, attack, desk, event, rule, sighting, window
from hypothesis import given
from hypothesis import strategies as st
from strategies import START, group_names, messages, networks

from mentat_reporter.core.intake import Intake, RuleBook, Tally, own, take_in
from mentat_reporter.core.model import (
    MODES,
    Counters,
    Entry,
    Group,
    MailPlan,
    Mode,
    Problem,
    Report,
    Sighting,
    Window,
)
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.core.recipients import MailRules
from mentat_reporter.core.report import (
    Desk,
    Look,
    Told,
    count,
    gather,
    labels_by_problem,
    mailed_to,
    make_label,
    reports_of,
    structured_data,
)

A, B, C = "abuse@a.example", "abuse@b.example", "abuse@c.example"
OLD = "M20260301SL-AAAAAAAA"
Recurring = tuple[Sighting, Problem, str]


def again(seen: Sighting, address: str | None = None) -> Recurring:
    """Return a sighting to be told again at its own address or at that of its problem."""
    side = seen.event.side(seen.direction)
    return seen, Problem(side.shadow, side.event_class, address or seen.address), OLD


def built(
    new: Sequence[Sighting],
    recurring: Sequence[Recurring] = (),
    *,
    at: Desk | None = None,
    of: Window | None = None,
    tally: Tally | None = None,
) -> list[Report]:
    """Return all reports of these sightings; `tally` stands for every chain."""
    return [
        report
        for told in gather(new, recurring)
        for report in reports_of(
            at or desk(),
            (new or [recurring[0][0]])[0].direction,
            of or window(),
            told,
            tally or Tally(),
            START,
        )
    ]


def summary_of(reports: Sequence[Report]) -> Report:
    [report] = [report for report in reports if report.type == "summary"]
    return report


# Which reports there are


def test_each_chain_has_its_own_report_and_shadow_has_one_apart_that_is_never_mailed() -> None:
    plain, hidden = event("plain"), event("hidden", shadow=True)
    seen = [
        sighting(plain),
        sighting(plain, "192.0.2.2", (A, B)),
        sighting(hidden),
        sighting(event("other"), chain=(B,)),
    ]

    reports = built(seen, at=desk(*(Group(name=name, emails={"low": (name,)}) for name in (A, B))))

    assert [(report.chain, report.shadow, report.statistics["list_ids"]) for report in reports] == [
        ((A,), False, ["plain"]),
        ((A,), True, ["hidden"]),
        ((A, B), False, ["plain"]),
        ((B,), False, ["other"]),
    ]
    assert [report.mail is None for report in reports] == [False, True, False, False]


@pytest.mark.parametrize(
    ("mode", "stored", "mailed"),
    [
        ("summary", ["summary"], ["summary"]),
        ("extra", ["summary", "extra", "extra"], ["extra", "extra"]),
        ("both", ["summary", "extra", "extra"], ["summary", "extra", "extra"]),
        ("none", ["summary"], []),
    ],
)
def test_a_summary_is_always_stored_and_extras_are_made_where_a_group_asks(
    mode: Mode, stored: list[str], mailed: list[str]
) -> None:
    seen = event("one")
    here = desk(Group(name=A, mode=mode, emails={"low": (A,)}))

    reports = built([sighting(seen), sighting(seen, "192.0.2.2")], at=here)

    assert [report.type for report in reports] == stored
    assert [report.type for report in reports if report.mail] == mailed


def test_one_group_of_the_chain_is_enough_for_extras_and_they_go_to_it_alone() -> None:
    here = desk(
        Group(name=A, mode="summary", emails={"low": (A,)}, locale="en"),
        Group(name=B, mode="extra", emails={"low": (B,)}, locale="cs"),
    )

    summary, extra = built([sighting(event(), chain=(A, B))], at=here)

    assert (summary.mail, summary.locale) == (MailPlan((A,), ()), "en")
    assert (extra.mail, extra.locale, extra.chain) == (MailPlan((B,), ()), "cs", (A, B))


def test_a_muted_group_s_reports_are_stored_as_ever() -> None:
    here = desk(Group(name=A, mode="both", mute=True, emails={"low": (A,)}))

    assert [(report.type, report.mail) for report in built([sighting(event())], at=here)] == [
        ("summary", None), ("extra", None),
    ]  # fmt: skip


def test_an_extra_tells_of_one_address_and_is_a_child_of_the_summary() -> None:
    one, two, old = event("one"), event("two"), event("old")
    new = [sighting(one), sighting(one, "192.0.2.2"), sighting(two, "192.0.2.2")]

    summary, *extras = built(new, [again(sighting(old))], at=desk(Group(name=A, mode="extra")))

    assert [(extra.address, extra.statistics["list_ids"]) for extra in extras] == [
        ("192.0.2.1", ["old", "one"]), ("192.0.2.2", ["one", "two"]),
    ]  # fmt: skip
    assert [[line.address for line in (*extra.regular, *extra.relapsed)] for extra in extras] == [
        ["192.0.2.1"] * 2, ["192.0.2.2"],
    ]  # fmt: skip
    assert {extra.parent for extra in extras} == {summary.label}
    assert [extra.counters for extra in extras] == [Counters(rep=2, all=3)] * 2
    assert summary.counters.rep == 3
    assert len({report.label for report in (summary, *extras)}) == 3


def test_only_an_extra_has_counters_that_say_nothing_of_earlier_steps() -> None:
    _, extra = built([sighting(event())], at=desk(Group(name=A, mode="extra")))

    assert {name: value for name, value in extra.counters.items() if value is not None} == {
        "rep": 1,
        "all": 1,
    }


def test_the_target_direction_has_one_report_a_chain_stored_by_class() -> None:
    one = attack("one", Target=[{"IP4": ["192.0.2.1", "192.0.2.2"]}])
    seen = [sighting(one, address, direction="target") for address in ("192.0.2.1", "192.0.2.2")]

    [report] = built(seen, at=desk(Group(name=A, mode="extra", emails={"low": (A,)})))

    assert (report.type, report.direction, report.mail) == ("target", "target", MailPlan((A,), ()))
    assert [line.address for line in report.regular] == ["192.0.2.1", "192.0.2.2"]
    stored = structured_data(report)
    assert stored["regular"]["attack"]["event_count"] == 1
    assert stored["relapsed"] == {}
    [data] = stored["regular"]["attack"]["detector_data"].values()
    assert data["target_list_data"]["relevant_ips"] == ["192.0.2.1", "192.0.2.2"]


def test_a_target_report_is_not_mailed_to_those_who_want_none() -> None:
    seen = sighting(attack(Target=[{"IP4": "192.0.2.1"}]), direction="target")

    assert built([seen], at=desk(Group(name=A, mode="none", emails={"low": (A,)})))[0].mail is None


def test_a_report_says_what_it_covers() -> None:
    of = window(timedelta(hours=2))

    [report] = built([sighting(event())], at=desk(test_data=True), of=of)

    assert (report.lo, report.hi, report.severity) == (of.lo, of.hi, "low")
    assert (report.created, report.test_data, report.held_until) == (
        START + timedelta(minutes=10),
        True,
        START,
    )
    assert structured_data(report)["timezone"] == "UTC"


# Problems told again


def test_a_relapsed_problem_stands_apart_at_its_own_class_and_address_with_the_report_that_told_of_it() -> (
    None
):
    seen = sighting(event("old", event_class="renamed"))
    problem = Problem(shadow=False, event_class="scan", address="192.0.2.1")

    [report] = built([], [(seen, problem, OLD)])

    assert report.regular == []
    assert [(line.event_class, line.address, line.reference) for line in report.relapsed] == [
        ("scan", "192.0.2.1", OLD)
    ]
    assert (report.counters.rlp, report.counters.rep, report.counters.thr) == (1, 1, 0)


# Counters


def test_counters_follow_events_through_the_steps() -> None:
    def ids(begin: int, end: int) -> set[str]:
        return {str(number) for number in range(begin, end)}

    tally = Tally(new=100, kept=70, credible=57, filtered=Counter(b=32, a=10))
    told = [sighting(event(number)) for number in ids(0, 40)]
    told += [sighting(one.event, "192.0.2.2") for one in told[:5]]
    relapsed = [again(sighting(event(number))) for number in ids(200, 203)]

    [report] = built(told, relapsed, tally=tally)

    assert report.counters == Counters(
        new=100, flt=70, flt_blk=30, det=57, det_blk=13, thr=40, thr_blk=17, rlp=3, all=103, rep=43
    )
    assert report.filtering == {"a": 10, "b": 32}


def test_counters_are_named_as_stored() -> None:
    counters = count(Tally(new=2, kept=1, credible=1), Told(CHAIN, False, [], []))

    assert dict(counters.items()) == {
        "rep": 0, "all": 2, "new": 2, "flt": 1, "flt_blk": 1, "det": 1, "det_blk": 0,
        "thr": 0, "thr_blk": 1, "rlp": 0,
    }  # fmt: skip


# Labels

FORM = re.compile("M[0-9]{8}[SET][ILMHC]-[A-Z2-7]{8}")
identities = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=3)


@pytest.mark.parametrize(
    ("kind", "severity", "head"),
    [
        ("summary", "low", "M20260302SL-"),
        ("extra", "critical", "M20260302EC-"),
        ("target", "info", "M20260302TI-"),
    ],
)
def test_a_label_tells_date_type_and_severity(kind: Any, severity: Any, head: str) -> None:
    assert make_label(desk(), kind, window(severity=severity), "identity").startswith(head)


@given(identities, st.text())
def test_a_label_has_its_form_and_is_the_same_for_the_same_report(identity: list[str], nonce: str) -> None:
    label = make_label(desk(nonce=nonce), "summary", window(), *identity)

    assert FORM.fullmatch(label)
    assert make_label(desk(nonce=nonce), "summary", window(), *identity) == label


@given(identities, identities, st.sampled_from(["", "other"]), st.sampled_from(["", "other"]))
def test_another_report_or_another_run_has_another_label(
    one: list[str], other: list[str], nonce: str, other_nonce: str
) -> None:
    labels = {
        make_label(desk(nonce=first), "summary", window(), *rest)
        for first, rest in ((nonce, one), (other_nonce, other))
    }

    assert (len(labels) == 1) == ((nonce, one) == (other_nonce, other))


def test_a_label_that_is_taken_is_not_used_again() -> None:
    labels: list[str] = []
    for _ in range(5):
        labels.append(make_label(desk(taken_labels=frozenset(labels)), "summary", window(), "identity"))

    assert len(set(labels)) == 5
    assert all(FORM.fullmatch(label) for label in labels)


def test_labels_differ_by_window_clock_chain_and_shadow() -> None:
    plain, hidden = [sighting(event())], [sighting(event(shadow=True))]
    reports = [
        *built(plain),
        *built(hidden),
        *built([sighting(event(), chain=(A, B))]),
        *built([sighting(event(), chain=(B, A))]),
        *built(plain, of=window(timedelta(hours=2))),
        *built(plain, of=window(clock=A)),
        *built(plain, at=desk(nonce="rehearsal")),
    ]

    assert len({report.label for report in reports}) == 7
    assert built(plain)[0].label == reports[0].label


# Looks

DEFAULT = Look("default", "en", "UTC")
OWN = {"template": "own", "locale": "cs", "timezone": "Europe/Prague"}
FORCED = {"template": "forced", "locale": "de", "timezone": "Asia/Tokyo"}


@pytest.mark.parametrize("name", ["template", "locale", "timezone"])
def test_what_is_forced_stands_before_the_group_and_the_group_before_the_default(name: str) -> None:
    own_look: dict[str, Any] = {name: OWN[name]}
    forced: dict[str, Any] = {name: FORCED[name]}
    own = Group(name=A, **own_look)

    def looks(group: Group, **changes: Any) -> Look:
        [report] = built([sighting(event())], at=desk(group, **changes))
        return Look(report.template, report.locale, report.timezone)

    assert looks(Group(name=A)) == DEFAULT
    assert looks(own) == DEFAULT._replace(**own_look)
    assert looks(own, force_look=forced) == DEFAULT._replace(**forced)
    assert looks(Group(name=A), force_look=forced) == DEFAULT._replace(**forced)


def test_the_look_is_that_of_the_first_group_that_wants_the_report() -> None:
    here = desk(
        Group(name=A, mode="none", locale="de"),
        Group(name=B, mute=True, locale="fr"),
        Group(name=C, locale="cs"),
    )

    assert built([sighting(event(), chain=(A, B, C))], at=here)[0].locale == "cs"


# Labels by problem, recipients as stored


def test_a_problem_is_told_of_by_the_extra_if_there_is_one_else_by_the_chains_report() -> None:
    new = [sighting(event("one")), sighting(event("two"), "192.0.2.2", (A, B))]
    reports = built(
        new,
        [again(sighting(event("old", event_class="spam")))],
        at=desk(Group(name=A, mode="summary"), Group(name=B, mode="extra")),
    )

    labels = labels_by_problem(reports)

    of_a, of_both, extra = reports
    assert (of_a.chain, of_both.chain, extra.type) == ((A,), (A, B), "extra")
    assert labels == {
        Problem(shadow=False, event_class="scan", address="192.0.2.1"): of_a.label,
        Problem(shadow=False, event_class="spam", address="192.0.2.1"): of_a.label,
        Problem(shadow=False, event_class="scan", address="192.0.2.2"): extra.label,
    }


def test_recipients_are_stored_with_their_kind_whoever_gets_the_mail_instead() -> None:
    assert mailed_to(None) == []
    assert mailed_to(MailPlan(("a@x",), ("b@x",), ("c@x",), ("d@x",))) == ["to:a@x", "cc:b@x"]


# Fallbacks


def test_the_fallbacks_of_a_chain_are_united_in_the_order_of_the_addresses() -> None:
    seen = [
        sighting(event("one"), "192.0.2.10", fallbacks=(C, B)),
        sighting(event("two"), "192.0.2.9", fallbacks=(B,)),
    ]

    for order in (seen, seen[::-1]):
        [report] = built(order)
        assert report.fallbacks == (B, C)


@pytest.mark.parametrize("address", [f"192.0.2.{number}" for number in range(8)])
def test_a_fallback_that_rules_remove_from_one_event_keeps_its_place_among_the_others(address: str) -> None:
    seen = [
        sighting(event("one"), address, fallbacks=(A,)),
        sighting(event("two"), address, fallbacks=(C, A, B)),
        sighting(event("three"), address, fallbacks=(B,)),
    ]

    for order in (seen, seen[::-1]):
        [report] = built(order)
        assert report.fallbacks == (C, A, B)


def test_an_extra_has_the_fallbacks_of_its_address_alone() -> None:
    seen = [sighting(event("one"), fallbacks=(B,)), sighting(event("two"), "192.0.2.2", fallbacks=(C,))]

    assert [report.fallbacks for report in built(seen, at=desk(Group(name=A, mode="extra")))] == [
        (B, C),
        (B,),
        (C,),
    ]


# Properties


@st.composite
def units(draw: st.DrawFn) -> Intake:
    """Draw what some events come to for one owner."""
    ownership = Ownership(draw(st.lists(networks(), min_size=1, max_size=6)))
    book = RuleBook([rule("some", matches=draw(st.sampled_from(["192.0.2.1", "org.a", "nothing"])))])
    events = [
        event(str(number), shadow=draw(st.booleans()), **message)
        for number, message in enumerate(draw(st.lists(messages, max_size=6)))
    ]
    seen = [one for each in events for one in own(each, "source", ownership) if one.chain]
    of_one_owner = [one for one in seen if one.owner == seen[0].owner]
    intake = Intake()
    for _, of_event in groupby(of_one_owner, key=lambda one: one.event.id):
        take_in(intake, list(of_event), book, {"org.b": 0.3})
    return intake


def desk_of(modes: dict[str, Mode]) -> Desk:
    return desk(*(Group(name=name, mode=mode, emails={"low": (name,)}) for name, mode in modes.items()))


modes: st.SearchStrategy[Mode] = st.sampled_from(MODES)
desks = st.dictionaries(group_names, modes).map(desk_of)


def told_of(
    intake: Intake, here: Desk, new: Sequence[Sighting], recurring: Sequence[Recurring]
) -> list[Report]:
    return [
        report
        for told in gather(new, recurring)
        for report in reports_of(
            here, "source", window(), told, intake.tallies[told.chain, told.shadow], None
        )
    ]


def all_of(intake: Intake, here: Desk) -> list[Report]:
    """Return the reports of all sightings; every third has relapsed, too."""
    return told_of(intake, here, intake.sightings, [again(one) for one in intake.sightings[::3]])


@given(units(), desks, st.randoms(use_true_random=False))
def test_the_order_of_sightings_does_not_matter(intake: Intake, here: Desk, random: Any) -> None:
    new, recurring = list(intake.sightings), [again(one) for one in intake.sightings[::3]]
    random.shuffle(new)
    random.shuffle(recurring)

    assert told_of(intake, here, new, recurring) == all_of(intake, here)


@given(units(), desks)
def test_every_sighting_is_told_in_exactly_one_chains_report(intake: Intake, here: Desk) -> None:
    reports = all_of(intake, here)

    for seen in intake.sightings:
        shadow = seen.event.source.shadow
        [telling] = [
            report
            for report in reports
            if report.type == "summary" and (report.chain, report.shadow) == (seen.chain, shadow)
        ]
        assert seen.event.id in telling.statistics["list_ids"]
        assert seen.address in {line.address for line in telling.regular}
    told = {(event_id, report.chain) for report in reports for event_id in report.statistics["list_ids"]}
    assert told == {(seen.event.id, seen.chain) for seen in intake.sightings}


@given(units(), desks)
def test_counters_add_up_and_labels_are_distinct(intake: Intake, here: Desk) -> None:
    reports = all_of(intake, here)

    by_label = {report.label: report for report in reports}
    assert len(by_label) == len(reports)
    for report in reports:
        counts = report.counters
        if report.parent is not None:
            assert (counts.all, counts.new) == (by_label[report.parent].counters.rep, None)
            continue
        number = {name: value or 0 for name, value in counts.items()}
        assert all(value >= 0 for value in number.values())
        assert number["new"] == number["flt"] + number["flt_blk"]
        assert number["flt"] == number["det"] + number["det_blk"]
        assert number["det"] == number["thr"] + number["thr_blk"]
        assert number["all"] == number["new"] + number["rlp"]
        assert number["rep"] == number["thr"] + number["rlp"]


@given(units(), desks)
def test_extras_together_tell_what_their_summary_tells(intake: Intake, here: Desk) -> None:
    reports = all_of(intake, here)

    for summary in (report for report in reports if report.type == "summary"):
        extras = [report for report in reports if report.parent == summary.label]
        if extras:
            assert {extra.address for extra in extras} == {line.address for line in summary.regular}
            assert by_line(line for extra in extras for line in extra.regular) == by_line(summary.regular)
            assert by_line(line for extra in extras for line in extra.relapsed) == by_line(summary.relapsed)


def by_line(lines: Iterable[Entry]) -> dict[tuple[str, str], Entry]:
    return {(line.event_class, line.address): line for line in lines}


def test_mail_rules_of_the_desk_hold_for_all_reports() -> None:
    here = desk(
        Group(name=A, emails={"low": (A,)}),
        rules=MailRules(default_mode="both", test_mode=True, to=("me@x",)),
    )

    assert {report.mail for report in built([sighting(event())], at=here)} == {
        MailPlan((A,), (), (), ("me@x",))
    }


# Where events are told


def test_a_report_knows_where_each_of_its_events_is_told_the_first_to_the_last() -> None:
    early, late = event("z"), event("a", EventTime=(START + timedelta(hours=1)).isoformat())
    seen = [sighting(late), sighting(early, "192.0.2.2"), sighting(early)]

    summary, *extras = built(seen, at=desk(Group(name=A, mode="both", emails={"low": (A,)})))

    def shown(report: Report) -> list[tuple[str, list[str]]]:
        return [(name, [place.address for place in found]) for name, found in report.places.items()]

    assert shown(summary) == [("z", ["192.0.2.1", "192.0.2.2"]), ("a", ["192.0.2.1"])]
    assert [shown(extra) for extra in extras] == [
        [("z", ["192.0.2.1"]), ("a", ["192.0.2.1"])],
        [("z", ["192.0.2.2"])],
    ]


def test_an_event_is_told_once_at_an_address_as_what_is_new_first() -> None:
    seen = sighting(event("one"))
    other = Problem(False, "another", seen.address)

    [report] = built([seen], [(seen, other, OLD)])

    assert [place.event_class for place in report.places["one"]] == [seen.event.source.event_class]
    assert report.places.keys() == set(report.statistics["list_ids"])
