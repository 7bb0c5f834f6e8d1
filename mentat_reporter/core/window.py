"""When what is due: periods, rounding, the cutting of gaps. docs/semantics.md."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple

from mentat_reporter.core.model import Direction, Group, Severity, Timing

DAY: Final = timedelta(days=1)
_JIFFY: Final = timedelta(microseconds=1)

DEFAULT_TIMING: Final[Mapping[Severity, Timing]] = MappingProxyType(
    {
        "info": Timing(DAY, timedelta(weeks=4), timedelta(weeks=1)),
        "low": Timing(DAY, timedelta(days=6), timedelta(days=2)),
        "medium": Timing(timedelta(hours=2), timedelta(days=6), timedelta(days=2)),
        "high": Timing(timedelta(minutes=10), DAY, timedelta(hours=12)),
        "critical": Timing(timedelta(minutes=10), timedelta(hours=2), None),
    }
)


class Span(NamedTuple):
    """Storage times `[lo, hi)`."""

    lo: datetime
    hi: datetime


def timing_of(group: Group | None, severity: Severity, direction: Direction) -> Timing:
    """Return the times that hold for a group: its own, else the defaults. Targets are never held back."""
    default = DEFAULT_TIMING[severity]
    own = group.timing.get(severity) if group else None
    period = own.period if own and own.period else default.period
    if direction == "target":
        return Timing(period, None, None)
    threshold = own.threshold if own and own.has_threshold else default.threshold
    relapse = own.relapse if own and own.has_relapse else default.relapse
    return Timing(period, threshold, relapse)


def floor_to(moment: datetime, interval: timedelta) -> datetime:
    """Round down to a multiple of the interval since 1970 in UTC."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return moment - (moment - epoch) % interval


def due_spans(last_hi: datetime | None, hi: datetime, period: timedelta) -> list[Span]:
    """Return the windows of a clock that are due at `hi`, oldest first; none: too soon.

    A gap is cut from its beginning into whole days (or periods, if those are longer), the remainder
    last. A clock that never ran covers one period.
    """
    if last_hi is None:
        return [Span(hi - period, hi)]
    if last_hi + period > hi:
        return []
    step = max(DAY, period)
    spans = []
    lo = last_hi
    while hi - lo > step:
        spans.append(Span(lo, lo + step))
        lo += step
    return [*spans, Span(lo, hi)]


def next_run(moment: datetime, last_hi: datetime | None, period: timedelta, interval: timedelta) -> datetime:
    """Return the `hi` of the first regular run that covers an event stored at `moment`.

    Cron calls every interval: a window ends at the first call that finds its period elapsed.
    """
    if last_hi is None:
        return floor_to(moment, interval) + interval
    due = floor_to(last_hi + period - _JIFFY, interval) + interval
    if moment < due:
        return due
    step = -(-period // interval) * interval
    return due + ((moment - due) // step + 1) * step
