"""The outbox on a real PostgreSQL: what is stored, claimed, settled and recovered."""

import hashlib
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import pytest
from integration.conftest_delivery import (
    NOW,
    attempt,
    mail,
    outbox,
    recipients,
    rows,
    states,
    store,
)
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from mentat_reporter.delivery.transports import NullTransport
from mentat_reporter.errors import MailError
from mentat_reporter.store import queries
from mentat_reporter.store.connection import STATE_LIMITS, Connection, connect, transaction
from mentat_reporter.store.outbox import (
    Claimed,
    Outbox,
    RecipientOutcome,
    Recovered,
    Settlement,
    Verdict,
    enqueue,
)

__all__ = ["outbox"]

LATER = NOW + timedelta(minutes=5)


def settlement(state: Verdict, claimed: Claimed, **changes: Any) -> Settlement:
    verdict = "deferred" if state == "held" else state
    everybody = tuple(RecipientOutcome(address, verdict, 250, "as said") for address in claimed.recipients)
    next_attempt = LATER if state == "deferred" else None
    return Settlement(state, everybody, next_attempt, 250, "as said", ambiguous=False)._replace(**changes)


def claim(outbox: Outbox, now: datetime = NOW) -> Claimed:
    claimed = outbox.claim(outbox.due(now)[0], now)
    assert claimed is not None
    return claimed


def crash(outbox: Outbox, *, data_begun: bool, now: datetime = NOW) -> None:
    claimed = claim(outbox, now)
    if data_begun:
        outbox.mark_data_begun(claimed)


def test_a_mail_comes_back_as_it_was_enqueued(connection: Connection, outbox: Outbox) -> None:
    content = bytes(range(256)) * 100
    given = mail(1, "b@example.com", "a@example.com", content=content)

    [mail_id] = store(connection, given)
    claimed = outbox.claim(mail_id, NOW)

    assert claimed == Claimed(
        id=mail_id,
        report_label=given.report_label,
        message_id=given.message_id,
        envelope_sender=given.envelope_sender,
        content=content,
        attempts=1,
        fallback_used=False,
        since=NOW,
        recipients=("a@example.com", "b@example.com"),
        reached=False,
    )
    [(digest,)] = rows(connection, "select sha256 from mentat_reporter.outbox")
    assert bytes(digest) == hashlib.sha256(content).digest()


def test_ids_come_in_the_order_of_the_mails(connection: Connection) -> None:
    ids = store(connection, *(mail(number) for number in range(1200)))

    assert ids == sorted(ids)
    found = rows(connection, "select message_id from mentat_reporter.outbox order by id")
    assert [row[0] for row in found] == [mail(number).message_id for number in range(1200)]


