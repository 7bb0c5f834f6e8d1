"""docs/semantics.md, Recipients: who wants a report and who gets it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mentat_reporter.core.model import MODES, SEVERITIES, Group, MailPlan, Mode, ReportType, Severity
from mentat_reporter.core.recipients import MailRules, plan_mail, settings_group, wanting

TYPES: tuple[ReportType, ...] = ("summary", "extra", "target")
ADMIN = ("admin@cert.example",)


def group(name: str, *low: str, **changes: Any) -> Group:
    """Return a group with addresses for severity low, in mode both."""
    facts: dict[str, Any] = {"name": name, "mode": "both", "emails": {"low": low} if low else {}}
    return Group(**(facts | changes))


def planned(
    *chain: Group,
    fallbacks: tuple[Group, ...] = (),
    severity: Severity = "low",
    report_type: ReportType = "summary",
    **rules: Any,
) -> MailPlan | None:
    known = {one.name: one for one in (*chain, *fallbacks)}
    names, fallback_names = ([one.name for one in part] for part in (chain, fallbacks))
    return plan_mail(
        report_type, severity, tuple(names), tuple(fallback_names), known.__getitem__, MailRules(**rules)
    )


def to_and_cc(plan: MailPlan | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    assert plan is not None
    return plan.to, plan.cc


# Who wants it


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("summary", ["summary", "target"]),
        ("extra", ["extra", "target"]),
        ("both", ["summary", "extra", "target"]),
        ("none", []),
    ],
)
def test_the_mode_says_which_reports_a_group_wants(mode: Mode, wanted: list[str]) -> None:
    one = group("a", mode=mode)

    assert [name for name in TYPES if wanting([one], name, MailRules())] == wanted


def test_a_group_without_a_mode_has_the_default_one_and_a_forced_mode_stands_before_both() -> None:
    unsaid, said = group("a", mode=None), group("b", mode="none")

    assert wanting([unsaid], "summary", MailRules()) == [unsaid]
    assert wanting([unsaid], "summary", MailRules(default_mode="extra")) == []
    assert wanting([unsaid, said], "extra", MailRules(force_mode="extra")) == [unsaid, said]


def test_nobody_wants_it_so_nobody_gets_it_not_even_a_fallback() -> None:
    silent = group("a", "a@a.example", mode="extra")

    assert planned(silent, fallbacks=(group("b", "b@b.example"),), fallback=("cert@x.example",)) is None


# To and Cc


def test_the_first_list_is_to_and_every_further_address_once_cc() -> None:
    plan = planned(
        group("a", "one@a.example", "two@a.example"),
        group("b", "three@b.example", "one@a.example"),
        group("c", "three@b.example", "four@c.example"),
    )

    assert to_and_cc(plan) == (("one@a.example", "two@a.example"), ("three@b.example", "four@c.example"))


def test_groups_that_do_not_want_it_are_left_out() -> None:
    plan = planned(group("a", "a@a.example", mode="extra"), group("b", "b@b.example"))

    assert to_and_cc(plan) == (("b@b.example",), ())


def test_within_a_group_it_goes_from_the_reports_severity_downward() -> None:
    one = group("a", emails={level: (f"{level}@a.example",) for level in SEVERITIES})

    assert to_and_cc(planned(one, severity="high")) == (
        ("high@a.example",), ("medium@a.example", "low@a.example", "info@a.example"),
    )  # fmt: skip
    assert to_and_cc(planned(one, severity="info")) == (("info@a.example",), ())


def test_the_first_list_that_is_not_empty_is_to() -> None:
    first = group("a", emails={"high": (), "info": ("info@a.example",)})
    second = group("b", emails={"high": ("high@b.example",)})

    assert to_and_cc(planned(first, second, severity="high")) == (("info@a.example",), ("high@b.example",))


def test_an_address_stands_once_even_if_its_list_names_it_twice() -> None:
    plan = planned(
        group("a", "a@a.example", "a@a.example"), group("b", "a@a.example", "b@b.example", "b@b.example")
    )

    assert to_and_cc(plan) == (("a@a.example",), ("b@b.example",))


# Fallbacks

SILENT = group("a")


def test_where_those_who_want_it_have_no_address_the_fallback_groups_get_it_whatever_their_mode() -> None:
    plan = planned(SILENT, fallbacks=(group("b", "b@b.example", mode="none"), group("c", "c@c.example")))

    assert plan == MailPlan(("b@b.example",), ("c@c.example",), fallback="groups")


def test_a_muted_fallback_group_is_left_out_as_with_none_which_does_not_matter_there() -> None:
    plan = planned(SILENT, fallbacks=(group("b", "b@b.example", mute=True),))

    assert plan == MailPlan(("b@b.example",), (), fallback="groups")


def test_where_they_have_none_either_the_global_fallback_gets_it() -> None:
    plan = planned(SILENT, fallbacks=(group("b"),), fallback=("one@x.example", "two@x.example"))

    assert plan == MailPlan(("one@x.example", "two@x.example"), (), fallback="global")


def test_addresses_of_a_higher_severity_are_not_used_for_a_lower_one() -> None:
    plan = planned(
        group("a", emails={"high": ("a@a.example",)}), severity="low", fallback=("cert@x.example",)
    )

    assert plan == MailPlan(("cert@x.example",), (), fallback="global")


def test_with_nobody_at_all_the_plan_is_empty_which_is_not_the_same_as_none() -> None:
    assert planned(SILENT) == MailPlan((), (), fallback="global")


# Mute, redirect, test mode, overrides


def test_a_muted_group_gets_nothing_and_the_others_do() -> None:
    muted, other = group("a", "a@a.example", mute=True), group("b", "b@b.example")

    assert planned(muted) is None
    assert to_and_cc(planned(muted, other)) == (("b@b.example",), ())


def test_a_muted_group_still_wants_its_reports_stored() -> None:
    muted = group("a", mute=True)

    assert wanting([muted], "extra", MailRules()) == [muted]


def test_a_group_that_redirects_sends_to_the_admin_and_keeps_whom_it_was_for() -> None:
    plan = planned(group("a", "a@a.example", redirect=True), group("b", "b@b.example"), admin=ADMIN)

    assert plan == MailPlan(("a@a.example",), ("b@b.example",), redirected_to=ADMIN)


def test_only_the_group_whose_settings_are_used_can_redirect() -> None:
    plain, redirecting = group("a", "a@a.example"), group("b", "b@b.example", redirect=True)
    muted = group("c", "c@c.example", mute=True)

    assert planned(plain, redirecting, admin=ADMIN) == MailPlan(("a@a.example",), ("b@b.example",))
    assert planned(muted, redirecting, plain, admin=ADMIN) == MailPlan(
        ("b@b.example",), ("a@a.example",), redirected_to=ADMIN
    )


def test_a_redirected_report_is_not_overridden() -> None:
    plan = planned(
        group("a", "a@a.example", redirect=True), admin=ADMIN, to=("me@x.example",), bcc=("log@x.example",)
    )

    assert plan == MailPlan(("a@a.example",), (), redirected_to=ADMIN)


def test_in_test_mode_everything_goes_to_mail_to_or_else_to_the_admin() -> None:
    one = group("a", "a@a.example")

    assert planned(one, test_mode=True, admin=ADMIN) == MailPlan(("a@a.example",), (), redirected_to=ADMIN)
    assert planned(one, test_mode=True, admin=ADMIN, to=("me@x.example",), cc=("cc@x.example",)) == MailPlan(
        ("a@a.example",), (), redirected_to=("me@x.example",)
    )


def test_test_mode_does_not_wake_those_who_want_nothing() -> None:
    assert planned(group("a", "a@a.example", mute=True), test_mode=True, admin=ADMIN) is None


def test_the_command_line_overrides_to_cc_and_bcc() -> None:
    chain = group("a", "a@a.example"), group("b", "b@b.example")

    assert planned(*chain, to=("me@x.example",)) == MailPlan(("me@x.example",), ())
    assert planned(*chain, cc=("cc@x.example",)) == MailPlan(("a@a.example",), ("cc@x.example",))
    assert planned(*chain, bcc=("log@x.example",)) == MailPlan(
        ("a@a.example",), ("b@b.example",), ("log@x.example",)
    )


# Settings


def test_settings_come_from_the_first_group_that_wants_the_report_and_is_not_muted() -> None:
    groups = {
        "a": group("a", mode="none"),
        "b": group("b", mute=True),
        "c": group("c"),
        "d": group("d"),
    }

    assert settings_group("summary", ("a", "b", "c", "d"), groups, MailRules()) == groups["c"]
    assert settings_group("summary", ("a", "b"), groups, MailRules()) == groups["b"]
    assert settings_group("summary", ("a",), groups, MailRules()) == groups["a"]
    assert settings_group("summary", ("elsewhere",), groups, MailRules()) is None


emails = st.sampled_from([f"{name}@x.example" for name in "abcd"])
groups_of_any_kind = st.builds(
    Group,
    name=st.uuids().map(str),
    mode=st.sampled_from([None, *MODES]),
    mute=st.booleans(),
    redirect=st.booleans(),
    emails=st.dictionaries(st.sampled_from(SEVERITIES), st.lists(emails, max_size=3).map(tuple)),
)


@given(
    st.lists(groups_of_any_kind, min_size=1, max_size=4),
    st.lists(groups_of_any_kind, max_size=2),
    st.sampled_from(SEVERITIES),
    st.sampled_from(TYPES),
)
def test_nobody_is_written_to_twice_and_nobody_unasked(
    chain: list[Group], fallbacks: list[Group], severity: Severity, report_type: ReportType
) -> None:
    plan = planned(
        *chain,
        fallbacks=tuple(fallbacks),
        severity=severity,
        report_type=report_type,
        fallback=("cert@x.example",),
        admin=("admin@x.example",),
    )

    listening = [one for one in wanting(chain, report_type, MailRules()) if not one.mute]
    assert (plan is None) == (not listening)
    if plan is not None:
        asked = fallbacks if plan.fallback else listening
        known = {address for one in asked for list_ in one.emails.values() for address in list_}
        assert plan.to
        assert len({*plan.to, *plan.cc}) == len(plan.to) + len(plan.cc)
        assert plan.fallback == "global" or {*plan.to, *plan.cc} <= known


def test_a_redirected_report_without_an_admin_goes_to_nobody() -> None:
    group = Group(name="a", emails={"low": ("abuse@a.example",)}, redirect=True)

    plan = planned(group, fallback=("cert@x.example",))

    assert plan == MailPlan((), ())
