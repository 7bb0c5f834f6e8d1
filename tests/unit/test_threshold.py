"""docs/semantics.md: told, held back, told again."""

from datetime import datetime, timedelta
from itertools import pairwise

from factories_core import event, sighting
from hypothesis import given
from hypothesis import strategies as st
from strategies import START, moments

from mentat_reporter.core.model import Held, Problem, Sighting, Threshold, Timing, Window
from mentat_reporter.core.threshold import decide, is_held, new_times, problem_of, relapsed_events

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
TIMING = Timing(DAY, 6 * DAY, 2 * DAY)


def window(hi: datetime, length: timedelta = DAY) -> Window:
    return Window("", "low", hi - length, hi, hi - length, DAY)


def threshold(set_at: datetime) -> Threshold:
    return Threshold(set_at, set_at + 4 * DAY, set_at + 6 * DAY, "M20260302SL-AAAAAAAA")


def test_without_a_threshold_a_sighting_is_told() -> None:
    assert not is_held(None, window(START), START)


def test_a_sighting_is_held_until_the_window_ends_at_the_threshold_s_end_or_after() -> None:
    known = threshold(START)

    assert is_held(known, window(START + 6 * DAY - SECOND), START)
    assert not is_held(known, window(START + 6 * DAY), START)


def test_in_a_catch_up_window_the_storage_time_stands_for_the_end() -> None:
    known = threshold(START)
    late = window(START + 7 * DAY, length=2 * DAY)

    assert is_held(known, late, START + 6 * DAY - SECOND)
    assert not is_held(known, late, START + 6 * DAY)


def test_what_is_held_remembers_when() -> None:
    seen = sighting(event("one", storage_time=START + 5 * DAY))
    known = {problem_of(seen): threshold(START)}

    ordinary = decide([seen], known, window(START + 5 * DAY + 1 * SECOND))
    catching_up = decide([seen], known, window(START + 7 * DAY, length=3 * DAY))

    assert ordinary.held == {problem_of(seen): [Held("one", START + 5 * DAY + 1 * SECOND)]}
    assert catching_up.held == {problem_of(seen): [Held("one", START + 5 * DAY)]}


def test_a_problem_has_shadow_class_and_address_so_that_they_do_not_hold_each_other() -> None:
    plain = sighting(event("one", event_class="scan"))
    known = {problem_of(plain): threshold(START)}
    others = [
        sighting(event("two", event_class="spam")),
        sighting(event("three", event_class="scan", shadow=True)),
        sighting(event("four", event_class="scan"), address="192.0.2.9"),
    ]

    assert decide(others, known, window(START + DAY)).reported == others


def test_a_problem_relapses_if_it_was_held_at_or_after_the_relapse_time() -> None:
    known = threshold(START)
    at = window(START + 6 * DAY)

    early = [Held("early", START + 4 * DAY - SECOND)]
    on_the_edge = [*early, Held("edge", START + 4 * DAY)]

    assert relapsed_events(known, early, at, 2 * DAY) == []
    assert relapsed_events(known, on_the_edge, at, 2 * DAY) == ["early", "edge"]


def test_a_problem_does_not_relapse_before_its_threshold_ends() -> None:
    held = [Held("one", START + 5 * DAY)]

    assert relapsed_events(threshold(START), held, window(START + 6 * DAY - SECOND), 2 * DAY) == []


def test_without_a_relapse_period_nothing_relapses() -> None:
    assert (
        relapsed_events(threshold(START), [Held("one", START + 5 * DAY)], window(START + 7 * DAY), None) == []
    )


def test_what_was_held_before_the_threshold_was_set_is_not_told_again() -> None:
    held = [Held("old", START - SECOND), Held("new", START + 5 * DAY)]

    assert relapsed_events(threshold(START), held, window(START + 6 * DAY), 2 * DAY) == ["new"]


def test_a_new_threshold_counts_from_the_window_s_end() -> None:
    times = new_times(window(START), TIMING)

    assert times == (START, START + 4 * DAY, START + 6 * DAY)
    assert new_times(window(START), Timing(DAY, None, None)) is None


sightings = st.lists(
    st.builds(
        lambda number, name, address, stored: sighting(
            event(str(number), event_class=name, storage_time=stored), address=address
        ),
        st.integers(0, 1000),
        st.sampled_from(["scan", "spam"]),
        st.sampled_from(["192.0.2.1", "192.0.2.2"]),
        moments,
    ),
    max_size=20,
)
thresholds = st.dictionaries(
    st.builds(
        Problem,
        st.just(False),
        st.sampled_from(["scan", "spam"]),
        st.sampled_from(["192.0.2.1", "192.0.2.2"]),
    ),
    moments.map(threshold),
)


@given(sightings, thresholds, moments, st.sampled_from([DAY, 3 * DAY]))
def test_every_sighting_is_either_told_or_held(
    seen: list[Sighting], known: dict[Problem, Threshold], hi: datetime, length: timedelta
) -> None:
    decided = decide(seen, known, window(hi, length))

    assert len(decided.reported) + sum(map(len, decided.held.values())) == len(seen)


@given(sightings, thresholds, moments)
def test_the_order_of_sightings_does_not_matter(
    seen: list[Sighting], known: dict[Problem, Threshold], hi: datetime
) -> None:
    forward, backward = decide(seen, known, window(hi)), decide(seen[::-1], known, window(hi))

    assert sorted(map(id, forward.reported)) == sorted(map(id, backward.reported))
    assert {problem: set(held) for problem, held in forward.held.items()} == {
        problem: set(held) for problem, held in backward.held.items()
    }


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_nothing_is_told_twice_within_a_threshold(gaps: list[int]) -> None:
    known: dict[Problem, Threshold] = {}
    told: list[datetime] = []
    hi = START
    for gap in gaps:
        hi += timedelta(hours=gap)
        seen = sighting(event(str(hi), storage_time=hi - SECOND))
        current = Window("", "low", hi - timedelta(hours=gap), hi, hi, timedelta(hours=40))
        if decide([seen], known, current).reported:
            told.append(hi)
            times = new_times(current, TIMING)
            assert times is not None
            known[problem_of(seen)] = Threshold(*times, "label")

    assert all(later - earlier >= 6 * DAY for earlier, later in pairwise(told))
