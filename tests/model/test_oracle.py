"""Each rule of docs/semantics.md as one small example, the expectation worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from model.oracle import ExpectedReport, Model, StoredEvent, Window, duration, span

NOW = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
A, B, C = "a@example.org", "b@example.org", "c@example.org"


def group(name: str, *networks: str | dict[str, Any], **settings: Any) -> dict[str, Any]:
    rows = [{"network": row} if isinstance(row, str) else row for row in networks]
    filters = settings.pop("filters", [])
    enabled = settings.pop("enabled", True)
    return {"name": name, "enabled": enabled, "networks": rows, "filters": filters, "settings": settings}


def base(network: str) -> dict[str, Any]:
    return {"network": network, "is_base": True}


def event(
    name: str,
    at: datetime,
    *addresses: str,
    side: str = "Source",
    severity: str = "low",
    **changes: Any,
) -> StoredEvent:
    source = side == "Source"
    mentat = {
        "StorageTime": at.isoformat(),
        "EventClass": "scan" if source else None,
        "EventSubclass": [],
        "EventSeverity": severity if source else None,
        "ResolvedAbuses": [A] if source else [],
        "TargetClass": None if source else "scan",
        "TargetSubclass": [],
        "TargetSeverity": None if source else severity,
        "TargetAbuses": [] if source else [A],
        "ShadowReporting": False,
        "ShadowReportingTarget": False,
    }
    mentat |= changes.pop("mentat", {})
    message = {
        "ID": name,
        "DetectTime": at.isoformat(),
        "Category": ["Recon.Scanning"],
        side: [section(address) for address in addresses],
        "Node": [{"Name": "org.example.sensor"}],
        "_Mentat": mentat,
    }
    return StoredEvent(name, at, message | changes)


def section(address: str) -> dict[str, Any]:
    return {"IP6" if ":" in address else "IP4": [address]}


def model(*groups: dict[str, Any], fallback: tuple[str, ...] = (), **rest: Any) -> Model:
    return Model({"groups": list(groups), **rest}, fallback=fallback)


def chains(reports: list[ExpectedReport]) -> list[tuple[str, ...]]:
    return [report.chain for report in reports]


def seen(reports: list[ExpectedReport]) -> list[list[str]]:
    return [sorted(report.event_ids) for report in reports]


def one(reports: list[ExpectedReport]) -> ExpectedReport:
    assert len(reports) == 1
    return reports[0]


# 1. Windows


def bounds(windows: list[Window], clock: str, severity: str) -> list[tuple[datetime, datetime]]:
    return [(w.lo, w.hi) for w in windows if (w.clock, w.severity) == (clock, severity)]


def test_the_first_window_is_one_period_long_and_half_open() -> None:
    times = {"before": -DAY - HOUR, "lo": -DAY, "inside": -HOUR, "hi": timedelta()}
    events = [event(name, NOW + offset, "192.0.2.1") for name, offset in times.items()]

    report = one(model(group(A, "192.0.2.0/24")).run(events, NOW))

    assert report.event_ids == {"lo", "inside"}
    assert (report.lo, report.hi) == (NOW - DAY, NOW)


def test_hi_is_rounded_down_to_ten_minutes() -> None:
    subject = model()

    subject.run([], NOW + timedelta(minutes=19, seconds=59))

    assert set(subject.watermarks.values()) == {NOW + timedelta(minutes=10)}


def test_a_severity_is_not_due_before_its_period_has_elapsed() -> None:
    subject = model()
    subject.run([], NOW)

    due = {window.severity for window in subject.windows(NOW + 2 * HOUR - timedelta(minutes=10))}
    later = {window.severity for window in subject.windows(NOW + 2 * HOUR)}

    assert due == {"high", "critical"}
    assert later == {"medium", "high", "critical"}


def test_a_gap_over_a_day_is_cut_into_days_the_remainder_last() -> None:
    subject = model()
    subject.run([], NOW)

    windows = subject.windows(NOW + 2 * DAY + HOUR)

    expected = [
        (NOW, NOW + DAY),
        (NOW + DAY, NOW + 2 * DAY),
        (NOW + 2 * DAY, NOW + 2 * DAY + HOUR),
    ]
    assert bounds(windows, "", "low") == expected
    assert [w.catching_up for w in windows if w.severity == "low"] == [False, False, False]
    assert [w.catching_up for w in windows if w.severity == "medium"] == [True, True, False]
    assert [w.catching_up for w in windows if w.severity == "high"] == [True, True, True]


def test_an_own_period_makes_an_own_clock_with_longer_steps() -> None:
    slow = group(A, "192.0.2.0/25", timing={"low": {"period": "3days"}})
    subject = model(slow, group(B, "192.0.2.128/25"))
    events = [event("a", NOW + HOUR, "192.0.2.1"), event("b", NOW + HOUR, "192.0.2.129")]
    subject.run([], NOW)

    after_a_day = subject.run(events, NOW + DAY)
    windows = subject.windows(NOW + 7 * DAY)
    after_three = subject.run(events, NOW + 3 * DAY)

    assert (chains(after_a_day), chains(after_three)) == ([(B,)], [(A,)])
    assert bounds(windows, A, "low") == [
        (NOW, NOW + 3 * DAY),
        (NOW + 3 * DAY, NOW + 6 * DAY),
        (NOW + 6 * DAY, NOW + 7 * DAY),
    ]


def test_own_threshold_times_alone_make_no_clock() -> None:
    subject = model(group(A, "192.0.2.0/24", timing={"low": {"threshold": "2days"}}))

    assert {window.clock for window in subject.windows(NOW)} == {""}


# 2. Selection


@pytest.mark.parametrize(
    "left_out",
    [
        event("x", NOW - HOUR, "192.0.2.1", mentat={"ResolvedAbuses": []}),
        event("x", NOW - HOUR, "192.0.2.1", Category=["Recon.Scanning", "Test"]),
        event("x", NOW - HOUR, "203.0.113.1"),
    ],
    ids=["no group named", "test", "unowned"],
)
def test_what_is_not_selected(left_out: StoredEvent) -> None:
    assert model(group(A, "192.0.2.0/24")).run([left_out], NOW) == []


def test_shadow_events_are_stored_apart_and_never_mailed() -> None:
    subject = model(group(A, "192.0.2.0/24", emails={"low": ["n@example.org"]}))
    events = [
        event("plain", NOW - HOUR, "192.0.2.1"),
        event("shadow", NOW - HOUR, "192.0.2.1", mentat={"ShadowReporting": True}),
    ]

    plain, shadow = subject.run(events, NOW)

    assert (plain.shadow, plain.mail_to, plain.event_ids) == (False, ["to:n@example.org"], {"plain"})
    assert (shadow.shadow, shadow.mail_to, shadow.event_ids) == (True, [], {"shadow"})


# 3. Ownership


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.9", {"192.0.2.9": (B, A)}),
        ("192.0.2.0/28", {"192.0.2.0/28": (B, A)}),
        ("192.0.2.5/28", {"192.0.2.0/28": (B, A)}),
        ("192.0.2.15-192.0.2.0", {"192.0.2.0-192.0.2.15": (B, A)}),
        ("192.0.2.0/24", {"192.0.2.0/28": (B, A), "192.0.2.16-192.0.2.255": (A,)}),
        ("192.0.2.15-192.0.2.16", {"192.0.2.15": (B, A), "192.0.2.16": (A,)}),
        ("192.0.1.0-192.0.2.7", {"192.0.2.0/29": (B, A)}),
        ("192.0.2.192-192.0.3.255", {"192.0.2.192/26": (A,)}),
        ("2001:DB8:0::0001", {"2001:db8::1": (C,)}),
        ("2001:db8::ffff-2001:db8::1", {"2001:db8::1-2001:db8::ffff": (C,)}),
        ("203.0.113.1", {}),
    ],
)
def test_each_owner_gets_its_part(address: str, expected: dict[str, tuple[str, ...]]) -> None:
    subject = model(group(A, "192.0.2.0/24"), group(B, "192.0.2.0/28"), group(C, "2001:db8::/32"))

    assert {str(part.span): part.chain for part in subject.owned(span(address))} == expected


def test_neighbouring_parts_of_one_chain_are_joined_and_keep_the_form() -> None:
    subject = model(group(A, "192.0.2.0/25", "192.0.2.128-192.0.2.255"))

    parts = [str(p.span) for p in subject.owned(span("192.0.2.0-192.0.2.255"))]

    assert parts == ["192.0.2.0-192.0.2.255"]


def test_joined_parts_of_a_split_range_are_written_as_one_block() -> None:
    subject = model(group(A, "192.0.2.0/25", "192.0.2.128/25"))

    assert [str(p.span) for p in subject.owned(span("192.0.2.0-192.0.3.9"))] == ["192.0.2.0/24"]


@pytest.mark.parametrize(
    ("groups", "chain", "fallback"),
    [
        ((group(A, "192.0.2.0/24"), group(B, "192.0.2.0/28")), (B, A), ()),
        ((group(B, "192.0.2.0/24"), group(A, "192.0.2.0/24")), (A, B), ()),
        ((group(A, "192.0.2.0-192.0.2.15"), group(B, "192.0.2.1-192.0.2.16")), (B, A), ()),
        ((group(A, {"network": "192.0.2.0/24", "rank": 1}), group(B, "192.0.2.0/28")), (A, B), ()),
        (
            (
                group(A, {"network": "192.0.2.0/28", "rank": 1}),
                group(B, {"network": "192.0.2.0/24", "rank": 5}),
            ),
            (B, A),
            (),
        ),
        ((group(A, {"network": "192.0.2.0/24", "rank": 0}), group(B, "192.0.2.0/28")), (B, A), ()),
        ((group(A, base("192.0.2.0/28")), group(B, "192.0.2.0/24")), (B,), (A,)),
        ((group(A, base("192.0.2.0/28")), group(B, base("192.0.2.0/24"))), (A, B), ()),
        ((group(A, base("192.0.2.0/28"), "192.0.2.0/24"), group(B, "192.0.2.0/25")), (B, A), ()),
        ((group(A, "192.0.2.0/24"), group(B, "192.0.2.0/28", enabled=False)), (A,), ()),
        ((group(A, "192.0.2.8", "192.0.2.0/24"), group(B, "192.0.2.0/28")), (A, B), ()),
    ],
    ids=[
        "most specific first",
        "same network: by name",
        "same size: higher first address",
        "rank leads",
        "highest rank leads",
        "rank 0 is none",
        "base is fallback",
        "base alone is the chain",
        "base and another: no fallback",
        "disabled",
        "each once",
    ],
)
def test_the_chain(groups: tuple[Any, ...], chain: tuple[str, ...], fallback: tuple[str, ...]) -> None:
    part = model(*groups).owned(span("192.0.2.8"))[0]

    assert (part.chain, part.fallback) == (chain, fallback)


def test_each_chain_has_its_own_report_and_an_address_counts_once() -> None:
    subject = model(group(A, "192.0.2.0/24"), group(B, "192.0.2.0/28"))
    events = [event("x", NOW - HOUR, "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.99")]

    reports = {report.chain: report for report in subject.run(events, NOW)}

    assert set(reports) == {(A,), (B, A)}
    assert reports[B, A].regular == {"scan": {"192.0.2.1": 1, "192.0.2.2": 1}}
    assert (reports[B, A].counters["evcount_new"], reports[B, A].counters["evcount_rep"]) == (1, 1)


# 4. Filters


def rule(text: str, **changes: Any) -> dict[str, Any]:
    return {"name": "rule", "filter": text} | changes


def test_an_event_can_lose_one_address_and_keep_two() -> None:
    subject = model(group(A, "192.0.2.0/24", filters=[rule("192.0.2.2 in Source.IP4")]))

    report = one(subject.run([event("x", NOW - HOUR, "192.0.2.1", "192.0.2.2", "192.0.2.3")], NOW))

    assert report.regular == {"scan": {"192.0.2.1": 1, "192.0.2.3": 1}}
    assert (report.counters["evcount_flt"], report.counters["evcount_flt_blk"]) == (1, 0)


@pytest.mark.parametrize(
    ("text", "changes", "dropped"),
    [
        ("'Recon.Scanning' in Category", {}, True),
        ("'Recon.Scanning' in Category", {"enabled": False}, False),
        ("'Recon.Scanning' in Category", {"source_based": False}, False),
        ("'Recon.Scanning' in Category", {"valid_from": "2026-03-01T00:00:00Z"}, True),
        ("'Recon.Scanning' in Category", {"valid_from": "2026-03-03T00:00:00Z"}, False),
        ("'Recon.Scanning' in Category", {"valid_to": "2026-03-01T00:00:00"}, False),
        ("_Mentat.EventClass == 'scan'", {}, True),
        ("DetectTime > 2026-03-01T12:00:00Z", {}, True),
        ("192.0.2.0/28 in Source.IP4", {}, False),
        ("Source.IP4 in 192.0.2.0/28", {}, True),
        ("Source.IP6??", {}, False),
        ("Source.IP4 in", {}, False),
        ("Category > 5", {}, False),
        ("Source.Port = 22", {}, False),
    ],
)
def test_a_rule_drops_what_it_matches(text: str, changes: dict[str, Any], dropped: bool) -> None:
    subject = model(group(A, "192.0.2.0/24", filters=[rule(text, **changes)]))

    reports = subject.run([event("x", NOW - HOUR, "192.0.2.1", "2001:db8::1")], NOW)

    assert (reports == []) is dropped


@pytest.mark.parametrize("where", ["global", "first", "second"])
def test_global_rules_and_those_of_every_group_of_the_chain_apply(where: str) -> None:
    rules = [rule("192.0.2.1 in Source.IP4")]
    subject = model(
        group(A, "192.0.2.0/24", filters=rules if where == "second" else []),
        group(B, "192.0.2.0/28", filters=rules if where == "first" else []),
        filters=rules if where == "global" else [],
    )

    assert subject.run([event("x", NOW - HOUR, "192.0.2.1")], NOW) == []


def test_a_rule_of_a_fallback_group_removes_only_that_fallback() -> None:
    subject = model(
        group(A, "192.0.2.0/24"),
        group(B, base("192.0.2.0/24"), emails={"low": ["b@b.example"]}, filters=[rule("Source.IP4??")]),
        group(C, base("192.0.0.0/16"), emails={"low": ["c@c.example"]}),
    )

    report = one(subject.run([event("x", NOW - HOUR, "192.0.2.1")], NOW))

    assert report.mail_to == ["to:c@c.example"]


def test_a_rule_sees_only_the_section_of_the_address() -> None:
    subject = model(group(A, "192.0.2.0/24", filters=[rule("22 in Source.Port")]))
    source = [{"IP4": ["192.0.2.1"], "Port": [22]}, {"IP4": ["192.0.2.2"], "Port": [80]}]

    report = one(subject.run([event("x", NOW - HOUR, Source=source)], NOW))

    assert report.regular == {"scan": {"192.0.2.2": 1}}


def test_a_rule_sees_the_part_of_a_split_range() -> None:
    subject = model(
        group(A, "192.0.2.0/25", filters=[rule("Source.IP4 in 192.0.2.0/25")]),
        group(B, "192.0.2.128/25", filters=[rule("Source.IP4 in 192.0.2.0/25")]),
    )

    report = one(subject.run([event("x", NOW - HOUR, "192.0.2.0/24")], NOW))

    assert (report.chain, report.regular) == ((B,), {"scan": {"192.0.2.128/25": 1}})


# 5. Credibility


@pytest.mark.parametrize(
    ("names", "reported"),
    [
        (["half"], True),
        (["poor"], False),
        (["fair", "fair"], True),
        (["fair", "half"], False),
        (["new"], True),
    ],
)
def test_the_product_of_the_credibilities_decides(names: list[str], reported: bool) -> None:
    detectors = [
        {"name": "half", "credibility": 0.5},
        {"name": "poor", "credibility": 0.4},
        {"name": "fair", "credibility": 0.7},
    ]
    subject = model(group(A, "192.0.2.0/24"), detectors=detectors)
    doubtful = event("x", NOW - HOUR, "192.0.2.1", Node=[{"Name": name} for name in names])
    sure = event("y", NOW - HOUR, "192.0.2.1")

    report = one(subject.run([doubtful, sure], NOW))

    assert ("x" in report.event_ids) is reported
    assert report.counters["evcount_flt"] == 2
    assert report.counters["evcount_det_blk"] == int(not reported)


# 6. Threshold and relapse


def daily(
    subject: Model, events: list[StoredEvent], last: int, first: int = 0
) -> dict[int, list[ExpectedReport]]:
    runs = {day: subject.run(events, NOW + day * DAY) for day in range(first, last + 1)}
    return {day: reports for day, reports in runs.items() if reports}


def on_days(*days: int) -> list[StoredEvent]:
    return [event(f"e{day}", NOW + day * DAY - HOUR, "192.0.2.1") for day in days]


def test_a_known_problem_is_held_until_its_threshold_is_over() -> None:
    subject = model(group(A, "192.0.2.0/24"))

    reports = daily(subject, on_days(0, 1, 3, 6), 8)

    assert {day: seen(found) for day, found in reports.items()} == {0: [["e0"]], 6: [["e6"]]}


def test_held_in_the_relapse_period_relapses_with_all_held_events() -> None:
    subject = model(group(A, "192.0.2.0/24"))

    reports = daily(subject, on_days(0, 1, 4), 14)

    relapse = one(reports[6])
    assert set(reports) == {0, 6}
    assert (relapse.regular, relapse.relapsed) == ({}, {"scan": {"192.0.2.1": 2}})
    expected = {"new": 0, "flt": 0, "thr": 0, "rlp": 2, "all": 2, "rep": 2}
    assert expected.items() <= {k.removeprefix("evcount_"): v for k, v in relapse.counters.items()}.items()


def test_a_relapse_renews_the_threshold_and_forgets_what_it_reported() -> None:
    subject = model(group(A, "192.0.2.0/24"))

    reports = daily(subject, on_days(0, 4, 7, 11), 12)

    expected = {0: [["e0"]], 6: [["e4"]], 12: [["e11", "e7"]]}
    assert {day: seen(found) for day, found in reports.items()} == expected


def test_held_before_the_relapse_period_does_not_relapse() -> None:
    assert set(daily(model(group(A, "192.0.2.0/24")), on_days(0, 3), 14)) == {0}


def test_a_problem_can_be_new_and_relapsed_in_one_report() -> None:
    report = one(daily(model(group(A, "192.0.2.0/24")), on_days(0, 5, 6), 6)[6])

    assert report.regular == report.relapsed == {"scan": {"192.0.2.1": 1}}
    assert (report.event_ids, report.counters["evcount_rep"]) == ({"e5", "e6"}, 2)


def test_without_relapse_period_held_events_are_never_reported() -> None:
    subject = model(group(A, "192.0.2.0/24", timing={"low": {"relapse": "none"}}))

    assert set(daily(subject, on_days(0, 5), 14)) == {0}


def test_without_threshold_everything_is_reported() -> None:
    subject = model(group(A, "192.0.2.0/24", timing={"low": {"threshold": "none"}}))

    assert set(daily(subject, on_days(0, 1, 2), 4)) == {0, 1, 2}


def test_target_direction_has_no_threshold() -> None:
    events = [event(f"e{day}", NOW + day * DAY - HOUR, "192.0.2.1", side="Target") for day in (0, 1)]

    reports = daily(model(group(A, "192.0.2.0/24")), events, 2)

    assert [one(found).type for found in reports.values()] == ["target", "target"]


@pytest.mark.parametrize(
    "other",
    [
        event("y", NOW + DAY - HOUR, "192.0.2.2"),
        event("y", NOW + DAY - HOUR, "192.0.2.1", severity="high"),
        event("y", NOW + DAY - HOUR, "192.0.2.1", mentat={"EventClass": "other"}),
        event("y", NOW + DAY - HOUR, "192.0.2.1", mentat={"EventSubclass": ["ssh"]}),
        event("y", NOW + DAY - HOUR, "192.0.2.1", mentat={"ShadowReporting": True}),
        event("y", NOW + DAY - HOUR, "192.0.2.1", side="Target"),
    ],
    ids=["address", "severity", "class", "subclass", "shadow", "direction"],
)
def test_every_part_of_the_key_matters(other: StoredEvent) -> None:
    subject = model(group(A, "192.0.2.0/24"))
    subject.run([event("x", NOW - HOUR, "192.0.2.1")], NOW)

    assert seen(subject.run([other], NOW + DAY)) == [["y"]]


def test_all_sightings_of_a_window_are_decided_against_the_state_before_it() -> None:
    events = [event(name, NOW - HOUR, "192.0.2.1") for name in ("x", "y")]

    assert one(model(group(A, "192.0.2.0/24")).run(events, NOW)).regular == {"scan": {"192.0.2.1": 2}}


def test_in_a_catch_up_window_the_storage_time_is_compared() -> None:
    subject = model(group(A, "192.0.2.0/24"))
    events = [
        event("first", NOW - timedelta(minutes=5), "192.0.2.1", severity="critical"),
        event("held", NOW + HOUR, "192.0.2.1", severity="critical"),
        event("edge", NOW + 2 * HOUR, "192.0.2.1", severity="critical"),
    ]

    subject.run(events, NOW)
    report = one(subject.run(events, NOW + 4 * HOUR))

    assert (report.event_ids, report.counters["evcount_thr_blk"]) == ({"edge"}, 1)
    assert [t.expires for t in subject.thresholds.values()] == [NOW + 6 * HOUR]


def test_an_event_held_in_a_catch_up_window_relapses_in_it() -> None:
    subject = model(group(A, "192.0.2.0/24"))
    events = [
        event("first", NOW - timedelta(minutes=5), "192.0.2.1", severity="high"),
        event("early", NOW + HOUR, "192.0.2.1", severity="high"),
        event("late", NOW + 13 * HOUR, "192.0.2.1", severity="high"),
    ]

    subject.run(events, NOW)
    report = one(subject.run(events, NOW + DAY))

    assert (report.event_ids, report.relapsed) == ({"early", "late"}, {"scan": {"192.0.2.1": 2}})
    assert report.counters["evcount_new"] == report.counters["evcount_thr_blk"] == 2


def test_a_relapse_is_at_the_keys_own_address_and_filtered_anew() -> None:
    dropping = rule("Source.IP4 = 192.0.2.2", valid_from="2026-03-07T00:00:00Z")
    subject = model(group(A, "192.0.2.0/24", filters=[dropping]))
    events = [
        event("x", NOW - HOUR, "192.0.2.1", "192.0.2.2"),
        event("y", NOW + 4 * DAY - HOUR, "192.0.2.1", "192.0.2.2"),
        event("z", NOW + 2 * DAY - HOUR, "192.0.2.1", "192.0.2.2", "192.0.2.3"),
    ]

    reports = daily(subject, events, 8)

    assert set(reports) == {0, 2, 6}
    assert reports[6][0].relapsed == {"scan": {"192.0.2.1": 2}}


def test_a_relapse_without_anything_left_is_not_renewed() -> None:
    dropping = rule("Source.IP4??", valid_from="2026-03-07T00:00:00Z")
    subject = model(group(A, "192.0.2.0/24", filters=[dropping]))

    reports = daily(subject, on_days(0, 5), 7)

    assert (set(reports), subject.thresholds, subject.held) == ({0}, {}, {})


def test_an_address_that_moved_to_another_group_does_not_relapse() -> None:
    subject = model(group(A, "192.0.2.0/24"))
    daily(subject, on_days(0, 5), 5)

    subject.read_groups({"groups": [group(A, "192.0.2.0/24"), group(B, "192.0.2.0/28")]})

    assert subject.run(on_days(0, 5), NOW + 6 * DAY) == []


def test_relapses_are_not_credited_again() -> None:
    described = [group(A, "192.0.2.0/24")]
    subject = model(*described)
    daily(subject, on_days(0, 5), 5)

    poor = [{"name": "org.example.sensor", "credibility": 0.1}]
    subject.read_groups({"groups": described, "detectors": poor})

    assert seen(subject.run(on_days(0, 5), NOW + 6 * DAY)) == [["e5"]]


def test_a_threshold_is_deleted_once_it_lies_below_the_watermark() -> None:
    subject = model(group(A, "192.0.2.0/24"))

    daily(subject, on_days(0, 1), 6)
    at_the_edge = len(subject.thresholds)
    daily(subject, [], 7, 7)

    assert (at_the_edge, subject.thresholds, subject.held) == (1, {}, {})


# 7. Reports


@pytest.mark.parametrize(
    ("mode", "kinds", "mailed"),
    [
        ("summary", ["summary"], ["summary"]),
        ("extra", ["summary", "extra", "extra"], ["extra", "extra"]),
        ("both", ["summary", "extra", "extra"], ["summary", "extra", "extra"]),
        ("none", ["summary"], []),
        (None, ["summary"], ["summary"]),
    ],
)
def test_modes(mode: str | None, kinds: list[str], mailed: list[str]) -> None:
    subject = model(group(A, "192.0.2.0/24", mode=mode, emails={"low": ["n@example.org"]}))

    reports = subject.run([event("x", NOW - HOUR, "192.0.2.1", "192.0.2.2")], NOW)

    assert [report.type for report in reports] == kinds
    assert [report.type for report in reports if report.mail_to] == mailed


def test_an_extra_has_two_counters_and_its_own_address() -> None:
    subject = model(group(A, "192.0.2.0/24", mode="extra"))
    events = [event("x", NOW - HOUR, "192.0.2.1", "192.0.2.2"), event("y", NOW - HOUR, "192.0.2.2")]

    summary, first, second = subject.run(events, NOW)

    assert summary.counters["evcount_rep"] == 2
    assert (first.address, first.event_ids, first.counters["evcount_rep"]) == ("192.0.2.1", {"x"}, 1)
    assert (second.event_ids, second.regular) == ({"x", "y"}, {"scan": {"192.0.2.2": 2}})
    assert {k: v for k, v in first.counters.items() if v is not None} == {"evcount_rep": 1, "evcount_all": 2}


def test_muting_changes_the_mail_and_nothing_that_is_stored() -> None:
    subject = model(
        group(A, "192.0.2.0/24", emails={"low": ["a@a.example"]}),
        group(B, "192.0.2.0/28", mode="extra", mute=True, emails={"low": ["b@b.example"]}),
    )

    summary, extra = subject.run([event("x", NOW - HOUR, "192.0.2.1")], NOW)

    assert (summary.mail_to, extra.type, extra.mail_to) == (["to:a@a.example"], "extra", [])


def test_recipients_go_in_chain_order_and_from_the_severity_downward() -> None:
    mails = {"info": ["i@a.example", "l@b.example"], "low": ["l@a.example"], "high": ["h@a.example"]}
    subject = model(
        group(A, "192.0.2.0/24", emails=mails),
        group(B, "192.0.2.0/28", emails={"low": ["l@b.example", "m@b.example"]}),
        group(C, "192.0.2.0/26", mode="none", emails={"low": ["c@c.example"]}),
    )

    report = one(subject.run([event("x", NOW - HOUR, "192.0.2.1")], NOW))

    assert report.chain == (B, C, A)
    assert report.mail_to == ["to:l@b.example", "to:m@b.example", "cc:l@a.example", "cc:i@a.example"]


def test_without_an_address_the_fallback_groups_get_it_whatever_their_mode() -> None:
    fallback = group(B, base("192.0.0.0/16"), mode="none", emails={"info": ["b@b.example"]})
    events = [event("x", NOW - HOUR, "192.0.2.1")]

    with_group = model(group(A, "192.0.2.0/24"), fallback, fallback=("f@f.example",)).run(events, NOW)
    without = model(group(A, "192.0.2.0/24"), fallback=("f@f.example",)).run(events, NOW)
    nobody = model(group(A, "192.0.2.0/24", mode="none"), fallback).run(events, NOW)

    assert one(with_group).mail_to == ["to:b@b.example"]
    assert one(without).mail_to == ["to:f@f.example"]
    assert one(nobody).mail_to == []


def test_a_redirected_report_keeps_its_original_recipients() -> None:
    subject = model(group(A, "192.0.2.0/24", redirect=True, emails={"low": ["a@a.example"]}))

    assert one(subject.run([event("x", NOW - HOUR, "192.0.2.1")], NOW)).mail_to == ["to:a@a.example"]


def test_target_reports_go_to_every_mode_but_none() -> None:
    attacked = event("x", NOW - HOUR, "192.0.2.1", side="Target")

    mailed = {
        mode: one(subject.run([attacked], NOW)).mail_to
        for mode in ("summary", "extra", "both", "none")
        for subject in [model(group(A, "192.0.2.0/24", mode=mode, emails={"low": ["a@a.example"]}))]
    }

    to_a = ["to:a@a.example"]
    assert mailed == {"summary": to_a, "extra": to_a, "both": to_a, "none": []}


@pytest.mark.parametrize(
    ("mentat", "expected"),
    [
        ({"EventClass": "scan"}, "scan"),
        ({"EventClass": "scan", "EventSubclass": ["ssh", "telnet"]}, "scan/ssh, telnet"),
        ({"EventClass": None}, "Recon.Scanning/Attempt.Login"),
    ],
)
def test_the_event_class_heads_the_class(mentat: dict[str, Any], expected: str) -> None:
    classed = event("x", NOW - HOUR, "192.0.2.1", Category=["Recon.Scanning", "Attempt.Login"], mentat=mentat)

    assert set(one(model(group(A, "192.0.2.0/24")).run([classed], NOW)).regular) == {expected}


@pytest.mark.parametrize(("text", "hours"), [("10mins", 1 / 6), ("2hrs", 2), ("1day", 24), ("2weeks", 336)])
def test_durations(text: str, hours: float) -> None:
    assert duration(text) == timedelta(hours=hours)
