"""Groups and networks that change between runs: nothing is lost and nothing is told twice."""

from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    GROUPS,
    HOUR,
    MINUTE,
    START,
    Reporter,
    Stored,
    event,
    group,
    insert_events,
    reporter,
)
from integration.test_report_units import FAULT, REPAIR, dying

from mentat_reporter.session import Session
from mentat_reporter.store.connection import connect

__all__ = ["reporter"]

TEN = 10 * MINUTE
MOVE = (
    "update networks set group_id = (select id from groups where name = '{group}')"
    " where network = '198.51.100.0/24'"
)

DELETE = f"""
with networks as (delete from networks n using groups g where n.group_id = g.id and g.name = %s),
     settings as (
         delete from settings_reporting s using groups g where s.group_id = g.id and g.name = '{BOB}')
delete from groups where name = '{BOB}'
"""


def source(event_id: str, at: datetime, address: str = "198.51.100.1", severity: str = "high") -> Stored:
    return event(event_id, at, address, severity=severity)


def target(event_id: str, at: datetime, address: str = "198.51.100.1", severity: str = "high") -> Stored:
    """Return an event that no threshold would hold back when it is told twice."""
    return event(event_id, at, "10.0.0.1", targets=(address,), severity=None, target_severity=severity)


def retries(reporter: Reporter) -> list[tuple[Any, ...]]:
    return reporter.rows("select group_name, direction, event_ids from mentat_reporter.unit_retry")


def fail(reporter: Reporter, *events: Stored) -> None:
    """Let the units of Bob, who has two networks, fail at START."""
    reporter.groups(GROUPS[0], group(BOB, "198.51.100.0/24", "203.0.113.0/24"), group(CAROL))
    reporter.run(START - TEN)
    reporter.store(*events)
    reporter.execute(FAULT.format(group=BOB))
    reporter.run(START)
    assert {group for group, *_ in retries(reporter)} == {BOB}


def windows(reporter: Reporter, clock: str, severity: str) -> list[tuple[datetime, datetime]]:
    return [
        (window["lo"], window["hi"])
        for window in reporter.windows()
        if (window["clock"], window["severity"]) == (clock, severity)
    ]


# Finding 4: what a failed unit owes


@pytest.mark.parametrize("make", [source, target])
@pytest.mark.parametrize("age", [MINUTE, 8 * MINUTE], ids=["in the margin", "before the margin"])
@pytest.mark.parametrize("to", [ALICE, CAROL])
def test_what_a_failed_unit_owes_of_a_network_that_moved_is_told_to_its_owner_of_today(
    reporter: Reporter, make: Any, age: timedelta, to: str
) -> None:
    fail(reporter, make("b", START - age))
    reporter.execute(MOVE.format(group=to))  # Bob's units would fail still

    found = [reporter.run(START + number * TEN).exit_code for number in range(1, 6)]

    assert found == [0] * 5
    assert reporter.told() == {to: ["b"]}
    assert reporter.recipients() == [to]
    assert retries(reporter) == []
    assert reporter.rows("select * from mentat_reporter.thresholded_event") == []


@pytest.mark.parametrize("make", [source, target])
def test_what_is_told_to_the_new_owner_is_not_told_again_while_the_rest_fails(
    reporter: Reporter, make: Any
) -> None:
    fail(reporter, make("b", START - 8 * MINUTE), make("b gone", START - 8 * MINUTE, "203.0.113.1"))
    reporter.execute(MOVE.format(group=ALICE).replace("198.51.100", "203.0.113"))

    for number in range(1, 6):
        reporter.run(START + number * TEN)
    assert [ids for _, _, ids in retries(reporter)] == [["b"]]
    reporter.execute(REPAIR)
    for number in range(6, 9):
        reporter.run(START + number * TEN)

    assert reporter.told() == {ALICE: ["b gone"], BOB: ["b"]}
    assert retries(reporter) == []
    assert reporter.rows("select * from mentat_reporter.thresholded_event") == []


@pytest.mark.parametrize("make", [source, target])
@pytest.mark.parametrize(
    "change",
    [
        "update groups set enabled = false where name = %s",
        "delete from networks where group_id = (select id from groups where name = %s)",
        DELETE,
    ],
    ids=["disabled", "without network", "deleted"],
)
def test_what_a_failed_unit_owes_is_counted_once_when_nobody_has_it_any_more(
    reporter: Reporter, make: Any, change: str
) -> None:
    fail(reporter, make("b", START - 8 * MINUTE))
    reporter.execute(change, BOB)

    unowned = [reporter.run(START + number * TEN).total("unowned") for number in range(1, 6)]

    assert unowned == [1, 0, 0, 0, 0]
    assert reporter.told() == {}
    assert retries(reporter) == []


def test_what_a_failed_unit_owes_is_told_once_to_a_new_owner_that_fails_as_well(reporter: Reporter) -> None:
    fail(reporter, target("b", START - 8 * MINUTE))
    reporter.execute(MOVE.format(group=ALICE))
    reporter.execute(REPAIR)
    reporter.execute(FAULT.format(group=ALICE))

    reporter.run(START + TEN)
    assert retries(reporter) == [(ALICE, "target", ["b"])]
    reporter.execute(REPAIR)
    for number in range(2, 6):
        reporter.run(START + number * TEN)

    assert reporter.told() == {ALICE: ["b"]}
    assert retries(reporter) == []


# Findings 7 and 8: a group takes a clock


