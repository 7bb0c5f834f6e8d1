"""The HTML part: it says what the text says, in the same order, and nothing in it bites."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest
from factories import CLASSES, HI, LO, compiled_catalogues, detail, entry, report
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mentat_reporter.core.model import Counters, EventClass, MailPlan, Report
from mentat_reporter.errors import TemplateError
from mentat_reporter.render.bars import BLOCKS
from mentat_reporter.render.enclosed import NOTHING, Attachment, Enclosed, LeftOut
from mentat_reporter.render.templates import Rendered, Templates
from mentat_reporter.render.view import MAIL, Limits

INLINE: Final = frozenset({"a", "b", "bdi", "span"})
VOID: Final = frozenset({"meta", "br"})
KNOWN: Final = INLINE | VOID | {
    "html", "head", "title", "style", "body", "div", "h1", "h2", "h3", "h4", "p", "ul", "li",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
ATTRIBUTES: Final = frozenset(
    {
        "lang", "charset", "name", "content", "style", "class", "role", "aria-label", "href", "rel", "scope",
        "width", "height", "align", "bgcolor", "cellpadding", "cellspacing",
    }
)  # fmt: skip
URL: Final = "https://reports.example.org/"
SOME: Final = Enclosed(
    attachments=(Attachment("report.zip", "application/zip", b"x" * 183_000),),
    squeezed=True,
    left_out=(LeftOut("report.csv", 23_000_000), LeftOut("other.csv", 12_000)),
    folder=f"{URL}20260113/",
    unmapped=("attempt-login-ssh", "odd"),
)
NOT_ATTACHED: Final = Enclosed(left_out=(LeftOut("report.json", 23_000_000),), folder="/var/reports/20260113")


class Page(HTMLParser):
    """A page as a reader and a mail program see it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {"banner": [], "style": [], "title": [], "body": []}
        self.feed(html)
        self.close()
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in INLINE:
            self.handle_data(" ")
        if tag not in VOID:
            self.open.append("banner" if tag == "h1" or dict(attrs).get("role") == "banner" else tag)

    def handle_endtag(self, tag: str) -> None:
        opened = self.open.pop()
        assert opened in (tag, "banner")
        if tag not in INLINE:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        place = next((tag for tag in ("banner", "style", "title") if tag in self.open), "body")
        self.texts[place].append(data)

    @property
    def words(self) -> list[str]:
        """What the page says below its banner, which stands in the headers of the mail."""
        return bare("".join(self.texts["body"]))


def bare(text: str) -> list[str]:
    """Return the words of a text without what only sets it: rules, dashes, bars, the colons of labels."""
    words = (word.strip(":") for word in text.split())
    return [word for word in words if word and not set(word) <= {"=", "-", *BLOCKS}]


@pytest.fixture(scope="module", autouse=True)
def _catalogues() -> None:
    compiled_catalogues()


def render(
    told: Report,
    enclosed: Enclosed = NOTHING,
    *,
    template: str = "default",
    locale: str = "en",
    site: Path | None = None,
    variables: Mapping[str, Any] | None = None,
    event_classes: Mapping[str, EventClass] = CLASSES,
    contact: str = "abuse@csirt.example",
    reports_url: str | None = None,
) -> Rendered:
    templates = Templates(site, variables or {}, event_classes, contact=contact, reports_url=reports_url)
    return templates.render(
        replace(told, template=template, locale=locale, timezone="Europe/Prague"), enclosed
    )


def rich(kind: Any = "summary", **changes: Any) -> Report:
    """Return a report with something of everything."""
    seen = {
        "org.example.det1": detail(
            main={"Description": ["Scan by http://evil.example.com"]},
            source={"Hostname": ["www.org.example"], "Proto": ["tcp"], "URL": ["http://a.example/x?y&z=<1>"]},
            target={"Port": [str(port) for port in range(20)]},
            numbers={"ConnCount": 14920},
        ),
        "org.example.det2": detail(source={"MAC": ["00:00:5e:00:53:17"]}, numbers={"ConnCount": 3}),
    }
    facts: dict[str, Any] = {
        "regular": [
            entry(hours={LO + timedelta(hours=hour): hour for hour in (3, 4, 9)}, details=seen),
            entry(address="192.0.2.16", details=seen),
            entry("odd <class>", class_name=None),
        ],
        "relapsed": [
            entry("attempt-exploit", hours={LO - timedelta(days=3): 2}, reference="M20260106SL-4KD0QW2Z")
        ],
        "counters": Counters(rep=64, all=1302, flt_blk=2, thr_blk=1236, rlp=7, det_blk=1),
        "held_until": HI + timedelta(days=6),
        "statistics": {"tlps": {"AMBER": 2}, "oversized": ["one"]},
    }
    return report(kind, **(facts | changes))


