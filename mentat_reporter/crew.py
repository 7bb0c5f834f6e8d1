"""A round's units dealt to processes, each with connections of its own (`--workers`).

The run reads and deals the events, and closes the windows; its processes decide, render and commit units. A
process that ends at a unit has lost its connection, as far as the run is concerned: what it committed stands,
and the run does the round again, which finds that done. docs/reliability.md.
"""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Final, NamedTuple

from mentat_reporter.errors import WorkerLostError
from mentat_reporter.filters.patience import limited
from mentat_reporter.result import RunResult
from mentat_reporter.session import Session

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

PR_SET_PDEATHSIG: Final = 1
"""Of Linux: which signal a process gets when its parent ends (prctl(2))."""

_FORK: Final = multiprocessing.get_context("fork")


class _Done(NamedTuple):
    """What a unit left in the process that worked it."""

    result: RunResult
    bad: dict[tuple[str, str], tuple[str, int]]
    mail_ids: list[int]
    slow_templates: set[tuple[str, str, str]]
    rule_failures: dict[tuple[str, str], tuple[str, int]]


class _Trouble(NamedTuple):
    """Why a process cannot go on."""

    text: str


class _Worker:
    """A process, and what it is at."""

    def __init__(self, session: Session, work_one: Callable[[int], None], crew: Sequence["_Worker"]) -> None:
        """Start it; it closes its copies of what the run has in hand for the crew."""
        self.orders, theirs = _FORK.Pipe()
        not_its = [self.orders, *(worker.orders for worker in crew)]
        self.process: BaseProcess = _FORK.Process(
            target=_serve, args=(session, work_one, theirs, not_its, os.getpid()), daemon=True
        )
        self.process.start()
        theirs.close()
        self.unit: int | None = None
        self.is_lost = False
        self._may_go = False
        self._trouble = ""

    def answer(self) -> _Done | None:
        """Return what a unit left, None if there was none; see whether it is lost."""
        try:
            said: _Done | _Trouble | None = self.orders.recv()
        except (EOFError, ConnectionError):
            self.is_lost = True
            return None
        if not isinstance(said, _Trouble):
            return said
        self.is_lost, self._trouble = True, said.text
        return None

    def give(self, unit: int | None) -> None:
        """Let it work a unit; None: it may go."""
        self.unit, self._may_go = unit, unit is None
        with suppress(BrokenPipeError):  # it has ended, which reading from it tells
            self.orders.send(unit)

    def end(self) -> None:
        """Wait for it if it may go, or end it."""
        if not self._may_go:
            self.process.kill()
        self.process.join()
        self.orders.close()

    @property
    def ending(self) -> str:
        """Why it is gone, for the log."""
        self.process.join()
        code = self.process.exitcode or 0
        return self._trouble or (
            f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        )


def work(session: Session, weights: Sequence[int], work_one: Callable[[int], None]) -> bool:
    """Work units by their numbers, the heaviest first; False if the run's time was over before all were.

    `work_one` works a unit, in a process of its own. Raises WorkerLostError, with the numbers of the units
    at which processes ended, after the others have done theirs.
    """
    session.today.settle()
    waiting = sorted(range(len(weights)), key=lambda number: weights[number])
    count = min(session.settings.run.workers, len(weights))
    crew: list[_Worker] = []
    done: dict[int, _Done] = {}
    try:
        for _ in range(count):
            crew.append(_Worker(session, work_one, crew))
        _manage(session, crew, waiting, done)
    finally:
        for worker in crew:
            worker.end()
        for number in sorted(done):
            _absorb(session, done[number])
    in_time = not session.out_of_time()
    lost = [worker for worker in crew if worker.is_lost]
    units = [worker.unit for worker in lost if worker.unit is not None]
    reason = ", ".join(dict.fromkeys(worker.ending for worker in lost))
    if units or (waiting and in_time):
        raise WorkerLostError(reason, units)
    if lost:
        session.logger.warning("%d worker processes could not begin: %s", len(lost), reason)
    if waiting:
        session.stop_early()
    return not waiting


def _manage(session: Session, crew: Sequence[_Worker], waiting: list[int], done: dict[int, _Done]) -> None:
    """Give units to whoever is free until all are done, or the time is over."""
    busy: dict[object, _Worker] = {worker.orders: worker for worker in crew}
    while busy:
        for orders in wait([worker.orders for worker in busy.values()]):
            worker = busy[orders]
            said = worker.answer()
            if said is not None and worker.unit is not None:
                done[worker.unit] = said
            if not worker.is_lost and waiting and not (done and session.out_of_time()):
                worker.give(waiting.pop())
                continue
            if not worker.is_lost:
                worker.give(None)
            del busy[orders]


def _absorb(session: Session, done: _Done) -> None:
    """Add what a unit left to what the run did."""
    session.result.join(done.result)
    for (kind, reference), (error, count) in done.bad.items():
        session.quarantine(kind, reference, error, count)
    session.mail_ids += done.mail_ids
    session.slow_templates |= done.slow_templates
    session.today.rules.add_failures(done.rule_failures)


# In the process


def _serve(
    session: Session, work_one: Callable[[int], None], orders: Connection, not_ours: Sequence[Connection],
    parent: int,
) -> None:  # fmt: skip
    """Work what is ordered until nothing more is."""
    _die_with(parent)
    for others in not_ours:  # they would not come to an end while this process has them
        others.close()
    try:
        with limited():
            session.become_worker()
            session.today.rules.failures.clear()
            orders.send(None)
            while (unit := orders.recv()) is not None:
                work_one(unit)
                orders.send(_harvest(session))
        session.disconnect()
    except (EOFError, ConnectionError):  # nobody wants to know any more
        pass
    except Exception as error:  # whatever it is, the run hears of it
        session.logger.debug("traceback of a worker process", exc_info=True)
        with suppress(OSError):
            orders.send(_Trouble(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"))


def _die_with(parent: int) -> None:
    """End when the run ends, however it does: nobody would look after what is done here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the run as well, which ends this
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def _harvest(session: Session) -> _Done:
    """Take what the last unit left."""
    rules = session.today.rules
    done = _Done(
        session.result, dict(session.bad), list(session.mail_ids), set(session.slow_templates),
        dict(rules.failures),
    )  # fmt: skip
    session.result = RunResult()
    session.bad.clear()
    session.mail_ids.clear()
    rules.failures.clear()
    return done
