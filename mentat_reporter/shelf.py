"""What a round has read and its units still need: messages, and intakes; on the disk beyond a limit.

The file has no name, so that nothing is left of it, however the run ends. docs/operations.md says where.
"""

import os
import pickle
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO
from typing import IO, Any, Final

from mentat_reporter.core.intake import Intake
from mentat_reporter.core.model import Direction
from mentat_reporter.errors import FilesError
from mentat_reporter.store.jsontext import decode

Key = tuple[str, Direction]
"""A unit within a severity: group and direction."""

RECENT: Final = 8 * 2**20
"""Bytes of messages that are kept in memory."""
DECODED: Final = 2**20
"""Bytes of messages whose values are remembered, which takes about five times as much."""
SIGHTINGS: Final = 25_000
"""Sightings that are kept in memory, with what is counted with them; each takes about a kilobyte."""
_LENGTH: Final = 32
"""Bits of a place that say how long a message is; the database takes no gigabytes."""


class Shelf:
    """Messages of events, as they are stored, each found again by its place.

    A place stays valid in forked processes, which must not `keep` any more. Raises FilesError where the
    disk does not take what is too much for the memory.
    """

    def __init__(self) -> None:
        self._recent = bytearray()
        self._written = 0
        self._known: dict[int, Mapping[str, Any]] = {}
        self._known_size = 0

    def keep(self, message: bytes, value: Mapping[str, Any]) -> int:
        """Keep a message whose cleaned value is known; return its place."""
        if len(self._recent) > RECENT:
            self._write_recent()
        place = (self._written + len(self._recent)) << _LENGTH | len(message)
        self._recent += message
        self._know(place, value)
        return place

    def drop(self, place: int) -> None:
        """Keep a message no longer, which was the last to come."""
        begin = (place >> _LENGTH) - self._written
        del self._recent[begin:]
        self._known.pop(place, None)

    def text(self, place: int) -> bytes:
        """Return a message as it is stored."""
        begin, length = place >> _LENGTH, place & ((1 << _LENGTH) - 1)
        if begin >= self._written:
            begin -= self._written
            return bytes(self._recent[begin : begin + length])
        return self._read(begin, length)

    def __getitem__(self, place: int) -> Mapping[str, Any]:
        """Return a message's cleaned value, which must not be changed."""
        known = self._known.get(place)
        if known is None:
            known = decode(self.text(place))
            self._know(place, known)
        return known

    def _know(self, place: int, value: Mapping[str, Any]) -> None:
        """Remember what was decoded: a unit asks for its messages several times."""
        length = place & ((1 << _LENGTH) - 1)
        self._known_size += length
        if self._known_size > DECODED:
            self._known.clear()
            self._known_size = length
        self._known[place] = value

    def put_by(self, intake: Intake) -> tuple[int, int]:
        """Put an intake on the disk; return where it is."""
        found = BytesIO()
        _Pickler(found, self).dump(intake)
        self._write_recent()
        begin = self._written
        self._write(found.getbuffer())
        return begin, found.tell()

    def fetch(self, begin: int, length: int) -> Intake:
        """Return an intake that was put by."""
        intake: Intake = _Unpickler(BytesIO(self._read(begin, length)), self).load()
        return intake

    def _write_recent(self) -> None:
        self._write(self._recent)
        self._recent = bytearray()

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        with _telling_the_cure():
            left = memoryview(data)
            while left:
                done = os.write(self._file.fileno(), left)
                self._written += done
                left = left[done:]

    def _read(self, begin: int, length: int) -> bytes:
        with _telling_the_cure():
            parts = []
            while length:
                part = os.pread(self._file.fileno(), length, begin)
                if not part:
                    raise OSError("the file ended too early")
                parts.append(part)
                begin, length = begin + len(part), length - len(part)
            return b"".join(parts)

    @cached_property
    def _file(self) -> IO[bytes]:
        file = tempfile.TemporaryFile(prefix="mentat-reporter-")  # noqa: SIM115 - it lasts as long as this
        weakref.finalize(self, file.close)
        return file


@contextmanager
def _telling_the_cure() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FilesError(
            f"the events that are too many for the memory cannot be kept in {tempfile.gettempdir()}: "
            f"{error.strerror or error}; make room there, or name another folder (TMPDIR)"
        ) from error


class _Pickler(pickle.Pickler):
    """Writes intakes without the shelf that their events point at."""

    def __init__(self, file: BytesIO, shelf: Shelf) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.persistent_shelf = shelf

    def persistent_id(self, value: object) -> str | None:
        return "shelf" if value is self.persistent_shelf else None


class _Unpickler(pickle.Unpickler):
    """Reads what `_Pickler` wrote, into a file that nobody else can open."""

    def __init__(self, file: BytesIO, shelf: Shelf) -> None:
        super().__init__(file)
        self._shelf = shelf

    def persistent_load(self, _name: object) -> Shelf:
        return self._shelf


class Intakes:
    """What units have to work, by group and direction; beyond a number of sightings on the disk."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._open: dict[Key, Intake] = {}
        self._put_by: dict[Key, list[tuple[int, int]]] = {}
        self._sightings = 0
        self._weights: Counter[Key] = Counter()

    def open(self, key: Key) -> Intake:
        """Return the intake of a unit, to be added to before the next is asked for."""
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = Intake()
        return found

    def added(self, key: Key, sightings: int) -> None:
        """Say how many sightings a unit was given."""
        self._sightings += sightings
        self._weights[key] += sightings
        if self._sightings > SIGHTINGS:
            for unit, intake in self._open.items():
                self._put_by.setdefault(unit, []).append(self._shelf.put_by(intake))
            self._open.clear()
            self._sightings = 0

    def keys(self) -> list[Key]:
        """Return the units in the order in which they are worked."""
        return sorted(self._open.keys() | self._put_by.keys())

    def weight(self, key: Key) -> int:
        """Return how many sightings a unit has."""
        return self._weights[key]

    def pop(self, key: Key) -> Intake:
        """Return the whole intake of a unit, and keep it no longer; empty if there is none."""
        whole = Intake()
        for begin, length in self._put_by.pop(key, ()):
            whole.join(self._shelf.fetch(begin, length))
        whole.join(self._open.pop(key, Intake()))
        return whole
