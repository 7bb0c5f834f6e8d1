"""L1: two runs at once: one works, the other leaves with 75 or comes second; each event is told once."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from faults.helpers_forks import code_of, race, settings_of, start, wait_for
from faults.helpers_told import SETTLED, TEN, attack, once, owed, told_or_held
from integration.helpers_run import ALICE, BOB, CAROL, MINUTE, START, Reporter, reporter
from integration.test_script import Caller

from mentat_reporter.errors import EXIT_BUSY, EXIT_DONE, EXIT_USAGE
from mentat_reporter.lock import SimpleFlock
from mentat_reporter.store import state
from mentat_reporter.store.connection import Connection, connect

__all__ = ["reporter"]

PREFIXES = {ALICE: "192.0.2", BOB: "198.51.100", CAROL: "203.0.113"}
RACES = 200
HOSTS = 20
"""Races that only the lock of the database decides: who is second waits, so they take longer."""


def store_one_each(reporter: Reporter, number: int) -> list[tuple[str, str]]:
    at = START + number * TEN - MINUTE
    found = {name: attack(f"{name} {number}", at, f"{prefix}.1") for name, prefix in PREFIXES.items()}
    reporter.store(*found.values())
    return [(name, event.id) for name, event in found.items()]


def assert_all_is_told_and_mailed_once(reporter: Reporter, wanted: list[tuple[str, str]]) -> None:
    assert told_or_held(reporter) == once(wanted)
    assert owed(reporter) == SETTLED
    assert Counter(reporter.recipients()) == Counter(name for name, _ in wanted)
    assert len({mail["Message-ID"] for mail in reporter.mails()}) == len(wanted)


def test_l1_of_two_runs_at_once_one_works_and_the_other_leaves_two_hundred_times(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START)
    lock = reporter.place / "lock"
    wanted = []
    outcomes: Counter[tuple[int, ...]] = Counter()
    for number in range(1, RACES + 1):
        wanted += store_one_each(reporter, number)
        both = [settings_of(reporter, START + number * TEN, lock)] * 2
        outcomes[tuple(race(both))] += 1

    assert set(outcomes) <= {(EXIT_DONE, EXIT_BUSY), (EXIT_DONE, EXIT_DONE)}
    assert outcomes[EXIT_DONE, EXIT_BUSY] > 0
    assert not lock.exists()
    assert_all_is_told_and_mailed_once(reporter, wanted)


def test_l1_runs_of_several_hosts_are_kept_apart_by_the_database_alone(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START)
    wanted = []
    outcomes = set()
    for number in range(1, HOSTS + 1):
        wanted += store_one_each(reporter, number)
        hosts = [reporter.place / f"lock {host}" for host in range(3)]
        outcomes.add(tuple(race([settings_of(reporter, START + number * TEN, lock) for lock in hosts])))

    assert {code for codes in outcomes for code in codes} <= {EXIT_DONE, EXIT_BUSY}
    assert all(codes[0] == EXIT_DONE for codes in outcomes)
    assert_all_is_told_and_mailed_once(reporter, wanted)


# In the middle of a run


@contextmanager
def obstacle(reporter: Reporter) -> Iterator[Connection]:
    """Let every run stop where it writes a report, for as long as this lasts or five seconds."""
    with closing(connect(reporter.dsn, what="obstacle", limits={})) as opened:
        with opened.cursor() as cursor:
            cursor.execute("lock table asoc_groups_reports in share mode")
        yield opened


def is_at_the_obstacle(reporter: Reporter) -> bool:
    return bool(
        reporter.value(
            "select count(*) from pg_locks where not granted and relation = 'asoc_groups_reports'::regclass"
        )
    )


def connections(reporter: Reporter) -> int:
    """Count those of runs to this database; a run has two."""
    found: int = reporter.value(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and application_name = 'mentat-reporter' and pid <> pg_backend_pid()"
    )
    return found


@pytest.mark.parametrize("second_lock", ["lock", "other lock"], ids=["same host", "other host"])
def test_l1_while_a_second_run_waits_the_backend_of_the_first_is_ended(
    reporter: Reporter, second_lock: str
) -> None:
    reporter.groups()
    reporter.run(START)
    wanted = store_one_each(reporter, 1)
    now = START + TEN

    with obstacle(reporter) as opened:
        others = connections(reporter)
        first = start(settings_of(reporter, now, reporter.place / "lock"))
        wait_for(lambda: is_at_the_obstacle(reporter))
        second = start(settings_of(reporter, now, reporter.place / second_lock))
        if second_lock != "lock":
            wait_for(lambda: connections(reporter) >= others + 3)
        reporter.execute(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        opened.rollback()
    codes = {code_of(first), code_of(second)}
    for number in range(2, 5):
        reporter.run(START + number * TEN)

    assert codes <= {EXIT_DONE, EXIT_BUSY}
    assert_all_is_told_and_mailed_once(reporter, wanted)


def test_l1_a_lock_file_that_is_deleted_under_a_run_lets_nobody_in(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START)
    wanted = store_one_each(reporter, 1)
    lock = reporter.place / "lock"

    with obstacle(reporter) as opened:
        others = connections(reporter)
        first = start(settings_of(reporter, START + TEN, lock))
        wait_for(lambda: is_at_the_obstacle(reporter))
        lock.unlink()
        second = start(settings_of(reporter, START + TEN, lock))
        wait_for(lambda: lock.exists() and connections(reporter) >= others + 3)
        assert reporter.reports() == []
        opened.rollback()
    codes = [code_of(first), code_of(second)]
    reporter.run(START + 2 * TEN)

    assert codes[0] == EXIT_DONE
    assert codes[1] in (EXIT_DONE, EXIT_BUSY)
    assert_all_is_told_and_mailed_once(reporter, wanted)
    assert not lock.exists()


# The command


@pytest.fixture
def call(reporter: Reporter, tmp_path: Path) -> Caller:
    made = Caller(tmp_path)
    made.home = reporter.home
    reporter.groups()
    reporter.config["__core__reporter"]["lock_file"] = str(tmp_path / "lock")
    made.configure(reporter.config)
    return made


def test_l1_a_held_lock_file_is_exit_code_75_and_a_line(call: Caller, reporter: Reporter) -> None:
    with SimpleFlock(reporter.place / "lock"):
        done = call("--dry-run"), call("--time-high", "2026-05-04T12:00"), call("deliver")

    assert [found.returncode for found in done] == [0, EXIT_BUSY, EXIT_BUSY]
    assert f"process {os.getpid()} holds the lock {reporter.place}/lock" in done[1].stdout + done[1].stderr
    assert f"process {os.getpid()} holds the lock" in call.log


def test_l1_a_held_lock_of_the_database_is_exit_code_75_and_no_error(
    call: Caller, reporter: Reporter
) -> None:
    with closing(connect(reporter.dsn, what="other host", limits={})) as other:
        assert state.try_lock(other)
        other.commit()
        done = call("--regular")

    assert done.returncode == EXIT_BUSY
    assert (done.stdout, done.stderr) == ("", "")  # cron is to send no mail about it
    assert "holds the lock of the database" in call.log
    assert not (reporter.place / "lock").exists()


@pytest.mark.parametrize("what", ["link", "dangling link", "hard link", "directory", "fifo"])
def test_l1_what_is_no_lock_file_is_exit_code_2_and_left_as_it_is(
    call: Caller, reporter: Reporter, what: str
) -> None:
    lock, precious = reporter.place / "lock", reporter.place / "precious"
    precious.write_text("data")
    deeds: dict[str, Callable[[], None]] = {
        "link": lambda: lock.symlink_to(precious),
        "dangling link": lambda: lock.symlink_to(reporter.place / "nothing"),
        "hard link": lambda: lock.hardlink_to(precious),
        "directory": lock.mkdir,
        "fifo": lambda: os.mkfifo(lock),
    }
    deeds[what]()

    done = call("--regular")

    assert done.returncode == EXIT_USAGE
    assert f"lock file {lock}" in done.stderr
    assert "set another lock_file" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert precious.read_text() == "data"
    assert not (reporter.place / "nothing").exists()
    assert os.path.lexists(lock)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_l1_somebody_elses_lock_file_is_a_usage_error_with_its_cure(reporter: Reporter) -> None:
    with TemporaryDirectory() as folder:
        lock = Path(folder, "lock")
        lock.touch(mode=0o600)
        lock.parent.chmod(0o755)
        settings = settings_of(reporter, START, lock)
        pid = os.fork()
        if pid == 0:
            os.setuid(65534)
            os._exit(code_of(start(settings)))

        assert code_of(pid) == EXIT_USAGE
        assert lock.exists()
