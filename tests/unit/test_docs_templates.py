"""docs/templates.md is true: every field, block and filter is there, and its examples render."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from factories import CLASSES, compiled_catalogues, entry, report
from jinja2 import Environment
from jinja2.filters import FILTERS

from mentat_reporter.core.model import Report
from mentat_reporter.render.eventclasses import ClassFolders
from mentat_reporter.render.fields import Field
from mentat_reporter.render.i18n import Reader, translations
from mentat_reporter.render.rows import Row
from mentat_reporter.render.sandbox import sandbox
from mentat_reporter.render.shipped import shipped_templates
from mentat_reporter.render.templates import Rendered, Templates
from mentat_reporter.render.view import MAIL, ClassView, File, Part, View

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "templates.md").read_text(encoding="utf-8")
PLACE: Final = "/etc/mentat"
SHAPES: Final[dict[str, Any]] = {
    "report": View, "part": Part, "class": ClassView, "row": Row, "field": Field, "file": File,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _catalogues() -> None:
    compiled_catalogues()


def under(heading: str) -> str:
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {heading}"
    return found[1]


def first_cells(text: str) -> set[str]:
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`(\w+)[^`]*`", cell)}


@pytest.mark.parametrize("name", SHAPES)
def test_every_field_is_there_and_no_other(name: str) -> None:
    assert first_cells(under(f"`{name}`")) == set(SHAPES[name]._fields)


def test_every_filter_is_there_and_no_other() -> None:
    environment = sandbox([], translations("en"), Reader("en", "UTC"))

    assert first_cells(under("Filters")) == environment.filters.keys() - FILTERS.keys()


def test_every_block_is_there_and_no_other() -> None:
    files = [shipped_templates() / "default" / f"base.{suffix}" for suffix in ("txt", "html")]
    blocks = {name for file in files for name in re.findall(r"{% block (\w+)", file.read_text())}

    told = first_cells(under("A template of your own"))

    assert told | {"new_heading", "recurring_heading", "usual_advice"} == blocks


def test_limits_are_as_told() -> None:
    told = " ".join(PAGE.split())

    assert (
        f"at most {MAIL.rows:,} addresses, all together {3 * MAIL.rows:,}; {MAIL.detailed} addresses" in told
    )
    assert f"| `values` | at most {MAIL.values} |" in PAGE


def examples() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def refuse(name: str, error: str) -> None:
    pytest.fail(f"{name}: {error}")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a folder in which everything was done that the page says, in place of /etc/mentat."""
    for shell in examples():
        subprocess.run(["sh", "-eu"], input=shell.replace(PLACE, str(tmp_path)), text=True, check=True)
    return tmp_path


def render(
    place: Path, template: str = "default", locale: str = "en", told: Report | None = None
) -> Rendered:
    folders = ClassFolders(place / "event_classes", refuse)
    variables = {"organisation": "CSIRT Example", "hotline": "+420 234 680 222"}
    templates = Templates(
        place / "templates" / "reporter", variables, folders.applied_to(CLASSES), folders=folders
    )
    return templates.render(replace(told or report(), template=template, locale=locale))


def test_the_template_of_your_own_renders(place: Path) -> None:
    said = render(place, "ours")

    assert said.subject == "CSIRT Example: low problems in your network"
    for part in (said.text, said.html):
        assert "Hello," in part
        assert "this is what our sensors saw of your 1 computers" in part
        assert "This message was written and sent automatically." in part


@pytest.mark.parametrize("kind", ["summary", "extra", "target"])
def test_the_hotline_is_in_every_footer(place: Path, kind: Any) -> None:
    said = render(place, "phone", told=report(kind))

    assert "\nOur hotline: +420 234 680 222\n" in said.text
    assert "<p>Our hotline: +420 234 680 222</p>" in said.html


def test_the_event_class_says_its_words_and_its_section(place: Path) -> None:
    loud = report(regular=[entry(hours={report().lo: 1001})])

    said = render(place, told=loud)

    for part in (said.text, said.html):
        assert "192.0.2.15 is loud: we may have to block it." in part
        assert "Find out which program scans, and stop it." in part
        assert "https://csirt.example.org/advice/scanning" in part
    assert "is loud" not in render(place).text


def test_the_new_language_is_known_and_what_it_lacks_stays_english(place: Path) -> None:
    text = render(place, locale="es").text

    assert "Estimados administradores:" in text
    assert "This message was written and sent automatically." in text


def test_the_sample_of_marked_sentences_parses() -> None:
    [sample] = re.findall(r"^```jinja\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

    assert Environment(autoescape=True, extensions=["jinja2.ext.i18n"]).parse(sample)


@pytest.mark.parametrize(
    ("locale", "sentence"),
    [
        ("en", "To see on the computer what it does: ss -tnp dport = :22"),
        ("cs", "Co po\u010d\u00edta\u010d d\u011bl\u00e1, na n\u011bm uk\u00e1\u017ee: ss -tnp dport = :22"),
    ],
)
def test_the_shipped_example_of_an_event_class_works(locale: str, sentence: str) -> None:
    folders = ClassFolders(ROOT / "etc" / "event_classes", refuse)
    templates = Templates(None, {"hotline": "112"}, folders.applied_to({}), folders=folders)

    said = templates.render(replace(report(regular=[entry("attempt-login-ssh")]), locale=locale))

    assert sentence in said.text
    assert sentence in said.html
    assert "112" in said.text
    assert '<a href="https://csirt.example.org/advice/ssh"' in said.html
