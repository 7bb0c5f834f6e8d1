"""S1: credentials reach no log, no message and no process list."""

import base64
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest
from faults.helpers_forks import wait_for
from integration.conftest_delivery import Actor
from integration.helpers_run import ALICE, MINUTE, START, Reporter, event, reporter
from integration.test_script import Caller

from mentat_reporter.errors import EXIT_FAILED, EXIT_USAGE
from mentat_reporter.outside import Outside

__all__ = ["reporter"]

MAIN: Final = "Zq7main@p:ss/w#rd"
EVENTS: Final = "Zq7events-word"
SMTP: Final = "Zq7smtp-word"
IN_FILE: Final = "Zq7file-word"
TRACE: Final = "Zq7"
"""What all of them begin with."""


def disguises(secret: str) -> list[str]:
    """Return how a secret may look: as it is, in a URL, in what AUTH sends."""
    plain = base64.b64encode(f"\0reporter\0{secret}".encode()).decode()
    return [secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode(), plain]


def assert_no_secret(*texts: str) -> None:
    for text in texts:
        assert TRACE not in text
        for secret in (MAIN, EVENTS, SMTP, IN_FILE):
            assert not [look for look in disguises(secret) if look in text]


def everything_written(place: Path, *, but: Sequence[Path]) -> str:
    """Return the contents of all files below a place, but for some."""
    files = [path for path in place.rglob("*") if path.is_file() and path not in but]
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in files)


@pytest.fixture
def call(reporter: Reporter, tmp_path: Path) -> Caller:
    """Give the program with a password in each place where one may stand, and an event to report."""
    reporter.groups()
    reporter.store(event("one", START - MINUTE))
    made = Caller(tmp_path)
    made.home = reporter.home
    # a socket's server trusts whoever it knows: the passwords are taken and not asked for
    words = {name: value for name, value in reporter.dsn.items() if name not in ("user", "dbname")}
    reporter.config["__core__database"] = {
        "sqlstorage": {
            "url": f"postgresql://{reporter.dsn['user']}:{quote(MAIN, safe='')}@/{reporter.dsn['dbname']}"
            f"?{urlencode(words)}"
        },
        "eventstorage": {**reporter.dsn, "password": EVENTS},
    }
    reporter.config |= {"smtp_user": "reporter", "smtp_password": SMTP}
    made.configure(reporter.config)
    return made


def test_s1_what_is_logged_shown_and_stored_in_debug_mode_has_no_secret(
    call: Caller, reporter: Reporter
) -> None:
    day = ("--debug", "--log-level", "debug")
    done = [
        call(*day, "--regular", "--time-high", START.isoformat()),
        call(*day, "--regular", "--dry-run", "--time-high", START.isoformat()),
        call(*day, "deliver"),
        call(*day, "init"),
        call(*day, "--action", "config-view"),
        call("--help"),
        call("--version"),
    ]

    assert [found.returncode for found in done] == [0] * len(done)
    assert reporter.told() == {ALICE: ["one"]}
    assert "DEBUG" in call.log
    assert_no_secret(*(found.stdout + found.stderr for found in done))
    assert_no_secret(everything_written(reporter.place, but=[call.config]))
    assert_no_secret(*(row for rows in reporter.tables().values() for row in rows))


@pytest.mark.parametrize(
    "change",
    [
        {"smtp_password": [SMTP]},
        {"smtp_password": {"a": SMTP}},
        {"smtp_password": SMTP, "smtp_password_file": "nothing"},
        {"smtp_pasword": SMTP},
        {"__core__database": {"sqlstorage": {"url": f"mysql://u:{EVENTS}@db/x"}}},
        {"__core__database": {"sqlstorage": {"url": f"postgresql://u:{EVENTS}/@db/x"}}},
        {"__core__database": {"sqlstorage": {"url": f"postgresql://u:{EVENTS}#@db:port/x"}}},
        {"__core__database": {"sqlstorage": {"url": f"postgresql://u:1234/{EVENTS}@db/x"}}},
        {"__core__database": {"sqlstorage": {"url": f"postgresql://u:1234#{EVENTS}@db/x"}}},
        {"__core__database": {"sqlstorage": {"url": f"postgresql://u:[{EVENTS}@db/x"}}},
        {"__core__database": {"sqlstorage": {"url": f"postgresql://u:{EVENTS}@db:port/x"}}},
        {
            "__core__database": {
                "sqlstorage": {"url": f"postgresql:///x?user=u&password={EVENTS}&host=/nowhere"}
            }
        },
        {"__core__database": {"sqlstorage": {"url": f"postgresql:///x?sslpassword={EVENTS}&nonsense=1"}}},
        {"__core__database": {"sqlstorage": {"url": [f"postgresql://u:{EVENTS}@db/x"]}}},
        {"__core__database": {"sqlstorage": {"password": EVENTS}, "eventstorage": {"dbname": 5}}},
        {"__core__database": f"postgresql://u:{EVENTS}@db/x"},
    ],
    ids=str,
)
def test_s1_a_message_about_a_wrong_configuration_quotes_no_secret(
    call: Caller, reporter: Reporter, change: dict[str, Any]
) -> None:
    call.configure({**reporter.config, **change})

    done = call("--debug", "--dry-run"), call("--regular")

    assert {found.returncode for found in done} <= {0, EXIT_FAILED, EXIT_USAGE}
    assert "Traceback" not in done[1].stderr
    assert_no_secret(*(found.stdout + found.stderr for found in done))
    assert_no_secret(everything_written(reporter.place, but=[call.config]))


