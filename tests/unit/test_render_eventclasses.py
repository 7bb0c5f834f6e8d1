"""What a site's folders add to event classes, and what is said where they cannot be used."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from factories import CLASSES, compiled_catalogues, entry, report

from mentat_reporter.errors import TemplateError
from mentat_reporter.render.eventclasses import ClassFolders, read_info
from mentat_reporter.render.templates import Rendered, Templates

SCAN: Final = "recon-scanning"


@pytest.fixture(scope="module", autouse=True)
def _catalogues() -> None:
    compiled_catalogues()


class Site:
    """A folder of event classes, and what was said of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.told: list[tuple[str, str]] = []

    def put(self, name: str, file: str, content: Any) -> None:
        path = self.root / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")

    def render(
        self,
        *,
        event_class: str = SCAN,
        locale: str = "en",
        template: str = "default",
        variables: Mapping[str, Any] | None = None,
        times: int = 1,
        shipped_only: bool = False,
    ) -> Rendered:
        folders = ClassFolders(self.root, lambda name, error: self.told.append((name, error)))
        known = folders.applied_to(CLASSES)
        templates = Templates(None, variables or {}, known, contact="abuse@csirt.example", folders=folders)
        told = replace(report(regular=[entry(event_class)]), locale=locale, template=template)
        for _ in range(times):
            said = templates.render_shipped(told) if shipped_only else templates.render(told)
        return said


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


class TestInfo:
    def test_it_goes_before_what_the_database_says_language_by_language(self, site: Site) -> None:
        site.put(SCAN, "info.json", {"label": {"en": "Knocking"}, "advice": {"en": "Stop it."}})

        assert "Knocking (recon-scanning)" in site.render().text
        assert "Knocking: Stop it." in site.render().text
        assert "Skenov\u00e1n\u00ed port\u016f (recon-scanning)" in site.render(locale="cs").text
        assert "https://classes.example.org/recon-scanning" in site.render().text

    def test_a_class_that_the_database_lacks_is_known_by_its_folder(self, site: Site) -> None:
        site.put("odd", "info.json", {"label": {"en": "Odd things"}, "reference": "https://odd.example"})

        said = site.render(event_class="odd/very")

        assert "Odd things (odd/very)" in said.text
        assert "We have no description" not in said.text
        assert '<a href="https://odd.example"' in said.html

    def test_it_may_name_a_type_of_xarf(self) -> None:
        assert read_info('{"xarf": "connection/port_scan"}').xarf == "connection/port_scan"

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ("{", "Expecting property name"),
            ("[]", "it must hold one object"),
            ('{"lable": {}}', "'lable' is not known; there are: label, reference, advice, xarf"),
            ('{"label": "Knocking"}', "label must hold texts by language"),
            ('{"advice": {"en": 1}}', "advice must hold texts by language"),
            ('{"reference": 1}', "reference must be a text"),
            ("[" * 100_000, "recursion"),
        ],
    )
    def test_a_broken_one_is_named_and_left_out(self, site: Site, content: str, why: str) -> None:
        site.put(SCAN, "info.json", content)

        assert "Port scanning (recon-scanning)" in site.render().text
        [(name, error)] = site.told
        assert name == f"event class {SCAN}"
        assert error.startswith(f"{site.root / SCAN / 'info.json'}: ")
        assert why in error
        assert error.endswith("; it is left out")

    def test_one_that_is_no_text_is_named_too(self, site: Site) -> None:
        site.put(SCAN, "info.json", "")
        (site.root / SCAN / "info.json").write_bytes(b'{"label": "\xff"}')

        site.render()

        assert site.told[0][0] == f"event class {SCAN}"


class TestFolders:
    def test_links_are_not_followed_and_files_are_no_folders(self, site: Site, tmp_path: Path) -> None:
        elsewhere = Site(tmp_path / "elsewhere")
        elsewhere.put("x", "info.json", {"label": {"en": "Elsewhere"}})
        site.root = tmp_path / "classes"
        site.put("README.md", "x", "")
        (site.root / SCAN).symlink_to(elsewhere.root / "x")

        assert "Elsewhere" not in site.render().text
        [(name, error)] = site.told
        assert name == f"event class {SCAN}"
        assert "is a symbolic link, never followed; make it a folder" in error

    def test_no_name_leads_out_of_the_folder(self, site: Site) -> None:
        site.put("classes/x", "report.txt", "inside")
        site.put("secret", "report.txt", "outside")
        inner = Site(site.root / "classes")

        assert "outside" not in inner.render(event_class="../secret").text

    def test_a_folder_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        site = Site(tmp_path / "gone")

        assert "Port scanning" in site.render().text
        [(name, error)] = site.told
        assert name == "event classes"
        assert error == f"{site.root} cannot be read: No such file or directory; it is left out"