class TestTheSame:
    @pytest.mark.parametrize("kind", ["summary", "extra", "target"])
    @pytest.mark.parametrize("template", ["default", "another"])
    @pytest.mark.parametrize("locale", ["en", "cs", "de", "fr", "pl", "sk"])
    def test_both_parts_say_the_same_in_the_same_order(self, kind: str, template: str, locale: str) -> None:
        said = render(rich(kind), template=template, locale=locale, variables={"organisation": "CSIRT <X>"})

        assert Page(said.html).words == bare(said.text)

    @pytest.mark.parametrize("template", ["default", "another"])
    @pytest.mark.parametrize("reports_url", [None, URL])
    @pytest.mark.parametrize("contact", ["", "abuse@csirt.example"])
    @pytest.mark.parametrize("enclosed", [NOTHING, SOME, NOT_ATTACHED], ids=["nothing", "some", "not"])
    def test_whatever_there_is_to_say(
        self, template: str, reports_url: str | None, contact: str, enclosed: Enclosed
    ) -> None:
        told = rich(test_data=True, mail=MailPlan(to=("x@x.example",), cc=(), fallback="global"))

        said = render(told, enclosed, template=template, reports_url=reports_url, contact=contact)

        assert Page(said.html).words == bare(said.text)

    def test_long_lists_are_cut_alike(self) -> None:
        lines = [entry(address=f"10.0.{number // 256}.{number % 256}") for number in range(MAIL.rows + 7)]

        said = render(report(regular=lines))

        assert Page(said.html).words == bare(said.text)
        assert "and 7 more addresses" in said.html

    @settings(max_examples=60, deadline=None)
    @example("\u05e9\u05dc\u05d5\u05dd \U0001f600 \u202e")
    @example("<script>alert('1')</script>&amp;\" onload=x")
    @given(st.text(max_size=300))
    def test_hostile_values_read_alike_and_make_no_tags(self, text: str) -> None:
        told = hostile(text)

        said = render(told)

        page = Page(said.html)
        assert page.words == bare(said.text)
        assert [tag for tag, _ in page.tags if tag not in ("bdi", "span")] == [
            tag for tag, _ in Page(render(hostile("y")).html).tags if tag not in ("bdi", "span")
        ]


def hostile(text: str) -> Report:
    """Return a report whose every foreign value is the text, after a letter: none is empty."""
    value = f"x{text}"
    lists = {"Hostname": [value], "URL": [value], "Email": [value], "MAC": [value], "Proto": [value]}
    seen = detail(source=lists, target={"Port": [value]})
    line = entry(value, class_name=None, details={value: seen})
    return report(regular=[line], chain=(value,))


