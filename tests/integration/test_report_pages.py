"""Each stored report has a page, and lists lead to it: of all reports, and of each day."""

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from integration.helpers_run import (
    ALICE,
    BOB,
    DAY,
    GROUPS,
    HOUR,
    MINUTE,
    START,
    Reporter,
    event,
    group,
    reporter,
)

from mentat_reporter.errors import EXIT_PARTLY
from mentat_reporter.files import FileSteps
from mentat_reporter.filing import lists
from mentat_reporter.outside import REAL, Outside

__all__ = ["reporter"]


def folder_of(reporter: Reporter) -> Path:
    return reporter.home / "reports"


def index_of(reporter: Reporter, day: str = "") -> str:
    return (folder_of(reporter) / day / "index.html").read_text()


def labels_in(text: str) -> list[str]:
    return re.findall(r'<a href="(?:\d{8}/)?security-report-([^"]+)\.html">', text)


def page_of(reporter: Reporter, label: str) -> Path:
    return folder_of(reporter) / label[1:9] / f"security-report-{label}.html"


def stamps(reporter: Reporter) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder_of(reporter).rglob("*"))}


def once_reported(reporter: Reporter) -> list[str]:
    """Report a day of two groups, one of which wants extras; return the labels."""
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"), group(BOB, "198.51.100.0/24"))
    reporter.store(
        event("one", START - HOUR, "192.0.2.1", "192.0.2.2"),
        event("two", START - HOUR, "198.51.100.7", category="Attempt.Login"),
    )
    assert reporter.run(START).failures == []
    return [report["label"] for report in reporter.reports()]


def copy_report(reporter: Reporter, number: int) -> None:
    """Store as many more reports as the last one, with pages."""
    reporter.execute(
        "insert into reports_events (createtime, label, severity, type, dt_from, dt_to, delta, flag_shadow,"
        " flag_testdata, flag_mailed, evcount_rep, evcount_all, structured_data)"
        " select createtime - i * interval '1 second', substr(label, 1, 9) || 'EL-' || lpad(i::text, 8, '0'),"
        " severity, 'extra', dt_from, dt_to, delta, false, false, true, i, i, structured_data"
        " from (select * from reports_events order by id desc limit 1) last, generate_series(1, %s) i",
        number,
    )
    day = folder_of(reporter) / f"{START:%Y%m%d}"
    for place in range(1, number + 1):
        (day / f"security-report-M{START:%Y%m%d}EL-{place:08}.html").write_text("page")
    (folder_of(reporter) / "index.html").unlink()


def test_every_stored_report_has_a_page_and_is_listed(reporter: Reporter) -> None:
    labels = once_reported(reporter)

    assert len(labels) == 4
    assert all(page_of(reporter, label).is_file() for label in labels)
    assert sorted(labels_in(index_of(reporter))) == sorted(labels)
    assert sorted(labels_in(index_of(reporter, f"{START:%Y%m%d}"))) == sorted(labels)


def test_a_page_says_what_its_mail_says(reporter: Reporter) -> None:
    [label, *_] = [name for name in once_reported(reporter) if "SL" in name]
    [mail] = [mail for mail in reporter.mails() if mail["X-Mentat-Report-Id"] == label]
    body = mail.get_body(("plain",))
    assert body is not None
    page = page_of(reporter, label).read_text()

    for words in ("Dear", "192.0.2.1", "192.0.2.2", "org.example.sensor", "New problems", "What to do"):
        assert (words in page) == (words in body.get_content() and words != "Dear")


def test_all_links_of_lists_and_pages_lead_somewhere(reporter: Reporter) -> None:
    once_reported(reporter)

    for page in folder_of(reporter).rglob("*.html"):
        for link in re.findall(r'href="([^"#:]+)"', page.read_text()):
            assert (page.parent / link).is_file(), (page.name, link)


def test_a_quiet_run_leaves_the_lists_alone(reporter: Reporter) -> None:
    once_reported(reporter)
    before = stamps(reporter)

    assert reporter.run(START + 10 * MINUTE).failures == []

    assert stamps(reporter) == before


