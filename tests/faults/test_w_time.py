"""W1, W2: outages, and edges of windows: every event is told once (docs/semantics.md)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from faults.helpers_told import (
    QUICK,
    SETTLED,
    SEVERITIES,
    SLOW,
    address,
    attack,
    crowd,
    cut,
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
    event,
    reporter,
)

from mentat_reporter.core.durations import parse_duration
from mentat_reporter.core.window import DEFAULT_TIMING

__all__ = ["reporter"]


def period_of(name: str, severity: str) -> timedelta:
    own = {BOB: QUICK, CAROL: SLOW}.get(name)
    if own is None:
        return DEFAULT_TIMING[severity].period  # type: ignore[index]  # one of the five
    found = parse_duration(own[severity])
    assert found is not None
    return found


# W1


@pytest.mark.parametrize(
    ("outage", "step"),
    [
        pytest.param(HOUR, 4 * MINUTE, id="an hour"),
        pytest.param(3 * DAY + 7 * HOUR, 4 * HOUR, id="three days and a bit"),
        pytest.param(60 * DAY, 2 * DAY + 7 * HOUR, id="sixty days"),
    ],
)
def test_w1_after_an_outage_all_is_told_once_in_whole_days(
    reporter: Reporter, outage: timedelta, step: timedelta
) -> None:
    reporter.groups(*house())
    for number in range(-10, 1):
        reporter.run(START + number * DAY)
    back = START + outage
    events = crowd([*every(START, back, step), START, back - JIFFY, back])
    reporter.store(*events.values())
    covered = ends(reporter)

    result = reporter.run(back + 3 * MINUTE)

    found: dict[tuple[str, str], list[tuple[datetime, datetime]]] = {}
    for window in result.windows:
        found.setdefault((window.clock or ALICE, window.severity), []).append((window.lo, window.hi))
    for (name, severity), lo in covered.items():
        assert found.get((name, severity), []) == cut(lo, back, period_of(name, severity)), (name, severity)
    for number in range(1, 9):
        reporter.run(back + number * DAY)
    assert told_or_held(reporter) == once(events)
    assert_each_is_told_in_its_window(reporter, events)
    assert owed(reporter) == SETTLED


def assert_each_is_told_in_its_window(reporter: Reporter, events: dict[tuple[str, str], Stored]) -> None:
    stored = {event_id: found.at.replace(tzinfo=None) for (_, event_id), found in events.items()}
    for report in reporter.reports():
        for event_id in report["statistics"]["list_ids"]:
            assert report["dt_from"] <= stored[event_id] < report["dt_to"]


@pytest.mark.parametrize("outage", [HOUR, 3 * DAY, 60 * DAY], ids=str)
def test_w1_of_addresses_that_never_rest_each_event_is_decided_once(
    reporter: Reporter, outage: timedelta
) -> None:
    reporter.groups(*house())
    reporter.run(START)
    events = {
        (name, f"{name[6]} {severity} {number:03}"): event(
            f"{name[6]} {severity} {number:03}", at, address(name, 1), severity=severity
        )
        for number, at in enumerate(every(START, START + outage + 8 * DAY, (outage + 8 * DAY) / 37))
        for name in (ALICE, BOB, CAROL)
        for severity in SEVERITIES
    }
    reporter.store(*events.values())

    results = [reporter.run(START + outage + number * DAY) for number in range(17)]

    assert sum(result.total("events") for result in results) == len(events)
    told_once = sum(result.total("reported") for result in results)
    assert told_once + sum(result.total("held") for result in results) == len(events)
    assert max(told_or_held(reporter).values()) == 1
    assert owed(reporter) == SETTLED


# W2


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", [ALICE, BOB, CAROL], ids=["common", "quick", "slow"])
@pytest.mark.parametrize("make", [event, attack], ids=["source", "target"])
def test_w2_an_event_at_an_edge_is_in_exactly_one_window(
    reporter: Reporter, name: str, severity: str, make: Callable[..., Stored]
) -> None:
    reporter.groups(*house())
    period = period_of(name, severity)
    reporter.run(START)
    edges = [START + number * period for number in range(4)]
    margin = 5 * MINUTE  # where the next window fetches again, and the ledger has to know
    times = [
        near for edge in edges[1:3] for at in (edge, edge - margin) for near in (at - JIFFY, at, at + JIFFY)
    ]
    events = {
        (name, f"{number}"): make(f"{number}", at, address(name, number), severity=severity)
        for number, at in enumerate(times)
    }
    reporter.store(*events.values())

    for hi in edges[1:]:
        reporter.run(hi)

    assert told_or_held(reporter) == once(events)
    lasted = sorted((report["dt_from"], report["dt_to"]) for report in reporter.reports())
    naive = [edge.replace(tzinfo=None) for edge in edges]
    assert lasted == list(pairwise(naive))
    assert_each_is_told_in_its_window(reporter, events)
    assert [
        len(report["statistics"]["list_ids"])
        for report in sorted(reporter.reports(), key=lambda report: report["dt_from"])
    ] == [4, 6, 2]
