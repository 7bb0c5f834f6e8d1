"""What a reader finds in a text: language, plurals, times, details, and nothing that bites."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from factories import CLASSES, HI, LO, compiled_catalogues, detail, entry, report
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mentat_reporter.core.model import UNKNOWN, Counters, EventClass, MailPlan, Report
from mentat_reporter.errors import TemplateError
from mentat_reporter.render.enclosed import Enclosed, LeftOut
from mentat_reporter.render.i18n import Reader, is_locale, is_template, is_timezone
from mentat_reporter.render.plain import defanged, defanged_url, inert, one_line, wrap
from mentat_reporter.render.templates import Rendered, Templates
from mentat_reporter.render.view import MAIL


@pytest.fixture(scope="module", autouse=True)
def _catalogues() -> None:
    compiled_catalogues()


def render(
    told: Report,
    *,
    template: str = "default",
    locale: str = "en",
    timezone: str = "UTC",
    site: Path | None = None,
    variables: Mapping[str, Any] | None = None,
    event_classes: Mapping[str, EventClass] = CLASSES,
    reports_url: str | None = None,
) -> Rendered:
    templates = Templates(site, variables or {}, event_classes, reports_url=reports_url)
    return templates.render(replace(told, template=template, locale=locale, timezone=timezone))


def flowing(rendered: Rendered) -> str:
    """Return the text without its line breaks: `in` then finds sentences."""
    return " ".join(rendered.text.replace("\u00a0", " ").split())


class TestLanguage:
    @pytest.mark.parametrize(
        ("number", "sentence"),
        [
            (1, "- 1 ud\u00e1lost, kterou vy\u0159adila va\u0161e"),
            (2, "- 2 ud\u00e1losti, kter\u00e9 vy\u0159adila va\u0161e"),
            (5, "- 5 ud\u00e1lost\u00ed, kter\u00e9 vy\u0159adila va\u0161e"),
            (1234, "- 1 234 ud\u00e1lost\u00ed, kter\u00e9 vy\u0159adila va\u0161e"),
        ],
    )
    def test_czech_counts_as_czechs_do(self, number: int, sentence: str) -> None:
        told = report(counters=Counters(rep=1, all=1, flt_blk=number))

        assert sentence in flowing(render(told, locale="cs"))

    def test_a_locale_with_a_country_is_served_by_its_language(self) -> None:
        assert render(report(), locale="cs_CZ").subject.startswith("N\u00edzk\u00e1 z\u00e1va\u017enost")

    def test_names_are_checked_before_any_file_is_looked_for(self) -> None:
        assert is_locale("cs")
        assert is_locale("en")
        assert not is_locale("../cs")
        assert not is_locale("")
        assert is_template("another")
        assert not is_template("../default")
        assert not is_template("locale")
        assert is_timezone("Europe/Prague")
        assert not is_timezone("Europe/Atlantis")
        assert not is_timezone("../../etc/passwd")


class TestTimes:
    def test_times_are_the_readers_with_their_offset(self) -> None:
        text = render(report(), timezone="Asia/Kolkata").text

        assert "12 Jan 2026 11:44:34 UTC+05:30" in text
        assert "12 Jan 2026 05:30 – 13 Jan 2026 05:30 (UTC+05:30)" in text  # noqa: RUF001

    def test_a_window_over_the_turn_of_the_clocks_shows_both_offsets(self) -> None:
        reader = Reader("en", "Europe/Prague")
        turn = datetime(2026, 3, 29, 1, tzinfo=UTC)

        span = reader.span(turn - timedelta(hours=2), turn + timedelta(hours=2))

        assert span == "29 Mar 2026 00:00 (UTC+01:00) – 29 Mar 2026 05:00 (UTC+02:00)"  # noqa: RUF001

    def test_a_time_in_a_table_shows_its_offset_where_it_is_not_the_usual_one(self) -> None:
        reader = Reader("en", "America/New_York")
        usual = datetime(2026, 11, 2, tzinfo=UTC)

        assert reader.short(datetime(2026, 11, 1, 5, 30, tzinfo=UTC), usual) == "1 Nov 01:30:00 UTC-04:00"
        assert reader.short(datetime(2026, 11, 1, 6, 30, tzinfo=UTC), usual) == "1 Nov 01:30:00"
        assert reader.short(datetime(2025, 1, 5, tzinfo=UTC), usual) == "4 Jan 2025 19:00:00"

    def test_an_unknown_time_zone_is_an_error(self) -> None:
        with pytest.raises(TemplateError, match="time zone 'Mars/Base' is not known"):
            render(report(), timezone="Mars/Base")

    def test_each_hour_of_the_window_is_a_column(self) -> None:
        line = entry(hours={LO: 7, LO + timedelta(hours=1): 1, HI - timedelta(hours=1): 14})

        assert (
            "By hour:       \u2585\u2582" + 21 * "\u2581" + "\u2588\n" in render(report(regular=[line])).text
        )

    def test_a_short_window_has_no_picture(self) -> None:
        told = report(lo=HI - timedelta(minutes=10), regular=[entry(hours={HI - timedelta(hours=1): 3})])

        assert "By hour" not in render(told).text

    def test_bars_are_not_explained_where_all_events_are_too_old_for_them(self) -> None:
        rendered = render(report(regular=[entry(hours={LO - timedelta(days=900): 1})]))

        assert "Bars show" not in rendered.text + rendered.html


class TestDetails:
    def test_the_worst_class_and_the_loudest_address_come_first(self) -> None:
        lines = [
            entry("attempt-exploit", hours={LO: 2}),
            entry(address="192.0.2.1", hours={LO: 3}),
            entry(address="192.0.2.2", hours={LO: 9}),
        ]

        text = render(report(regular=lines)).text

        found = [text.index(part) for part in ("Port scanning", "192.0.2.2", "192.0.2.1", "Exploit attempts")]
        assert found == sorted(found)

    def test_fifteen_values_are_shown_and_the_rest_is_counted(self) -> None:
        ports = {"org.example.det": detail(target={"Port": [str(port) for port in range(2000, 0, -1)]})}

        text = flowing(render(report(regular=[entry(details=ports)])))

        assert "Target ports: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 and 1,985 more" in text
        assert "Long lists are cut short here; ask us" in text

    def test_a_class_that_recurs_too_says_that_its_new_problems_are_cut_short(self) -> None:
        many = [entry(address=f"198.51.100.{host}") for host in range(201)]
        told = report(regular=many, relapsed=[entry(reference="M20260106SL-4KD0QW2Z")])

        assert "Long lists are cut short here" in flowing(render(told))

    def test_what_was_cut_is_found_on_the_report_page_when_there_is_one(self) -> None:
        ports = {"org.example.det": detail(target={"Port": [str(port) for port in range(16)]})}

        text = flowing(render(report(regular=[entry(details=ports)]), reports_url="https://r.example/"))

        page = "https://r.example/20260113/security-report-M20260113SL-7QK2F9XA.html"
        assert f"you will find them whole at {page}" in text

    def test_a_detector_without_a_name_is_not_named(self) -> None:
        seen = {UNKNOWN: detail(numbers={"ConnCount": 3}), "det": detail(numbers={"ConnCount": 20})}

        text = flowing(render(report(regular=[entry(details=seen)])))

        assert "Detectors: det Connections: 3, 20 (det)" in text
        assert "unknown" not in render(report(regular=[entry(details={UNKNOWN: detail()})])).text

    def test_a_class_chooses_its_details(self) -> None:
        chosen = CLASSES["recon-scanning"]._replace(displayed={"main": ("Description",), "target": ("ips",)})
        seen = detail(
            main={"Description": ["Scan by evil.example.com"]},
            source={"Port": ["1"]},
            target={"Port": ["22"], "ips": ["198.51.100.7"]},
        )

        text = render(
            report(regular=[entry(details={"det": seen})]), event_classes={"recon-scanning": chosen}
        ).text

        assert "Descriptions:      Scan by evil[.]example[.]com" in text
        assert "Target addresses:  198.51.100.7" in text
        assert "ports:" not in text

    def test_an_unknown_class_says_so_and_whom_to_ask(self) -> None:
        told = report(regular=[entry("Recon.Scanning/Other", class_name=None)])

        text = flowing(render(told))

        assert "We have no description of this class; reply to ask what it means." in text

    def test_a_very_long_list_of_addresses_ends(self) -> None:
        lines = [entry(address=f"10.0.{number // 256}.{number % 256}") for number in range(MAIL.rows + 7)]

        text = render(report(regular=lines)).text

        assert "  and 7 more addresses\n" in text
        assert text.count("Detectors:") == MAIL.detailed

    def test_a_fallback_reads_why_the_mail_came_to_it(self) -> None:
        told = report(mail=MailPlan(to=("noc@x.example",), cc=(), fallback="global"))

        assert "because no other contact is registered" in flowing(render(told))


class TestWidth:
    @pytest.mark.parametrize("locale", ["en", "cs", "de", "fr", "pl", "sk"])
    @pytest.mark.parametrize("template", ["default", "another"])
    def test_no_line_is_wider_than_its_longest_word_or_78_columns(self, template: str, locale: str) -> None:
        turning = datetime(2026, 10, 25, 6, tzinfo=UTC)
        hours = {turning - timedelta(hours=9): 123_456, turning: 1}
        addresses = ("192.0.2.200", "2001:db8:6:1000::2f:61c8:19")
        told = report(
            lo=turning - timedelta(hours=18),
            hi=turning + timedelta(hours=6),
            regular=[entry(address=address, hours=hours) for address in addresses],
        )
        large = LeftOut("security-report-M20260113SL-7QK2F9XA.json", 99_999_999)
        enclosed = Enclosed(left_out=(large,), folder="/var/mentat/reports/20260113")
        templates = Templates(None, {}, CLASSES, reports_url="https://reports.csirt.example/of/our/mentat")

        text = templates.render(
            replace(told, template=template, locale=locale, timezone="Europe/Prague"), enclosed
        ).text

        wide = [line for line in text.split("\n") if len(line) > 78 and " " in line.strip()]
        assert wide == []


class TestHarmless:
    def test_urls_and_host_names_are_defanged(self) -> None:
        seen = detail(
            source={"URL": ["http://a.example/x.y?z", "HTTPS://b.example"], "Hostname": ["c.example.com"]}
        )

        text = render(report(regular=[entry(details={"http://d.example": seen})])).text

        assert "HxxPS://b[.]example, hxxp://a[.]example/x.y?z" in text
        assert "c[.]example[.]com" in text
        assert "hxxp://d[.]example" in text

    @pytest.mark.parametrize(
        ("host", "shown"),
        [
            ("m\u00fcnchen.de", "m\u00fcnchen[.]de"),
            (
                "\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444",
                "\u043f\u0440\u0438\u043c\u0435\u0440[.]\u0440\u0444",
            ),
            ("a.\u092d\u093e\u0930\u0924", "a[.]\u092d\u093e\u0930\u0924"),
            ("//evil.example/x", "//evil[.]example/x"),
            ("hxxp://evil[.]example", "hxxp[:]//evil[.]example"),
        ],
    )
    def test_hosts_of_every_script_are_defanged_once(self, host: str, shown: str) -> None:
        assert defanged(host) == shown
        assert defanged_url(host) == shown

    def test_a_template_inside_an_event_is_only_text(self) -> None:
        told = report(regular=[entry("{{ 7 * 7 }}{% raw %}")])

        assert "{{ 7 * 7 }}{% raw %}\n" in render(told).text

    @settings(max_examples=60, deadline=None)
    @given(st.text(max_size=400).map("y{}".format))
    def test_no_value_makes_lines_of_its_own(self, text: str) -> None:
        def lines(value: str) -> int:
            seen = detail(source={"Hostname": [value], "URL": [value], "Email": [value], "MAC": [value]})
            told = report(regular=[entry(f"x{value}", details={f"d{value}": seen})])
            return len(wrapless(render(told).text))

        def wrapless(rendered: str) -> list[str]:
            return [line for line in rendered.split("\n") if not line.startswith(" " * 19)]

        assert lines(text) == lines("y")

    @given(st.text(max_size=400))
    def test_one_line_is_one_printable_line_and_short(self, text: str) -> None:
        found = one_line(text)

        assert found.isprintable()
        assert len(found) <= 200

    @example("TT", "http://")
    @given(st.text(max_size=40), st.sampled_from(["http://", "https://", "hTTp:///"]))
    def test_no_link_survives_defanging(self, text: str, scheme: str) -> None:
        value = f"{text}{scheme}evil.example.com"

        for cleaned in (defanged(value), defanged_url(value), inert(value)):
            assert not re.search("https?://", cleaned, re.IGNORECASE)
        assert "example.com" not in defanged(value)
        assert "example.com" not in defanged_url(value)

    @given(st.lists(st.text(alphabet="ab ", min_size=1, max_size=90)))
    def test_wrapping_keeps_every_word(self, texts: list[str]) -> None:
        text = " ".join(texts)

        assert wrap(text).split() == text.split()

    @given(st.text("ab ", max_size=60), st.integers(0, 3), st.integers(4, 12))
    def test_a_line_holds_as_many_words_as_fit(self, text: str, hanging: int, width: int) -> None:
        lines = wrap(text, 1, hanging, width).split("\n")

        assert all(len(line) <= width or " " not in line.lstrip(" ") for line in lines)
        for line, following in pairwise(lines):
            word = following[hanging:].partition(" ")[0]
            assert len(line) + 1 + len(word) > width


class TestTemplates:
    def test_a_folder_that_lacks_a_file_falls_back_to_default(self, tmp_path: Path) -> None:
        (tmp_path / "ours").mkdir()
        (tmp_path / "ours" / "extra.txt").write_text("Ours {{ report.label }}\n{{ motto }}\n")

        (tmp_path / "ours" / "extra.html").touch()

        extra = render(report("extra"), template="ours", site=tmp_path, variables={"motto": "be kind"})
        summary = render(report(), template="ours", site=tmp_path)

        assert extra == Rendered("Ours M20260113EL-7QK2F9XA", "be kind\n")
        assert summary.text.startswith("Dear administrators,")

    def test_a_site_folder_goes_before_the_shipped_one_but_not_where_only_shipped_is_asked(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "default").mkdir()
        (tmp_path / "default" / "summary.txt").write_text("Ours\nbody")
        templates = Templates(tmp_path, {}, CLASSES)

        ours = templates.render(report())
        shipped = templates.render_shipped(report())

        assert ours.subject == "Ours"
        assert shipped.subject == "Low - Notice about possible problems in your network"

    @pytest.mark.parametrize(
        ("source", "fault"),
        [
            ("Subject\n\n{{ nothing }}", r"template 'ours', .*summary.txt:3: 'nothing' is undefined"),
            ("Subject\n{% if %}", r"template 'ours', .*summary.txt:2: Expected an expression"),
            (
                "Subject\n{{ 1 / 0 }}",
                r"template 'ours', .*summary.txt:2: ZeroDivisionError: division by zero",
            ),
            (
                "Subject\n{{ report.__class__.__mro__ }}",
                r"template 'ours', .*summary.txt:2: access to attribute '__class__' of .* is unsafe",
            ),
            (
                "{% extends 'gone.txt' %}",
                r"template 'ours', .*txt:1: there is no template 'gone.txt'",
            ),
            ("{% include '../../secret' %}", r"template 'ours', .*summary.txt:1"),
        ],
    )
    def test_a_fault_names_template_file_line_and_what(self, tmp_path: Path, source: str, fault: str) -> None:
        (tmp_path / "ours").mkdir()
        (tmp_path / "ours" / "summary.txt").write_text(source)

        with pytest.raises(TemplateError, match=fault):
            render(report(), template="ours", site=tmp_path)

    def test_an_unknown_template_is_an_error(self) -> None:
        with pytest.raises(TemplateError, match="template 'gone' is in none of"):
            render(report(), template="gone")

    def test_variables_reach_templates_but_do_not_hide_the_report(self) -> None:
        text = render(report(), variables={"organisation": "CSIRT X", "report": 1, "gettext": 2}).text

        assert "--\nCSIRT X\n" in text
