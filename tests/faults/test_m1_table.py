"""M1: the delivery table of docs/reliability.md, row by row: a real server, a real outbox."""

import logging
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from integration.conftest_delivery import (
    AFTER_5_MIN,
    FALLBACK,
    GONE,
    HANG_UP,
    LOG,
    NOW,
    REFUSED,
    SENT,
    SILENCE,
    SUMMARY,
    Actor,
    Story,
    attempt,
    mail,
    outbox,
    recipients,
    rows,
    run,
    settings,
    states,
    store,
)

from mentat_reporter.delivery import smtp
from mentat_reporter.delivery.deliver import DeliveryResult, deliver, settle_late
from mentat_reporter.store.connection import Connection, connect
from mentat_reporter.store.outbox import Outbox

__all__ = ["outbox"]


def test_m1_a_server_that_cannot_be_reached_defers_the_mail(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())

    result = attempt(outbox)

    assert (result.deferred, result.alarms) == (1, [])
    assert rows(connection, SUMMARY) == [("deferred", None, AFTER_5_MIN, 1, False)]


def test_m1_a_server_that_does_not_greet_in_time_defers_the_mail(
    connection: Connection, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "CONNECT_TIMEOUT", 0.2)
    store(connection, *(mail(number) for number in range(5)))

    with Actor(BANNER=SILENCE) as server:
        result = attempt(outbox, server)

    assert states(connection) == ["deferred"] * 3 + ["pending"] * 2
    assert result.left == 2
    assert server.said == []


