"""The real messages of other projects' feeds: each is reported, held, filtered or counted, none is lost."""

from datetime import timedelta
from pathlib import Path

import pytest
from integration.helpers_run import DAY, HOUR, MINUTE, START, Reporter, reporter, text_of

from mentat_reporter import imports
from mentat_reporter.core.model import SEVERITIES
from mentat_reporter.result import RunResult

__all__ = ["reporter"]

STORED = """
    select eventseverity, array_agg(id) from events
    where cardinality(resolvedabuses) > 0 and eventseverity is not null and not 'Test' = any(category)
    group by 1
"""


@pytest.fixture
def filled(reporter: Reporter, feeds: Path) -> Reporter:
    """Give a reporter with the feeds' groups and messages, stored a minute before START."""
    reporter.config["__core__reporter"]["fallback"] = ["last@reporter.example"]  # nobody wants info there
    assert (
        imports.import_groups(reporter.settings(), [str(feeds / "groups-feeds.json")], replace=False).faults
        == []
    )
    as_of = reporter.settings(time_high=START - MINUTE)
    done = imports.import_events(as_of, [str(feeds / "idea-feeds.ndjson")])
    assert done.faults == []
    return reporter


def stored(reporter: Reporter) -> dict[str, set[str]]:
    """Return the ids of what a run has to take, by severity."""
    return {severity: set(ids) for severity, ids in reporter.rows(STORED)}


def told(reporter: Reporter, since: int = 0) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {severity: set() for severity in SEVERITIES}
    for report in reporter.reports(since):
        found[report["severity"]].update(report["statistics"]["list_ids"])
    return found


def check_sums(reporter: Reporter, result: RunResult) -> None:
    """Compare a run over all messages with what is stored, severity by severity."""
    bad = dict(reporter.rows("select reference, error from mentat_reporter.quarantine where kind = 'event'"))
    for severity, ids in stored(reporter).items():
        counts = result.counts[severity]  # type: ignore[index]  # one of the five
        lost = ids - told(reporter)[severity] - bad.keys()
        assert counts["events"] == len(ids), severity
        assert counts["bad"] == len(ids & bad.keys()), severity
        assert counts["unowned"] == len(lost), severity
        assert counts["filtered"] == counts["doubtful"] == counts["held"] == 0, severity
        assert told(reporter)[severity] <= ids


def test_every_message_is_told_or_counted(filled: Reporter) -> None:
    result = filled.ad_hoc(START - HOUR, START)

    check_sums(filled, result)
    everything = set().union(*stored(filled).values())
    # the others are nobody's, which the import has said
    unowned = filled.value("select count(*) from events where cardinality(resolvedabuses) = 0")
    tests = filled.value("select count(*) from events where 'Test' = any(category)")
    assert (len(everything), unowned, tests) == (505, 118, 2)
    assert result.total("bad") == 0
    assert result.exit_code == 0, result.failures
    assert len(set().union(*told(filled).values())) == len(everything)


def test_every_report_is_mailed_and_every_mail_can_be_read(filled: Reporter) -> None:
    result = filled.ad_hoc(START - HOUR, START)

    mailed = {report["label"] for report in filled.reports() if report["flag_mailed"]}
    mails = filled.mails()
    assert {mail["X-Mentat-Report-Id"] for mail in mails} == mailed
    assert result.delivered["sent"] == len(mails) == len(mailed)
    for mail in mails:
        assert mail.defects == []
        assert text_of(mail).strip()


def test_a_regular_run_of_the_next_day_holds_the_same_problems(filled: Reporter) -> None:
    first = filled.run(START)
    check_sums(filled, first)
    since = max(report["id"] for report in filled.reports())
    filled.execute(
        "set local client_min_messages = error;"
        "create temporary table again as select e.*, j.event from events e join events_json j using (id);"
        "update again set id = 'again-' || id, storagetime = storagetime + interval '1 day';"
        "insert into events select (json_populate_record(null::events, row_to_json(again))).* from again;"
        "insert into events_json select id, event from again"
    )

    second = filled.run(START + DAY)

    for severity in ("info", "low", "medium"):
        before, after = first.counts[severity], second.counts[severity]
        assert before["reported"] > 0
        assert (after["reported"], after["relapsed"], after["reports"]) == (0, 0, 0), severity
        assert after["held"] == before["reported"], severity
    held = {event_id for (event_id,) in filled.rows("select event_id from mentat_reporter.thresholded_event")}
    new = told(filled, since)
    for severity, ids in stored(filled).items():
        again = {event_id for event_id in ids if event_id.startswith("again-")}
        assert again <= new[severity] | held
        if severity in ("high", "critical"):  # their thresholds last a day and two hours
            assert {event_id.removeprefix("again-") for event_id in again} == ids - again


def test_a_second_run_of_the_same_window_tells_nothing(filled: Reporter) -> None:
    filled.run(START)
    before = filled.tables()

    filled.run(START + timedelta(minutes=9))

    assert filled.tables() == before
