"""The cases that are measured, and what is asked of them."""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from benchmarks.messages import Batch
from benchmarks.world import Shape

NOW: Final = datetime(2026, 5, 4, 12, tzinfo=UTC)
"""When the measured run takes place."""
WINDOW: Final = timedelta(minutes=10)
"""The shortest window: a first run covers at least that of every severity."""
LATE: Final = timedelta(minutes=6)
"""More than `late_margin`: what is older is not read again by the next run."""
DAY: Final = timedelta(days=1)
SUMMARY: Final = ("summary",)


class Aim(NamedTuple):
    """The most that a case may take."""

    cpu: float | None = None
    """Seconds, of all processes of the run."""
    memory: int | None = None
    """MiB."""
    floors: float | None = None
    """Times the CPU of streaming and decoding the same rows."""
    microseconds: float | None = None
    """For finding the owners of an address."""


class Case(NamedTuple):
    """A world, what happened before, and the events of the run that is measured."""

    name: str
    shape: Shape
    events: int
    aim: Aim = Aim()
    before: int = 0
    """Events of a run before, which is not measured."""
    gap: timedelta = WINDOW
    """Between that run and the one that is measured."""
    span: timedelta = WINDOW
    """How long before the measured run its events began to be stored."""
    thresholds: int = 0
    """Rows of thresholds of other addresses."""
    delivers: bool = False
    """To a mail server in another process; otherwise mails end in nothing."""

    def scaled(self, scale: float) -> "Case":
        """Return the case with fewer events, or more; groups and what happened before stay."""
        return self._replace(events=round(self.events * scale), thresholds=round(self.thresholds * scale))

    def batch(self) -> Batch:
        return Batch(self.events, NOW - self.span, NOW)

    def batch_before(self) -> Batch:
        then = NOW - self.gap
        return Batch(self.before, then - WINDOW, then - LATE, seed=2)


_MIXED: Final = Shape(hosts=55)
_FEW: Final = Shape(hosts=300, modes=SUMMARY, severities=("low",))
_HELD: Final = Shape(hosts=25, severities=("info", "low", "medium"), kinds=9)

CASES: Final = (
    Case("idle-200", Shape(groups=200, hosts=5), 0, Aim(cpu=0.4), before=1000),
    Case("idle-5000", Shape(groups=5000, hosts=2), 0, Aim(cpu=1.0), before=1000),
    Case("mixed-20k", _MIXED, 20_000, Aim(cpu=15)),
    Case("mixed-20k-smtp", _MIXED, 20_000, Aim(cpu=20), delivers=True),
    Case("held-100k", _HELD, 100_000, Aim(floors=4), before=4950, gap=DAY, span=DAY),
    Case("window-100k", _FEW, 100_000, Aim(memory=512), span=DAY),
    Case("window-1m", _FEW, 1_000_000, Aim(memory=512), span=DAY),
    Case("one-group-500k", _FEW._replace(groups=1, hosts=1000), 500_000, Aim(memory=768), span=DAY),
    Case("extras-10k", Shape(groups=10, hosts=1040, modes=("extra",), kinds=9), 20_000),
    Case("networks-50k", _MIXED._replace(small_networks=250), 20_000, Aim(microseconds=10)),
    Case("thresholds-1m", _MIXED, 20_000, thresholds=1_000_000),
    Case("after-3-days", _MIXED, 20_000, before=2000, gap=3 * DAY, span=3 * DAY),
)
RATIO: Final = ("window-1m", "window-100k", 12)
"""What the first takes may be so many times what the second takes."""
