"""Drive the real program through a world and compare what it stores with what the model expects.

Run from the command line (`python tests/model/compare.py`) or by test_model.py.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg2
import psycopg2.extras
from model.oracle import COUNTERS, ExpectedReport, Model, StoredEvent
from model.server import fresh_database, server
from model.worlds import World, world

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("MENTAT_REPORTER_PROGRAM", ROOT / "bin" / "mentat-reporter.py"))
DONE, PARTLY = 0, 3
REPORTS = """
    SELECT r.*, coalesce(array_agg(g.name) FILTER (WHERE g.name IS NOT NULL), '{}') AS names
    FROM reports_events r
    LEFT JOIN asoc_groups_reports a ON a.report_id = r.id
    LEFT JOIN groups g ON g.id = a.group_id
    GROUP BY r.id
    ORDER BY r.id
"""


class ProgramError(Exception):
    """The program ended with an exit code that is no success."""


class Identity(NamedTuple):
    """What a report is, chain order apart (the database does not keep it)."""

    type: str
    severity: str
    shadow: bool
    names: tuple[str, ...]
    lo: datetime
    hi: datetime
    address: str

    def __str__(self) -> str:
        flags = " shadow" if self.shadow else ""
        address = f" at {self.address}" if self.address else ""
        window = f"[{self.lo:%m-%d %H:%M}, {self.hi:%m-%d %H:%M})"
        return f"{self.type} {self.severity}{flags} {window} {', '.join(self.names)}{address}"


@dataclass(frozen=True)
class Facts:
    """A report in a form in which both sides can be compared."""

    identity: Identity
    fields: dict[str, Any]

    def differences(self, found: Facts) -> dict[str, tuple[Any, Any]]:
        return {
            name: (value, found.fields[name])
            for name, value in self.fields.items()
            if value != found.fields[name]
        }


# --- the two sides --------------------------------------------------------------------------------


def expected_facts(report: ExpectedReport) -> Facts:
    names = tuple(sorted(report.chain))
    identity = Identity(
        report.type, report.severity, report.shadow, names, report.lo, report.hi, report.address or ""
    )
    parent = identity._replace(type="summary", address="") if report.type == "extra" else None
    sections: dict[str, Any] = {"regular": report.regular, "relapsed": report.relapsed}
    if report.type == "target":
        totals = {"regular": report.regular_events, "relapsed": report.relapsed_events}
        sections = {
            name: {event_class: (totals[name][event_class], sorted(by)) for event_class, by in tally.items()}
            for name, tally in sections.items()
        }
    facts = {
        "list_ids": sorted(report.event_ids),
        **report.counters,
        **sections,
        "mail_to": report.mail_to,
        "parent": parent,
    }
    return Facts(identity, facts)


def stored_facts(row: dict[str, Any], parents: dict[int, Identity]) -> Facts:
    try:
        return read_row(row, parents)
    except (AttributeError, KeyError, TypeError) as error:
        raise ProgramError(f"report {row.get('label')} cannot be read: {error!r}\n{row}") from error


def read_row(row: dict[str, Any], parents: dict[int, Identity]) -> Facts:
    data = row["structured_data"] or {}
    sections = {name: stored_section(row["type"], data.get(name) or {}) for name in ("regular", "relapsed")}
    identity = Identity(
        row["type"],
        row["severity"],
        row["flag_shadow"],
        tuple(sorted(row["names"])),
        row["dt_from"].replace(tzinfo=UTC),
        row["dt_to"].replace(tzinfo=UTC),
        extra_address(sections) if row["type"] == "extra" else "",
    )
    parents[row["id"]] = identity
    facts = {
        "list_ids": sorted((row["statistics"] or {}).get("list_ids", [])),
        **{name: row[name] for name in COUNTERS},
        **sections,
        "mail_to": row["mail_to"] or [],
        # flag_mailed is not compared: a group in redirect that nobody has an address for goes to the admin
        "parent": parents.get(row["parent_id"]),
    }
    return Facts(identity, facts)


def extra_address(sections: dict[str, dict[str, Any]]) -> str:
    """Name the one address of an extra report; should it have several, all of them."""
    found = {address for by_class in sections.values() for by in by_class.values() for address in by}
    return ", ".join(sorted(found))


def stored_section(kind: str, section: dict[str, Any]) -> dict[str, Any]:
    if kind != "target":
        return {
            event_class: {address: found["event_count"] for address, found in by_address.items()}
            for event_class, by_address in section.items()
        }
    return {
        event_class: (found["event_count"], sorted(relevant_addresses(found)))
        for event_class, found in section.items()
    }


def relevant_addresses(found: dict[str, Any]) -> set[str]:
    detectors = (found["detector_data"] or {}).values()
    return {address for data in detectors for address in data["target_list_data"]["relevant_ips"]}


# --- comparison -----------------------------------------------------------------------------------


def compare(expected: list[Facts], found: list[Facts]) -> list[str]:
    """Say what is missing, unexpected and different."""
    lines: list[str] = []
    sides: defaultdict[Identity, tuple[list[Facts], list[Facts]]] = defaultdict(lambda: ([], []))
    for facts in expected:
        sides[facts.identity][0].append(facts)
    for facts in found:
        sides[facts.identity][1].append(facts)
    for identity in sorted(sides):
        wanted, stored = sides[identity]
        for facts in wanted:
            if not stored:
                lines.append(f"missing    {identity}: {summary(facts)}")
                continue
            nearest = min(stored, key=lambda other: len(facts.differences(other)))
            stored.remove(nearest)
            if differing := facts.differences(nearest):
                lines.append(f"different  {identity}")
                lines += [f"             {field_line(name, *pair)}" for name, pair in differing.items()]
        lines += [f"unexpected {identity}: {summary(facts)}" for facts in stored]
    return lines


def summary(facts: Facts) -> str:
    shown = {name: facts.fields[name] for name in ("regular", "relapsed", "mail_to", "list_ids")}
    return " ".join(f"{name}={value}" for name, value in shown.items() if value)


def field_line(name: str, expected: Any, found: Any) -> str:
    if name == "list_ids":
        lost, extra = set(expected) - set(found), set(found) - set(expected)
        twice = len(found) - len(set(found))
        return f"list_ids: missing {sorted(lost)}, unexpected {sorted(extra)}, named again {twice}"
    return f"{name}: expected {expected}, found {found}"


# --- the program ----------------------------------------------------------------------------------


class Program:
    """The reporter in a folder and a database of its own."""

    def __init__(self, folder: Path, database_url: str, subject: World) -> None:
        self.folder = folder
        self.database_url = database_url
        self.seen: dict[int, Identity] = {}
        self.imported: set[str] = set()
        self.configuration = self.write("reporter.json", json.dumps(self.settings(subject), indent=1))

    def settings(self, subject: World) -> dict[str, Any]:
        return {
            "__core__database": {"sqlstorage": {"url": self.database_url}},
            "__core__reporter": {
                "reports_dir": str(self.folder / "reports"),
                "lock_file": str(self.folder / "lock"),
                "fallback": list(subject.fallback),
                "default_mode": subject.default_mode,
            },
            "mail_transport": "null",
            "mail_from": "reporter@example.org",
            "mail_admin": ["admin@example.org"],
        }

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def command(self, *arguments: str, accepted: tuple[int, ...] = (DONE,)) -> None:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "MENTAT_REPORTER_HOME": str(self.folder / "home"),
            "RANSACK_CACHE_PATH": str(self.folder / "ransack_cache"),
        }
        done = subprocess.run(
            [sys.executable, str(PROGRAM), *arguments, "--config-file", str(self.configuration)],
            capture_output=True,
            check=False,
            cwd=self.folder,
            env=environment,
            text=True,
        )
        if done.returncode not in accepted:
            said = (done.stdout[-1500:] + "\n" + done.stderr[-3000:]).strip()
            raise ProgramError(f"{' '.join(arguments)}: exit {done.returncode}\n{said}")

    def import_groups(self, document: dict[str, Any]) -> None:
        self.command("import-groups", str(self.write("groups.json", json.dumps(document, indent=1))))

    def import_events(self, events: list[StoredEvent]) -> None:
        new = [event for event in events if event.id not in self.imported]
        if new:
            lines = "".join(json.dumps(event.message) + "\n" for event in new)
            self.command("import-events", str(self.write("events.ndjson", lines)))
            self.imported |= {event.id for event in new}

    def report(self, now: datetime) -> list[Facts]:
        moment = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if now.microsecond else "%Y-%m-%dT%H:%M:%SZ")
        self.command("report", "--regular", "--time-high", moment, accepted=(DONE, PARTLY))
        return [stored_facts(row, self.seen) for row in rows(self.database_url) if row["id"] not in self.seen]


def rows(url: str) -> Iterator[dict[str, Any]]:
    with (
        contextlib.closing(psycopg2.connect(url)) as connection,
        connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor,
    ):
        cursor.execute(REPORTS)
        for row in cursor.fetchall():
            yield dict(row)


# --- a world, and many ----------------------------------------------------------------------------


def differences(seed: int, database_url: str) -> list[str]:
    """Given an empty database, play the seed's world; stop after the first run that differs."""
    subject = world(seed)
    model = Model(subject.groups_document, fallback=subject.fallback, default_mode=subject.default_mode)
    with tempfile.TemporaryDirectory(prefix=f"world-{seed}-") as folder:
        program = Program(Path(folder), database_url, subject)
        try:
            program.command("init")
            program.import_groups(subject.groups_document)
            for number, now in enumerate(subject.run_times):
                if changed := subject.changes.get(number):
                    program.import_groups(changed)
                    model.read_groups(changed)
                events = stored_by(subject, now)
                program.import_events(events)
                found = program.report(now)
                expected = [expected_facts(report) for report in model.run(events, now)]
                if lines := compare(expected, found):
                    head = f"seed {seed}, run {number} at {now.isoformat()} ({len(expected)} expected)"
                    return [head, *lines]
        except ProgramError as error:
            return [f"seed {seed}: {error}"]
    return []


