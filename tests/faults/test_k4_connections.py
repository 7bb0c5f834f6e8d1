"""K4: a connection lost at any statement costs nothing: the run connects again, or the next goes on."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Final

import pytest
from faults.cutting import (
    Copy,
    Cut,
    Watched,
    assert_same,
    assert_told_once,
    copy,
    cutting,
    prepared,
    run,
    terminate,
)
from integration.helpers_run import BOB, LOG, MINUTE, START, Reporter

from mentat_reporter import run as program
from mentat_reporter import session
from mentat_reporter.errors import EXIT_BUSY, LockBusyError, LostDatabaseError
from mentat_reporter.outside import REAL
from mentat_reporter.settings import Settings
from mentat_reporter.store import state
from mentat_reporter.store.connection import connect

__all__ = ["copy", "prepared"]

TEN: Final = 10 * MINUTE


def points(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, first: int, step: int
) -> Iterator[tuple[Reporter, Cut]]:
    """Yield copies that will be cut at one boundary after another, until a run did not come so far."""
    cut, number = Cut(0), first
    while cut.happened:
        reporter, cut = copy(), Cut(number)
        reporter.outside = cutting(monkeypatch, cut)
        yield reporter, cut
        reporter.connection.close()
        number += step
    assert number > first + step


PARTS: Final = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_k4_a_backend_that_is_ended_at_any_statement_costs_nothing(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    expected = copy()
    expected.run(START)
    expected.run(START + TEN)
    for victim, cut in points(copy, monkeypatch, part + 1, PARTS):
        assert run(victim, START) == 0, cut.number
        if cut.happened:
            victim.outside = REAL
            assert run(victim, START + TEN) == 0
            assert_same(victim, expected)


def test_k4_a_run_without_state_goes_on_where_it_was(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = copy()
    before = len(expected.reports())
    expected.ad_hoc(START - TEN, START)
    lists = [(report["chain"], report["statistics"]["list_ids"]) for report in expected.reports()[before:]]

    for victim, cut in points(copy, monkeypatch, 1, 3):
        known = expected.reports()[before - 1]["id"]
        settings = victim.settings(time_low=START - TEN, time_high=START)
        assert ad_hoc(victim, settings) == 0, cut.number
        found = victim.reports(known)
        assert [(report["chain"], report["statistics"]["list_ids"]) for report in found] == lists, cut.number
        assert len(victim.mails()) in (len(expected.mails()), len(expected.mails()) + 1)


def ad_hoc(reporter: Reporter, settings: Settings) -> int:
    return program.report(settings, LOG, lambda _text: None, reporter.outside).exit_code


def test_k4_a_dry_run_plans_the_same(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = copy()
    before = expected.tables()
    plans = expected.run(START, dry_run=True).plans

    for victim, cut in points(copy, monkeypatch, 1, 5):
        assert victim.run(START, dry_run=True).plans == plans, cut.number
        assert victim.tables() == before


def test_k4_deliver_sends_each_mail(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    for victim, cut in points(copy, monkeypatch, 1, 1):
        settings = victim.settings(time_high=START)
        assert program.deliver(settings, LOG, lambda _text: None, victim.outside).exit_code == 0, cut.number
        ids = [mail["Message-ID"] for mail in victim.mails()]
        assert len(set(ids)) == 2
        assert len(ids) <= 3
        assert victim.rows("select distinct state from mentat_reporter.outbox") == [("sent",)]


def test_k4_a_connection_that_is_lost_again_and_again_ends_the_run_with_75(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, reporter = copy(), copy()
    expected.run(START)
    expected.run(START + TEN)
    naps: list[float] = []
    reporter.outside = replace(cutting(monkeypatch, Cut(30, times=100)), sleep=naps.append)

    with pytest.raises(LostDatabaseError, match=r"lost the database: .* the next run goes on there") as lost:
        reporter.run(START)

    assert lost.value.exit_code == EXIT_BUSY
    assert naps == [1.0, 5.0, 20.0]
    reporter.outside = REAL
    assert run(reporter, START + TEN) == 0
    assert_told_once(reporter, expected)


def test_k4_a_unit_at_which_the_connection_is_lost_twice_fails_and_the_others_are_served(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(connection: Watched, what: str) -> None:
        if "insert into reports_events" in what and BOB in str(parameters(connection)):
            terminate(connection)

    def parameters(connection: Watched) -> object:
        return connection.last

    expected, reporter = copy(), copy()
    expected.run(START)
    expected.run(START + TEN)
    reporter.outside = cutting(monkeypatch, poison)

    result = reporter.run(START)

    assert result.exit_code == 3
    [failure] = [line for line in result.failures if "will be tried again" in line]
    assert failure.startswith(f"group {BOB}, high source failed")
    assert "the connection was lost at it" in failure
    assert len(reporter.reports()) == len(expected.reports()) - 1
    reporter.outside = REAL
    assert run(reporter, START + TEN) == 0
    assert sorted(reporter.told()) == sorted(expected.told())


def test_k4_who_comes_back_too_late_finds_another_at_work(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, reporter = copy(), copy()
    expected.run(START)
    expected.run(START + TEN)
    monkeypatch.setattr(session, "LOCK_PATIENCE", 0)
    with closing(connect(reporter.dsn, what="another host", limits={})) as other:

        def take_over(_seconds: float) -> None:
            assert state.try_lock(other)

        reporter.outside = replace(cutting(monkeypatch, Cut(40)), sleep=take_over)
        with pytest.raises(LockBusyError, match="on this host or another"):
            reporter.run(START)

    reporter.outside = REAL
    assert run(reporter, START + TEN) == 0
    assert_told_once(reporter, expected)
