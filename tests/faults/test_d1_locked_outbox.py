"""D1, L1: rows of the outbox that somebody else has, by a lock or because another run took a mail over."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, Final

import pytest
from faults.helpers_post import arrivals, mailed_by
from faults.helpers_told import TEN
from integration.conftest_delivery import Actor
from integration.helpers_run import ALICE, BOB, CAROL, LOG, MINUTE, START, Reporter, Row, event, reporter

from mentat_reporter import run
from mentat_reporter.outside import Outside
from mentat_reporter.result import RunResult
from mentat_reporter.store.connection import STATE_LIMITS, Connection, connect

__all__ = ["reporter"]

UNDER_WAY: Final = "select from mentat_reporter.outbox where state = 'sending' for update"
IN_DOUBT: Final = 1
"""Mails that may come twice when nobody can know: the one that was under way."""


class RowLock:
    """Somebody else's transaction that locks the row of the mail under way, once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.taken = False

    def take(self, _line: str = "") -> str:
        """Lock the row, and answer as a server does."""
        if not self.taken:
            self.taken = True
            with self._connection.cursor() as cursor:
                cursor.execute(UNDER_WAY)
                assert cursor.rowcount == 1
        return "250 ok"

    def let_go(self, *_: object) -> None:
        self._connection.rollback()


@pytest.fixture
def lock(reporter: Reporter) -> Iterator[RowLock]:
    with closing(connect(reporter.dsn, what="other session", limits={})) as other:
        yield RowLock(other)


def _connect(*arguments: Any, **options: Any) -> Connection:
    if options["what"] == "main":
        options["limits"] = {**STATE_LIMITS, "lock_timeout": "100ms"}
    return connect(*arguments, **options)


@pytest.fixture
def house(reporter: Reporter) -> Reporter:
    """Give a reporter that is impatient for locks, with an event of each of three groups to tell at START."""
    reporter.groups()
    reporter.outside = Outside(connect=_connect, sleep=lambda _seconds: None)
    at = START - MINUTE
    reporter.store(
        event("a", at, "192.0.2.1", severity="critical"),
        event("b", at, "198.51.100.1", severity="critical"),
        event("c", at, "203.0.113.1", severity="low"),
    )
    return reporter


@pytest.fixture
def waiting(house: Reporter) -> Reporter:
    """Give the house with its three mails put off, and another event to tell at START + TEN."""
    with Actor(MAIL="451 later") as server:
        mailed_by(house, server)
        house.run(START)
    house.store(event("d", START + 9 * MINUTE, "192.0.2.4", severity="critical"))
    return house


def sleeping(reporter: Reporter, sleep: Callable[[float], None]) -> None:
    reporter.outside = replace(reporter.outside, sleep=sleep)


def watched(reporter: Reporter, progress: Callable[[str], None]) -> RunResult:
    """Run at START + TEN, with its progress looked at."""
    settings = reporter.settings(regular=True, time_high=START + TEN)
    return run.report(settings, LOG, progress, reporter.outside)


def outbox(reporter: Reporter) -> list[Row]:
    return reporter.dicts("select * from mentat_reporter.outbox where report_label like 'M%%' order by id")


def assert_settled(reporter: Reporter, server: Actor, twice: int = 0) -> None:
    """Each report has a mail, which arrived; at most `twice` of them twice, byte by byte the same."""
    mails = outbox(reporter)
    found = arrivals(server)
    assert {mail["state"] for mail in mails} == {"sent"}
    assert {mail["report_label"] for mail in mails} == {report["label"] for report in reporter.reports()}
    assert set(found) == {mail["message_id"] for mail in mails}
    assert found.total() <= len(found) + twice
    assert len(set(server.mails)) == len(found)


def interrupted(result: RunResult) -> bool:
    return result.exit_code == 3 and any("lock timeout" in line for line in result.failures)


# A lock while a mail is under way


def test_d1_a_mail_whose_row_is_locked_while_it_is_under_way_is_settled_when_the_lock_is_gone(
    house: Reporter, lock: RowLock
) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            lock.let_go()

    sleeping(house, nap)
    with Actor(BODY=lock.take) as server:
        mailed_by(house, server)
        house.run(START)
        assert lock.taken
        assert len(naps) == 3
        assert all(naps)
        assert_settled(house, server)
        assert house.told() == {ALICE: ["a"], BOB: ["b"], CAROL: ["c"]}
        assert [mail["attempts"] for mail in outbox(house)] == [1, 1, 1]

        house.run(START + TEN)

        assert_settled(house, server)


def test_d1_if_the_lock_stays_the_run_says_so_and_the_next_sends_at_most_that_mail_again(
    house: Reporter, lock: RowLock
) -> None:
    with Actor(BODY=lock.take) as server:
        mailed_by(house, server)
        result = house.run(START)
        assert interrupted(result)
        assert house.told() == {ALICE: ["a"], BOB: ["b"], CAROL: ["c"]}
        [mail] = [mail for mail in outbox(house) if mail["state"] == "sending"]
        assert mail["data_begun"]
        assert max(arrivals(server).values()) == 1
        lock.let_go()

        house.run(START + TEN)

        assert_settled(house, server, twice=IN_DOUBT)
        assert [mail["ambiguous"] for mail in outbox(house)].count(True) == IN_DOUBT


