"""`--workers`: groups dealt to processes give what one gives, and no end of a process loses anything."""

import json
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    HOUR,
    MINUTE,
    START,
    Reporter,
    Stored,
    event,
    group,
    reporter,
)

from mentat_reporter import crew, session, shelf, unit
from mentat_reporter import run as program
from mentat_reporter.core.model import MODES
from mentat_reporter.errors import LockBusyError
from mentat_reporter.outside import REAL
from mentat_reporter.result import RunResult
from mentat_reporter.store.connection import connect

__all__ = ["reporter"]

TEN: Final = 10 * MINUTE
AT: Final = START - MINUTE
COLUMNS: Final = {
    "reports_events": "r.*, (select label from reports_events p where p.id = r.parent_id) as parent",
    "mentat_reporter.outbox": "r.*",
    "mentat_reporter.threshold": "r.*",
    "mentat_reporter.thresholded_event": "r.*",
    "mentat_reporter.considered": "r.*",
    "mentat_reporter.quarantine": "r.*",
    "mentat_reporter.run_window": "r.*",
    "filters": "r.*",
    "detectors": "r.*",
}
OWN: Final = {"id", "parent_id", "snap_xmin", "own_xid", "opened", "createtime", "registered"}
"""Columns that differ from run to run."""


def fill(reporter: Reporter) -> None:
    """Store groups of all kinds, some of whose networks lie in those of others."""
    names = [f"abuse@g{number}.example" for number in range(9)]
    groups: list[dict[str, Any]] = [
        group(
            name, f"10.0.{number}.0/24", *([f"10.0.{number - 1}.128/25"] if number % 3 else []),
            mode=MODES[number % 3], attachments="all" if number == 2 else "none",
            filters=[{"name": f"rule of {number}", "filter": f"'10.0.{number}.7' in Source.IP4"}],
        )
        for number, name in enumerate(names)
    ]  # fmt: skip
    reporter.groups(
        *groups,
        filters=[{"name": "scanners", "filter": "Description == 'ours'"}],
        detectors=[{"name": "org.example.shaky", "credibility": 0.3}],
    )


def events_of(prefix: str, at: datetime) -> list[Stored]:
    found = []
    for number in range(9):
        found += [
            event(f"{prefix}-{number}-{host}", at, f"10.0.{number}.{host}", severity="high")
            for host in (1, 7, 130, 200)
        ]
        both = (f"10.0.{number}.9", f"10.0.{(number + 1) % 9}.9")
        found.append(
            event(f"{prefix}-{number}-both", at, *both, targets=both, severity="high", target_severity="high")
        )
        message: dict[str, Any] = {"Description": "ours"}
        found.append(event(f"{prefix}-{number}-ours", at, both[0], severity="high", message=message))
        message = {"Node": [{"Name": "org.example.shaky"}]}
        found.append(event(f"{prefix}-{number}-shaky", at, both[0], severity="high", message=message))
    return found


