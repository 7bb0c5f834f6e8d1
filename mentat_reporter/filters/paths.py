"""A dotted path, made into a function that collects its values from a decoded message."""

from collections.abc import Callable, Mapping
from typing import Any, Final


class _Missing:
    """What a path gives when it is not in the message; None is a value there."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
Getter = Callable[[Any], Any]


def getter(path: str) -> Getter:
    """Follow ransack's paths: through objects by key, through lists by gathering what their items have.

    Lists are flattened by one level; null found in a list, and a list in which nothing is found, do not
    count. `MISSING` when there is nothing.
    """
    first, _, rest = path.partition(".")
    below = getter(rest) if rest else None

    def get(data: Any) -> Any:
        if isinstance(data, dict):
            found = data.get(first, MISSING)
            return found if below is None or found is MISSING else below(found)
        if isinstance(data, list):
            return _gather(get, data)
        return get(dict(data)) if isinstance(data, Mapping) else MISSING

    return get


def _gather(get: Getter, items: list[Any]) -> Any:
    gathered: list[Any] = []
    for item in items:
        if not isinstance(item, (dict, list)):
            continue
        found = get(item)
        if type(found) is list:
            gathered.extend(found)
        elif found is not None and found is not MISSING:
            gathered.append(found)
    return gathered or MISSING
