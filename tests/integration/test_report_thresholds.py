"""What is told once, held back, told again, forgotten: docs/semantics.md in the stored rows."""

from datetime import datetime
from typing import Any

import pytest
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    GROUPS,
    HOUR,
    JIFFY,
    MINUTE,
    START,
    Reporter,
    Row,
    event,
    group,
    reporter,
)

from mentat_reporter.core.model import SEVERITIES
from mentat_reporter.core.window import DEFAULT_TIMING

__all__ = ["reporter"]

TEN = 10 * MINUTE


def thresholds(reporter: Reporter) -> list[Row]:
    return reporter.dicts("select * from mentat_reporter.threshold order by event_class, source, group_name")


def held(reporter: Reporter) -> list[tuple[Any, ...]]:
    return reporter.rows(
        "select event_id, source, createtime from mentat_reporter.thresholded_event order by 1, 2"
    )


def tell_of(reporter: Reporter, hi: datetime, severity: str = "high", name: str = "first") -> None:
    """Let a run tell of a problem at Alice's at `hi`."""
    reporter.store(event(name, hi - MINUTE, severity=severity))
    reporter.run(hi)


def test_a_report_sets_the_thresholds_of_its_severity(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(*(event(severity, START - MINUTE, severity=severity) for severity in SEVERITIES))

    reporter.run(START)

    labels = {report["severity"]: report["label"] for report in reporter.reports()}
    found = {row["severity"]: row for row in thresholds(reporter)}
    assert found.keys() == labels.keys() == set(SEVERITIES)
    for severity, timing in DEFAULT_TIMING.items():
        assert timing.threshold is not None
        ttltime = START + timing.threshold
        assert found[severity] == {
            "group_name": ALICE,
            "severity": severity,
            "direction": "source",
            "shadow": False,
            "event_class": "scan",
            "source": "192.0.2.1",
            "thresholdtime": START,
            "relapsetime": ttltime - (timing.relapse or 0 * DAY),
            "ttltime": ttltime,
            "report_label": labels[severity],
            "first_label": labels[severity],
        }


def test_each_of_the_six_parts_makes_another_problem(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)
    at = START + MINUTE
    others = {
        "another group": event("another group", at, "198.51.100.1", severity="high"),
        "another severity": event("another severity", at, severity="critical"),
        "another direction": event(
            "another direction", at, "8.8.8.8", targets=("192.0.2.1",), severity=None, target_severity="high",
            target_class="scan",
        ),
        "shadow": event("shadow", at, severity="high", shadow=True),
        "another class": event("another class", at, severity="high", event_class="scan+++"),
        "another address": event("another address", at, "192.0.2.2", severity="high"),
    }  # fmt: skip
    reporter.store(event("held", at, severity="high"), *others.values())

    reporter.run(START + TEN)

    told = [event_id for ids in reporter.told().values() for event_id in ids]
    assert sorted(told) == sorted([*others, "first"])
    assert held(reporter) == [("held", "192.0.2.1", START + TEN)]


def test_low_then_critical_at_one_address_are_both_told(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("low", START - MINUTE))
    reporter.run(START)
    reporter.store(event("critical", START + MINUTE, severity="critical"))

    reporter.run(START + TEN)

    assert reporter.told() == {ALICE: ["critical", "low"]}
    assert {found["severity"] for found in thresholds(reporter)} == {"low", "critical"}


@pytest.mark.parametrize(
    "name",
    ["a+++b", "two\nlines", "x" * 3000, "\ud800", "žluťoučký kůň", "'; drop table groups; --", "%s {0}"],
    ids=["plusses", "newline", "long", "surrogate", "czech", "sql", "formats"],
)
def test_a_class_of_any_name_is_held_and_relapses(reporter: Reporter, name: str) -> None:
    reporter.groups()
    if name == "\ud800":
        message = {"_Mentat": {"EventSubclass": ["x"]}, "Category": ["A\N{REPLACEMENT CHARACTER}"]}
        columns: Row = {"event_class": None, "message": message}
    else:
        columns = {"event_class": name}
    for number, at in enumerate((START - MINUTE, START + 20 * HOUR)):
        reporter.store(event(str(number), at, severity="high", **columns))
        reporter.run(at + TEN - MINUTE * (at.minute % 10))

    reporter.run(START + DAY)

    assert [report["evcount_rlp"] for report in reporter.reports()] == [0, 1]
    assert len(thresholds(reporter)[0]["event_class"]) <= 200


@pytest.mark.parametrize(
    ("hi", "told"), [(START + DAY - TEN, False), (START + DAY, True), (START + DAY + TEN, True)]
)
def test_a_problem_is_held_until_its_ttl_and_new_from_then_on(
    reporter: Reporter, hi: datetime, told: bool
) -> None:
    reporter.groups()
    tell_of(reporter, START)
    reporter.run(hi - TEN)  # no catch-up window after this
    reporter.store(event("again", hi - JIFFY, severity="high"))

    reporter.run(hi)

    assert ("again" in reporter.told()[ALICE]) is told
    assert held(reporter) == ([] if told else [("again", "192.0.2.1", hi)])


def test_at_the_ttl_an_event_is_reported_where_there_is_no_relapse(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START, "critical")
    for number in range(1, 13):
        at = START + number * TEN
        reporter.store(event(f"{number:02}", at - MINUTE, severity="critical"))
        reporter.run(at)

    assert reporter.told() == {ALICE: ["12", "first"]}
    assert [report["evcount_rlp"] for report in reporter.reports()] == [0, 0]


def test_a_relapse_tells_all_that_was_held_since_the_threshold_and_renews_it(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)
    [first] = reporter.reports()
    for hours in (1, 20):
        reporter.store(event(f"held {hours}", START + hours * HOUR, severity="high"))
        reporter.run(START + hours * HOUR + TEN)
    assert [row[0] for row in held(reporter)] == ["held 1", "held 20"]

    result = reporter.run(START + DAY)

    [report] = reporter.reports(first["id"])
    assert report["statistics"]["list_ids"] == ["held 1", "held 20"]
    assert report["structured_data"]["regular"] == {}
    [line] = report["structured_data"]["relapsed"]["scan"].values()
    assert (line["event_count"], line["reference"]) == (2, first["label"])
    counters = {name: report[f"evcount_{name}"] for name in ("new", "rlp", "thr", "all", "rep")}
    assert counters == {"new": 0, "rlp": 2, "thr": 0, "all": 2, "rep": 2}
    assert (result.total("relapsed"), result.total("reported")) == (2, 0)
    [renewed] = thresholds(reporter)
    assert (renewed["thresholdtime"], renewed["report_label"]) == (START + DAY, report["label"])
    assert held(reporter) == []


def test_without_an_event_in_the_relapse_period_nothing_is_told_again(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)
    reporter.run(START + 11 * HOUR)
    reporter.store(event("early", START + 11 * HOUR + 50 * MINUTE - JIFFY, severity="high"))
    reporter.run(START + 11 * HOUR + 50 * MINUTE)

    reporter.run(START + DAY)
    reporter.run(START + DAY + TEN)

    assert reporter.told() == {ALICE: ["first"]}
    assert (thresholds(reporter), held(reporter)) == ([], [])


def test_new_and_recurring_events_of_one_window_are_told_in_one_report(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)
    reporter.store(event("held", START + 20 * HOUR, severity="high"))
    reporter.run(START + 20 * HOUR + TEN)
    reporter.run(START + DAY - TEN)
    reporter.store(event("new", START + DAY - MINUTE, severity="high"))

    reporter.run(START + DAY)

    report = reporter.reports()[-1]
    assert report["statistics"]["list_ids"] == ["held", "new"]
    assert (report["evcount_rlp"], report["evcount_thr"], report["evcount_rep"]) == (1, 1, 2)
    assert report["statistics"]["cnt_recurring"] == 1


def test_thresholds_are_deleted_below_the_watermark_and_not_before(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)
    reporter.store(event("held", START + HOUR, severity="high"))
    reporter.run(START + HOUR + TEN)

    reporter.run(START + DAY)  # ttltime is the watermark: not below it yet
    at_the_ttl = (len(thresholds(reporter)), len(held(reporter)))
    reporter.run(START + DAY + TEN)

    assert at_the_ttl == (1, 1)
    assert (thresholds(reporter), held(reporter)) == ([], [])


def test_thresholds_wait_for_the_watermark_of_their_own_severity_and_clock(reporter: Reporter) -> None:
    short = {"threshold": "1hr", "relapse": "30min"}
    reporter.groups(
        group(ALICE, "192.0.2.0/24", timing={"low": {"period": "1day", **short}}),
        group(BOB, "198.51.100.0/24", timing={"low": short}),
        GROUPS[2],
    )
    for name in ("one", "two"):
        at = START - MINUTE if name == "one" else START + HOUR
        reporter.store(
            *(event(f"{name} {address}", at, address) for address in ("192.0.2.1", "198.51.100.1"))
        )
        reporter.run(at + MINUTE)
    assert len(thresholds(reporter)) == 2

    reporter.run(START + 23 * HOUR)
    assert len(thresholds(reporter)) == 2  # long run out, but nobody has looked at `low` since
    reporter.run(START + DAY)

    assert reporter.told() == {
        ALICE: ["one 192.0.2.1", "two 192.0.2.1"],
        BOB: ["one 198.51.100.1", "two 198.51.100.1"],
    }


def test_a_relapse_is_told_after_an_outage_across_the_ttl(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)
    reporter.store(event("held", START + 20 * HOUR, severity="high"))
    reporter.run(START + 20 * HOUR + TEN)

    reporter.run(START + 60 * HOUR)

    assert [report["evcount_rlp"] for report in reporter.reports()] == [0, 1]


def test_in_a_catch_up_window_the_storage_time_decides(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)
    reporter.run(START + 20 * HOUR)
    reporter.store(
        event("before the ttl", START + DAY - JIFFY, severity="high"),
        event("at the ttl", START + DAY, severity="high"),
    )

    reporter.run(START + DAY + HOUR)

    [_, report] = reporter.reports()
    lines = report["structured_data"]
    assert [lines[part]["scan"]["192.0.2.1"]["event_count"] for part in ("regular", "relapsed")] == [1, 1]
    assert (report["evcount_thr"], report["evcount_thr_blk"], report["evcount_rlp"]) == (1, 1, 1)
    assert thresholds(reporter)[0]["thresholdtime"] == START + DAY + HOUR


def test_the_held_events_of_a_catch_up_window_keep_their_storage_time(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)
    reporter.store(event("held", START + 5 * HOUR, severity="high"))

    reporter.run(START + 8 * HOUR)

    assert held(reporter) == [("held", "192.0.2.1", START + 5 * HOUR)]


# Groups' own times


def test_a_group_without_thresholds_is_told_every_time(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={"high": {"threshold": "none"}}))
    for number in range(3):
        tell_of(reporter, START + number * TEN, name=str(number))

    assert reporter.told() == {ALICE: ["0", "1", "2"]}
    assert (thresholds(reporter), held(reporter)) == ([], [])


