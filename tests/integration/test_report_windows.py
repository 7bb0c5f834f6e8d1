"""Which stored events a run covers, to the microsecond, late ones included (docs/semantics.md)."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from itertools import pairwise

import psycopg2.errors
import pytest
from integration.helpers_run import (
    ALICE,
    BOB,
    DAY,
    GROUPS,
    HOUR,
    JIFFY,
    MINUTE,
    START,
    Reporter,
    event,
    group,
    insert_events,
    reporter,
)

from mentat_reporter.core.window import DEFAULT_TIMING
from mentat_reporter.store.connection import connect

__all__ = ["reporter"]

TEN: timedelta = 10 * MINUTE


def spans(reporter: Reporter, severity: str, clock: str = "") -> list[tuple[datetime, datetime]]:
    return [
        (window["lo"], window["hi"])
        for window in reporter.windows()
        if (window["severity"], window["clock"]) == (severity, clock)
    ]


def test_the_first_run_covers_one_period_of_each_severity(reporter: Reporter) -> None:
    reporter.groups()

    result = reporter.run(START)

    assert {window["severity"]: (window["lo"], window["hi"]) for window in reporter.windows()} == {
        severity: (START - timing.period, START) for severity, timing in DEFAULT_TIMING.items()
    }
    assert [window.severity for window in result.windows] == ["critical", "high", "medium", "low", "info"]
    assert {window["state"] for window in reporter.windows()} == {"done"}


def test_what_is_not_due_is_said_and_nothing_of_it_is_fetched(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter.groups()
    reporter.run(START)
    reporter.store(event("new", START + MINUTE))
    asked: list[str] = []

    def stream(_connection: object, severity: str, *_bounds: object, **_options: object) -> Iterator[object]:
        asked.append(severity)
        yield from ()

    monkeypatch.setattr("mentat_reporter.store.events.stream", stream)

    result = reporter.run(START + TEN)

    assert sorted(asked) == ["critical", "high"]
    assert result.too_soon == {"medium": START + 2 * HOUR, "low": START + DAY, "info": START + DAY}
    assert "low: skipped-too-soon, due at 2026-05-05 12:00 UTC" in result.summary_lines()
    assert result.exit_code == 0
    assert reporter.reports() == []


def test_a_second_run_at_the_same_time_does_nothing(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", START - MINUTE))
    reporter.run(START)
    before = reporter.tables()

    result = reporter.run(START)

    assert result.windows == []
    assert len(result.too_soon) == 5
    assert reporter.tables() == before


def test_a_severity_is_due_exactly_when_its_period_has_elapsed(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START)

    for minutes in (10, 110, 120):
        reporter.run(START + minutes * MINUTE)

    assert spans(reporter, "medium")[1:] == [(START, START + 2 * HOUR)]
    assert spans(reporter, "high")[1:] == [
        (START, START + TEN),
        (START + TEN, START + 11 * TEN),
        (START + 11 * TEN, START + 12 * TEN),
    ]


@pytest.mark.parametrize("severity", ["low", "high"])
def test_a_gap_is_cut_into_days_and_the_remainder(reporter: Reporter, severity: str) -> None:
    reporter.groups()
    reporter.run(START)
    later = START + 2 * DAY + 7 * HOUR
    reporter.store(
        *(
            event(f"after {hours} hours", START + hours * HOUR, f"192.0.2.{hours}", severity=severity)
            for hours in (0, 23, 24, 47, 48, 54)
        )
    )

    result = reporter.run(later)

    edges = [START, START + DAY, START + 2 * DAY, later]
    assert spans(reporter, severity)[1:] == list(pairwise(edges))
    assert [(report["dt_from"], report["statistics"]["list_ids"]) for report in reporter.reports()] == [
        (START.replace(tzinfo=None), ["after 0 hours", "after 23 hours"]),
        ((START + DAY).replace(tzinfo=None), ["after 24 hours", "after 47 hours"]),
        ((START + 2 * DAY).replace(tzinfo=None), ["after 48 hours", "after 54 hours"]),
    ]
    assert result.counts[severity]["reported"] == 6  # type: ignore[index]  # one of the five


def test_windows_are_half_open_to_the_microsecond(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(
        *(
            event(name, at, f"192.0.2.{number}", severity="high")
            for number, (name, at) in enumerate(
                {
                    "before lo": START - TEN - JIFFY,
                    "at lo": START - TEN,
                    "before hi": START - JIFFY,
                    "at hi": START,
                    "after hi": START + JIFFY,
                }.items(),
                1,
            )
        )
    )

    reporter.run(START)
    first = reporter.reports()
    reporter.run(START + TEN)

    assert [report["statistics"]["list_ids"] for report in first] == [["at lo", "before hi"]]
    assert reporter.told() == {ALICE: ["after hi", "at hi", "at lo", "before hi"]}


@pytest.mark.parametrize(
    ("interval", "floored"),
    [
        ("10_minutes", START + TEN),
        ("5_minutes", START + 15 * MINUTE),
        ("hourly", START),
        ("daily", START - 12 * HOUR),
    ],
)
def test_the_time_of_a_regular_run_is_rounded_down_to_the_interval(
    reporter: Reporter, interval: str, floored: datetime
) -> None:
    reporter.groups()

    reporter.run(START + 17 * MINUTE + 59 * JIFFY, interval=interval)

    assert {window["hi"] for window in reporter.windows()} == {floored}


def test_without_a_given_time_the_clock_of_the_database_is_read_once(reporter: Reporter) -> None:
    reporter.groups()
    [(before,)] = reporter.rows("select now()")

    reporter.run()

    [(after,)] = reporter.rows("select now()")
    [hi] = {window["hi"] for window in reporter.windows()}
    assert before - TEN < hi <= after
    assert (hi.minute % 10, hi.second, hi.microsecond) == (0, 0, 0)


def test_a_clock_set_back_opens_no_window_and_is_warned_of(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    reporter.groups()
    reporter.run(START)
    windows = reporter.windows()

    result = reporter.run(START - 3 * HOUR)

    assert reporter.windows() == windows
    assert set(result.too_soon) == set(DEFAULT_TIMING)
    warned = [record.getMessage() for record in caplog.records if "was the clock set back?" in record.message]
    assert [line.partition(" ")[0] for line in warned] == ["critical", "high", "medium"]


# Clocks of their own


def test_a_group_with_its_own_period_is_due_on_its_own_clock(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={"low": {"period": "6hrs"}}), *GROUPS[1:])
    times = [START + 6 * number * HOUR for number in range(5)]
    reporter.store(
        *(event(f"alice {at:%d %H}", at - MINUTE, "192.0.2.1", event_class=f"c{at:%H}") for at in times[1:]),
        *(event(f"bob {at:%d %H}", at - MINUTE, "198.51.100.1", event_class=f"c{at:%H}") for at in times[1:]),
    )

    for at in times:
        reporter.run(at)

    assert spans(reporter, "low", ALICE) == [(at - 6 * HOUR, at) for at in times]
    assert spans(reporter, "low") == [(START - DAY, START), (START, START + DAY)]
    found = sorted((report["chain"], report["delta"]) for report in reporter.reports())
    assert found == [*[([ALICE], 6 * 3600)] * 4, ([BOB], 24 * 3600)]
    assert {name: len(ids) for name, ids in reporter.told().items()} == {ALICE: 4, BOB: 4}


def test_a_slow_clock_is_cut_into_its_periods_and_delays_nobody(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={"low": {"period": "2days"}}), *GROUPS[1:])
    reporter.run(START)
    reporter.store(
        *(event(f"alice {day}", START + day * DAY, f"192.0.2.{day + 1}") for day in range(5)),
        *(event(f"bob {day}", START + day * DAY, f"198.51.100.{day + 1}") for day in range(5)),
    )

    reporter.run(START + DAY)
    assert reporter.told() == {BOB: ["bob 0"]}
    reporter.run(START + 5 * DAY)

    assert spans(reporter, "low", ALICE)[1:] == [
        (START, START + 2 * DAY),
        (START + 2 * DAY, START + 4 * DAY),
        (START + 4 * DAY, START + 5 * DAY),
    ]
    assert reporter.told() == {
        ALICE: [f"alice {day}" for day in range(5)],
        BOB: [f"bob {day}" for day in range(5)],
    }


def test_own_thresholds_alone_make_no_clock(reporter: Reporter) -> None:
    reporter.groups(
        group(ALICE, "192.0.2.0/24", timing={"low": {"threshold": "1day", "relapse": "none"}}), *GROUPS[1:]
    )

    reporter.run(START)

    assert {window["clock"] for window in reporter.windows()} == {""}


def test_taking_a_clock_and_giving_it_up_loses_and_repeats_nothing(reporter: Reporter) -> None:
    fast = group(ALICE, "192.0.2.0/24", timing={"low": {"period": "1hr"}})
    reporter.groups()
    reporter.store(
        *(
            event(f"{number:02}", START + number * HOUR - 30 * MINUTE, f"192.0.2.{number + 1}")
            for number in range(76)
        )
    )
    reporter.run(START)

    reporter.groups(fast)
    for hours in (1, 2, 24, 25, 26):
        reporter.run(START + hours * HOUR)
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={}))
    for hours in (27, 40, 48, 49, 72):
        reporter.run(START + hours * HOUR)

    assert reporter.told() == {ALICE: [f"{number:02}" for number in range(73)]}
    assert spans(reporter, "low", ALICE) == []
    assert spans(reporter, "low")[-1] == (START + 2 * DAY, START + 3 * DAY)


# What becomes visible late


def test_an_event_stored_with_an_old_time_is_reported_once(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("in time", START - MINUTE, severity="high"))
    reporter.run(START)
    reporter.store(event("late", START - 4 * MINUTE, "192.0.2.2", severity="high"))

    for number in range(1, 4):
        reporter.run(START + number * TEN)

    assert reporter.told() == {ALICE: ["in time", "late"]}


def test_an_event_is_late_within_the_margin_to_the_microsecond(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START - TEN)
    reporter.run(START)
    reporter.store(
        event("at the margin", START - 5 * MINUTE, "192.0.2.1", severity="high"),
        event("beyond it", START - 5 * MINUTE - JIFFY, "192.0.2.2", severity="high"),
    )

    reporter.run(START + TEN)
    reporter.run(START + 2 * TEN)

    assert reporter.told() == {ALICE: ["at the margin"]}


def test_the_margin_is_configured(reporter: Reporter) -> None:
    reporter.config["__core__reporter"]["late_margin"] = "0s"
    reporter.groups()
    reporter.run(START)
    reporter.store(event("late", START - JIFFY, severity="high"))

    reporter.run(START + TEN)

    assert reporter.windows()[-1]["fetch_lo"] == START
    assert reporter.told() == {}


@pytest.mark.parametrize(("minutes", "step"), [(6, 1), (180, 7), (23 * 60, 23)])
def test_an_event_committed_after_its_window_is_reported_once(
    reporter: Reporter, minutes: int, step: int
) -> None:
    reporter.groups()
    reporter.run(START)
    steps = [START + number * TEN for number in range(1, minutes // 10 + 3, step)]
    late_from = START + 10 * MINUTE - JIFFY
    with closing(connect(reporter.dsn, what="writer", limits={})) as writer:
        with writer.cursor() as cursor:
            cursor.execute("savepoint batch")  # bulk writers use subtransactions
        insert_events(writer, (event("late", late_from, severity="high"),))
        for at in steps:
            reporter.store(event(f"on time {at}", at - MINUTE, f"198.51.100.{at.hour + 1}", severity="high"))
            reporter.run(at)
        assert ALICE not in reporter.told()
        writer.commit()

    for number in range(1, 4):
        reporter.run(steps[-1] + number * TEN)

    assert reporter.told()[ALICE] == ["late"]
    assert len(reporter.told()[BOB]) == len(set(reporter.told()[BOB]))


def test_nothing_stored_before_the_first_window_is_ever_fetched(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("too old", START - TEN - JIFFY, severity="high"))

    for number in range(4):
        reporter.run(START + number * TEN)

    assert reporter.told() == {}
    assert [window["fetch_lo"] for window in reporter.windows() if window["severity"] == "high"] == [
        START - TEN,  # the first fetches from its lo
        START - 5 * MINUTE,
        START + 5 * MINUTE,
        START + 15 * MINUTE,
    ]


def hand_computed(reporter: Reporter, *windows: tuple[int, int]) -> None:
    """Store windows of ten minutes up to START, of which each was opened at (snap_xmin, own_xid)."""
    for number, (snap_xmin, own_xid) in enumerate(windows):
        hi = START - (len(windows) - 1 - number) * TEN
        reporter.execute(
            "insert into mentat_reporter.run_window (clock, severity, lo, hi, fetch_lo, period, snap_xmin,"
            " own_xid, state) values ('', 'high', %s, %s, %s, '10 min', %s, %s, 'done')",
            hi - TEN, hi, hi - TEN, str(snap_xmin), str(own_xid),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("windows", "fetch_lo"),
    [
        # (snap_xmin, own_xid) of each window, the last one ended at START. The margin is five minutes.
        pytest.param([(100, 100), (110, 110), (120, 120)], START - 5 * MINUTE, id="nobody writes"),
        pytest.param([(100, 100), (105, 110), (105, 120)], START - 2 * TEN - 5 * MINUTE, id="one writer"),
        pytest.param([(100, 100), (110, 110), (115, 120)], START - TEN - 5 * MINUTE, id="since the second"),
        pytest.param([(100, 100), (101, 110), (110, 120)], START - TEN - 5 * MINUTE, id="at the own xid"),
        pytest.param([(50, 100), (50, 110), (50, 120)], START - 3 * TEN, id="older than the clock: from F"),
        pytest.param([(120, 120)], START - 5 * MINUTE, id="after the first window"),
        pytest.param([(119, 120)], START - TEN, id="the first window is not below itself"),
    ],
)
def test_fetching_begins_where_the_formula_says(
    reporter: Reporter, windows: list[tuple[int, int]], fetch_lo: datetime
) -> None:
    reporter.groups()
    hand_computed(reporter, *windows)

    reporter.run(START + TEN)

    [opened] = [found for found in reporter.windows() if found["severity"] == "high" and found["hi"] > START]
    assert opened["fetch_lo"] == fetch_lo
    assert int(opened["snap_xmin"]) <= int(opened["own_xid"])


def test_a_restored_database_is_read_a_day_back(reporter: Reporter) -> None:
    reporter.groups()
    windows = 150
    hand_computed(reporter, *[(10**9 + number, 10**9 + number) for number in range(windows)])

    reporter.run(START + TEN)

    [opened] = [found for found in reporter.windows() if found["severity"] == "high" and found["hi"] > START]
    assert opened["fetch_lo"] == START - DAY


def test_a_second_open_window_of_a_clock_is_fenced(reporter: Reporter) -> None:
    insert = (
        "insert into mentat_reporter.run_window (clock, severity, lo, hi, fetch_lo, period, state)"
        " values ('', 'high', %s, %s, %s, '10 min', 'open')"
    )
    reporter.execute(insert, START - TEN, START, START - TEN)

    with pytest.raises(psycopg2.errors.UniqueViolation, match="run_window_open"):
        reporter.execute(insert, START, START + TEN, START)


# The ledger


def ledger(reporter: Reporter) -> dict[str, str]:
    return dict(
        reporter.rows("select event_id, group_name from mentat_reporter.considered where group_name <> ''")
    )


def test_the_ledger_holds_only_what_a_later_window_may_fetch_again(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(
        event("old", START - 5 * MINUTE - JIFFY, "192.0.2.1", severity="high"),
        event("young", START - 5 * MINUTE, "192.0.2.2", severity="high"),
        event("young for bob", START - MINUTE, "198.51.100.2", severity="high"),
    )

    reporter.run(START)

    assert ledger(reporter) == {"young": ALICE, "young for bob": BOB}


def test_the_ledger_is_purged_when_nobody_can_fetch_its_events(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("young", START - MINUTE, severity="high"))
    reporter.run(START)

    reporter.run(START + TEN)

    assert reporter.rows("select * from mentat_reporter.considered") == []


def test_the_ledger_keeps_what_a_long_transaction_makes_fetched_again(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START)
    with closing(connect(reporter.dsn, what="writer", limits={})) as writer:
        insert_events(writer, (event("slow", START + MINUTE, "192.0.2.9", severity="high"),))
        reporter.store(event("quick", START + MINUTE, severity="high"))
        for number in range(1, 5):
            reporter.run(START + number * TEN)
        assert ledger(reporter) == {"quick": ALICE}
        writer.commit()

    for number in range(5, 8):
        reporter.run(START + number * TEN)

    assert reporter.told() == {ALICE: ["quick", "slow"]}
    assert reporter.rows("select * from mentat_reporter.considered") == []


def test_windows_of_the_last_month_are_kept_and_the_first(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START - 40 * DAY)
    reporter.run(START - 39 * DAY)
    reporter.run(START - 20 * DAY)

    reporter.run(START)

    low = [hi for _, hi in spans(reporter, "low")]
    assert low[0] == START - 40 * DAY
    assert low[1] >= START - 30 * DAY
    assert low[-1] == START
