"""M1: when the server is not to be had, a run leaves it alone until the next one, whatever it has to send."""

from typing import Final

import pytest
from faults.helpers_post import mailed_by
from faults.helpers_told import TEN
from integration.conftest_delivery import HANG_UP, Actor
from integration.helpers_run import MINUTE, START, Reporter, event, group, reporter

__all__ = ["reporter"]

HELD: Final = (
    "update mentat_reporter.outbox set state = 'held', settled = %s"
    " where id = (select max(id) from mentat_reporter.outbox)"
)
WAITING: Final = """
select count(*) from mentat_reporter.outbox where state in ('pending', 'deferred') and report_label like 'M%%'
"""
ENOUGH: Final = 3
"""Failures in a row to reach the server that end a run's delivery."""
LOGIN: Final = {"smtp_user": "reporter", "smtp_password": "secret"}


def house(reporter: Reporter, waiting: int) -> None:
    """Leave mails that wait, one that is held and to be told, and four more to be made at START + TEN."""
    names = [f"abuse@{number}.example" for number in range(1, waiting + 2)]
    reporter.groups(
        *(group(name, f"10.0.{number}.0/24") for number, name in enumerate(names)),
        *(group(f"abuse@late{number}.example", f"10.1.{number}.0/24") for number in range(4)),
    )
    at = START - MINUTE
    reporter.store(
        *(event(f"e{n}", at, f"10.0.{n}.1", severity="critical") for n in range(len(names))),
        *(event(f"l{n}", START + 9 * MINUTE, f"10.1.{n}.1", severity="critical") for n in range(4)),
    )
    admin, reporter.config["mail_admin"] = reporter.config["mail_admin"], []
    with Actor(MAIL="451 later") as server:
        mailed_by(reporter, server)
        reporter.run(START)
    reporter.config["mail_admin"] = admin
    reporter.execute(HELD, START)
    assert reporter.value(WAITING) == waiting


def assert_left_to_the_next_run(reporter: Reporter, waiting: int) -> None:
    """All reports were made, a digest too, and all that waits arrives when the server is to be had."""
    assert reporter.value(WAITING) == waiting + 4
    assert reporter.value("select state from mentat_reporter.outbox where report_label like 'digest%%'")
    for name in LOGIN:
        reporter.config.pop(name, None)
    with Actor() as server:
        mailed_by(reporter, server)
        reporter.run(START + 3 * TEN)
        assert len(server.mails) == waiting + 4 + 1


@pytest.mark.parametrize("waiting", [0, 1, 5])
def test_m1_after_a_refused_login_no_further_connection_is_made_in_that_run(
    reporter: Reporter, waiting: int
) -> None:
    house(reporter, waiting)
    with Actor(EHLO="250-hello\r\n250 AUTH PLAIN", AUTH="535 no") as server:
        mailed_by(reporter, server)
        reporter.config |= LOGIN

        result = reporter.run(START + TEN)

        assert result.exit_code == 3
        assert server.connections == 1
        assert server.verbs().count("AUTH") == 1
        assert [line for line in result.failures if "delivery stopped" in line and "smtp_user" in line]
    assert_left_to_the_next_run(reporter, waiting)


@pytest.mark.parametrize("waiting", [0, 1, 2, 3, 5])
def test_m1_after_three_failures_in_a_row_to_reach_the_server_no_further_connection_is_made_in_that_run(
    reporter: Reporter, waiting: int
) -> None:
    house(reporter, waiting)
    with Actor(BANNER="421 busy" + HANG_UP) as server:
        mailed_by(reporter, server)

        result = reporter.run(START + TEN)

        assert result.exit_code == 3
        assert server.connections == ENOUGH
        assert len([line for line in result.failures if "delivery stopped" in line]) == 1
    assert_left_to_the_next_run(reporter, waiting)
