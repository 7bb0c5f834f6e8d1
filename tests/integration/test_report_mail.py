"""From stored events to mails on the other side, by every transport, in both languages and templates."""

import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as mail_policy
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from integration.helpers_run import (
    ADMIN,
    ALICE,
    BOB,
    CAROL,
    DAY,
    HOUR,
    MINUTE,
    START,
    Reporter,
    event,
    group,
    reporter,
    text_of,
)

from mentat_reporter.outside import REAL

__all__ = ["reporter"]

TEN = 10 * MINUTE
AT = START - MINUTE
CLASSES = [
    {
        "name": "scan",
        "rule": "'Recon.Scanning' in Category",
        "label": {"en": "The machine scanned others", "cs": "Stroj skenoval jiné"},
        "reference": "https://classes.example.org/scan",
    }
]


class Sink:
    """What an SMTP server took: envelopes with their mails."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.refuse: set[str] = set()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: object, _session: object, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refuse:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 taken"

    def mails(self) -> list[EmailMessage]:
        return [read(envelope.original_content or b"") for envelope in self.envelopes]


def read(content: bytes) -> EmailMessage:
    mail = BytesParser(policy=mail_policy).parsebytes(content)
    assert isinstance(mail, EmailMessage)
    return mail


@pytest.fixture
def sink(reporter: Reporter) -> Iterator[Sink]:
    """Give a server that the reporter sends to."""
    taken = Sink()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    controller = Controller(taken, hostname="127.0.0.1", port=port)
    controller.start()
    reporter.config |= {
        "mail_transport": "smtp",
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
    }
    yield taken
    controller.stop()


def test_a_mail_arrives_by_smtp_as_it_was_stored(reporter: Reporter, sink: Sink) -> None:
    reporter.groups(event_classes=CLASSES)
    reporter.store(event("one", AT), event("two", AT, "198.51.100.1"))

    result = reporter.run(START)

    assert result.delivered["sent"] == 2
    stored = reporter.rows(
        "select message_id, message, sha256 = sha256(message), state from mentat_reporter.outbox order by id"
    )
    assert [bytes(row[1]) for row in stored] == [envelope.original_content for envelope in sink.envelopes]
    assert [row[2:4] for row in stored] == [(True, "sent")] * 2
    assert [row[0] for row in stored] == [mail["Message-ID"] for mail in sink.mails()]
    assert [envelope.rcpt_tos for envelope in sink.envelopes] == [[ALICE], [BOB]]
    assert {envelope.mail_from for envelope in sink.envelopes} == {"reports@reporter.example"}


def test_a_mail_has_the_headers_of_the_specification(reporter: Reporter, sink: Sink) -> None:
    reporter.config["mail_reply_to"] = ["help@reporter.example"]
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"))
    reporter.store(event("one", AT, severity="high"), event("two", AT, severity="high"))

    reporter.run(START)

    summary, extra = sink.mails()
    [stored, stored_extra] = reporter.reports()
    assert dict(summary.items()) | {"Subject": "", "Message-ID": ""} == {
        "From": "Reporter <reports@reporter.example>",
        "Reply-To": "help@reporter.example",
        "To": ALICE,
        "Subject": "",
        "Message-ID": "",
        "Date": "Mon, 04 May 2026 12:00:00 +0000",
        "MIME-Version": "1.0",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Content-Type": summary["Content-Type"],
        "X-Mentat-Report-Class": "events",
        "X-Mentat-Report-Type": "summary",
        "X-Mentat-Report-Id": stored["label"],
        "X-Mentat-Report-Severity": "high",
        "X-Mentat-Report-Event-Count": "2",
        "X-Mentat-Report-Time-Window": "2026-05-04T11:50:00Z___2026-05-04T12:00:00Z",
        "X-Mentat-Report-Test-Data": "False",
        "X-Mentat-Report-Categories": "Recon.Scanning",
        "X-Mentat-Report-Classes": "scan",
        "X-Cesnet-Report-Type": "summary",
        "X-Cesnet-Report-Id": stored["label"],
        "X-Cesnet-Report-Severity": "high",
    }
    assert [part.get_content_type() for part in summary.walk()] == [
        "multipart/alternative", "text/plain", "text/html",
    ]  # fmt: skip
    assert extra["X-Mentat-Report-Parent-Id"] == stored["label"]
    assert extra["X-Mentat-Report-Src-IP"] == extra["X-Cesnet-Report-Srcip"] == "192.0.2.1"
    assert extra["In-Reply-To"] == extra["References"] == summary["Message-ID"]
    assert summary["Subject"] == f"[{stored['label']}] High - Notice about possible problems in your network"
    assert extra["Subject"].startswith(f"[{stored_extra['label']}] High - ")
    assert "192.0.2.1" in extra["Subject"]
    assert str(summary["Message-ID"]).endswith("@reporter.example>")
    assert parsedate_to_datetime(summary["Date"]) == START


def test_a_recipient_that_is_refused_is_named_and_the_others_have_the_mail(
    reporter: Reporter, sink: Sink
) -> None:
    reporter.groups(
        group(ALICE, "192.0.2.0/24", emails={"info": ["gone@alice.example", "here@alice.example"]})
    )
    sink.refuse = {"gone@alice.example"}
    reporter.store(event("one", AT))

    reporter.run(START)

    assert [envelope.rcpt_tos for envelope in sink.envelopes] == [["here@alice.example"], [ADMIN]]
    assert dict(reporter.rows("select address, state from mentat_reporter.outbox_recipient")) == {
        "gone@alice.example": "failed",
        "here@alice.example": "sent",
        ADMIN: "sent",
    }


def test_a_mail_that_nobody_takes_goes_to_the_fallback(reporter: Reporter, sink: Sink) -> None:
    reporter.config["__core__reporter"]["fallback"] = ["last@reporter.example"]
    reporter.groups()
    sink.refuse = {ALICE}
    reporter.store(event("one", AT))

    reporter.run(START)

    assert [envelope.rcpt_tos for envelope in sink.envelopes] == [["last@reporter.example"], [ADMIN]]


def test_a_server_that_is_down_puts_mail_off_to_a_later_run(reporter: Reporter, sink: Sink) -> None:
    port = reporter.config["smtp_port"]
    reporter.config["smtp_port"] = 9
    reporter.groups()
    reporter.store(event("one", AT), event("two", AT, "198.51.100.1"))

    down = reporter.run(START)
    still_down = reporter.run(START + MINUTE)
    reporter.config["smtp_port"] = port
    reporter.run(START + TEN)

    assert (down.exit_code, down.delivered["deferred"]) == (3, 2)
    assert still_down.delivered == {}
    assert [envelope.rcpt_tos for envelope in sink.envelopes] == [[ALICE], [BOB]]
    assert reporter.rows("select state, attempts from mentat_reporter.outbox") == [("sent", 2)] * 2


def test_dev_mode_sends_by_smtp_whatever_else_is_configured(reporter: Reporter, sink: Sink) -> None:
    reporter.config |= {
        "mail_transport": "sendmail",
        "mail_dev_mode": True,
        "mail_dev_server": "127.0.0.1",
        "mail_dev_port": reporter.config["smtp_port"],
    }
    reporter.groups()
    reporter.store(event("one", AT))

    reporter.run(START)

    assert [envelope.rcpt_tos for envelope in sink.envelopes] == [[ALICE]]


def test_a_maildir_has_whole_mails_for_their_owner_alone(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT), event("two", AT, "198.51.100.1"))

    reporter.run(START)

    folder = reporter.home / "maildir"
    assert sorted(path.name for path in folder.iterdir()) == ["cur", "new", "tmp"]
    assert list((folder / "tmp").iterdir()) == []
    files = list((folder / "new").iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert all(b"\r" not in path.read_bytes() for path in files)
    assert sorted(reporter.recipients()) == [ALICE, BOB]


def test_sendmail_is_given_the_addresses_as_arguments(reporter: Reporter, tmp_path: Path) -> None:
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\ncat > {tmp_path}/mail\n')
    program.chmod(0o755)

    def run_program(command: list[str], **options: Any) -> "subprocess.CompletedProcess[bytes]":
        assert command[0] == "/usr/sbin/sendmail"
        return subprocess.run([str(program), *command[1:]], **options)  # noqa: PLW1510 - `check` is given

    reporter.outside = replace(REAL, run_program=run_program)
    reporter.config["mail_transport"] = "sendmail"
    reporter.groups()
    reporter.store(event("one", AT))

    result = reporter.run(START, mail_cc=["copy@reporter.example"], mail_bcc=["hidden@reporter.example"])

    assert result.delivered["sent"] == 1
    assert (tmp_path / "arguments").read_text().split() == [
        "-i", "-f", "reports@reporter.example", "--", ALICE, "copy@reporter.example",
        "hidden@reporter.example",
    ]  # fmt: skip
    mail = read((tmp_path / "mail").read_bytes())
    assert (mail["To"], mail["Cc"], mail["Bcc"]) == (ALICE, "copy@reporter.example", None)


def test_null_takes_every_mail_and_keeps_none(reporter: Reporter) -> None:
    reporter.config["mail_transport"] = "null"
    reporter.groups()
    reporter.store(event("one", AT))

    assert reporter.run(START).delivered["sent"] == 1
    assert reporter.mails() == []


# Whom


@pytest.mark.parametrize(
    ("options", "to", "cc", "others"),
    [
        ({}, BOB, ALICE, []),
        ({"mail_to": ["x@r.example,y@r.example"]}, "x@r.example, y@r.example", None, []),
        ({"mail_cc": ["x@r.example"]}, BOB, "x@r.example", []),
        ({"mail_bcc": ["x@r.example"]}, BOB, ALICE, ["x@r.example"]),
        (
            {"mail_to": ["x@r.example"], "mail_cc": ["y@r.example"], "mail_bcc": ["z@r.example"]},
            "x@r.example",
            "y@r.example",
            ["z@r.example"],
        ),
    ],
)
def test_recipients_may_be_replaced(
    reporter: Reporter, options: dict[str, Any], to: str, cc: str | None, others: list[str]
) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24"), group(BOB, "192.0.2.0/25"))
    reporter.store(event("one", AT))

    reporter.run(START, **options)

    [mail] = reporter.mails()
    assert (mail["To"], mail["Cc"], mail["Bcc"]) == (to, cc, None)
    envelope = {
        address for (address,) in reporter.rows("select address from mentat_reporter.outbox_recipient")
    }
    assert envelope == {*to.split(", "), *([cc] if cc else []), *others}
    [report] = reporter.reports()
    assert report["mail_to"] == [*(f"to:{one}" for one in to.split(", ")), *([f"cc:{cc}"] if cc else [])]


def test_a_group_in_redirect_goes_to_the_admin_with_the_originals_named(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24"), group(BOB, "192.0.2.0/25", redirect=True))
    reporter.store(event("both's", AT), event("alice's", AT, "192.0.2.200"))

    with caplog.at_level("INFO"):
        reporter.run(START, mail_bcc=["hidden@reporter.example"])

    mails = {str(mail["To"]): mail for mail in reporter.mails()}
    assert set(mails) == {ADMIN, ALICE}
    assert mails[ADMIN]["X-Mentat-Report-Original-To"] == f"{BOB}, {ALICE}"
    assert mails[ADMIN]["Cc"] is None
    assert mails[ALICE]["X-Mentat-Report-Original-To"] is None
    stored = {tuple(report["chain"]): report["mail_to"] for report in reporter.reports()}
    assert stored[ALICE, BOB] == [f"to:{BOB}", f"cc:{ALICE}"]
    assert any(f"for {BOB}, {ALICE} goes to {ADMIN}" in line for line in caplog.messages)


def test_fallback_groups_are_told_when_the_chain_has_no_address(reporter: Reporter) -> None:
    reporter.config["__core__reporter"]["fallback"] = ["last@reporter.example"]
    reporter.groups(
        group(ALICE, "192.0.2.0/24", emails={}),
        group(BOB, "198.51.100.0/24", emails={"critical": ["urgent@bob.example"]}),
        group(CAROL, {"network": "192.0.0.0/8", "is_base": True}, mode="none"),
    )
    reporter.store(event("alice's", AT), event("bob's", AT, "198.51.100.1"))

    reporter.run(START)

    told = {mail["X-Mentat-Report-Id"]: mail["To"] for mail in reporter.mails()}
    by_chain = {tuple(report["chain"]): told.get(report["label"]) for report in reporter.reports()}
    assert by_chain == {(ALICE,): CAROL, (BOB,): "last@reporter.example"}


# How it reads


@pytest.mark.parametrize(
    ("locale", "subject", "words"),
    [
        ("en", "Low - Notice about possible problems in your network", ["The machine scanned others"]),
        ("cs", "Nízká závažnost - Upozornění na možné problémy ve vaší síti", ["Stroj skenoval jiné"]),
    ],
)
@pytest.mark.parametrize("how", ["group", "default", "forced"])
def test_a_report_is_in_the_readers_language(
    reporter: Reporter, locale: str, subject: str, words: list[str], how: str
) -> None:
    own = {"group": locale, "default": None, "forced": "cs" if locale == "en" else "en"}[how]
    reporter.groups(group(ALICE, "192.0.2.0/24", locale=own), event_classes=CLASSES)
    if how == "default":
        reporter.config["__core__reporter"]["default_locale"] = locale
    reporter.store(event("one", AT))

    reporter.run(START, **({"force_locale": locale} if how == "forced" else {}))

    [mail] = reporter.mails()
    assert mail["Subject"].partition("] ")[2] == subject
    assert all(word in text_of(mail) for word in words)


def test_the_terse_template_in_czech_is_shorter_and_says_the_same(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"), event_classes=CLASSES)
    reporter.store(event("one", AT, targets=("203.0.113.1",), target_severity="low"))
    reporter.ad_hoc(START - DAY, START)

    reporter.ad_hoc(START - DAY, START, force_template="another", force_locale="cs")

    mails = reporter.mails()
    long, terse = mails[: len(mails) // 2], mails[len(mails) // 2 :]
    assert [mail["X-Mentat-Report-Type"] for mail in terse] == [mail["X-Mentat-Report-Type"] for mail in long]
    for verbose, short in zip(long, terse, strict=True):
        assert len(text_of(short)) < len(text_of(verbose))
        if short["X-Mentat-Report-Type"] != "target":
            assert "192.0.2.1" in text_of(short)
            assert "Stroj skenoval jiné" in text_of(short)


def test_times_are_in_the_readers_zone(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", timezone="Asia/Kathmandu"))
    reporter.store(event("one", AT))

    reporter.run(START)

    [mail] = reporter.mails()
    assert "17:45" in text_of(mail)  # noon in UTC
    assert "+05:45" in text_of(mail)
    reporter.ad_hoc(START - HOUR, START, force_timezone="UTC")
    assert "17:45" not in text_of(reporter.mails()[-1])


def test_a_subject_may_be_replaced_and_keeps_its_label(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT, message={"TLP": "TLP:AMBER"}))

    reporter.run(START, mail_subject="Příliš žluťoučký kůň")

    [mail] = reporter.mails()
    assert mail["Subject"] == f"TLP:AMBER [{reporter.reports()[0]['label']}] Příliš žluťoučký kůň"


@pytest.mark.parametrize(
    "evil", ["\r\nBcc: all@example.org", "\nX: y", "\u2028Bcc: a@b.example", "\0", "{{ 7*7 }}", "<script>"]
)
def test_what_an_event_says_begins_no_header_and_runs_no_template(reporter: Reporter, evil: str) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"))
    words = f"evil{evil}"
    message = {
        "Category": [words], "Description": words, "Note": words, "Node": [{"Name": words, "SW": [words]}],
        "Source": [{"IP4": ["192.0.2.1"], "Hostname": [words], "URL": [words], "Proto": [words]}],
    }  # fmt: skip
    reporter.store(event("one", AT, message=message, event_class=f"class{evil}".replace("\0", "")))

    result = reporter.run(START)

    assert result.exit_code == 0
    for mail in reporter.mails():
        assert (mail["Bcc"], mail["X"]) == (None, None)
        assert "49" not in text_of(mail).replace("{{ 7*7 }}", "").split()
        assert str(mail["To"]) == ALICE
