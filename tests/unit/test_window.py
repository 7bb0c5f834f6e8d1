"""docs/semantics.md: which storage times a run covers."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import START, moments

from mentat_reporter.core.model import SEVERITIES, Group, OwnTiming, Window
from mentat_reporter.core.window import DAY, Span, due_spans, floor_to, next_run, timing_of

TEN = timedelta(minutes=10)
periods = st.sampled_from([TEN, timedelta(hours=2), DAY, timedelta(days=3)])


def test_the_end_is_now_rounded_down_to_the_interval_in_utc() -> None:
    assert floor_to(datetime(2026, 3, 2, 12, 19, 59, 999999, tzinfo=UTC), TEN) == datetime(
        2026, 3, 2, 12, 10, tzinfo=UTC
    )
    assert floor_to(datetime(2026, 3, 2, 12, 20, tzinfo=UTC), TEN) == datetime(2026, 3, 2, 12, 20, tzinfo=UTC)


def test_a_clock_that_never_ran_covers_one_period() -> None:
    assert due_spans(None, START, DAY) == [Span(START - DAY, START)]


def test_nothing_is_due_before_the_period_has_elapsed() -> None:
    assert due_spans(START, START + DAY - timedelta(microseconds=1), DAY) == []
    assert due_spans(START, START + DAY, DAY) == [Span(START, START + DAY)]


def test_a_clock_set_back_covers_nothing() -> None:
    assert due_spans(START, START - DAY, TEN) == []


def test_a_gap_of_up_to_a_day_is_one_window() -> None:
    assert due_spans(START, START + timedelta(hours=3), TEN) == [Span(START, START + timedelta(hours=3))]
    assert due_spans(START, START + DAY, TEN) == [Span(START, START + DAY)]


def test_a_longer_gap_is_cut_into_whole_days_the_remainder_last() -> None:
    hi = START + timedelta(days=2, hours=5)

    assert due_spans(START, hi, TEN) == [
        Span(START, START + DAY), Span(START + DAY, START + 2 * DAY), Span(START + 2 * DAY, hi),
    ]  # fmt: skip


def test_the_gap_of_a_slow_group_is_cut_into_its_periods() -> None:
    week = timedelta(weeks=1)

    assert due_spans(START, START + timedelta(days=9), week) == [
        Span(START, START + week), Span(START + week, START + timedelta(days=9)),
    ]  # fmt: skip


@given(moments, st.timedeltas(timedelta(0), timedelta(days=60)), periods)
def test_the_windows_of_a_gap_cover_each_moment_once(lo: datetime, gap: timedelta, period: timedelta) -> None:
    spans = due_spans(lo, lo + gap, period)

    if gap < period:
        assert spans == []
        return
    assert spans[0].lo == lo
    assert spans[-1].hi == lo + gap
    assert all(earlier.hi == later.lo for earlier, later in pairwise(spans))
    assert all(span.lo < span.hi for span in spans)


@given(moments, st.integers(0, 50 * 24 * 60), periods)
def test_the_run_that_is_said_to_take_an_event_is_the_one_that_cron_comes_to(
    last_hi: datetime, minutes: int, period: timedelta
) -> None:
    last_hi = floor_to(last_hi, TEN)
    event = last_hi + timedelta(minutes=minutes)

    said = next_run(event, last_hi, period, TEN)

    while last_hi <= event:  # the calls of cron, those that are too soon left out
        call = floor_to(last_hi + period, TEN)
        last_hi = call if due_spans(last_hi, call, period) else call + TEN
    assert said == last_hi


@pytest.mark.parametrize("severity", SEVERITIES)
def test_targets_are_never_held_back(severity: str) -> None:
    timing = timing_of(None, severity, "target")  # type: ignore[arg-type] # a severity

    assert (timing.threshold, timing.relapse) == (None, None)


def test_a_groups_own_times_stand_before_the_defaults_one_by_one() -> None:
    group = Group(name="a", timing={"low": OwnTiming(threshold=None, has_threshold=True)})

    timing = timing_of(group, "low", "source")

    assert timing.period == DAY
    assert timing.threshold is None
    assert timing.relapse == timedelta(days=2)


def test_a_window_longer_than_its_period_is_a_catch_up_window() -> None:
    window = Window("", "high", START, START + TEN, START, TEN)

    assert not window.catch_up
    assert window._replace(hi=START + TEN + TEN).catch_up