@pytest.mark.parametrize(
    "part",
    [
        {"BANNER": "421 busy" + HANG_UP},
        {"BANNER": "554 no service"},
        {"EHLO": "554 no", "HELO": "554 no"},
        {"EHLO": "250-hello\r\n250 STARTTLS", "STARTTLS": "454 no"},
        {"EHLO": "250-hello\r\n250 STARTTLS", "STARTTLS": "220 go\r\nbut this is no handshake"},
    ],
    ids=["421", "554", "EHLO", "STARTTLS", "handshake"],
)
def test_m1_three_sessions_in_a_row_that_fail_end_the_delivery(
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


def test_m1_failed_sessions_that_are_not_in_a_row_do_not_end_the_delivery(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, *(mail(number) for number in range(6)))

    result = attempt(outbox, transport_factory=lambda: Story(GONE, GONE, SENT, GONE, GONE, SENT))

    assert (result.deferred, result.sent, result.left) == (4, 2, 0)


def test_m1_a_refused_login_defers_one_mail_and_stops_with_an_error(
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
def test_m1_4xx_defers_and_5xx_fails_at_the_sender_and_at_the_content(
    connection: Connection, outbox: Outbox, step: str, answer: str, state: str
) -> None:
    store(connection, mail())

    with Actor(**{step: answer}) as server:
        attempt(outbox, server)

    next_attempt = AFTER_5_MIN if state == "deferred" else None
    assert rows(connection, SUMMARY) == [(state, int(answer[:3]), next_attempt, 1, False)]


def test_m1_a_421_defers_and_the_next_mail_gets_a_new_session(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail(1), mail(2))

    with Actor(BODY=["421 leaving", "250 ok"]) as server:
        attempt(outbox, server)

    assert states(connection) == ["deferred", "sent"]
    assert server.connections == 2


def test_m1_a_mail_that_all_recipients_put_off_is_deferred(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail(1, "a@example.com", "b@example.com"))

    with Actor(RCPT="450 later") as server:
        attempt(outbox, server)

    assert rows(connection, SUMMARY) == [("deferred", 450, AFTER_5_MIN, 1, False)]
    assert recipients(connection) == {"a@example.com": "deferred", "b@example.com": "deferred"}


def test_m1_recipients_refused_for_now_are_tried_again_alone(connection: Connection, outbox: Outbox) -> None:
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


def test_m1_a_recipient_refused_for_good_fails_alone(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail(1, "a@example.com", "b@example.com"))

    with Actor(RCPT=["550 who?", "250 ok"]) as server:
        result = attempt(outbox, server, fallback=FALLBACK)

    assert states(connection) == ["sent"]
    assert recipients(connection) == {"a@example.com": "failed", "b@example.com": "sent"}
    assert (result.sent, result.failed, result.alarms) == (1, 0, [])


def test_m1_a_mail_that_all_recipients_refuse_goes_to_the_fallback_in_the_same_run(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail(1, "a@example.com", "b@example.com"), mail(2))

    with Actor(RCPT=["550 who?", "550 who?", "250 ok"]) as server:
        result = attempt(outbox, server, fallback=FALLBACK)

    assert states(connection) == ["sent", "sent"]
    assert "RCPT TO:<fallback@example.org>" in server.said
    assert (result.sent, result.failed, result.alarms) == (2, 0, [])


def test_m1_a_mail_that_the_fallback_refuses_too_fails_once(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())

    with Actor(RCPT="550 who?") as server:
        result = attempt(outbox, server, fallback=FALLBACK)

    assert states(connection) == ["failed"]
    assert result.failed == 1
    assert recipients(connection) == {"abuse@example.com": "failed", "fallback@example.org": "failed"}
    assert len(result.alarms) == len(result.troubled) == 1
    assert server.verbs().count("RCPT") == 2


def test_m1_without_fallback_recipients_a_refused_mail_fails(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())

    with Actor(RCPT="550 who?") as server:
        result = attempt(outbox, server)

    assert (states(connection), result.failed) == (["failed"], 1)
    assert result.alarms == ["mail <M1.1@reporter.example> of report M20260501 failed: 550 who? (to RCPT)"]


def test_m1_in_test_mode_nothing_goes_to_the_fallback(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())

    with Actor(RCPT="550 who?") as server:
        attempt(outbox, server, fallback=FALLBACK, settings={"test_mode": True})

    assert states(connection) == ["failed"]
    assert "fallback@example.org" not in recipients(connection)


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_m1_a_connection_lost_before_the_dot_defers_without_doubt(
    connection: Connection, outbox: Outbox, step: str
) -> None:
    store(connection, mail(1), mail(2))

    with Actor(**{step: [HANG_UP, "354 go" if step == "DATA" else "250 ok"]}) as server:
        attempt(outbox, server)

    assert rows(connection, SUMMARY) == [
        ("deferred", None, AFTER_5_MIN, 1, False),
        ("sent", 250, None, 1, False),
    ]
    assert len(server.mails) == 1


def test_m1_a_connection_lost_amid_the_mail_defers_without_doubt(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail(content=b"Subject: long\n\n" + b"x" * 70 * 2**17))

    with Actor(DATA="354 go" + HANG_UP) as server:
        attempt(outbox, server, settings={"ambiguous": "hold"})

    assert rows(connection, SUMMARY) == [("deferred", None, AFTER_5_MIN, 1, False)]


def test_m1_a_connection_lost_after_the_dot_is_sent_again_with_the_same_bytes(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())

    with Actor(BODY=[HANG_UP, "250 ok"]) as server:
        attempt(outbox, server)
        assert rows(connection, SUMMARY) == [("deferred", None, AFTER_5_MIN, 1, True)]
        attempt(outbox, server, now=AFTER_5_MIN)

    assert rows(connection, SUMMARY) == [("sent", 250, None, 2, True)]
    assert server.mails == [mail().content.replace(b"\n", b"\r\n")]


def test_m1_a_connection_lost_after_the_dot_holds_the_mail_where_the_policy_says_so(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())

    with Actor(BODY=HANG_UP) as server:
        result = attempt(outbox, server, settings={"ambiguous": "hold"})

    assert rows(connection, SUMMARY) == [("held", None, None, 1, True)]
    assert result.held == 1
    assert "is held, it may have arrived" in result.alarms[0]


def test_m1_after_five_days_a_mail_fails_and_the_admin_is_told(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail(1), now=NOW - timedelta(days=5))
    store(connection, mail(2), now=NOW - timedelta(days=5) + timedelta(seconds=1))

    result = attempt(outbox)

    assert states(connection) == ["failed", "deferred"]
    assert "M20260501 given up after five days" in result.alarms[0]


def test_m1_the_tries_of_a_mail_follow_the_backoff_until_the_fifth_day(
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


def test_m1_what_was_given_up_after_five_days_says_so_and_keeps_the_last_answer(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail(1, "a@example.com", "b@example.com"), now=NOW - timedelta(days=5))

    with Actor(RCPT=["451 later", "250 ok"]) as server:
        result = attempt(outbox, server)

    assert states(connection) == ["sent"]
    assert "given up after five days for some recipients" in result.alarms[0]
    query = "select code, text from mentat_reporter.outbox_recipient where state = 'failed'"
    assert rows(connection, query) == [
        (451, "given up after five days, the last answer was: later (to RCPT)")
    ]


def test_m1_what_a_run_leaves_for_somebody_to_look_at_is_named_with_the_servers_answer(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail(1), mail(2), mail(3))

    with Actor(RCPT=["550 who?", "250 ok"], BODY=[HANG_UP, "450 later"]) as server:
        result = attempt(outbox, server, settings={"ambiguous": "hold"})

    assert states(connection) == ["failed", "held", "deferred"]
    assert result.troubled == [
        ("<M1.1@reporter.example>", "failed: 550 who? (to RCPT)"),
        ("<M2.1@reporter.example>", "is held, it may have arrived: Connection unexpectedly closed"),
    ]


# A run that is killed: its mail is recovered by the next


@pytest.mark.parametrize(("policy", "state", "recoveries"), [("resend", "pending", 1), ("hold", "held", 1)])
def test_m1_a_mail_that_a_killed_run_may_have_sent_follows_the_policy(
    connection: Connection, outbox: Outbox, policy: Any, state: str, recoveries: int
) -> None:
    [mail_id] = store(connection, mail())
    claimed = outbox.claim(mail_id, NOW)
    assert claimed is not None
    outbox.mark_data_begun(claimed)

    found = outbox.recover(NOW, policy=policy)

    query = "select state, recoveries, ambiguous from mentat_reporter.outbox"
    assert rows(connection, query) == [(state, recoveries, True)]
    held = (("M20260501", "<M1.1@reporter.example>"),)
    assert found.held == (held if policy == "hold" else ())
    assert found.reason == ("a run ended while sending it, and ambiguous is hold" if policy == "hold" else "")


def test_m1_a_mail_that_a_killed_run_cannot_have_sent_is_never_held(
    connection: Connection, outbox: Outbox
) -> None:
    [mail_id] = store(connection, mail())
    outbox.claim(mail_id, NOW)

    assert outbox.recover(NOW, policy="hold").pending == 1
    assert states(connection) == ["pending"]


def test_m1_a_run_may_recover_its_own_mails_alone(connection: Connection, outbox: Outbox) -> None:
    ids = store(connection, mail(1), mail(2), mail(3))
    for mail_id in ids:
        outbox.claim(mail_id, NOW)

    assert outbox.recover(NOW, only=ids[1:]).pending == 2
    assert states(connection) == ["sending", "pending", "pending"]


# A database that goes away: the mail is settled on the next connection


def test_m1_a_mail_sent_while_the_database_went_away_is_settled_on_a_new_connection(
    connection: Connection, outbox: Outbox, database: dict[str, str]
) -> None:
    store(connection, mail(1), mail(2))
    pid = connection.info.backend_pid
    cut = Story(SENT, before=lambda: run(database, f"select pg_terminate_backend({pid}, 5000)"))
    result = DeliveryResult()
    with pytest.raises(psycopg2.OperationalError):
        deliver(outbox, lambda: cut, settings(), NOW, log=LOG, result=result)

    again = connect(database, what="test", limits={})
    assert (result.sent, states(again)) == (0, ["sending", "pending"])
    settle_late(Outbox(again), result, NOW, LOG)

    assert (result.sent, result.unsettled, result.alarms) == (1, None, [])
    assert rows(again, SUMMARY)[0] == ("sent", 250, None, 1, False)
    assert Outbox(again).recover(NOW).pending == 0
    settle_late(Outbox(again), result, NOW, LOG)
    assert result.sent == 1
    again.close()


@pytest.mark.parametrize("fallback", [(), FALLBACK], ids=["none", "fallback"])
def test_m1_a_mail_that_was_settled_though_the_answer_was_lost_is_counted_without_an_alarm(
    connection: Connection, outbox: Outbox, fallback: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    store(connection, mail())
    result = DeliveryResult()
    settle = Outbox.settle_and_claim

    def lose_the_answer(*arguments: Any) -> None:
        settle(*arguments)
        raise psycopg2.OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "settle_and_claim", lose_the_answer)
        with pytest.raises(psycopg2.OperationalError):
            deliver(
                outbox, lambda: Story(REFUSED), settings(), NOW, log=LOG, result=result, fallback=fallback
            )
    settle_late(outbox, result, NOW, LOG)

    assert states(connection) == (["pending"] if fallback else ["failed"])
    assert result.failed == (0 if fallback else 1)
    assert not any("taken over" in alarm for alarm in result.alarms)


def test_m1_a_mail_that_another_run_has_by_then_is_left_to_it(
    connection: Connection, outbox: Outbox, database: dict[str, str]
) -> None:
    store(connection, mail())
    pid = connection.info.backend_pid
    cut = Story(SENT, before=lambda: run(database, f"select pg_terminate_backend({pid}, 5000)"))
    result = DeliveryResult()
    with pytest.raises(psycopg2.OperationalError):
        deliver(outbox, lambda: cut, settings(), NOW, log=LOG, result=result)

    other = Outbox(connect(database, what="test", limits={}))
    other.recover(NOW)
    settle_late(other, result, NOW, LOG)

    assert other.counts() == {"pending": 1}
    assert "taken over by another run" in result.alarms[0]
