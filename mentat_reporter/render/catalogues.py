"""Translations: from templates and modules to .po files for people, and from those to .mo for programs.

`python -m mentat_reporter.render.catalogues extract|update|compile|check`; extract writes the template
`messages.pot`, update brings the .po files up to it, check names whatever is wrong with a translation.
"""

import gettext
import os
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from babel.messages import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.plurals import get_plural
from babel.messages.pofile import PoFileError, read_po, write_po

from mentat_reporter.render.shipped import shipped_templates

_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Stands for every date in a header: files change when their words do, not when they are built."""

_JINJA: Final = "jinja2.ext:babel_extract"
_METHODS: Final = [("**.py", "python"), ("**.txt", _JINJA), ("**.html", _JINJA)]
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "**.txt": {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"},
    "**.html": {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"},
}

_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)[a-z]")
_MARKUP: Final = frozenset('<>&"')
"""Translations go into HTML as they are, so none of these may come from one."""
_ENDS: Final = re.compile(r"^[\s-]*|\s*$")
_BUILT_BY: Final = re.compile(rb'^"Generated-By: .*\n', re.MULTILINE)
_NUMBERS: Final = range(1001)
"""Numbers on which two plural rules are compared."""


def extract(folder: Path) -> Catalog:
    """Collect what is to be translated in the templates of a folder and in this package's modules."""
    catalogue = Catalog(
        project="mentat-reporter", charset="utf-8", creation_date=_EPOCH, revision_date=_EPOCH
    )
    for place in (Path(__file__).parent, folder):
        for file, _line, message, comments, context in extract_from_dir(place, _METHODS, _OPTIONS):
            catalogue.add(
                message, locations=[(Path(file).as_posix(), 0)], auto_comments=comments, context=context
            )
    return catalogue


def sources(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield each language with its .po file."""
    for path in sorted(folder.glob("locale/*/LC_MESSAGES/messages.po")):
        yield path.parents[1].name, path


def compile_catalogues(folder: Path) -> list[Path]:
    """Write the .mo file beside each .po file, and return what was written."""
    written = []
    for language, path in sources(folder):
        product = path.with_suffix(".mo")
        compiled = BytesIO()
        write_mo(compiled, _read(path, language))
        unfinished = product.with_suffix(f".{os.getpid()}.tmp")
        unfinished.write_bytes(compiled.getvalue())
        unfinished.replace(product)  # nobody ever reads half a catalogue
        written.append(product)
    return written


def update(folder: Path) -> list[Path]:
    """Bring every .po file up to the templates; new strings wait there for a translator."""
    template = extract(folder)
    written = []
    for language, path in sources(folder):
        catalogue = _read(path, language)
        catalogue.update(template, no_fuzzy_matching=True)
        _write(path, catalogue)
        written.append(path)
    return written


def check(folder: Path) -> list[str]:
    """Name every fault of a translation: what is missing, fuzzy, obsolete, or would come out wrong."""
    template = extract(folder)
    faults = [f"source: {message.id!r}: {fault}" for message in template for fault in _markup(_ids(message))]
    for language, path in sources(folder):
        faults += [f"{language}: {fault}" for fault in faults_of(path, language, template)]
    return faults


def faults_of(path: Path, language: str, template: Catalog) -> Iterator[str]:
    """Name the faults of one .po file, beside what is to be translated."""
    try:
        catalogue = _read(path, language)
    except PoFileError as error:
        yield f"{path.name} cannot be read: {error}"
        return
    yield from _plural_faults(catalogue, language)
    for message in template:
        if message.id:
            yield from _translation_faults(message, catalogue.get(message.id, message.context))
    for message in (*catalogue, *catalogue.obsolete.values()):
        if message.id and template.get(message.id, message.context) is None:
            yield f"obsolete translation of {message.id!r}"


def _translation_faults(message: Message, found: Message | None) -> Iterator[str]:
    if found is None or not all(_strings(found)):
        yield f"no translation of {message.id!r}"
    elif found.fuzzy:
        yield f"fuzzy translation of {message.id!r}"
    else:
        yield from (f"{message.id!r}: {fault}" for fault in _wording_faults(message, _strings(found)))


def _plural_faults(catalogue: Catalog, language: str) -> Iterator[str]:
    """Compare the header's rule with that of the language, number by number."""
    usual = get_plural(language)
    expected = gettext.c2py(usual.plural_expr)
    try:
        rule = gettext.c2py(catalogue.plural_expr)
        same = catalogue.num_plurals == usual.num_plurals and all(rule(n) == expected(n) for n in _NUMBERS)
    except ValueError:  # not a rule at all
        same = False
    if not same:
        yield f"plural forms are not those of the language: {usual.plural_forms}"


def _wording_faults(message: Message, strings: Sequence[str]) -> Iterator[str]:
    ids = _ids(message)
    expected = [set(_PLACEHOLDER.findall(text)) for text in ids]
    percent = any(_has_stray_percent(text) for text in ids)
    for form, string in enumerate(strings):
        if set(_PLACEHOLDER.findall(string)) not in (expected[-1:] if form else expected):
            yield f"placeholders differ in {string!r}"
        if _has_stray_percent(string) and not percent:
            yield f"a single % in {string!r}; write %%"
        if _ENDS.findall(string) != _ENDS.findall(ids[0]):
            yield f"dashes, blanks or newlines at the ends differ in {string!r}"
    yield from _markup(strings)


def _has_stray_percent(text: str) -> bool:
    return "%" in _PLACEHOLDER.sub("", text.replace("%%", ""))


def _markup(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        if found := _MARKUP & set(text):
            yield f"{' '.join(sorted(found))} would become HTML in {text!r}"


def _ids(message: Message) -> tuple[str, ...]:
    return (message.id,) if isinstance(message.id, str) else tuple(message.id)


def _strings(message: Message) -> tuple[str, ...]:
    return (message.string or "",) if not isinstance(message.string, tuple | list) else tuple(message.string)


def _read(path: Path, language: str) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=language, charset="utf-8", abort_invalid=True)


def _write(path: Path, catalogue: Catalog) -> None:
    catalogue.creation_date = catalogue.revision_date = _EPOCH
    written = BytesIO()
    write_po(written, catalogue, width=100, include_lineno=False, sort_output=True, ignore_obsolete=True)
    path.write_bytes(_BUILT_BY.sub(b"", written.getvalue()))  # else it changed with every Babel


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one of extract, update, compile, check in the shipped templates; return the exit code."""
    (command,) = sys.argv[1:] if arguments is None else arguments
    folder = shipped_templates()
    faults: list[str] = []
    if command == "extract":
        _write(folder / "locale" / "messages.pot", extract(folder))
    elif command == "update":
        update(folder)
    elif command == "compile":
        compile_catalogues(folder)
    elif command == "check":
        faults = check(folder)
    else:
        faults = [f"{command}: not one of extract, update, compile, check"]
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