def test_large_mails_go_in_several_statements(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mentat_reporter.store.outbox.BATCH_BYTES", 100)

    ids = store(connection, *(mail(number, content=b"x" * 80) for number in range(5)))

    assert len(ids) == 5


def test_nothing_to_enqueue_is_fine(connection: Connection) -> None:
    assert store(connection) == []


def test_mails_vanish_with_the_transaction_that_made_them(connection: Connection, outbox: Outbox) -> None:
    enqueue(connection, [mail()], NOW)
    connection.rollback()

    assert outbox.counts() == {}


def test_a_message_id_that_stands_already_keeps_its_bytes_and_yields_no_id(
    connection: Connection, outbox: Outbox
) -> None:
    first = store(connection, mail(1, content=b"first"))

    again = store(connection, mail(1, "other@example.com", content=b"second"), mail(2))

    assert len(first) == len(again) == 1
    assert claim(outbox).content == b"first"
    assert list(recipients(connection)) == ["abuse@example.com"]


def test_a_recipient_named_twice_is_one(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail(1, "a@example.com", "a@example.com"))

    assert claim(outbox).recipients == ("a@example.com",)


def test_a_mail_without_recipients_is_refused(connection: Connection) -> None:
    with pytest.raises(MailError, match="M20260501 has no recipients"):
        store(connection, mail()._replace(recipients=()))


def test_a_mail_made_for_the_fallback_recipients_knows_it(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail(fallback=True))

    assert claim(outbox).fallback_used


def test_the_oldest_mail_is_due_first(connection: Connection, outbox: Outbox) -> None:
    ids = store(connection, mail(1), mail(2), mail(3))

    assert outbox.due(NOW) == ids


def test_only_the_mails_that_were_asked_for_are_due(connection: Connection, outbox: Outbox) -> None:
    first, second, _third = store(connection, mail(1), mail(2), mail(3))

    assert outbox.due(NOW, [second, first]) == [first, second]
    assert outbox.due(NOW, []) == []


def test_a_deferred_mail_is_due_at_its_next_attempt_and_not_before(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())
    claimed = claim(outbox)
    outbox.settle(claimed, settlement("deferred", claimed), NOW)

    assert outbox.due(LATER - timedelta(microseconds=1)) == []
    assert outbox.claim(claimed.id, LATER - timedelta(microseconds=1)) is None
    assert outbox.due(LATER) == [claimed.id]
    assert claim(outbox, LATER).attempts == 2


def test_a_claimed_mail_cannot_be_claimed_again(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())
    claimed = claim(outbox)

    assert outbox.claim(claimed.id, NOW) is None
    assert outbox.due(NOW) == []


def test_a_mail_that_another_session_is_claiming_is_skipped_without_waiting(
    connection: Connection, database: dict[str, str]
) -> None:
    [mail_id] = store(connection, mail())
    with connection.cursor() as cursor:
        cursor.execute("select from mentat_reporter.outbox where id = %s for update", (mail_id,))

    other = connect(database, what="test", limits={**STATE_LIMITS, "lock_timeout": "1ms"})
    try:
        assert Outbox(other).claim(mail_id, NOW) is None
    finally:
        other.close()


def test_no_transaction_is_open_after_any_call(connection: Connection, outbox: Outbox) -> None:
    def status() -> int:
        return connection.info.transaction_status

    store(connection, mail(1), mail(2))
    claimed = claim(outbox)
    assert status() == TRANSACTION_STATUS_IDLE
    outbox.mark_data_begun(claimed)
    assert status() == TRANSACTION_STATUS_IDLE
    outbox.settle(claimed, settlement("failed", claimed), NOW, ["fallback@example.org"])
    assert status() == TRANSACTION_STATUS_IDLE
    outbox.recover(NOW)
    outbox.counts()
    outbox.due(NOW)
    assert status() == TRANSACTION_STATUS_IDLE


def test_the_next_try_goes_only_to_the_deferred_recipients(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail(1, "a@example.com", "b@example.com", "c@example.com"))
    claimed = claim(outbox)
    mixed = (
        RecipientOutcome("a@example.com", "sent", 250, "ok"),
        RecipientOutcome("b@example.com", "deferred", 450, "later"),
        RecipientOutcome("c@example.com", "failed", None, "no"),
    )

    outbox.settle(claimed, settlement("deferred", claimed, recipients=mixed), NOW)
    again = claim(outbox, LATER)

    assert again.recipients == ("b@example.com",)
    assert again.reached
    query = "select outbox_id, address, state, code, text from mentat_reporter.outbox_recipient order by 2"
    assert rows(connection, query) == [
        (claimed.id, "a@example.com", "sent", 250, "ok"),
        (claimed.id, "b@example.com", "deferred", 450, "later"),
        (claimed.id, "c@example.com", "failed", None, "no"),
    ]


def test_a_mail_that_was_recovered_meanwhile_is_not_settled(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())
    late = claim(outbox)
    outbox.recover(NOW)
    current = claim(outbox)

    assert not outbox.settle(late, settlement("failed", late), NOW, ["fallback@example.org"])
    assert states(connection) == ["sending"]
    assert recipients(connection) == {"abuse@example.com": "pending"}
    assert outbox.settle(current, settlement("sent", current), NOW)
    assert not outbox.settle(current, settlement("failed", current), NOW)
    assert states(connection) == ["sent"]


def test_doubt_once_noted_stays_noted(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())
    first = claim(outbox)
    outbox.settle(first, settlement("deferred", first, ambiguous=True), NOW)
    second = claim(outbox, LATER)
    outbox.settle(second, settlement("sent", second), LATER)

    assert rows(connection, "select state, ambiguous, settled from mentat_reporter.outbox") == [
        ("sent", True, LATER)
    ]


def test_a_failed_mail_goes_to_its_fallback_recipients_with_five_new_days(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())
    first = claim(outbox)

    outbox.settle(first, settlement("failed", first), LATER, ["one@example.org", "two@example.org"])
    second = claim(outbox, LATER)

    assert second.recipients == ("one@example.org", "two@example.org")
    assert second.fallback_used
    assert second.since == LATER
    assert second.content == first.content
    assert second.message_id == first.message_id


def test_fallback_recipients_come_in_once(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())
    first = claim(outbox)
    outbox.settle(first, settlement("failed", first), NOW, ["one@example.org"])
    second = claim(outbox)
    outbox.settle(second, settlement("failed", second), NOW, ["two@example.org"])

    assert states(connection) == ["failed"]
    assert "two@example.org" not in recipients(connection)


def test_a_fallback_recipient_that_just_failed_is_tried_once_more(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())
    first = claim(outbox)
    outbox.settle(first, settlement("failed", first), NOW, ["abuse@example.com"])

    assert claim(outbox).recipients == ("abuse@example.com",)


@pytest.mark.parametrize("state", ["sent", "deferred", "held"])
def test_only_a_failed_mail_gets_fallback_recipients(
    connection: Connection, outbox: Outbox, state: Verdict
) -> None:
    store(connection, mail())
    claimed = claim(outbox)
    outbox.settle(claimed, settlement(state, claimed), NOW, ["one@example.org"])

    assert states(connection) == [state]
    assert list(recipients(connection)) == ["abuse@example.com"]


def test_a_held_mail_waits_for_an_operator(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())
    claimed = claim(outbox)
    outbox.settle(claimed, settlement("held", claimed), NOW)

    assert outbox.due(NOW + timedelta(days=100)) == []


def test_a_mail_that_was_not_yet_at_the_server_is_recovered_without_counting(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail(), mail(2))
    for _ in range(10):
        crash(outbox, data_begun=False)
        assert outbox.recover(NOW) == Recovered(pending=1, held=())

    query = "select state, recoveries, attempts, ambiguous from mentat_reporter.outbox order by id"
    assert rows(connection, query) == [("pending", 0, 10, False), ("pending", 0, 0, False)]


def test_a_mail_that_five_runs_died_on_is_held_and_named(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())
    for _ in range(4):
        crash(outbox, data_begun=True)
        assert outbox.recover(NOW) == Recovered(pending=1, held=())
    crash(outbox, data_begun=True)

    found = outbox.recover(NOW)

    assert found == Recovered(0, (("M20260501", "<M1.1@reporter.example>"),), "5 runs ended while sending it")
    assert outbox.recover(NOW) == Recovered(pending=0, held=())
    query = "select state, recoveries, ambiguous from mentat_reporter.outbox"
    assert rows(connection, query) == [("held", 5, True)]
    assert outbox.due(NOW) == []


def test_a_recovered_mail_goes_to_the_same_recipients(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail(1, "a@example.com", "b@example.com"))
    crash(outbox, data_begun=True)
    outbox.recover(NOW)

    assert claim(outbox).recipients == ("a@example.com", "b@example.com")


def test_mails_are_counted_by_state(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail(1), mail(2), mail(3))
    claimed = claim(outbox)
    outbox.settle(claimed, settlement("sent", claimed), NOW)
    claim(outbox)

    assert outbox.counts() == {"sent": 1, "sending": 1, "pending": 1}


def test_an_error_of_the_database_leaves_the_connection_usable(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())
    claimed = claim(outbox)
    with pytest.raises(psycopg2.DataError):
        outbox.settle(claimed, settlement("sent", claimed, code=2**40), NOW)

    assert outbox.settle(claimed, settlement("sent", claimed), NOW)


@pytest.mark.parametrize("name", [name for name in queries.names() if name.startswith("outbox.")])
def test_every_query_says_what_it_is_for_in_one_comment(name: str) -> None:
    comments = [line for line in queries.get(name).splitlines() if line.startswith("--")]

    assert len(comments) == 1


def test_finding_due_mails_does_not_read_those_that_are_done(connection: Connection) -> None:
    store(connection, *(mail(number) for number in range(3000)))
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute("update mentat_reporter.outbox set state = 'sent' where id > 10")
        cursor.execute("analyze mentat_reporter.outbox")
        cursor.execute("explain " + queries.get("outbox.due"), {"now": NOW, "only": None})
        plan = "\n".join(row[0] for row in cursor)

    assert "outbox_due" in plan
    assert "Seq Scan" not in plan


def test_settling_a_mail_claims_the_next_in_the_same_commit(connection: Connection, outbox: Outbox) -> None:
    _, second = store(connection, mail(1), mail(2))
    claimed = claim(outbox)

    ours, following = outbox.settle_and_claim(claimed, settlement("sent", claimed), NOW, (), second)

    assert ours
    assert following is not None
    assert (following.id, following.content, following.attempts) == (second, mail(2).content, 1)
    assert states(connection) == ["sent", "sending"]


def test_the_next_mail_is_claimed_though_the_last_was_taken_over(
    connection: Connection, outbox: Outbox
) -> None:
    _, second = store(connection, mail(1), mail(2))
    late = claim(outbox)
    outbox.recover(NOW)

    ours, following = outbox.settle_and_claim(late, settlement("sent", late), NOW, (), second)

    assert not ours
    assert following is not None
    assert states(connection) == ["pending", "sending"]


def test_a_next_mail_that_is_not_due_is_not_claimed(connection: Connection, outbox: Outbox) -> None:
    first, _second = store(connection, mail(1), mail(2))
    deferred = claim(outbox)
    outbox.settle(deferred, settlement("deferred", deferred), NOW)
    claimed = claim(outbox)

    assert outbox.settle_and_claim(claimed, settlement("sent", claimed), NOW, (), first) == (True, None)
    assert states(connection) == ["deferred", "sent"]


def test_a_mail_that_is_given_back_is_due_as_if_it_had_not_been_claimed(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())
    before = rows(connection, "select * from mentat_reporter.outbox")

    outbox.release(claim(outbox))

    assert rows(connection, "select * from mentat_reporter.outbox") == before


def test_a_mail_that_the_server_may_have_is_not_given_back(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail())
    claimed = claim(outbox)
    outbox.mark_data_begun(claimed)

    outbox.release(claimed)

    assert states(connection) == ["sending"]


def test_giving_back_a_mail_when_the_database_is_gone_is_left_to_recovery(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail())
    claimed = claim(outbox)
    connection.close()

    outbox.release(claimed)


@pytest.mark.parametrize("state", ["sent", "deferred", "failed", "held"])
def test_statements_that_are_planned_once_do_the_same(
    connection: Connection, outbox: Outbox, state: Verdict
) -> None:
    _, second = store(connection, mail(1, "a@example.com", "b@example.com"), mail(2))

    with outbox.planned_once():
        claimed = claim(outbox)
        outbox.mark_data_begun(claimed)
        codeless = tuple(
            RecipientOutcome(address, "deferred", None, "gone") for address in claimed.recipients
        )
        settled = settlement(state, claimed, recipients=codeless, code=None, text="it's gone")
        ours, following = outbox.settle_and_claim(claimed, settled, NOW, ["f@example.org"], second)

    assert ours
    assert following is not None
    turned = state == "failed"
    query = "select state, next_attempt, smtp_code, smtp_text, fallback_used from mentat_reporter.outbox"
    assert rows(connection, f"{query} order by id")[0] == (
        "pending" if turned else state, LATER if state == "deferred" else None, None, "it's gone", turned,
    )  # fmt: skip
    assert ("f@example.org" in recipients(connection)) == turned
    assert rows(connection, "select * from pg_prepared_statements") == []


def test_statements_that_were_planned_are_forgotten_after_an_error(
    connection: Connection, outbox: Outbox
) -> None:
    with pytest.raises(LookupError), outbox.planned_once():
        raise LookupError

    assert rows(connection, "select * from pg_prepared_statements") == []
    with outbox.planned_once():
        assert len(rows(connection, "select * from pg_prepared_statements")) == 2


def test_a_mail_costs_two_statements(
    connection: Connection, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(connection, *(mail(number) for number in range(10)))
    count = Counter[str]()
    execute = Outbox._execute

    def counted(self: Outbox, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        count["statements"] += 1
        return execute(self, statement, values)

    monkeypatch.setattr(Outbox, "_execute", counted)
    attempt(outbox, transport_factory=NullTransport)

    assert count["statements"] == 2 + 2 * 10  # which are due, the first claim
