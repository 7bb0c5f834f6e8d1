"""Mentat's own web interface shows, finds and hands out what the reporter stored."""

import html
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from integration.helpers_run import ALICE, Row
from mentat.helpers_told import told
from mentat.helpers_world import MentatReporter, beside

__all__ = ["beside", "told"]

LOGIN = "admin"


class Browser:
    """Somebody who looks at Mentat's pages."""

    def __init__(self, reporter: MentatReporter, folder: Path) -> None:
        self._ask = reporter.installation.ask_mentat
        self._folder = folder
        self._ask("add_user", login=LOGIN)

    def pages(self, *paths: str, login: str = LOGIN) -> list[str]:
        """Return the texts of pages, all of which must be there."""
        answers = self._ask("browse", folder=str(self._folder), login=login, paths=paths)
        assert {path: status for path, (status, _) in zip(paths, answers, strict=True) if status != 200} == {}
        return [text for _, text in answers]


@pytest.fixture
def browser(told: MentatReporter, tmp_path: Path) -> Browser:
    return Browser(told, tmp_path / "mentat")


def test_every_report_has_a_page_with_its_addresses_classes_and_times(
    told: MentatReporter, browser: Browser
) -> None:
    told.execute(
        "insert into event_classes (name, source_based, label_en, label_cz, reference, displayed_main,"
        " displayed_source, displayed_target, displayed_attach, rule, priority, severity, state)"
        " values ('attempt-login', true,"
        " 'Somebody logs in', 'x', '', %s, %s, '{}', '{}', '', 0, 'low', 'ENABLED')",
        ["ConnCount", "UsernameAndPassword"], ["services", "Port"],
    )  # fmt: skip
    reports = told.reports()

    pages = browser.pages(*(f"/reports/{report['id']}/show" for report in reports))

    for report, page in zip(reports, pages, strict=True):
        text = html.unescape(page)
        assert report["label"] in text
        for part in ("regular", "relapsed"):
            for name, found in report["structured_data"][part].items():
                assert report["type"] != "target" or "Your target IPs" not in text or found["event_count"]
                if report["type"] != "target":
                    assert all(address in text for address in found), report["label"]
                    assert name != "attempt-login/ssh" or "Somebody logs in" in text
    [rich] = [
        html.unescape(page)
        for report, page in zip(reports, pages, strict=True)
        if "rich-0" in report["statistics"]["list_ids"]
    ]
    assert "OpenSSH (version 9.2)" in " ".join(rich.split())
    assert "('pi', '')" in " ".join(rich.split())
    assert "('root', 'toor')" in " ".join(rich.split())


def test_the_link_of_a_mail_needs_no_login_unless_the_report_is_a_shadow(
    told: MentatReporter, browser: Browser
) -> None:
    labels = [report["label"] for report in told.reports() if not report["flag_shadow"]]

    pages = browser.pages(*(f"/reports/{label}/unauth" for label in labels), login="")

    assert all(label in page for label, page in zip(labels, pages, strict=True))


def test_the_download_has_the_events_that_the_report_tells_of(told: MentatReporter, browser: Browser) -> None:
    reports = told.reports()

    files = browser.pages(*(f"/reports/data/{report['label']}" for report in reports))

    for report, file in zip(reports, files, strict=True):
        ids = [event["ID"] for event in json.loads(file)]
        assert sorted(ids) == report["statistics"]["list_ids"]


def test_events_are_shown_beside_the_report(told: MentatReporter, browser: Browser) -> None:
    reports = told.reports()

    pages = browser.pages(*(f"/reports/{report['id']}/json" for report in reports))

    for report, page in zip(reports, pages, strict=True):
        assert all(event_id in page for event_id in report["statistics"]["list_ids"])


SEARCHES: dict[str, Callable[[Row], bool]] = {
    "categories=Attempt.Login": lambda report: "Attempt.Login" in report["statistics"]["categories"],
    "classes=attempt-login": lambda report: "attempt-login/ssh" in names(report),
    "classes=attacked": lambda report: "attacked" in names(report),
    "detectors=org.example.sensor": lambda _: True,
    "source_ips=198.51.100.2": lambda report: "198.51.100.2" in report["statistics"]["sources"],
    "target_ips=198.51.100.77": lambda report: "198.51.100.77" in report["statistics"]["targets"],
    "relapse_type=relapsed": lambda report: report["structured_data"]["relapsed"] != {},
    "relapse_type=non_relapsed": lambda report: report["structured_data"]["relapsed"] == {},
    "shadow_type=shadow": lambda report: report["flag_shadow"],
    "types=extra&severities=low": lambda report: (report["type"], report["severity"]) == ("extra", "low"),
    f"groups={ALICE}": lambda report: ALICE in report["chain"],
}
"""Searches for reports, and what they must find."""


def names(report: Row) -> set[str]:
    return {*report["structured_data"]["regular"], *report["structured_data"]["relapsed"]}


def test_the_search_finds_reports_by_what_they_tell_of(told: MentatReporter, browser: Browser) -> None:
    reports = told.reports()
    times = {
        "dt_from": "2026-01-01T00:00:00Z",
        "dt_to": "2030-01-01T00:00:00Z",
        "limit": 1000,
        "submit": "Search",
    }

    pages = browser.pages(*(f"/reports/search?{search}&{urlencode(times)}" for search in SEARCHES))

    for (search, is_wanted), page in zip(SEARCHES.items(), pages, strict=True):
        found = {report["label"] for report in reports if report["label"] in page}
        assert found == {report["label"] for report in reports if is_wanted(report)} != set(), search


def test_the_dashboard_adds_the_reports_up(told: MentatReporter, browser: Browser) -> None:
    reports = [report for report in told.reports() if not report["flag_shadow"]]

    sums = told.installation.ask_mentat("dashboard")
    [page] = browser.pages(
        "/reports/dashboard?dt_from=2026-01-01T00:00:00Z&dt_to=2030-01-01T00:00:00Z&submit=Search"
    )

    whole = [report for report in reports if report["type"] != "extra"]
    assert sums["cnt_reports"] == len(reports)
    assert sums["cnt_events"] == sum(report["evcount_rep"] for report in whole)
    assert sums["cnt_events_thresholded"] == sum(report["evcount_thr_blk"] for report in whole)
    assert "Report counts" in page
