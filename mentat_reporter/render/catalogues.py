"""Translations: from templates and modules to .po files for people, and from those to .mo for programs.

`python -m mentat_reporter.render.catalogues extract|update|compile|check`; extract writes the template
`messages.pot`, update brings the .po files up to it, check fails where a translation is missing or fuzzy.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from mentat_reporter.render.shipped import shipped_templates

_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Stands for every date in a header: files change when their words do, not when they are built."""

_JINJA: Final = "jinja2.ext:babel_extract"
_METHODS: Final = [("**.py", "python"), ("**.txt", _JINJA), ("**.html", _JINJA)]
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "**.txt": {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"},
    "**.html": {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"},
}


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
    """Name every string that a language lacks, has marked fuzzy, or formats wrongly."""
    template = extract(folder)
    faults = []
    for language, path in sources(folder):
        catalogue = _read(path, language)
        for message in template:
            if not message.id:
                continue
            found = catalogue.get(message.id, message.context)
            strings = found.string if found and isinstance(found.string, tuple) else (found and found.string,)
            if found is None or not all(strings):
                faults.append(f"{language}: no translation of {message.id!r}")
            elif found.fuzzy:
                faults.append(f"{language}: fuzzy translation of {message.id!r}")
            else:
                faults += [f"{language}: {message.id!r}: {error}" for error in found.check(catalogue)]
    return faults


def _read(path: Path, language: str) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=language, charset="utf-8")


def _write(path: Path, catalogue: Catalog) -> None:
    catalogue.creation_date = catalogue.revision_date = _EPOCH
    written = BytesIO()
    write_po(written, catalogue, width=100, include_lineno=False, sort_output=True, ignore_obsolete=True)
    path.write_bytes(written.getvalue())


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
