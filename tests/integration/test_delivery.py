"""Delivery from the outbox to servers that play every part: docs/reliability.md end to end."""

import logging
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from integration.conftest_delivery import (
    HANG_UP,
    NOW,
    Actor,
    mail,
    outbox,
    recipients,
    rows,
    run,
    settings,
    states,
    store,
)
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from mentat_reporter.delivery.deliver import DeliveryResult, Undelivered, deliver
from mentat_reporter.delivery.outcomes import Attempt, Ending, Reply
from mentat_reporter.delivery.smtp import SmtpTransport
from mentat_reporter.delivery.transports import (
    MaildirTransport,
    NullTransport,
    SendmailTransport,
    Transport,
    make_transport,
)
from mentat_reporter.store.connection import Connection, connect
from mentat_reporter.store.outbox import Outbox, RecipientOutcome

__all__ = ["outbox"]

LOG = logging.getLogger("mentat_reporter.test")
FALLBACK = ("fallback@example.org",)
AFTER_5_MIN = NOW + timedelta(minutes=5)
SUMMARY = "select state, smtp_code, next_attempt, attempts, ambiguous from mentat_reporter.outbox order by id"


def attempt(
    outbox: Outbox, server: Actor | None = None, now: datetime = NOW, **options: Any
) -> DeliveryResult:
    mail_settings = settings(
        smtp_port=server.port if server else unused_port(), **options.pop("settings", {})
    )
    options.setdefault("transport_factory", lambda: make_transport(mail_settings))
    return deliver(outbox, settings=mail_settings, now=now, log=LOG, **options)


def unused_port() -> int:
    with Actor() as gone:
        return gone.port


class Story:
    """A transport that plays a list of attempts, the last one again and again."""

    def __init__(self, *attempts: Attempt | Exception, before: Callable[[], object] = lambda: None) -> None:
        self.attempts = list(attempts)
        self.sent: list[tuple[str, tuple[str, ...], bytes]] = []
        self.closed = 0
        self.before = before

    def send(
        self, envelope_sender: str, recipients: Any, content: bytes, on_data: Callable[[], None]
    ) -> Attempt:
        on_data()
        self.before()
        self.sent.append((envelope_sender, tuple(recipients), content))
        found = self.attempts.pop(0) if len(self.attempts) > 1 else self.attempts[0]
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        self.closed += 1


SENT = Attempt(Ending.ANSWERED, Reply(250, "ok"))
REFUSED = Attempt(Ending.ANSWERED, Reply(550, "no"))
GONE = Attempt(Ending.UNREACHABLE, Reply(None, "connection refused"))


# The table, row by row


def test_a_server_that_cannot_be_reached_defers_the_mail(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())

    result = attempt(outbox)

    assert (result.deferred, result.alarms) == (1, [])
    assert rows(connection, SUMMARY) == [("deferred", None, AFTER_5_MIN, 1, False)]


@pytest.mark.parametrize(
    "part",
    [
        {"BANNER": "421 busy" + HANG_UP},
        {"EHLO": "554 no", "HELO": "554 no"},
        {"EHLO": "250-hello\r\n250 STARTTLS", "STARTTLS": "454 no"},
    ],
    ids=["banner", "EHLO", "TLS"],
)
def test_three_sessions_in_a_row_that_fail_end_the_delivery(
    connection: Connection, outbox: Outbox, part: dict[str, str]
) -> None:
    store(connection, *(mail(number) for number in range(5)))

    with Actor(**part) as server:
        security = "starttls" if "STARTTLS" in part else "none"
        result = attempt(outbox, server, settings={"smtp_security": security})

    assert server.connections == 3
    assert states(connection) == ["deferred"] * 3 + ["pending"] * 2
    assert (result.deferred, result.left) == (3, 2)
    assert "3 failures in a row" in result.alarms[0]


def test_failed_sessions_that_are_not_in_a_row_do_not_end_the_delivery(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, *(mail(number) for number in range(6)))

    result = attempt(outbox, transport_factory=lambda: Story(GONE, GONE, SENT, GONE, GONE, SENT))

    assert (result.deferred, result.sent, result.left) == (4, 2, 0)