CLOCKS = pytest.mark.parametrize(
    ("severity", "period", "step"),
    [("high", "30mins", TEN), ("low", "1hr", DAY), ("low", "2days", DAY), ("medium", "6hrs", 2 * HOUR)],
)
"""A severity, the period that Alice takes for it, and the period that it has."""


@CLOCKS
@pytest.mark.parametrize("make", [source, target])
def test_a_group_that_takes_a_clock_loses_and_repeats_nothing(
    reporter: Reporter, severity: str, period: str, step: timedelta, make: Any
) -> None:
    reporter.groups()
    reporter.run(START - step)
    reporter.store(
        *(make(f"{n:02}", START + n * step / 4 - MINUTE, f"192.0.2.{n + 1}", severity) for n in range(24))
    )
    reporter.run(START)
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={severity: {"period": period}}), *GROUPS[1:])

    for number in range(1, 10):
        reporter.run(START + number * step)

    assert reporter.told() == {ALICE: [f"{n:02}" for n in range(24)]}
    own = windows(reporter, ALICE, severity)
    assert own[0][0] == START
    assert [lo for lo, _ in own[1:]] == [hi for _, hi in own[:-1]]


@CLOCKS
@pytest.mark.parametrize("make", [source, target])
def test_a_group_that_takes_a_clock_while_the_common_window_is_open_loses_nothing(
    reporter: Reporter, severity: str, period: str, step: timedelta, make: Any
) -> None:
    reporter.groups()
    reporter.run(START - step)
    reporter.store(
        make("a", START - MINUTE, "192.0.2.1", severity), make("b", START - MINUTE, severity=severity)
    )
    with dying(0):
        reporter.run(START)
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={severity: {"period": period}}), *GROUPS[1:])
    reporter.store(make("a 2", START + MINUTE, "192.0.2.2", severity))

    for number in range(1, 10):
        reporter.run(START + number * step)

    assert reporter.told() == {ALICE: ["a", "a 2"], BOB: ["b"]}
    assert windows(reporter, ALICE, severity)


@CLOCKS
@pytest.mark.parametrize("when", ["at once", "after two runs"])
def test_a_group_that_takes_a_clock_gets_what_becomes_visible_late(
    reporter: Reporter, severity: str, period: str, step: timedelta, when: str
) -> None:
    reporter.groups()
    reporter.run(START - step)
    with closing(connect(reporter.dsn, what="writer", limits={})) as writer:
        insert_events(writer, (target("late", START - step / 2, "192.0.2.9", severity),))
        reporter.store(target("a", START - step / 2, "192.0.2.1", severity))
        reporter.run(START)
        reporter.groups(group(ALICE, "192.0.2.0/24", timing={severity: {"period": period}}), *GROUPS[1:])
        if when == "after two runs":
            reporter.run(START + step)
            reporter.run(START + 2 * step)
        writer.commit()

    for number in range(1, 10):
        reporter.run(START + number * step)

    assert reporter.told() == {ALICE: ["a", "late"]}


# Findings 19 and 20: a group gives its clock up


def test_a_group_may_give_up_a_clock_that_is_as_far_as_the_run(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={"low": {"period": "1hr"}}), *GROUPS[1:])
    reporter.run(START)
    reporter.store(
        target("a", START + DAY - MINUTE, "192.0.2.1", "low"),
        target("b", START + DAY - MINUTE, severity="low"),
    )
    with dying(1):
        reporter.run(START + DAY)
    assert windows(reporter, ALICE, "low")[-1][1] == START + DAY
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={}), *GROUPS[1:])

    for number in range(4):
        reporter.run(START + DAY + number * DAY)

    assert reporter.told() == {ALICE: ["a"], BOB: ["b"]}
    assert windows(reporter, ALICE, "low") == []


def test_a_group_may_give_up_a_clock_that_is_ahead_of_the_common_one(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START)
    reporter.execute(
        "insert into mentat_reporter.run_window"
        " (clock, severity, lo, hi, fetch_lo, period, snap_xmin, own_xid, state)"
        " values (%s, 'low', %s, %s, %s, '10 min', '5', '5', 'done')",
        ALICE, START, START + 2 * DAY, START,
    )  # fmt: skip
    reporter.store(target("a", START + 2 * DAY + HOUR, "192.0.2.1", "low"))

    for number in range(5):
        reporter.run(START + 2 * DAY + number * DAY)

    assert reporter.told() == {ALICE: ["a"]}
    assert windows(reporter, ALICE, "low") == []


@pytest.mark.parametrize("stops", range(4))
def test_a_clock_that_is_given_up_repeats_nothing_when_a_run_stops_on_the_way(
    reporter: Reporter, stops: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={"low": {"period": "1hr"}}), *GROUPS[1:])
    reporter.store(
        *(target(f"{n:02}", START + n * 6 * HOUR - MINUTE, f"192.0.2.{n + 1}", "low") for n in range(21))
    )
    reporter.store(*(target(f"b {n}", START + n * DAY - HOUR, severity="low") for n in range(6)))
    reporter.run(START)
    for hours in range(1, 24, 3):
        reporter.run(START + hours * HOUR)
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={}), *GROUPS[1:])
    seen = [0]

    def out_of_time(_session: Session) -> bool:
        seen[0] += 1
        return seen[0] > stops

    with monkeypatch.context() as patch:
        patch.setattr(Session, "out_of_time", out_of_time)
        reporter.run(START + 4 * DAY)
    for number in range(4):
        reporter.run(START + 4 * DAY + TEN + number * DAY)

    assert reporter.told() == {ALICE: [f"{n:02}" for n in range(21)], BOB: [f"b {n}" for n in range(6)]}
    assert windows(reporter, ALICE, "low") == []
