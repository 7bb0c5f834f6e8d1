"""The list of report pages: what it says, and that nothing foreign becomes more than text."""

import base64
import hashlib
import re
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from factories import CLASSES, compiled_catalogues, entry, report
from hypothesis import given
from hypothesis import strategies as st

from mentat_reporter.core.listing import DayFigures, Listed
from mentat_reporter.core.model import SEVERITIES
from mentat_reporter.render.i18n import Reader
from mentat_reporter.render.pages import HEIGHT, PICTURED_DAYS, Index, index_of, strokes
from mentat_reporter.render.templates import Templates
from mentat_reporter.render.view import File, Limits

READER = Reader("en", "UTC")
CREATED = datetime(2026, 3, 4, 0, 10, 7, tzinfo=UTC)
HOSTILE = "</script><script>alert(1)</script>\"'<img src=x onerror=alert(1)>\u2028\u202e{{7*7}}"
WHOLE = Limits(20_000, 2_000, 1_000)


def listed(**changes: Any) -> Listed:
    facts = Listed(
        "M20260304SL-234YEG3W", "summary", "low", False, False, True, CREATED, 7,
        ("abuse@a.example",), ("scan",), 1, ("192.0.2.1",), 1,
    )  # fmt: skip
    return facts._replace(**changes)


def templates() -> Templates:
    compiled_catalogues()
    return Templates(None, {}, CLASSES, contact="help@example.org")


def rendered(*rows: Listed, days: tuple[DayFigures, ...] = (), total: int = 0, **more: Any) -> str:
    index = index_of(rows, days, total, "now", READER, **more)
    return templates().render_index(index, "default", "en")


def page(found: Any = None, **values: Any) -> str:
    return templates().render_page(
        found or report(), "page.html", WHOLE, **{"files": (File("a.json", "1 kB"),), **values}
    )


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


# The list


def test_a_row_leads_to_its_page_in_the_folder_of_its_day() -> None:
    [row] = index_of([listed()], (), 1, "now", READER).rows

    assert row.href == "20260304/security-report-M20260304SL-234YEG3W.html"


def test_in_the_list_of_a_day_the_page_is_beside_it() -> None:
    [row] = index_of([listed()], (), 1, "now", READER, day=date(2026, 3, 4)).rows

    assert row.href == "security-report-M20260304SL-234YEG3W.html"


def test_a_row_shows_three_addresses_and_is_found_by_all_that_are_known() -> None:
    addresses = tuple(f"192.0.2.{number}" for number in range(10))

    [row] = index_of([listed(addresses=addresses, address_count=400)], (), 1, "now", READER).rows

    assert row.addresses == "192.0.2.0, 192.0.2.1, 192.0.2.2 and 397 more"
    assert set(addresses) <= set(row.words.split())


def test_groups_of_all_rows_can_be_chosen_by_their_place() -> None:
    index = index_of([listed(groups=("b", "a")), listed(groups=("c",))], (), 2, "now", READER)

    assert [choice.name for choice in index.groups] == ["a", "b", "c"]
    assert [row.group_numbers for row in index.rows] == ["1 0", "2"]


def test_what_is_odd_about_a_report_is_marked() -> None:
    [row] = index_of([listed(test_data=True, shadow=True)], (), 1, "now", READER).rows

    assert row.marks == "test data, shadow"


def test_reports_that_are_not_listed_are_counted() -> None:
    assert "3 older reports are in the lists of the days." in rendered(listed(), total=4)
    assert "the summaries of their groups tell of the same" in rendered(
        listed(), total=4, day=date(2026, 3, 4)
    )


def test_an_empty_list_says_so() -> None:
    assert "There are no reports yet." in rendered()


# The picture

FIGURES = st.builds(
    DayFigures,
    st.dates(date(2026, 1, 1), date(2026, 3, 1)),
    st.integers(1, 9),
    st.dictionaries(st.sampled_from(SEVERITIES), st.integers(0, 10**6)),
)


@given(st.lists(FIGURES, min_size=1, unique_by=lambda figures: figures.day))
def test_columns_stay_within_the_picture_and_the_highest_fills_it(days: list[DayFigures]) -> None:
    picture = index_of((), days, 0, "now", READER).picture

    assert picture is not None
    assert all(0 <= block.x <= picture.width - 8 for block in picture.blocks)
    assert all(-0.1 <= block.y <= block.y + block.height <= HEIGHT + 0.1 for block in picture.blocks)
    if picture.blocks:
        assert min(block.y for block in picture.blocks) < 0.5


