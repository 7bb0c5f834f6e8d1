"""The small picture of events over time: one block character for each hour or day."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Final, Literal, NamedTuple

from mentat_reporter.render.i18n import Reader

BLOCKS: Final = "▁▂▃▄▅▆▇█"
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
_MOST_HOURS: Final = 48
MOST_DAYS: Final = 31
_FEWEST: Final = 3


class Scale(NamedTuple):
    """What the cells of a picture stand for; no cells: too short a time for a picture."""

    unit: Literal["hour", "day"]
    start: datetime
    end: datetime
    cells: int


def scale(
    floor: datetime, lo: datetime, hi: datetime, pictures: Iterable[Mapping[datetime, int]], reader: Reader
) -> Scale:
    """Choose hours or days for pictures from the first event, but not before `floor`, to `hi`."""
    earliest = min((min(hours) for hours in pictures if hours), default=lo)
    start = max(floor, min(lo, earliest)).replace(minute=0, second=0, microsecond=0)
    if hi - start <= _MOST_HOURS * HOUR:
        cells = -(-(hi - start) // HOUR)
        return Scale("hour", start, hi, cells if cells >= _FEWEST else 0)
    days = min(_last_day(hi, reader) - reader.local(start).toordinal() + 1, MOST_DAYS)
    return Scale("day", max(start, hi - days * DAY), hi, days)


def _last_day(hi: datetime, reader: Reader) -> int:
    return reader.local(hi - timedelta(microseconds=1)).toordinal()


def levels(hours: Mapping[datetime, int], to: Scale, reader: Reader) -> tuple[int, ...]:
    """Return how high each cell is: 0 is none, 7 the busiest. Empty: there is nothing to draw."""
    if not to.cells:
        return ()
    counts: dict[int, int] = {}
    for hour, events in hours.items():
        cell = min(_cell(hour, to, reader), to.cells - 1)
        if cell >= 0:
            counts[cell] = counts.get(cell, 0) + events
    peak = max(counts.values(), default=0)
    if not peak:
        return ()
    found = [0] * to.cells
    for cell, count in counts.items():
        found[cell] = -(-7 * count // peak)
    return tuple(found)


def moment_of(cell: int, of: Scale, reader: Reader) -> str:
    """Return what hour or day a cell stands for, in words."""
    if of.unit == "hour":
        return reader.minute(of.start + cell * HOUR)
    return reader.date(date.fromordinal(_last_day(of.end, reader) - of.cells + 1 + cell))


def _cell(hour: datetime, to: Scale, reader: Reader) -> int:
    if to.unit == "hour":
        return (hour - to.start) // HOUR
    return reader.local(hour).toordinal() - _last_day(to.end, reader) + to.cells - 1
