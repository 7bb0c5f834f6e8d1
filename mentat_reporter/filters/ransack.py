"""Rules in ransack's language, the one of current Mentat, as closures.

The library parses; its `Filter` is an interpreter, slow and not thread-safe, so the tree is turned into
functions here, with the same meaning. Apart from `astext` there are two differences: a function that does not
exist is an error of the rule when it is compiled, not of the event that happens to reach it; and `now()` is
whatever time the caller says it is.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from ipranges import IP4, IP6, IP4Range, IP6Range
from lark import Tree
from ransack import ParseError, ShapeError
from ransack.exceptions import OperatorNotFoundError
from ransack.function import predefined_functions
from ransack.operator import binary_operation

from mentat_reporter.errors import RuleError
from mentat_reporter.filters import astext, quick
from mentat_reporter.filters.grammar import parser
from mentat_reporter.filters.paths import MISSING, getter
from mentat_reporter.filters.values import ADDRESS_KEYS, converter

Evaluate = Callable[[Mapping[str, Any]], Any]

VARIES: Final = object()
_FUNCTIONS: Final[Mapping[str, Any]] = predefined_functions
_LITERALS: Final = frozenset({"number", "ip", "datetime", "timedelta_", "string_"})
_BINARY: Final = {
    "any_eq": "=",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "in_op": "in",
    "contains_op": "contains",
    "concat_op": ".",
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "mod": "%",
    "eq": "==",
}


class Part(NamedTuple):
    """A piece of a rule: how to evaluate it, its value if the rule spells it, what it may yield."""

    run: Evaluate
    constant: Any = VARIES
    addresses: bool = False  # may hold addresses of the message


class _Literal(NamedTuple):
    """What `now()` stands for, in the shape of the parser's leaves."""

    real_value: datetime


def compile_expression(text: str, now: datetime) -> Evaluate:
    """Turn the expression into a function of the message. May raise anything; `compile` sees to that."""
    tree = _parse(text)
    for branch in tree.find_pred(_asks_for_the_time):
        branch.data, branch.children = "datetime", [_Literal(now)]
    return _part(tree).run


def _asks_for_the_time(tree: Tree[Any]) -> bool:
    return tree.data == "function_" and _value(tree) == "now" and tree.children[1] is None


def _parse(text: str) -> Tree[Any]:
    try:
        tree: Tree[Any] = parser().parse(text)
    except (ParseError, ShapeError) as error:
        known = isinstance(error.line, int) and error.line > 0
        where = f"line {error.line}, column {error.column}" if known else "at the end"
        why = error.msg if isinstance(error, ShapeError) else "cannot be understood from here"
        raise RuleError(f"{where}: {why}\n{(error.context or '').rstrip()}") from error
    return tree


def _value(tree: Tree[Any]) -> Any:
    leaf: Any = tree.children[0]
    return leaf.real_value


def _where(tree: Tree[Any]) -> str:
    return f"line {getattr(tree.meta, 'line', 1)}, column {getattr(tree.meta, 'column', 1)}"


def _part(tree: Tree[Any]) -> Part:
    kind = str(tree.data)
    if kind in _LITERALS:
        return _constant(_value(tree))
    if kind in _BINARY:
        return _binary(_BINARY[kind], tree)
    return _BUILDERS[kind](tree)


def _constant(value: Any) -> Part:
    return Part(lambda _: value, value)


def _holding(run: Evaluate, *parts: Part) -> Part:
    return Part(run, addresses=any(part.addresses for part in parts))


def _variable(tree: Tree[Any]) -> Part:
    path = str(_value(tree))
    missing = f"{_where(tree)}: the event has no {path}; write ({path} ?? []) where it may be missing"
    read, addresses = _reader(path)

    def run(message: Mapping[str, Any]) -> Any:
        found = read(message)
        if found is MISSING:
            raise RuleError(missing) from LookupError(path)
        return found

    return Part(run, addresses=addresses)


def _reader(path: str) -> tuple[Callable[[Any], Any], bool]:
    get = getter(path)
    key = path.rpartition(".")[2]
    convert = converter(key)
    if convert is None:
        return get, False
    typed = convert
    return lambda message: typed(get(message)), key in ADDRESS_KEYS


def _exists(tree: Tree[Any]) -> Part:
    get = getter(str(tree.children[0]))
    return Part(lambda message: get(message) is not MISSING)


def _default(tree: Tree[Any]) -> Part:
    read, addresses = _reader(str(tree.children[0]))
    default = _part(tree.children[1])
    otherwise = default.run

    def run(message: Mapping[str, Any]) -> Any:
        found = read(message)
        return otherwise(message) if found is MISSING else found

    return Part(run, addresses=addresses or default.addresses)


