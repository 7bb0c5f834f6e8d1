"""Delivery from the outbox: the loop, maildir, and which transport."""

import os
import stat
import threading
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from integration.conftest_delivery import (
    FALLBACK,
    NOW,
    SENT,
    Actor,
    Story,
    attempt,
    mail,
    outbox,
    rows,
    run,
    settings,
    states,
    store,
)
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from mentat_reporter.delivery.deliver import DeliveryResult
from mentat_reporter.delivery.outcomes import Ending
from mentat_reporter.delivery.smtp import SmtpTransport
from mentat_reporter.delivery.transports import (
    MaildirTransport,
    NullTransport,
    SendmailTransport,
    Transport,
    make_transport,
)
from mentat_reporter.files import FileSteps
from mentat_reporter.store.connection import Connection, connect
from mentat_reporter.store.outbox import Outbox

__all__ = ["outbox"]


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


def test_a_mail_that_cannot_be_put_into_words_does_not_stop_the_others(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail(1), mail(2))
    story = Story(ValueError("what?"), SENT)

    result = attempt(outbox, transport_factory=lambda: story)

    assert states(connection) == ["deferred", "sent"]
    assert (result.deferred, result.sent) == (1, 1)
    assert result.troubled == [("<M1.1@reporter.example>", "cannot be sent, the library fails on it: what?")]
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

    link = MaildirTransport(tmp_path, FileSteps(sync=sync))
    link.send("s@x", ["a@x"], b"mail", lambda: None)
    (draft, moved_at_draft), (folder, moved_at_end) = steps[-2:]

    assert Path(draft).parent == tmp_path / "tmp"
    assert moved_at_draft == 0
    assert folder == str(tmp_path / "new")
    assert moved_at_end == 1


def test_a_mail_is_in_the_maildir_only_after_it_was_noted_that_it_may_be(tmp_path: Path) -> None:
    seen: list[int] = []

    MaildirTransport(tmp_path).send(
        "s@x", ["a@x"], b"mail", lambda: seen.append(len(list((tmp_path / "new").iterdir())))
    )

    assert seen == [0]


def test_a_full_disk_defers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "tmp").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "cur").mkdir()
    said = MaildirTransport(tmp_path, FileSteps(sync=fail)).send("s@x", ["a@x"], b"mail", pytest.fail)

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
