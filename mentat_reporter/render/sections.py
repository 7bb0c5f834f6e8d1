"""A site's own sections of reports: `report.txt` and `report.html` in the folder of an event class."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Template
from markupsafe import Markup

from mentat_reporter.errors import TemplateError
from mentat_reporter.render.eventclasses import ClassFolders
from mentat_reporter.render.i18n import Reader, own_strings, translations
from mentat_reporter.render.sandbox import place_and_cause, sandbox
from mentat_reporter.render.view import ClassView

_AS_TEXT: Final = Markup('<div style="white-space:pre-line">{}</div>')


class Sections:
    """Renders sections; one that fails is named and left out.

    `site` may hold strings that go before the shipped ones; a section's own go before both.
    """

    def __init__(self, site: Path | None, folders: ClassFolders) -> None:
        self._site = site
        self._folders = folders
        self._compiled: dict[tuple[str, str, str], Template | None] = {}

    def render(self, shown: ClassView, suffix: str, locale: str, known: Mapping[str, Any]) -> str:
        """Return the section of a class for text (`txt`) or HTML (`html`), empty if it has none.

        What has a section for text alone has the same in HTML.
        """
        for kind in dict.fromkeys((suffix, "txt")):
            compiled = self._section(shown.id, kind, locale)
            if compiled is not None:
                text = self._rendered(compiled, shown, known)
                if suffix == "txt" or not text:
                    return text
                return Markup(text) if kind == "html" else _AS_TEXT.format(text)  # noqa: S704 - it was escaped
        return ""

    def _rendered(self, compiled: Template, shown: ClassView, known: Mapping[str, Any]) -> str:
        try:
            return compiled.render({**known, "class": shown}).strip("\n")
        except TemplateError:
            raise  # time is up, and not for the section alone
        except Exception as error:  # noqa: BLE001 - a template can fail in any way that Python can
            self._fault(shown.id, error, compiled.name or "")
        return ""

    def _section(self, name: str, suffix: str, locale: str) -> Template | None:
        key = (name, suffix, locale)
        if key not in self._compiled:
            folder = self._folders.section_of(name, suffix)
            made = None if folder is None else self._compile(folder, f"report.{suffix}", locale)
            self._compiled[key] = made
        return self._compiled[key]

    def _compile(self, folder: Path, file: str, locale: str) -> Template | None:
        reader = Reader(locale, "UTC", self._site)
        strings = translations(locale, self._site)
        try:
            strings = own_strings(folder, reader.locale, strings)
        except TemplateError as error:
            self._folders.fault(folder.name, f"{error}; it is left out")
        try:
            return sandbox([folder], strings, reader).get_template(file)
        except TemplateError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._fault(folder.name, error, file)
        return None

    def _fault(self, name: str, error: Exception, file: str) -> None:
        self._folders.fault(name, f"{place_and_cause(error, file)}; the section is left out")