def _list(tree: Tree[Any]) -> Part:
    parts = [_part(child) for child in tree.children if child is not None]
    if all(part.constant is not VARIES for part in parts):
        return _constant([part.constant for part in parts])
    runs = [part.run for part in parts]
    return _holding(lambda message: [run(message) for run in runs], *parts)


def _chain(tree: Tree[Any]) -> list[Tree[Any]]:
    """List the links of `a or b or c` from left to right; it is parsed as `(a or b) or c`."""
    links = []
    link = tree
    while link.data == tree.data:
        links.append(link.children[1])
        link = link.children[0]
    return [link, *reversed(links)]


def _or(tree: Tree[Any]) -> Part:
    parts = [_part(link) for link in _chain(tree)]
    *firsts, last = [part.run for part in parts]

    def run(message: Mapping[str, Any]) -> Any:
        for first in firsts:
            found = first(message)
            if found:
                return found
        return last(message)

    return _holding(run, *parts)


def _and(tree: Tree[Any]) -> Part:
    parts = [_part(link) for link in _chain(tree)]
    *firsts, last = [part.run for part in parts]

    def run(message: Mapping[str, Any]) -> Any:
        for first in firsts:
            found = first(message)
            if not found:
                return found
        return last(message)

    return _holding(run, *parts)


def _not(tree: Tree[Any]) -> Part:
    part = _part(tree.children[0])
    inner = part.run
    return Part(lambda message: not inner(message))


def _neg(tree: Tree[Any]) -> Part:
    part = _part(tree.children[0])
    if isinstance(part.constant, (int, float, timedelta)):
        return _constant(-part.constant)
    inner = part.run
    return _holding(lambda message: -inner(message), part)


def _range(tree: Tree[Any]) -> Part:
    left, right = (_part(child) for child in tree.children)
    first, last = left.run, right.run
    if left.constant is not VARIES and right.constant is not VARIES:
        return _constant(_between(left.constant, right.constant))
    return _holding(lambda message: _between(first(message), last(message)), left, right)


def _between(start: Any, end: Any) -> Any:
    if isinstance(start, IP4) and isinstance(end, IP4):
        return IP4Range(f"{start}-{end}")
    if isinstance(start, IP6) and isinstance(end, IP6):
        return IP6Range(f"{start}-{end}")
    return (start, end)


def _function(tree: Tree[Any]) -> Part:
    name = str(_value(tree))
    arguments = tree.children[1].children if tree.children[1] is not None else []
    parts = [_part(argument) for argument in arguments]
    function = _FUNCTIONS.get(name)
    if function is None:
        known = ", ".join(sorted(_FUNCTIONS))
        raise RuleError(f"{_where(tree)}: there is no function {name}(); known are {known}")
    where, call = _where(tree), function
    runs = [part.run for part in parts]

    def run(message: Mapping[str, Any]) -> Any:
        arguments = [run(message) for run in runs]
        try:
            return call(*arguments)
        except (TypeError, OverflowError) as error:
            raise RuleError(f"{where}: {error}") from error

    return _holding(run, *parts)


def _binary(operator: str, tree: Tree[Any]) -> Part:
    left, right = (_part(child) for child in tree.children)
    apply = _operation(operator, _where(tree), texts=left.addresses or right.addresses)
    first, second = left.run, right.run

    def run(message: Mapping[str, Any]) -> Any:
        return apply(first(message), second(message))

    constants = [None if part.constant is VARIES else part.constant for part in (left, right)]
    found = quick.shortcut(operator, (first, second), constants, apply)
    return _holding(found or run, left, right)


def _operation(operator: str, where: str, *, texts: bool) -> quick.Apply:
    """Return the operation on two values, as the library does it, with errors that say where."""
    if operator == "==" and not texts:
        return lambda left, right: left == right
    wide = texts and operator in astext.OPERATORS
    perform = astext.apply if wide else binary_operation

    def apply(left: Any, right: Any) -> Any:
        try:
            return perform(operator, left, right)
        except OperatorNotFoundError as error:
            kinds = " and ".join(getattr(kind, "__name__", str(kind)) for kind in error.types)
            raise RuleError(f"{where}: {error.operator!r} does not work between {kinds}") from error
        except Exception as error:
            raise RuleError(f"{where}: {operator!r} fails: {error}") from error

    return apply


_BUILDERS: Final[Mapping[str, Callable[[Tree[Any]], Part]]] = {
    "or_op": _or,
    "and_op": _and,
    "not_op": _not,
    "neg": _neg,
    "range_op": _range,
    "list": _list,
    "var_from_data": _variable,
    "exists_op": _exists,
    "exists_with_default": _default,
    "function_": _function,
}
