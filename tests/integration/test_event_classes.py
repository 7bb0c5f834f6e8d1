"""The folders of event classes in whole runs: what they add, and what a run says of broken ones."""

import json
from pathlib import Path

import pytest
from integration.helpers_run import DAY, HOUR, START, Reporter, event, html_of, reporter, text_of

__all__ = ["reporter"]

PLACE = "classes"


@pytest.fixture
def classes(reporter: Reporter, tmp_path: Path) -> Path:
    """Give the folder of event classes that the reporter is configured with."""
    root = tmp_path / PLACE
    (root / "scan").mkdir(parents=True)
    reporter.config["__core__reporter"] = {
        **reporter.config.get("__core__reporter", {}),
        "event_classes_dir": str(root),
        "reports_url": "https://reports.example.org/",
    }
    reporter.groups()
    reporter.store(event("one", START - HOUR))
    return root


def test_a_folder_adds_words_and_a_section(reporter: Reporter, classes: Path) -> None:
    (classes / "scan" / "info.json").write_text(json.dumps({"label": {"en": "Knocking"}}))
    (classes / "scan" / "report.txt").write_text("Call the hotline about {{ class.hosts }} host.")

    result = reporter.run(START)

    [mail] = reporter.mails()
    assert result.failures == []
    for said in (text_of(mail), html_of(mail)):
        assert "Knocking" in said
        assert "Call the hotline about 1 host." in said
        assert "https://reports.example.org/2026" in said


def test_what_is_broken_is_quarantined_and_named_and_the_mail_goes_out(
    reporter: Reporter, classes: Path
) -> None:
    (classes / "scan" / "info.json").write_text("{")
    (classes / "scan" / "report.html").write_text("\n{{ nothing }}")

    result = reporter.run(START)

    assert len(reporter.mails()) == 1
    assert len([text for text in result.failures if text.startswith("template event class scan: ")]) == 2
    assert result.exit_code == 3
    [(reference, error)] = reporter.rows(
        "select reference, error from mentat_reporter.quarantine where kind = 'template'"
    )
    assert reference == "event class scan"
    assert "report.html:2: 'nothing' is undefined; the section is left out" in error


def test_broken_folders_are_named_again_by_the_next_run_that_has_reports(
    reporter: Reporter, classes: Path
) -> None:
    (classes / "scan" / "info.json").write_text("[]")

    first = reporter.run(START)
    quiet = reporter.run(START + HOUR)
    reporter.store(event("two", START + 30 * HOUR, "192.0.2.9"))
    later = reporter.run(START + 2 * DAY)

    assert [len(result.failures) for result in (first, quiet, later)] == [1, 0, 1]
