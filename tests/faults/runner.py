"""Runs the reporter again and again, each time in a fork of a process that has everything loaded.

    python -m faults.runner

Each line of standard input is an order, each line of standard output what became of it, both JSON. The
process has one thread and, when it forks, no connection, so that a fork is whole. Runs that warm it up, which
it does itself, leave behind what costs time and no run depends on: loaded modules and compiled templates.
"""

import gc
import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Final, TypedDict

from faults import breaking
from jinja2 import Environment

import mentat_reporter.delivery.deliver
import mentat_reporter.delivery.smtp
import mentat_reporter.delivery.transports
import mentat_reporter.render.templates
import mentat_reporter.today
import mentat_reporter.unit  # noqa: F401 - loaded for the forks
from mentat_reporter import run
from mentat_reporter.settings import build_settings

LOG: Final = logging.getLogger("mentat_reporter.faults")


class Order(TypedDict):
    """One regular run."""

    config: dict[str, Any]
    home: str
    time: str
    fatal: int | None
    """The boundary at which it is killed."""
    warms_up: bool


class Outcome(TypedDict):
    """What became of a run; without `error` and not killed: it came to its end."""

    killed: bool
    error: str
    failures: list[str]
    boundaries: list[str]


def _work(order: Order) -> Outcome:
    counter = breaking.Counter(order["fatal"])
    options = {"regular": True, "time_high": order["time"]}
    settings, _ = build_settings(order["config"], home=Path(order["home"]), named=options)
    result = run.report(settings, LOG, lambda _text: None, breaking.outside(counter))
    return Outcome(killed=False, error="", failures=result.failures, boundaries=counter.names)


def _in_child(order: Order, out: int) -> None:
    try:
        outcome = _work(order)
    except BaseException:  # noqa: BLE001 - told to whoever ordered, whatever it is
        outcome = Outcome(killed=False, error=traceback.format_exc(), failures=[], boundaries=[])
    with os.fdopen(out, "w") as pipe:
        json.dump(outcome, pipe)


def carry_out(order: Order) -> Outcome:
    if order["warms_up"]:
        return _work(order)
    gc.freeze()  # what is loaded stays shared with the fork
    inward, outward = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(inward)
        _in_child(order, outward)
        os._exit(0)
    os.close(outward)
    with os.fdopen(inward) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    if not said:
        return Outcome(killed=True, error="", failures=[], boundaries=[])
    outcome: Outcome = json.loads(said)
    return outcome


def remember_templates() -> None:
    """Compile each text of a template once for all forks."""
    known: dict[Any, Any] = {}
    compiled = Environment.compile

    def remembered(self: Environment, source: Any, *rest: Any) -> Any:
        key = (source, *rest)
        if key not in known:
            known[key] = compiled(self, source, *rest)
        return known[key]

    Environment.compile = remembered  # type: ignore[method-assign,assignment] # one form of several


if __name__ == "__main__":
    remember_templates()
    LOG.addHandler(logging.NullHandler())
    LOG.propagate = False
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), flush=True)  # noqa: T201 - the answer
