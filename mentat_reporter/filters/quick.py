"""Shortcuts for the shapes that most rules have, several times faster than the general operation.

Each one answers only what it is sure of and leaves the rest, and every error, to the general `apply`. A
single address of the message that meets a string is compared by its text (see `astext`).
"""

import operator as op
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ipranges import IP4, IP6, IP4Net, IP4Range, IP6Net, IP6Range

from mentat_reporter.filters.spans import Spans
from mentat_reporter.filters.values import SINGLE_ADDRESSES

Apply = Callable[[Any, Any], Any]
Run = Callable[[Mapping[str, Any]], Any]

_ORDER: Final[Mapping[str, Apply]] = {"=": op.eq, ">": op.gt, ">=": op.ge, "<": op.lt, "<=": op.le}
_TURNED: Final = {"=": "=", ">": "<", ">=": "<=", "<": ">", "<=": ">="}
_NUMBERS: Final = frozenset({int, float})
_STRINGS: Final = frozenset({str})
_WORDS: Final = _NUMBERS | _STRINGS
# What decoded JSON has besides lists: comparing these with a string or a number is plain equality.
_PLAIN: Final = _WORDS | {bool, type(None), dict}
_SINGLES: Final = frozenset({IP4, IP6})
_ADDRESSES: Final = _SINGLES | {IP4Net, IP6Net, IP4Range, IP6Range}


def shortcut(operator: str, runs: tuple[Run, Run], constants: Sequence[Any], apply: Apply) -> Run | None:
    """Find a faster function for `left operator right`. Constants are None where a side varies."""
    left, right = constants
    if operator == "in" and type(left) in _WORDS:
        return _word_in(left, runs[1], apply)
    if operator == "in" and isinstance(right, list) and right:
        return _in_constants(runs[0], right, apply)
    if operator in _ORDER and type(right) in _WORDS:
        return _compare(operator, runs[0], right, apply)
    if operator in _ORDER and type(left) in _WORDS:
        return _compare(_TURNED[operator], runs[1], left, lambda value, word: apply(word, value))
    return None


def _word_in(word: Any, run: Run, apply: Apply) -> Run:
    """`'Recon.Scanning' in Category`."""

    def search(message: Mapping[str, Any]) -> Any:
        value = run(message)
        if type(value) is not list:
            return apply(word, value)
        if word in value:
            return True
        for item in value:
            if type(item) in SINGLE_ADDRESSES:
                if item.text == word:
                    return True
            elif type(item) not in _PLAIN:  # a list in the list, a network
                return apply(word, value)
        return False

    return search


def _in_constants(run: Run, constants: list[Any], apply: Apply) -> Run | None:
    kinds = {type(constant) for constant in constants}
    if kinds <= _WORDS:
        return _in_words(run, constants, apply)
    if kinds <= _ADDRESSES:
        return _in_addresses(run, constants, apply)
    return None


def _in_words(run: Run, words: list[Any], apply: Apply) -> Run:
    """`Target.Port in [22, 23]`."""
    wanted = frozenset(words)

    def search(message: Mapping[str, Any]) -> Any:
        value = run(message)
        if type(value) is list:
            for item in value:
                seen = item.text if type(item) in SINGLE_ADDRESSES else item
                if type(seen) not in _WORDS:
                    return apply(value, words)
                if seen in wanted:
                    return True
            return False
        return value in wanted if type(value) in _WORDS else apply(value, words)

    return search


def _in_addresses(run: Run, addresses: list[Any], apply: Apply) -> Run:
    """`Source.IP4 in [192.0.2.0/24, 198.51.100.7]`."""
    # The library compares single addresses with their family, networks and ranges by number alone.
    singles = frozenset((item.bit_length, item.ip) for item in addresses if type(item) in _SINGLES)
    spans = Spans(item for item in addresses if type(item) not in _SINGLES)

    def search(message: Mapping[str, Any]) -> Any:
        value = run(message)
        for item in value if type(value) is list else (value,):
            if type(item) not in SINGLE_ADDRESSES:
                return apply(value, addresses)
            if item.ip in spans or (item.bit_length, item.ip) in singles:
                return True
        return False

    return search


def _compare(operator: str, run: Run, word: Any, apply: Apply) -> Run | None:
    """`ConnCount > 10`, `Target.Port = 22`, `Category = 'Recon.Scanning'`."""
    kinds = _STRINGS if type(word) is str else _NUMBERS
    if kinds is _STRINGS and operator != "=":
        return None  # strings have no order
    holds = _ORDER[operator]

    def compare(message: Mapping[str, Any]) -> Any:
        value = run(message)
        if type(value) in kinds:
            return holds(value, word)
        if type(value) is not list:
            return apply(value, word)
        for item in value:
            seen = item.text if kinds is _STRINGS and type(item) in SINGLE_ADDRESSES else item
            if type(seen) not in kinds:
                return apply(value, word)
            if holds(seen, word):
                return True
        return False

    return compare
