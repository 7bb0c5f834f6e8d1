"""Breaks the program in ways that the sweep must notice, each in a copy of its own.

    python -m faults.mutants

A mutant is one that stays green; the sweep is then too kind, or the world too poor. The program as it is has
to be green.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from faults.sweep import COMPLAINTS, VARIANTS

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = "mentat_reporter"
TIMEOUT: Final = 3600.0  # seconds
AS_IT_IS: Final = "the program as it is"


class Change(NamedTuple):
    """A text that stands once in a file of the package, and what takes its place."""

    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    name: str
    changes: tuple[Change, ...]
    variants: tuple[str, ...] = ("plain",)


MAIL_FIRST: Final = """
        from mentat_reporter.delivery.transports import make_transport
        transport = make_transport(session.settings.mail, open_session=session.outside.open_smtp)
        for mail in outgoing:
            if len(mail.recipients) > 1:
                continue
            attempt = transport.send(mail.envelope_sender, mail.recipients, mail.content, lambda: None)
            if attempt.ending.name == "ANSWERED" and attempt.reply.is_accepted:
                with session.main.cursor() as cursor:
                    cursor.execute(
                        "with gone as (update mentat_reporter.outbox set state = 'sent'"
                        " where message_id = %s returning id) update mentat_reporter.outbox_recipient"
                        " set state = 'sent' from gone where outbox_id = gone.id", [mail.message_id])
        transport.close()
"""
ENQUEUE: Final = "        session.mail_ids += outbox.enqueue(session.main, outgoing, session.now)\n"
PUT_OFF: Final = "        session.__dict__['late'] = outgoing\n"
ENQUEUE_LATE: Final = """\
        if 'late' in session.__dict__:
            with transaction(session.main):
                session.mail_ids += outbox.enqueue(session.main, session.__dict__.pop('late'), session.now)
"""
SETTLE: Final = "        self._settle(mail, outcome)\n"
END: Final = "        left, self.record.result.left = self.ahead, "
UNIT: Final = "        with ReportFiles(session, decision.reports) as files:\n"
NO_FILES: Final = """\
        from types import SimpleNamespace
        from mentat_reporter.render.enclosed import NOTHING
        files = SimpleNamespace(enclosed=lambda _report: NOTHING)
        if files:
"""
FORETELL: Final = "    elif session.show is not None:\n"
WORK: Final = "    if not _work_units(session, plan, deal, current.severity):\n        return False\n"
CLOSE: Final = "    _close(session, clocks, plan, deal, current.severity)\n"
KEEP_FOR_LATER: Final = "        self.later = [*getattr(self, 'later', ()), (mail, outcome)]\n"
SETTLE_LATE: Final = """\
        for late in getattr(self, 'later', ()):
            self._settle(*late)
