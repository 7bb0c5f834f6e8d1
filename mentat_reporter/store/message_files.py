"""Files of messages → the bytes of each message, with where they stand.

Messages come one a line, as elements of JSON arrays, or printed over lines from a lone `{` to a lone
`}`. Nothing is decoded here and nothing is changed: a message's bytes are those of the file.
"""

import gzip
import io
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from mentat_reporter.errors import InputError

ENDINGS: Final = (".json", ".ndjson", ".jsonl", ".idea")
MAX_MESSAGE: Final = 64 << 20
_PIECE: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"
# A string, a bracket or a comma; a lone quote begins a string that goes on in the next piece.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_STEPS: Final = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_ONE_LINE: Final = re.compile(rb"\s*(\{.*\})\s*,?\s*")
_TELLING: Final = (b'"Format"', b'"DetectTime"', b'"Category"')


class Source(NamedTuple):
    """Something to read messages from: its name in faults, and how to open it."""

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]


class Found(NamedTuple):
    """The bytes of one message and where they stand, or why there are none."""

    where: str
    message: bytes
    fault: str | None = None


def find_sources(arguments: Sequence[str], stdin: BinaryIO | None = None) -> list[Source]:
    """Return what the arguments name: files, the message files of directories, `-` for standard input.

    Raises InputError for a name that there is no file of.
    """
    sources: list[Source] = []
    for argument in arguments:
        path = Path(argument)
        if argument == "-":
            sources.append(Source("<stdin>", lambda: nullcontext(stdin or sys.stdin.buffer)))
        elif path.is_dir():
            sources += [_file(entry) for entry in sorted(path.iterdir()) if _holds_messages(entry)]
        elif path.exists():
            sources.append(_file(path))
        else:
            raise InputError(f"{argument}: there is no such file or directory")
    return sources


def _file(path: Path) -> Source:
    return Source(str(path), lambda: path.open("rb"))


def _holds_messages(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith(ENDINGS) and path.is_file()


def find_messages(source: Source) -> Iterator[Found]:
    """Give the messages of a source; where it cannot be read further, a fault ends it."""
    where = source.name
    try:
        with source.open() as opened:
            pieces = _Pieces(source.name, opened)
            for found in _messages(pieces):
                where = pieces.where
                yield found
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        yield Found(where, b"", f"the source cannot be read further: {reason}")


def salvage(found: Found) -> Iterator[Found]:
    """Give the messages that stand on lines of their own inside one that cannot be decoded: a torn
    element of an array takes what follows it with it.
    """
    for offset, line in enumerate(found.message.split(b"\n")[1:], 1):
        match = _ONE_LINE.fullmatch(line)
        if match and any(key in line for key in _TELLING):
            yield Found(f"{found.where} + {offset}", match[1])


class _Pieces:
    """A stream as pieces of its lines, long lines in several; one piece can be put back."""

    def __init__(self, name: str, stream: BinaryIO) -> None:
        buffered: Any = stream
        if not hasattr(stream, "peek"):
            buffered = io.BufferedReader(buffered)
        packed = buffered.peek(len(_GZIP)).startswith(_GZIP)
        self._stream = gzip.open(buffered) if packed else buffered  # noqa: SIM115 - closed by its owner
        self._name = name
        self._line = 1
        self._next_line = 1
        self._ahead = self._stream.readline(_PIECE).removeprefix(_BOM)

    @property
    def where(self) -> str:
        """The line of the piece that was taken last."""
        return f"{self._name}, line {self._line}"

    def take(self) -> bytes:
        """Return the next piece; empty at the end."""
        piece, self._ahead = self._ahead or self._stream.readline(_PIECE), b""
        self._line = self._next_line
        self._next_line += piece.endswith(b"\n")
        return piece

    def put_back(self, piece: bytes) -> None:
        self._ahead = piece
        self._next_line = self._line

    def skip_blanks(self) -> bytes:
        """Return the first byte that is no blank, of the piece that comes next; empty at the end."""
        while piece := self.take():
            if piece.strip():
                self.put_back(piece)
                return piece.lstrip()[:1]
        return b""


def _messages(pieces: _Pieces) -> Iterator[Found]:
    while pieces.skip_blanks() == b"[":
        yield from _elements(pieces)
    printed = None
    while line := _line(pieces):
        if printed is None:
            printed = line.message.strip() == b"{"
        if line.message.strip():
            yield _printed(line, pieces) if printed and line.fault is None else line


def _line(pieces: _Pieces) -> Found | None:
    """Take one line without its end; None at the end of the stream."""
    parts = [pieces.take()]
    where, size = pieces.where, 0
    while parts[-1] and not parts[-1].endswith(b"\n"):
        size += len(parts[-1])
        if size > MAX_MESSAGE:
            parts = [b"..."]  # the line is read to its end, not kept
        parts.append(pieces.take())
    line = b"".join(parts)
    if size > MAX_MESSAGE:
        return Found(where, b"...", f"is longer than {MAX_MESSAGE >> 20} MiB")
    return Found(where, line.removesuffix(b"\n").removesuffix(b"\r")) if line else None


def _printed(first: Found, pieces: _Pieces) -> Found:
    """Join the lines of an object printed over several, as far as to its lone `}`."""
    lines, size = [first.message], 0
    while (line := _line(pieces)) and size <= MAX_MESSAGE:
        lines.append(line.message)
        size += len(line.message)
        if line.message.rstrip() == b"}":
            break
    return Found(first.where, b"\n".join(lines))


def _elements(pieces: _Pieces) -> Iterator[Found]:
    """Give the elements of an array, each as it is written, and put back what follows the array."""
    parts: list[bytes] = []
    carried, where, depth, index = b"", "", 0, 0
    while sum(map(len, parts)) + len(carried) <= MAX_MESSAGE and (piece := pieces.take()):
        text, carried, begin = carried + piece, b"", 0
        for token in _TOKEN.finditer(text):
            mark = token[0]
            if mark == b'"':
                carried, text = text[token.start() :], text[: token.start()]
                break
            depth += _STEPS.get(mark, 0)
            if depth == 0 or (depth == 1 and mark in b"[,"):
                element = b"".join([*parts, text[begin : token.start()]]).strip()
                if element:
                    index += 1
                    yield Found(f"{where if parts else pieces.where}, element {index}", element)
                parts.clear()
                begin = token.end()
            if depth == 0:
                pieces.put_back(text[begin:])
                return
        if parts or carried or text[begin:].strip():
            where = where if parts else pieces.where
            parts.append(text[begin:])
    rest = b"".join([*parts, carried]).strip()
    if rest:
        yield Found(f"{where}, element {index + 1}", rest)
    yield Found(pieces.where, b"", "the array is not closed: the file is torn or damaged")
