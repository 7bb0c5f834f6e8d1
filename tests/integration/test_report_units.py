"""One transaction a unit: who fails or is killed harms nobody, and is made good (docs/reliability.md)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

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

from mentat_reporter import dispatch, unit
from mentat_reporter.mails import mails_of
from mentat_reporter.session import Session

__all__ = ["reporter"]

TEN = 10 * MINUTE
FAULT = """
create function fault() returns trigger language plpgsql as $$
begin
    if exists (select from groups where id = new.group_id and name = '{group}') then
        raise exception 'the disk is full';
    end if;
    return new;
end $$;
create trigger fault before insert on asoc_groups_reports for each row execute function fault();
"""
FULL = "RaiseException: the disk is full"
REPAIR = "drop trigger fault on asoc_groups_reports; drop function fault"


def store_round(reporter: Reporter, number: int = 0, before: timedelta = MINUTE) -> None:
    """Store an event of each of the three groups in the window that ends `number` times ten minutes later.

    `before` its end: within the margin, so that the next window fetches them again, unless told otherwise.
    """
    at = START + number * TEN - before
    reporter.store(
        *(
            event(f"{name} {number}", at, f"{prefix}.{number + 1}", severity="high")
            for name, prefix in {"a": "192.0.2", "b": "198.51.100", "c": "203.0.113"}.items()
        )
    )


def retries(reporter: Reporter) -> list[tuple[Any, ...]]:
    return reporter.rows(
        "select group_name, hi, attempts, next_attempt from mentat_reporter.unit_retry order by hi"
    )


@pytest.fixture
def failing(reporter: Reporter) -> Reporter:
    """Give a reporter with an event of each of three groups, where Bob's reports cannot be stored."""
    reporter.groups()
    store_round(reporter)
    reporter.execute(FAULT.format(group=BOB))
    return reporter


def test_a_unit_that_fails_is_named_and_the_others_are_served(failing: Reporter) -> None:
    result = failing.run(START)

    assert result.exit_code == 3
    assert [line for line in result.failures if BOB in line] == [
        f"group {BOB}, high source failed and will be tried again: {FULL}"
    ]
    assert failing.told() == {ALICE: ["a 0"], CAROL: ["c 0"]}
    assert sorted(failing.recipients()) == [ALICE, CAROL]
    assert {window["state"] for window in failing.windows()} == {"done"}


def test_a_unit_that_fails_leaves_nothing_but_its_own_bounds_and_what_it_owes(failing: Reporter) -> None:
    failing.run(START)

    [row] = failing.dicts("select * from mentat_reporter.unit_retry")
    assert (row["group_name"], row["severity"], row["direction"], row["clock"]) == (BOB, "high", "source", "")
    assert (row["lo"], row["hi"], row["fetch_lo"], row["period"]) == (START - TEN, START, START - TEN, TEN)
    assert (row["attempts"], row["next_attempt"], row["event_ids"]) == (1, START + TEN, ["b 0"])
    assert "the disk is full" in row["error"]
    for table in ("threshold", "thresholded_event"):
        assert failing.rows(f"select * from mentat_reporter.{table} where group_name = %s", BOB) == []
    assert (
        failing.rows("select a.address from mentat_reporter.outbox_recipient a where a.address = %s", BOB)
        == []
    )
    kept = failing.rows("select kind, reference, count from mentat_reporter.quarantine")
    assert kept == [("group", f"group {BOB}, high source", 1)]


def test_the_next_run_makes_good_what_failed(failing: Reporter) -> None:
    failing.run(START)
    failing.execute(REPAIR)
    store_round(failing, 1)

    result = failing.run(START + TEN)

    assert result.exit_code == 0
    assert retries(failing) == []
    told = [
        (report["chain"], report["dt_to"], report["statistics"]["list_ids"]) for report in failing.reports()
    ]
    naive = START.replace(tzinfo=None)
    assert told[2:] == [
        ([BOB], naive, ["b 0"]),  # with the bounds of its own, and before all that is new
        ([ALICE], naive + TEN, ["a 1"]),
        ([BOB], naive + TEN, ["b 1"]),
        ([CAROL], naive + TEN, ["c 1"]),
    ]
    thresholds = failing.rows("select group_name from mentat_reporter.threshold order by 1")
    assert thresholds == [(name,) for name in (ALICE, ALICE, BOB, BOB, CAROL, CAROL)]


