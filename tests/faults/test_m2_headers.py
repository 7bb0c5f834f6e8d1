"""M2 of docs/reliability.md: no header and no recipient comes of what stands in others."""

import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from faults.helpers_poison import AT, GOOD, good_are_told, named, of_alice, quarantine
from integration.helpers_run import (
    ADMIN,
    ALICE,
    BOB,
    CAROL,
    GROUPS,
    LOG,
    START,
    Reporter,
    event,
    group,
    reporter,
)

from mentat_reporter import run
from mentat_reporter.errors import UsageError

__all__ = ["reporter"]

EVIL: Final = "evil@attacker.example"
BREAKS: Final = {
    "CR": "\r",
    "LF": "\n",
    "CRLF": "\r\n",
    "CRLFCRLF": "\r\n\r\n",
    "U+2028": "\u2028",
    "U+2029": "\u2029",
    "NEL": "\x85",
    "VT": "\x0b",
    "folded": "\r\n ",
    "dot": "\r\n.\r\n",
}
KNOWN: Final = frozenset(
    {
        "From", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
        "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Auto-Submitted",
        "X-Auto-Response-Suppress", "X-Cesnet-Report-Type", "X-Cesnet-Report-Id", "X-Cesnet-Report-Severity",
        "X-Cesnet-Report-Srcip",
        *(
            f"X-Mentat-Report-{name}"
            for name in (
                "Class", "Type", "Id", "Parent-Id", "Severity", "Event-Count", "Src-IP", "Time-Window",
                "Test-Data", "Categories", "Classes", "Original-To",
            )
        ),
    }
)  # fmt: skip


