"""Readers: a raw value → a checked one. Each raises ValueError saying what it would have taken."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from mentat_reporter.render.addresses import valid_address

Reader = Callable[[Any], Any]

INTERVALS: Final[Mapping[str, timedelta]] = {
    "5_minutes": timedelta(minutes=5),
    "10_minutes": timedelta(minutes=10),
    "15_minutes": timedelta(minutes=15),
    "20_minutes": timedelta(minutes=20),
    "30_minutes": timedelta(minutes=30),
    "hourly": timedelta(hours=1),
    "2_hourly": timedelta(hours=2),
    "3_hourly": timedelta(hours=3),
    "4_hourly": timedelta(hours=4),
    "6_hourly": timedelta(hours=6),
    "12_hourly": timedelta(hours=12),
    "daily": timedelta(days=1),
    "weekly": timedelta(weeks=1),
    "2_weekly": timedelta(weeks=2),
    "4_weekly": timedelta(weeks=4),
}
"""The names that pyzenkit gives to cron periods."""

_UNITS: Final = {
    "s": 1, "sec": 1, "secs": 1, "min": 60, "mins": 60, "hr": 3600, "hrs": 3600,
    "day": 86400, "days": 86400, "week": 604800, "weeks": 604800,
}  # fmt: skip
_DURATION: Final = re.compile(r"(\d{1,9}) ?([a-z]*)", re.ASCII)
_LONGEST: Final = 10 * 366 * 86400

_TIME: Final = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,12}))?)?"
    r" ?(?P<zone>[Zz]|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d))?)?",
    re.ASCII,
)
_STAMP: Final = re.compile(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)
_FIRST_STAMP: Final = 100_000_000
"""Less is rather a date without its dashes than a second of the early seventies."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_SENDER: Final = re.compile(r"(?P<name>[^<>]*?) *<(?P<address>[^<>]*)>")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LAST_PORT: Final = 65535


def text(value: Any) -> str:
    """One line of text, not empty."""
    if not isinstance(value, str) or not value.strip() or _CONTROL.search(value):
        raise ValueError("one line of text")
    return value.strip()


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004 - every reader raises ValueError
    return value