def test_a_failed_unit_is_left_alone_for_ten_minutes(failing: Reporter) -> None:
    failing.run(START)
    failing.execute(REPAIR)

    failing.run(START + 5 * MINUTE, interval="5_minutes")

    assert retries(failing) == [(BOB, START, 1, START + TEN)]
    failing.run(START + TEN, interval="5_minutes")
    assert retries(failing) == []
    assert failing.told()[BOB] == ["b 0"]


def test_later_windows_wait_behind_a_failed_one(failing: Reporter) -> None:
    failing.run(START)
    store_round(failing, 1)
    second = failing.run(START + TEN)
    store_round(failing, 2)
    failing.run(START + 2 * TEN)

    assert [line for line in second.failures if "waits" in line] == [
        f"group {BOB}, high source waits: its earlier window failed"
    ]
    assert failing.told() == {ALICE: ["a 0", "a 1", "a 2"], CAROL: ["c 0", "c 1", "c 2"]}
    assert [(hi, attempts) for _, hi, attempts, _ in retries(failing)] == [
        (START, 3),
        (START + TEN, 0),
        (START + 2 * TEN, 0),
    ]

    failing.execute(REPAIR)
    store_round(failing, 3)
    failing.run(START + 3 * TEN)

    assert retries(failing) == []
    bob = [report["statistics"]["list_ids"] for report in failing.reports() if report["chain"] == [BOB]]
    assert bob == [["b 0"], ["b 1"], ["b 2"], ["b 3"]]


def test_after_ten_failures_a_unit_is_kept_and_said_and_later_windows_are_served(failing: Reporter) -> None:
    for number in range(1, 10):
        failing.run(START + (number - 1) * TEN)
    assert [attempts for _, _, attempts, _ in retries(failing)] == [9]

    tenth = failing.run(START + 9 * TEN)

    farewell = (
        f"group {BOB}, high source failed 10 times for the window up to 2026-05-04 12:00 UTC"
        f" and is given up: {FULL}; see docs/operations.md"
    )
    assert farewell in tenth.failures
    assert not any("will be tried again" in line for line in tenth.failures)
    assert tenth.exit_code == 3
    assert retries(failing) == [(BOB, START, 10, None)]

    failing.execute(REPAIR)
    store_round(failing, 10)
    after = failing.run(START + 10 * TEN)

    assert after.exit_code == 3  # until somebody looks
    assert after.failures == [farewell]
    assert failing.told()[BOB] == ["b 10"]
    assert retries(failing) == [(BOB, START, 10, None)]


