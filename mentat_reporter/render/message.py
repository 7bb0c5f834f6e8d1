"""Rendered report → finished mail: bytes that are stored, and sent unchanged.

Lines end in CRLF, as SMTP has them; delivery must not render or fold anything again.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from typing import Final, NamedTuple

from mentat_reporter.core.model import UNKNOWN, Entry, Report
from mentat_reporter.errors import MailError
from mentat_reporter.render.enclosed import Attachment
from mentat_reporter.render.headers import bare_address, folded, header, mailbox
from mentat_reporter.render.mime import file_part, multipart, text_part
from mentat_reporter.render.plain import CAP, one_line
from mentat_reporter.render.templates import Rendered
from mentat_reporter.render.view import strictest_tlp

_HASH_DIGITS: Final = 12


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


class Answers(NamedTuple):
    """The mails that a mail belongs to, by Message-ID."""

    parent: str
    """The one that it answers: an extra report its summary, a relapse the first report of the problem."""
    references: tuple[str, ...]
    """The whole thread, oldest first, the parent last."""


class Signature(NamedTuple):
    """A detached OpenPGP signature, armoured."""

    armoured: bytes
    micalg: str
    """The digest that it is of, as `multipart/signed` names it: `pgp-sha512`."""


Sign = Callable[[bytes], Signature | None]
"""MIME entity with CRLF line ends → its signature; None: the mail goes out unsigned."""


class Mail(NamedTuple):
    """A finished mail: `content` is the whole message with CRLF line ends."""

    message_id: str
    envelope_sender: str
    recipients: tuple[str, ...]
    content: bytes


def build(
    report: Report,
    rendered: Rendered,
    frame: Frame,
    *,
    answers: Answers | None = None,
    attachments: Sequence[Attachment] = (),
    sign: Sign | None = None,
) -> Mail:
    """Return the mail of a report that has a mail plan; MailError if an address is none.

    The text comes first, with the HTML as its alternative; then the attachments; the signature is of both.
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
        lines.append(header("To", ", ".join(to)))
    if cc:
        lines.append(header("Cc", ", ".join(cc)))
    lines += (
        header("Subject", subject(report, rendered, frame)),
        f"Date: {format_datetime(report.created.astimezone(UTC))}",
        f"Message-ID: {message_id}",
    )
    if answers:
        lines += header("In-Reply-To", answers.parent), header("References", " ".join(answers.references))
    lines += (header(name, value) for name, value in _report_headers(report) if value)
    if plan.redirected_to:
        lines.append(header("X-Mentat-Report-Original-To", ", ".join((*plan.to, *plan.cc))))
    content = _message(lines, _signed(message_id, _body(message_id, rendered, attachments), sign))
    return Mail(message_id, _envelope_sender(frame.return_path), recipients, content)


def build_notice(
    label: str,
    recipients: Iterable[str],
    about: str,
    text: str,
    *,
    created: datetime,
    frame: Frame,
    sign: Sign | None = None,
) -> Mail:
    """Return a mail that is no report; `label` names it as a report's label would, `about` is its subject."""
    to = _addresses(recipients)
    message_id = _message_id(label, to, frame.message_id_domain)
    lines = (
        *_common_lines(frame.sender, frame.reply_to),
        header("To", ", ".join(to)),
        header("Subject", f"[{label}] {about}"),
        f"Date: {format_datetime(created.astimezone(UTC))}",
        f"Message-ID: {message_id}",
        header("X-Mentat-Report-Class", "digest"),
    )
    content = _message(lines, _signed(message_id, text_part("plain", text), sign))
    return Mail(message_id, _envelope_sender(frame.return_path), to, content)


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
    lines = [folded("From", mailbox(sender).split(" "))]
    if reply_to:
        lines.append(folded("Reply-To", ", ".join(map(mailbox, reply_to)).split(" ")))
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
    return tuple(dict.fromkeys(bare_address(value) for value in values))


@lru_cache(maxsize=64)
def _envelope_sender(return_path: str) -> str:
    return bare_address(parseaddr(return_path)[1])


def _body(message_id: str, rendered: Rendered, attachments: Sequence[Attachment]) -> bytes:
    body = text_part("plain", rendered.text)
    if rendered.html:
        body = multipart("alternative", message_id, (body, text_part("html", rendered.html)))
    if attachments:
        body = multipart("mixed", message_id, (body, *map(file_part, attachments)))
    return body


def _signed(message_id: str, body: bytes, sign: Sign | None) -> bytes:
    """Wrap the body with a signature of exactly these bytes, where there is one (RFC 3156)."""
    signature = sign(body) if sign else None
    if signature is None:
        return body
    head = (
        'Content-Type: application/pgp-signature; name="signature.asc"\r\n'
        'Content-Disposition: attachment; filename="signature.asc"\r\n'
        "Content-Description: OpenPGP digital signature\r\n\r\n"
    )
    lines = (*signature.armoured.splitlines(), b"")
    protocol = f'\r\n protocol="application/pgp-signature"; micalg="{signature.micalg}";'
    return multipart("signed", message_id, (body, head.encode() + b"\r\n".join(lines)), protocol)


def _message(lines: Iterable[str], body: bytes) -> bytes:
    return "\r\n".join(lines).encode("ascii") + b"\r\n" + body
