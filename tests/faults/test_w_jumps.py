"""W3: clocks that are set back, or were ahead: every event is told once (docs/reliability.md)."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from faults.helpers_told import (
    SETTLED,
    SEVERITIES,
    TEN,
    address,
    attack,
    crowd,
    ends,
    every,
    house,
    once,
    owed,
    told_or_held,
)
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    HOUR,
    JIFFY,
    MINUTE,
    START,
    Reporter,
    Stored,
    group,
    reporter,
)

__all__ = ["reporter"]


def warnings(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    """Return which severities were warned of, or whatever else the lines begin with."""
    return [
        record.getMessage().partition(" ")[0]
        for record in caplog.records
        if record.levelno == logging.WARNING and text in record.getMessage()
    ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Give a function that sets the clock of the database: a run that is told no time reads it."""

    def turn(now: datetime) -> None:
        monkeypatch.setattr("mentat_reporter.store.state.now", lambda _connection: now)

    return turn


def newcomers(now: datetime, number: int) -> dict[tuple[str, str], Stored]:
    """Return an event of each group and severity, stored nine minutes ago."""
    found = {}
    for (name, event_id), made in crowd([now - 9 * MINUTE] * 2).items():
        renamed = f"{event_id} {number} at {now:%d %H:%M}"
        found[name, renamed] = made._replace(id=renamed)
    return found


@pytest.mark.parametrize("back", [8 * MINUTE, 2 * HOUR, 30 * HOUR], ids=str)
def test_w3_what_is_stored_in_hours_that_a_clock_set_back_repeats_is_told_once(
    reporter: Reporter, clock: Callable[[datetime], None], back: timedelta
) -> None:
    reporter.groups(*house())
    for days in (2, 1):
        reporter.run(START - days * DAY)
    events = crowd([*every(START - DAY, START, 90 * MINUTE), START - JIFFY])
    reporter.store(*events.values())
    reporter.run(START)
    reporter.run(START + TEN)

    for number in range(min(int(back / TEN), 20) + 3):
        now = START + TEN - back + number * TEN
        fresh = {key: found for key, found in newcomers(now, number).items() if "001" in key[1]}
        events |= fresh
        reporter.store(*fresh.values())
        clock(now)
        reporter.run()
    for days in range(1, 10):
        reporter.run(START + TEN + days * DAY)

    assert told_or_held(reporter) == once(events)
    assert owed(reporter) == SETTLED


def test_w3_a_clock_set_back_opens_no_window_and_is_warned_of_once_it_is_more_than_a_period(
    reporter: Reporter, clock: Callable[[datetime], None], caplog: pytest.LogCaptureFixture
) -> None:
    reporter.groups()
    reporter.run(START)
    before = ends(reporter)

    clock(START - 2 * HOUR)
    result = reporter.run()

    assert (ends(reporter), result.windows) == (before, [])
    assert warnings(caplog, "was the clock set back?") == ["critical", "high"]
    caplog.clear()
    clock(START - 2 * HOUR - TEN)
    reporter.run()
    assert warnings(caplog, "was the clock set back?") == ["critical", "high", "medium"]


YEARS = 5 * 365 * DAY


def high(name: str, *times: datetime, prefix: str = "") -> dict[tuple[str, str], Stored]:
    """Return events of one group at these times, none of which holds another back."""
    ids = [f"{name[6]} {prefix} {at:%Y-%m-%d %H:%M:%S.%f}" for at in times]
    return {
        (name, event_id): attack(event_id, at, address(name, number))
        for number, (event_id, at) in enumerate(zip(ids, times, strict=True))
    }


def cover_common(reporter: Reporter, hi: datetime) -> None:
    """Spare a test the thousands of windows of the common clock."""
    for severity in SEVERITIES:
        reporter.execute(
            "insert into mentat_reporter.run_window (clock, severity, lo, hi, fetch_lo, period, state)"
            " values ('', %s, %s, %s, %s, '10 min', 'done')", severity, hi - DAY, hi, hi - DAY,
        )  # fmt: skip


def test_w3_after_a_rehearsal_five_years_ahead_all_that_is_stored_meanwhile_is_told_once(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    reporter.groups(group(ALICE, "10.1.0.0/16", timing={"high": {"period": "4weeks"}}))
    now = reporter.value("select date_bin('10 min', now(), 'epoch')")
    reporter.run(now)
    cover_common(reporter, now + 2 * YEARS)
    events = high(ALICE, now, now + TEN)
    reporter.store(*events.values())

    reporter.run(now + YEARS)

    assert told_or_held(reporter) == once(events)
    assert warnings(caplog, "do events still come in?") == ["the"]
    caplog.clear()
    reporter.run(now + HOUR)
    assert "high" in warnings(caplog, "was the clock set back?")
    # time goes by, and what is stored lies in windows that are done
    times = [now + HOUR, *every(now + DAY, now + YEARS, 200 * DAY), now + YEARS - JIFFY, now + YEARS]
    later = high(ALICE, *times, prefix="later")
    reporter.store(*later.values())
    for weeks in range(1, 10):
        reporter.run(now + YEARS + weeks * 7 * DAY)
    assert told_or_held(reporter) == once([*events, *later])
    assert owed(reporter) == SETTLED


AHEAD = 90 * DAY


@pytest.fixture
def astray(reporter: Reporter, clock: Callable[[datetime], None]) -> list[tuple[str, str]]:
    """Let the clock be a quarter of a year ahead for one run, then right; give what is stored by then."""
    reporter.groups(*house())
    reporter.run(START - DAY)
    events = {
        **high(ALICE, *every(START - DAY, START, 3 * HOUR), START + AHEAD - MINUTE),
        **high(BOB, *every(START - DAY, START, 3 * HOUR), START + AHEAD - MINUTE),
        **high(CAROL, *every(START - DAY, START, 3 * HOUR), START + AHEAD - MINUTE),
    }
    reporter.store(*events.values())
    clock(START + AHEAD)
    reporter.run()
    reporter.execute("update mentat_reporter.run_window set opened = hi where hi <= %s", START - DAY)
    reporter.execute("update mentat_reporter.run_window set opened = %s where hi > %s", START + AHEAD, START)
    assert told_or_held(reporter) == once(events)
    late = [START + MINUTE, START + TEN + MINUTE]
    after = {
        **high(ALICE, *late, prefix="a"), **high(BOB, *late, prefix="b"), **high(CAROL, *late, prefix="c"),
    }  # fmt: skip
    reporter.store(*after.values())
    clock(START + 2 * TEN)
    reporter.run()
    assert told_or_held(reporter) == once(events)
    return [*events, *after]


def test_w3_when_the_time_that_a_clock_was_ahead_has_come_all_is_told_once(
    reporter: Reporter, astray: list[tuple[str, str]]
) -> None:
    for days in range(3):
        reporter.run(START + AHEAD + HOUR + days * DAY)

    assert told_or_held(reporter) == once(astray)
    assert owed(reporter) == SETTLED
