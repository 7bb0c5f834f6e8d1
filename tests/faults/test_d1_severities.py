"""D1: a severity whose events cannot be read stops no other; what failed stays failed in a run cut off."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import psycopg2
import pytest
from faults.cutting import Watched, cutting, terminate
from faults.helpers_told import SETTLED, TEN, owed
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

from mentat_reporter.files import FileSteps
from mentat_reporter.outside import REAL

__all__ = ["reporter"]

ADDRESSES: Final = {"critical": "192.0.2.1", "high": "198.51.100.1", "low": "203.0.113.1"}
OWNERS: Final = {"critical": ALICE, "high": BOB, "low": CAROL}


@pytest.fixture
def house(reporter: Reporter) -> Reporter:
    """Give a reporter with an event of each of three severities, each of another group, to tell at START."""
    reporter.groups()
    for severity, address in ADDRESSES.items():
        reporter.store(event(severity, START - MINUTE, address, severity=severity))
    return reporter


def failing(severity: str, error: type[psycopg2.Error]) -> Callable[[Watched, str], None]:
    """Return what lets the database refuse to read the events of a severity."""

    def refuse(connection: Watched, what: str) -> None:
        asked = connection.last if what != "commit" and isinstance(connection.last, dict) else {}
        if asked.keys() >= {"lo", "hi", "test"} and asked.get("severity") == severity:
            raise error("canceling statement, as it was injected")

    return refuse


@pytest.mark.parametrize("severity", list(ADDRESSES))
@pytest.mark.parametrize(
    "error",
    [psycopg2.errors.SerializationFailure, psycopg2.errors.QueryCanceled, psycopg2.errors.DataCorrupted],
)
def test_d1_an_error_while_reading_the_events_of_one_severity_stops_no_other(
    house: Reporter, monkeypatch: pytest.MonkeyPatch, severity: str, error: type[psycopg2.Error]
) -> None:
    others = {OWNERS[other]: [other] for other in ADDRESSES if other != severity}
    house.outside = cutting(monkeypatch, failing(severity, error))

    result = house.run(START)

    assert result.exit_code == 3
    [failure] = result.failures
    assert severity in failure
    assert error.__name__ in failure
    assert "\n" not in failure
    assert house.told() == others
    assert sorted(house.recipients()) == sorted(others)
    assert [window["severity"] for window in house.windows() if window["state"] == "open"] == [severity]
    [left] = [window for window in house.windows() if window["state"] == "open"]
    house.outside = REAL
    assert house.run(START + TEN).exit_code == 0
    assert house.told() == {OWNERS[each]: [each] for each in ADDRESSES}
    assert sorted(house.recipients()) == sorted(OWNERS.values())
    assert owed(house) == SETTLED
    [resumed] = [window for window in house.windows() if window["id"] == left["id"]]
    assert (resumed["lo"], resumed["hi"]) == (left["lo"], left["hi"])


# A unit that failed, in a run that is cut off afterwards


class Failing:
    """Refuses to open a report's file the first time."""

    def __init__(self) -> None:
        self.happened = False

    def open(self, path: Any, flags: int, mode: int) -> int:
        if ".part" in str(path) and not self.happened:
            self.happened = True
            raise OSError(28, "No space left on device", str(path))
        return os.open(path, flags, mode)


def test_d1_a_unit_that_failed_keeps_its_attempts_and_error_when_the_run_does_its_severity_anew(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has an event to tell again, which the run finds once more."""
    reporter.groups(group(ALICE, "192.0.2.0/24"), group(BOB, "198.51.100.0/24"))
    reporter.store(event("first", START - DAY - MINUTE, severity="high"))
    reporter.run(START - DAY)
    relapse, end = reporter.rows("select relapsetime, ttltime from mentat_reporter.threshold")[0]
    reporter.store(event("again", relapse + MINUTE, severity="high"))
    reporter.run(relapse + HOUR)
    now = end + HOUR
    reporter.store(event("other", now - 11 * MINUTE, "198.51.100.1", severity="high"))
    cuts: list[str] = []

    def cut(connection: Watched, what: str) -> None:
        if "insert into reports_events" in what and BOB in str(connection.last) and not cuts:
            cuts.append(what)
            terminate(connection)

    disk = Failing()
    reporter.outside = replace(cutting(monkeypatch, cut), files=FileSteps(open=disk.open))

    result = reporter.run(now)

    assert disk.happened
    assert cuts
    assert result.exit_code == 3
    [(name, attempts, error, due)] = reporter.rows(
        "select group_name, attempts, error, next_attempt from mentat_reporter.unit_retry"
    )
    assert (name, attempts, due) == (ALICE, 1, now + TEN)
    assert "No space left on device" in error
    assert reporter.told()[BOB] == ["other"]
    reporter.outside = REAL
    reporter.run(due)
    assert reporter.told() == {ALICE: ["again", "first"], BOB: ["other"]}
    assert owed(reporter) == SETTLED
