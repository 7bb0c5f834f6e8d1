"""What a site adds to event classes: a folder for each, with `info.json`, sections and their strings.

What cannot be used is named once a run, with the class, and left out; reports go on without it.
"""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from mentat_reporter.core.model import EventClass

INFO: Final = "info.json"
_SUFFIXES: Final = ("txt", "html")
_KEYS: Final = ("label", "reference", "advice", "xarf")

Tell = Callable[[str, str], None]
"""Name what is left out: `event class NAME`, and why."""


class Info(NamedTuple):
    """What `info.json` says; what it does not say is empty."""

    label: Mapping[str, str]
    reference: str
    advice: Mapping[str, str]
    xarf: str


class ClassFolders:
    """The folders in `event_classes_dir`, looked through when the first of them is asked for."""

    def __init__(self, root: Path | None, tell: Tell) -> None:
        self._root = root
        self._tell = tell
        self._told: set[tuple[str, str]] = set()

    def fault(self, name: str, error: str) -> None:
        """Name, once, what of a class is left out, and why."""
        if (name, error) not in self._told:
            self._told.add((name, error))
            self._tell(f"event class {name}", error)

    @cached_property
    def _folders(self) -> Mapping[str, Path]:
        """Return the folders by the class that they are named after."""
        if self._root is None:
            return {}
        found = {}
        try:
            for path in sorted(self._root.iterdir()):
                if path.name.startswith(".") or not path.is_dir():
                    continue
                if path.is_symlink():
                    self.fault(path.name, f"{path} is a symbolic link, never followed; make it a folder")
                else:
                    found[path.name] = path
        except OSError as error:
            self._tell("event classes", f"{self._root} cannot be read: {error.strerror}; it is left out")
        return found

    def applied_to(self, known: Mapping[str, EventClass]) -> dict[str, EventClass]:
        """Return the known classes with what the folders say, and those that only a folder knows."""
        classes = dict(known)
        for name, folder in self._folders.items():
            info = self._info(name, folder / INFO)
            if info is not None:
                classes[name] = _with_info(classes.get(name) or EventClass(name, {}, {}, ""), info)
        return classes

    def _info(self, name: str, path: Path) -> Info | None:
        try:
            return read_info(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            return None
        except OSError as error:
            self.fault(name, f"{path} cannot be read: {error.strerror}; it is left out")
        except (ValueError, RecursionError) as error:
            self.fault(name, f"{path}: {error}; it is left out")
        return None

    @cached_property
    def _sections(self) -> frozenset[tuple[str, str]]:
        return frozenset(
            (name, suffix)
            for name, folder in self._folders.items()
            for suffix in _SUFFIXES
            if (folder / f"report.{suffix}").is_file()
        )

    def section_of(self, name: str, suffix: str) -> Path | None:
        """Return the folder of a class that has a section for text (`txt`) or for HTML (`html`)."""
        return self._folders[name] if (name, suffix) in self._sections else None


def read_info(text: str) -> Info:
    """Read what an `info.json` says; ValueError names what is wrong with it."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError('it must hold one object, {"label": {"en": …}, …}')  # noqa: TRY004 - as for any bad text
    for key in found:
        if key not in _KEYS:
            raise ValueError(f"{key!r} is not known; there are: {', '.join(_KEYS)}")
    return Info(
        _by_language(found, "label"),
        _text(found, "reference"),
        _by_language(found, "advice"),
        _xarf(found),
    )


def _text(found: Mapping[str, Any], key: str) -> str:
    text = found.get(key, "")
    if not isinstance(text, str):
        raise ValueError(f"{key} must be a text")  # noqa: TRY004 - as for any bad text
    return text


def _xarf(found: Mapping[str, Any]) -> str:
    text = _text(found, "xarf")
    if text:
        from mentat_reporter.render.xarf_types import SHAPES  # noqa: PLC0415 - few classes name one

        if text not in SHAPES:
            raise ValueError(
                f"{text!r} is no XARF type of which documents are made; there are: {', '.join(SHAPES)}"
            )
    return text


def _by_language(found: Mapping[str, Any], key: str) -> dict[str, str]:
    texts = found.get(key, {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError(f'{key} must hold texts by language, {{"en": "…"}}')
    return texts


def _with_info(known: EventClass, info: Info) -> EventClass:
    return known._replace(
        labels={**known.labels, **info.label},
        advice={**known.advice, **info.advice},
        reference=info.reference or known.reference,
        xarf=info.xarf or known.xarf,
    )
