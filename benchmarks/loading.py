"""Fills a database with a world and its events, by COPY."""

import io
import json
from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple

from benchmarks.messages import COLUMNS, Batch, Stored, stored
from benchmarks.world import World
from mentat_reporter.store import schema
from mentat_reporter.store.connection import Connection, transaction
from mentat_reporter.store.importing import import_groups

CHUNK: Final = 20_000
"""Events that are copied at once."""


class Loaded(NamedTuple):
    """What the events of a batch come to."""

    units: int = 0
    """Groups, severities and directions that have any, in each window."""
    addresses: int = 0


def make_tables(connection: Connection, world: World) -> None:
    """Create the tables and import the groups of a world."""
    schema.initialise(connection, None)
    document = json.dumps(world.document()).encode()
    import_groups(connection, [("world", document)], replace=False)


def load_events(connection: Connection, world: World, batch: Batch) -> Loaded:
    """Store the events of a batch; return what they come to."""
    units: set[tuple[str, str, str, int]] = set()
    addresses = 0
    events = stored(batch, world.hosts)
    while chunk := list(islice(events, CHUNK)):
        units.update(*(event.units for event in chunk))
        addresses += sum(event.addresses for event in chunk)
        _copy(connection, chunk)
    settle(connection)
    return Loaded(len(units), addresses)


def settle(connection: Connection) -> None:
    """Have the server know its tables, and write out what it owes the disk."""
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze")
        cursor.execute("checkpoint")
    connection.autocommit = False


def _copy(connection: Connection, events: Sequence[Stored]) -> None:
    rows = "".join(f"{event.row}\n" for event in events)
    messages = "".join(f"{event.id}\t\\\\x{event.message.hex()}\n" for event in events)
    with transaction(connection), connection.cursor() as cursor:
        cursor.copy_expert(f"copy events ({', '.join(COLUMNS)}) from stdin", io.StringIO(rows), 1 << 20)
        cursor.copy_expert("copy events_json (id, event) from stdin", io.StringIO(messages), 1 << 20)
