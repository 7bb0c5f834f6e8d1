"""The delivery table of docs/reliability.md, row by row, over values."""

from datetime import timedelta
from typing import Any

import pytest
from integration.conftest_delivery import NOW

from mentat_reporter.delivery.outcomes import (
    Attempt,
    Ending,
    Outcome,
    Reply,
    Then,
    backoff,
    clean_reply,
    judge,
)
from mentat_reporter.store.outbox import Claimed

OK = Reply(250, "ok")
LATER = Reply(450, "later")
NO = Reply(550, "no")
BYE = Reply(421, "bye")
BROKEN = Reply(None, "connection broke")
A, B, C = "a@example.com", "b@example.com", "c@example.com"


def claimed(*recipients: str, **changes: Any) -> Claimed:
    return Claimed(
        id=1,
        report_label="M1",
        message_id="<M1@example.org>",
        envelope_sender="reporter@example.org",
        content=b"",
        attempts=1,
        fallback_used=False,
        since=NOW,
        recipients=recipients or (A, B),
        reached=False,
    )._replace(**changes)


def judged(attempt: Attempt, mail: Claimed | None = None, **kwargs: Any) -> Outcome:
    return judge(attempt, mail or claimed(), kwargs.get("now", NOW), kwargs.get("ambiguous", "resend"))


def fates(outcome: Outcome) -> dict[str, str]:
    return {one.address: one.state for one in outcome.settlement.recipients}


@pytest.mark.parametrize("reply", [BROKEN, Reply(554, "no service"), Reply(421, "too busy")])
def test_no_session_defers_the_mail_even_if_the_server_says_never(reply: Reply) -> None:
    outcome = judged(Attempt(Ending.UNREACHABLE, reply))

    assert outcome.settlement.state == "deferred"
    assert outcome.then is Then.RECONNECT
    assert fates(outcome) == {A: "deferred", B: "deferred"}


def test_a_refused_login_defers_the_mail_and_stops() -> None:
    outcome = judged(Attempt(Ending.LOGIN_REFUSED, Reply(535, "wrong")))

    assert outcome.settlement.state == "deferred"
    assert outcome.then is Then.STOP


def test_an_accepted_mail_is_sent_and_the_session_goes_on() -> None:
    outcome = judged(Attempt(Ending.ANSWERED, OK))

    assert outcome.settlement.state == "sent"
    assert outcome.settlement.next_attempt is None
    assert outcome.then is Then.CONTINUE
    assert fates(outcome) == {A: "sent", B: "sent"}


@pytest.mark.parametrize(("reply", "state"), [(LATER, "deferred"), (NO, "failed")])
def test_an_answer_to_the_sender_or_the_mail_is_for_all_recipients(reply: Reply, state: str) -> None:
    outcome = judged(Attempt(Ending.ANSWERED, reply))

    assert outcome.settlement.state == state
    assert outcome.then is Then.CONTINUE
    assert set(fates(outcome).values()) == {state}


def test_a_421_defers_and_reconnects() -> None:
    outcome = judged(Attempt(Ending.ANSWERED, BYE))

    assert outcome.settlement.state == "deferred"
    assert outcome.then is Then.RECONNECT


def test_recipients_refused_for_now_wait_while_the_rest_is_sent() -> None:
    outcome = judged(Attempt(Ending.ANSWERED, OK, {A: LATER}))

    assert outcome.settlement.state == "deferred"
    assert outcome.settlement.next_attempt == NOW + timedelta(minutes=5)
    assert fates(outcome) == {A: "deferred", B: "sent"}


def test_recipients_refused_for_good_fail_while_the_mail_is_sent_to_the_rest() -> None:
    outcome = judged(Attempt(Ending.ANSWERED, OK, {A: NO}))

    assert outcome.settlement.state == "sent"
    assert [one.address for one in outcome.failed] == [A]
    assert fates(outcome) == {A: "failed", B: "sent"}


def test_a_mail_that_every_recipient_refuses_for_good_fails() -> None:
    outcome = judged(Attempt(Ending.ANSWERED, NO, {A: NO, B: NO}))

    assert outcome.settlement.state == "failed"


def test_the_last_waiting_recipients_refusal_does_not_fail_a_mail_that_reached_others() -> None:
    outcome = judged(Attempt(Ending.ANSWERED, NO, {A: NO}), claimed(A, reached=True))

    assert outcome.settlement.state == "sent"
    assert fates(outcome) == {A: "failed"}


