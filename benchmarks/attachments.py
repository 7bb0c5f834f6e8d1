"""What it takes to write the files of one large report: memory, and time an event.

    python benchmarks/attachments.py [events] [--extras]

Prints how far the memory of the process grew while the files were written, and what JSON with CSV, and the
archive of both, take an event. With `--extras` each address has its own report beside the summary.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.idea import StoredEvent, read_event
from mentat_reporter.core.model import Counters, Event, Place, Report
from mentat_reporter.files import put
from mentat_reporter.filing.events import Notes, Paths, write_events, write_extra
from mentat_reporter.outside import REAL
from mentat_reporter.render.attachments import Member, zipped
from mentat_reporter.session import Session
from mentat_reporter.settings import build_settings
from mentat_reporter.shelf import Shelf

EVENTS: Final = 100_000
ADDRESSES: Final = 250
AT: Final = datetime(2026, 5, 4, 12, tzinfo=UTC)
LO: Final = AT - timedelta(days=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("events", type=int, nargs="?", default=EVENTS)
    parser.add_argument("--extras", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mentat-reporter-bench-") as place:
        home = Path(place)
        settings, _ = build_settings({}, home=home)
        measure(Session(settings, logging.getLogger("benchmark"), print, REAL), home, chosen)


def address_of(number: int) -> str:
    return f"192.0.2.{number % ADDRESSES}"


def message_of(number: int) -> dict[str, Any]:
    """Return an event of about a kilobyte, as a detector of scans sends it."""
    time_of = (LO + timedelta(milliseconds=800 * number)).isoformat()
    return {
        "Format": "IDEA0",
        "ID": f"e{number:08}",
        "DetectTime": time_of,
        "EventTime": time_of,
        "CreateTime": time_of,
        "Category": ["Recon.Scanning"],
        "Description": "Horizontal scan of many hosts on one port",
        "ConnCount": number % 1000,
        "FlowCount": number % 77,
        "Source": [{"IP4": [address_of(number)], "Proto": ["tcp"], "Port": [40000 + number % 20000]}],
        "Target": [{"IP4": [f"198.51.100.{target}" for target in range(20)], "Port": [22], "Proto": ["ssh"]}],
        "Node": [{"Name": "org.example.flows", "SW": ["FlowScan"], "Type": ["Flow", "Statistical"]}],
        "_Mentat": {"ResolvedAbuses": ["abuse@example.org"], "EventClass": "recon-scanning"},
    }


def events_of(count: int) -> dict[str, Event]:
    shelf, found = Shelf(), {}
    for number in range(count):
        row = StoredEvent(f"e{number:08}", LO, "scan", None, "low", None, shadow=False, shadow_target=False)
        message = message_of(number)
        place = shelf.keep(orjson.dumps(message), message)
        found[row.id] = read_event(row, message, "low", messages=shelf, place=place)
    return found


def report_of(label: str, numbers: range, events: Mapping[str, Event]) -> Report:
    places: dict[str, tuple[Place, ...]] = {}
    for number in numbers:
        text = address_of(number)
        places[f"e{number:08}"] = (Place("recon-scanning", text, (parse_address(text),)),)
    return Report(
        label=label, type="summary", severity="low", shadow=False, test_data=False, chain=("a@example.org",),
        fallbacks=(), lo=LO, hi=AT, created=AT, counters=Counters(rep=len(numbers), all=len(numbers)),
        regular=[], relapsed=[], statistics={}, filtering={}, places=places, events=events,
    )  # fmt: skip


def measure(session: Session, home: Path, chosen: argparse.Namespace) -> None:
    count, extras = chosen.events, range(ADDRESSES if chosen.extras else 0)
    events = events_of(count)
    summary = report_of("M20260504SL-SUMMARY", range(count), events)
    parts = [report_of(f"M20260504EL-{n}", range(n, count, ADDRESSES), events) for n in extras]
    notes = Notes() if extras else None
    paths = paths_of(home, summary)
    told("JSON and CSV", count, lambda: write_events(session, summary, paths, notes))
    if notes is not None:
        told("extra reports", count, lambda: write_extras(session, home, paths, parts, notes))
    told("archive", count, lambda: archive(session, paths))
    print(f"{paths.json.stat().st_size / 1e6:.0f} MB of JSON, {paths.csv.stat().st_size / 1e6:.0f} MB of CSV")


def paths_of(home: Path, report: Report) -> Paths:
    return Paths(home / f"{report.label}.json", home / f"{report.label}.csv")


def write_extras(session: Session, home: Path, whole: Paths, parts: list[Report], notes: Notes) -> None:
    with whole.json.open("rb") as messages, whole.csv.open("rb") as rows:
        for part in parts:
            write_extra(session, part, paths_of(home, part), (messages.fileno(), rows.fileno()), notes)


def archive(session: Session, paths: Paths) -> None:
    members = (Member(path.name, path.stat().st_size, blocks(path)) for path in paths)
    put(session.outside.files, paths.json.with_suffix(".zip"), zipped(members, AT))


def blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1 << 18):
            yield block


def told(what: str, events: int, work: Callable[[], object]) -> None:
    """Do some work and print what it took."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the greatest size so far
    before = _kilobytes("VmRSS")
    begun = time.perf_counter()
    cpu = time.process_time()
    work()
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    grown = (_kilobytes("VmHWM") - before) / 1024
    print(
        f"{what}: {wall:.2f} s, {wall / events * 1e6:.1f} µs an event, of which {cpu / events * 1e6:.1f} µs"
        f" are CPU; memory grew by {grown:.1f} MB"
    )


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
