"""Reports → text and HTML, through sandboxed Jinja2 templates in the reader's language.

A text template renders the subject as its first line and the body after it. A folder of templates that lacks
a file falls back to `default`; a site's own folders come before those that ship.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import Template

from mentat_reporter.core.model import EventClass, Report
from mentat_reporter.errors import TemplateError
from mentat_reporter.render import html, plain
from mentat_reporter.render.enclosed import NOTHING, Enclosed
from mentat_reporter.render.eventclasses import ClassFolders
from mentat_reporter.render.i18n import SOURCE_LOCALE, Reader, is_locale, is_template, translations
from mentat_reporter.render.pages import Index
from mentat_reporter.render.sandbox import Sandbox, place_and_cause, sandbox
from mentat_reporter.render.sections import Sections
from mentat_reporter.render.shipped import shipped_templates
from mentat_reporter.render.view import ClassView, Limits, View, is_whole, view, with_files

DEFAULT: Final = "default"
INDEX: Final = "index.html"
OURS: Final = frozenset(
    {
        "_", "gettext", "ngettext", "pgettext", "npgettext",
        "report", "contact", "page", "subject", "section", "class", "index", "files",
    }
)  # fmt: skip
"""Names that `template_vars` cannot take."""


class Rendered(NamedTuple):
    """What a template made of a report: a subject, without label and prefixes, and a body, twice."""

    subject: str
    text: str
    html: str = ""
    """A whole page; empty: the mail is text alone."""


class Templates:
    """Renders reports; `site` may hold folders of templates that go before the shipped ones.

    `contact` is the address that replies reach, `reports_url` where report pages are (None: nowhere),
    `folders` what a site adds to event classes.
    """

    def __init__(
        self,
        site: Path | None,
        variables: Mapping[str, Any],
        event_classes: Mapping[str, EventClass],
        *,
        contact: str = "",
        reports_url: str | None = None,
        folders: ClassFolders | None = None,
    ) -> None:
        self._site = site
        self._variables = {name: value for name, value in variables.items() if name not in OURS}
        self._event_classes = event_classes
        self._contact = contact
        self._reports_url = reports_url
        self._sections = Sections(site, folders) if folders else None
        self._environments: dict[tuple[str, str], Sandbox] = {}
        self._readers: dict[tuple[str, str], Reader] = {}
        self._compiled: dict[tuple[str, str, str], Template] = {}

    def seen(self, report: Report) -> View:
        """Return a report as its reader meets it: mail and page, which take it, need not make it twice."""
        return view(report, self.reader(report.locale, report.timezone), self._event_classes)

    def render(self, report: Report, enclosed: Enclosed = NOTHING, *, seen: View | None = None) -> Rendered:
        """Render a report with its own template; TemplateError names template, line and fault.

        `seen` is what `seen` returns of the report as it is now.
        """
        reader = self.reader(report.locale, report.timezone)
        seen = with_files(seen or self.seen(report), enclosed, reader)
        known = self._known(report, seen)
        text = self._filled(report, f"{report.type}.txt", known, {})
        subject, _, body = text.strip("\n").partition("\n")
        subject = plain.one_line(subject)
        page = self._filled(report, f"{report.type}.html", known, {"subject": subject})
        return Rendered(subject, plain.tidy(body), html.tidy(page))

    def render_shipped(self, report: Report, enclosed: Enclosed = NOTHING) -> Rendered:
        """Render a report with nothing but what ships: neither templates nor strings of the site."""
        return self._shipped.render(_as_shipped(report), enclosed)

    def render_page(
        self,
        report: Report,
        name: str,
        limits: Limits,
        *,
        seen: View | None = None,
        shipped_only: bool = False,
        **values: Any,
    ) -> str:
        """Render a report with one file of its template, which may also read `values`; `seen` as above."""
        if shipped_only:
            return self._shipped.render_page(_as_shipped(report), name, limits, **values)
        if seen is None or not is_whole(seen, limits):
            reader = self.reader(report.locale, report.timezone)
            seen = view(report, reader, self._event_classes, limits=limits)
        return self._filled(report, name, self._known(report, seen), values)

    def render_index(self, index: Index, template: str, locale: str, *, shipped_only: bool = False) -> str:
        """Render a list of reports."""
        if shipped_only:
            locale = locale if is_locale(locale) else SOURCE_LOCALE
            return self._shipped.render_index(index, DEFAULT, locale)
        try:
            return self._template(template, locale, INDEX).render({**self._variables, "index": index})
        except TemplateError:
            raise
        except Exception as error:  # a template can fail in any way that Python can
            raise TemplateError(f"template {template!r}, {place_and_cause(error, INDEX)}") from error

    @cached_property
    def _shipped(self) -> "Templates":
        return Templates(
            None, self._variables, self._event_classes, contact=self._contact, reports_url=self._reports_url
        )

    def _known(self, report: Report, seen: View) -> dict[str, Any]:
        """Return what its templates and sections may read of a report."""
        return {**self._variables, "report": seen, "contact": self._contact, "page": self._page(report)}

    def _filled(self, report: Report, name: str, known: Mapping[str, Any], values: Mapping[str, Any]) -> str:
        own = self._section(report, name.rpartition(".")[2], known)
        try:
            compiled = self._template(report.template, report.locale, name)
            return compiled.render({**known, "section": own, "subject": "", **values})
        except TemplateError:
            raise
        except Exception as error:  # a template can fail in any way that Python can
            raise TemplateError(f"template {report.template!r}, {place_and_cause(error, name)}") from error

    def _section(self, report: Report, suffix: str, known: Mapping[str, Any]) -> Callable[[ClassView], str]:
        """Return what gives a class's own section."""
        sections = self._sections
        if sections is None:
            return lambda _shown: ""
        return lambda shown: sections.render(shown, suffix, report.locale, known)

    def _page(self, report: Report) -> str:
        """Return where the report's page is, empty when pages are not published."""
        if not self._reports_url:
            return ""
        day = f"{report.hi:%Y%m%d}"  # as in the label
        return f"{self._reports_url.rstrip('/')}/{day}/security-report-{report.label}.html"

    def reader(self, locale: str, timezone: str) -> Reader:
        """Return who reads in that language and time zone."""
        key = (locale, timezone)
        reader = self._readers.get(key)
        if reader is None:
            reader = self._readers[key] = Reader(*key, self._site)
        return reader

    def _template(self, template: str, locale: str, name: str) -> Template:
        key = (template, locale, name)
        compiled = self._compiled.get(key)
        if compiled is None:
            environment = self._environments.get((template, locale))
            if environment is None:
                strings = translations(locale, self._site)
                environment = sandbox(self._folders(template), strings, self.reader(locale, "UTC"))
                self._environments[template, locale] = environment
            compiled = self._compiled[key] = environment.get_template(name)
        return compiled

    def _folders(self, template: str) -> list[Path]:
        shipped = shipped_templates()
        roots = (self._site, shipped) if self._site else (shipped,)
        if not is_template(template, roots):
            raise TemplateError(f"template {template!r} is in none of: {', '.join(map(str, roots))}")
        names = dict.fromkeys((template, DEFAULT))
        return [root / name for name in names for root in roots]


def _as_shipped(report: Report) -> Report:
    """Return a report as nothing but the shipped templates can render it."""
    return replace(
        report, template=DEFAULT, locale=report.locale if is_locale(report.locale) else SOURCE_LOCALE
    )