class TestPage:
    def test_it_needs_nothing_from_elsewhere_and_runs_nothing(self) -> None:
        page = Page(render(rich(), SOME, reports_url=URL).html)

        assert {tag for tag, _ in page.tags} <= KNOWN
        assert {name for _, attributes in page.tags for name in attributes} <= ATTRIBUTES
        assert not re.search(r"url\(|@import|expression", "".join(page.texts["style"]))

    def test_its_links_are_the_configured_ones_alone(self) -> None:
        page = Page(render(rich(), SOME, reports_url=URL).html)

        mailto = "mailto:abuse@csirt.example?subject=%5BM20260113SL-7QK2F9XA%5D"
        assert {attributes["href"] for tag, attributes in page.tags if tag == "a"} == {
            "https://classes.example.org/recon-scanning",
            "https://classes.example.org/attempt-exploit",
            mailto,
            f"{URL}20260113/",
            f"{URL}20260113/security-report-M20260113SL-7QK2F9XA.html",
        }

    @pytest.mark.parametrize("reference", ["javascript:alert(1)", "ftp://x.example", "see the wiki", "/x"])
    def test_a_reference_that_is_no_web_address_is_only_text(self, reference: str) -> None:
        odd = {"recon-scanning": CLASSES["recon-scanning"]._replace(reference=reference)}

        page = Page(render(report(), event_classes=odd, contact="").html)

        assert "a" not in {tag for tag, _ in page.tags}
        assert reference in " ".join(page.words)

    def test_what_looks_like_a_host_is_kept_from_becoming_a_link(self) -> None:
        html = render(report(regular=[entry(details={"evil.com": detail()})])).html

        assert "evil.com" not in html
        assert "evil<span>.</span>com" in html

    def test_foreign_letters_keep_their_direction_to_themselves(self) -> None:
        html = render(report(regular=[entry(details={"\u05e9\u05dc\u05d5\u05dd": detail()})])).html

        assert "<bdi>\u05e9\u05dc\u05d5\u05dd</bdi>" in html

    def test_it_names_its_language_and_itself(self) -> None:
        page = Page(render(report(), locale="cs_CZ").html)

        assert dict(page.tags)["html"] == {"lang": "cs"}
        assert "".join(page.texts["title"]).startswith("[M20260113SL-7QK2F9XA] N\u00edzk\u00e1")

    def test_tables_of_data_name_their_rows_and_columns_and_the_others_say_what_they_are(self) -> None:
        page = Page(render(rich()).html)

        tables = [attributes for tag, attributes in page.tags if tag == "table"]
        assert all(table.get("role") or table.get("class") for table in tables)
        assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")

    def test_the_picture_is_said_in_words(self) -> None:
        page = Page(render(rich()).html)

        pictures = [
            attributes["aria-label"] for _, attributes in page.tags if attributes.get("role") == "img"
        ]
        assert pictures[0] == "Events over time, the peak: 12 Jan 2026 10:00"
        assert pictures[-1] == "Events over time, the peak: 9 Jan 2026"

    def test_equal_neighbours_are_one_cell_of_a_picture(self) -> None:
        line = entry(hours={LO + timedelta(hours=6): 1, LO + timedelta(hours=7): 1})

        html = render(report(regular=[line])).html

        cells = re.findall(r'<td bgcolor="(#\w+)" width="([\d.]+)%"></td>', html)
        assert [width for _, width in cells] == ["25", "8.33", "66.7"]
        assert cells[0][0] == cells[2][0] != cells[1][0]

    def test_a_large_one_stays_bearable(self) -> None:
        lines = [
            entry(f"class-{number}", address=f"192.0.{host // 250}.{host % 250}")
            for number in range(20)
            for host in range(300)
        ]

        assert len(render(report(regular=lines), event_classes={}).html) < 600_000

    @pytest.mark.parametrize("severity", ["info", "low", "medium", "high", "critical"])
    def test_severity_is_said_in_words_and_in_a_colour(self, severity: Any) -> None:
        page = Page(render(report(severity=severity)).html)

        assert "".join(page.texts["banner"]).split()[0].lower() == severity


class TestLimits:
    def test_small_classes_keep_all_their_details_and_large_ones_share_the_rest(self) -> None:
        lines = [entry("small", address="10.9.9.9")]
        lines += [entry(name, address=f"10.0.0.{host}") for name in "ab" for host in range(250)]

        text = render(report(regular=lines), event_classes={}).text

        assert text.count("Detectors:") == 1 + 99 + 99
        assert "Long lists are cut short here" in " ".join(text.split())

    def test_a_page_may_have_more(self, tmp_path: Path) -> None:
        (tmp_path / "default").mkdir()
        source = "{{ report.new.classes[0].rows | length }} {{ motto }} {{ own }} {{ page }}"
        (tmp_path / "default" / "page.html").write_text(source)
        lines = [entry(address=f"10.0.{host // 250}.{host % 250}") for host in range(2000)]
        templates = Templates(tmp_path, {"motto": "<be kind>"}, CLASSES)

        page = templates.render_page(
            report(regular=lines), "page.html", Limits(rows=5000), own=7, page="https://x.example"
        )

        assert page == "2000 &lt;be kind&gt; 7 https://x.example"


