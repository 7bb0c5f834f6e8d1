"""Runs a process to its end and says what it took."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Final, NamedTuple

POLL: Final = 0.02
"""Seconds between two looks at the processes."""


class Cost(NamedTuple):
    """What a process and those that it started took."""

    wall: float
    cpu: float
    """Seconds of user and system time, of all of them."""
    memory: float
    """MiB of resident memory: the peaks of all of them together, pages that they share counted in each."""
    output: str


def measured(arguments: Sequence[str], *, environment: Mapping[str, str], place: Path) -> Cost:
    """Run `benchmarks.child`; raise SystemExit with what it said when it fails."""
    command = [sys.executable, "-m", "benchmarks.child", *arguments]
    said = place / "output"
    begun = time.perf_counter()
    with said.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
        )
    peaks = _watched(process.pid)
    wall = time.perf_counter() - begun
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(
            f"{' '.join(arguments)}\nended with {process.returncode}:\n{said.read_text()[-3000:]}"
        )
    return Cost(wall, usage.ru_utime + usage.ru_stime, sum(peaks.values()) / 1024, said.read_text())


def _watched(pid: int) -> dict[int, int]:
    """Wait until a process ends; return the peaks of it and of all below it.

    What `wait4` says would hold the memory of this process too, as it was when it started the other.
    """
    peaks: dict[int, int] = {}
    with os.fdopen(os.pidfd_open(pid)) as ends:
        while not select([ends], [], [], POLL)[0]:
            for each in _family(pid):
                peaks[each] = max(_peak(each), peaks.get(each, 0))
    return peaks


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):  # it may be gone by now
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from _family(int(child))


def _peak(pid: int) -> int:
    """Return the most kilobytes that a process has held so far."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
