"""Kills a run at every boundary, lets the next ones recover, and checks that nothing is lost or told twice.

    python -m faults.sweep --singles all --pairs 400 --seed 1

Every point begins in a clone of a prepared world. The run of T is killed at its boundary of that number, for
a pair the run that recovers too; then T is run to its end, then ten minutes and a day later, each time with
new events. Variants put a transaction in the way that stores events of the windows killed and commits after
recovery, in a server where nobody else works or in one where others do.
"""

import argparse
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Final, NamedTuple

from faults import sweep_world
from faults.arena import Arena, Place, store
from faults.bystanders import Noise, Writer
from faults.invariants import Findings
from faults.runner import Outcome

CHANGES: Final = ("commit", "smtp final dot", "file make_folder", "file open", "file rename", "file remove")
"""What leaves a trace. Between two of them it is all the same, to those who come after, where a run died."""
COMPLAINTS: Final = "complaints"
RECOVERY: Final = 60
"""How many boundaries more than what was left a recovery may have."""


class Variant(NamedTuple):
    name: str
    writes: bool
    """Whether transactions are open that store events of the windows killed, and commit after recovery."""
    noisy: bool
    apart: bool
    """Whether events have a server of their own, where nobody else takes transaction ids."""
    transport: str = "smtp"


VARIANTS: Final = {
    variant.name: variant
    for variant in (
        Variant("plain", writes=False, noisy=False, apart=False),
        Variant("maildir", writes=False, noisy=False, apart=False, transport="maildir"),
        Variant("noisy", writes=False, noisy=True, apart=False),
        Variant("writer-quiet", writes=True, noisy=False, apart=True),
        Variant("writer-noisy", writes=True, noisy=True, apart=False),
    )
}


class Verdict(NamedTuple):
    """What became of one point."""

    variant: str
    fatal: tuple[int, ...]
    """Numbers of the boundaries at which runs were to be killed."""
    where: str
    """The first of them by name."""
    kills: int
    findings: Findings
    complaints: tuple[str, ...]
    """What runs complained of, or ended with, that had nothing to complain of."""

    @property
    def is_bad(self) -> bool:
        found = self.findings
        return bool(found.all or self.complaints) or found.duplicate_mails > self.kills

    def __str__(self) -> str:
        found = self.findings
        first = next(iter((*self.complaints, *found.all)), "")
        return (
            f"{self.variant} {'+'.join(map(str, self.fatal))} ({self.where}): lost {len(found.lost)}, "
            f"twice {len(found.twice)}, other faults {len(found.faults)}, "
            f"duplicate mails {found.duplicate_mails}, {COMPLAINTS} {len(self.complaints)}; {first}"
        )


@dataclass
class Sum:
    """The figures of many points."""

    points: int = 0
    killed: int = 0
    judged: int = 0
    lost: int = 0
    twice: int = 0
    faults: int = 0
    complaints: int = 0
    duplicate_mails: int = 0
    bad: int = 0

    def add(self, verdict: Verdict) -> None:
        found = verdict.findings
        self.points += 1
        self.killed += verdict.kills
        self.judged += found.judged
        self.lost += len(found.lost)
        self.twice += len(found.twice)
        self.faults += len(found.faults)
        self.complaints += len(verdict.complaints)
        self.duplicate_mails += found.duplicate_mails
        self.bad += verdict.is_bad

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def __str__(self) -> str:
        return (
            f"{self.points} points, {self.killed} kills, {self.judged} events judged: lost {self.lost}, "
            f"twice {self.twice}, other faults {self.faults}, {COMPLAINTS} {self.complaints}, "
            f"duplicate mails {self.duplicate_mails}"
        )


def play(arena: Arena, variant: Variant, fatal: Sequence[int]) -> Verdict:
    """Play one point: kill the run of T, then those that recover, at these boundaries."""
    names = arena.boundaries(variant.transport)
    arena.collect()
    with arena.clone(variant.transport) as place, ExitStack() as ends:
        writers = [Writer(place.events, sweep_world.by_writer(number)) for number in (1, 2) if variant.writes]
        for writer in writers:
            ends.callback(writer.close)
        ends.enter_context(Noise(place.events, arena.events_server) if variant.noisy else nullcontext())
        outcomes = [arena.run(place, sweep_world.T, boundary) for boundary in (*fatal, None)]
        outcomes += _go_on(arena, place, writers)
        findings = place.check(sweep_world.D, arena.collect())
    complaints = tuple(text for outcome in outcomes for text in _complaints(outcome))
    kills = sum(outcome["killed"] for outcome in outcomes)
    where = names[fatal[0] - 1] if fatal and fatal[0] <= len(names) else "no kill"
    return Verdict(variant.name, tuple(fatal), where, kills, findings, complaints)


