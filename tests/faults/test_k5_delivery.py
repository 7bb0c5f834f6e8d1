"""K5: what ends a run waits for the mail at hand, and leaves none half done."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from integration.conftest_delivery import LOG, NOW, SENT, Story, mail, outbox, rows, settings, states, store

from mentat_reporter.delivery.deliver import DeliveryResult, deliver
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.outbox import Outbox

__all__ = ["outbox"]


def test_k5_each_mail_is_claimed_sent_and_settled_undisturbed(connection: Connection, outbox: Outbox) -> None:
    store(connection, mail(1), mail(2))
    story = Story(SENT, before=lambda: seen.append("sent"))
    seen: list[object] = []

    @contextmanager
    def undisturbed() -> Iterator[None]:
        seen.append("begin")
        yield
        seen.append(states(connection).count("sent"))

    deliver(outbox, lambda: story, settings(), NOW, log=LOG, result=DeliveryResult(), undisturbed=undisturbed)

    assert seen[:6] == ["begin", "sent", 1, "begin", "sent", 2]


def test_k5_an_interrupted_delivery_leaves_no_mail_in_sending(connection: Connection, outbox: Outbox) -> None:
    store(connection, *(mail(number) for number in range(4)))
    story = Story(SENT)
    result = DeliveryResult()

    @contextmanager
    def undisturbed() -> Iterator[None]:
        yield
        if len(story.sent) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deliver(outbox, lambda: story, settings(), NOW, log=LOG, result=result, undisturbed=undisturbed)

    query = "select state, attempts from mentat_reporter.outbox order by id"
    assert rows(connection, query) == [("sent", 1), ("sent", 1), ("pending", 0), ("pending", 0)]
    assert (result.sent, result.left, story.closed) == (2, 2, 1)
