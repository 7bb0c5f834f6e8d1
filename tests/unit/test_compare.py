"""core/compare.py: two reporters side by side, and why they differ."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mentat_reporter.core.compare import Key, Side, side_by_side, tiles
from mentat_reporter.core.window import Span

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LOW = Key("abuse@a.example", "low", "source", shadow=False)
HIGH = Key("abuse@a.example", "high", "source", shadow=False)


def hours(*bounds: float) -> list[Span]:
    """Return spans between pairs of hours."""
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    return [Span(AT + begin * HOUR, AT + end * HOUR) for begin, end in pairs]


def test_a_time_without_windows_is_cut_into_whole_periods() -> None:
    assert tiles([], AT, AT + 5 * HOUR, 2 * HOUR) == hours(0, 2, 2, 4, 4, 5)


def test_windows_that_were_worked_stand_and_periods_lie_between_them() -> None:
    assert tiles(hours(3, 4), AT, AT + 6 * HOUR, 2 * HOUR) == hours(0, 2, 2, 3, 3, 4, 4, 6)


def test_what_reaches_beyond_the_time_is_cut() -> None:
    assert tiles(hours(-1, 1, 5, 9), AT, AT + 6 * HOUR, 4 * HOUR) == hours(0, 1, 1, 5, 5, 6)


def test_of_windows_that_overlap_the_later_gets_what_is_left() -> None:
    assert tiles(hours(0, 3, 1, 4, 1, 2), AT, AT + 4 * HOUR, HOUR) == hours(0, 3, 3, 4)


@given(
    worked=st.lists(st.tuples(st.integers(-5, 30), st.integers(1, 12))),
    length=st.integers(1, 24),
    period=st.integers(1, 9),
)
def test_the_time_is_covered_once_and_in_order(
    worked: list[tuple[int, int]], length: int, period: int
) -> None:
    windows = [Span(AT + lo * HOUR, AT + (lo + size) * HOUR) for lo, size in worked]

    found = tiles(windows, AT, AT + length * HOUR, period * HOUR)

    edges = [AT, *(span.hi for span in found)]
    assert [span.lo for span in found] == edges[:-1]
    assert edges[-1] == AT + length * HOUR
    assert all(span.lo < span.hi for span in found)


def test_a_line_has_both_sides_and_what_is_on_one_alone() -> None:
    here, there = Side(), Side()
    here.add(["one", "two"])
    here.add(["two", "three"])
    there.add(["two", "four"])

    [high, low] = side_by_side({LOW: here}, {LOW: there, HIGH: Side(1, {"five"})})

    assert (high.key, high.here.reports, high.only_there) == (HIGH, 0, {"five"})
    assert (low.here.reports, low.there.reports) == (2, 1)
    assert (low.only_here, low.only_there) == ({"one", "three"}, {"four"})
