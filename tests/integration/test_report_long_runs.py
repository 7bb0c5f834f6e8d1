"""What time does: purged windows, restored backups, clocks that ran ahead, runs that die late."""

from datetime import datetime, timedelta

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
    reporter,
)
from integration.test_report_units import dying

from mentat_reporter.session import Session
from mentat_reporter.store import state

__all__ = ["reporter"]

TEN = 10 * MINUTE


def target(event_id: str, at: datetime, address: str = "192.0.2.9", severity: str = "high") -> Stored:
    """Return an event that no threshold would hold back when it is told twice."""
    return event(event_id, at, "10.0.0.1", targets=(address,), severity=None, target_severity=severity)


def ends(reporter: Reporter, clock: str, severity: str) -> list[datetime]:
    return [
        window["hi"]
        for window in reporter.windows()
        if (window["clock"], window["severity"]) == (clock, severity)
    ]


# Finding 5: windows that are purged


def test_a_clock_with_a_period_longer_than_a_month_keeps_its_last_windows(reporter: Reporter) -> None:
    weeks = timedelta(weeks=5)
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={"low": {"period": "5weeks"}}), *GROUPS[1:])
    reporter.run(START)
    reporter.store(
        target("one", START + 20 * DAY, severity="low"),
        target("two", START + 2 * weeks - MINUTE, severity="low"),
        target("three", START + 2 * weeks + DAY, severity="low"),
    )

    for day in range(1, 111, 3):
        reporter.run(START + day * DAY)
    reporter.run(START + 3 * weeks + 5 * DAY)

    assert reporter.told() == {ALICE: ["one", "three", "two"]}
    own = [
        window for window in reporter.windows() if window["clock"] == ALICE and window["severity"] == "low"
    ]
    assert own[0]["hi"] == START  # what lies between is purged
    assert [window["hi"] for window in own[-2:]] == [own[-1]["lo"], own[-1]["hi"]]
    assert len(own) >= 3


@pytest.mark.parametrize("severity", ["low", "info", "medium"])
def test_after_a_long_outage_a_run_out_of_time_forgets_no_clock(
    reporter: Reporter, severity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter.groups()
    first = START - 100 * DAY
    reporter.run(first)
    reporter.store(target("early", first + DAY - MINUTE, severity=severity))
    reporter.run(first + DAY)
    reporter.run(first + 2 * DAY)
    reporter.store(
        target("lost?", first + 50 * DAY, severity=severity),
        event("urgent", START - DAY, severity="critical"),
    )
    covered = ends(reporter, "", severity)[-1]
    with monkeypatch.context() as patch:
        # the run comes no further than the more urgent severities
        patch.setattr("mentat_reporter.run.run_round", lambda *_: False)
        reporter.run(START)
    assert ends(reporter, "", severity)[-1] == covered

    for number in range(1, 4):
        reporter.run(START + number * TEN)

    assert reporter.told() == {ALICE: ["early", "lost?", "urgent"]}


def test_whatever_is_purged_a_clock_keeps_its_first_and_its_last_two_windows(reporter: Reporter) -> None:
    reporter.groups()
    for day in range(5):
        reporter.run(START + day * DAY)
    before = {severity: ends(reporter, "", severity) for severity in ("critical", "low")}

    state.forget_windows(reporter.connection, START + 400 * DAY)
    reporter.connection.commit()

    for severity, found in before.items():
        assert ends(reporter, "", severity) == [found[0], *found[-2:]]


# Finding 6: a restored events database


@pytest.mark.parametrize("ahead", [10**6, 2**40])
def test_a_restored_events_database_repeats_nothing_and_loses_nothing(reporter: Reporter, ahead: int) -> None:
    reporter.groups()
    reporter.run(START - 30 * HOUR)
    reporter.store(
        *(target(f"{hours:02}", START - hours * HOUR) for hours in (20, 10, 2)),
        event("source", START - 3 * HOUR, "198.51.100.1", severity="high"),
        event("wide", START - 3 * HOUR, "198.51.100.2", "203.0.113.2", severity="high"),
    )
    for hours in (25, 15, 5, 1):
        reporter.run(START - hours * HOUR)
    reporter.store(target("young", START - MINUTE))
    reporter.run(START)
    told = {ALICE: ["02", "10", "20", "young"], BOB: ["source", "wide"], CAROL: ["wide"]}
    assert reporter.told() == told
    reporter.execute(
        "update mentat_reporter.run_window set own_xid = (own_xid::text::bigint + %s)::text::xid8,"
        " snap_xmin = (snap_xmin::text::bigint + %s)::text::xid8",
        ahead, ahead,
    )  # fmt: skip

    reporter.store(target("new", START + MINUTE))
    fetched = []
    for number in range(1, 8):
        reporter.run(START + number * TEN)
        fetched.append(max(w["hi"] - w["fetch_lo"] for w in reporter.windows()[-2:]))

    assert reporter.told() == {**told, ALICE: ["02", "10", "20", "new", "young"]}
    assert reporter.rows("select * from mentat_reporter.thresholded_event") == []
    assert fetched[0] == DAY + TEN
    assert fetched[-1] == 15 * MINUTE  # the backup is overcome


def test_a_group_that_takes_a_clock_after_a_restore_is_told_nothing_again(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START - 30 * HOUR)
    reporter.store(target("old", START - 2 * HOUR))
    reporter.run(START - HOUR)
    reporter.run(START)
    reporter.execute("update mentat_reporter.run_window set own_xid = '1000000000', snap_xmin = '1000000000'")
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={"high": {"period": "30mins"}}), *GROUPS[1:])
    reporter.store(target("new", START + MINUTE), target("restored late", START - 4 * HOUR))

    for number in range(1, 8):
        reporter.run(START + number * TEN)

    assert reporter.told() == {ALICE: ["new", "old", "restored late"]}


