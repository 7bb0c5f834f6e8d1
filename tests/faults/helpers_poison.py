"""For faults of input: a thousand good events around the bad ones, and what was said and kept of these."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from integration.helpers_run import ADMIN, ALICE, BOB, CAROL, MINUTE, START, Reporter, Stored, event

from mentat_reporter.result import RunResult

PROGRAM: Final = Path(__file__).parents[2] / "bin" / "mentat-reporter.py"
AT: Final = START - MINUTE
TEN: Final = 10 * MINUTE
GOOD: Final = tuple(
    event(f"good {number:04}", AT, f"{('198.51.100', '203.0.113')[number % 2]}.{number % 250}")
    for number in range(1000)
)
"""A thousand events of Bob and Carol, none of Alice."""


def of_good(name: str) -> list[str]:
    """Return the ids of the good events of a group."""
    prefix = {BOB: "198.51.100", CAROL: "203.0.113"}[name]
    return [found.id for found in GOOD if prefix.encode() in (found.message or b"")]


def good_are_told(reporter: Reporter) -> bool:
    told = reporter.told()
    return told.get(BOB) == of_good(BOB) and told.get(CAROL) == of_good(CAROL)


def of_alice(reporter: Reporter) -> list[str]:
    return reporter.told().get(ALICE, [])


def quarantine(reporter: Reporter) -> dict[tuple[str, str], str]:
    """Return what is kept, by kind and reference, with its reason."""
    rows = reporter.rows("select kind, reference, error from mentat_reporter.quarantine")
    return {(kind, reference): error for kind, reference, error in rows}


def named(result: RunResult, *words: str) -> bool:
    """Tell whether the run exits 3 and one of its failures has all these words."""
    return result.exit_code == 3 and any(all(word in line for word in words) for line in result.failures)


def with_message(event_id: str, message: bytes | None) -> Stored:
    """Return an event of Alice whose message is these bytes."""
    return event(event_id, AT)._replace(message=message)


def to_groups(reporter: Reporter) -> list[str]:
    """Return whom the mails are for, but for what the admin is told of failures."""
    return sorted(name for name in reporter.recipients() if name != ADMIN)


def program(reporter: Reporter, *words: str, python: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Call the program as cron does, with the reporter's configuration, the interpreter with `python`."""
    config = reporter.place / "mentat-reporter.py.conf"
    config.write_text(json.dumps(reporter.config))
    folder = reporter.place / "core"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, *python, str(PROGRAM), *words]
    command += ["--config-file", str(config), "--config-dir", str(folder)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "MENTAT"))}
    env = {**kept, "MENTAT_REPORTER_HOME": str(reporter.home)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)
