"""The commands that fill the databases: init, import-groups, import-events."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mentat_reporter import takeover
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.errors import EXIT_DONE, EXIT_PARTLY, InputError
from mentat_reporter.filters.compile import compile_rule, compile_values
from mentat_reporter.links import databases
from mentat_reporter.settings import Settings
from mentat_reporter.store import groups, importing, schema, state
from mentat_reporter.store.connection import EVENT_LIMITS, STATE_LIMITS, Connection, connect, transaction


@dataclass(slots=True)
class ImportResult:
    """What an import did: `said` line by line, `noted` oddities, and the `faults` that make it exit 3."""

    said: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return EXIT_PARTLY if self.faults else EXIT_DONE


@contextmanager
def _connected(settings: Settings) -> Iterator[tuple[Connection, Connection | None]]:
    """Connect to the main database, and to the events database if it is another one."""
    main_dsn, events_dsn = databases(settings)
    main = connect(main_dsn, what="main", limits=STATE_LIMITS)
    try:
        if events_dsn == main_dsn:
            yield main, None
            return
        events = connect(events_dsn, what="events", limits=EVENT_LIMITS)
        try:
            yield main, events
        finally:
            events.close()
    finally:
        main.close()


def initialise(settings: Settings) -> list[str]:
    """Create what is missing in the databases; return what was done."""
    with _connected(settings) as (main, events):
        made = schema.initialise(main, events)
        schema.require_main(main)
        schema.require_events(events or main)
        return [*made, *takeover.take_over(main, events or main, settings.reporter.late_margin)]


def _document(name: str) -> tuple[str, bytes]:
    if name == "-":
        return "<stdin>", sys.stdin.buffer.read()
    try:
        return name, Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error


def import_groups(settings: Settings, files: Sequence[str], *, replace: bool) -> ImportResult:
    """Import documents of groups, rules, detectors and classes, all or nothing.

    Raises InputError that names every fault by file and path.
    """
    documents = [_document(name) for name in files]
    language = settings.reporter.filter_language
    with _connected(settings) as (main, events):
        schema.require_main(main)
        schema.require_events(events or main)
        with transaction(main):
            now = settings.run.time_high or state.now(main)
        done = importing.import_groups(
            main,
            documents,
            replace=replace,
            compile_rule=partial(compile_rule, language=language, now=now),
            compile_values=partial(compile_values, language=language, now=now),
        )
    return ImportResult(said=done.lines(), noted=done.warnings)


def import_events(settings: Settings, files: Sequence[str]) -> ImportResult:
    """Import IDEA0 messages; a bad one is named and the rest goes on."""
    sources = importing.find_sources(files)
    with _connected(settings) as (main, events):
        schema.require_main(main)
        schema.require_events(events or main)
        with transaction(main):
            now = settings.run.time_high or state.now(main)
            house = groups.load(main, now)
        compile_text = partial(compile_rule, language=settings.reporter.filter_language, now=now)
        rules, warnings = importing.read_class_rules(main, compile_text)
        resolver = importing.Resolver(rules, Ownership(house.networks))
        done = importing.import_events(events or main, sources, resolver, now)
    return ImportResult(said=[_events_line(done)], noted=[*warnings, *done.notes], faults=done.faults)


def _events_line(done: importing.EventsImported) -> str:
    return (
        f"{done.read:,} messages: {done.stored:,} stored, {done.skipped:,} skipped (stored before), "
        f"{done.bad:,} bad; of those stored {done.renamed:,} under an id made from their bytes, "
        f"{done.undated:,} without a detect time, {done.unowned:,} of nobody's networks"
    )