def test_each_recipient_keeps_the_answer_it_was_given() -> None:
    outcome = judged(Attempt(Ending.ANSWERED, LATER, {A: NO, B: BYE}), claimed(A, B, C))

    assert [(one.address, one.state, one.code) for one in outcome.settlement.recipients] == [
        (A, "failed", 550),
        (B, "deferred", 421),
        (C, "deferred", 450),
    ]
    assert outcome.settlement.state == "deferred"
    assert outcome.then is Then.RECONNECT


def test_a_mail_refused_for_good_still_waits_for_recipients_that_were_put_off() -> None:
    outcome = judged(Attempt(Ending.ANSWERED, NO, {A: LATER}))

    assert outcome.settlement.state == "deferred"
    assert fates(outcome) == {A: "deferred", B: "failed"}


def test_a_connection_lost_before_the_final_dot_defers_without_doubt() -> None:
    outcome = judged(Attempt(Ending.LOST, BROKEN, {A: NO}))

    assert outcome.settlement.state == "deferred"
    assert not outcome.settlement.ambiguous
    assert outcome.then is Then.RECONNECT
    assert fates(outcome) == {A: "failed", B: "deferred"}


def test_a_connection_lost_after_the_final_dot_defers_with_doubt() -> None:
    outcome = judged(Attempt(Ending.LOST_AFTER_DOT, BROKEN))

    assert outcome.settlement.state == "deferred"
    assert outcome.settlement.ambiguous
    assert outcome.settlement.next_attempt == NOW + timedelta(minutes=5)
    assert outcome.then is Then.RECONNECT


def test_a_mail_in_doubt_is_held_where_the_policy_says_so() -> None:
    outcome = judged(Attempt(Ending.LOST_AFTER_DOT, BROKEN), ambiguous="hold", now=NOW + timedelta(days=9))

    assert outcome.settlement.state == "held"
    assert outcome.settlement.ambiguous
    assert outcome.settlement.next_attempt is None


def test_the_policy_matters_only_in_doubt() -> None:
    assert judged(Attempt(Ending.LOST, BROKEN), ambiguous="hold").settlement.state == "deferred"


def test_an_answer_that_makes_no_sense_defers_and_reconnects() -> None:
    outcome = judged(Attempt(Ending.ANSWERED, Reply(None, "unexpected answer 999")))

    assert outcome.settlement.state == "deferred"
    assert outcome.then is Then.RECONNECT


def test_tries_come_after_5_10_20_40_and_then_every_66_minutes() -> None:
    assert [backoff(attempts) // timedelta(minutes=1) for attempts in range(1, 8)] == [
        5, 10, 20, 40, 66, 66, 66,
    ]  # fmt: skip


@pytest.mark.parametrize("ending", [Ending.UNREACHABLE, Ending.LOST, Ending.LOST_AFTER_DOT])
def test_a_mail_put_off_for_five_days_fails(ending: Ending) -> None:
    late = NOW + timedelta(days=5)

    assert judged(Attempt(ending, BROKEN), now=late - timedelta(seconds=1)).settlement.state == "deferred"
    outcome = judged(Attempt(ending, BROKEN), now=late)

    assert outcome.settlement.state == "failed"
    assert outcome.expired
    assert fates(outcome) == {A: "failed", B: "failed"}


def test_a_mail_that_is_taken_after_five_days_is_sent() -> None:
    assert judged(Attempt(Ending.ANSWERED, OK), now=NOW + timedelta(days=6)).settlement.state == "sent"


def test_recipients_given_up_after_five_days_do_not_fail_a_mail_that_reached_others() -> None:
    outcome = judged(Attempt(Ending.ANSWERED, OK, {A: LATER}), now=NOW + timedelta(days=6))

    assert outcome.settlement.state == "sent"
    assert outcome.expired
    assert fates(outcome) == {A: "failed", B: "sent"}


def test_a_servers_words_become_one_printable_line_of_limited_length() -> None:
    reply = clean_reply(550, b"no\r\n\x00way\x1b[31m \xff" + b"x" * 1000)

    assert reply.text.startswith("no way [31m �xx")
    assert len(reply.text) == 500