def test_d1_if_the_lock_stays_and_ambiguous_is_hold_the_next_run_holds_that_mail(
    house: Reporter, lock: RowLock
) -> None:
    house.config["ambiguous"] = "hold"
    with Actor(BODY=lock.take) as server:
        mailed_by(house, server)
        assert interrupted(house.run(START))
        lock.let_go()

        result = house.run(START + TEN)

        assert result.exit_code == 3
        assert any("is held" in line for line in result.failures)
        assert sorted(mail["state"] for mail in outbox(house)) == ["held", "sent", "sent"]
        assert list(arrivals(server).values()) == [1, 1, 1]


def test_d1_a_row_that_is_locked_before_data_has_its_mail_sent_once_by_the_next_run(
    house: Reporter, lock: RowLock
) -> None:
    with Actor(MAIL=lock.take) as server:
        mailed_by(house, server)
        result = house.run(START)
        assert interrupted(result)
        assert len(house.reports()) == 3
        assert arrivals(server).total() == 2
        lock.let_go()

        house.run(START + TEN)

        assert_settled(house, server)


# The same in the delivery at the beginning of a run


@pytest.mark.parametrize("verb", ["MAIL", "BODY"])
def test_d1_a_lock_that_stays_on_a_mail_that_waited_keeps_no_report_from_being_made(
    waiting: Reporter, lock: RowLock, verb: str
) -> None:
    with Actor(**{verb: lock.take}) as server:
        mailed_by(waiting, server)
        result = waiting.run(START + TEN)
        assert interrupted(result)
        assert waiting.told() == {ALICE: ["a", "d"], BOB: ["b"], CAROL: ["c"]}
        assert [window["state"] for window in waiting.windows()].count("open") == 0
        assert sum(mail["state"] == "sending" for mail in outbox(waiting)) == 1
        lock.let_go()

        waiting.run(START + 2 * TEN)

        assert_settled(waiting, server, twice=IN_DOUBT if verb == "BODY" else 0)


def test_d1_a_lock_on_a_mail_that_waited_which_goes_costs_nothing(waiting: Reporter, lock: RowLock) -> None:
    sleeping(waiting, lock.let_go)
    with Actor(BODY=lock.take) as server:
        mailed_by(waiting, server)
        waiting.run(START + TEN)

        assert lock.taken
        assert_settled(waiting, server)
        assert len(outbox(waiting)) == 4


def test_d1_a_lock_that_goes_while_reports_are_made_has_the_mail_settled_before_more_is_sent(
    waiting: Reporter, lock: RowLock
) -> None:
    def progress(text: str) -> None:
        if f"group {ALICE}" in text:
            lock.let_go()

    with Actor(BODY=lock.take) as server:
        mailed_by(waiting, server)
        assert interrupted(watched(waiting, progress))

        waiting.run(START + 2 * TEN)

        assert_settled(waiting, server)


def test_d1_a_lock_that_lasts_into_the_next_run_keeps_no_report_from_being_made(
    house: Reporter, lock: RowLock
) -> None:
    with Actor(BODY=lock.take) as server:
        mailed_by(house, server)
        house.run(START)
        house.store(event("d", START + 9 * MINUTE, "192.0.2.4", severity="critical"))

        result = house.run(START + TEN)

        assert result.exit_code == 3
        assert house.told() == {ALICE: ["a", "d"], BOB: ["b"], CAROL: ["c"]}
        lock.let_go()
        house.run(START + 2 * TEN)
        assert_settled(house, server, twice=IN_DOUBT)


# A mail that another run took over


TAKEN: Final = """
update mentat_reporter.outbox set attempts = attempts + 1
where id = (select min(id) from mentat_reporter.outbox) and state = 'sending'
"""
DELIVERED: Final = "update mentat_reporter.outbox set state = 'sent', settled = now() where state = 'sending'"


@pytest.mark.parametrize("theirs", [TAKEN, DELIVERED], ids=["and is sending", "and has sent"])
def test_l1_a_mail_that_another_run_took_over_before_data_is_not_sent(house: Reporter, theirs: str) -> None:
    taken: list[str] = []

    def take(_line: str) -> str:
        if not taken:
            house.execute(theirs)
            taken.append(house.value("select message_id from mentat_reporter.outbox order by id limit 1"))
        return "250 ok"

    with Actor(MAIL=take) as server:
        mailed_by(house, server)
        before = "sending" if theirs == TAKEN else "sent"

        result = house.run(START)

        assert result.exit_code == 3
        assert any("taken over" in line and taken[0] in line for line in result.failures)
        assert server.verbs().count("DATA") == 2
        assert sorted(arrivals(server)) == sorted({mail["message_id"] for mail in outbox(house)} - set(taken))
        assert [mail["state"] for mail in outbox(house)] == [before, "sent", "sent"]
        assert result.delivered["sent"] == 2
