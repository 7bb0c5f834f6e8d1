"""What can be told to nobody is counted and said."""

import logging

import pytest
from integration.helpers_run import ALICE, MINUTE, START, Reporter, event, group, reporter

__all__ = ["reporter"]

AT = START - MINUTE


def test_addresses_of_nobody_are_counted_beside_those_that_are_told(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/25"))
    reporter.store(event("half", AT, "192.0.2.0/24", "203.0.113.1"), event("none", AT, "203.0.113.2"))

    result = reporter.run(START)

    assert reporter.told() == {ALICE: ["half"]}
    assert (result.total("unowned"), result.total("unowned_addresses")) == (1, 3)
    assert "3 addresses or parts of them are in nobody's networks" in result.summary_lines()


def test_entries_that_are_no_addresses_are_counted_and_named_in_the_log(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24"))
    reporter.store(event("odd", AT, "192.0.2.1", "not-an-address"))

    with caplog.at_level(logging.INFO):
        result = reporter.run(START)

    assert reporter.told() == {ALICE: ["odd"]}
    assert result.total("invalid_addresses") == 1
    assert "event odd: no address: 'not-an-address'" in caplog.messages


def test_a_subclassing_that_fails_leaves_the_class_and_is_counted(reporter: Reporter) -> None:
    scan = {"name": "scan", "rule": "'Recon.Scanning' in Category", "subclassing": "Nowhere.Proto"}
    reporter.groups(group(ALICE, "192.0.2.0/24"), event_classes=[scan])
    reporter.store(event("one", AT, "192.0.2.1"), event("two", AT, "192.0.2.2"))
    reporter.execute("update events set eventclass = 'scan'")

    result = reporter.run(START)

    [report] = reporter.reports()
    assert list(report["structured_data"]["regular"]) == ["scan"]
    assert reporter.rows("select reference, count from mentat_reporter.quarantine") == [
        ("subclassing of event class scan", 2)
    ]
    assert result.exit_code == 0