def test_the_picture_ends_at_the_newest_day() -> None:
    days = [DayFigures(date(2026, 3, 31), 2, {"low": 5}), DayFigures(date(2026, 2, 1), 1, {"high": 1})]

    picture = index_of((), days, 3, "now", READER).picture

    assert picture is not None
    assert (picture.first, picture.last) == ("2 Mar 2026", "31 Mar 2026")
    assert [(block.severity, block.x) for block in picture.blocks] == [("low", (PICTURED_DAYS - 1) * 10)]
    assert (picture.most, picture.peak) == ("5", "31 Mar 2026")


def test_few_critical_events_are_seen_beside_many_others() -> None:
    days = [DayFigures(date(2026, 3, 31), 2, {"low": 100_000, "critical": 1})]

    picture = index_of((), days, 2, "now", READER).picture

    assert picture is not None
    assert min(block.height for block in picture.blocks) == 2


def test_every_day_is_in_the_table_with_a_link_to_its_list() -> None:
    text = rendered(days=(DayFigures(date(2026, 3, 31), 2, {"low": 5}),))

    assert '<a href="20260331/index.html">31 Mar 2026</a>' in text


def test_strokes_leave_out_what_is_empty() -> None:
    assert strokes((0, 7, 1)) == "M1 8v-7h.8v7zM2 8v-1h.8v1z"


# Harmless


def test_a_list_of_hostile_values_has_the_same_tags_as_one_of_kind_values() -> None:
    kind = listed(groups=("a",), classes=("b",), addresses=("c",))
    hostile = kind._replace(groups=(HOSTILE,), classes=(HOSTILE,), addresses=(HOSTILE,))

    good, bad = _Tags(rendered(kind)), _Tags(rendered(hostile))

    assert [(tag, set(names)) for tag, names in bad.tags] == [(tag, set(names)) for tag, names in good.tags]
    assert "{{7*7}}" in bad.text
    assert not re.search("[\u2028\u202e]", bad.text)


def test_a_page_of_hostile_values_has_the_same_tags_as_one_of_kind_values() -> None:
    def of(value: str) -> _Tags:
        return _Tags(page(report(regular=[entry(event_class=value, address=value)], chain=(value,))))

    good, bad = of("kind"), of(HOSTILE)

    assert [tag for tag, _ in bad.tags if tag != "bdi"] == [tag for tag, _ in good.tags if tag != "bdi"]
    assert {tag for tag, _ in bad.tags}.isdisjoint({"script", "img", "iframe"})


def the_policy(text: str) -> str:
    [found] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    return str(found)


@pytest.mark.parametrize("tag", ["style", "script"])
def test_the_policy_of_a_list_allows_its_own_style_and_script_alone(tag: str) -> None:
    text = rendered(listed())
    [inline] = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()

    assert f"{tag}-src 'sha256-{digest}';" in the_policy(text)
    assert the_policy(text).startswith("default-src 'none';")


def test_a_page_has_no_scripts_and_loads_nothing() -> None:
    text = page()

    assert "<script" not in text
    assert not re.search(r"""\b(src|srcset|poster|background)=""", text)
    assert the_policy(text).startswith("default-src 'none';")


# The page


def test_a_page_points_at_its_files_and_at_the_lists() -> None:
    links = [names["href"] for tag, names in _Tags(page()).tags if tag == "a"]

    assert {"../index.html", "index.html", "a.json"} <= set(links)


def test_a_page_has_whole_lists_where_a_mail_is_cut() -> None:
    lines = [entry(address=f"10.0.{number // 250}.{number % 250}") for number in range(1500)]

    text = page(report(regular=lines))

    assert all(line.address in text for line in lines)


def test_a_page_that_is_cut_points_at_its_files() -> None:
    text = templates().render_page(
        report(regular=[entry(address="192.0.2.1"), entry(address="192.0.2.2")]),
        "page.html", Limits(1, 1, 1), files=(File("a.json", "1 kB"),),
    )  # fmt: skip

    assert "Long lists are cut short here; the files at the end of this page are whole." in text


@pytest.mark.parametrize("kind", ["summary", "extra", "target"])
def test_a_page_has_one_heading_of_the_first_level_and_unique_anchors(kind: Any) -> None:
    lines = [entry(address="192.0.2.15"), entry(address="192.0.2.16"), entry("attempt-exploit")]
    found = _Tags(page(report(kind, regular=lines, relapsed=[entry(reference="M20260101SL-AAAAAAAA")])))
    anchors = [names["id"] for _, names in found.tags if "id" in names]

    assert [tag for tag, _ in found.tags].count("h1") == 1
    assert len(anchors) == len(set(anchors))


def test_index_of_nothing_is_an_index() -> None:
    assert isinstance(index_of((), (), 0, "now", READER), Index)