class TestSections:
    @pytest.mark.parametrize("template", ["default", "another"])
    def test_a_section_stands_under_its_class_with_the_same_data(self, site: Site, template: str) -> None:
        source = "{{ class.hosts }} in {{ report.label }}, {{ contact }}, {{ motto }}{{ page }}"
        site.put(SCAN, "report.txt", source)
        site.put(SCAN, "report.html", f"<p>{source}</p>")

        said = site.render(template=template, variables={"motto": "<be kind>", "class": 7})

        assert "1 in M20260113SL-7QK2F9XA, abuse@csirt.example, <be kind>\n" in said.text
        assert "<p>1 in M20260113SL-7QK2F9XA, abuse@csirt.example, &lt;be kind&gt;</p>" in said.html

    def test_other_classes_have_none(self, site: Site) -> None:
        site.put(SCAN, "report.txt", "mine alone")

        assert "mine alone" not in site.render(event_class="attempt-exploit").text

    def test_subclasses_have_that_of_their_class(self, site: Site) -> None:
        site.put(SCAN, "report.txt", "of {{ class.name }}")

        assert "of recon-scanning/tcp" in site.render(event_class="recon-scanning/tcp").text

    def test_one_for_text_alone_stands_in_html_too(self, site: Site) -> None:
        site.put(SCAN, "report.txt", "one <two>\nthree")

        assert 'pre-line">one &lt;two&gt;\nthree</div>' in site.render().html

    def test_own_strings_go_before_the_shared_ones(self, site: Site) -> None:
        site.put(SCAN, "report.txt", '{{ _("Knock, knock") }} / {{ _("Events") }} / {{ _("Severity") }}')
        site.put(SCAN, "locale/cs/LC_MESSAGES/own.po", PO)

        assert "\u0164uk, \u0165uk / Klep\u00e1n\u00ed / Z\u00e1va\u017enost" in site.render(locale="cs").text
        assert "Knock, knock / Events / Severity" in site.render().text

    @pytest.mark.parametrize(
        ("file", "source", "fault"),
        [
            (
                "report.txt",
                "a\n{{ nothing }}",
                "report.txt:2: 'nothing' is undefined; the section is left out",
            ),
            ("report.html", "{% if %}", "report.html:1: Expected an expression"),
            ("report.txt", "{{ class.__class__.__mro__ }}", "report.txt:1: access to attribute '__class__'"),
            (
                "report.txt",
                "{% include '../x/report.txt' %}",
                "report.txt:1: there is no template '../x",
            ),
            ("report.txt", "{{ section(class) }}", "report.txt:1: 'section' is undefined"),
            ("locale/en/LC_MESSAGES/x.po", 'msgid "a"\nmsgid', "x.po cannot be read: "),
            ("locale/en/LC_MESSAGES/x.mo", "no catalogue", "x.mo cannot be read: "),
        ],
    )
    def test_what_is_broken_is_named_once_and_the_report_goes_on(
        self, site: Site, file: str, source: str, fault: str
    ) -> None:
        site.put(SCAN, "report.html", "<p>a</p>")
        site.put(SCAN, file, source)

        said = site.render(times=3)

        assert "This message was written and sent automatically." in said.text
        [(name, error)] = site.told
        assert name == f"event class {SCAN}"
        assert fault in error

    def test_time_that_is_up_ends_the_report_and_not_the_section_alone(self, site: Site) -> None:
        def expire() -> None:
            raise TemplateError("takes longer than 30 s")

        site.put(SCAN, "report.txt", "{{ wait() }}")

        with pytest.raises(TemplateError, match="takes longer"):
            site.render(variables={"wait": expire})

    def test_the_shipped_template_alone_has_the_words_but_no_sections(self, site: Site) -> None:
        site.put(SCAN, "info.json", {"label": {"en": "Knocking"}})
        site.put(SCAN, "report.txt", "mine alone")

        said = site.render(shipped_only=True)

        assert "Knocking (recon-scanning)" in said.text
        assert "mine alone" not in said.text


PO: Final = """
msgid ""
msgstr "Content-Type: text/plain; charset=utf-8\\n"

msgid "Knock, knock"
msgstr "\u0164uk, \u0165uk"

msgid "Events"
msgstr "Klep\u00e1n\u00ed"
"""
