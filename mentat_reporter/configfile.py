"""Configuration files: JSON with whole-line comments, folders of them, and what may be shown of them."""

import json
import re
from pathlib import Path
from typing import Any, Final

from mentat_reporter.errors import UsageError

SUFFIX: Final = ".json.conf"
HIDDEN: Final = "********"
_SECRET: Final = re.compile(
    r"pas|psw|pwd|secret|token", re.IGNORECASE
)  # misspelt it is a secret all the same
_IN_URL: Final = re.compile(r"(://[^:/@\s]*:).*(@)")
_IN_QUERY: Final = re.compile(r"(passw\w*\s*=\s*)[^&\s]*", re.IGNORECASE)


def load_file(path: Path, *, may_be_missing: bool) -> dict[str, Any]:
    """Return the object in a file. Raise UsageError naming the file, and the line where it is broken.

    pyzenkit's own reader drops comment lines before it parses, and its line numbers are of no use then.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        if may_be_missing:
            return {}
        raise UsageError(f"configuration file {path} does not exist") from None
    except OSError as error:
        raise UsageError(f"configuration file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"configuration file {path} is not UTF-8: {error.reason}") from None
    try:
        found = json.loads("\n".join("" if _is_comment(line) else line for line in lines))
    except json.JSONDecodeError as error:
        raise UsageError(f"configuration file {path}, line {error.lineno}: {_cause(error)}") from None
    except RecursionError:
        raise UsageError(f"configuration file {path} is nested too deep") from None
    if not isinstance(found, dict):
        raise UsageError(f'configuration file {path} must hold one object, {{"key": value, …}}')
    return found


def load_folder(path: Path, *, may_be_missing: bool) -> dict[str, Any]:
    """Return the objects in a folder's `*.json.conf`, later names replacing whole keys of earlier ones."""
    try:
        files = sorted(entry for entry in path.iterdir() if entry.name.endswith(SUFFIX) and entry.is_file())
    except FileNotFoundError:
        if may_be_missing:
            return {}
        raise UsageError(f"configuration folder {path} does not exist") from None
    except OSError as error:
        raise UsageError(f"configuration folder {path} cannot be read: {error.strerror}") from None
    found: dict[str, Any] = {}
    for file in files:
        found.update(without_nulls(load_file(file, may_be_missing=True)))
    return found


def without_nulls(raw: dict[str, Any]) -> dict[str, Any]:
    """Drop nulls: null stands for "not set", as in pyzenkit."""
    return {key: value for key, value in raw.items() if value is not None}


def redact(value: Any, name: str = "") -> Any:
    """Copy a configuration so that it may be shown: no passwords, neither as values nor inside URLs."""
    if isinstance(value, dict):
        return {key: redact(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact(inner, name) for inner in value]
    if value and _SECRET.search(name) and not name.endswith("_file"):
        return HIDDEN
    if isinstance(value, str):
        return _IN_QUERY.sub(rf"\1{HIDDEN}", _IN_URL.sub(rf"\1{HIDDEN}\2", value))
    return value


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith(("#", "//"))


def _cause(error: json.JSONDecodeError) -> str:
    after_comma = error.doc[: error.pos].rstrip().endswith(",") or "trailing comma" in error.msg
    hint = "; a comma after the last entry, or a comment that has no line of its own?" if after_comma else ""
    return f"{error.msg} (column {error.colno}){hint}"
