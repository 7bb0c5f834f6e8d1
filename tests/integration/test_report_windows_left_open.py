"""A window left open: who comes next takes nothing away and repeats nothing (docs/reliability.md)."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest
from integration.helpers_run import (
    ADMIN,
    ALICE,
    BOB,
    CAROL,
    GROUPS,
    MINUTE,
    START,
    Reporter,
    Stored,
    changed,
    event,
    group,
    insert_events,
    reporter,
)
from integration.test_report_units import dying

from mentat_reporter.session import Session
from mentat_reporter.store.connection import Connection, connect

__all__ = ["reporter"]

TEN = 10 * MINUTE
OUTPUT = {"reports_events", "asoc_groups_reports", "outbox", "outbox_recipient"}
"""What a run in test mode or by hand writes."""
PLAYS: dict[str, dict[str, Any]] = {
    "dry": {"dry_run": True},
    "test mode": {"mail_test_mode": True},
    "test data": {"test_data": True},
    "dry test mode": {"dry_run": True, "mail_test_mode": True},
    "dry test data": {"dry_run": True, "test_data": True},
}
"""Runs that move no state although they are regular."""
AGES = pytest.mark.parametrize("age", [MINUTE, 8 * MINUTE], ids=["in the margin", "before the margin"])
"""How long before the window's end an event was stored: the next window fetches the young ones again."""


def high(event_id: str, at: datetime, address: str = "192.0.2.1") -> Stored:
    return event(event_id, at, address, severity="high")


def leave_open(reporter: Reporter, units: int, age: timedelta = MINUTE) -> None:
    """Let the run at START die when so many units are committed: Alice's, Bob's, Carol's, in this order."""
    reporter.store(
        high("a", START - age), high("b", START - age, "198.51.100.1"), high("c", START - age, "203.0.113.1")
    )
    with dying(units):
        reporter.run(START)


def go_on(reporter: Reporter, runs: int = 6) -> None:
    for number in range(1, runs + 1):
        reporter.run(START + number * TEN)


def last_report(reporter: Reporter) -> int:
    return max((int(report["id"]) for report in reporter.reports()), default=0)


def told_since(reporter: Reporter, since: int) -> list[tuple[str, list[str]]]:
    """Return chain and events of the reports stored after the one with the id `since`, in their order."""
    return [
        (" ".join(report["chain"]), report["statistics"]["list_ids"]) for report in reporter.reports(since)
    ]


@pytest.fixture
def house(reporter: Reporter) -> Reporter:
    """Give a reporter with three groups, whose clock has run."""
    reporter.groups()
    reporter.run(START - TEN)
    return reporter


@pytest.fixture
def writer(house: Reporter) -> Iterator[Connection]:
    """Give a connection that stores what becomes visible when it commits."""
    with closing(connect(house.dsn, what="writer", limits={})) as opened:
        yield opened


# Finding 1: runs that only look


@pytest.mark.parametrize("how", PLAYS)
@pytest.mark.parametrize("units", [0, 1, 2])
@AGES
def test_a_run_that_moves_no_state_leaves_an_open_window_as_it_is(
    house: Reporter, how: str, units: int, age: timedelta
) -> None:
    leave_open(house, units, age)
    before = house.tables()

    house.run(START, **PLAYS[how])
    house.run(START + TEN, **PLAYS[how])

    assert changed(before, house.tables()) <= (OUTPUT if how == "test mode" else set())
    played = last_report(house)
    go_on(house)
    owed = [(ALICE, ["a"]), (BOB, ["b"]), (CAROL, ["c"])][units:]
    assert told_since(house, played) == owed
    assert sorted(set(house.recipients()) - {ADMIN}) == [ALICE, BOB, CAROL]
    assert {window["state"] for window in house.windows()} == {"done"}


@AGES
def test_a_dry_run_foretells_of_an_open_window_what_is_not_told_yet(house: Reporter, age: timedelta) -> None:
    target: dict[str, Any] = {"targets": ("192.0.2.7",), "severity": None, "target_severity": "high"}
    house.store(event("t", START - age, "10.0.0.1", **target))
    leave_open(house, 2, age)

    plans = house.run(START, dry_run=True).plans

    assert [plan.split(":")[0] for plan in plans] == [f"summary high {BOB}", f"summary high {CAROL}"]


@pytest.mark.parametrize("how", ["test mode", "ad hoc", "dry"])
@AGES
def test_what_a_run_that_moves_no_state_told_of_an_open_window_is_told_by_production(
    house: Reporter, writer: Connection, how: str, age: timedelta
) -> None:
    insert_events(writer, (high("late", START - age, "192.0.2.9"),))
    leave_open(house, 1, age)
    writer.commit()

    if how == "ad hoc":
        house.ad_hoc(START - TEN, START)
    else:
        house.run(START, **PLAYS[how])

    played = last_report(house)
    go_on(house)
    assert sorted(told_since(house, played)) == [(ALICE, ["late"]), (BOB, ["b"]), (CAROL, ["c"])]