# Finding 10: a run whose time lies ahead


def test_what_is_stored_after_a_run_that_was_ahead_of_the_clock_is_told(reporter: Reporter) -> None:
    reporter.groups()
    now = reporter.value("select date_bin('10 min', now(), 'epoch')")
    reporter.run(now)
    reporter.store(target("told ahead", now + MINUTE))
    reporter.run(now + DAY)
    assert reporter.told() == {ALICE: ["told ahead"]}

    # as if time went by: the moments lie in the window that is done
    reporter.store(
        target("an hour later", now + HOUR),
        event("by night", now + 13 * HOUR, "198.51.100.1", severity="low"),
        event("just before", now + DAY - MINUTE, "203.0.113.1", severity="info"),
    )
    for number in (1, 2, 3, 24, 25):
        reporter.run(now + DAY + number * HOUR)

    assert reporter.told() == {
        ALICE: ["an hour later", "told ahead"], BOB: ["by night"], CAROL: ["just before"],
    }  # fmt: skip


# Finding 11: bad events of a run that dies


@pytest.mark.parametrize("dies_in", ["high", "medium", "low"])
def test_a_bad_event_is_kept_although_the_run_dies_in_a_later_severity(
    reporter: Reporter, dies_in: str
) -> None:
    reporter.groups()
    reporter.run(START - 2 * DAY)
    reporter.store(
        event("bad", START - MINUTE, severity="critical")._replace(message=b"{"),
        event("good", START - MINUTE, "192.0.2.3", severity=dies_in),
    )
    with dying(0):
        reporter.run(START)

    kept = reporter.rows("select kind, reference, count from mentat_reporter.quarantine")
    assert kept == [("event", "bad", 1)]
    for number in range(1, 4):
        reporter.run(START + number * TEN)
    assert reporter.rows("select kind, reference, count from mentat_reporter.quarantine") == kept
    assert reporter.told() == {ALICE: ["good"]}


def test_a_bad_event_of_the_severity_in_which_a_run_died_is_kept_by_the_next(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START - TEN)
    reporter.store(
        event("bad", START - MINUTE, severity="high")._replace(message=b"{"),
        event("good", START - MINUTE, "192.0.2.3", severity="high"),
    )
    with dying(0):
        reporter.run(START)

    reporter.run(START + TEN)

    assert reporter.rows("select kind, reference from mentat_reporter.quarantine") == [("event", "bad")]


def test_a_bad_event_is_kept_although_the_time_is_over(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter.groups()
    reporter.run(START - TEN)
    reporter.store(
        event("bad", START - MINUTE, severity="high")._replace(message=b"{"),
        event("a", START - MINUTE, severity="high"),
        event("b", START - MINUTE, "198.51.100.1", severity="high"),
    )
    monkeypatch.setattr(Session, "out_of_time", lambda _self: True)

    reporter.run(START)

    assert reporter.rows("select kind, reference from mentat_reporter.quarantine") == [("event", "bad")]
