"""Durations as import documents write them: `none`, or a whole number and a unit, as `6days`."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {
    "min": timedelta(minutes=1),
    "mins": timedelta(minutes=1),
    "hr": timedelta(hours=1),
    "hrs": timedelta(hours=1),
    "day": timedelta(days=1),
    "days": timedelta(days=1),
    "week": timedelta(weeks=1),
    "weeks": timedelta(weeks=1),
}
_WRITTEN: Final = re.compile(r"([0-9]{1,9}) ?([a-z]+)")
_LONGEST: Final = timedelta(days=3660)


def parse_duration(text: str) -> timedelta | None:
    """Read a duration above zero and of ten years at most; None is `none`. Raises ValueError.

    >>> parse_duration("2hrs")
    datetime.timedelta(seconds=7200)
    >>> parse_duration("none")
    """
    if text == "none":
        return None
    match = _WRITTEN.fullmatch(text)
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"'{text[:40]}' is no duration: write none, or a number and min, hrs, days or weeks")
    number, unit = int(match[1]), _UNITS[match[2]]
    if number == 0:
        raise ValueError(f"'{text}' lasts no time: write none if that is meant")
    if number > _LONGEST // unit:
        raise ValueError(f"'{text}' is longer than ten years")
    return number * unit
