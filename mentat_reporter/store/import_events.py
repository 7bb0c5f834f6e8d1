"""`import-events`: messages → events, in batches that each commit: a broken import can be repeated."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson
import psycopg2
from psycopg2 import errors

from mentat_reporter.errors import EXIT_DONE, EXIT_PARTLY, MessageError, StoreError
from mentat_reporter.store.connection import Connection, transaction
from mentat_reporter.store.event_rows import EventRow, derived_id, read_row
from mentat_reporter.store.message_files import Found, Source, find_messages, salvage
from mentat_reporter.store.queries import get
from mentat_reporter.store.resolver import Resolver

BATCH: Final = 1000
BATCH_BYTES: Final = 16 << 20
_ROW_FAULTS: Final = (psycopg2.DataError, psycopg2.IntegrityError, errors.ProgramLimitExceeded, TypeError)
"""What one row can do to a batch; anything else is the database's trouble and ends the import."""


@dataclass(slots=True)
class EventsImported:
    """What an import of events did: every message read is stored, skipped or bad."""

    read: int = 0
    stored: int = 0
    skipped: int = 0
    """Stored before, byte by byte."""
    renamed: int = 0
    """Stored under an id made from their bytes."""
    undated: int = 0
    """Stored without a usable DetectTime."""
    unowned: int = 0
    """Stored, and nobody's."""
    bad: int = 0
    faults: list[str] = field(default_factory=list)
    """A line for each bad message or source: file, line, why."""
    notes: list[str] = field(default_factory=list)
    """A line for each oddity of what was stored."""

    @property
    def exit_code(self) -> int:
        return EXIT_PARTLY if self.bad else EXIT_DONE

    def refuse(self, where: str, why: object) -> None:
        self.bad += 1
        self.faults.append(f"{where}: {why}")


class _Message(NamedTuple):
    where: str
    message: bytes
    row: EventRow
    id: str
    digest: bytes

    def renamed(self) -> "_Message":
        return self._replace(id=derived_id(self.message))


def import_events(
    events: Connection, sources: Iterable[Source], resolver: Resolver, now: datetime
) -> EventsImported:
    """Store the messages of sources; what is bad is named and the rest goes on.

    Raises StoreError if the database fails; the batches before stay stored.
    """
    run = _Import(events, resolver, now)
    try:
        for source in sources:
            for found in find_messages(source):
                run.add(found)
        run.flush()
    except psycopg2.Error as error:
        raise StoreError(f"the events cannot be stored: {str(error).strip()}") from error
    run.done.notes += [
        f"event class '{name}': its rule fails on some messages: {why}"
        for name, why in resolver.failures.items()
    ]
    return run.done


class _Import:
    def __init__(self, events: Connection, resolver: Resolver, now: datetime) -> None:
        self.done = EventsImported()
        self._events = events
        self._resolver = resolver
        self._now = now
        self._begun = time.monotonic()
        self._batch: list[Found] = []
        self._bytes = 0

    def add(self, found: Found) -> None:
        self._batch.append(found)
        self._bytes += len(found.message)
        if len(self._batch) >= BATCH or self._bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Store the batch. What another writer was quicker with is looked at anew."""
        batch, self._batch, self._bytes = self._batch, [], 0
        now = self._storage_time()
        pending = [message for found in batch for message in self._read(found, now)]
        while pending:
            chosen = self._choose(pending)
            stored = self._store(chosen)
            pending = [message for message in chosen if message.id not in stored]

    def _storage_time(self) -> datetime:
        """Return now, and in an import that takes minutes go with them: what is stored must not lie
        further back than a run looks for late events.
        """
        return self._now + timedelta(minutes=(time.monotonic() - self._begun) // 60)

    def _read(self, found: Found, now: datetime) -> Iterator[_Message]:
        self.done.read += 1
        if found.fault is not None:
            self.done.refuse(found.where, found.fault)
            return
        try:
            row = read_row(found.message, self._resolver, now)
        except MessageError as error:
            self.done.refuse(found.where, error)
            for saved in salvage(found):
                yield from self._read(saved, now)
            return
        own = row.id or derived_id(found.message)
        yield _Message(found.where, found.message, row, own, sha256(found.message).digest())

    def _choose(self, pending: Sequence[_Message]) -> list[_Message]:
        """Return what is to be stored, under which ids; skip what is there already."""
        taken = self._known([message.id for message in pending])
        chosen, clashing = self._sifted(pending, taken)
        renamed = [message.renamed() for message in clashing]
        taken = self._known([message.id for message in renamed]) | taken
        more, again = self._sifted(renamed, taken)
        for message in again:
            self.done.refuse(message.where, f"its ID and {message.id}, made from it, are other messages'")
        return chosen + more

    def _sifted(
        self, messages: Sequence[_Message], taken: dict[str, bytes]
    ) -> tuple[list[_Message], list[_Message]]:
        """Part messages into those whose ids are free, and those whose ids are other messages'."""
        free, clashing = [], []
        for message in messages:
            digest = taken.get(message.id)
            if digest is None:
                taken[message.id] = message.digest
                free.append(message)
            elif digest == message.digest:
                self.done.skipped += 1
            else:
                clashing.append(message)
        return free, clashing

    def _known(self, ids: list[str]) -> dict[str, bytes]:
        """Return the digests of what is stored under ids; empty for an event without its message."""
        if not ids:
            return {}
        with transaction(self._events), self._events.cursor() as cursor:
            cursor.execute(get("importing.known_events"), {"ids": ids})
            return {name: bytes(digest or b"") for name, digest in cursor}

    def _store(self, messages: Sequence[_Message]) -> set[str]:
        """Store messages and return the ids of those that need not be looked at again."""
        if not messages:
            return set()
        try:
            stored = self._insert(messages)
        except _ROW_FAULTS as error:
            if len(messages) > 1:
                return {name for message in messages for name in self._store([message])}
            self.done.refuse(messages[0].where, f"cannot be stored: {str(error).splitlines()[0]}")
            return {messages[0].id}
        for message in messages:
            if message.id in stored:
                self._count(message)
        return stored

    def _insert(self, messages: Sequence[_Message]) -> set[str]:
        rows = [{"id": message.id, **message.row.columns} for message in messages]
        with transaction(self._events), self._events.cursor() as cursor:
            cursor.execute(get("importing.insert_events"), {"rows": orjson.dumps(rows).decode()})
            stored = {name for (name,) in cursor}
            written = [message for message in messages if message.id in stored]
            parameters: dict[str, Any] = {
                "ids": [message.id for message in written],
                "messages": [message.message for message in written],
            }
            cursor.execute(get("importing.insert_messages"), parameters)
        return stored

    def _count(self, message: _Message) -> None:
        row = message.row
        self.done.stored += 1
        self.done.undated += row.undated
        self.done.unowned += not row.owned
        oddities = list(row.oddities)
        if message.id != row.id:
            self.done.renamed += 1
            reason = "has no usable ID" if row.id is None else f"its ID {row.id} is another message's"
            oddities.append(f"{reason}, stored as {message.id}")
        self.done.notes += [f"{message.where}: {oddity}" for oddity in oddities]