"""
LEDGER: Final = "state.consider(session.main, unit, intake.considered.items(), opened.next_fetch_lo)\n"
RENEW: Final = (
    "thresholds.renew(session.main, unit, decision.labels, decision.times, decision.threads.kept())\n"
)
FORGET: Final = "thresholds.forget_held(session.main, unit, decision.labels, opened.window.hi)\n"
FORGET_RETRY: Final = "    with transaction(session.main):\n        state.retry_done(session.main, retry)\n"
FILES: Final = "        with ReportFiles(session, decision.reports):\n            pass\n"
IF_TOLD: Final = "        if decision.labels and decision.times:\n"
DO_THEN: Final = "            with transaction(session.main):\n                "
DO: Final = "        with transaction(session.main):\n            "
"""Something in a transaction of its own."""
AGAIN: Final = "    unit, window = retry.unit, retry.window\n"
HORIZON: Final = "horizon or window.lo"

MUTANTS: Final = (
    Mutant("mail before the commit", (Change("unit.py", ENQUEUE, ENQUEUE + MAIL_FIRST),)),
    Mutant(
        "mail made after the commit",
        (Change("unit.py", ENQUEUE, PUT_OFF), Change("unit.py", FORETELL, ENQUEUE_LATE + FORETELL)),
    ),
    Mutant("no ledger", (Change("store/state.py", "in events if row[1] >= since)", "in ())"),)),
    Mutant(
        "horizon by snapshot_xmax",
        (Change("store/sql/events.sql", "pg_current_xact_id()", "pg_snapshot_xmax(pg_current_snapshot())"),),
        ("writer-quiet",),
    ),
    Mutant(
        "horizon from now's xmin",
        (
            Change(
                "store/sql/state.sql", "where own_xid <= p.snap_xmin)",
                "where own_xid <= pg_snapshot_xmin(pg_current_snapshot()))",
            ),
        ),
        ("writer-noisy",),
    ),
    Mutant(
        "a fixed overlap, no horizon",
        (Change("store/state.py", HORIZON, "window.lo"),),
        ("writer-quiet", "writer-noisy"),
    ),
    Mutant(
        "no margin", (Change("store/state.py", f"min(window.lo, {HORIZON}) - margin", f"({HORIZON})"),)
    ),
    Mutant(
        "outbox settled after a batch",
        (
            Change("delivery/deliver.py", SETTLE, KEEP_FOR_LATER),
            Change("delivery/deliver.py", END, SETTLE_LATE + END),
        ),
    ),
    Mutant(
        "recovery leaves what had not begun",
        (
            Change(
                "store/sql/outbox.sql", "where outbox.id = left_over.id and state = 'sending'",
                "where outbox.id = left_over.id and state = 'sending' and data_begun",
            ),
        ),
    ),
    Mutant(
        "an open window forgets what is done",
        (Change("unit.py", "state.unit_done(main, opened, unit, intake.considered)", "pass"),),
    ),
    Mutant(
        "ledger purged up to the watermark",
        (Change("store/state.py", '_lo": opened.next_fetch_lo', '_lo": opened.window.hi'),),
    ),
    Mutant("ledger before the unit", (Change("unit.py", UNIT, DO + LEDGER + UNIT),)),
    Mutant(
        "threshold before its report",
        (Change("unit.py", UNIT, IF_TOLD + DO_THEN + RENEW + UNIT),),
    ),
    Mutant("held events forgotten before they are told", (Change("unit.py", UNIT, DO + FORGET + UNIT),)),
    Mutant(
        "files after the commit",
        (
            Change("unit.py", UNIT, NO_FILES),
            Change("unit.py", FORETELL, FILES + FORETELL),
        ),
    ),
    Mutant("window closed before its units", (Change("rounds.py", WORK + CLOSE, CLOSE + WORK),)),
    Mutant("failed unit forgotten before it is done", (Change("rounds.py", AGAIN, AGAIN + FORGET_RETRY),)),
)  # fmt: skip


def break_copy(mutant: Mutant, folder: Path) -> None:
    """Copy the package and its templates, and change it; raise ValueError if a text is not there once."""
    for name in (PACKAGE, "templates"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for change in mutant.changes:
        path = folder / PACKAGE / change.file
        text = path.read_text()
        if text.count(change.old) != 1:
            raise ValueError(
                f"{mutant.name}: {text.count(change.old)} times in {change.file}: {change.old!r}"
            )
        path.write_text(text.replace(change.old, change.new))


def sweep(mutant: Mutant, options: Sequence[str]) -> tuple[bool, str]:
    """Sweep a mutant; return whether something was found, and what."""
    with tempfile.TemporaryDirectory(prefix="mentat-reporter-mutant-") as folder:
        break_copy(mutant, Path(folder))
        done = subprocess.run(
            [sys.executable, "-m", "faults.sweep", "--stop", "--variants", *mutant.variants, *options],
            env={**os.environ, "PYTHONPATH": os.pathsep.join((folder, str(ROOT / "tests")))},
            cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
    said = done.stdout.strip().splitlines()
    if not said or done.returncode not in (0, 1) or f"{COMPLAINTS} 0" not in said[-1]:
        # whoever is too broken to work shows nothing
        raise RuntimeError(f"{mutant.name}: broke down: {done.stdout[-2000:]} {done.stderr[-2000:]}")
    return done.returncode == 1, said[0] if done.returncode else said[-1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these; none: all, and the program as it is")
    parser.add_argument("--singles", default="9999", help="points of each variant at most, in random order")
    parser.add_argument("--green", default="40", help="points of each variant for the program as it is")
    chosen = parser.parse_args()
    ended_well = True
    if not chosen.names:
        unbroken = Mutant(AS_IT_IS, (), tuple(VARIANTS))
        ended_well = _tell(unbroken, ["--singles", chosen.green], wanted=False)
    for mutant in MUTANTS:
        if not chosen.names or mutant.name in chosen.names:
            ended_well &= _tell(mutant, ["--singles", chosen.singles], wanted=True)
    return 0 if ended_well else 1


def _tell(mutant: Mutant, options: Sequence[str], *, wanted: bool) -> bool:
    """Sweep a mutant and print a line of the table; return whether it is as it should be."""
    begun = time.monotonic()
    is_red, why = sweep(mutant, options)
    took = time.monotonic() - begun
    verdict = "red  " if is_red else "green"
    mark = "  " if is_red == wanted else "!!"
    print(f"{mark} {verdict} {took:5.0f} s  {mutant.name:45} {why}", flush=True)  # noqa: T201 - a command
    return is_red == wanted


if __name__ == "__main__":
    sys.exit(main())
