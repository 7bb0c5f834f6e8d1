"""Reports → texts, through sandboxed Jinja2 templates in the reader's language.

A template renders the subject as its first line and the body after it. A folder of templates that lacks
a file falls back to `default`; a site's own folders come before those that ship.
"""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import FileSystemLoader, StrictUndefined, Template, TemplateSyntaxError, select_autoescape
from jinja2 import TemplateError as JinjaError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mentat_reporter.core.model import EventClass, Report
from mentat_reporter.errors import TemplateError
from mentat_reporter.render import plain
from mentat_reporter.render.fields import Field
from mentat_reporter.render.i18n import Reader, is_template, translations
from mentat_reporter.render.shipped import shipped_templates
from mentat_reporter.render.view import ClassView, Part, Row, View, view

DEFAULT: Final = "default"
_MAX_BITS: Final = 4096
_VIEWS: Final = frozenset({View, Part, ClassView, Row, Field})
_OURS: Final = frozenset({"_", "gettext", "ngettext", "pgettext", "npgettext", "report", "contact", "page"})


class _Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox, with a short way to the fields of a view: they are most of what templates read.

    Powers are bounded: one that is too great is a single call, which no time limit can end.
    """

    intercepted_binops = frozenset({"**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > _MAX_BITS:
            raise SecurityError(f"a power of more than {_MAX_BITS} bits")
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) in _VIEWS and attribute in obj._fields:
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)


class Rendered(NamedTuple):
    """What a template made of a report: a subject, without label and prefixes, and a body."""

    subject: str
    text: str


class Templates:
    """Renders reports; `site` may hold folders of templates that go before the shipped ones.

    `contact` is the address that replies reach, `reports_url` where report pages are (None: nowhere).
    """

    def __init__(
        self,
        site: Path | None,
        variables: Mapping[str, Any],
        event_classes: Mapping[str, EventClass],
        *,
        contact: str = "",
        reports_url: str | None = None,
    ) -> None:
        self._site = site
        self._variables = {name: value for name, value in variables.items() if name not in _OURS}
        self._event_classes = event_classes
        self._contact = contact
        self._reports_url = reports_url
        self._environments: dict[tuple[str, str, bool], _Sandbox] = {}
        self._readers: dict[tuple[str, str], Reader] = {}
        self._compiled: dict[tuple[str, str, bool, str], Template] = {}

    def render(self, report: Report, *, template: str, locale: str, timezone: str) -> Rendered:
        """Render a report with the templates of that name; TemplateError names template, line and fault."""
        return self._render(report, template, locale, timezone, shipped_only=False)

    def render_shipped(self, report: Report, *, locale: str, timezone: str) -> Rendered:
        """Render a report with nothing but the shipped `default` templates."""
        return self._render(report, DEFAULT, locale, timezone, shipped_only=True)

    def _render(
        self, report: Report, template: str, locale: str, timezone: str, *, shipped_only: bool
    ) -> Rendered:
        reader = self._reader(locale, timezone)
        seen = view(report, reader, self._event_classes)
        name = f"{report.type}.txt"
        try:
            compiled = self._template(template, locale, name, shipped_only=shipped_only)
            text = compiled.render(
                self._variables, report=seen, contact=self._contact, page=self._page(report)
            )
        except Exception as error:  # a template can fail in any way that Python can
            raise _told(error, template, name) from error
        subject, _, body = text.strip("\n").partition("\n")
        return Rendered(plain.one_line(subject), plain.tidy(body))

    def _page(self, report: Report) -> str:
        """Return where the report's page is, empty when pages are not published."""
        if not self._reports_url:
            return ""
        day = f"{report.hi:%Y%m%d}"  # as in the label
        return f"{self._reports_url.rstrip('/')}/{day}/security-report-{report.label}.html"

    def _reader(self, locale: str, timezone: str) -> Reader:
        reader = self._readers.get((locale, timezone))
        if reader is None:
            reader = self._readers[locale, timezone] = Reader(locale, timezone, self._site)
        return reader

    def _template(self, template: str, locale: str, name: str, *, shipped_only: bool) -> Template:
        key = (template, locale, shipped_only, name)
        compiled = self._compiled.get(key)
        if compiled is None:
            environment = self._environments.get(key[:3])
            if environment is None:
                environment = self._environments[key[:3]] = self._environment(
                    template, locale, shipped_only=shipped_only
                )
            compiled = self._compiled[key] = environment.get_template(name)
        return compiled

    def _environment(self, template: str, locale: str, *, shipped_only: bool) -> _Sandbox:
        environment = _Sandbox(
            loader=FileSystemLoader(self._folders(template, shipped_only=shipped_only)),
            undefined=StrictUndefined,
            autoescape=select_autoescape(["html"]),
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            extensions=["jinja2.ext.i18n"],
        )
        catalogue = translations(locale, self._site)
        environment.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]
        environment.filters.update(
            wrap=plain.wrap,
            paragraph=plain.paragraph,
            facts=plain.facts,
            heading=plain.heading,
            table=plain.table,
            number=self._reader(locale, "UTC").number,
        )
        return environment

    def _folders(self, template: str, *, shipped_only: bool) -> list[Path]:
        shipped = shipped_templates()
        if shipped_only:
            return [shipped / DEFAULT]
        roots = (self._site, shipped) if self._site else (shipped,)
        if not is_template(template, roots):
            raise TemplateError(f"template {template!r} is in none of: {', '.join(map(str, roots))}")
        names = dict.fromkeys((template, DEFAULT))
        return [root / name for name in names for root in roots]


def _told(error: Exception, template: str, name: str) -> TemplateError:
    """Say which template failed, in which file and line, and why."""
    if isinstance(error, TemplateError):
        return error
    if isinstance(error, TemplateSyntaxError):
        place = f"{error.filename or name}:{error.lineno}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        found = [frame for frame in frames if frame.filename.endswith((".txt", ".html"))]
        place = f"{found[-1].filename}:{found[-1].lineno}" if found else name
    what = str(error) if isinstance(error, JinjaError) and str(error) else f"{type(error).__name__}: {error}"
    return TemplateError(f"template {template!r}, {place}: {what}")
