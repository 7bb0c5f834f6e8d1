"""A mail read by the letter of RFC 5322, 2045, 2046 and 3156, without the program and without leniency.

The standard library's parser forgives much even when it is told to be strict; this one asserts.
"""

import base64
import email
import email.message
import email.policy
import quopri
import re
from collections.abc import Callable
from typing import NamedTuple

LONGEST_LINE = 998
LONGEST_BODY_LINE = 76
ONCE = frozenset(
    {
        "from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references", "subject",
        "date", "mime-version", "content-type", "content-transfer-encoding", "content-disposition",
    }
)  # fmt: skip
NEEDED = frozenset({"from", "date", "message-id", "mime-version", "content-type"})
NEVER = frozenset({"bcc", "return-path", "received", "sender", "resent-to"})
NAME = re.compile(r"[!-9;-~]+")
QUOTED = re.compile(rb"(?:[!-<>-~ \t]|=[0-9A-F]{2})*=?")
BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,./:=? -]{0,69}[A-Za-z0-9'()+_,./:=?-]")


class Part(NamedTuple):
    """An entity: its headers unfolded, what it holds decoded, and its bytes as they stand."""

    headers: tuple[tuple[str, str], ...]
    type: str
    file_name: str | None
    parts: "tuple[Part, ...]"
    data: bytes
    raw: bytes
    parameters: dict[str, str]

    @property
    def shape(self) -> object:
        """The types, nested as the entities are."""
        return (self.type, *(part.shape for part in self.parts)) if self.parts else self.type

    def leaf(self, content_type: str) -> "Part":
        [found] = [part for part in self.leaves() if part.type == content_type]
        return found

    def leaves(self) -> "list[Part]":
        return [leaf for part in self.parts for leaf in part.leaves()] if self.parts else [self]

    @property
    def text(self) -> str:
        """A text with line feeds."""
        text = self.data.decode("utf-8")
        assert "\r" not in text.replace("\r\n", "")
        return text.replace("\r\n", "\n")


def read_mail(content: bytes) -> Part:
    """Return the mail, or fail at the first rule that it breaks."""
    email.message_from_bytes(content, policy=email.policy.strict)
    assert content.isascii()
    assert b"\0" not in content
    assert content.endswith(b"\r\n")
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= LONGEST_LINE
    mail = read_entity(content)
    names = {name.lower() for name, _ in mail.headers}
    assert names >= NEEDED
    assert not names & NEVER
    assert dict(mail.headers)["MIME-Version"] == "1.0"
    for part in mail.parts:
        assert all(name.lower().startswith("content-") for name, _ in part.headers)
    return mail


def read_entity(raw: bytes) -> Part:
    head, blank, body = raw.partition(b"\r\n\r\n")
    assert blank, "no empty line after the headers"
    headers = read_headers(head)
    known = email.message_from_bytes(head, policy=email.policy.default)
    content_type = known.get_content_type()
    parameters = {name: value for name, value in known.get_params([])[1:] if isinstance(value, str)}
    encoding = str(known.get("Content-Transfer-Encoding", "7bit"))
    if known.get_content_maintype() == "multipart":
        assert encoding == "7bit"
        inner = tuple(read_entity(part) for part in divided(body, parameters["boundary"]))
        return Part(headers, content_type, None, inner, b"", raw, parameters)
    data = DECODERS[encoding](body)
    if known.get_content_maintype() == "text":
        assert parameters["charset"] == "utf-8"
        data.decode("utf-8")
    if known.get("Content-Disposition") is not None:
        assert known.get_content_disposition() == "attachment"
    return Part(headers, content_type, known.get_filename(), (), data, raw, parameters)


def read_headers(head: bytes) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    for line in head.decode("ascii").split("\r\n"):
        assert line.isprintable() or "\t" in line
        assert line.strip(), "a line of blanks among the headers"
        if line[0] in " \t":
            name, value = headers.pop()
            headers.append((name, f"{value} {line.strip()}"))
            continue
        name, colon, value = line.partition(":")
        assert colon
        assert NAME.fullmatch(name)
        headers.append((name, value.strip()))
    lower = [name.lower() for name, _ in headers]
    assert all(lower.count(name) <= 1 for name in ONCE)
    assert len(lower) == len(set(lower)), "the reporter writes every header once"
    return tuple(headers)


def divided(body: bytes, boundary: str) -> list[bytes]:
    """Part the body of a multipart; nothing may stand before the first part or after the last."""
    assert BOUNDARY.fullmatch(boundary)
    delimiter = f"\r\n--{boundary}".encode()
    before, *parts, after = (b"\r\n" + body).split(delimiter)
    assert before == b""
    assert after == b"--\r\n"
    assert parts
    assert all(part.startswith(b"\r\n") for part in parts)
    return [part.removeprefix(b"\r\n") for part in parts]


def unquoted(body: bytes) -> bytes:
    for line in body.split(b"\r\n"):
        assert len(line) <= LONGEST_BODY_LINE
        assert QUOTED.fullmatch(line)
        assert not line.endswith((b" ", b"\t"))
        assert not line.startswith((b".", b"From ")), "a server may change this line"
    return quopri.decodestring(body)


def unbased(body: bytes) -> bytes:
    *full, last, end = body.split(b"\r\n") if body else (b"", b"")
    assert end == b""
    assert all(len(line) == LONGEST_BODY_LINE for line in full)
    assert len(last) <= LONGEST_BODY_LINE
    return base64.b64decode(b"".join((*full, last)), validate=True)


DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "quoted-printable": unquoted,
    "base64": unbased,
    "7bit": lambda body: body,
}
