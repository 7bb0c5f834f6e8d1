"""K4: what was mailed survives a crash of the database server, whatever the house made of its commits."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from faults import crashes
from faults.crashes import Crashing
from faults.helpers_post import arrivals, mailed_by
from faults.helpers_told import TEN
from integration.conftest_delivery import Actor
from integration.helpers_run import ALICE, BOB, CAROL, MINUTE, START, Reporter, event, reporter

from mentat_reporter.outside import REAL, Outside
from mentat_reporter.store.connection import Connection, connect

__all__ = ["reporter"]

TOLD: Final = {ALICE: ["e0"], BOB: ["e1"], CAROL: ["e2"]}


@pytest.fixture
def house() -> Iterator[Crashing]:
    """Give a reporter with an event of each of three groups to tell at START, and its server."""
    with crashes.crashing() as made:
        victim = made.reporter
        victim.groups()
        victim.run(START - TEN)
        addresses = ("192.0.2.1", "198.51.100.1", "203.0.113.1")
        victim.store(
            *(event(f"e{n}", START - MINUTE, each, severity="critical") for n, each in enumerate(addresses))
        )
        victim.execute("select pg_switch_wal()")  # what comes next is not on the disk because of this
        yield made


def power_cut(house: Crashing, number: int) -> Callable[[str], str]:
    """Return a server's answer that takes each mail; the power fails at that of `number`, the run's too."""
    bodies: list[str] = []

    def take(line: str) -> str:
        bodies.append(line)
        if len(bodies) == number:
            house.crash()
        return "250 taken"

    def end(_seconds: float) -> None:
        raise KeyboardInterrupt

    house.reporter.outside = Outside(sleep=end)
    return take


def run_until_cut(house: Crashing, server: Actor) -> None:
    """Run at START until the power fails; it is back afterwards."""
    victim = house.reporter
    mailed_by(victim, server)
    with pytest.raises(KeyboardInterrupt):
        victim.run(START)
    house.recover()
    victim.outside = REAL


@pytest.mark.parametrize("number", [1, 2, 3])
def test_k4_a_power_cut_where_commits_are_asynchronous_loses_nothing_that_was_mailed(
    house: Crashing, number: int
) -> None:
    victim = house.reporter
    with Actor(BODY=power_cut(house, number)) as server:
        run_until_cut(house, server)
        first = arrivals(server)
        assert first.total() == number
        assert victim.told() == TOLD
        states = [state for (state,) in victim.rows("select state from mentat_reporter.outbox order by id")]
        assert states[: number - 1] == ["sent"] * (number - 1)

        victim.run(START + TEN)

        again = arrivals(server) - first
        assert (first | arrivals(server)).keys() == {
            name for (name,) in victim.rows("select message_id from mentat_reporter.outbox")
        }
        assert victim.told() == TOLD
        assert sum((again & first).values()) <= 1
        assert len(set(server.mails)) == 3


def test_k4_a_power_cut_after_data_began_has_the_mail_held_where_ambiguous_is_hold(house: Crashing) -> None:
    victim = house.reporter
    victim.config["ambiguous"] = "hold"
    with Actor(BODY=power_cut(house, 1)) as server:
        run_until_cut(house, server)
        [(doubtful, begun)] = victim.rows(
            "select message_id, data_begun from mentat_reporter.outbox where state = 'sending'"
        )
        assert begun
        assert arrivals(server) == {doubtful: 1}

        result = victim.run(START + TEN)

        assert result.exit_code == 3
        assert any(doubtful in line and "held" in line for line in result.failures)
        assert set(arrivals(server).values()) == {1}
        assert dict(
            victim.rows(
                "select message_id, state from mentat_reporter.outbox"
                " where report_label like 'M%%' and state <> 'sent'"
            )
        ) == {doubtful: "held"}


def test_k4_a_run_waits_for_the_disk_whatever_its_database_is_set_to(reporter: Reporter) -> None:
    name = reporter.value("select current_database()")
    reporter.execute(f'alter database "{name}" set synchronous_commit = off')
    found: list[str] = []

    def looking(*arguments: Any, **options: Any) -> Connection:
        made = connect(*arguments, **options)
        if options["what"] == "main":
            with made.cursor() as cursor:
                cursor.execute("show synchronous_commit")
                found.append(cursor.fetchall()[0][0])
            made.rollback()
        return made

    reporter.groups()
    reporter.outside = Outside(connect=looking)
    reporter.run(START)

    assert found == ["on"]