def test_targets_are_never_held_back(reporter: Reporter) -> None:
    reporter.groups()
    for number in range(3):
        reporter.store(
            event(
                str(number), START + number * TEN - MINUTE, "8.8.8.8", targets=("192.0.2.1",), severity=None,
                target_severity="high",
            )
        )  # fmt: skip
        reporter.run(START + number * TEN)

    assert [report["type"] for report in reporter.reports()] == ["target"] * 3
    assert thresholds(reporter) == []


# Networks that move


def move(reporter: Reporter, network: str, old: str, new: str) -> None:
    reporter.execute(
        "update networks set group_id = (select id from groups where name = %s)"
        " where network = %s and group_id = (select id from groups where name = %s)",
        new, network, old,
    )  # fmt: skip


def test_a_network_that_moves_within_the_threshold_is_told_to_its_new_group(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)
    reporter.store(event("held at alice's", START + MINUTE, severity="high"))
    reporter.run(START + TEN)
    move(reporter, "192.0.2.0/24", ALICE, BOB)
    reporter.store(
        event("new at bob's", START + TEN + 5 * MINUTE, severity="high"),
        event("also", START + TEN + 6 * MINUTE, severity="high"),
    )

    reporter.run(START + 2 * TEN)

    assert reporter.told() == {ALICE: ["first"], BOB: ["also", "new at bob's"]}
    assert {(found["group_name"], found["source"]) for found in thresholds(reporter)} == {
        (ALICE, "192.0.2.1"),
        (BOB, "192.0.2.1"),
    }


