"""Rendered report → finished mail: bytes that are stored, and sent unchanged.

Lines end in CRLF, as SMTP has them; delivery must not render or fold anything again. Headers are written
here and not by the `email` package, which spends milliseconds on folding. Every value is one printable
line before it is written, so that no value can begin a header of its own.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from typing import Final, NamedTuple

from mentat_reporter.core.model import UNKNOWN, Entry, Report
from mentat_reporter.errors import MailError
from mentat_reporter.render.addresses import valid_address
from mentat_reporter.render.plain import CAP, one_line
from mentat_reporter.render.templates import Rendered
from mentat_reporter.render.view import strictest_tlp

_FOLD: Final = 76
_LONGEST_WORD: Final = 900
"""A longer word would not fit the 998 characters of a line, however it is folded."""
_LONGEST_VALUE: Final = 100_000
_ENCODED_BYTES: Final = 42
"""UTF-8 bytes in one encoded word, which may have 75 characters."""
_HASH_DIGITS: Final = 12
_PLAIN_NAME: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~ "
)


class Frame(NamedTuple):
    """What every mail of a run has in common."""

    sender: str
    """The From header: an address, a name may stand before it."""
    reply_to: tuple[str, ...]
    return_path: str
    """Envelope sender, a bare address."""
    message_id_domain: str
    subject: str | None
    """Replaces what the template says after the label."""
    test_mode: bool


class Mail(NamedTuple):
    """A finished mail: `content` is the whole message with CRLF line ends."""

    message_id: str
    envelope_sender: str
    recipients: tuple[str, ...]
    content: bytes


def build(report: Report, rendered: Rendered, frame: Frame, *, reply_to_id: str | None = None) -> Mail:
    """Return the mail of a report that has a mail plan; MailError if an address is none.

    `reply_to_id` is the Message-ID that this mail answers: its summary's, or the first report's of a problem.
    """
    plan = report.mail
    if plan is None:
        raise MailError(f"report {report.label} is not to be mailed")
    to = _addresses(plan.redirected_to or plan.to)
    cc = () if plan.redirected_to else _addresses(plan.cc)
    bcc = () if plan.redirected_to else _addresses(plan.bcc)
    recipients = tuple(dict.fromkeys((*to, *cc, *bcc)))
    if not recipients:
        raise MailError(f"report {report.label} has no recipient")
    message_id = _message_id(report.label, recipients, frame.message_id_domain)
    lines = [*_common_lines(frame.sender, frame.reply_to)]
    if to:
        lines.append(_header("To", ", ".join(to)))
    if cc:
        lines.append(_header("Cc", ", ".join(cc)))
    lines += (
        _header("Subject", subject(report, rendered, frame)),
        f"Date: {format_datetime(report.created.astimezone(UTC))}",
        f"Message-ID: {message_id}",
    )
    if reply_to_id:
        lines += _header("In-Reply-To", reply_to_id), _header("References", reply_to_id)
    lines += (_header(name, value) for name, value in _report_headers(report) if value)
    if plan.redirected_to:
        lines.append(_header("X-Mentat-Report-Original-To", ", ".join((*plan.to, *plan.cc))))
    content = _entity(lines, rendered.text)
    return Mail(message_id, _envelope_sender(frame.return_path), recipients, content)


def build_notice(
    label: str, recipients: Iterable[str], about: str, text: str, *, created: datetime, frame: Frame
) -> Mail:
    """Return a mail that is no report; `label` names it as a report's label would, `about` is its subject."""
    to = _addresses(recipients)
    message_id = _message_id(label, to, frame.message_id_domain)
    lines = (
        *_common_lines(frame.sender, frame.reply_to),
        _header("To", ", ".join(to)),
        _header("Subject", f"[{label}] {about}"),
        f"Date: {format_datetime(created.astimezone(UTC))}",
        f"Message-ID: {message_id}",
        _header("X-Mentat-Report-Class", "digest"),
    )
    return Mail(message_id, _envelope_sender(frame.return_path), to, _entity(lines, text))


