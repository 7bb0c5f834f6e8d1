"""What is told, what is held back, what relapsed. docs/semantics.md.

One function over values each; the state is what it was before the window.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from mentat_reporter.core.model import Held, Problem, Sighting, Threshold, ThresholdTimes, Timing, Window


class Decided(NamedTuple):
    """Sightings to report, and events to keep under the problem that holds them back."""

    reported: list[Sighting]
    held: dict[Problem, list[Held]]


def problem_of(sighting: Sighting) -> Problem:
    side = sighting.event.side(sighting.direction)
    return Problem(side.shadow, side.event_class, sighting.address)


def _moment(window: Window, storage_time: datetime) -> datetime:
    return storage_time if window.catch_up else window.hi


def is_held(threshold: Threshold | None, window: Window, storage_time: datetime) -> bool:
    """Tell whether a sighting is held back: its moment lies before the end of the threshold.

    The moment is the window's `hi`; in a catch-up window it is the event's storage time.
    """
    return threshold is not None and _moment(window, storage_time) < threshold.ttltime


def decide(sightings: Iterable[Sighting], thresholds: Mapping[Problem, Threshold], window: Window) -> Decided:
    """Divide the sightings of a window; each is in exactly one part."""
    decided = Decided([], {})
    for sighting in sightings:
        problem = problem_of(sighting)
        event = sighting.event
        if is_held(thresholds.get(problem), window, event.storage_time):
            held = Held(event.id, _moment(window, event.storage_time))
            decided.held.setdefault(problem, []).append(held)
        else:
            decided.reported.append(sighting)
    return decided


def relapsed_events(
    threshold: Threshold, held: Iterable[Held], window: Window, relapse: timedelta | None
) -> list[str]:
    """Return the ids of the events to tell of again: none unless the problem relapsed.

    It did when its threshold has expired and an event was held at or after the relapse time; all
    events held since the threshold was set are told then.
    """
    if relapse is None or window.hi < threshold.ttltime:
        return []
    since = [item for item in held if item.createtime >= threshold.thresholdtime]
    if not any(item.createtime >= threshold.relapsetime for item in since):
        return []
    return list(dict.fromkeys(item.event_id for item in since))


def new_times(window: Window, timing: Timing) -> ThresholdTimes | None:
    """Return the times of the thresholds that reports of this window set; None if the group wants none."""
    if timing.threshold is None:
        return None
    ttltime = window.hi + timing.threshold
    return ThresholdTimes(window.hi, ttltime - (timing.relapse or timedelta()), ttltime)
