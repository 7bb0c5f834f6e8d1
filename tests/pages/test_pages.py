"""Report pages, their lists and HTML mails in a real Chromium: readable, usable, and on their own."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from factories import CLASSES, HI, compiled_catalogues, entry, report
from pages.chromium import SCHEMES, WIDTHS, Scheme, View, viewed
from playwright.sync_api import Browser

from mentat_reporter.core.listing import DayFigures, Listed
from mentat_reporter.core.model import SEVERITIES
from mentat_reporter.render.i18n import Reader
from mentat_reporter.render.pages import index_of
from mentat_reporter.render.templates import Templates
from mentat_reporter.render.view import File, Limits

NAMES: Final = (
    "index", "day", "summary", "extra", "target", "mail-summary", "mail-extra", "mail-target",
)  # fmt: skip
HOSTILE: Final = "\u202e<script>alert(1)</script>" + "wide" * 500 + "\U0001f600"
NEWEST: Final = datetime(2026, 3, 4, 0, 10, tzinfo=UTC)
TABS: Final = 40


def templates() -> Templates:
    compiled_catalogues()
    return Templates(None, {}, CLASSES, contact="help@example.org", reports_url="https://reports.example.org")


def many(number: int) -> str:
    """Return a list of many reports."""
    listed = [
        Listed(
            f"M20260304{'SET'[place % 3]}L-{place:08}", ("summary", "extra", "target")[place % 3],
            SEVERITIES[place % 5], False, False, True, NEWEST - place * timedelta(minutes=7), place * 37,
            (f"abuse@org{place % 90:02}.example",), (f"class-{place % 12}",), 1,
            tuple(f"10.{place % 256}.{third}.1" for third in range(15)), 15,
        )
        for place in range(number)
    ]  # fmt: skip
    days = [DayFigures(NEWEST.date() - timedelta(days=day), 9, {"low": day * 7 + 1}) for day in range(60)]
    index = index_of(listed, days, number, "now", Reader("en", "UTC"))
    return templates().render_index(index, "default", "en")


def hostile_page(kind: Any) -> str:
    lines = [entry(event_class=HOSTILE, address=f"{HOSTILE}{place}") for place in range(2)]
    found = report(kind, regular=lines, chain=(HOSTILE,))
    return templates().render_page(found, "page.html", Limits(), files=(File("a.json", "1 kB"),))


def hostile_mail(kind: Any) -> str:
    lines = [entry(event_class=HOSTILE, address=f"{HOSTILE}{place}") for place in range(2)]
    return templates().render(report(kind, regular=lines, chain=(HOSTILE,))).html


def hundreds_mail(kind: Any) -> str:
    lines = [
        entry(event_class=name, address=f"2001:db8:{place:x}:ffff:ffff:ffff:ffff:{place:x}")
        for name in CLASSES
        for place in range(100)
    ]
    return templates().render(report(kind, regular=lines)).html


def summer_mail(kind: Any) -> str:
    """Return a mail in winter of events in a summer: their times are as long as times get."""
    summer = {HI - timedelta(days=1300): 1}
    lines = [entry(address=f"188.138.168.{last}", hours=summer) for last in (177, 178)]
    return templates().render(report(kind, regular=lines, locale="cs", timezone="Europe/Prague")).html


def assert_sound(view: View, width: int) -> None:
    assert view.violations() == []
    assert view.width() <= width
    assert view.complaints == []
    assert view.requests == [view.url]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_accessible_fits_and_asks_for_nothing(
    browser: Browser, sample: dict[str, Path], name: str, width: int, scheme: Scheme
) -> None:
    with viewed(browser, sample[name], width, scheme) as view:
        assert_sound(view, width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("made", [hostile_page, hostile_mail, hundreds_mail, summer_mail])
def test_whatever_is_in_it_a_page_is_accessible_and_fits(
    browser: Browser, tmp_path: Path, made: Callable[[Any], str], width: int
) -> None:
    file = tmp_path / "page.html"
    file.write_text(made("summary"))

    with viewed(browser, file, width) as view:
        assert_sound(view, width)


def test_a_mail_whose_style_sheet_is_dropped_fits_a_phone(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(re.sub("<style>.*?</style>", "", summer_mail("summary"), flags=re.DOTALL))

    with viewed(browser, file, 360) as view:
        assert view.width() == 360


@pytest.mark.parametrize("width", WIDTHS)
def test_an_ipv4_address_in_a_mail_stays_in_one_line(browser: Browser, tmp_path: Path, width: int) -> None:
    file = tmp_path / "page.html"
    file.write_text(summer_mail("summary"))

    with viewed(browser, file, width) as view:
        cell = view.page.get_by_role("rowheader", name="188.138.168.177")
        assert (
            cell.evaluate(
                "cell => { const text = document.createRange(); text.selectNodeContents(cell);"
                " return text.getClientRects().length; }"
            )
            == 1
        )


def test_no_time_of_day_in_a_mail_is_broken_on_a_telephone(browser: Browser, tmp_path: Path) -> None:
    lines = [entry(address=f"2001:db8:6:1000:aaaa:bbbb:{host:x}:19") for host in (1, 2)]
    file = tmp_path / "page.html"
    file.write_text(templates().render(report(regular=lines, locale="fr", timezone="Europe/Prague")).html)

    with viewed(browser, file, 360) as view:
        cell = view.page.locator(".data td").nth(1)
        assert (
            cell.evaluate(
                "cell => { const text = document.createRange(), node = cell.firstChild;"
                " text.setStart(node, node.length - 8); text.setEnd(node, node.length);"
                " return text.getClientRects().length; }"
            )
            == 1
        )


def test_what_is_wrong_with_a_page_is_noticed(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(
        '<body style="background:#fff"><p style="color:#ddd;width:2000px">pale</p><img src="http://192.0.2.1/a">'
    )

    with viewed(browser, file, 360) as view:
        found = " ".join(view.violations())
        assert all(rule in found for rule in ("color-contrast", "image-alt", "html-has-lang"))
        assert view.width() > 360
        assert view.complaints
        assert len(view.requests) == 2


# The list by keyboard


def tabbed(view: View, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Press Tab until the focus is on what is wanted."""
    for _ in range(TABS):
        view.page.keyboard.press("Tab")
        focus = view.focus()
        if wanted(focus):
            return focus
    raise AssertionError(f"not reached with {TABS} tabs")


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_is_reached_with_tab_and_the_focus_is_seen(
    browser: Browser, sample: dict[str, Path], width: int
) -> None:
    with viewed(browser, sample["index"], width) as view:
        steps = []
        for _ in range(16):
            view.page.keyboard.press("Tab")
            steps.append(view.focus())

    assert all(step["visible"] for step in steps)
    assert [step["tag"] for step in steps] == [
        "summary", "input", "select", "select", "select", *["button"] * 8, "a", "a", "a",
    ]  # fmt: skip


