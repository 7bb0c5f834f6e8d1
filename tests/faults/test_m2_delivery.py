"""M2: what was made an address without being one adds no recipient, no command and no argument."""

import pytest
from integration.conftest_delivery import SENT, Actor, Story, attempt, mail, outbox, recipients, states, store

from mentat_reporter.delivery.transports import NullTransport
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.outbox import Outbox

__all__ = ["outbox"]


@pytest.mark.parametrize(
    "bad",
    ["-oQ/tmp@x", "a@x, v@y", "a b@example.com", "no-at-sign", "<a@example.com>", "a@x\u2028y", "a@b@c"],
)
def test_m2_what_is_no_address_fails_alone_and_never_reaches_the_transport(
    connection: Connection, outbox: Outbox, bad: str
) -> None:
    store(connection, mail(1, bad, "good@example.com"), mail(2, bad))
    story = Story(SENT)

    attempt(outbox, transport_factory=lambda: story)

    assert [to for _, to, _ in story.sent] == [("good@example.com",)]
    assert states(connection) == ["sent", "failed"]


@pytest.mark.parametrize("bad", ["a@x\r\nRCPT TO:<v@y>", "a@x\nBcc: v@y"])
def test_m2_line_ends_in_an_address_add_no_command(connection: Connection, outbox: Outbox, bad: str) -> None:
    store(connection, mail(1, bad, "good@example.com"))

    with Actor() as server:
        attempt(outbox, server)

    assert [line for line in server.said if "v@y" in line] == []


def test_m2_five_hundred_recipients_get_one_mail(connection: Connection, outbox: Outbox) -> None:
    everybody = [f"user{number}@example.com" for number in range(500)]
    store(connection, mail(1, *everybody))

    with Actor() as server:
        attempt(outbox, server)

    assert len(server.mails) == 1
    assert server.verbs().count("RCPT") == 500
    assert set(recipients(connection).values()) == {"sent"}


def test_m2_a_mail_with_a_bad_envelope_sender_fails_and_the_next_is_sent(
    connection: Connection, outbox: Outbox
) -> None:
    store(connection, mail(1)._replace(envelope_sender="-x@example.org"), mail(2))

    attempt(outbox, transport_factory=NullTransport)

    assert states(connection) == ["failed", "sent"]
