"""Times as messages write them → aware UTC, within what calendars and databases can do."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

# docs/reliability.md
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)

_TIME: Final = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[Tt ]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d+))?)?)?"
    r"\s*(?:[Zz]|UTC|([+-])(\d{2}):?(\d{2})?)?",
    re.ASCII,
)


def parse_time(value: Any) -> datetime | None:
    """Read a time of a message as aware UTC; without an offset it is UTC; None if it is none.

    A leap second is the second before it. For times outside 1970 to 2100 EARLIEST or LATEST is returned,
    these objects themselves.
    """
    if not isinstance(value, str):
        return None
    try:
        time: datetime | None = datetime.fromisoformat(value)
    except ValueError:
        time = _loose_time(value)
    if time is None:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    if EARLIEST <= time < LATEST:
        return time if time.tzinfo is UTC else time.astimezone(UTC)
    return min(max(time, EARLIEST), LATEST).astimezone(UTC)


def _loose_time(value: str) -> datetime | None:
    match = _TIME.fullmatch(value.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.group(1, 2, 3, 4, 5, 6))
    micro = int((match[7] or "0")[:6].ljust(6, "0"))
    offset = timedelta(hours=int(match[9] or 0), minutes=int(match[10] or 0))
    if second == 60:  # noqa: PLR2004 - a leap second, which datetime does not know
        second, micro = 59, 999_999
    try:
        zone = timezone(-offset if match[8] == "-" else offset)
        return datetime(year, month, day, hour, minute, second, micro, tzinfo=zone)
    except ValueError:
        return EARLIEST if year == 0 else None
