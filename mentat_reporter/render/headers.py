"""Header fields: foreign values made harmless, encoded and folded.

They are written here and not by the `email` package, which spends milliseconds on folding. Every value is
one printable line before it is written, so that no value can begin a header of its own.
"""

import base64
from collections.abc import Iterable
from email.utils import parseaddr
from typing import Final

from mentat_reporter.errors import MailError
from mentat_reporter.render.addresses import valid_address
from mentat_reporter.render.plain import one_line

_FOLD: Final = 76
_LONGEST_WORD: Final = 900
"""A longer word would not fit the 998 characters of a line, however it is folded."""
_LONGEST_VALUE: Final = 100_000
_ENCODED_BYTES: Final = 42
"""UTF-8 bytes in one encoded word, which may have 75 characters."""
_PLAIN_NAME: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~ "
)


def bare_address(text: str) -> str:
    """Return what is exactly one address, else raise MailError."""
    address = valid_address(text)
    if address is None:
        raise MailError(f"{text!r} is not one mail address")
    return address


def mailbox(text: str) -> str:
    """Return `name <address>` or a bare address, checked and fit for a header."""
    name, found = parseaddr(text)
    address = bare_address(found)
    name = one_line(name)
    if not name:
        return address
    if not name.isascii() or "=?" in name:
        name = _encoded(name)
    elif not _PLAIN_NAME.issuperset(name):
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        name = f'"{escaped}"'
    return f"{name} <{address}>"


def header(name: str, value: str) -> str:
    """Write a header of free text, encoded where it must be."""
    line = one_line(value, cap=_LONGEST_VALUE)
    if len(name) + 2 + len(line) <= _FOLD and line.isascii() and "=?" not in line:  # most are so
        return f"{name}: {line}"
    return folded(name, _with_encoded_words(line.split(" ")))


def folded(name: str, words: Iterable[str]) -> str:
    """Write a header whose words are ready, on as many lines as it takes."""
    lines = []
    line = start = f"{name}:"
    for word in words:
        if len(line) + 1 + len(word) > _FOLD and line != start:
            lines.append(line)
            line = ""
        line = f"{line} {word}"
    return "\r\n".join((*lines, line))


def _with_encoded_words(words: list[str]) -> list[str]:
    """Encode from the first word that needs it to the last; labels before them stay readable."""
    needy = [number for number, word in enumerate(words) if _must_be_encoded(word)]
    if not needy:
        return words
    first, last = needy[0], needy[-1] + 1
    return [*words[:first], *_encoded(" ".join(words[first:last])).split(" "), *words[last:]]


def _must_be_encoded(word: str) -> bool:
    return not word.isascii() or "=?" in word or len(word) > _LONGEST_WORD


def _encoded(text: str) -> str:
    """Return RFC 2047 encoded words, none of them cut within a character."""
    words = []
    chunk = b""
    for char in text:
        data = char.encode()
        if len(chunk) + len(data) > _ENCODED_BYTES:
            words.append(chunk)
            chunk = b""
        chunk += data
    words.append(chunk)
    return " ".join(f"=?utf-8?b?{base64.b64encode(word).decode()}?=" for word in words)