class Sink:
    """What an SMTP server took."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.envelopes.append(envelope)
        return "250 taken"

    def of(self, *recipients: str) -> list[Envelope]:
        """Return the envelopes with exactly these recipients."""
        return [envelope for envelope in self.envelopes if set(envelope.rcpt_tos) == set(recipients)]


@pytest.fixture
def sink(reporter: Reporter) -> Iterator[Sink]:
    """Give a server that the reporter sends to."""
    taken = Sink()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    controller = Controller(taken, hostname="127.0.0.1", port=port)
    controller.start()
    reporter.config |= {"mail_transport": "smtp", "smtp_host": "127.0.0.1", "smtp_port": port}
    yield taken
    controller.stop()


def strict(envelope: Envelope) -> dict[str, str]:
    """Return the headers of a mail as its bytes have them; which leave nothing to guess."""
    content = envelope.original_content or b""
    assert b"\0" not in content
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", content) is None  # every line ends as it must
    assert max(map(len, content.split(b"\r\n"))) <= 998
    head, _, _ = content.partition(b"\r\n\r\n")
    unfolded = re.sub(rb"\r\n(?=[ \t])", b"", head).decode("ascii")
    found: dict[str, str] = {}
    for line in unfolded.split("\r\n"):
        name, colon, value = line.partition(": ")
        assert colon, f"{line!r} is no header"
        assert name in KNOWN, f"{name} is no header of ours"
        assert name not in found, f"{name} comes twice"
        found[name] = value
    assert {"From", "To", "Subject", "Date", "Message-ID"} <= found.keys()
    return found


def test_m2_the_parser_of_these_tests_is_strict() -> None:
    good = b"From: a\r\nTo: b\r\nSubject: c\r\nDate: d\r\nMessage-ID: e"
    for bad in (b"\r\nBcc: x", b"\nX: y", b"\rX: y", b"\r\nTo: b", b"\r\nnothing"):
        envelope = Envelope()
        envelope.original_content = good + bad + b"\r\n\r\nbody"
        with pytest.raises(AssertionError):
            strict(envelope)


@pytest.mark.parametrize("name", BREAKS)
def test_m2_no_header_comes_of_what_events_and_rows_say(reporter: Reporter, sink: Sink, name: str) -> None:
    text = f"a{BREAKS[name]}Bcc: {EVIL}{BREAKS[name]}body"
    scan = {"name": "scan", "rule": "Category", "label": {"en": "Scans"}}
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"), *GROUPS[1:], event_classes=[scan])
    reporter.execute(
        "update event_classes set name = %s, label_en = %s, label_cz = %s, reference = %s",
        text, text, text, text,
    )  # fmt: skip
    message = {
        "Category": [text],
        "Node": [{"Name": text}],
        "TLP": text,
        "Source": [{"IP4": ["192.0.2.1", f"192.0.2.2{text}", text], "Hostname": [text]}],
        "Target": [{"IP4": [text]}],
    }
    reporter.store(event("one", AT, message=message, event_class=text), *GOOD)

    result = reporter.run(START)

    assert result.failures == []
    assert of_alice(reporter) == ["one"]
    assert good_are_told(reporter)
    assert len(sink.of(ALICE)) == 2
    assert len(sink.of(BOB)) == len(sink.of(CAROL)) == 1
    assert len(sink.envelopes) == 4
    for envelope in sink.of(ALICE):
        headers = strict(envelope)
        assert headers["To"] == ALICE
        assert "Cc" not in headers


@pytest.mark.parametrize("name", BREAKS)
@pytest.mark.parametrize("place", ["configuration", "command line"])
def test_m2_a_subject_option_of_several_lines_is_refused(
    reporter: Reporter, sink: Sink, name: str, place: str
) -> None:
    subject = f"Notice{BREAKS[name]}Bcc: {EVIL}"
    options = {"mail_subject": subject} if place == "command line" else {}
    reporter.groups()
    reporter.config |= {} if options else {"mail_subject": subject}
    reporter.store(event("one", AT))

    with pytest.raises(UsageError, match="it takes one line of text"):
        reporter.run(START, **options)

    assert (sink.envelopes, reporter.windows()) == ([], [])


@pytest.mark.parametrize("name", BREAKS)
def test_m2_no_header_would_come_of_a_subject_that_was_not_refused(
    reporter: Reporter, sink: Sink, name: str
) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    settings = reporter.settings(regular=True, time_high=START)
    mail = replace(settings.mail, subject=f"Notice{BREAKS[name]}Bcc: {EVIL}{BREAKS[name]}body")

    run.report(replace(settings, mail=mail), LOG, lambda _text: None)

    [envelope] = sink.envelopes
    assert envelope.rcpt_tos == [ALICE]
    assert strict(envelope)["Subject"].endswith(" body")


@pytest.mark.parametrize("name", BREAKS)
def test_m2_no_header_comes_of_a_sites_subject_line(reporter: Reporter, sink: Sink, name: str) -> None:
    reporter.groups()
    folder = reporter.place / "templates" / "default"
    folder.mkdir(parents=True)
    (folder / "summary.txt").write_text("{{ words }}\n\nbody")
    reporter.config["__core__reporter"] |= {
        "templates_dir": str(folder.parent),
        "template_vars": {"words": f"Notice{BREAKS[name]}Bcc: {EVIL}"},
    }
    reporter.store(event("one", AT))

    assert reporter.run(START).failures == []

    [envelope] = sink.envelopes
    assert envelope.rcpt_tos == [ALICE]
    assert "Notice" in strict(envelope)["Subject"]


NO_ADDRESSES: Final = {
    "two in one": "a@x.example, v@y.example",
    "two by semicolon": "a@x.example;v@y.example",
    "empty": "",
    "blank": " ",
    "an option of sendmail": "-oQ/tmp@x.example",
    "a named one": f"Alice <{EVIL}>",
    "a route": f"@x.example:{EVIL}",
    "a comment": f"{EVIL} (Alice)",
    "quoted": f'"a b"@x.example, {EVIL}',
    "percent": "a@x.example@y.example",
    "no domain": "postmaster",
    "an own server": "a@[192.0.2.1]",
    "SMTP": f"a@x.example> RCPT TO:<{EVIL}",
    **{name: f"a@x.example{text}Bcc: {EVIL}" for name, text in BREAKS.items()},
    **{f"{name} behind": f"a@x.example{text}" for name, text in BREAKS.items()},
    **{f"{name} before": f"{text}a@x.example" for name, text in BREAKS.items()},
}


@pytest.mark.parametrize("name", NO_ADDRESSES)
def test_m2_what_is_no_address_gets_nothing_and_is_named(reporter: Reporter, sink: Sink, name: str) -> None:
    reporter.groups()
    reporter.execute(
        "update settings_reporting set emails_low = %s"
        " where group_id = (select id from groups where name = %s)",
        [NO_ADDRESSES[name], "good@alice.example"], ALICE,
    )  # fmt: skip
    reporter.store(event("one", AT), *GOOD)

    result = reporter.run(START)

    if NO_ADDRESSES[name]:
        assert named(result, f"group {ALICE}: emails of low: ", "is no address, it is left out")
        assert "is no address" in quarantine(reporter)["group", ALICE]
    everybody = {recipient for envelope in sink.envelopes for recipient in envelope.rcpt_tos}
    assert everybody - {ADMIN} == {"good@alice.example", ALICE, BOB, CAROL}
    [envelope] = sink.of("good@alice.example", ALICE)
    headers = strict(envelope)
    assert (headers["To"], headers["Cc"]) == ("good@alice.example", ALICE)
    assert good_are_told(reporter)


def test_m2_all_that_are_no_addresses_at_once_take_nothing_from_the_others(
    reporter: Reporter, sink: Sink
) -> None:
    reporter.groups()
    reporter.execute("update settings_reporting set emails_low = %s", [*NO_ADDRESSES.values()])
    reporter.store(event("one", AT), *GOOD)

    reporter.run(START)

    assert len(sink.of(ALICE)) == len(sink.of(BOB)) == len(sink.of(CAROL)) == 1
    everybody = {recipient for envelope in sink.envelopes for recipient in envelope.rcpt_tos}
    assert everybody - {ADMIN} == {ALICE, BOB, CAROL}
    for envelope in sink.envelopes:
        if ADMIN not in envelope.rcpt_tos:
            strict(envelope)


@pytest.mark.parametrize("redirect", [False, True])
def test_m2_five_hundred_recipients_are_these_and_no_others(
    reporter: Reporter, sink: Sink, redirect: bool
) -> None:
    many = [f"recipient.number.{number}@department-{number}.alice.example" for number in range(500)]
    reporter.groups(
        group(ALICE, "192.0.2.0/24", emails={"low": many}, **({"redirect": True} if redirect else {})),
        *GROUPS[1:],
    )
    reporter.store(event("one", AT), *GOOD)

    result = reporter.run(START)

    assert result.failures == []
    [envelope] = [found for found in sink.envelopes if not {BOB, CAROL} & set(found.rcpt_tos)]
    headers = strict(envelope)
    assert sorted(envelope.rcpt_tos) == sorted([ADMIN] if redirect else many)
    assert headers["X-Mentat-Report-Original-To" if redirect else "To"].split(", ") == many
    assert good_are_told(reporter)


def test_m2_a_group_by_the_name_of_a_header_adds_none(reporter: Reporter, sink: Sink) -> None:
    bad: Any = f"x\r\nBcc: {EVIL}"
    reporter.groups()
    reporter.execute("update groups set name = %s where name = %s", bad, ALICE)
    reporter.store(event("one", AT), *GOOD)

    reporter.run(START)

    assert reporter.told()[bad] == ["one"]
    assert good_are_told(reporter)
    everybody = {recipient for envelope in sink.envelopes for recipient in envelope.rcpt_tos}
    assert everybody <= {ALICE, BOB, CAROL, ADMIN}
    for envelope in sink.of(ALICE):
        strict(envelope)