def _go_on(arena: Arena, place: Place, writers: Sequence[Writer]) -> Iterator[Outcome]:
    """Run ten minutes and a day later; one of the writers commits before each."""
    stored = (
        (sweep_world.N, (*sweep_world.visible_after_t(), *sweep_world.before_n())),
        (sweep_world.D, tuple(sweep_world.before_d())),
    )
    for number, (now, events) in enumerate(stored):
        for writer in writers[number : number + 1]:
            writer.commit()
        store(place.events, events)
        yield arena.run(place, now)


def _complaints(outcome: Outcome) -> Iterator[str]:
    if outcome["error"]:
        yield f"a run ended with {outcome['error'].splitlines()[-1]}"
    for failure in outcome["failures"]:
        if not any(word in failure for word in sweep_world.NAMED):
            yield f"a run named a failure: {failure}"


def singles(names: Sequence[str], wanted: str, seed: int) -> list[tuple[int, ...]]:
    """Return points of one kill: `all`, those that are `telling`, or so many of these, drawn by the seed."""
    if wanted == "all":
        return [(number,) for number in range(1, len(names) + 1)]
    telling: list[tuple[int, ...]] = [
        (1,),
        *((number + 2,) for number, name in enumerate(names[:-1]) if name.startswith(CHANGES)),
    ]
    if wanted == "telling":
        return telling
    return random.Random(seed).sample(telling, min(int(wanted), len(telling)))  # noqa: S311 - a repeatable draw


def pairs(names: Sequence[str], wanted: int, seed: int) -> list[tuple[int, ...]]:
    """Return points of two kills, drawn by the seed: of the run of T, and of the one that recovers."""
    draw = random.Random(seed)  # noqa: S311 - a repeatable draw
    last = len(names)
    firsts = [draw.randint(1, last) for _ in range(wanted)]
    return [(first, draw.randint(1, last - first + RECOVERY)) for first in firsts]


class Plan(NamedTuple):
    """What one process of a sweep plays: every so-manieth point, beginning with one."""

    variants: tuple[str, ...]
    singles: str
    pairs: int
    seed: int
    at: tuple[int, ...] = ()
    """This point alone, if there is any."""
    part: int = 0
    parts: int = 1
    over: Any = None
    """An event between processes: something bad was found, which is enough."""


def sweep(plan: Plan) -> Iterator[Verdict]:
    """Play a plan's points in arenas of their own."""
    for apart in (False, True):
        variants = [VARIANTS[name] for name in plan.variants if VARIANTS[name].apart == apart]
        if variants:
            arena = Arena(apart=apart)
            try:
                yield from _sweep(arena, variants, plan)
            finally:
                arena.close()


def _sweep(arena: Arena, variants: Iterable[Variant], plan: Plan) -> Iterator[Verdict]:
    for variant in variants:
        names = arena.boundaries(variant.transport)
        points = [*singles(names, plan.singles, plan.seed), *pairs(names, plan.pairs, plan.seed)]
        if plan.at:
            points = [plan.at]
        for fatal in points[plan.part :: plan.parts]:
            yield play(arena, variant, fatal)


def work(plan: Plan) -> Sum:
    """Play a plan, say what is bad at once, and sum up."""
    total = Sum()
    for verdict in sweep(plan):
        total.add(verdict)
        if verdict.is_bad:
            print(verdict, flush=True)  # noqa: T201 - a command
            if plan.over is not None:
                plan.over.set()
        if plan.over is not None and plan.over.is_set():
            break
    return total


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sweep", description=__doc__)
    parser.add_argument("--singles", default="telling", help="all, telling, or how many of these (0: none)")
    parser.add_argument("--pairs", type=int, default=0, help="how many points of two kills, a variant")
    parser.add_argument("--at", type=int, nargs="+", default=(), help="one point alone, by its boundaries")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stop", action="store_true", help="stop at the first point that is bad")
    return parser.parse_args()


def main() -> int:
    """Sweep in several processes; 1 if a point was bad."""
    chosen = _arguments()
    whole = Plan(tuple(chosen.variants), chosen.singles, chosen.pairs, chosen.seed, tuple(chosen.at))
    context = get_context("spawn")
    total = Sum()
    with context.Manager() as manager, ProcessPoolExecutor(chosen.workers, mp_context=context) as pool:
        whole = whole._replace(parts=chosen.workers, over=manager.Event() if chosen.stop else None)
        plans = [whole._replace(part=part) for part in range(chosen.workers)]
        for found in pool.map(work, plans):
            total += found
    print(total)  # noqa: T201 - a command
    return 1 if total.bad or not total.points else 0


if __name__ == "__main__":
    sys.exit(main())
