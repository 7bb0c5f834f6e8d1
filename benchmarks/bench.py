"""Measures whole runs of the reporter, case by case, and prints a table.

    python -m benchmarks.bench [case …] [--scale 0.1] [--workers 2] [--profile folder] [--markdown file]

Every case has a database of its own, filled from a seed, on an embedded server or the one that `BENCH_DSN`
names. What is measured is one process with what it starts, not the server.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg2.extensions import parse_dsn

from benchmarks.cases import CASES
from benchmarks.playing import Dsn, Options, Played, play
from benchmarks.telling import lines, markdown
from mentat_reporter.store.embedded import Cluster


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="case", help=", ".join(case.name for case in CASES))
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the events")
    parser.add_argument("--workers", type=int, default=1, help="handed to the reporter")
    parser.add_argument("--profile", default="", help="a folder for what takes the time in each case")
    parser.add_argument("--markdown", type=Path, help="write the table and the machine there, too")
    chosen = parser.parse_args()
    unknown = set(chosen.cases) - {case.name for case in CASES}
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    options = Options(chosen.scale, chosen.workers, chosen.profile)
    with tempfile.TemporaryDirectory(prefix="mentat-reporter-bench-") as place, server() as dsn:
        played: list[Played] = []
        for case in CASES:
            if not chosen.cases or case.name in chosen.cases:
                print(f"{case.name} …", file=sys.stderr)
                played.append(play(case, dsn, Path(place), options))
        print("\n".join(lines(played, options)))
        if chosen.markdown:
            chosen.markdown.write_text(markdown(played, options, dsn))


@contextmanager
def server() -> Iterator[Dsn]:
    """Give a server that may create databases."""
    if named := os.environ.get("BENCH_DSN"):
        yield {keyword: str(value) for keyword, value in parse_dsn(named).items()}
        return
    home = Path(tempfile.mkdtemp(prefix="mentat-reporter-bench-"))
    cluster = Cluster(home, durable=False)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