def test_a_refused_login_defers_one_mail_and_stops_with_an_error(
    connection: Connection, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    store(connection, mail(1), mail(2))

    with Actor(EHLO="250-hello\r\n250 AUTH PLAIN", AUTH="535 wrong") as server:
        result = attempt(outbox, server, settings={"smtp_user": "me", "smtp_password": "s3cret"})

    assert states(connection) == ["deferred", "pending"]
    assert result.alarms == [
        "delivery stopped, login as me refused: 535 wrong; see smtp_user in the configuration"
    ]
    assert [record.levelname for record in caplog.records if record.levelno >= logging.ERROR] == ["ERROR"]
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(("answer", "state"), [("450 later", "deferred"), ("550 no", "failed")])
@pytest.mark.parametrize("step", ["MAIL", "DATA", "BODY"])
def test_4xx_defers_and_5xx_fails_at_the_sender_and_at_the_content(
    connection: Connection, outbox: Outbox, step: str, answer: str, state: str
) -> None:
    store(connection, mail())

    with Actor(**{step: answer}) as server:
        attempt(outbox, server)

    next_attempt = AFTER_5_MIN if state == "deferred" else None
    assert rows(connection, SUMMARY) == [(state, int(answer[:3]), next_attempt, 1, False)]


def test_a_421_defers_and_the_next_mail_gets_a_new_session(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail(1), mail(2))

    with Actor(BODY=["421 leaving", "250 ok"]) as server:
        attempt(outbox, server)

    assert states(connection) == ["deferred", "sent"]
    assert server.connections == 2


def test_recipients_refused_for_now_are_tried_again_alone(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail(1, "a@example.com", "b@example.com"))

    with Actor(RCPT=["450 later", "250 ok"]) as server:
        first = attempt(outbox, server)
        assert recipients(connection) == {"a@example.com": "deferred", "b@example.com": "sent"}
        again = attempt(outbox, server, now=AFTER_5_MIN)

    asked = [line for line in server.said if line.startswith("RCPT")]
    assert asked[2:] == ["RCPT TO:<a@example.com>"]
    assert (first.deferred, again.sent) == (1, 1)
    assert server.mails[0] == server.mails[1]
    assert recipients(connection) == {"a@example.com": "sent", "b@example.com": "sent"}


def test_a_recipient_refused_for_good_fails_alone_and_is_listed(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail(1, "a@example.com", "b@example.com"))

    with Actor(RCPT=["550 who?", "250 ok"]) as server:
        result = attempt(outbox, server, fallback=FALLBACK)

    assert states(connection) == ["sent"]
    assert recipients(connection) == {"a@example.com": "failed", "b@example.com": "sent"}
    assert result.undelivered == [
        Undelivered(
            "M20260501",
            "<M1.1@reporter.example>",
            (RecipientOutcome("a@example.com", "failed", 550, "who? (to RCPT)"),),
            reached_nobody=False,
        )
    ]
    assert (result.sent, result.failed, result.alarms) == (1, 0, [])


def test_a_mail_that_all_recipients_refuse_goes_to_the_fallback_in_the_same_run(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail(1, "a@example.com", "b@example.com"), mail(2))

    with Actor(RCPT=["550 who?", "550 who?", "250 ok"]) as server:
        result = attempt(outbox, server, fallback=FALLBACK)

    assert states(connection) == ["sent", "sent"]
    assert "RCPT TO:<fallback@example.org>" in server.said
    assert (result.sent, result.failed, result.alarms) == (2, 0, [])
    assert [(one.report_label, one.reached_nobody) for one in result.undelivered] == [("M20260501", True)]


def test_a_mail_that_the_fallback_refuses_too_fails_once_and_is_listed(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())

    with Actor(RCPT="550 who?") as server:
        result = attempt(outbox, server, fallback=FALLBACK)

    assert states(connection) == ["failed"]
    assert result.failed == 1
    assert [one.recipients[0].address for one in result.undelivered] == [
        "abuse@example.com",
        "fallback@example.org",
    ]
    assert len(result.alarms) == 1
    assert server.verbs().count("RCPT") == 2


def test_without_fallback_recipients_a_refused_mail_fails(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())

    with Actor(RCPT="550 who?") as server:
        result = attempt(outbox, server)

    assert (states(connection), result.failed) == (["failed"], 1)
    assert result.alarms == ["mail <M1.1@reporter.example> of report M20260501 failed: 550 who? (to RCPT)"]


def test_in_test_mode_nothing_goes_to_the_fallback(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())

    with Actor(RCPT="550 who?") as server:
        attempt(outbox, server, fallback=FALLBACK, settings={"test_mode": True})

    assert states(connection) == ["failed"]
    assert "fallback@example.org" not in recipients(connection)


def test_a_connection_lost_before_the_dot_defers_without_doubt(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())

    with Actor(DATA=[HANG_UP, "354 go"]) as server:
        attempt(outbox, server)

    assert rows(connection, SUMMARY) == [("deferred", None, AFTER_5_MIN, 1, False)]


def test_a_connection_lost_after_the_dot_is_sent_again_with_the_same_bytes(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())

    with Actor(BODY=[HANG_UP, "250 ok"]) as server:
        attempt(outbox, server)
        assert rows(connection, SUMMARY) == [("deferred", None, AFTER_5_MIN, 1, True)]
        attempt(outbox, server, now=AFTER_5_MIN)

    assert rows(connection, SUMMARY) == [("sent", 250, None, 2, True)]
    assert server.mails == [mail().content.replace(b"\n", b"\r\n")]


def test_a_connection_lost_after_the_dot_holds_the_mail_where_the_policy_says_so(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())

    with Actor(BODY=HANG_UP) as server:
        result = attempt(outbox, server, settings={"ambiguous": "hold"})

    assert rows(connection, SUMMARY) == [("held", None, None, 1, True)]
    assert result.held == 1
    assert "is held, it may have arrived" in result.alarms[0]


def test_after_five_days_a_mail_fails_and_the_admin_is_told(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail(1), now=NOW - timedelta(days=5))
    store(connection, mail(2), now=NOW - timedelta(days=5) + timedelta(seconds=1))

    result = attempt(outbox)

    assert states(connection) == ["failed", "deferred"]
    assert "M20260501 given up after five days" in result.alarms[0]
    assert len(result.undelivered) == 1


def test_the_tries_of_a_mail_follow_the_backoff_until_the_fifth_day(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())
    now, waits = NOW, []

    while states(connection) != ["failed"]:
        attempt(outbox, now=now, transport_factory=lambda: Story(GONE))
        [(due,)] = rows(connection, "select next_attempt from mentat_reporter.outbox")
        if due:
            waits.append((due - now) // timedelta(minutes=1))
            now = due

    assert waits[:6] == [5, 10, 20, 40, 66, 66]
    assert timedelta(days=5) <= now - NOW < timedelta(days=5, minutes=66)


# The loop


def test_an_empty_outbox_needs_no_transport(outbox: Outbox) -> None:
    assert attempt(outbox, transport_factory=pytest.fail) == DeliveryResult()


def test_only_the_mails_that_were_asked_for_are_sent(connection: Connection, outbox: Outbox) -> None:
    _first, second = store(connection, mail(1), mail(2))

    result = attempt(outbox, only=[second], transport_factory=NullTransport)

    assert result.sent == 1
    assert states(connection) == ["pending", "sent"]


def test_the_deadline_ends_the_delivery_between_mails(connection: Connection, outbox: Outbox) -> None:
    store(connection, *(mail(number) for number in range(5)))
    story = Story(SENT)

    result = attempt(outbox, transport_factory=lambda: story, deadline=lambda: len(story.sent) == 2)

    assert (result.sent, result.left) == (2, 3)
    assert states(connection) == ["sent", "sent", "pending", "pending", "pending"]
    assert story.closed == 1


def test_no_transaction_is_open_while_a_mail_is_sent(connection: Connection, outbox: Outbox) -> None:
    seen: list[int] = []
    store(connection, mail())
    story = Story(SENT, before=lambda: seen.append(connection.info.transaction_status))

    attempt(outbox, transport_factory=lambda: story)

    assert seen == [TRANSACTION_STATUS_IDLE]


def test_others_can_see_that_data_has_begun_while_the_mail_is_sent(
    connection: Connection, outbox: Outbox, database: dict[str, str]
) -> None:
    store(connection, mail())
    watcher = connect(database, what="test", limits={})
    seen: list[Any] = []
    query = "select state, attempts, data_begun from mentat_reporter.outbox"
    story = Story(SENT, before=lambda: seen.extend(rows(watcher, query)))

    attempt(outbox, transport_factory=lambda: story)
    watcher.close()

    assert seen == [("sending", 1, True)]
    assert rows(connection, query) == [("sent", 1, False)]


@pytest.mark.parametrize(
    "bad",
    ["-oQ/tmp@x", "a@x, v@y", "a b@example.com", "no-at-sign", "<a@example.com>", "a@x\u2028y", "a@b@c"],
)
def test_what_is_no_address_fails_alone_and_never_reaches_the_transport(
    connection: Connection, outbox: Outbox, bad: str
) -> None:
    store(connection, mail(1, bad, "good@example.com"), mail(2, bad))
    story = Story(SENT)

    attempt(outbox, transport_factory=lambda: story)

    assert [to for _, to, _ in story.sent] == [("good@example.com",)]
    assert states(connection) == ["sent", "failed"]


@pytest.mark.parametrize("bad", ["a@x\r\nRCPT TO:<v@y>", "a@x\nBcc: v@y"])
def test_line_ends_in_an_address_add_no_command(connection: Connection, outbox: Outbox, bad: str) -> None:
    store(connection, mail(1, bad, "good@example.com"))

    with Actor() as server:
        attempt(outbox, server)

    assert [line for line in server.said if "v@y" in line] == []


def test_a_mail_with_a_bad_envelope_sender_fails_and_the_next_is_sent(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail(1)._replace(envelope_sender="-x@example.org"), mail(2))

    attempt(outbox, transport_factory=NullTransport)

    assert states(connection) == ["failed", "sent"]


def test_five_hundred_recipients_get_one_mail(connection: Connection, outbox: Outbox) -> None:
    everybody = [f"user{number}@example.com" for number in range(500)]
    store(connection, mail(1, *everybody))

    with Actor() as server:
        attempt(outbox, server)

    assert len(server.mails) == 1
    assert server.verbs().count("RCPT") == 500
    assert set(recipients(connection).values()) == {"sent"}


def test_a_mail_that_cannot_be_put_into_words_does_not_stop_the_others(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail(1), mail(2))
    story = Story(ValueError("what?"), SENT)

    result = attempt(outbox, transport_factory=lambda: story)

    assert states(connection) == ["deferred", "sent"]
    assert (result.deferred, result.sent) == (1, 1)
    assert story.closed == 2  # in the middle of it nobody knows what the server expects


def test_a_mail_taken_over_by_another_run_is_not_settled_and_named(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())
    story = Story(SENT, before=lambda: outbox.recover(NOW))

    result = attempt(outbox, transport_factory=lambda: story, fallback=FALLBACK)

    assert states(connection) == ["pending"]
    assert result.sent == 0
    assert "taken over by another run" in result.alarms[0]


def test_two_runs_at_once_send_each_mail_once(connection: Connection, database: dict[str, str]) -> None:
    store(connection, *(mail(number) for number in range(300)))
    stories = [Story(SENT), Story(SENT)]

    def work(story: Story) -> None:
        own = connect(database, what="test", limits={})
        attempt(Outbox(own), transport_factory=lambda: story)
        own.close()

    threads = [threading.Thread(target=work, args=(story,)) for story in stories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    contents = [content for story in stories for _, _, content in story.sent]
    assert len(set(contents)) == len(contents) == 300
    assert set(states(connection)) == {"sent"}


def test_a_database_that_goes_away_amid_a_mail_leaves_it_to_recovery(
    connection: Connection, outbox: Outbox, database: dict[str, str]
) -> None:
    store(connection, mail())
    pid = connection.info.backend_pid
    story = Story(SENT, before=lambda: run(database, f"select pg_terminate_backend({pid}, 5000)"))

    with pytest.raises(psycopg2.OperationalError):
        attempt(outbox, transport_factory=lambda: story)

    assert story.closed == 1
    again = connect(database, what="test", limits={})
    assert states(again) == ["sending"]
    assert Outbox(again).recover(NOW).pending == 1
    assert rows(again, "select recoveries, ambiguous from mentat_reporter.outbox") == [(1, True)]
    again.close()


def test_a_database_that_goes_away_before_data_sends_nothing(
    connection: Connection, outbox: Outbox, database: dict[str, str]
) -> None:
    store(connection, mail())
    pid = connection.info.backend_pid

    def die(_line: str) -> str:
        run(database, f"select pg_terminate_backend({pid}, 5000)")
        return "250 ok"

    with Actor(RCPT=die) as server, pytest.raises(psycopg2.OperationalError):
        attempt(outbox, server)

    assert server.mails == []
    assert server.verbs()[-1] == "QUIT"


def test_a_server_that_hangs_up_on_every_50th_mail_gets_each_of_them_in_the_end(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, *(mail(number) for number in range(1000)))
    count = 0

    def answer(_line: str) -> str:
        nonlocal count
        count += 1
        return HANG_UP if count % 50 == 0 else "250 ok"

    with Actor(BODY=answer) as server:
        first = attempt(outbox, server)
        second = attempt(outbox, server, now=AFTER_5_MIN)

    assert (first.sent, first.deferred) == (980, 20)
    assert (second.sent, second.deferred) == (20, 0)
    assert len(set(server.mails)) == len(server.mails) == 1000
    assert outbox.counts() == {"sent": 1000}


def test_a_server_that_is_down_for_an_hour_gets_everything_afterwards(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, *(mail(number) for number in range(20)))
    for minute in range(0, 60, 10):
        attempt(outbox, now=NOW + timedelta(minutes=minute))

    with Actor() as server:
        for minute in range(60, 150, 10):
            attempt(outbox, server, now=NOW + timedelta(minutes=minute))

    assert outbox.counts() == {"sent": 20}
    assert len(set(server.mails)) == len(server.mails) == 20


# sendmail

Script = Callable[[str], SendmailTransport]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Make a transport whose `sendmail` is a shell script that notes its arguments and its input first."""

    def make(ending: str) -> SendmailTransport:
        program = tmp_path / "sendmail"
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/args\ncat > {tmp_path}/input\n{ending}\n'
        )
        program.chmod(0o755)
        return SendmailTransport(str(program), timeout=1)

    return make


def test_sendmail_gets_addresses_as_arguments_and_the_mail_as_input(
    script: Script, connection: Connection, outbox: Outbox, tmp_path: Path
) -> None:
    store(connection, mail(1, "a@example.com", "b@example.com", content=b"Subject: x\r\n\r\n.\r\n$(id)\r\n"))

    attempt(outbox, transport_factory=lambda: script("exit 0"))

    arguments = ["-i", "-f", "reporter@example.org", "--", "a@example.com", "b@example.com"]
    assert (tmp_path / "args").read_text().splitlines() == arguments
    assert (tmp_path / "input").read_bytes() == b"Subject: x\n\n.\n$(id)\n"
    assert states(connection) == ["sent"]


@pytest.mark.parametrize(
    ("ending", "state", "ambiguous"),
    [
        ("exit 0", "sent", False),
        ("exit 75", "deferred", False),
        ("echo 'no such user' >&2; exit 67", "failed", False),
        ("exit 1", "failed", False),
        (f"kill -{signal.SIGKILL:d} $$", "deferred", True),
        ("exec sleep 20", "deferred", True),
    ],
)
def test_what_sendmail_says_by_its_end(
    script: Script, connection: Connection, outbox: Outbox, ending: str, state: str, ambiguous: bool
) -> None:
    store(connection, mail())

    attempt(outbox, transport_factory=lambda: script(ending))

    assert rows(connection, "select state, ambiguous from mentat_reporter.outbox") == [(state, ambiguous)]


def test_the_words_of_sendmail_are_kept(script: Script) -> None:
    said = script("echo 'no such\nuser' >&2; exit 67").send("s@x", ["a@x"], b"", lambda: None)

    assert said.reply.text == "sendmail exit 67: no such user"


def test_a_missing_sendmail_defers_and_ends_the_delivery(connection: Connection, outbox: Outbox) -> None:
    store(connection, *(mail(number) for number in range(5)))

    result = attempt(outbox, transport_factory=lambda: SendmailTransport("/no/such/sendmail"))

    assert (result.deferred, result.left) == (3, 2)
    assert "cannot run /no/such/sendmail: No such file or directory" in result.alarms[0]


def test_sendmail_is_not_run_by_a_shell_and_without_t() -> None:
    calls: list[Any] = []

    def fake(command: list[str], **options: Any) -> "subprocess.CompletedProcess[bytes]":
        calls.append((command, options))
        return subprocess.CompletedProcess(command, 0, stderr=b"")

    SendmailTransport(run=fake).send("s@example.org", ["a@x"], b"mail", lambda: None)

    [(command, options)] = calls
    assert command == ["/usr/sbin/sendmail", "-i", "-f", "s@example.org", "--", "a@x"]
    assert not options.get("shell")
    assert options["timeout"] == 600


# maildir


def test_a_maildir_is_made_and_filled(connection: Connection, outbox: Outbox, tmp_path: Path) -> None:
    store(connection, mail(1), mail(2))
    folder = tmp_path / "deep" / "mail"
    before = os.umask(0)
    try:
        attempt(outbox, transport_factory=lambda: MaildirTransport(folder))
    finally:
        os.umask(before)

    assert sorted(path.read_bytes() for path in (folder / "new").iterdir()) == [
        mail(1).content,
        mail(2).content,
    ]
    for path in (folder, *(folder / part for part in ("tmp", "new", "cur"))):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (folder / "new").iterdir())
    assert list((folder / "tmp").iterdir()) == []


def test_a_mail_is_on_the_disk_before_it_is_in_the_maildir(tmp_path: Path) -> None:
    steps: list[tuple[str, int]] = []

    def sync(handle: int) -> None:
        steps.append(
            (str(Path(f"/proc/self/fd/{handle}").readlink()), len(list((tmp_path / "new").glob("*"))))
        )

    link = MaildirTransport(tmp_path, sync=sync)
    link.send("s@x", ["a@x"], b"mail", lambda: None)
    (draft, moved_at_draft), (folder, moved_at_end) = steps[-2:]

    assert Path(draft).parent == tmp_path / "tmp"
    assert moved_at_draft == 0
    assert folder == str(tmp_path / "new")
    assert moved_at_end == 1


def test_a_full_disk_defers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "tmp").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "cur").mkdir()
    said = MaildirTransport(tmp_path, sync=fail).send("s@x", ["a@x"], b"mail", pytest.fail)

    assert said.ending is Ending.UNREACHABLE
    assert said.reply.text == f"maildir {tmp_path}: No space left on device"
    assert list(tmp_path.rglob("*/*")) == []


def test_a_maildir_that_cannot_be_made_defers(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    said = MaildirTransport(tmp_path / "file" / "mail").send("s@x", ["a@x"], b"mail", pytest.fail)

    assert said.ending is Ending.UNREACHABLE


# which transport


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"transport": "smtp"}, SmtpTransport),
        ({"transport": "sendmail"}, SendmailTransport),
        ({"transport": "maildir"}, MaildirTransport),
        ({"transport": "null"}, NullTransport),
        ({"transport": "sendmail", "dev_mode": True}, SmtpTransport),
    ],
)
def test_the_configuration_names_the_transport(changes: dict[str, Any], expected: type[Transport]) -> None:
    assert isinstance(make_transport(settings(**changes)), expected)


def test_dev_mode_is_plain_smtp_to_the_development_server(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())
    elsewhere = {
        "smtp_security": "tls",
        "smtp_user": "me",
        "smtp_password": "secret",
        "smtp_host": "x.invalid",
    }

    with Actor() as server:
        attempt(outbox, settings={**elsewhere, "dev_mode": True, "dev_port": server.port})

    assert len(server.mails) == 1
    assert "AUTH" not in server.verbs()
