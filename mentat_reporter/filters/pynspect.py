"""Rules in pynspect's language, the one of older Mentat installations, as closures.

They decide like `DataObjectFilter` on the compiled rule and a typed message, with these differences, all on
purpose: a constant on the left means what it says (`5 > ConnCount`, `10 - ConnCount`); IPv6 constants
work; unknown characters, unknown functions, impossible paths and constant patterns that are no regular
expressions are errors of the rule, at compilation; `utcnow()` and `time()` are whatever time the caller says
it is. As there, `and` and `or` evaluate both sides, and what is
missing from the event is neither true nor, after `not`, true.
"""

import operator as op
import re
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mentat_reporter.errors import RuleError
from mentat_reporter.filters.spans import Spans
from mentat_reporter.filters.values import SINGLE_ADDRESSES, converter, naive_moment

try:
    from pynspect import rules
    from pynspect.compilers import IPListRule
    from pynspect.filters import grfcbk_size, grfcbk_strlen
    from pynspect.jpath import JPathException, jpath_parse
    from pynspect.traversers import BaseFilteringTreeTraverser, ListIP

    from mentat_reporter.filters.pynspect_parser import parse
except ModuleNotFoundError as error:
    raise RuleError(
        "needs pynspect, which is not installed: pip install 'mentat-reporter[pynspect]'"
    ) from error

Evaluate = Callable[[Mapping[str, Any]], Any]
_Test = Callable[[Any, Any], Any]

_ORDER: Final[Mapping[str, _Test]] = {
    "OP_EQ": op.eq,
    "OP_NE": op.ne,
    "OP_GT": op.gt,
    "OP_GE": op.ge,
    "OP_LT": op.lt,
    "OP_LE": op.le,
    "OP_LIKE": lambda text, pattern: re.search(pattern, text),
}
_SCALARS: Final = (rules.ConstantRule,)  # numbers, addresses, times and strings
_library: Final = BaseFilteringTreeTraverser()  # holds no state that an evaluation would change


def compile_expression(text: str, now: datetime) -> Evaluate:
    """Turn the expression into a function of the message. May raise anything; `compile` sees to that."""
    return _build(parse(text, now))


def _build(rule: Any) -> Evaluate:
    for kind, builder in _BUILDERS:
        if isinstance(rule, kind):
            return builder(rule)
    raise RuleError(f"holds something unknown: {rule}")


def _constant(rule: Any) -> Evaluate:
    value = _value(rule)
    return lambda _: value


def _value(rule: Any) -> Any:
    """Tell what a constant or a list stands for, None when the rule is neither."""
    if isinstance(rule, rules.ListRule):
        return rule.values()
    return rule.value if isinstance(rule, _SCALARS) else None


def _variable(rule: Any) -> Evaluate:
    try:
        chunks = [(chunk["n"], chunk.get("i")) for chunk in jpath_parse(rule.value)]
    except JPathException as error:
        raise RuleError(f"{rule.value} is not a path: {error}") from error
    convert = converter(chunks[-1][0], naive_moment)

    def run(message: Mapping[str, Any]) -> Any:
        nodes: list[Any] = [message]
        for key, index in chunks:
            nodes = _step(nodes, key, index)
        return nodes if convert is None else convert(nodes)

    return run


def _step(nodes: list[Any], key: str, index: int | None) -> list[Any]:
    """Collect what stands under `key` in the nodes: all items of lists, or the one that is asked for."""
    found: list[Any] = []
    for node in nodes:
        if not isinstance(node, (dict, Mapping)) or key not in node:
            continue
        value = node[key]
        if index is None:
            if isinstance(value, list):
                found.extend(value)
            else:
                found.append(value)
        elif isinstance(value, list) and -len(value) <= index < len(value):
            found.append(value[index])
    return found


def _logical(rule: Any) -> Evaluate:
    left, right = _build(rule.left), _build(rule.right)
    combine = _library.binops_logical[rule.operation]
    return lambda message: combine(left(message), right(message))


def _unary(rule: Any) -> Evaluate:
    inner, operation = _build(rule.right), rule.operation
    return lambda message: _library.evaluate_unop(operation, inner(message))


def _math(rule: Any) -> Evaluate:
    left, right, operation = _build(rule.left), _build(rule.right), rule.operation
    return lambda message: _library.evaluate_binop_math(operation, left(message), right(message))