def test_s1_a_message_about_a_torn_configuration_file_quotes_no_secret(call: Caller) -> None:
    call.config.write_text(f'{{"smtp_password": "{SMTP}\n", "smtp_user": }}')

    done = call("--debug")

    assert done.returncode == EXIT_USAGE
    assert "line 1" in done.stderr
    assert_no_secret(done.stdout + done.stderr)


@contextmanager
def refusing_database() -> Iterator[int]:
    """Play a PostgreSQL that asks for a password and refuses it; give its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        while True:
            try:
                talk, _ = listener.accept()
            except OSError:
                return
            with talk:
                while len(started := talk.recv(1024)) == 8:  # asks for encryption first
                    talk.sendall(b"N")
                if started:
                    talk.sendall(b"R" + struct.pack("!II", 8, 3))
                    talk.recv(1024)
                    fields = b'SFATAL\0C28P01\0Mpassword authentication failed for user "u"\0\0'
                    talk.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("which", ["main", "events"])
def test_s1_a_wrong_password_of_a_database_is_said_without_it(
    call: Caller, reporter: Reporter, which: str
) -> None:
    with refusing_database() as port:
        section = dict(reporter.config["__core__database"])
        if which == "main":
            section["sqlstorage"] = {"url": f"postgresql://u:{quote(MAIN, safe='')}@127.0.0.1:{port}/x"}
        else:
            section["eventstorage"] = {
                "dbname": "x", "user": "u", "password": EVENTS, "host": "127.0.0.1", "port": port
            }  # fmt: skip
        call.configure({**reporter.config, "__core__database": section})

        done = call("--debug", "--regular"), call("--regular")

    for found in done:
        assert found.returncode == EXIT_FAILED
        assert "password authentication failed" in found.stderr
        assert_no_secret(found.stdout + found.stderr)
    assert_no_secret(everything_written(reporter.place, but=[call.config]))


@pytest.mark.parametrize("where", ["value", "file"])
def test_s1_a_wrong_password_of_the_mail_server_is_said_without_it(
    call: Caller, reporter: Reporter, where: str
) -> None:
    file = reporter.place / "smtp.password"
    file.write_text(f"{IN_FILE}\n")
    file.chmod(0o600)
    given = {"smtp_password": SMTP} if where == "value" else {"smtp_password_file": str(file)}
    config = {name: value for name, value in reporter.config.items() if name != "smtp_password"}
    with Actor(EHLO="250-hello\r\n250 AUTH PLAIN LOGIN", AUTH="535 5.7.8 no such login") as server:
        call.configure(
            {
                **config, **given, "mail_transport": "smtp", "smtp_host": "127.0.0.1",
                "smtp_port": server.port,
            }
        )  # fmt: skip
        done = call("--debug", "--regular", "--time-high", START.isoformat())
        again = call("--debug", "deliver")

    assert any(verb == "AUTH" for verb in server.verbs())
    assert_no_secret(done.stdout + done.stderr, again.stdout + again.stderr)
    assert_no_secret(everything_written(reporter.place, but=[call.config, file]))
    assert_no_secret(*(row for rows in reporter.tables().values() for row in rows))


def processes_of(pid: int) -> list[int]:
    """Return a process and those that descend from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in processes_of(int(child)))]


def test_s1_the_process_list_of_a_run_has_no_secret(call: Caller, reporter: Reporter) -> None:
    with reporter.connection.cursor() as cursor:
        cursor.execute("lock table asoc_groups_reports in share mode")  # the run stops there
    running = call.start("", "--regular", "--time-high", START.isoformat())
    try:
        waits = "select 1 from pg_locks where not granted"
        wait_for(lambda: _asked(reporter, waits))
        seen = [
            Path(f"/proc/{pid}/{what}").read_bytes().decode("utf-8", "replace")
            for pid in processes_of(running.pid)
            for what in ("cmdline", "environ")
        ]
    finally:
        reporter.connection.rollback()
        running.communicate(timeout=60)

    assert running.returncode == 0
    assert_no_secret(*seen)


def _asked(reporter: Reporter, query: str) -> list[Any]:
    """Ask without ending the transaction that holds the lock."""
    with reporter.connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def test_s1_sendmail_is_given_no_secret_and_no_environment_of_our_making(
    reporter: Reporter,
) -> None:
    calls: list[tuple[Any, Any]] = []

    def run_program(words: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        calls.append((words, options))
        return subprocess.CompletedProcess(words, 0, b"", b"")

    reporter.groups()
    reporter.store(event("one", START - MINUTE))
    reporter.config |= {"mail_transport": "sendmail", "smtp_user": "u", "smtp_password": SMTP}
    reporter.outside = Outside(run_program=run_program)
    before = dict(os.environ)

    reporter.run(START)

    [(words, options)] = calls
    assert words[-2:] == ["--", ALICE]
    assert not options.get("env")
    assert dict(os.environ) == before
    assert_no_secret(repr(words), repr(options))
