"""Where templates run: Jinja2 in a sandbox, and what is said of one that fails."""

import traceback
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from gettext import NullTranslations
from pathlib import Path
from typing import Any, Final

from jinja2 import (
    ChoiceLoader,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
    pass_context,
    select_autoescape,
)
from jinja2 import TemplateError as JinjaError
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from mentat_reporter.render import html, pages, plain
from mentat_reporter.render.fields import Field
from mentat_reporter.render.i18n import Reader
from mentat_reporter.render.rows import Row
from mentat_reporter.render.shipped import shipped_templates
from mentat_reporter.render.view import ClassView, File, Part, View

_MAX_BITS: Final = 4096
_PHRASES: Final = 1024
_VIEWS: Final = frozenset({View, Part, ClassView, Row, Field, File, *pages.VIEWS})


class _Gettext:
    """The `gettext` of templates, and their `_`: as Jinja2's own, but what has no variables is said once."""

    def __init__(self, translated: Callable[[str], str]) -> None:
        self._plain = lru_cache(maxsize=_PHRASES)(translated)
        self._whole = lru_cache(maxsize=_PHRASES)(self._without_variables)

    @pass_context
    def __call__(self, context: Context, text: str, /, **variables: Any) -> str:
        escaped = bool(context.eval_ctx.autoescape)
        if not variables:
            return self._whole(text, escaped)
        said = self._plain(text)
        return Markup(said) % variables if escaped else said % variables  # noqa: S704 - ours, not an event's

    def _without_variables(self, text: str, escaped: bool) -> str:
        said = self._plain(text)
        return Markup(said) % {} if escaped else said % {}  # noqa: S704 - as above


class Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox, with a short way to phrases and to the fields of a view: most of what templates read.

    Powers are bounded: one that is too great is a single call, which no time limit can end.
    """

    intercepted_binops = frozenset({"**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > _MAX_BITS:
            raise SecurityError(f"a power of more than {_MAX_BITS} bits")
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        if type(obj) is _Gettext:
            kwargs.pop("_block_vars", None)
            kwargs.pop("_loop_vars", None)
            return obj(context, *args, **kwargs)
        return super().call(context, obj, *args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) in _VIEWS and attribute in obj._fields:
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)


def sandbox(folders: Sequence[Path], catalogue: NullTranslations, reader: Reader) -> Sandbox:
    """Return a sandbox whose templates come from the folders, the first that has one, in one language.

    A name that begins with `shipped/` is that of a file of the shipped `default`, whatever the folders have.
    """
    shipped = PrefixLoader({"shipped": FileSystemLoader(shipped_templates() / "default")})
    environment = Sandbox(
        loader=ChoiceLoader([FileSystemLoader(folders), shipped]),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]
    phrase = _Gettext(catalogue.gettext)
    environment.globals.update(gettext=phrase, _=phrase)
    environment.filters.update(
        wrap=plain.wrap,
        paragraph=plain.paragraph,
        facts=partial(plain.facts, colon=catalogue.gettext("%(label)s:") % {"label": ""}),
        heading=plain.heading,
        sentence=plain.sentence,
        table=plain.table,
        number=reader.number,
        undashed=html.undashed,
        value=html.value,
        values=html.values,
        link=html.link,
        mailto=html.mailto,
        picture=html.picture,
        strokes=pages.strokes,
        csp_hash=pages.csp_hash,
    )
    return environment


def place_and_cause(error: Exception, name: str) -> str:
    """Say in which file and line of a template an error is, and why; `name` if no file is known."""
    if isinstance(error, TemplateSyntaxError):
        place = f"{error.filename or name}:{error.lineno}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        found = [frame for frame in frames if frame.filename.endswith((".txt", ".html"))]
        place = f"{found[-1].filename}:{found[-1].lineno}" if found else name
    if isinstance(error, TemplateNotFound):
        what = f"there is no template {error.name!r}"
    elif isinstance(error, JinjaError) and str(error):
        what = str(error)
    else:
        what = f"{type(error).__name__}: {error}"
    return f"{place}: {what}"