def test_words_are_searched_as_they_are_typed_and_the_count_is_said(
    browser: Browser, sample: dict[str, Path]
) -> None:
    with viewed(browser, sample["index"]) as view:
        tabbed(view, lambda focus: focus["id"] == "words")
        every = view.page.locator("#count").inner_text()
        view.page.keyboard.type("BOTNET hosting")
        rows = view.page.locator("#reports tbody tr:visible").all_inner_texts()
        said = view.page.locator("#count").inner_text()

    assert rows
    assert all("botnet" in row and "hosting" in row for row in rows)
    assert said.startswith(f"Reports shown: {len(rows)} of ")
    assert every.split()[2] == every.split()[4]


def test_a_list_is_narrowed_by_severity_type_and_group(browser: Browser, sample: dict[str, Path]) -> None:
    with viewed(browser, sample["index"]) as view:
        page = view.page
        page.select_option("#severity", "high")
        page.select_option("#type", "extra")
        page.select_option("#group", label="abuse@hosting.example.com")
        rows = page.locator("#reports tbody tr:visible").all_inner_texts()

    assert rows
    assert all("High" in row and "Single address" in row and "abuse@hosting" in row for row in rows)


@pytest.mark.parametrize("column", range(8))
def test_columns_are_sorted_by_keyboard_both_ways(
    browser: Browser, sample: dict[str, Path], column: int
) -> None:
    with viewed(browser, sample["index"]) as view:
        head = view.page.locator("#reports thead th").nth(column)
        head.locator("button").focus()
        orders = {}
        for _ in range(2):
            view.page.keyboard.press("Enter")
            cells = view.page.locator(f"#reports tbody tr > :nth-child({column + 1})")
            values = cells.evaluate_all(
                "cells => cells.map(cell => 'v' in cell.dataset ? +cell.dataset.v : cell.textContent)"
            )
            orders[head.get_attribute("aria-sort")] = values
        sorted_columns = view.page.locator("#reports th[aria-sort]").count()

    assert sorted_columns == 1
    assert set(orders) == {"ascending", "descending"}
    if column in {1, 2, 5, 6, 7}:
        assert orders["ascending"] == sorted(orders["ascending"])
        assert orders["descending"] == sorted(orders["descending"], reverse=True)
    else:
        assert sorted(orders["ascending"]) == sorted(orders["descending"])
        assert orders["ascending"][0] == orders["descending"][-1]


def test_without_scripts_the_list_is_a_plain_table(browser: Browser, sample: dict[str, Path]) -> None:
    with viewed(browser, sample["index"], scripts=False) as view:
        form = view.page.locator("#find").is_visible()
        buttons = view.page.locator("button").count()
        rows = view.page.locator("#reports tbody tr:visible").count()

    assert (form, buttons) == (False, 0)
    assert rows > 30


def test_a_list_of_two_thousand_reports_stays_quick(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "index.html"
    file.write_text(many(2000))
    assert file.stat().st_size < 3e6

    with viewed(browser, file) as view:
        page = view.page
        begun = time.monotonic()
        page.locator("#words").fill("10.7.3.1 class-7")
        shown = page.locator("#count").inner_text()
        page.locator("#words").fill("")
        for place in range(8):
            page.locator("#reports thead button").nth(place).click()
        taken = time.monotonic() - begun
        wide = view.width()

    assert shown == "Reports shown: 3 of 2,000"
    assert wide <= 1280
    assert taken < 15  # about two seconds, but machines are shared
