"""Many networks and ranges, asked at once."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any


class Spans:
    """The union of networks and ranges. A single address is in it exactly when it is in one of them.

    Numbers only, as in `ipranges`: its containment does not look at the family either.
    """

    __slots__ = ("_highs", "_lows")

    def __init__(self, parts: Iterable[Any]) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []
        for low, high in sorted((part.low(), part.high()) for part in parts):
            if self._highs and low <= self._highs[-1] + 1:
                self._highs[-1] = max(self._highs[-1], high)
            else:
                self._lows.append(low)
                self._highs.append(high)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._lows, number) - 1
        return at >= 0 and number <= self._highs[at]
