"""Which events a run takes: severity, direction, shadow; nobody's; those that are too new."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    HOUR,
    MINUTE,
    START,
    Reporter,
    event,
    group,
    reporter,
)

from mentat_reporter.core.model import SEVERITIES
from mentat_reporter.settings_values import INTERVALS

__all__ = ["reporter"]

TEN = 10 * MINUTE
AT = START - MINUTE


def test_events_are_told_under_their_severities_most_urgent_first(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(*(event(severity, AT, severity=severity) for severity in SEVERITIES))

    reporter.run(START)

    urgent_first = ["critical", "high", "medium", "low", "info"]
    found = [(report["severity"], report["statistics"]["list_ids"]) for report in reporter.reports()]
    assert found == [(severity, [severity]) for severity in urgent_first]
    assert [mail["X-Mentat-Report-Severity"] for mail in reporter.mails()] == urgent_first


def test_both_directions_of_an_event_are_told_to_whom_they_concern(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(
        event("both", AT, "192.0.2.1", targets=("198.51.100.1", "203.0.113.1"), target_severity="low")
    )

    reporter.run(START)

    found = {(report["type"], *report["chain"]): report for report in reporter.reports()}
    assert set(found) == {("summary", ALICE), ("target", BOB), ("target", CAROL)}
    assert found["summary", ALICE]["structured_data"]["regular"].keys() == {"scan"}
    data = found["target", BOB]["structured_data"]["regular"]["attack"]["detector_data"]["org.example.sensor"]
    assert data["target_list_data"]["relevant_ips"] == ["198.51.100.1"]
    assert str(found["target", BOB]["label"]).startswith("M20260504TL-")


def test_directions_may_have_different_severities(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(
        event("both", AT, "192.0.2.1", severity="high", targets=("198.51.100.1",), target_severity="medium")
    )

    reporter.run(START)

    assert {(report["type"], report["severity"]) for report in reporter.reports()} == {
        ("summary", "high"),
        ("target", "medium"),
    }


def test_what_names_no_group_or_has_no_severity_is_not_taken(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(
        event("no groups", AT, abuses=[]),
        event("null groups", AT, abuses=None),
        event("no severity", AT, severity=None, abuses=["somebody"]),
        event("another severity", AT, severity="fatal"),
    )

    result = reporter.run(START)

    assert (reporter.reports(), result.total("events"), result.exit_code) == ([], 0, 0)


def test_a_category_that_is_nothing_loses_no_event(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT)._replace(category=[None]))  # type: ignore[list-item]  # what IDEA forbids

    reporter.run(START)

    assert reporter.told() == {ALICE: ["one"]}


def test_the_networks_of_today_decide_and_not_the_stored_names(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT, "198.51.100.1", abuses=[ALICE, "gone@nowhere.example"]))

    reporter.run(START)

    assert reporter.told() == {BOB: ["one"]}


def test_shadow_events_are_stored_apart_and_never_mailed(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"), group(BOB, "198.51.100.0/24"))
    reporter.store(
        event("shadow", AT, shadow=True),
        event("open", AT, "192.0.2.2"),
        event(
            "target", AT, severity=None, targets=("198.51.100.1",), target_severity="low", shadow_target=True
        ),
    )

    reporter.run(START)

    found = [(report["type"], report["flag_shadow"], report["flag_mailed"]) for report in reporter.reports()]
    assert sorted(found) == [
        ("extra", False, True),
        ("extra", True, False),
        ("summary", False, True),
        ("summary", True, False),
        ("target", True, False),
    ]
    assert len(reporter.mails()) == 2


def test_what_nobody_owns_is_counted_once(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(
        event("nobody's", AT, "8.8.8.8", "9.9.9.9", severity="high"),
        event("partly", AT, "8.8.8.8", "192.0.2.1", severity="high"),
        event("no source", AT, severity="high", message={"Source": []}),
        event("no sections", AT, severity="high", message={"Source": None}),
    )

    results = [reporter.run(START + number * TEN) for number in range(3)]

    assert [result.counts["high"]["unowned"] for result in results] == [3, 0, 0]
    assert results[0].counts["high"]["events"] == 4
    assert results[0].exit_code == 0
    assert reporter.told() == {ALICE: ["partly"]}


def test_what_a_disabled_group_owned_is_nobodys(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", more={"enabled": False}), group(BOB, "198.51.100.0/24"))
    reporter.store(event("one", AT))

    result = reporter.run(START)

    assert (result.total("unowned"), reporter.reports()) == (1, [])


@pytest.mark.parametrize(
    ("mode", "types"),
    [
        ("summary", {"summary": True, "target": True}),
        ("extra", {"summary": False, "extra": True, "target": True}),
        ("both", {"summary": True, "extra": True, "target": True}),
        ("none", {"summary": False, "target": False}),
    ],
)
@pytest.mark.parametrize("how", ["group", "default", "forced"])
def test_the_mode_says_what_is_stored_and_what_is_mailed(
    reporter: Reporter, mode: str, types: dict[str, bool], how: str
) -> None:
    own = {"group": mode, "default": None, "forced": "none" if mode != "none" else "both"}[how]
    reporter.groups(group(ALICE, "192.0.2.0/24", mode=own))
    if how == "default":
        reporter.config["__core__reporter"]["default_mode"] = mode
    reporter.store(event("both", AT, targets=("192.0.2.9",), target_severity="low"))

    reporter.run(START, **({"force_mode": mode} if how == "forced" else {}))

    assert {report["type"]: report["flag_mailed"] for report in reporter.reports()} == types
    assert len(reporter.mails()) == sum(types.values())


def test_a_muted_group_is_left_out_of_mail_and_of_nothing_else(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mute=True), group(BOB, "192.0.2.128/25"))
    reporter.store(event("alice's", AT), event("both's", AT, "192.0.2.200"))

    result = reporter.run(START)

    assert {" ".join(report["chain"]): report["mail_to"] for report in reporter.reports()} == {
        ALICE: [],
        f"{ALICE} {BOB}": [f"to:{BOB}"],
    }
    assert result.exit_code == 0


# Events that are too new


def test_events_newer_than_the_run_are_counted_and_the_named_run_takes_them(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START - DAY + HOUR)
    reporter.run(START)
    new = START + 3 * MINUTE
    reporter.store(*(event(severity, new, severity=severity) for severity in SEVERITIES))

    result = reporter.run(START + 5 * MINUTE)

    runs = {}
    for note in result.notes:
        match = re.fullmatch(
            r"1 (\w+) events are newer than this run's 2026-05-04 12:00 UTC; the run at (.*) UTC takes them",
            note,
        )
        assert match, note
        runs[match[1]] = datetime.strptime(match[2], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert set(runs) == set(SEVERITIES)
    for when in sorted(set(runs.values())):
        taken = {severity for severity, other in runs.items() if other < when}
        reporter.run(when - timedelta(seconds=1))
        assert set(reporter.told().get(ALICE, [])) == taken
        reporter.run(when)
        assert set(reporter.told()[ALICE]) == taken | {name for name, other in runs.items() if other == when}


@pytest.mark.parametrize("interval", ["5_minutes", "10_minutes", "3_hourly", "daily"])
@pytest.mark.parametrize("seconds", [0, 599, 600, 7300])
def test_the_run_that_is_named_is_the_first_to_take_an_event(
    reporter: Reporter, interval: str, seconds: int
) -> None:
    step = INTERVALS[interval]
    reporter.groups()
    reporter.run(START, interval=interval)
    reporter.store(event("new", START + timedelta(seconds=seconds), severity="medium"))

    [note] = reporter.run(START, interval=interval).notes

    [written] = re.findall(r"the run at (.*) UTC takes them", note)
    when = datetime.strptime(written, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    for known in (when - step, when):
        due = START
        while due + 2 * HOUR <= known:  # only the calls of cron that find something due matter
            due += -(-2 * HOUR // step) * step
            reporter.run(due, interval=interval)
        assert reporter.told() == ({} if known < when else {ALICE: ["new"]})


def test_events_of_several_runs_are_said_with_the_first_and_the_last(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START)
    reporter.store(event("a", START + MINUTE, severity="high"), event("b", START + HOUR, severity="high"))

    result = reporter.run(START)

    [note] = result.notes
    assert note == (
        "2 high events are newer than this run's 2026-05-04 12:00 UTC; "
        "the run at 2026-05-04 12:10 to 2026-05-04 13:10 UTC takes them"
    )


def test_an_ad_hoc_run_does_not_speak_of_newer_events(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("new", START + MINUTE))

    assert reporter.run(START, regular=False).notes == []


def test_events_that_stopped_coming_are_warned_of(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    reporter.groups()
    reporter.store(event("old", START - DAY - MINUTE))

    reporter.run(START)

    assert any("do events still come in?" in line for line in caplog.messages)
    assert reporter.told() == {}
