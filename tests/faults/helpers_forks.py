"""Runs in processes of their own, started at the same moment; cheap, since they are forked warm."""

import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from integration.helpers_run import LOG, Reporter

from mentat_reporter import run
from mentat_reporter.errors import ReporterError
from mentat_reporter.settings import Settings

BROKEN: Final = 70
"""The exit code of a run that failed in no way that it should."""


def settings_of(reporter: Reporter, now: datetime, lock_file: Path) -> Settings:
    """Return the settings of a host with a lock file of its own."""
    before = reporter.config
    section = {**before["__core__reporter"], "lock_file": str(lock_file)}
    try:
        reporter.config = {**before, "__core__reporter": section}
        return reporter.settings(regular=True, time_high=now)
    finally:
        reporter.config = before


def _exit_code(settings: Settings) -> int:
    try:
        return run.report(settings, LOG, lambda _text: None).exit_code
    except ReporterError as error:
        return error.exit_code
    except BaseException:  # noqa: BLE001 - whatever it was, the parent must see that it was wrong
        return BROKEN


def start(settings: Settings, *gate: int) -> int:
    """Fork a run and return its pid. With the two ends of a pipe it begins when nobody can write to that."""
    pid = os.fork()
    if pid == 0:
        code = BROKEN
        try:
            if gate:
                os.close(gate[1])
                os.read(gate[0], 1)
            code = _exit_code(settings)
        finally:
            os._exit(code)
    return pid


def code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def race(runs: Sequence[Settings]) -> list[int]:
    """Let runs begin at once; return their exit codes, least first."""
    gate = os.pipe()
    pids = [start(settings, *gate) for settings in runs]
    for end in gate:
        os.close(end)
    return sorted(code_of(pid) for pid in pids)


def wait_for(happened: Callable[[], Any], patience: float = 60) -> None:
    """Look again and again until it has happened; `patience` in seconds, then it is an error."""
    deadline = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