def stored_by(subject: World, now: datetime) -> list[StoredEvent]:
    if subject.import_at_once:
        return subject.events
    return [event for event in subject.events if event.storage_time < now]


def try_seed(seed: int, server_url: str) -> list[str]:
    with fresh_database(server_url) as url:
        return differences(seed, url)


def seeds(text: str) -> list[int]:
    """Read `3`, `0-50` or `1,4,7-9`."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare the program with the model over random worlds.")
    parser.add_argument("--seeds", type=seeds, default=seeds("0-11"), help="such as 0-50 or 3,7")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--lines", type=int, default=40, help="lines shown of each differing seed")
    parser.add_argument("--show", type=int, default=3, help="differing seeds shown in full")
    chosen = parser.parse_args(arguments)
    with server() as url, ThreadPoolExecutor(chosen.jobs) as pool:
        results = dict(zip(chosen.seeds, pool.map(lambda s: try_seed(s, url), chosen.seeds), strict=True))
    differing = {seed: lines for seed, lines in results.items() if lines}
    for lines in list(differing.values())[: chosen.show]:
        say("\n".join(lines[: chosen.lines]) + "\n")
        if len(lines) > chosen.lines:
            say(f"… and {len(lines) - chosen.lines} lines more\n")
    say(f"{len(results) - len(differing)} of {len(results)} worlds agree")
    if differing:
        say(f"differing seeds: {', '.join(map(str, differing))}")
    return 1 if differing else 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