def subject(report: Report, rendered: Rendered, frame: Frame) -> str:
    """Return the whole subject: test mark and traffic light if any, label, and what it is about."""
    light = strictest_tlp(report.statistics)
    parts = (
        "[TEST]" if report.test_data or frame.test_mode else "",
        f"TLP:{light}" if light else "",
        f"[{report.label}]",
        frame.subject or rendered.subject,
    )
    return " ".join(filter(None, parts))


def _message_id(label: str, recipients: Iterable[str], domain: str) -> str:
    digest = hashlib.sha256("\n".join(sorted(recipients)).encode()).hexdigest()[:_HASH_DIGITS]
    return f"<{one_line(label)}.{digest}@{domain}>"


@lru_cache(maxsize=64)
def _common_lines(sender: str, reply_to: tuple[str, ...]) -> tuple[str, ...]:
    lines = [_folded("From", _mailbox(sender).split(" "))]
    if reply_to:
        lines.append(_folded("Reply-To", ", ".join(map(_mailbox, reply_to)).split(" ")))
    return (
        *lines,
        "MIME-Version: 1.0",
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: All",
    )


def _report_headers(report: Report) -> Iterator[tuple[str, str]]:
    """Yield the headers that readers filter by, under Mentat's names."""
    address = report.address or ""
    yield "X-Mentat-Report-Class", "events"
    yield "X-Mentat-Report-Type", report.type
    yield "X-Mentat-Report-Id", report.label
    yield "X-Mentat-Report-Parent-Id", report.parent or ""
    yield "X-Mentat-Report-Severity", report.severity
    yield "X-Mentat-Report-Event-Count", str(report.counters.rep)
    yield "X-Mentat-Report-Src-IP", address
    yield "X-Mentat-Report-Time-Window", f"{report.lo:%Y-%m-%dT%H:%M:%SZ}___{report.hi:%Y-%m-%dT%H:%M:%SZ}"
    yield "X-Mentat-Report-Test-Data", str(report.test_data)
    yield "X-Mentat-Report-Categories", _names(_known(report.statistics.get("categories") or ()))
    yield "X-Mentat-Report-Classes", _names(dict.fromkeys(line.event_class for line in _entries(report)))
    yield "X-Cesnet-Report-Type", report.type
    yield "X-Cesnet-Report-Id", report.label
    yield "X-Cesnet-Report-Severity", report.severity
    yield "X-Cesnet-Report-Srcip", address


def _known(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if name != UNKNOWN)


def _entries(report: Report) -> Iterator[Entry]:
    yield from report.regular
    yield from report.relapsed


def _names(values: Iterable[object]) -> str:
    """Join names that events supplied, as many as a header may hold."""
    text = ""
    for value in values:
        longer = f"{text}, {one_line(value)}" if text else one_line(value)
        if len(longer) > CAP:
            break
        text = longer
    return text


def _addresses(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_address(value) for value in values))


def _address(text: str) -> str:
    address = valid_address(text)
    if address is None:
        raise MailError(f"{text!r} is not one mail address")
    return address


@lru_cache(maxsize=64)
def _envelope_sender(return_path: str) -> str:
    return _address(parseaddr(return_path)[1])


def _mailbox(text: str) -> str:
    """Return `name <address>` or a bare address, checked and fit for a header."""
    name, found = parseaddr(text)
    address = _address(found)
    name = one_line(name)
    if not name:
        return address
    if not name.isascii() or "=?" in name:
        name = _encoded(name)
    elif not _PLAIN_NAME.issuperset(name):
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        name = f'"{escaped}"'
    return f"{name} <{address}>"


def _header(name: str, value: str) -> str:
    """Write a header of free text, encoded where it must be."""
    words = one_line(value, cap=_LONGEST_VALUE).split(" ")
    return _folded(name, _with_encoded_words(words))


def _folded(name: str, words: Iterable[str]) -> str:
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


def _entity(lines: Iterable[str], text: str) -> bytes:
    return "\r\n".join(lines).encode("ascii") + b"\r\n" + _part("plain", text)


def _part(subtype: str, text: str) -> bytes:
    """Return a text as a MIME entity: its headers, an empty line, its body in quoted-printable."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    body = binascii.b2a_qp("\r\n".join((*lines, "")).encode(errors="replace"), istext=True)
    head = (
        f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return head.encode() + body
