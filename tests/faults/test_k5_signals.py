"""K5: SIGTERM and SIGINT end a run between two mails, not within one, and leave the rest to the next."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from faults import breaking
from faults.cutting import Copy, assert_told_once, copy, prepared
from integration.conftest_delivery import SILENCE, Actor
from integration.helpers_run import HOUR, MINUTE, START, Reporter

from mentat_reporter.outside import REAL

__all__ = ["copy", "prepared"]

TEN: Final = 10 * MINUTE
PROGRAM: Final = Path(__file__).parents[2] / "bin" / "mentat-reporter.py"
STATUS: Final = {signal.SIGTERM: 143, signal.SIGINT: 130}


class Process:
    """The reporter in a process of its own, with a mail server that can signal it."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._config = reporter.place / "reporter.conf"
        self._running: subprocess.Popen[str] | None = None

    def run(self, now: datetime, server: Actor) -> tuple[int, str]:
        """Return exit code and stderr."""
        mail = {"mail_transport": "smtp", "smtp_host": "127.0.0.1", "smtp_port": server.port}
        self._config.write_text(json.dumps({**self._reporter.config, **mail}))
        self._running = subprocess.Popen(
            [
                *(sys.executable, PROGRAM, "--config-file", self._config),
                *("--regular", "--time-high", now.isoformat()),
            ],
            env={**os.environ, "MENTAT_REPORTER_HOME": str(self._reporter.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        _, said = self._running.communicate(timeout=300)
        return self._running.returncode, said

    def count_mails(self) -> int:
        return int(self._reporter.value("select count(*) from mentat_reporter.outbox"))

    def signal(self, number: int) -> None:
        assert self._running is not None
        self._running.send_signal(number)


@pytest.fixture
def process(copy: Copy) -> Process:
    return Process(copy())


def on_first(action: Callable[[], None], answer: str) -> Callable[[str], str]:
    """Return how a server answers that does something first, once."""
    times = count(1)

    def answering(_line: str) -> str:
        if next(times) == 1:
            action()
        return answer

    return answering


@pytest.mark.parametrize("number", STATUS, ids=lambda number: number.name)
@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("BANNER", "220 ready"),
        ("MAIL", "250 ok"),
        ("RCPT", "250 ok"),
        ("DATA", "354 go"),
        ("BODY", "250 taken"),
    ],
)
def test_k5_the_mail_under_way_is_finished_and_no_other_begun(
    process: Process, number: signal.Signals, step: str, answer: str
) -> None:
    with Actor(**{step: on_first(lambda: process.signal(number), answer)}) as server:
        code, said = process.run(START, server)

        assert code == STATUS[number]
        assert len(server.mails) == 1, said
        assert f"{number.name}: stopping when the mail under way is settled" in said
        assert f"stopped by {number.name}" in said

        assert process.run(START + TEN, server)[0] == 0

    assert len(server.mails) == len(set(server.mails)) == process.count_mails()


@pytest.mark.parametrize("number", STATUS, ids=lambda number: number.name)
def test_k5_a_second_signal_does_not_wait(process: Process, number: signal.Signals) -> None:
    def twice(line: str) -> str:
        assert line
        process.signal(number)
        time.sleep(1)  # or the two are one
        process.signal(number)
        return SILENCE

    with Actor(MAIL=twice) as server:
        assert process.run(START, server)[0] == STATUS[number]
    with Actor() as server:
        assert process.run(START + HOUR, server)[0] == 0

    assert len(server.mails) == len(set(server.mails)) == process.count_mails()


class Interrupting:
    """Sends this process a signal at the boundary `number`."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.count = 0

    def __call__(self, _name: str) -> None:
        self.count += 1
        if self.count == self._number:
            signal.raise_signal(signal.SIGINT)

    @property
    def happened(self) -> bool:
        return self.count >= self._number


PARTS: Final = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_k5_an_interrupt_at_any_boundary_costs_nothing_and_repeats_nothing(copy: Copy, part: int) -> None:
    expected = copy()
    expected.run(START)
    expected.run(START + TEN)
    for number in count(part + 1, PARTS):
        victim, interrupt = copy(), Interrupting(number)
        victim.outside = breaking.outside(interrupt)
        try:
            victim.run(START)
        except KeyboardInterrupt:
            assert interrupt.happened
        if not interrupt.happened:
            assert number > PARTS
            break
        victim.outside = REAL
        assert victim.run(START + TEN).exit_code == 0
        assert_told_once(victim, expected)
        assert len(victim.mails()) == len(expected.mails()), number
        victim.connection.close()