class TestSeenOnce:
    """Mail and page of a report may share one view of it."""

    @pytest.mark.parametrize("enclosed", [NOTHING, SOME, NOT_ATTACHED])
    @pytest.mark.parametrize("ports", [15, 16])
    def test_both_come_out_as_if_each_had_its_own(self, ports: int, enclosed: Enclosed) -> None:
        many = {"det": detail(target={"Port": [str(port) for port in range(ports)]})}
        told = report(
            regular=[entry(details=many)], relapsed=[entry("odd", reference="M20260101SL-AAAAAAAA")]
        )
        templates = Templates(None, {}, CLASSES, contact="help@csirt.example", reports_url=URL)
        limits = MAIL._replace(values=1000)

        seen = templates.seen(told)

        assert templates.render(told, enclosed, seen=seen) == templates.render(told, enclosed)
        page = templates.render_page(told, "page.html", limits, seen=seen, files=())
        assert page == templates.render_page(told, "page.html", limits, files=())
        assert ", ".join(map(str, range(ports))) in page

    def test_a_view_is_not_shared_with_who_may_have_less(self) -> None:
        told = report()
        templates = Templates(None, {}, CLASSES)
        limits = MAIL._replace(detailed=0)

        page = templates.render_page(told, "page.html", limits, seen=templates.seen(told), files=())

        assert page == templates.render_page(told, "page.html", limits, files=())


class TestTextAlone:
    def test_an_html_template_of_nothing_but_blanks_means_text_alone(self, tmp_path: Path) -> None:
        (tmp_path / "ours").mkdir()
        (tmp_path / "ours" / "summary.html").write_text("{# none #}\n  \n")

        said = render(report(), template="ours", site=tmp_path)

        assert said.html == ""
        assert said.text.startswith("Dear administrators,")

    def test_a_fault_in_html_is_named_as_one_in_text(self, tmp_path: Path) -> None:
        (tmp_path / "ours").mkdir()
        (tmp_path / "ours" / "extra.html").write_text("<p>\n{{ nothing }}")

        with pytest.raises(TemplateError, match=r"template 'ours', .*extra.html:2: 'nothing' is undefined"):
            render(report("extra"), template="ours", site=tmp_path)

    def test_variables_are_escaped(self) -> None:
        assert "<b>CSIRT &lt;X&gt;</b>" in render(report(), variables={"organisation": "CSIRT <X>"}).html


class TestAttachments:
    def test_names_and_sizes_are_told(self) -> None:
        text = render(report(), SOME, reports_url=URL).text

        assert "  report.zip (183\N{NO-BREAK SPACE}kB)\n\nIt was compressed because of its size.\n" in text
        assert f"are not attached; you will find them at {URL}20260113/ " in " ".join(text.split())
        assert "  report.csv (23\N{NO-BREAK SPACE}MB)\n  other.csv (12\N{NO-BREAK SPACE}kB)\n" in text
        assert "no XARF documents for these classes" in " ".join(text.split())

    def test_what_is_kept_in_a_folder_is_sent_on_request(self) -> None:
        text = " ".join(render(report(), NOT_ATTACHED).text.split())

        assert "not attached; ask us for it. We keep it in /var/reports/20260113" in text

    @pytest.mark.parametrize(
        ("name", "where"),
        [
            ("security-report-X.csv", "you will find them whole in what is attached."),
            ("security-report-X-scan.xarf.json", "ask us for the whole ones"),
        ],
    )
    def test_lists_that_were_cut_are_whole_in_attached_data(self, name: str, where: str) -> None:
        enclosed = Enclosed(attachments=(Attachment(name, "text/csv", b""),))
        ports = {"det": detail(target={"Port": [str(port) for port in range(16)]})}

        text = render(report(regular=[entry(details=ports)]), enclosed).text

        assert where in " ".join(text.split())
