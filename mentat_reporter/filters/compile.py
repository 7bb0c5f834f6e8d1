"""From the text of a rule to a function: the only door to this package.

Nothing but RuleError leaves it, neither at compilation nor from the functions it returns. Where slow rules
are ended (`patience`), one that was ended once is not evaluated again.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

from mentat_reporter.errors import RuleError
from mentat_reporter.filters.patience import WATCH, SlowRuleError

Language = Literal["ransack", "pynspect"]
Rule = Callable[[Mapping[str, Any]], bool]
Values = Callable[[Mapping[str, Any]], list[str]]
_Evaluate = Callable[[Mapping[str, Any]], Any]
_Answer = TypeVar("_Answer")

_OFF: Final = "takes longer than {:g} s and is off for the rest of the run"


def compile_rule(text: str, language: Language, now: datetime) -> Rule:
    """Given the text of a rule, return the function that says whether an event matches.

    `now` is what the rule takes for the present. Raise RuleError with place and reason if the text is no
    rule; the function raises it if the rule cannot be decided for an event.
    """
    return _guarded(_compile(text, language, now), bool)


def compile_values(text: str, language: Language, now: datetime) -> Values:
    """Given an expression, return the function that lists its values for an event: strings, each once.

    What can be named counts: strings, numbers, addresses (as the message wrote them), times, the items of
    lists. Null, true and false, empty strings and objects name nothing.
    """
    return _guarded(_compile(text, language, now), lambda value: list(dict.fromkeys(_names(value))))


def _guarded(evaluate: _Evaluate, read: Callable[[Any], _Answer]) -> Callable[[Mapping[str, Any]], _Answer]:
    """Return the function that evaluates and reads the outcome, until that takes too long once."""
    off = False

    def ask(message: Mapping[str, Any]) -> _Answer:
        nonlocal off
        if off:
            raise SlowRuleError(_OFF.format(WATCH.patience))
        WATCH.turn += 1
        WATCH.busy = True
        try:
            return read(evaluate(message))
        except Exception as error:
            if WATCH.ended == WATCH.turn:
                off = True
                raise SlowRuleError(_OFF.format(WATCH.patience)) from error
            if isinstance(error, RuleError):
                raise
            raise _failed(error) from error
        finally:
            WATCH.busy = False

    return ask


def _compile(text: str, language: Language, now: datetime) -> _Evaluate:
    if not text or text.isspace():
        raise RuleError("is empty")
    WATCH.turn += 1
    WATCH.busy = True
    try:
        return _compiler(language)(text, now)
    except RuleError:
        raise
    except Exception as error:
        raise _failed(error) from error
    finally:
        WATCH.busy = False


def _compiler(language: Language) -> Callable[[str, datetime], _Evaluate]:
    # A run without rules pays for neither of the parsers.
    if language == "ransack":
        from mentat_reporter.filters import ransack  # noqa: PLC0415

        return ransack.compile_expression
    if language == "pynspect":
        from mentat_reporter.filters import pynspect  # noqa: PLC0415

        return pynspect.compile_expression
    raise RuleError(f"is in an unknown language, {language!r}; known are ransack and pynspect")


def _failed(error: Exception) -> RuleError:
    if isinstance(error, RecursionError):
        return RuleError("is nested too deeply")
    return RuleError(f"{type(error).__name__}: {error}")


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _names(item)
    elif isinstance(value, datetime):
        yield value.isoformat()
    elif value is not None and not isinstance(value, (bool, Mapping)):
        name = str(getattr(value, "text", value))
        if name:
            yield name
