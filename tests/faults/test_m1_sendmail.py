"""M1: the ends of sendmail, each with a real program."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from integration.conftest_delivery import attempt, mail, outbox, rows, states, store

from mentat_reporter.delivery.transports import SendmailTransport
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.outbox import Outbox

__all__ = ["outbox"]


Script = Callable[[str], SendmailTransport]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Make a transport whose `sendmail` is a shell script that notes its arguments and its input first."""

    def make(ending: str) -> SendmailTransport:
        program = tmp_path / "sendmail"
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/args\ncat > {tmp_path}/input\n{ending}\n'
        )
        program.chmod(0o755)
        return SendmailTransport(str(program), timeout=1)

    return make


def test_m1_sendmail_gets_addresses_as_arguments_and_the_mail_as_input(
    script: Script, connection: Connection, outbox: Outbox, tmp_path: Path
) -> None:
    store(connection, mail(1, "a@example.com", "b@example.com", content=b"Subject: x\r\n\r\n.\r\n$(id)\r\n"))

    attempt(outbox, transport_factory=lambda: script("exit 0"))

    arguments = ["-i", "-f", "reporter@example.org", "--", "a@example.com", "b@example.com"]
    assert (tmp_path / "args").read_text().splitlines() == arguments
    assert (tmp_path / "input").read_bytes() == b"Subject: x\n\n.\n$(id)\n"
    assert states(connection) == ["sent"]


@pytest.mark.parametrize(
    ("ending", "state", "ambiguous"),
    [
        ("exit 0", "sent", False),
        ("exit 75", "deferred", False),
        ("echo 'no such user' >&2; exit 67", "failed", False),
        ("exit 1", "failed", False),
        (f"kill -{signal.SIGKILL:d} $$", "deferred", True),
        ("exec sleep 20", "deferred", True),
    ],
)
def test_m1_what_sendmail_says_by_its_end(
    script: Script, connection: Connection, outbox: Outbox, ending: str, state: str, ambiguous: bool
) -> None:
    store(connection, mail())

    attempt(outbox, transport_factory=lambda: script(ending))

    assert rows(connection, "select state, ambiguous from mentat_reporter.outbox") == [(state, ambiguous)]


def test_m1_the_words_of_sendmail_are_kept(script: Script) -> None:
    said = script("echo 'no such\nuser' >&2; exit 67").send("s@x", ["a@x"], b"", lambda: None)

    assert said.reply.text == "sendmail exit 67: no such user"


def test_m1_a_missing_sendmail_defers_and_ends_the_delivery(connection: Connection, outbox: Outbox) -> None:
    store(connection, *(mail(number) for number in range(5)))

    result = attempt(outbox, transport_factory=lambda: SendmailTransport("/no/such/sendmail"))

    assert (result.deferred, result.left) == (3, 2)
    assert "cannot run /no/such/sendmail: No such file or directory" in result.alarms[0]


SENDING = """
import logging, sys
from mentat_reporter.delivery.transports import SendmailTransport
from mentat_reporter.interrupts import put_off
logging.basicConfig()
try:
    with put_off(logging.getLogger()):
        print(SendmailTransport(sys.argv[1]).send("s@x", ["a@x"], b"mail", lambda: None).reply.text)
except KeyboardInterrupt:
    print("interrupted")
"""
"""A process that sends one mail."""


def test_m1_ctrl_c_lets_sendmail_finish_the_mail_under_way(tmp_path: Path) -> None:
    program, begun, go = (tmp_path / name for name in ("sendmail", "begun", "go"))
    program.write_text(f"#!/bin/sh\necho x > {begun}\nread word < {go}\necho $word\nexit 0\n")
    program.chmod(0o755)
    for pipe in (begun, go):
        os.mkfifo(pipe)

    with subprocess.Popen(
        [sys.executable, "-c", SENDING, program], process_group=0, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as sending:  # fmt: skip
        assert sending.stderr is not None
        begun.read_text()
        os.killpg(sending.pid, signal.SIGINT)  # as a terminal does
        assert "stopping when the mail under way is settled" in sending.stderr.readline()
        keeper = os.open(go, os.O_RDWR)  # so that nobody waits where the script is gone
        os.write(keeper, b"go\n")
        said, _ = sending.communicate()
        os.close(keeper)

    assert said == "sendmail exit 0:\ninterrupted\n"


def test_m1_sendmail_is_not_run_by_a_shell_and_without_t() -> None:
    calls: list[Any] = []

    def fake(command: list[str], **options: Any) -> "subprocess.CompletedProcess[bytes]":
        calls.append((command, options))
        return subprocess.CompletedProcess(command, 0, stderr=b"")

    SendmailTransport(run=fake).send("s@example.org", ["a@x"], b"mail", lambda: None)

    [(command, options)] = calls
    assert command == ["/usr/sbin/sendmail", "-i", "-f", "s@example.org", "--", "a@x"]
    assert not options.get("shell")
    assert options["timeout"] == 600
