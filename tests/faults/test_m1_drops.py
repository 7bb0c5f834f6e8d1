"""M1: servers that come and go: everything arrives, twice only where nobody can know."""

import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from integration.conftest_delivery import (
    HANG_UP,
    NOW,
    PART,
    Actor,
    Answer,
    attempt,
    mail,
    outbox,
    rows,
    states,
    store,
)

from mentat_reporter.store.connection import Connection
from mentat_reporter.store.outbox import Outbox

__all__ = ["outbox"]


def test_m1_a_server_that_is_down_for_an_hour_gets_everything_afterwards(
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


STAGES = ("RSET", "MAIL", "RCPT", "DATA", "354", "BODY")


def cuts_every_50th(seed: int) -> tuple[dict[str, Answer], list[str]]:
    """Return the part of a server that hangs up on every 50th mail, and where it did so."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    done: list[str] = []
    number = 0
    plan = ""

    def answer(verb: str) -> Callable[[str], str]:
        def at(_line: str) -> str:
            nonlocal number, plan
            if verb == "MAIL":
                number += 1
            if verb in ("RSET", "MAIL") and not plan and number % 50 == 49:
                plan = chance.choice(STAGES)
            where = plan
            if where != verb and not (where == "354" and verb == "DATA"):
                return str(PART[verb])
            plan, number = "", number + 1
            done.append(where)
            return "354 go" + HANG_UP if where == "354" else HANG_UP

        return at

    return {verb: answer(verb) for verb in STAGES if verb != "354"}, done


@pytest.mark.parametrize("seed", [1])
def test_m1_of_3000_mails_every_50th_is_dropped_and_all_arrive_twice_only_in_doubt(
    connection: Connection, outbox: Outbox, seed: int
) -> None:
    contents = {
        mail(number).message_id: b"Message-ID: %s\r\n\r\nBody\r\n" % mail(number).message_id.encode()
        for number in range(3000)
    }
    store(connection, *(mail(n, content=text) for n, text in enumerate(contents.values())))
    part, cuts = cuts_every_50th(seed)
    now = NOW
    with Actor(**part) as server:
        while set(states(connection)) != {"sent"}:
            attempt(outbox, server, now=now)
            now += timedelta(minutes=66)

    ambiguous = {name for (name,) in rows(connection, AMBIGUOUS)}
    doubtful = {contents[name] for name in ambiguous}
    assert set(cuts) == set(STAGES)
    assert len(cuts) >= 60
    assert sorted(server.mails) == sorted(contents.values())
    assert server.unanswered
    assert set(server.unanswered) <= doubtful
    assert len(ambiguous) <= cuts.count("BODY") + cuts.count("354")


AMBIGUOUS = "select message_id from mentat_reporter.outbox where ambiguous"