def test_an_open_window_of_a_groups_own_clock_is_left_as_it_is_too(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={"high": {"period": "20mins"}}), *GROUPS[1:])
    reporter.run(START - 2 * TEN)
    leave_open(reporter, 0, 15 * MINUTE)
    opened = [window["clock"] for window in reporter.windows() if window["state"] == "open"]
    assert sorted(opened) == ["", ALICE]
    before = reporter.tables()

    for how in PLAYS.values():
        reporter.run(START, **how)

    assert changed(before, reporter.tables()) <= OUTPUT
    played = last_report(reporter)
    go_on(reporter)
    assert sorted(told_since(reporter, played)) == [(ALICE, ["a"]), (BOB, ["b"]), (CAROL, ["c"])]


# Finding 2: what becomes visible between a kill and the resume


@pytest.mark.parametrize("units", [0, 1, 2])
@AGES
def test_what_becomes_visible_before_a_window_is_taken_up_is_told_once(
    house: Reporter, writer: Connection, units: int, age: timedelta
) -> None:
    insert_events(
        writer,
        (
            high("late a", START - age, "192.0.2.9"),
            high("late b", START - age, "198.51.100.9"),
            event("late target", START - age, "10.0.0.1", targets=("192.0.2.7",), severity=None,
                  target_severity="high"),
        ),
    )  # fmt: skip
    leave_open(house, units, age)
    writer.commit()

    go_on(house)

    assert house.told() == {ALICE: ["a", "late a", "late target"], BOB: ["b", "late b"], CAROL: ["c"]}
    assert house.rows("select * from mentat_reporter.thresholded_event") == []  # told twice, it is held


@AGES
def test_what_becomes_visible_after_a_run_out_of_time_is_told_once(
    house: Reporter, writer: Connection, age: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_events(writer, (high("late", START - age, "192.0.2.9"),))
    house.store(high("a", START - age), high("b", START - age, "198.51.100.1"))
    with monkeypatch.context() as patch:
        patch.setattr(Session, "out_of_time", lambda _self: True)
        house.run(START)
    assert house.told() == {ALICE: ["a"]}
    writer.commit()

    go_on(house)

    assert house.told() == {ALICE: ["a", "late"], BOB: ["b"]}


@AGES
def test_what_becomes_visible_while_a_window_is_taken_up_and_left_again_is_told_once_to_each(
    house: Reporter, writer: Connection, age: timedelta
) -> None:
    # Alice tells of `late` with the wide group in her chain; its other address is the wide group's alone
    wide = "abuse@april.example"
    house.groups(*GROUPS, group(wide, "192.0.0.0/16"))
    insert_events(writer, (event("late", START - age, "192.0.2.9", "192.0.9.8", severity="high"),))
    house.store(high("w", START - age, "192.0.9.9"))
    leave_open(house, 2, age)
    writer.commit()
    with dying(1):
        house.run(START)

    go_on(house)

    assert house.told() == {
        f"{ALICE} {wide}": ["a", "late"], wide: ["late", "w"], BOB: ["b"], CAROL: ["c"],
    }  # fmt: skip


# Finding 3: a network that moves before the resume


@AGES
def test_a_network_that_moved_to_a_group_that_was_served_already_loses_nothing(
    house: Reporter, age: timedelta
) -> None:
    leave_open(house, 1, age)
    house.execute(
        "update networks set group_id = (select id from groups where name = %s) where network = %s",
        ALICE, "198.51.100.0/24",
    )  # fmt: skip

    go_on(house)

    assert house.told() == {ALICE: ["a", "b"], CAROL: ["c"]}


@AGES
def test_a_network_that_became_visible_and_moved_is_told_to_its_owner_of_today_once(
    house: Reporter, writer: Connection, age: timedelta
) -> None:
    insert_events(writer, (high("late", START - age, "198.51.100.9"),))
    leave_open(house, 1, age)
    writer.commit()
    house.execute(
        "update networks set group_id = (select id from groups where name = %s) where network = %s",
        ALICE, "198.51.100.0/24",
    )  # fmt: skip
    with dying(1):
        house.run(START)

    go_on(house)

    assert house.told() == {ALICE: ["a", "b", "late"], CAROL: ["c"]}


# Finding 16: a time that is over before anything is done


@AGES
def test_a_run_without_time_works_one_unit_and_so_every_run_comes_further(
    house: Reporter, age: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "out_of_time", lambda _self: True)
    house.store(
        high("a", START - age), high("b", START - age, "198.51.100.1"), high("c", START - age, "203.0.113.1")
    )

    found = []
    for number in range(4):
        house.run(START + number * TEN)
        found.append(list(house.told()))

    assert found[:3] == [[ALICE], [ALICE, BOB], [ALICE, BOB, CAROL]]
    assert house.told() == {ALICE: ["a"], BOB: ["b"], CAROL: ["c"]}
    assert not [window for window in house.windows() if window["state"] == "open"]


@pytest.mark.parametrize("severity", ["critical", "high", "medium", "low", "info"])
def test_a_run_without_time_comes_to_severities_that_are_less_urgent(
    reporter: Reporter, severity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter.groups()
    reporter.store(event("one", START - MINUTE, severity=severity))
    monkeypatch.setattr(Session, "out_of_time", lambda _self: True)

    reporter.run(START)

    assert reporter.told() == {ALICE: ["one"]}