def account(value: Any) -> str:
    """Take a user or group of this machine, by name or number."""
    return text(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def secret(value: Any) -> str:
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise ValueError("one line of text")
    return value


def variables(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(name.isidentifier() for name in value):
        raise ValueError('an object of names and values, as {"team": "CSIRT"}')
    return value


def path(value: Any) -> Path:
    try:
        return Path(text(value)).expanduser().absolute()
    except (ValueError, RuntimeError):
        raise ValueError("a path") from None


def url(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[!-~]+", value):
        raise ValueError("an address that starts with http:// or https://")
    return value.rstrip("/")


def number(least: int, most: int) -> Reader:
    """Take a whole number, also as text, since it may come from the command line."""

    def read(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return value

    return read


port = number(1, _LAST_PORT)


def choice(*allowed: str) -> Reader:
    def read(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return str(value)

    return read


def level(value: Any) -> str:
    levels = choice("debug", "info", "warning", "error", "critical")
    return str(levels(str(value).lower()))


def choices(*allowed: str) -> Reader:
    """Take some of `allowed`, each once, in that order."""

    def read(value: Any) -> tuple[str, ...]:
        named = set(_words(value))
        if not named or not named <= set(allowed):
            raise ValueError(f"some of {', '.join(allowed)}")
        return tuple(word for word in allowed if word in named)

    return read


def names(value: Any) -> tuple[str, ...]:
    """Names of abuse groups. They are not split at commas: a name may hold one."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple):
        raise ValueError("a name or a list of names")  # noqa: TRY004
    return tuple(dict.fromkeys(text(name) for name in found))


def form(pattern: str, allowed: str) -> Reader:
    """Take a name of the given form: it becomes part of a path, so nothing else gets further."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(allowed)
        return value

    return read


template_name = form(r"[a-z0-9_-]{1,64}", "a name of small letters, digits, _ and -, as default")
locale_name = form(r"[A-Za-z0-9_-]{1,64}", "a language code, as en or pt_BR")
timezone_name = form(
    r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}", "a time zone, as UTC or Europe/Prague"
)


def domain(value: Any) -> str:
    """Return a domain in its ASCII form; internationalised ones are encoded."""
    found = valid_address(f"x@{text(value)}") if isinstance(value, str) else None
    if not found:
        raise ValueError("a domain, as example.org")
    return found.partition("@")[2]


def address(value: Any) -> str:
    """Take a bare mail address: no leading `-`, an option to sendmail, and nothing to inject."""
    found = valid_address(value) if isinstance(value, str) else None
    if not found or found.startswith("-"):
        raise ValueError("a mail address, as abuse@example.org")
    return found


def addresses(value: Any) -> tuple[str, ...]:
    """Addresses, each once: a list, a comma list, or a list of comma lists."""
    try:
        return tuple(dict.fromkeys(address(word) for word in _words(value)))
    except ValueError:
        raise ValueError("mail addresses, as a list or separated by commas") from None


def sender(value: Any) -> str:
    """`Name <address>` or a bare address."""
    try:
        line = text(value)
        found = _SENDER.fullmatch(line)
        if not found:
            return address(line)
        name = found["name"].strip().strip('"').replace('"', "").replace("\\", "")
        bare = address(found["address"])
    except ValueError:
        raise ValueError("a mail address, as reports@example.org or Name <reports@example.org>") from None
    if not name:
        return bare
    atoms = re.fullmatch(r"[\w !#$%&'*+/=?^`{|}~-]+", name)
    return f"{name} <{bare}>" if atoms else f'"{name}" <{bare}>'


def bare_address(line: str) -> str:
    """Return the address of what `sender` read."""
    return line.rpartition("<")[2].removesuffix(">")


def duration(value: Any) -> timedelta:
    """Seconds, or a whole number with its unit: `5min`, `2 hrs`, `1day`."""
    wanted = "a number of seconds, or a duration as 5min, 2hrs or 1day"
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST:
        return timedelta(seconds=value)
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found or (found[2] or "s") not in _UNITS:
        raise ValueError(wanted)
    seconds = int(found[1]) * _UNITS[found[2] or "s"]
    if seconds > _LONGEST:
        raise ValueError(f"{wanted}, of ten years at most")
    return timedelta(seconds=seconds)


def positive_duration(value: Any) -> timedelta:
    found = duration(value)
    if not found:
        raise ValueError("a duration above zero, in seconds or as 5min, 2hrs or 1day")
    return found


def interval(value: Any) -> timedelta:
    if not isinstance(value, str) or value not in INTERVALS:
        raise ValueError(f"one of {', '.join(INTERVALS)}")
    return INTERVALS[value]


def time(value: Any) -> datetime:
    """Return a time in UTC, given RFC 3339 (T or blank, any offset; none is UTC), a day, a Unix timestamp."""
    wanted = "a time, as 2026-03-02T10:00:00Z, 2026-03-02 10:00, 2026-03-02 (all UTC) or a Unix timestamp"
    line = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    try:
        if found := _TIME.fullmatch(line):
            return _from_fields(found)
        if _STAMP.fullmatch(line) and float(line) >= _FIRST_STAMP:
            seconds, _, fraction = line.partition(".")
            return _EPOCH + timedelta(seconds=int(seconds), microseconds=int(f"{fraction:0<6}"[:6]))
    except (ValueError, OverflowError):
        pass
    raise ValueError(wanted)


def _from_fields(found: re.Match[str]) -> datetime:
    leap = found["second"] == "60"  # to everybody else the next second
    clock = datetime.fromisoformat(found["day"]).replace(
        hour=int(found["hour"] or 0),
        minute=int(found["minute"] or 0),
        second=59 if leap else int(found["second"] or 0),
        microsecond=int(f"{found['fraction'] or '':0<6}"[:6]),
        tzinfo=UTC,
    )
    return clock + timedelta(seconds=leap) - _offset(found)


def _offset(found: re.Match[str]) -> timedelta:
    if not found["sign"]:
        return timedelta()
    hours, minutes = int(found["hours"]), int(found["minutes"])
    if hours > 23 or minutes > 59:  # noqa: PLR2004 - of a day, of an hour
        raise ValueError
    ahead = timedelta(hours=hours, minutes=minutes)
    return -ahead if found["sign"] == "-" else ahead


def _words(value: Any) -> Iterable[str]:
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list | tuple) or not all(isinstance(entry, str) for entry in entries):
        return [""]  # nothing that any reader takes
    return [word.strip() for entry in entries for word in entry.split(",") if word.strip()]
