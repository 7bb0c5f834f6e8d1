"""The daily digest: what needs a hand, as a plain text for the admin."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

from mentat_reporter.core.digest import GivenUp, Held, Trouble, Undelivered, Unusable, label_of
from mentat_reporter.render.message import Frame, Mail, Sign, build_notice
from mentat_reporter.render.plain import facts, heading, inert, one_line, wrap

SHOWN: Final = 50
"""Entries of a section that are set out; the rest is counted."""
LISTED: Final = 20
"""Addresses of a mail that are listed; the rest is counted."""
PAGE: Final = "docs/operations.md"

Entry = TypeVar("Entry")


class _Section(NamedTuple):
    title: str
    cure: str
    entries: Sequence[str]
    total: int


def digest_mail(
    trouble: Trouble, recipients: Sequence[str], now: datetime, frame: Frame, sign: Sign | None = None
) -> Mail:
    """Return the finished mail of a day; its Message-ID is the same however often it is made."""
    sections = [section for section in _sections(trouble) if section.total]
    about = ", ".join(f"{section.title.lower()}: {section.total}" for section in sections)
    text = f"{_opening(now)}\n\n" + "\n\n".join(map(_set_section, sections)) + "\n"
    return build_notice(label_of(now.date()), recipients, about, text, created=now, frame=frame, sign=sign)


def _opening(now: datetime) -> str:
    return wrap(
        f"mentat-reporter needs a hand, as of {_minute(now)}. Addresses that failed and what is in "
        "quarantine are told once, held mail and groups that were given up every day until somebody has "
        f"dealt with them. What to do stands in {PAGE}, under the headings named here."
    )


def _sections(trouble: Trouble) -> list[_Section]:
    return [
        _section("Mails not delivered", "Failed mail", trouble.undelivered, _undelivered),
        _section("Mails held", "Held mail", trouble.held, _held),
        _section("Groups given up", "Groups that failed", trouble.given_up, _given_up),
        _unusable_section(trouble.unusable),
    ]


def _section(title: str, chapter: str, found: Sequence[Entry], set_out: Callable[[Entry], str]) -> _Section:
    cure = f'What to do: {PAGE}, "{chapter}".'
    return _Section(title, cure, [set_out(one) for one in found[:SHOWN]], len(found))


def _unusable_section(rows: Sequence[Unusable]) -> _Section:
    kinds = {row.kind: row.of_kind for row in rows}
    section = _section("Unusable", "Quarantine", rows, _unusable)
    by_kind = ", ".join(f"{kind} {number}" for kind, number in kinds.items())
    return section._replace(cure=f"{section.cure} By kind: {by_kind}.", total=sum(kinds.values()))


def _set_section(section: _Section) -> str:
    parts = [heading(f"{section.title} ({section.total})", "-") + section.cure, *section.entries]
    if left := section.total - len(section.entries):
        parts.append(f"And {left} more, which the database names.")
    return "\n\n".join(parts)


def _undelivered(mail: Undelivered) -> str:
    refused = [f"{one_line(one.address)}: {_said(one.code, one.text)}" for one in mail.refusals[:LISTED]]
    lines = "\n".join(wrap(line, 4, 8) for line in [*refused, *_rest(mail.refusals)])
    about = [
        ("Groups", _list(mail.groups)),
        ("Message-ID", one_line(mail.message_id)),
        ("Reached", _list(mail.reached) or ("" if mail.waiting else "nobody")),
        ("Waiting", _list(mail.waiting)),
    ]
    return f"* {one_line(mail.report_label)}\n{lines}\n{facts(about, 4)}"


def _held(mail: Held) -> str:
    killed = f"{mail.recoveries} runs ended while sending it" if mail.recoveries else ""
    about = [
        ("Groups", _list(mail.groups)),
        ("To", _list(mail.recipients)),
        ("Message-ID", one_line(mail.message_id)),
        ("Held since", _minute(mail.since)),
        ("Last answer", inert(mail.text)),
        ("Killed", killed),
        ("In the outbox", f"id {mail.id}"),
    ]
    return f"* {one_line(mail.report_label)}\n{facts(about, 4)}"


def _given_up(unit: GivenUp) -> str:
    about = [
        ("Window", f"{_minute(unit.lo)} to {_minute(unit.hi)}"),
        ("Owed", f"{unit.events} events"),
        ("Failures", str(unit.attempts)),
        ("The last", inert(unit.error)),
    ]
    return f"* {one_line(unit.group)}, {unit.severity} {unit.direction}\n{facts(about, 4)}"


def _unusable(row: Unusable) -> str:
    about = [
        ("Why", inert(row.error)),
        ("Seen", f"{row.times} times, last {_minute(row.last_seen)}"),
    ]
    return f"* {row.kind} {inert(row.reference)}\n{facts(about, 4)}"


def _said(code: int | None, text: str) -> str:
    return inert(text if code is None else f"{code} {text}")


def _list(names: Sequence[str]) -> str:
    return ", ".join([*(one_line(name) for name in names[:LISTED]), *_rest(names)])


def _rest(found: Sequence[object]) -> list[str]:
    return [f"and {len(found) - LISTED} more"] if len(found) > LISTED else []


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
