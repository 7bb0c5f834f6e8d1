"""A durable database server of its own that a test may crash, as a power cut would."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from factories import compiled_catalogues
from integration.helpers_run import Reporter

from mentat_reporter.store import schema
from mentat_reporter.store.connection import connect
from mentat_reporter.store.embedded import Cluster

LAZY = (
    "alter system set wal_writer_delay = '10s'",
    "select pg_reload_conf()",
    "alter database postgres set synchronous_commit = off",
)
"""A house that prefers speed: commits reach the disk seconds later, unless a connection asks for more."""


class Crashing:
    """A server, and a reporter that uses it."""

    def __init__(self, cluster: Cluster, reporter: Reporter) -> None:
        self._cluster = cluster
        self.reporter = reporter

    def crash(self) -> None:
        """Let the server end at once; what is not on its disk is lost."""
        pid = int((self._cluster.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        self.wait()

    def wait(self) -> None:
        while self._cluster.is_running():
            time.sleep(0.01)

    def recover(self) -> None:
        """Start the server again, after its own recovery."""
        self.wait()
        self._cluster.start()
        self.reporter.connection = connect(self.reporter.dsn, what="test", limits={})


@contextmanager
def crashing() -> Iterator[Crashing]:
    """Give a lazy server that may crash, and an empty reporter."""
    compiled_catalogues()
    place = Path(tempfile.mkdtemp(prefix="mentat-reporter-test-"))
    cluster = Cluster(place / "cluster")
    place.chmod(0o755)
    dsn = cluster.start()
    try:
        with closing(connect(dsn, what="crash", limits={})) as connection:
            schema.initialise(connection, None)
            connection.autocommit = True
            for statement in LAZY:
                connection.cursor().execute(statement)
        (place / "own").mkdir()
        made = Crashing(cluster, Reporter(dsn, place / "own"))
        yield made
        made.reporter.connection.close()
    finally:
        cluster.start()
        cluster.stop()
        shutil.rmtree(place)
