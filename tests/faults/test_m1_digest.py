"""M1: once a day the admin is told what failed, is held or was given up."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as mail_policy

import pytest
from integration.conftest_delivery import HANG_UP, Actor, Answer
from integration.helpers_run import ADMIN, ALICE, BOB, DAY, HOUR, LOG, START, Reporter, event, group, reporter

from mentat_reporter import digest as run_digest
from mentat_reporter import run
from mentat_reporter.session import Session
from mentat_reporter.store import digest

__all__ = ["reporter"]

HELD = "update mentat_reporter.outbox set state = 'held', settled = %s, ambiguous = true where id = 1"


class Post(Actor):
    """A mail server that refuses for good those in `refused`."""

    def __init__(self, **part: Answer) -> None:
        super().__init__(RCPT=self._judge, **part)
        self.refused: set[str] = set()

    def _judge(self, line: str) -> str:
        return "550 no such user" if line.partition("<")[2].rstrip(">") in self.refused else "250 ok"

    def digests(self) -> list[EmailMessage]:
        parser = BytesParser(policy=mail_policy)
        mails = [parser.parsebytes(content) for content in self.mails]
        return [
            mail for mail in mails if isinstance(mail, EmailMessage) and "[digest-" in str(mail["Subject"])
        ]

    def texts(self) -> list[str]:
        return [str(mail.get_content()).replace("\r\n", "\n") for mail in self.digests()]


@pytest.fixture
def post(reporter: Reporter) -> Iterator[Post]:
    """Give the server of a reporter with two groups."""
    reporter.groups(group(ALICE, "192.0.2.0/24"), group(BOB, "198.51.100.0/24"))
    with Post() as server:
        reporter.config |= {"mail_transport": "smtp", "smtp_host": "127.0.0.1", "smtp_port": server.port}
        yield server


def tell(reporter: Reporter, name: str, day: int = 0, hours: int = 1) -> None:
    """Run once with something to tell a group."""
    now = START + day * DAY + hours * HOUR
    address = {ALICE: "192.0.2", BOB: "198.51.100"}[name]
    at = now - timedelta(minutes=5)
    reporter.store(event(f"{name}-{at}", at, f"{address}.{day + hours}", severity="critical"))
    reporter.run(now)


def look(reporter: Reporter, day: int = 0, hours: int = 2) -> None:
    """Run once with nothing to tell."""
    reporter.run(START + day * DAY + hours * HOUR)


def test_m1_where_all_is_well_there_is_no_digest(reporter: Reporter, post: Post) -> None:
    tell(reporter, ALICE)
    look(reporter, day=1)

    assert len(post.mails) == 1
    assert reporter.rows("select * from mentat_reporter.digest") == []


def test_m1_the_admin_is_told_who_refused_a_mail_for_good_and_what_the_server_said(
    reporter: Reporter, post: Post
) -> None:
    post.refused = {ALICE}

    tell(reporter, ALICE)

    [mail] = post.digests()
    [label] = reporter.rows("select label from reports_events")
    assert mail["To"] == ADMIN
    assert mail["Subject"] == "[digest-20260504] mails not delivered: 1"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert str(mail["Message-ID"]).startswith("<digest-20260504.")
    text = post.texts()[0]
    assert f"* {label[0]}\n" in text
    assert f"{ALICE}: 550 no such user (to RCPT)" in text
    assert f"Groups:      {ALICE}" in text
    assert 'docs/operations.md, "Failed mail"' in text
    assert "Reached:     nobody" in text
    assert b"\n" not in post.mails[-1].replace(b"\r\n", b"")


def test_m1_the_admin_is_told_who_got_a_mail_instead(reporter: Reporter, post: Post) -> None:
    reporter.config["__core__reporter"]["fallback"] = ["soc@national.example"]
    post.refused = {ALICE}

    tell(reporter, ALICE)

    assert "Reached:     soc@national.example" in post.texts()[0]


def test_m1_what_fails_after_the_days_digest_is_told_the_next_day_and_then_never_again(
    reporter: Reporter, post: Post
) -> None:
    post.refused = {ALICE, BOB}

    tell(reporter, ALICE, hours=1)
    tell(reporter, BOB, hours=2)
    assert len(post.digests()) == 1
    look(reporter, day=1)
    look(reporter, day=2)

    first, second = post.texts()
    assert (ALICE in first, BOB in first) == (True, False)
    assert (ALICE in second, BOB in second) == (False, True)


def test_m1_a_digest_counts_days_in_utc_and_comes_as_soon_as_there_is_something_new(
    reporter: Reporter, post: Post
) -> None:
    post.refused = {ALICE}

    tell(reporter, ALICE, hours=11)
    tell(reporter, ALICE, hours=12)

    assert [str(mail["Subject"])[:17] for mail in post.digests()] == [
        "[digest-20260504]",
        "[digest-20260505]",
    ]


def test_m1_what_is_held_is_told_every_day_until_somebody_decides(reporter: Reporter, post: Post) -> None:
    tell(reporter, ALICE)
    reporter.execute(HELD, START)
    for day in (1, 2):
        look(reporter, day=day)
    reporter.execute("update mentat_reporter.outbox set state = 'sent' where id = 1")
    look(reporter, day=3)

    assert [str(mail["Subject"]) for mail in post.digests()] == [
        "[digest-20260505] mails held: 1",
        "[digest-20260506] mails held: 1",
    ]
    text = post.texts()[0]
    assert "Held since:     2026-05-04 12:00 UTC" in text
    assert "In the outbox:  id 1" in text
    assert '"Held mail"' in text


def test_m1_a_mail_that_may_have_arrived_is_held_and_told(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24"))
    with Post(BODY=[HANG_UP, "250 ok"]) as post:
        reporter.config |= {
            "mail_transport": "smtp", "smtp_host": "127.0.0.1", "smtp_port": post.port, "ambiguous": "hold",
        }  # fmt: skip
        tell(reporter, ALICE)

        [text] = post.texts()
    assert "Last answer:    Connection unexpectedly closed" in text
    assert f"To:             {ALICE}" in text
    assert reporter.rows("select kind, reference, error from mentat_reporter.quarantine") == [
        (
            "mail",
            reporter.value("select message_id from mentat_reporter.outbox where state = 'held'"),
            "is held, it may have arrived: Connection unexpectedly closed",
        )
    ]


def test_m1_a_group_that_was_given_up_is_told_every_day(reporter: Reporter, post: Post) -> None:
    reporter.execute(
        "insert into mentat_reporter.unit_retry values (%s, 'low', 'source', '', %s, %s, %s, '1day',"
        " '{a,b}', 10, null, 'ValueError: https://example.com is odd')",
        ALICE, START - DAY, START, START - DAY,
    )  # fmt: skip
    for day in (0, 1):
        look(reporter, day=day)

    assert len(post.digests()) == 2
    text = post.texts()[1]
    assert f"* {ALICE}, low source\n" in text
    assert "Window:    2026-05-03 12:00 UTC to 2026-05-04 12:00 UTC" in text
    assert "Owed:      2 events" in text
    assert "hxxps://example[.]com is odd" in text


def test_m1_the_newest_of_quarantine_is_named_by_kind_and_the_rest_counted(
    reporter: Reporter, post: Post
) -> None:
    post.refused = {ALICE}
    look(reporter)
    for number in range(8):
        reporter.execute(
            "insert into mentat_reporter.quarantine values ('event', %s, 'not JSON', %s, %s, 3)",
            f"event{number}", START, START + number * HOUR,
        )  # fmt: skip

    look(reporter, day=1)  # quarantine alone makes no digest
    assert post.texts() == []
    tell(reporter, ALICE, day=1, hours=4)
    reporter.execute(
        "update mentat_reporter.quarantine set last_seen = %s where reference = 'event0'", START + 40 * HOUR
    )
    tell(reporter, ALICE, day=2, hours=4)

    first, second = post.texts()
    assert "Unusable (8)" in first
    assert [f"* event event{number}\n" in first for number in range(8)] == [False] * 3 + [True] * 5
    assert "And 3 more" in first
    assert "3 times, last 2026-05-04 19:00 UTC" in first
    assert "Unusable (1)" in second
    assert "* event event0\n" in second


def test_m1_a_digest_that_fails_begets_no_digest_of_its_own(reporter: Reporter, post: Post) -> None:
    post.refused = {ALICE, ADMIN}

    tell(reporter, ALICE)
    reporter.execute("delete from mentat_reporter.outbox where id = 1")
    post.refused = set()
    for day in (1, 2):
        look(reporter, day=day)

    assert post.digests() == []
    assert reporter.value("select count(*) from mentat_reporter.digest") == 1
    assert reporter.rows("select report_label, state from mentat_reporter.outbox") == [
        ("digest-20260504", "failed")
    ]
    assert not digest.may_be_due(reporter.connection, START + 3 * DAY)


@pytest.mark.parametrize("days", [1, 3])
def test_m1_what_digests_told_that_failed_is_told_anew_until_one_arrives_and_then_never_again(
    reporter: Reporter, post: Post, days: int
) -> None:
    reporter.execute(
        "insert into mentat_reporter.quarantine values ('event', 'torn', 'not JSON', %s, %s, 3)", START, START
    )
    post.refused = {ALICE, ADMIN}

    tell(reporter, ALICE)
    for day in range(1, days):
        look(reporter, day=day)
    assert post.digests() == []
    post.refused = {ALICE, BOB}
    for day in (days, days + 1):
        look(reporter, day=day)
    tell(reporter, BOB, day=days + 2)

    first, second = post.texts()
    assert f"{ALICE}: 550 no such user" in first
    assert "* event torn\n" in first
    assert (ALICE in second, BOB in second, "torn" in second) == (False, True, False)
    assert [text.count("digest-") for text in (first, second)] == [0, 0]


def test_m1_what_a_digest_told_that_was_given_up_is_told_anew(reporter: Reporter, post: Post) -> None:
    post.refused = {ALICE, BOB}
    tell(reporter, ALICE)
    tell(reporter, BOB, day=1)
    reporter.execute("update mentat_reporter.outbox set state = 'failed', settled = %s where id = 2", START)

    look(reporter, day=6)

    assert [ALICE in text for text in post.texts()] == [True, False, True]
    assert BOB not in post.texts()[-1]


def test_m1_a_digest_that_reached_one_of_two_admins_was_told(reporter: Reporter, post: Post) -> None:
    reporter.config["mail_admin"] = [ADMIN, "gone@reporter.example"]
    post.refused = {ALICE, "gone@reporter.example"}

    tell(reporter, ALICE)
    look(reporter, day=1)

    assert len(post.digests()) == 1


def test_m1_what_finds_the_days_digest_written_already_waits_for_the_next(
    reporter: Reporter, post: Post
) -> None:
    post.refused = {ALICE, BOB}
    tell(reporter, ALICE)
    reporter.execute("delete from mentat_reporter.digest")  # its mail stays

    tell(reporter, BOB, hours=2)
    assert len(post.digests()) == 1
    look(reporter, day=1)

    assert [BOB in text for text in post.texts()] == [False, True]


@pytest.mark.parametrize("state", ["held", "deferred"])
def test_m1_a_digest_that_is_stuck_begets_no_digest(reporter: Reporter, post: Post, state: str) -> None:
    post.refused = {ALICE}
    tell(reporter, ALICE)
    reporter.execute(
        "update mentat_reporter.outbox set state = %s, settled = %s, next_attempt = %s where id = 2",
        state, START, START + 9 * DAY,
    )  # fmt: skip
    reporter.execute(
        "insert into mentat_reporter.quarantine select 'mail', message_id, 'odd', %s, %s, 1"
        " from mentat_reporter.outbox where id = 2",
        START, START,
    )  # fmt: skip

    look(reporter, day=1)

    assert reporter.value("select count(*) from mentat_reporter.digest") == 1


def test_m1_a_digest_that_was_not_committed_is_made_anew_by_the_next_run(
    reporter: Reporter, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    post.refused = {ALICE}

    def fail(*_: object) -> None:
        raise LookupError

    with monkeypatch.context() as patch:
        patch.setattr(digest, "store", fail)
        with suppress(LookupError):
            tell(reporter, ALICE)
    assert post.digests() == []
    look(reporter)

    assert ALICE in post.texts()[0]


def test_m1_a_digest_whose_run_ended_before_sending_it_goes_with_the_next_run_and_once(
    reporter: Reporter, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    post.refused = {ALICE}
    enqueue = run_digest.enqueue

    def end(session: Session) -> list[int]:
        assert enqueue(session)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_digest, "enqueue", end)
        with suppress(KeyboardInterrupt):
            tell(reporter, ALICE)
    assert post.digests() == []
    look(reporter)
    look(reporter, hours=3)

    assert len(post.digests()) == 1


def test_m1_without_an_admin_no_digest_is_made_and_the_log_says_so(
    reporter: Reporter, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reporter.config["mail_admin"] = []
    post.refused = {ALICE}

    tell(reporter, ALICE)

    lines = [record for record in caplog.records if "mail_admin is empty" in record.message]
    assert [line.levelname for line in lines] == ["INFO"]
    assert reporter.rows("select told from mentat_reporter.outbox_recipient") == [(None,)]


@pytest.mark.usefixtures("post")
def test_m1_runs_that_leave_the_outbox_alone_make_no_digest(reporter: Reporter) -> None:
    tell(reporter, ALICE)
    reporter.execute(HELD, START)

    reporter.ad_hoc(START, START + HOUR)
    reporter.run(START + DAY, mail_test_mode=True, mail_to=["me@example.org"])
    reporter.run(START + DAY, dry_run=True)

    assert reporter.rows("select * from mentat_reporter.digest") == []


def test_m1_the_command_deliver_makes_it_too(reporter: Reporter, post: Post) -> None:
    tell(reporter, ALICE)
    reporter.execute(HELD, START)

    run.deliver(reporter.settings(), LOG, lambda _text: None)

    assert len(post.digests()) == 1