def written(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def all_of(reporter: Reporter) -> dict[str, Any]:
    """Return all that runs wrote, but for what differs from run to run."""
    found = {
        table: sorted(
            str({name: written(value) for name, value in row.items() if name not in OWN})
            for row in reporter.dicts(f"select {columns} from {table} r")
        )
        for table, columns in COLUMNS.items()
    }
    found["files"] = sorted(name for name in reporter.files() if not name.startswith("maildir"))
    return found


def story(reporter: Reporter, workers: int) -> list[RunResult]:
    """Report new problems, the same again, and then their relapse."""
    fill(reporter)
    results = []
    for prefix, now in {"new": START, "held": START + 23 * HOUR, "more": START + 2 * DAY}.items():
        reporter.store(*events_of(prefix, now - MINUTE))
        results.append(reporter.run(now, workers=workers))
    return results


@pytest.fixture
def another(reporter: Reporter, tmp_path: Path) -> Callable[[str], Reporter]:
    """Give reporters with copies of the empty database."""

    def make(name: str) -> Reporter:
        copy = f"{reporter.dsn['dbname']}_{name}"
        reporter.connection.close()
        admin = connect({**reporter.dsn, "dbname": "postgres"}, what="admin", limits={})
        admin.autocommit = True
        with closing(admin), admin.cursor() as cursor:
            cursor.execute(f"create database {copy} template {reporter.dsn['dbname']}")
        (tmp_path / name).mkdir()
        return Reporter({**reporter.dsn, "dbname": copy}, tmp_path / name)

    return make


def test_any_number_of_workers_gives_the_same(another: Callable[[str], Reporter]) -> None:
    alone, *crews = [another(name) for name in ("one", "two", "five")]
    expected = story(alone, 1)

    assert sum(result.total("reports") for result in expected) > 60
    assert sum(result.total("relapsed") for result in expected) > 0
    for many, workers in zip(crews, (2, 5), strict=True):
        found = story(many, workers)
        assert [result.counts for result in found] == [result.counts for result in expected]
        assert [result.failures for result in found] == [result.failures for result in expected]
        assert [result.delivered for result in found] == [result.delivered for result in expected]
        theirs, its = all_of(many), all_of(alone)
        for table in its:
            assert theirs[table] == its[table], table


def three(reporter: Reporter) -> None:
    reporter.groups()
    for number, address in enumerate(("192.0.2.1", "198.51.100.1", "203.0.113.1")):
        reporter.store(event(f"event {number}", AT, address, severity="high"))


TOLD: Final = {ALICE: ["event 0"], BOB: ["event 1"], CAROL: ["event 2"]}


def in_worker(monkeypatch: pytest.MonkeyPatch, at: str, deed: Callable[[], None]) -> None:
    """Have something done in the process that works a group, before it does."""
    begin, run_process = unit.work, os.getpid()

    def working(*arguments: Any) -> None:
        if arguments[1].group == at and os.getpid() != run_process:
            deed()
        begin(*arguments)

    monkeypatch.setattr(unit, "work", working)


def once(place: Path, deed: Callable[[], None]) -> Callable[[], None]:
    """Return a deed that is done the first time that any process asks for it."""

    def do() -> None:
        try:
            (place / "done").touch(exist_ok=False)
        except FileExistsError:
            return
        deed()

    return do


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hurried(reporter: Reporter) -> None:
    reporter.outside = replace(REAL, sleep=lambda _seconds: None)


def test_a_worker_that_is_killed_loses_nothing_and_repeats_nothing(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    three(reporter)
    hurried(reporter)
    in_worker(monkeypatch, BOB, once(tmp_path, die))

    result = reporter.run(START, workers=2)

    assert (result.exit_code, reporter.told()) == (0, TOLD)
    assert sorted(reporter.recipients()) == [ALICE, BOB, CAROL]
    assert "lost a worker process (killed by SIGKILL), trying again in 1 s" in caplog.text


def test_a_unit_that_ends_its_worker_each_time_fails_and_the_others_are_served(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(reporter)
    hurried(reporter)
    in_worker(monkeypatch, BOB, die)

    result = reporter.run(START, workers=2)

    assert (result.exit_code, reporter.told()) == (3, {ALICE: ["event 0"], CAROL: ["event 2"]})
    [failure] = result.failures
    assert failure.startswith(f"group {BOB}, high source failed and will be tried again:")
    monkeypatch.undo()
    assert reporter.run(START + TEN, workers=2).exit_code == 0
    assert reporter.told() == TOLD


def test_a_worker_that_loses_its_connection_is_made_up_for(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    three(reporter)
    hurried(reporter)

    def cut_all_workers() -> None:
        reporter_pid = "select pid from pg_locks where locktype = 'advisory' and mode = 'ShareLock'"
        with (
            closing(connect(reporter.dsn, what="test", limits={})) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"select pg_terminate_backend(pid) from ({reporter_pid}) as workers")

    in_worker(monkeypatch, BOB, once(tmp_path, cut_all_workers))

    result = reporter.run(START, workers=2)

    assert (result.exit_code, reporter.told()) == (0, TOLD)
    assert sorted(reporter.recipients()) == [ALICE, BOB, CAROL]


def test_workers_that_cannot_begin_are_named_and_the_others_do_the_work(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise RuntimeError("too many connections")

    begin, refusing = session.Session.become_worker, once(tmp_path, refuse)

    def beginning(self: session.Session) -> None:
        refusing()
        begin(self)

    three(reporter)
    monkeypatch.setattr(session.Session, "become_worker", beginning)

    result = reporter.run(START, workers=2)

    assert (result.exit_code, reporter.told()) == (0, TOLD)
    assert "1 worker processes could not begin: RuntimeError: too many connections" in caplog.text


def test_what_fails_in_a_worker_is_said_and_kept_as_ever(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("no luck")

    three(reporter)
    in_worker(monkeypatch, BOB, fail)

    result = reporter.run(START, workers=3)

    [failure] = result.failures
    assert failure == f"group {BOB}, high source failed and will be tried again: RuntimeError: no luck"
    assert [row["reference"] for row in reporter.dicts("select * from mentat_reporter.quarantine")] == [
        f"group {BOB}, high source"
    ]
    assert reporter.told() == {ALICE: ["event 0"], CAROL: ["event 2"]}


def test_out_of_time_leaves_the_rest_to_the_next_run(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(reporter)
    monkeypatch.setattr(session.Session, "out_of_time", lambda _self: True)

    result = reporter.run(START, workers=2)

    assert result.notes[0] == "out of time (--max-runtime): the next run goes on here"
    assert len(reporter.told()) == 2
    monkeypatch.undo()
    reporter.run(START + TEN, workers=2)
    assert reporter.told() == TOLD


def test_no_run_begins_while_a_worker_of_another_lives(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(reporter)
    monkeypatch.setattr(session, "LOCK_PATIENCE", 0)
    reporter.execute("select pg_advisory_lock_shared(7882826979589059174)")

    with pytest.raises(LockBusyError):
        reporter.run(START)

    reporter.execute("select pg_advisory_unlock_all()")
    reporter.run(START)
    assert reporter.told() == TOLD


def test_workers_end_with_their_run(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    three(reporter)

    def tell_and_wait() -> None:
        (tmp_path / "worker").write_text(str(os.getpid()))
        time.sleep(60)

    in_worker(monkeypatch, BOB, once(tmp_path, tell_and_wait))
    settings = reporter.settings(regular=True, time_high=START, workers=2)
    run_process = os.fork()
    if run_process == 0:
        program.report(settings, logging.getLogger("none"), lambda _text: None)
        os._exit(0)
    worker = int(waited_for((tmp_path / "worker").read_text))
    os.kill(run_process, signal.SIGKILL)
    os.waitpid(run_process, 0)

    assert waited_for(lambda: not Path(f"/proc/{worker}/fd").exists())

    result = reporter.run(START + TEN, workers=2)
    assert (result.exit_code, reporter.told()) == (0, TOLD)


def waited_for(look: Callable[[], Any]) -> Any:
    """Return what is found, once there is something."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("nothing happened")


@pytest.mark.parametrize("options", [{"dry_run": True}, {"regular": False, "time_low": START - TEN}])
def test_what_keeps_no_state_is_worked_by_the_run_itself(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    three(reporter)
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("another process"))

    result = reporter.run(START, workers=2, **options)

    assert result.total("reports") == 3


def test_a_single_unit_needs_no_other_process(reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    reporter.groups()
    reporter.store(event("only", AT, severity="high"))
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("another process"))

    assert reporter.run(START, workers=4).total("reports") == 1


def test_a_run_that_is_interrupted_takes_its_workers_along(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(reporter)
    in_worker(monkeypatch, BOB, lambda: time.sleep(60))

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(crew, "wait", interrupted)
    begun = time.monotonic()

    with pytest.raises(KeyboardInterrupt):
        reporter.run(START, workers=3)

    assert time.monotonic() - begun < 30
    monkeypatch.undo()
    assert reporter.run(START + TEN, workers=3).exit_code == 0
    assert reporter.told() == TOLD


def test_relapses_of_many_workers_do_not_mix_their_messages(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "RECENT", 0)
    monkeypatch.setattr(shelf, "DECODED", 0)
    monkeypatch.setattr(shelf, "SIGHTINGS", 1)
    fill(reporter)
    for prefix, now in {"new": START, "held": START + 23 * HOUR, "more": START + 2 * DAY}.items():
        reporter.store(*events_of(prefix, now - MINUTE))
        assert reporter.run(now, workers=4).total("reports") > 0

    for path in (reporter.home / "reports").rglob("security-report-*.json"):
        label = path.stem.removeprefix("security-report-")
        [ids] = reporter.rows("select statistics -> 'list_ids' from reports_events where label = %s", label)
        assert sorted(message["ID"] for message in json.loads(path.read_text())) == ids[0], label
