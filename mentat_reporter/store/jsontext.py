"""JSON text of events → values: quick for what is well formed, patient with what people send."""

import json
import math
from codecs import BOM_UTF8
from typing import Any, Final

import orjson

from mentat_reporter.core import idea
from mentat_reporter.errors import MessageError

_QUOTED: Final = 40


def decode(text: str | bytes) -> Any:
    """Return the cleaned value of a JSON text. Raises MessageError saying where and what is wrong.

    Beyond JSON it takes a byte order mark, bytes that are no UTF-8, lone surrogates, control
    characters inside strings, NaN and infinite numbers.
    """
    value, suspect = load(text)
    return idea.clean(value) if suspect else value


def as_json(text: bytes, value: Any) -> bytes:
    """Return a message as it is stored if that is JSON, else what `decode` made of it, its value.

    A byte order mark is taken off, and numbers that JSON does not know become null.
    """
    try:
        orjson.loads(text)
    except ValueError:
        bare = text.removeprefix(BOM_UTF8)
        return bare if _is_json(bare) else json.dumps(_finite(value), ensure_ascii=False).encode()
    return text


def _is_json(text: bytes) -> bool:
    """Tell whether a text is JSON by its grammar, which has lone surrogates and numbers of any size."""
    try:
        json.loads(text.decode(), parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def load(text: str | bytes) -> tuple[Any, bool]:
    """Return the value of a JSON text as it stands, and whether it has to be cleaned."""
    written = (text if isinstance(text, str) else text.decode(errors="replace")).removeprefix("\ufeff")
    suspect = idea.needs_cleaning(written)
    try:
        value = orjson.loads(written)
    except ValueError:
        value, suspect = _load_patiently(written), True
    if written.count("[") + written.count("{") > idea.MAX_DEPTH and _too_deep(value):
        raise MessageError(f"is nested deeper than {idea.MAX_DEPTH}")
    return value, suspect


def _load_patiently(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        raise MessageError(f"is no JSON: {_explained(error)}") from None
    except RecursionError:
        raise MessageError(f"is nested deeper than {idea.MAX_DEPTH}") from None
    except ValueError:
        raise MessageError("has a whole number of more than 4,300 digits") from None


def _explained(error: json.JSONDecodeError) -> str:
    place = f"line {error.lineno}, column {error.colno}"
    if error.msg.startswith("Unterminated string"):
        return f"it ends too early, in the string that begins at {place}"
    if error.pos >= len(error.doc.rstrip()):
        return f"it ends too early, at {place}"
    return f"{error.msg}, at {place}, before {error.doc[error.pos : error.pos + _QUOTED]!r}"


def _too_deep(value: Any) -> bool:
    """Go down level by level, as deep as `idea.clean` would."""
    level = [value]
    for _ in range(idea.MAX_DEPTH + 1):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True