def test_what_waited_behind_a_unit_that_is_given_up_is_served_by_the_next_run(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(
        *(event(f"b {n}", START + n * TEN - MINUTE, f"198.51.100.{n + 1}", severity="high") for n in range(4))
    )
    reporter.execute(
        "create function fault() returns trigger language plpgsql as $$ begin"
        " if new.dt_to = '2026-05-04 12:00' then raise exception 'not this one'; end if; return new; end $$;"
        "create trigger fault before insert on reports_events for each row execute function fault()"
    )
    reporter.run(START)
    reporter.run(START + TEN)
    reporter.execute("update mentat_reporter.unit_retry set attempts = 9 where attempts > 0")

    for number in (2, 3):
        reporter.run(START + number * TEN)

    assert retries(reporter) == [(BOB, START, 10, None)]
    assert [report["statistics"]["list_ids"] for report in reporter.reports()] == [["b 1"], ["b 2"], ["b 3"]]


def test_a_unit_that_was_given_up_repeats_nothing_when_an_operator_lets_it_try_again(
    reporter: Reporter,
) -> None:
    reporter.groups()
    for number in range(5):
        reporter.store(
            event(f"b {number}", START + (number - 5) * MINUTE, f"198.51.100.{number}", severity="high")
        )
    reporter.store(event("only there", START - TEN, "198.51.100.9", severity="high"))
    reporter.execute(FAULT.format(group=BOB))
    reporter.run(START)
    reporter.execute("update mentat_reporter.unit_retry set next_attempt = null, attempts = 10")
    reporter.execute(REPAIR)
    for number in range(1, 4):
        reporter.store(
            event(f"more {number}", START + number * TEN - MINUTE, "198.51.100.50", severity="high")
        )
        reporter.run(START + number * TEN)
    assert reporter.told() == {BOB: ["more 1"]}

    reporter.execute("update mentat_reporter.unit_retry set next_attempt = %s", START)
    reporter.run(START + 4 * TEN)
    reporter.run(START + 5 * TEN)

    held = reporter.rows("select event_id from mentat_reporter.thresholded_event order by 1")
    assert held == [("more 2",), ("more 3",)]  # no event that was told before
    assert reporter.told() == {BOB: ["b 0", "b 1", "b 2", "b 3", "b 4", "more 1", "only there"]}
    assert reporter.rows("select * from mentat_reporter.considered") == []


def test_a_failed_unit_is_reported_once_although_its_events_are_fetched_again(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("b 0", START - MINUTE, "198.51.100.1", severity="high"))
    reporter.execute(FAULT.format(group=BOB))
    reporter.run(START)
    reporter.run(START + TEN)  # within the margin: the second window reads the event again
    reporter.execute(REPAIR)

    for number in range(2, 5):
        reporter.run(START + number * TEN)

    assert reporter.told() == {BOB: ["b 0"]}


def test_a_failing_unit_keeps_its_thresholds_until_it_is_made_good(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("first", START - MINUTE, severity="high"))
    reporter.run(START)
    reporter.store(event("held", START + 20 * HOUR, severity="high"))
    reporter.run(START + 20 * HOUR + TEN)
    reporter.execute(FAULT.format(group=ALICE))

    reporter.run(START + DAY)
    reporter.run(START + DAY + TEN)
    assert reporter.value("select count(*) from mentat_reporter.thresholded_event") == 1
    reporter.execute(REPAIR)
    reporter.run(START + DAY + 2 * TEN)

    [_, relapse] = reporter.reports()
    assert relapse["evcount_rlp"] == 1
    assert relapse["dt_to"] == (START + DAY).replace(tzinfo=None)


def test_what_a_failed_unit_owes_is_told_to_whom_it_belongs_when_it_is_made_good(failing: Reporter) -> None:
    failing.run(START)
    failing.execute(
        "update networks set group_id = (select id from groups where name = %s) where group_id = 2", ALICE
    )

    failing.run(START + TEN)

    assert failing.told() == {ALICE: ["a 0", "b 0"], CAROL: ["c 0"]}
    assert retries(failing) == []


def test_what_a_group_owes_that_is_gone_is_counted_as_nobodys(failing: Reporter) -> None:
    failing.run(START)
    failing.execute("update groups set enabled = false where name = %s", BOB)

    result = failing.run(START + TEN)

    assert result.counts["high"]["unowned"] == 1
    assert retries(failing) == []


def test_a_unit_that_cannot_be_rendered_fails_alone(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter.groups()
    store_round(reporter)

    def fails_for_bob(session: Session, built: Any) -> Any:
        if any(report.chain == (BOB,) for report in built):
            raise OSError(28, "No space left on device")
        return mails_of(session, built)

    with monkeypatch.context() as patch:
        patch.setattr(unit, "mails_of", fails_for_bob)
        assert reporter.run(START).exit_code == 3
    reporter.run(START + TEN)

    assert reporter.told() == {ALICE: ["a 0"], BOB: ["b 0"], CAROL: ["c 0"]}
    assert sorted(reporter.recipients()) == [ALICE, BOB, CAROL]


def test_a_mode_that_asks_for_extras_fails_and_is_made_good_as_a_whole(reporter: Reporter) -> None:
    reporter.groups(group(BOB, "198.51.100.0/24", mode="both"))
    reporter.store(
        *(event(str(number), START - MINUTE, f"198.51.100.{number}", severity="high") for number in (1, 2, 3))
    )
    reporter.execute(
        "create function fault() returns trigger language plpgsql as $$ begin"
        " if new.type = 'extra' then raise exception 'no extras today'; end if; return new; end $$;"
        "create trigger fault before insert on reports_events for each row execute function fault()"
    )
    reporter.run(START)
    assert reporter.reports() == []
    assert reporter.mails() == []
    reporter.execute("drop trigger fault on reports_events")

    reporter.run(START + TEN)

    assert [report["type"] for report in reporter.reports()] == ["summary", "extra", "extra", "extra"]
    assert len(reporter.mails()) == 4


# Killed


class Killed(BaseException):
    """What no `except Exception` catches."""


@contextmanager
def dying(units: int, error: type[BaseException] = Killed) -> Iterator[None]:
    """Let a run die in the unit that comes after so many."""
    real = unit.work
    left = [units]

    def work(*arguments: Any) -> None:
        if left[0] == 0:
            raise error
        left[0] -= 1
        real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unit, "work", work)
        with pytest.raises(error):
            yield


@pytest.mark.parametrize(
    ("units", "error"), [(0, Killed), (1, Killed), (2, Killed), (1, KeyboardInterrupt), (1, SystemExit)]
)
def test_a_killed_run_is_taken_up_with_its_bounds_and_repeats_nothing(
    reporter: Reporter, units: int, error: type[BaseException]
) -> None:
    reporter.groups()
    store_round(reporter, before=TEN - MINUTE)
    with dying(units, error):
        reporter.run(START)
    [killed] = [window for window in reporter.windows() if window["state"] == "open"]
    told_before = reporter.told()
    store_round(reporter, 1)

    reporter.run(START + TEN)

    windows = [window for window in reporter.windows() if window["severity"] == "high"]
    assert windows[0] == {**killed, "state": "done"}
    assert [(window["lo"], window["hi"]) for window in windows] == [
        (START - TEN, START),
        (START, START + TEN),
    ]
    assert list(told_before.values()) == [["a 0"], ["b 0"]][:units]
    assert reporter.told() == {ALICE: ["a 0", "a 1"], BOB: ["b 0", "b 1"], CAROL: ["c 0", "c 1"]}
    assert sorted(reporter.recipients()) == sorted([ALICE, BOB, CAROL] * 2)
    assert reporter.rows("select * from mentat_reporter.unit_done") == []
    assert reporter.rows("select * from mentat_reporter.thresholded_event") == []  # told twice, it is held


def test_a_run_killed_before_its_mail_went_leaves_it_to_the_next(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killing(_session: Session, only: object) -> None:
        if only is None and reporter.reports():
            raise Killed

    reporter.groups()
    store_round(reporter)
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "deliver", killing)
        with pytest.raises(Killed):
            reporter.run(START)
    assert reporter.mails() == []
    waiting = reporter.rows("select message_id, sha256 from mentat_reporter.outbox order by id")

    reporter.run(START + TEN)

    assert sorted(reporter.recipients()) == [ALICE, BOB, CAROL]
    assert sorted(mail["Message-ID"] for mail in reporter.mails()) == sorted(row[0] for row in waiting)
    assert reporter.rows("select message_id, sha256 from mentat_reporter.outbox order by id") == waiting


def test_a_run_killed_between_units_of_a_relapse_tells_it_once(reporter: Reporter) -> None:
    reporter.groups()
    addresses = {ALICE: "192.0.2.1", BOB: "198.51.100.1"}
    for name, at in {"first": START - MINUTE, "held": START + 20 * HOUR}.items():
        reporter.store(
            *(event(f"{name} {who}", at, address, severity="high") for who, address in addresses.items())
        )
    reporter.run(START)
    reporter.run(START + 20 * HOUR + TEN)
    with dying(1, Killed):
        reporter.run(START + DAY)
    reporter.run(START + DAY + TEN)

    relapses = [report["chain"] for report in reporter.reports() if report["evcount_rlp"]]
    assert relapses == [[ALICE], [BOB]]


def test_a_run_out_of_time_stops_between_units_and_the_next_goes_on(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reporter.groups()
    store_round(reporter)
    with monkeypatch.context() as patch:
        patch.setattr(Session, "out_of_time", lambda self: self.result.total("reports") > 0)
        reporter.run(START)
    assert reporter.told() == {ALICE: ["a 0"]}
    assert "out of time (--max-runtime): the next run goes on here" in caplog.messages

    reporter.run(START + TEN)

    assert reporter.told() == {ALICE: ["a 0"], BOB: ["b 0"], CAROL: ["c 0"]}
    assert {window["state"] for window in reporter.windows()} == {"done"}
