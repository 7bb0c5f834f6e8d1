"""The one place where this package is wider than ransack: an address also counts as its text.

`'192.0.2.7' in Source.IP4` is false for typed values, and `Source.IP4 = '192.0.2.7'` is an error. Rules that
were written against plain JSON say exactly that, and mean it. So the typed answer comes first; where it is
"no", or where an address meets a string and there is no such operator, the address is compared as the
message wrote it. Addresses written in the rule have no text: a string that meets one is still a mistake.
"""

from typing import Any, Final

from ransack.exceptions import OperatorNotFoundError
from ransack.operator import binary_operation

OPERATORS: Final = frozenset({"in", "=", "==", "contains"})


def apply(operator: str, left: Any, right: Any) -> Any:
    """`left operator right` for one of OPERATORS, when a side may hold addresses of the message."""
    if operator == "==":
        return left == right or _written(left) == _written(right)
    if operator == "contains":  # has no typed meaning for addresses, and none between two of them
        if not (_has_text(left) and _has_text(right)):
            left, right = _written(left), _written(right)
        return binary_operation(operator, left, right)
    broken_off = None
    try:
        if binary_operation(operator, left, right):
            return True
    except OperatorNotFoundError as error:
        if set(error.types) != {"ip", str}:
            raise
        broken_off = error
    if not (_has_text(left) or _has_text(right)):
        if broken_off:
            raise broken_off
        return False
    return _any_text(operator, left, right, broken_off) or (
        # The library stopped at the string; nobody has looked at what comes after it.
        broken_off is not None and binary_operation(operator, _without_strings(left), _without_strings(right))
    )


def _any_text(operator: str, left: Any, right: Any, broken_off: Exception | None) -> Any:
    try:
        return binary_operation(operator, _strings(left), _strings(right))
    except OperatorNotFoundError:
        if broken_off:
            raise
        return False


def _written(value: Any) -> Any:
    if isinstance(value, list):
        return [getattr(item, "text", item) for item in value]
    return getattr(value, "text", value)


def _strings(value: Any) -> Any:
    if isinstance(value, list):
        return [item for item in _written(value) if isinstance(item, str)]
    return _written(value)


def _without_strings(value: Any) -> Any:
    if isinstance(value, list):
        return [item for item in value if not isinstance(item, str)]
    return [] if isinstance(value, str) else value


def _has_text(value: Any) -> bool:
    if isinstance(value, list):
        return any(hasattr(item, "text") for item in value)
    return hasattr(value, "text")
