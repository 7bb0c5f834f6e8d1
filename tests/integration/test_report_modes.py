"""What runs that are not the run of cron write, and to whom they send (docs/semantics.md)."""

from typing import Any

import pytest
from integration.helpers_run import (
    ADMIN,
    ALICE,
    BOB,
    CAROL,
    DAY,
    GROUPS,
    HOUR,
    LOG,
    MINUTE,
    START,
    Reporter,
    changed,
    event,
    group,
    reporter,
)

from mentat_reporter import run
from mentat_reporter.errors import UsageError
from mentat_reporter.store.outbox import OutgoingMail, enqueue

__all__ = ["reporter"]

TEN = 10 * MINUTE
WRITTEN = {"reports_events", "asoc_groups_reports", "outbox", "outbox_recipient"}
"""What every run that reports something writes, beside files and mail."""


@pytest.fixture
def busy(reporter: Reporter) -> Reporter:
    """Give a reporter that has told of a problem, holds an event of it, and now meets rules and faults."""
    reporter.groups(
        group(ALICE, "192.0.2.0/24", filters=[{"name": "noise", "filter": "Description == 'noise'"}]),
        *GROUPS[1:],
        filters=[{"name": "broken", "filter": "true"}],
        detectors=[{"name": "org.example.doubtful", "credibility": 0.1}],
    )
    reporter.execute("update filters set filter = '((' where name = 'broken'")
    reporter.store(event("first", START - MINUTE, severity="high"))
    reporter.run(START)
    reporter.store(event("held", START + 19 * HOUR, severity="high"))
    reporter.run(START + 19 * HOUR + TEN)
    reporter.store(
        event("new", START + DAY - MINUTE, "198.51.100.1", severity="high"),
        event("again", START + DAY - MINUTE, severity="high"),
        event("noise", START + DAY - MINUTE, severity="high", message={"Description": "noise"}),
        event(
            "doubtful",
            START + DAY - MINUTE,
            severity="high",
            message={"Node": [{"Name": "org.example.doubtful"}]},
        ),
        event("no address", START + DAY - MINUTE, "rubbish", severity="high"),
        event("a test", START + DAY - MINUTE, "203.0.113.1", severity="high", category="Test"),
    )
    return reporter


def waiting_mail(reporter: Reporter) -> int:
    """Put a mail of production's into the outbox."""
    mail = OutgoingMail(
        "M20260504SH-AAAAAAAA",
        "<production@reporter.example>",
        "reports@reporter.example",
        (ALICE,),
        b"To: a\r\n\r\n",
    )
    [mail_id] = enqueue(reporter.connection, [mail], START)
    reporter.connection.commit()
    return mail_id


def hits(reporter: Reporter) -> list[tuple[Any, ...]]:
    return reporter.rows(
        "select name, hits, last_hit from filters union all select name, hits, null from detectors order by 1"
    )


# Ad hoc


def test_an_ad_hoc_run_reports_its_window_in_full_and_moves_no_state(busy: Reporter) -> None:
    before, known_hits = busy.tables(), hits(busy)
    mails = len(busy.mails())

    busy.ad_hoc(START - DAY, START + 2 * DAY)

    assert changed(before, busy.tables()) == {*WRITTEN, "quarantine"}
    assert hits(busy) == known_hits
    told = [report["statistics"]["list_ids"] for report in busy.reports() if report["chain"] == [ALICE]]
    assert sorted(told[-1]) == ["again", "first", "held"]
    assert sorted(busy.recipients()[mails:]) == [ALICE, BOB]


def test_an_ad_hoc_run_takes_the_given_window_and_not_a_rounded_one(reporter: Reporter) -> None:
    reporter.groups()
    low, high = START + 3 * MINUTE, START + 4 * MINUTE
    reporter.store(*(event(str(n), START + n * MINUTE, f"192.0.2.{n}") for n in range(2, 6)))

    reporter.ad_hoc(low, high)

    assert reporter.told() == {ALICE: ["3"]}
    [report] = reporter.reports()
    assert (report["dt_from"], report["dt_to"]) == (low.replace(tzinfo=None), high.replace(tzinfo=None))


def test_without_a_lower_end_an_ad_hoc_run_takes_one_period(reporter: Reporter) -> None:
    reporter.groups()
    high = START + 3 * MINUTE

    result = reporter.run(high, regular=False)

    assert {window.severity: window.hi - window.lo for window in result.windows} == {
        "critical": TEN, "high": TEN, "medium": 2 * HOUR, "low": DAY, "info": DAY,
    }  # fmt: skip
    assert {window.hi for window in result.windows} == {high}


