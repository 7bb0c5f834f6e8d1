"""What was decided before, of which some is fetched again."""

from collections.abc import Iterable

from mentat_reporter.core.model import Direction

Decided = tuple[Direction, str, list[str]]
"""Direction, group or clock, and the ids of the events that were decided for it."""


class Ledger:
    """Events by the direction and group that they were decided for; there may be a million of each."""

    def __init__(self, decided: Iterable[Decided] = ()) -> None:
        self._ids: dict[tuple[Direction, str], set[str]] = {}
        self.add(decided)

    def add(self, decided: Iterable[Decided]) -> None:
        """Add what else was decided; an id that is known for another group is kept once."""
        known: dict[str, str] = {}
        for direction, group, ids in decided:
            of_unit = self._ids.setdefault((direction, group), set())
            of_unit.update(known.setdefault(event_id, event_id) for event_id in ids)

    def has(self, direction: Direction, group: str, event_id: str) -> bool:
        of_unit = self._ids.get((direction, group))
        return of_unit is not None and event_id in of_unit
