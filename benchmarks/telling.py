"""The figures of played cases as a table, against what is asked of them; and the machine."""

import os
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import psycopg2
from psycopg2.extensions import make_dsn

from benchmarks.cases import RATIO
from benchmarks.playing import Dsn, Options, Played
from mentat_reporter.result import table

HEADER: Final = (
    "case", "events", "reports", "mails", "wall s", "CPU s", "MiB", "events/s", "statements", "fetches",
    "floor s", "floors", "aim",
)  # fmt: skip
FIXED: Final = 30
A_UNIT: Final = 12
"""Statements that a run may make, and for each unit."""
REPORTS: Final = 200
"""Reports that one more statement may store."""
A_MAIL: Final = 2


class Verdict(NamedTuple):
    """A figure against its limit."""

    what: str
    figure: float
    limit: float

    def __str__(self) -> str:
        sign = "≤" if self.figure <= self.limit else "MISSED:"
        figure = f"{self.figure:,}" if isinstance(self.figure, int) else f"{self.figure:.2f}"
        return f"{self.what} {figure} {sign} {self.limit:,g}"


def lines(played: Sequence[Played], options: Options) -> list[str]:
    """Return the table, and beneath it what does not fit into a row."""
    return [*table(HEADER, map(row, played)), *notes(played, options)]


def row(played: Played) -> tuple[object, ...]:
    counts, cost = played.counts, played.cost
    floor = played.floor
    rate = round(played.case.events / cost.wall) if floor else "-"
    return (
        played.case.name, counts["events"], counts["reports"], counts["mails"],
        f"{cost.wall:.2f}", f"{cost.cpu:.2f}", round(cost.memory), rate,
        counts["statements"], counts["fetches"],
        f"{floor.cpu:.2f}" if floor else "-", f"{cost.cpu / floor.cpu:.1f}" if floor else "-",
        "; ".join(map(str, verdicts(played))) or "-",
    )  # fmt: skip


def verdicts(played: Played) -> Iterator[Verdict]:
    """Compare a case with what is asked of it."""
    aim, cost = played.case.aim, played.cost
    if aim.cpu is not None:
        yield Verdict("CPU", cost.cpu, aim.cpu)
    if aim.memory is not None:
        yield Verdict("MiB", round(cost.memory), aim.memory)
    if aim.floors is not None and played.floor:
        yield Verdict("floors", cost.cpu / played.floor.cpu, aim.floors)
    if aim.microseconds is not None and played.owners:
        yield Verdict("µs an address", played.owners[1], aim.microseconds)
    yield Verdict("statements", played.counts["statements"], allowed(played))


def allowed(played: Played) -> int:
    """Return how many statements a run may make; mail that ends in nothing counts as delivered."""
    counts = played.counts
    return FIXED + A_UNIT * played.loaded.units + counts["reports"] // REPORTS + A_MAIL * counts["mails"]


def notes(played: Sequence[Played], options: Options) -> Iterator[str]:
    named = {each.case.name: each for each in played}
    large, small, limit = RATIO
    if large in named and small in named:
        ratio = named[large].cost.cpu / named[small].cost.cpu
        yield str(Verdict(f"CPU of {large} / {small}:", ratio, limit))
    if "mixed-20k" in named and "networks-50k" in named:
        many = named["networks-50k"]
        more = many.cost.cpu - named["mixed-20k"].cost.cpu
        yield (
            f"{many.case.name}: {more:.2f} s of CPU more than without the small networks, "
            f"{more / many.loaded.addresses * 1e6:.1f} µs an address"
        )
    for each in played:
        if each.owners:
            seconds, microseconds = each.owners
            yield (
                f"{each.case.name}: {seconds:.2f} s of CPU to load the networks once, "
                f"{microseconds:.1f} µs to find the owners of an address"
            )
        if each.case.name == "extras-10k" and each.counts["mails"]:
            milliseconds = each.cost.cpu / each.counts["mails"] * 1000
            yield f"{each.case.name}: {milliseconds:.2f} ms of CPU a mail in all"
    if options.workers > 1:
        yield f"{options.workers} workers: MiB is the sum of the peaks of all processes"
    if options.scale != 1:
        yield f"with {options.scale:g} times the events of the cases: the aims do not hold for that"
    if options.profile:
        yield f"profiled: the figures mean little, see {options.profile}"


def markdown(played: Sequence[Played], options: Options, dsn: Dsn) -> str:
    rows = [HEADER, ("---", *["---:"] * (len(HEADER) - 2), "---"), *map(row, played)]
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells] for cells in rows]
    body = "\n".join(f"| {' | '.join(line)} |" for line in cells)
    rest = "".join(f"- {note}\n" for note in notes(played, options))
    return f"# What a run costs\n\n{machine(dsn)}\n\n{body}\n\n{rest}"


def machine(dsn: Dsn) -> str:
    """Describe the machine, without its name."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    with closing(psycopg2.connect(make_dsn(**dsn))) as connection, connection.cursor() as cursor:
        cursor.execute("show server_version")
        version = cursor.fetchall()[0][0].split()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {found[1].strip() if found else platform.machine()}, "
        f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, Python {platform.python_version()}, "
        f"PostgreSQL {version} on the same machine."
    )
