"""What became of every event over all runs: for faults of time, of two runs at once, and of the database."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from integration.helpers_run import ALICE, BOB, CAROL, DAY, Reporter, Row, Stored, event, group

TEN: Final = timedelta(minutes=10)
SEVERITIES: Final = ("critical", "high", "medium", "low", "info")
PREFIXES: Final = {ALICE: "10.1", BOB: "10.2", CAROL: "10.3"}
QUICK: Final = {"critical": "20mins", "high": "30mins", "medium": "1hr", "low": "1hr", "info": "6hrs"}
SLOW: Final = {"critical": "1hr", "high": "1day", "medium": "2days", "low": "3days", "info": "1week"}


def house() -> tuple[Row, ...]:
    """Return a group on the common clock, one with quick clocks and one with slow ones, in all severities."""
    quick = {severity: {"period": period} for severity, period in QUICK.items()}
    slow = {severity: {"period": period} for severity, period in SLOW.items()}
    return (
        group(ALICE, "10.1.0.0/16"),
        group(BOB, "10.2.0.0/16", timing=quick),
        group(CAROL, "10.3.0.0/16", timing=slow),
    )


def address(name: str, number: int) -> str:
    """Return one address of a group of the house a number, so that no event holds another back."""
    return f"{PREFIXES[name]}.{number // 250}.{number % 250 + 1}"


def attack(event_id: str, at: datetime, target: str = "192.0.2.9", severity: str = "high") -> Stored:
    """Return an event that no threshold would hold back if it were told twice."""
    return event(event_id, at, "172.16.0.1", targets=(target,), severity=None, target_severity=severity)


def told_or_held(reporter: Reporter) -> Counter[tuple[str, str]]:
    """Count how often each event was told or is held, by group and id."""
    found = Counter((name, event_id) for name, ids in reporter.told().items() for event_id in ids)
    found.update(reporter.rows("select group_name, event_id from mentat_reporter.thresholded_event"))
    return found


def once(events: Iterable[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Return what `told_or_held` must say of these events, by group and id."""
    return Counter(dict.fromkeys(events, 1))


def cut(lo: datetime, hi: datetime, period: timedelta) -> list[tuple[datetime, datetime]]:
    """Return the windows that docs/semantics.md wants between a clock's last end and a run."""
    if hi - lo < period:
        return []
    step = max(DAY, period)
    whole = -(-(hi - lo) // step)
    edges = [*(lo + number * step for number in range(whole)), hi]
    return list(pairwise(edges))


def every(lo: datetime, hi: datetime, step: timedelta) -> Iterator[datetime]:
    while lo < hi:
        yield lo
        lo += step


def owed(reporter: Reporter) -> dict[str, int]:
    """Count what a regular run has still to do: nothing, when all is well."""
    return {
        name: reporter.value(f"select count(*) from mentat_reporter.{name}")
        for name in ("unit_retry", "unit_done")
    } | {"open": sum(window["state"] == "open" for window in reporter.windows())}


SETTLED: Final = {"unit_retry": 0, "unit_done": 0, "open": 0}


def crowd(times: list[datetime]) -> dict[tuple[str, str], Stored]:
    """Return events of each group and severity at these times, by group and id, half of them of targets.

    The number of the time makes the address: none of them holds another back.
    """
    found = {}
    for number, at in enumerate(times):
        for name in (ALICE, BOB, CAROL):
            for severity in SEVERITIES:
                event_id = f"{name[6]} {severity} {number:03}"
                make = attack if number % 2 else event
                found[name, event_id] = make(event_id, at, address(name, number), severity=severity)
    return found


def ends(reporter: Reporter) -> dict[tuple[str, str], datetime]:
    """Return up to when is covered, by whose clock it is and severity; the common one is Alice's."""
    windows = reporter.windows()
    return {(window["clock"] or ALICE, window["severity"]): window["hi"] for window in windows}
