"""One run at a time: the lock of the host, the lock of the database, and who needs neither."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from integration.helpers_run import ALICE, LOG, MINUTE, START, Reporter, event, reporter

from mentat_reporter import run, session
from mentat_reporter.errors import EXIT_BUSY, LockBusyError, ReporterError, StoreError, UsageError
from mentat_reporter.lock import SimpleFlock
from mentat_reporter.outside import Outside
from mentat_reporter.store import state
from mentat_reporter.store.connection import connect

__all__ = ["reporter"]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LOCK_PATIENCE", 0.3)


@contextmanager
def other_run(reporter: Reporter) -> Iterator[None]:
    """Hold the lock of the database, as a run on another host does."""
    with closing(connect(reporter.dsn, what="other run", limits={})) as other:
        assert state.try_lock(other)
        other.commit()
        yield


def test_while_the_lock_file_is_held_a_second_run_does_nothing(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", START - MINUTE))
    before = reporter.tables()

    with SimpleFlock(reporter.settings().reporter.lock_file), pytest.raises(LockBusyError) as busy:
        reporter.run(START)

    assert busy.value.exit_code == EXIT_BUSY
    assert "holds the lock" in str(busy.value)
    assert "\n" not in str(busy.value)
    assert reporter.tables() == before


def test_while_the_databases_lock_is_held_a_second_run_does_nothing(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", START - MINUTE))
    before = reporter.tables()

    with other_run(reporter), pytest.raises(LockBusyError, match="holds the lock of the database") as busy:
        reporter.run(START)

    assert busy.value.exit_code == EXIT_BUSY
    assert reporter.tables() == before
    assert not reporter.settings().reporter.lock_file.exists()


def test_the_backend_of_a_killed_run_is_waited_for(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOCK_PATIENCE", 10)
    reporter.groups()
    lingering = connect(reporter.dsn, what="killed run", limits={})
    assert state.try_lock(lingering)
    reporter.outside = Outside(sleep=lambda _seconds: lingering.close())

    assert reporter.run(START).exit_code == 0


@pytest.mark.parametrize(
    "options", [{}, {"regular": False}, {"mail_test_mode": True}, {"test_data": True}], ids=str
)
def test_every_run_that_writes_takes_the_lock_and_gives_it_back(
    reporter: Reporter, options: dict[str, Any]
) -> None:
    reporter.groups()
    with other_run(reporter), pytest.raises(LockBusyError):
        reporter.run(START, **options)

    assert reporter.run(START, **options).exit_code == 0
    assert reporter.run(START, **options).exit_code == 0
    assert not reporter.settings().reporter.lock_file.exists()


def test_a_dry_run_needs_no_lock(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", START - MINUTE))

    with other_run(reporter), SimpleFlock(reporter.settings().reporter.lock_file):
        result = reporter.run(START, dry_run=True)

    assert result.total("reported") == 1


def test_deliver_takes_the_lock_as_well(reporter: Reporter) -> None:
    with other_run(reporter), pytest.raises(LockBusyError):
        run.deliver(reporter.settings(), LOG, lambda _text: None)


def test_two_runs_at_once_report_once(reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LOCK_PATIENCE", 30)
    reporter.groups()
    reporter.store(event("one", START - MINUTE))
    outcomes: list[int] = []

    def call(name: str) -> None:
        other = {**reporter.config, "__core__reporter": {"lock_file": str(reporter.place / name)}}
        runner = Reporter.__new__(Reporter)
        runner.config, runner.home = other, reporter.home
        try:
            outcomes.append(runner.run(START).exit_code)
        except ReporterError as error:
            outcomes.append(error.exit_code)

    threads = [Thread(target=call, args=(f"lock {number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == [0, 0, 0]
    assert reporter.told() == {ALICE: ["one"]}


def test_a_run_that_ends_by_an_error_gives_the_lock_back(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(run, "Clocks", lambda _session: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            reporter.run(START)

    assert reporter.run(START).exit_code == 0


def test_a_database_that_is_not_initialised_is_said_with_the_cure(
    make_database: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    reporter = Reporter(make_database(empty=True), tmp_path)

    with pytest.raises(StoreError, match=r"run `mentat-reporter\.py init`"):
        reporter.run(START)


def test_a_lock_file_that_is_a_link_is_refused(reporter: Reporter) -> None:
    target = reporter.place / "precious"
    target.write_text("data")
    reporter.settings().reporter.lock_file.symlink_to(target)

    with pytest.raises(UsageError, match="symbolic link"):
        reporter.run(START)

    assert target.read_text() == "data"