def test_an_ad_hoc_run_can_be_repeated_with_new_labels(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", START))

    for _ in range(2):
        assert reporter.ad_hoc(START, START + HOUR).exit_code == 0

    labels = [report["label"] for report in reporter.reports()]
    assert len(set(labels)) == 2
    assert len(reporter.mails()) == 2


def test_an_ad_hoc_run_can_be_limited_to_severities_and_groups(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(
        *(
            event(f"{severity} {address}", START, address, severity=severity)
            for severity in ("low", "medium", "high")
            for address in ("192.0.2.1", "198.51.100.1")
        )
    )

    reporter.ad_hoc(START, START + HOUR, severity=["low,high"], abuse_group=[BOB])

    assert reporter.told() == {BOB: ["high 198.51.100.1", "low 198.51.100.1"]}


@pytest.mark.parametrize("option", [{"severity": ["low"]}, {"abuse_group": [ALICE]}, {"time_low": START}])
def test_a_regular_run_takes_all_or_nothing(reporter: Reporter, option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="it would move the watermark past others"):
        reporter.run(START + DAY, **option)


def test_an_ad_hoc_run_sends_its_own_mail_and_nothing_that_waits(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", START))
    waiting = waiting_mail(reporter)

    reporter.ad_hoc(START, START + HOUR)

    assert reporter.recipients() == [ALICE]
    assert reporter.rows("select id, state from mentat_reporter.outbox order by id") == [
        (waiting, "pending"),
        (waiting + 1, "sent"),
    ]


# Test data


@pytest.mark.parametrize("regular", [True, False])
def test_test_data_are_reported_alone_and_move_no_state(busy: Reporter, regular: bool) -> None:
    before, known_hits = busy.tables(), hits(busy)
    mails = len(busy.mails())

    result = busy.run(START + DAY, regular=regular, test_data=True)

    assert changed(before, busy.tables()) == {*WRITTEN, "quarantine"}
    assert hits(busy) == known_hits
    report = busy.reports()[-1]
    assert report["statistics"]["list_ids"] == ["a test"]
    assert report["flag_testdata"]
    assert [str(mail["Subject"]).partition(" ")[0] for mail in busy.mails()[mails:]] == ["[TEST]"]
    assert result.total("reported") == 1


def test_test_data_are_told_every_time(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("a test", START - MINUTE, category="Test", severity="high"))

    for _ in range(2):
        reporter.run(START, test_data=True)

    assert reporter.told() == {ALICE: ["a test", "a test"]}


def test_test_events_are_nobodys_business_otherwise(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(
        event("a test", START - MINUTE, category="Test"),
        event("among others", START - MINUTE)._replace(category=["Recon.Scanning", "Test"]),
        event("shadow test", START - MINUTE, category="Test", shadow=True),
    )

    result = reporter.run(START)

    assert reporter.reports() == []
    assert result.total("events") == 0


# Test mode


@pytest.mark.parametrize("regular", [True, False])
def test_in_test_mode_all_mail_goes_to_the_admin(busy: Reporter, regular: bool) -> None:
    before, known_hits = busy.tables(), hits(busy)
    mails = len(busy.mails())

    busy.run(START + DAY, regular=regular, mail_test_mode=True)

    assert changed(before, busy.tables()) == {*WRITTEN, "quarantine"}
    assert hits(busy) == known_hits
    sent = busy.mails()[mails:]
    assert {str(mail["To"]) for mail in sent} == {ADMIN}
    assert sorted(str(mail["X-Mentat-Report-Original-To"]) for mail in sent) == [ALICE, BOB]
    assert all(str(mail["Subject"]).startswith("[TEST] [M") for mail in sent)
    assert all(mail["Cc"] is None for mail in sent)
    reports = busy.reports()[-2:]
    assert sorted(entry for report in reports for entry in report["mail_to"]) == [f"to:{ALICE}", f"to:{BOB}"]
    assert busy.rows(
        "select distinct address from mentat_reporter.outbox_recipient where outbox_id > %s", mails
    ) == [(ADMIN,)]


def test_test_mode_reads_thresholds_and_an_ad_hoc_run_does_not(busy: Reporter) -> None:
    busy.run(START + DAY, mail_test_mode=True)
    busy.run(START + DAY, mail_test_mode=True, regular=False, time_low=START + 19 * HOUR)

    counted = [
        (report["evcount_rlp"], report["evcount_thr"], report["evcount_thr_blk"])
        for report in busy.reports()
        if report["chain"] == [ALICE]
    ]
    assert counted[1:] == [(2, 0, 1), (0, 2, 0)]  # what was held before, and what this window holds


def test_a_run_in_test_mode_leaves_the_real_one_all_its_work(busy: Reporter) -> None:
    busy.run(START + DAY, mail_test_mode=True)
    busy.run(START + DAY, mail_test_mode=True)
    rehearsed = [sorted(report["statistics"]["list_ids"]) for report in busy.reports()[-2:]]
    known = len(busy.reports())

    busy.run(START + DAY)

    assert [sorted(report["statistics"]["list_ids"]) for report in busy.reports()[known:]] == rehearsed


def test_test_mode_sends_to_the_address_that_is_given(busy: Reporter) -> None:
    mails = len(busy.mails())

    busy.run(
        START + DAY, mail_test_mode=True, mail_to=["me@reporter.example"], mail_cc=["you@reporter.example"],
        mail_bcc=["all@reporter.example"],
    )  # fmt: skip

    sent = busy.mails()[mails:]
    assert {str(mail["To"]) for mail in sent} == {"me@reporter.example"}
    assert {mail["Cc"] for mail in sent} == {None}
    assert busy.rows(
        "select distinct address from mentat_reporter.outbox_recipient where outbox_id > %s", mails
    ) == [("me@reporter.example",)]


@pytest.mark.parametrize("options", [{}, {"regular": False}, {"test_data": True}], ids=str)
def test_test_mode_never_drains_what_production_has_to_send(busy: Reporter, options: dict[str, Any]) -> None:
    waiting = waiting_mail(busy)

    busy.run(START + DAY, mail_test_mode=True, **options)

    assert busy.value("select state from mentat_reporter.outbox where id = %s", waiting) == "pending"
    busy.run(START + DAY, **options)
    drained = options == {}
    assert busy.value("select state from mentat_reporter.outbox where id = %s", waiting) == (
        "sent" if drained else "pending"
    )


def test_deliver_drains_the_outbox_and_reports_nothing(busy: Reporter) -> None:
    waiting = waiting_mail(busy)
    known = len(busy.reports())

    result = run.deliver(busy.settings(), LOG, lambda _text: None)

    assert result.delivered["sent"] == 1
    assert busy.value("select state from mentat_reporter.outbox where id = %s", waiting) == "sent"
    assert len(busy.reports()) == known


# Dry runs


@pytest.mark.parametrize(
    "options",
    [{}, {"regular": False}, {"mail_test_mode": True}, {"test_data": True}],
    ids=["regular", "ad hoc", "test mode", "test data"],
)
def test_a_dry_run_writes_nothing_at_all_and_says_what_it_would_do(
    busy: Reporter, options: dict[str, Any]
) -> None:
    waiting_mail(busy)
    before, files = busy.tables(), busy.files()

    result = busy.run(START + DAY, dry_run=True, **options)

    assert busy.tables() == before
    assert busy.files() == files
    assert result.delivered == {}
    lines = [line for line in result.summary_lines() if line.startswith("summary high")]
    to = ADMIN if options.get("mail_test_mode") else BOB
    expected = f"summary high {CAROL}: 1 events, mail to {CAROL}"
    if not options.get("test_data"):
        expected = f"summary high {BOB}: 1 events, mail to {to}"
    assert expected in lines
    assert result.exit_code == 3  # the faults are found all the same
    assert any("'broken'" in line for line in result.failures)


def test_a_dry_run_foretells_what_the_run_then_does(busy: Reporter) -> None:
    foretold = busy.run(START + DAY, dry_run=True)

    done = busy.run(START + DAY)

    assert foretold.counts == done.counts
    assert [window.hi for window in foretold.windows] == [window.hi for window in done.windows]


def test_a_dry_run_uses_up_no_transaction_and_no_number(busy: Reporter) -> None:
    sequences = "select sequencename, last_value from pg_sequences order by 1"
    before = busy.rows(sequences)

    busy.run(START + DAY, dry_run=True)

    assert busy.rows(sequences) == before


def test_a_dry_deliver_counts_what_waits(busy: Reporter) -> None:
    waiting_mail(busy)
    before = busy.tables()

    result = run.deliver(busy.settings(dry_run=True), LOG, lambda _text: None)

    assert result.plans == ["1 mails would be tried"]
    assert busy.tables() == before