def test_a_held_event_whose_network_moved_away_is_dropped_and_the_threshold_not_renewed(
    reporter: Reporter,
) -> None:
    reporter.groups()
    tell_of(reporter, START)
    reporter.store(event("held", START + 20 * HOUR, severity="high"))
    reporter.run(START + 20 * HOUR + TEN)
    move(reporter, "192.0.2.0/24", ALICE, BOB)

    reporter.run(START + DAY)
    [kept] = thresholds(reporter)
    reporter.run(START + DAY + TEN)

    assert reporter.told() == {ALICE: ["first"]}
    assert kept["thresholdtime"] == START
    assert (thresholds(reporter), held(reporter)) == ([], [])


def test_what_a_window_saw_is_not_told_again_because_its_network_moved(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)  # within the margin: the next window reads it again
    move(reporter, "192.0.2.0/24", ALICE, CAROL)

    reporter.run(START + TEN)
    reporter.run(START + 2 * TEN)

    assert reporter.told() == {ALICE: ["first"]}


def test_a_relapsed_event_is_filtered_again_by_the_rules_of_today(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)
    reporter.store(
        event("held", START + 20 * HOUR, severity="high"),
        event("also held", START + 20 * HOUR, severity="high", message={"Description": "noise"}),
    )
    reporter.run(START + 20 * HOUR + TEN)
    reporter.groups(
        group(ALICE, "192.0.2.0/24", filters=[{"name": "noise", "filter": "Description == 'noise'"}])
    )

    reporter.run(START + DAY)

    assert reporter.reports()[-1]["statistics"]["list_ids"] == ["held"]


def test_a_relapse_is_told_at_the_problems_own_address_alone(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)
    reporter.store(event("both", START + 20 * HOUR, "192.0.2.1", "192.0.2.2", severity="high"))
    reporter.run(START + 20 * HOUR + TEN)

    reporter.run(START + DAY)

    relapse = reporter.reports()[-1]
    assert list(relapse["structured_data"]["relapsed"]["scan"]) == ["192.0.2.1"]


def test_a_disabled_group_is_not_told_of_its_relapse(reporter: Reporter) -> None:
    reporter.groups()
    tell_of(reporter, START)
    reporter.store(event("held", START + 20 * HOUR, severity="high"))
    reporter.run(START + 20 * HOUR + TEN)
    reporter.execute("update groups set enabled = false where name = %s", ALICE)

    result = reporter.run(START + DAY)

    assert result.exit_code == 0
    assert len(reporter.reports()) == 1
