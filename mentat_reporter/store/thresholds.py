"""Thresholds, and the events that they hold back."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from mentat_reporter.core.model import (
    Held,
    Problem,
    Threshold,
    ThresholdTimes,
)
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.queries import get
from mentat_reporter.store.state import Unit


class Expired(NamedTuple):
    """A threshold that has run out, with what was held since it was set."""

    threshold: Threshold
    held: list[Held]


def _columns(problems: Iterable[Problem]) -> dict[str, list[Any]]:
    distinct = list(dict.fromkeys(problems))
    return {
        "shadows": [problem.shadow for problem in distinct],
        "classes": [problem.event_class for problem in distinct],
        "sources": [problem.address for problem in distinct],
    }


def thresholds(connection: Connection, unit: Unit, problems: Iterable[Problem]) -> dict[Problem, Threshold]:
    """Return the thresholds of these problems, as they are before the window."""
    parameters = {**unit._asdict(), **_columns(problems)}
    with connection.cursor() as cursor:
        cursor.execute(get("thresholds.thresholds"), parameters)
        return {Problem(*row[:3]): Threshold(*row[3:]) for row in cursor}


def expired(connection: Connection, unit: Unit, hi: datetime) -> dict[Problem, Expired]:
    """Return the unit's thresholds that have run out by `hi`, with what they held."""
    found: dict[Problem, Expired] = {}
    with connection.cursor() as cursor:
        cursor.execute(get("thresholds.expired"), {**unit._asdict(), "hi": hi})
        for row in cursor:
            entry = found.setdefault(Problem(*row[:3]), Expired(Threshold(*row[3:8]), []))
            if row[8] is not None:
                entry.held.append(Held(*row[8:]))
    return found


def renew(
    connection: Connection,
    unit: Unit,
    labels: Mapping[Problem, str],
    times: ThresholdTimes,
    first: Mapping[Problem, str],
) -> None:
    """Set the thresholds of problems, each with the label of the report that tells of it.

    `first` has the reports that told first of problems that recur; of others the same report is the first.
    """
    parameters = {
        **unit._asdict(),
        **_columns(labels),
        **times._asdict(),
        "labels": list(labels.values()),
        "first_labels": [first.get(problem, label) for problem, label in labels.items()],
    }
    with connection.cursor() as cursor:
        cursor.execute(get("thresholds.renew"), parameters)


def forget_held(connection: Connection, unit: Unit, problems: Iterable[Problem], hi: datetime) -> None:
    """Forget what was held under problems before `hi`, when they have been told again."""
    with connection.cursor() as cursor:
        cursor.execute(get("thresholds.forget_held"), {**unit._asdict(), **_columns(problems), "hi": hi})


def hold(connection: Connection, unit: Unit, held: Mapping[Problem, Sequence[Held]]) -> None:
    """Keep events under the problems that hold them back."""
    rows = [(problem, event) for problem, events in held.items() for event in events]
    if rows:
        parameters = {
            **unit._asdict(),
            "ids": [event.event_id for _, event in rows],
            "times": [event.createtime for _, event in rows],
            "shadows": [problem.shadow for problem, _ in rows],
            "classes": [problem.event_class for problem, _ in rows],
            "sources": [problem.address for problem, _ in rows],
        }
        with connection.cursor() as cursor:
            cursor.execute(get("thresholds.hold"), parameters)