def _function(rule: Any) -> Evaluate:
    if rule.function in _MOMENTS:
        return _moment(rule)
    function = _FUNCTIONS.get(rule.function)
    if function is None:
        known = ", ".join(sorted((*_FUNCTIONS, *_MOMENTS)))
        raise RuleError(f"there is no function {rule.function}(); known are {known}")
    if not rule.args:
        raise RuleError(f"{rule.function}() takes one argument")
    call: Callable[[list[Any]], Any] = function
    runs = [_build(argument) for argument in rule.args]
    return lambda message: call([run(message) for run in runs])


def _moment(rule: Any) -> Evaluate:
    if rule.args:
        raise RuleError(f"{rule.function}() takes no argument")
    present = _MOMENTS[rule.function](rule.now)
    return lambda _: present


def _comparison(rule: Any) -> Evaluate:
    left, right = _build(rule.left), _build(rule.right)
    constant = _value(rule.right)
    if rule.operation == "OP_IS":
        return lambda message: _library.evaluate_binop_comparison("OP_IS", left(message), right(message))
    if rule.operation == "OP_IN":
        return _in(left, right, constant)
    if rule.operation == "OP_LIKE" and constant is not None:
        return _any_pair(left, _constant_patterns(constant), lambda text, pattern: pattern(text))
    return _any_pair(left, right, _ORDER[rule.operation])


def _any_pair(left: Evaluate, right: Evaluate, holds: _Test) -> Evaluate:
    """Whether it holds between any value of one side and any of the other; None if a side has none."""

    def run(message: Mapping[str, Any]) -> Any:
        ones, others = _as_list(left(message)), _as_list(right(message))
        if not ones or not others:
            return None
        for one in ones:
            if one is None:
                continue
            for other in others:
                if other is not None and holds(one, other):
                    return True
        return False

    return run


def _as_list(value: Any) -> Any:
    if value is None:
        return ()
    return value if isinstance(value, (list, ListIP)) else [value]


def _constant_patterns(constant: Any) -> Evaluate:
    """Compile the patterns once; what is no string is left for `re` to refuse when an event meets it."""
    searches = [_search(pattern) for pattern in _as_list(constant)]
    return lambda _: searches


def _search(pattern: Any) -> Callable[[Any], Any]:
    if not isinstance(pattern, str):
        return lambda text: re.search(pattern, text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful set in a pattern would be printed
            return re.compile(pattern).search
    except (re.error, OverflowError) as error:
        raise RuleError(f"{pattern!r} is not a regular expression: {error}") from error


def _in(left: Evaluate, right: Evaluate, constant: Any) -> Evaluate:
    if isinstance(constant, ListIP):
        return _in_addresses(left, constant)
    wanted = _hashed(constant)

    def run(message: Mapping[str, Any]) -> Any:
        ones, others = _as_list(left(message)), _as_list(right(message))
        if not ones or not others:
            return None
        try:
            return any(one in wanted for one in ones) if wanted else any(one in others for one in ones)
        except TypeError:  # an object among the values has no hash
            return any(one in others for one in ones)

    return run


def _hashed(constant: Any) -> frozenset[Any]:
    """Return the strings and numbers of a constant list, nothing if there is anything else in it."""
    items = constant if isinstance(constant, list) else []
    return frozenset(items) if all(type(item) in {str, int, float} for item in items) else frozenset()


def _in_addresses(left: Evaluate, addresses: Any) -> Evaluate:
    spans = Spans(addresses)

    def run(message: Mapping[str, Any]) -> Any:
        ones = _as_list(left(message))
        if not ones:
            return None
        return any(one.ip in spans if type(one) in SINGLE_ADDRESSES else one in addresses for one in ones)

    return run


_FUNCTIONS: Final[Mapping[str, Callable[[list[Any]], Any]]] = {
    "size": grfcbk_size,
    "strlen": grfcbk_strlen,
}
_MOMENTS: Final[Mapping[str, Callable[[datetime], Any]]] = {
    "time": datetime.timestamp,
    "utcnow": lambda now: now.astimezone(UTC).replace(tzinfo=None),
}
_BUILDERS: Final[tuple[tuple[Any, Callable[[Any], Evaluate]], ...]] = (
    (rules.VariableRule, _variable),
    ((IPListRule, rules.ListRule, *_SCALARS), _constant),
    (rules.ComparisonBinOpRule, _comparison),
    (rules.LogicalBinOpRule, _logical),
    (rules.MathBinOpRule, _math),
    (rules.UnaryOperationRule, _unary),
    (rules.FunctionRule, _function),
)
