"""Checks of decoded JSON that collect every fault with its path instead of stopping at the first.

A check takes a value, its path and the list of faults, and returns the value as it is to be stored.
What it returns for a faulty value does not matter: one fault refuses the whole document.
"""

import re
from collections.abc import Callable, Collection, Hashable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final

Faults = list[str]
Check = Callable[[Any, str, Faults], Any]

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_LINE_BREAKING: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LOCAL_PART: Final = re.compile(r"(?!-)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_LOCAL, _LONGEST_ADDRESS = 64, 254
_SHOWN: Final = 60


class Repeating(dict[str, Any]):
    """A JSON object that says which of its keys stand there more than once."""

    repeated: tuple[str, ...] = ()

    @classmethod
    def of(cls, pairs: list[tuple[str, Any]]) -> "Repeating":
        made = cls(pairs)
        if len(made) < len(pairs):
            keys = [key for key, _ in pairs]
            made.repeated = tuple(key for key in made if keys.count(key) > 1)
        return made


def shown(value: Any) -> str:
    """Quote a value in a message, shortened; what cannot be printed is escaped."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def fields(table: Mapping[str, Check], *, required: Collection[str] = ()) -> Check:
    """Check an object by a table of its keys; only keys that stand there are in the result."""

    def check(value: Any, path: str, faults: Faults) -> dict[str, Any]:
        if not isinstance(value, dict):
            faults.append(f"{path or 'the document'}: must be an object, not {shown(value)}")
            return {}
        repeated = value.repeated if isinstance(value, Repeating) else ()
        faults.extend(f"{below(path, key)}: stands there more than once" for key in repeated)
        faults.extend(f"{below(path, key)}: is missing" for key in required if key not in value)
        faults.extend(f"{below(path, key)}: {_unknown(key, table)}" for key in value if key not in table)
        known = ((key, item) for key, item in value.items() if key in table)
        return {key: table[key](item, below(path, key), faults) for key, item in known}

    return check


def _unknown(key: str, table: Mapping[str, Check]) -> str:
    near = get_close_matches(key, table, 1)
    return f"is no known key; {f'did you mean {near[0]}?' if near else 'known are ' + ', '.join(table)}"


def items(check_item: Check, *, key: Callable[[Any], Hashable] | None = None, what: str = "") -> Check:
    """Check a list item by item; `key` tells what of an item must be there only once."""

    def check(value: Any, path: str, faults: Faults) -> list[Any]:
        if not isinstance(value, list):
            faults.append(f"{path}: must be a list, not {shown(value)}")
            return []
        made: list[Any] = []
        seen: dict[Hashable, int] = {}
        for index, item in enumerate(value):
            before = len(faults)
            made.append(check_item(item, f"{path}[{index}]", faults))
            if key is None or len(faults) > before:
                continue
            first = seen.setdefault(key(made[-1]), index)
            if first != index:
                faults.append(f"{path}[{index}]: has the {what} of {path}[{first}] again")
        return made

    return check


def mapping(check_key: Check, check_item: Check) -> Check:
    """Check an object whose keys are free, such as languages."""

    def check(value: Any, path: str, faults: Faults) -> dict[str, Any]:
        if not isinstance(value, dict):
            faults.append(f"{path}: must be an object, not {shown(value)}")
            return {}
        for key in value:
            check_key(key, below(path, key), faults)
        return {key: check_item(item, below(path, key), faults) for key, item in value.items()}

    return check


def nullable(check_value: Check) -> Check:
    return lambda value, path, faults: None if value is None else check_value(value, path, faults)


def flag(value: Any, path: str, faults: Faults) -> bool:
    if not isinstance(value, bool):
        faults.append(f"{path}: must be true or false, not {shown(value)}")
    return value is True


def number(least: float, most: float, *, whole: bool = True) -> Check:
    """Check a number between two bounds."""
    kind = "a whole number" if whole else "a number"

    def check(value: Any, path: str, faults: Faults) -> Any:
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not fits or not least <= value <= most:
            faults.append(f"{path}: must be {kind} from {least} to {most}, not {shown(value)}")
        return value

    return check


def text(*, longest: int | None = None, empty: bool = True) -> Check:
    """Check a text that the database can hold."""

    def check(value: Any, path: str, faults: Faults) -> Any:
        if not isinstance(value, str):
            faults.append(f"{path}: must be a text, not {shown(value)}")
        elif _UNSTORABLE.search(value):
            faults.append(f"{path}: {shown(value)} has a NUL or half a surrogate pair")
        elif not empty and not value.strip():
            faults.append(f"{path}: must not be empty")
        elif longest is not None and len(value) > longest:
            faults.append(f"{path}: {shown(value)} is longer than {longest} characters")
        return value

    return check


def line(*, longest: int) -> Check:
    """Check a text that is a name: not empty, of one line, without blanks around it."""
    check_text = text(longest=longest, empty=False)

    def check(value: Any, path: str, faults: Faults) -> Any:
        before = len(faults)
        check_text(value, path, faults)
        if len(faults) == before and (_LINE_BREAKING.search(value) or value != value.strip()):
            faults.append(f"{path}: {shown(value)} has control characters, or blanks around it")
        return value

    return check


def form(pattern: str, wanted: str) -> Check:
    """Check a text by its form; `wanted` says it in words."""

    def check(value: Any, path: str, faults: Faults) -> Any:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            faults.append(f"{path}: {shown(value)} is not {wanted}")
        return value

    return check


def choice(allowed: Callable[[], Collection[str]] | Collection[str]) -> Check:
    """Check that a text is one of some; the nearest is named."""

    def check(value: Any, path: str, faults: Faults) -> Any:
        options = allowed() if callable(allowed) else allowed
        if not isinstance(value, str) or value not in options:
            near = get_close_matches(value, options, 1) if isinstance(value, str) else []
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(options)[:8])}"
            faults.append(f"{path}: {shown(value)} is not known; {hint}")
        return value

    return check


def read(parse: Callable[[str], Any]) -> Check:
    """Check a text by a function that raises ValueError with the reason; its result is taken."""

    def check(value: Any, path: str, faults: Faults) -> Any:
        if not isinstance(value, str):
            faults.append(f"{path}: must be a text, not {shown(value)}")
            return None
        try:
            return parse(value)
        except ValueError as error:
            faults.append(f"{path}: {str(error)[:200]}")
            return None

    return check


def email(written: str) -> str:
    """Return one bare mail address, its domain in ASCII; raise ValueError for anything else."""
    local, at, domain = written.rpartition("@")
    try:
        host = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        host = ""
    if (
        not at
        or len(local) > _LONGEST_LOCAL
        or len(local) + len(host) >= _LONGEST_ADDRESS
        or not _LOCAL_PART.fullmatch(local)
        or not _DOMAIN.fullmatch(host)
    ):
        raise ValueError(f"{shown(written)} is not one mail address, as abuse@example.org")
    return f"{local}@{host}"


def time(written: str) -> datetime:
    """Return an ISO time as the database keeps it: UTC without an offset. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(written)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise ValueError(f"{shown(written)} is no time, as 2026-01-31T12:00:00Z") from None
