"""T1: a threshold that ends while the reporter is down: what relapsed is told all the same."""

from datetime import datetime, timedelta

import pytest
from faults.helpers_told import (
    PREFIXES,
    QUICK,
    SETTLED,
    SLOW,
    TEN,
    address,
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
    MINUTE,
    START,
    Reporter,
    Stored,
    event,
    group,
    reporter,
)

from mentat_reporter.core.durations import parse_duration
from mentat_reporter.core.window import DEFAULT_TIMING

__all__ = ["reporter"]

RELAPSING = ("high", "medium", "low", "info")
GROUPS = pytest.mark.parametrize("name", [ALICE, BOB, CAROL], ids=["common", "quick", "slow"])
SEVERITIES = pytest.mark.parametrize("severity", RELAPSING)
OUTAGES = pytest.mark.parametrize("beyond", [timedelta(0), 3 * DAY], ids=str)
"""How long after the threshold's end the reporter is down."""


def period_of(name: str, severity: str) -> timedelta:
    own = {BOB: QUICK, CAROL: SLOW}.get(name)
    return (own and parse_duration(own[severity])) or DEFAULT_TIMING[severity].period  # type: ignore[index]


class Story:
    """A problem that was told at START, with the times that its threshold has."""

    def __init__(self, reporter: Reporter, name: str, severity: str) -> None:
        self.reporter, self.name, self.severity = reporter, name, severity
        self.period = period_of(name, severity)
        defaults = DEFAULT_TIMING[severity]  # type: ignore[index]  # one of the five
        assert defaults.threshold is not None
        assert defaults.relapse is not None
        self.ttl = START + defaults.threshold
        self.relapse = self.ttl - defaults.relapse
        timing = {found["name"]: found["settings"].get("timing", {}).get(severity) for found in house()}
        own = {"timing": {severity: timing[name]}} if timing[name] else {}
        reporter.groups(group(name, f"{PREFIXES[name]}.0.0/16", **own))
        reporter.store(self.sighting("first", START - TEN))
        reporter.run(START)
        assert told_or_held(reporter) == once([(name, "first")])

    def sighting(self, event_id: str, at: datetime) -> Stored:
        return event(event_id, at, address(self.name, 7), severity=self.severity)

    def relapsed(self) -> list[tuple[int, list[str]]]:
        """Return of each report that tells something again how many events those are, and all its events."""
        return [
            (report["evcount_rlp"], sorted(report["statistics"]["list_ids"]))
            for report in self.reporter.reports()
            if report["evcount_rlp"]
        ]


@OUTAGES
@SEVERITIES
@GROUPS
def test_t1_what_was_held_before_an_outage_across_the_ttl_is_told_after_it(
    reporter: Reporter, name: str, severity: str, beyond: timedelta
) -> None:
    story = Story(reporter, name, severity)
    if story.period >= story.ttl - story.relapse:
        pytest.skip("the clock is too slow to hold anything before the outage")
    reporter.execute(
        "update mentat_reporter.run_window set hi = %s, lo = %s, fetch_lo = %s"
        " where clock = %s and severity = %s",
        story.relapse, story.relapse - TEN, story.relapse - TEN, "" if name == ALICE else name, severity,
    )  # fmt: skip
    reporter.store(story.sighting("held", story.relapse + MINUTE))
    reporter.run(story.relapse + story.period)
    assert told_or_held(reporter) == once([(name, "first"), (name, "held")])
    assert story.relapsed() == []

    for number in range(4):
        reporter.run(story.ttl + beyond + story.period + number * story.period)

    assert story.relapsed() == [(1, ["held"])]
    assert told_or_held(reporter) == once([(name, "first"), (name, "held")])
    assert owed(reporter) == SETTLED


@OUTAGES
@SEVERITIES
@GROUPS
def test_t1_a_problem_that_goes_on_in_an_outage_across_the_ttl_is_told_again_once(
    reporter: Reporter, name: str, severity: str, beyond: timedelta
) -> None:
    story = Story(reporter, name, severity)
    back = story.ttl + beyond + story.period
    sightings = [
        story.sighting("long before", START + TEN),
        story.sighting("before", story.ttl - TEN),
        story.sighting("after", story.ttl + TEN),
    ]
    reporter.store(*sightings)

    results = [reporter.run(back + number * story.period) for number in range(4)]

    assert max(told_or_held(reporter).values()) == 1
    told = {event_id for ids in reporter.told().values() for event_id in ids}
    assert told >= {
        "first",
        "before",
    }  # a relapse tells of the other as well, and then what comes after is held
    assert sum(result.total("events") for result in results) == len(sightings)
    assert sum(result.total("held") + result.total("reported") for result in results) == len(sightings)
    assert owed(reporter) == SETTLED


@OUTAGES
def test_t1_of_a_problem_without_relapse_what_comes_after_the_ttl_is_told(
    reporter: Reporter, beyond: timedelta
) -> None:
    reporter.groups(*house())
    reporter.store(event("first", START - TEN, address(ALICE, 7), severity="critical"))
    reporter.run(START)
    ttl = START + 2 * HOUR
    reporter.store(
        event("held", ttl - TEN, address(ALICE, 7), severity="critical"),
        event("after", ttl + TEN, address(ALICE, 7), severity="critical"),
    )

    for number in range(3):
        reporter.run(ttl + beyond + HOUR + number * TEN)

    assert reporter.told() == {ALICE: ["after", "first"]}
    assert [report["evcount_rlp"] for report in reporter.reports()] == [0, 0]
    assert owed(reporter) == SETTLED


@SEVERITIES
def test_t1_what_was_held_before_the_relapse_time_alone_is_no_relapse(
    reporter: Reporter, severity: str
) -> None:
    story = Story(reporter, ALICE, severity)
    reporter.store(story.sighting("early", START + story.period - TEN))
    reporter.run(START + story.period)
    assert START + story.period < story.relapse

    for days in (0, 3):
        reporter.run(story.ttl + days * DAY + story.period)

    assert story.relapsed() == []
    assert reporter.told() == {ALICE: ["first"]}
