"""MIME entities, byte by byte: texts, files, and entities within another.

Everything is 7-bit, in lines of at most 76 characters that no mail server has a reason to change: none ends
in a blank, none begins with a dot or with `From`. So a signature holds on its way. Every entity ends in
CRLF; the same input gives the same bytes.
"""

import binascii
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from mentat_reporter.render.enclosed import Attachment
from mentat_reporter.render.plain import REMEMBERED, SHORT, one_line

_LONGEST: Final = 76  # RFC 2045
_TOUCHY: Final = re.compile(rb"^(?:\.|From )[^\r\n]*|^[^\r\n]{77,}", re.MULTILINE)
"""Lines of quoted-printable that a server may change, and those that `binascii` makes too long."""
_BEGINNINGS: Final = (b".", b"From ")
_PLAIN_FILE_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,60}")
_NAME_PIECE: Final = 60
_BOUNDARY_DIGITS: Final = 24


def text_part(subtype: str, text: str) -> bytes:
    """Return `text/subtype` in UTF-8, quoted-printable; line ends of every kind become CRLF."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.rstrip("\n").split("\n")
    head = (
        f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    body = [_remembered(line) if len(line) <= SHORT else _quoted(line) for line in lines]
    return head.encode() + b"\r\n".join((*body, b""))


def _quoted(line: str) -> bytes:
    """Return a line in quoted-printable, on as many lines as it takes."""
    encoded = binascii.b2a_qp(f"{line}\r\n".encode(errors="replace"), istext=True).removesuffix(b"\r\n")
    if len(encoded) <= _LONGEST and not encoded.startswith(_BEGINNINGS):
        return encoded
    return _TOUCHY.sub(lambda found: b"\r\n".join(_guarded(found[0])), encoded)


_remembered = lru_cache(maxsize=REMEMBERED)(_quoted)
"""Most lines of a mail are those of others too: the style sheet, the usual sentences."""


def _guarded(line: bytes) -> Iterator[bytes]:
    """Yield a line of quoted-printable as lines of the right length that begin with nothing special."""
    while True:
        if line.startswith(_BEGINNINGS):
            line = b"=%02X" % line[0] + line[1:]
        if len(line) <= _LONGEST:
            yield line
            return
        cut = _LONGEST - 1
        escape = line.rfind(b"=", cut - 2, cut)
        cut = cut if escape < 0 else escape
        yield line[:cut] + b"="
        line = line[cut:]


def file_part(file: Attachment) -> bytes:
    """Return a file as an attachment, in base64."""
    encoded = binascii.b2a_base64(file.content, newline=False)
    lines = [encoded[start : start + _LONGEST] for start in range(0, len(encoded), _LONGEST)]
    head = (
        f"Content-Type: {file.content_type}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment;\r\n {_file_name(file.name)}\r\n\r\n"
    )
    return head.encode("ascii") + b"\r\n".join((*lines, b""))


def _file_name(name: str) -> str:
    """Return the parameter for a name, by RFC 2231 in pieces where it is more than a plain word."""
    if _PLAIN_FILE_NAME.fullmatch(name):
        return f'filename="{name}"'
    escaped = quote(one_line(name, cap=len(name)).encode(errors="replace"), safe="")
    pieces = re.findall(rf".{{1,{_NAME_PIECE}}}(?<!%)(?<!%.)", f"utf-8''{escaped}")
    if len(pieces) == 1:
        return f"filename*={pieces[0]}"
    return ";\r\n ".join(f"filename*{number}*={piece}" for number, piece in enumerate(pieces))


def multipart(subtype: str, seed: str, parts: Sequence[bytes], parameters: str = "") -> bytes:
    """Return `multipart/subtype` of finished entities.

    `seed` is the Message-ID: the boundary follows from it. It holds `=_`, which neither quoted-printable
    nor base64 can; within another multipart it differs by its subtype. `parameters` precede the boundary,
    each with its `;`.
    """
    boundary = f"=_{subtype}-{sha256(seed.encode(errors='replace')).hexdigest()[:_BOUNDARY_DIGITS]}"
    head = f'Content-Type: multipart/{subtype};{parameters}\r\n boundary="{boundary}"\r\n\r\n'
    delimiter = f"--{boundary}\r\n".encode()
    body = b"\r\n".join(delimiter + part for part in parts)
    return b"%b%b\r\n--%b--\r\n" % (head.encode("ascii"), body, boundary.encode())
