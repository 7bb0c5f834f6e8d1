"""K4: a database server that crashes in the middle of a commit."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Timer

import pytest
from factories import compiled_catalogues
from faults.cutting import Watched, cutting, fill, run
from integration.helpers_run import ALICE, BOB, CAROL, MINUTE, START, Reporter

from mentat_reporter.errors import EXIT_BUSY
from mentat_reporter.outside import REAL
from mentat_reporter.store import schema
from mentat_reporter.store.connection import connect
from mentat_reporter.store.embedded import Cluster


@pytest.fixture
def crashing() -> Iterator[tuple[Cluster, Reporter]]:
    """Give a durable server of its own, which may crash, and a reporter with something to do."""
    compiled_catalogues()
    place = Path(tempfile.mkdtemp(prefix="mentat-reporter-test-"))
    cluster = Cluster(place / "cluster")
    place.chmod(0o755)
    dsn = cluster.start()
    try:
        with closing(connect(dsn, what="crash", limits={})) as connection:
            schema.initialise(connection, None)
        (place / "own").mkdir()
        made = Reporter(dsn, place / "own")
        fill(made)
        made.connection.close()
        yield cluster, made
    finally:
        cluster.start()
        cluster.stop()
        shutil.rmtree(place)


@pytest.mark.parametrize("number", [1, 4, 6, 9, 11, 14])
@pytest.mark.parametrize("comes_back", [True, False], ids=["back at once", "back for the next run"])
def test_k4_a_server_that_crashes_in_the_middle_of_a_commit_loses_nothing(
    crashing: tuple[Cluster, Reporter], monkeypatch: pytest.MonkeyPatch, number: int, comes_back: bool
) -> None:
    cluster, victim = crashing
    commits = count(1)

    def break_in(_connection: Watched, what: str) -> None:
        if what == "commit" and next(commits) == number:
            pid = int((cluster.data / "postmaster.pid").read_text().split()[0])
            Timer(0.0005 * (number % 3), os.kill, (pid, signal.SIGQUIT)).start()

    def wait(_seconds: float) -> None:
        while cluster.is_running():
            time.sleep(0.01)
        if comes_back:
            cluster.start()

    victim.outside = replace(cutting(monkeypatch, break_in), sleep=wait)
    outcome = run(victim, START)
    assert next(commits) > number
    assert outcome in ((0,) if comes_back else (0, EXIT_BUSY))

    while cluster.is_running() and not comes_back:  # it may have ended before the crash
        time.sleep(0.01)
    cluster.start()
    victim.outside = REAL
    victim.connection = connect(victim.dsn, what="test", limits={})
    assert run(victim, START + 10 * MINUTE) == 0
    assert {name: sorted(ids) for name, ids in victim.told().items()} == {
        ALICE: ["attack", "first", "held", "new"],
        f"{BOB} {CAROL}": ["other"],
        CAROL: ["other"],
    }
    victim.connection.close()