def test_a_run_that_was_killed_before_it_listed_is_made_good_by_the_next(reporter: Reporter) -> None:
    labels = once_reported(reporter)
    index = folder_of(reporter) / "index.html"
    index.write_text("old")
    os.utime(index, (0, 0))

    reporter.run(START + 10 * MINUTE)

    assert sorted(labels_in(index_of(reporter))) == sorted(labels)


def test_a_list_from_the_future_is_made_anew(reporter: Reporter) -> None:
    labels = once_reported(reporter)
    index = folder_of(reporter) / "index.html"
    index.write_text("old")
    os.utime(index, (time.time() + 1e6,) * 2)

    reporter.run(START + 10 * MINUTE)

    assert sorted(labels_in(index_of(reporter))) == sorted(labels)


def test_a_dry_run_writes_neither_pages_nor_lists(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", START - HOUR))

    reporter.run(START, dry_run=True)

    assert not folder_of(reporter).exists()


def test_reports_of_later_days_come_first(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", START - HOUR), event("two", START + 6 * DAY, category="Attempt.Login"))
    reporter.run(START)
    reporter.run(START + 7 * DAY)

    assert labels_in(index_of(reporter)) == [report["label"] for report in reversed(reporter.reports())]


def test_a_report_whose_page_was_deleted_is_not_listed(reporter: Reporter) -> None:
    labels = once_reported(reporter)
    page_of(reporter, labels[0]).unlink()

    reporter.run(START + 10 * MINUTE)

    assert sorted(labels_in(index_of(reporter))) == sorted(labels[1:])
    assert sorted(labels_in(index_of(reporter, f"{START:%Y%m%d}"))) == sorted(labels[1:])


def test_a_day_without_pages_keeps_no_list(reporter: Reporter) -> None:
    for label in once_reported(reporter):
        page_of(reporter, label).unlink()

    assert reporter.run(START + 10 * MINUTE).failures == []

    assert not (folder_of(reporter) / f"{START:%Y%m%d}" / "index.html").exists()
    assert labels_in(index_of(reporter)) == []


def test_reports_of_another_program_are_no_hindrance(reporter: Reporter) -> None:
    labels = once_reported(reporter)
    reporter.execute(
        "insert into reports_events (createtime, label, severity, type, dt_from, dt_to, delta, flag_shadow,"
        " flag_testdata, flag_mailed, evcount_rep, evcount_all, structured_data)"
        " values (%s, '../../etc', 'low', 'summary', now(), now(), 1, false, false, true, 1, 1, '[1]')",
        START,
    )
    (folder_of(reporter) / "index.html").unlink()

    assert reporter.run(START + 10 * MINUTE).failures == []
    assert sorted(labels_in(index_of(reporter))) == sorted(labels)


def test_lists_find_a_target_report_by_the_attacked_addresses(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(
        event(
            "one", START - HOUR, "203.0.113.9", targets=("192.0.2.80",), severity=None, target_severity="low"
        )
    )
    reporter.run(START)

    assert "192.0.2.80" in index_of(reporter)


# A site with many reports


def test_the_list_of_all_has_the_newest_and_that_of_the_day_the_rest(reporter: Reporter) -> None:
    labels = once_reported(reporter)
    copy_report(reporter, 4500)

    begun = time.monotonic()
    assert reporter.run(START + 10 * MINUTE).failures == []
    taken = time.monotonic() - begun

    whole, day = index_of(reporter), index_of(reporter, f"{START:%Y%m%d}")
    assert len(labels_in(whole)) == lists.MOST_LISTED
    assert len(labels_in(day)) == lists.MOST_OF_DAY
    assert f"{len(labels) + 4500 - lists.MOST_LISTED:,} older reports" in whole
    assert f"{len(labels) + 4500 - lists.MOST_OF_DAY:,} reports on single addresses" in day
    assert {label for label in labels if "SL" in label} <= set(labels_in(day))
    assert len(whole.encode()) < 3e6
    assert taken < 30  # about two seconds, but machines are shared


def test_the_picture_counts_no_extras(reporter: Reporter) -> None:
    once_reported(reporter)

    assert re.search(r'<td class="n">4</td><td class="n">2</td>', index_of(reporter))


# What fails


class Failing(Reporter):
    """A reporter that cannot write lists."""

    outside = Outside(
        files=FileSteps(
            rename=lambda draft, path: (
                REAL.files.rename(draft, path) if path.name != "index.html" else _no_space(path)
            )
        )
    )


def _no_space(path: Path) -> None:
    raise OSError(28, "No space left on device", str(path))


def test_a_list_that_cannot_be_written_is_named_and_stops_nothing(
    database: dict[str, str], tmp_path: Path
) -> None:
    reporter = Failing(database, tmp_path)
    reporter.groups()
    reporter.store(event("one", START - HOUR))

    result = reporter.run(START)

    [failure] = result.failures
    assert "index.html cannot be written, the next run tries again:" in failure
    assert "No space left on device" in failure
    assert result.exit_code == EXIT_PARTLY
    assert len(reporter.reports()) == len(reporter.mails()) == 1

    reporter.outside = REAL
    assert reporter.run(START + 10 * MINUTE).failures == []
    assert len(labels_in(index_of(reporter))) == 1
    reporter.connection.close()


@pytest.mark.parametrize("name", ["page", "index"])
def test_a_sites_template_that_fails_is_named_and_the_shipped_one_is_used(
    reporter: Reporter, name: str
) -> None:
    site = reporter.place / "templates"
    (site / "default").mkdir(parents=True)
    (site / "default" / f"{name}.html").write_text("one\n{{ 1 / 0 }}")
    reporter.config["__core__reporter"]["templates_dir"] = str(site)
    reporter.groups()
    reporter.store(event("one", START - HOUR))

    result = reporter.run(START)

    [failure] = result.failures
    assert failure.startswith("template default: ")
    assert f"{name}.html:2: ZeroDivisionError" in failure
    [label] = labels_in(index_of(reporter))
    assert page_of(reporter, label).read_text().startswith("<!doctype html>")
    assert reporter.rows("select kind, reference from mentat_reporter.quarantine") == [
        ("template", f"default/{name}")
    ]


@pytest.mark.parametrize("name", ["page", "index"])
def test_a_site_replaces_one_file(reporter: Reporter, name: str) -> None:
    site = reporter.place / "templates"
    (site / "default").mkdir(parents=True)
    text = "ours {{ organisation }}"
    (site / "default" / f"{name}.html").write_text(text)
    reporter.config["__core__reporter"] |= {
        "templates_dir": str(site), "template_vars": {"organisation": "<CSIRT>"},
    }  # fmt: skip
    reporter.groups()
    reporter.store(event("one", START - HOUR))

    assert reporter.run(START).failures == []

    [report] = reporter.reports()
    made = page_of(reporter, report["label"]) if name == "page" else folder_of(reporter) / "index.html"
    assert made.read_text() == "ours &lt;CSIRT&gt;"


def test_lists_are_in_the_default_language_and_zone(reporter: Reporter) -> None:
    reporter.config["__core__reporter"] |= {"default_locale": "cs", "default_timezone": "Europe/Prague"}
    reporter.groups()
    reporter.store(event("one", START - HOUR))

    assert reporter.run(START).failures == []

    text = index_of(reporter)
    assert '<html lang="cs">' in text
    assert "14:00 (UTC+02:00)" in text


HOSTILE: Any = "</script><script>alert(1)</script>\"'<img src=x onerror=alert(1)>\u2028"


def test_hostile_names_are_text_in_lists(reporter: Reporter) -> None:
    reporter.groups(GROUPS[0] | {"name": "a<b>@x.example"}, *GROUPS[1:])
    reporter.store(event("one", START - HOUR, event_class=HOSTILE))

    reporter.run(START)

    for text in (index_of(reporter), *(page.read_text() for page in folder_of(reporter).rglob("s*.html"))):
        assert "<img" not in text
        assert "alert(1)</script>" not in text
        assert "<b>" not in text
        assert "\u2028" not in text
