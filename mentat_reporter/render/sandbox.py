"""Where templates run: Jinja2 in a sandbox, and what is said of one that fails."""

import inspect
import re
import traceback
from collections.abc import Callable, MutableMapping, Sequence
from functools import lru_cache, partial
from gettext import NullTranslations
from pathlib import Path
from typing import Any, Final

from jinja2 import (
    ChoiceLoader,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
    TemplateSyntaxError,
    pass_context,
    select_autoescape,
)
from jinja2 import TemplateError as JinjaError
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from mentat_reporter.render import html, pages, plain
from mentat_reporter.render.compiling import SHARED_CODE, Generator
from mentat_reporter.render.fields import Field
from mentat_reporter.render.i18n import Reader
from mentat_reporter.render.rows import Row
from mentat_reporter.render.shipped import shipped_templates
from mentat_reporter.render.view import ClassView, File, Part, View

_MAX_BITS: Final = 4096
_PHRASES: Final = 1024
_TEXTS: Final = frozenset({str, Markup})
_OTHER_PLACE: Final = re.compile(r"%(?!%|\(\w+\)s)")
"""A place in a phrase that is not like `%(name)s`."""
_FILES: Final = 512
_VIEWS: Final[tuple[Any, ...]] = (View, Part, ClassView, Row, Field, File, *pages.VIEWS)
_FIELDS: Final[dict[type, frozenset[str]]] = {
    **{known: frozenset(known._fields) for known in _VIEWS},
    LoopContext: frozenset({"first", "last", "index", "index0"}),
}
"""What templates may read of what, without another look."""
_escapes = lru_cache(maxsize=_FILES)(select_autoescape(["html"]))


class _Gettext:
    """The `gettext` of templates, and their `_`: as Jinja2's own, but what has no variables is said once."""

    def __init__(self, translated: Callable[[str], str]) -> None:
        self._translated = translated
        self._plain = lru_cache(maxsize=_PHRASES)(self._looked_up)
        self._whole = lru_cache(maxsize=_PHRASES)(self._without_variables)
        self._marked = lru_cache(maxsize=_PHRASES)(self._escaped)

    @pass_context
    def __call__(self, context: Context, text: str, /, **variables: Any) -> str:
        escaped = bool(context.eval_ctx.autoescape)
        if not variables:
            return self.whole(context, text)
        said, is_simple = self._plain(text)
        if not escaped:
            return said % variables
        if is_simple and _TEXTS.issuperset(map(type, variables.values())):  # no object around each of them
            shown = {name: html.escaped(value) for name, value in variables.items()}
            return Markup(said % shown)  # noqa: S704 - the phrase is ours
        return Markup(said) % variables  # noqa: S704 - as above

    def whole(self, context: Context, text: str) -> str:
        """Return a phrase that has no variables."""
        return self._marked(text) if context.eval_ctx.autoescape else self._whole(text)

    def _without_variables(self, text: str) -> str:
        said, _ = self._plain(text)
        return said % {}

    def _escaped(self, text: str) -> Markup:
        said, _ = self._plain(text)
        return Markup(said) % {}  # noqa: S704 - as above

    def _looked_up(self, text: str) -> tuple[str, bool]:
        """Return the phrase in its language, and whether it takes variables as texts alone."""
        said = self._translated(text)
        return said, not _OTHER_PLACE.search(said)


class Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox, with a short way to phrases and to the fields of a view: most of what templates read.

    Powers are bounded: one that is too great is a single call, which no time limit can end.
    """

    intercepted_binops = frozenset({"**"})
    code_generator_class = Generator
    escaped = staticmethod(html.escaped)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._loaded: dict[str, Template] = {}

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > _MAX_BITS:
            raise SecurityError(f"a power of more than {_MAX_BITS} bits")
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        if type(obj) is _Gettext:
            if kwargs:
                kwargs.pop("_block_vars", None)
                kwargs.pop("_loop_vars", None)
            if kwargs or len(args) != 1:
                return obj(context, *args, **kwargs)
            return obj.whole(context, args[0])
        return super().call(context, obj, *args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if attribute in _FIELDS.get(type(obj), ()):
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item; `selectattr` and its like ask for fields so."""
        if type(argument) is str and argument in _FIELDS.get(type(obj), ()):
            return getattr(obj, argument)
        return super().getitem(obj, argument)

    def get_template(
        self,
        name: str | Template,
        parent: str | None = None,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - as Jinja2 names it
    ) -> Template:
        if globals is not None or not isinstance(name, str):
            return super().get_template(name, parent, globals)
        found = self._loaded.get(name)
        if found is None:
            found = self._loaded[name] = super().get_template(name, parent)
        return found

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return one mapping: each template that is rendered or included asks for all its names."""
        return {**self.globals, **(d or {})}


def _of_language(work: Callable[..., str]) -> Callable[..., str]:
    """Return a filter whose result is never computed while compiling: languages share compiled templates."""

    @pass_context
    def filled(_context: Context, *args: Any, **kwargs: Any) -> str:
        return work(*args, **kwargs)

    return filled


def _at_once(work: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that does not ask, at each call, whether templates run asynchronously: none does."""
    return inspect.unwrap(work) if hasattr(work, "jinja_async_variant") else work


def sandbox(folders: Sequence[Path], catalogue: NullTranslations, reader: Reader) -> Sandbox:
    """Return a sandbox whose templates come from the folders, the first that has one, in one language.

    A name that begins with `shipped/` is that of a file of the shipped `default`, whatever the folders have.
    """
    shipped = PrefixLoader({"shipped": FileSystemLoader(shipped_templates() / "default")})
    environment = Sandbox(
        loader=ChoiceLoader([FileSystemLoader(folders), shipped]),
        undefined=StrictUndefined,
        autoescape=_escapes,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=SHARED_CODE,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]
    phrase = _Gettext(catalogue.gettext)
    environment.globals.update(gettext=phrase, _=phrase)
    environment.filters.update({name: _at_once(work) for name, work in environment.filters.items()})
    environment.filters.update(
        wrap=plain.wrap,
        paragraph=plain.paragraph,
        facts=_of_language(partial(plain.facts, colon=catalogue.gettext("%(label)s:") % {"label": ""})),
        heading=plain.heading,
        sentence=plain.sentence,
        table=plain.table,
        number=_of_language(reader.number),
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
