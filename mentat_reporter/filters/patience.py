"""Ends a rule that does not come to an end.

A timer of the process's own computing time ticks while rules may be asked; each evaluation has a number. A
tick that finds the number of five ticks ago still at work raises RuleError in the middle of it: Python looks
for signals between its instructions, `re` while it searches. An evaluation pays for two assignments.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from mentat_reporter.errors import RuleError

PATIENCE: Final = 5.0
"""Seconds of computing that a rule may take for an event, or to be compiled (docs/reliability.md)."""
TICKS: Final = 4
"""A tick's share of the patience."""


class SlowRuleError(RuleError):
    """A rule was ended because it took too long; it is not asked again."""


class Watch:
    """What is evaluated at the moment, and since when. There is one for the process, as its signals are."""

    def __init__(self) -> None:
        self.turn = 0
        """How many evaluations have begun."""
        self.busy = False
        """Whether the last one is still under way. Set it false where that ends, whichever way it does."""
        self.ended = 0
        """The last one that took too long."""
        self.patience = PATIENCE
        self._seen = 0
        self._ticks = 0

    def tick(self, _number: int, _frame: FrameType | None) -> None:
        if not self.busy or self.turn != self._seen:
            self._seen, self._ticks = self.turn, 0
            return
        self._ticks += 1
        if self._ticks >= TICKS:
            self._ticks = 0
            self.ended = self.turn
            raise RuleError(f"takes longer than {self.patience:g} s")


WATCH: Final = Watch()


@contextmanager
def limited() -> Iterator[None]:
    """End slow rules in this block. Only the main thread gets signals; in another this does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    WATCH.busy, WATCH.patience = False, PATIENCE
    before = signal.signal(signal.SIGVTALRM, WATCH.tick)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE / TICKS, PATIENCE / TICKS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
