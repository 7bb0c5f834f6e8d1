"""Real messages from other people's converters, odd as they are, are all stored."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.model import Network
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.filters.compile import compile_rule, compile_values
from mentat_reporter.store.connection import Connection, transaction
from mentat_reporter.store.import_events import EventsImported, import_events
from mentat_reporter.store.import_groups import import_groups
from mentat_reporter.store.message_files import find_sources
from mentat_reporter.store.resolver import Resolver, read_class_rules

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Import = Callable[[], EventsImported]
RULE: Callable[[str], Callable[[Mapping[str, Any]], bool]] = partial(
    compile_rule, language="ransack", now=NOW
)


def rows(connection: Connection, statement: str) -> list[Any]:
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


@pytest.fixture
def run(connection: Connection, feeds: Path) -> Import:
    """Import the groups of the feeds; return what imports their messages."""
    document = (feeds / "groups-feeds.json").read_bytes()
    values = partial(compile_values, language="ransack", now=NOW)
    done = import_groups(
        connection, [("groups-feeds.json", document)], replace=False, compile_rule=RULE, compile_values=values
    )
    assert (done.groups.created, done.event_classes.created, done.warnings) == (18, 19, [])
    networks = [
        Network(group, address.version, address.first, address.last, rank, is_base)
        for group, text, rank, is_base in rows(
            connection,
            "select g.name, network::text, 0, is_base from networks join groups g on g.id = group_id",
        )
        for address in [parse_address(text)]
    ]
    rules, warnings = read_class_rules(connection, RULE)
    assert warnings == []
    sources = find_sources([str(feeds / "idea-feeds.ndjson")])
    return lambda: import_events(connection, sources, Resolver(rules, Ownership(networks)), NOW)


def test_every_line_is_stored_and_every_oddity_named(run: Import) -> None:
    done = run()

    assert (done.read, done.stored, done.skipped, done.bad, done.exit_code) == (625, 625, 0, 0, 0)
    # No ID 6, one ID shared by 16 lines; no DetectTime 26.
    assert (done.renamed, done.undated) == (6 + 15, 26)
    assert sum("has no usable ID" in note for note in done.notes) == 6
    assert sum("is another message's" in note for note in done.notes) == 15
    assert len(done.notes) == 6 + 15 + 26
    assert 0 < done.unowned < 625 // 4


def test_stored_bytes_are_the_lines_of_the_file(connection: Connection, run: Import, feeds: Path) -> None:
    run()

    stored = sorted(bytes(event) for (event,) in rows(connection, "select event from events_json"))
    assert stored == sorted((feeds / "idea-feeds.ndjson").read_bytes().splitlines())


def test_severities_and_columns_are_what_the_feeds_say(
    connection: Connection, run: Import, feeds: Path
) -> None:
    run()

    found = dict(rows(connection, "select eventseverity, count(*) from events group by 1"))
    # One line matches two classes, four match none and are low.
    assert sum(found.values()) == 625
    assert {name: found[name] for name in ("info", "medium", "high", "critical")} == {
        "info": 63, "medium": 144, "high": 175, "critical": 37,
    }  # fmt: skip
    assert rows(connection, "select count(*) from events where eventclass is null") == [(4,)]
    lines = [json.loads(line) for line in (feeds / "idea-feeds.ndjson").read_bytes().splitlines()]
    unnamed = sum(not line.get("Node") for line in lines)
    assert rows(connection, "select count(*) from events where node_name = '{}'") == [(unnamed,)]
    assert rows(connection, "select count(*) from events where 'some string' = any (category)") == [(1,)]


def test_a_second_import_skips_them_all(run: Import) -> None:
    run()

    done = run()

    assert (done.read, done.stored, done.skipped, done.notes) == (625, 0, 625, [])
