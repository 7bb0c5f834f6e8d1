"""From the text of a rule to a function: the only door to this package.

Nothing but RuleError leaves it, neither at compilation nor from the functions it returns.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from mentat_reporter.errors import RuleError

Language = Literal["ransack", "pynspect"]
Rule = Callable[[Mapping[str, Any]], bool]
Values = Callable[[Mapping[str, Any]], list[str]]
_Evaluate = Callable[[Mapping[str, Any]], Any]


def compile_rule(text: str, language: Language) -> Rule:
    """Given the text of a rule, return the function that says whether an event matches.

    Raise RuleError with place and reason if the text is no rule; the function raises it if the rule cannot
    be decided for an event.
    """
    evaluate = _compile(text, language)

    def rule(message: Mapping[str, Any]) -> bool:
        try:
            return bool(evaluate(message))
        except RuleError:
            raise
        except Exception as error:
            raise _failed(error) from error

    return rule


def compile_values(text: str, language: Language) -> Values:
    """Given an expression, return the function that lists its values for an event: strings, each once.

    What can be named counts: strings, numbers, addresses (as the message wrote them), times, the items of
    lists. Null, true and false, empty strings and objects name nothing.
    """
    evaluate = _compile(text, language)

    def values(message: Mapping[str, Any]) -> list[str]:
        try:
            return list(dict.fromkeys(_names(evaluate(message))))
        except RuleError:
            raise
        except Exception as error:
            raise _failed(error) from error

    return values


def _compile(text: str, language: Language) -> _Evaluate:
    if not text or text.isspace():
        raise RuleError("is empty")
    try:
        return _compiler(language)(text)
    except RuleError:
        raise
    except Exception as error:
        raise _failed(error) from error


def _compiler(language: Language) -> Callable[[str], _Evaluate]:
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
