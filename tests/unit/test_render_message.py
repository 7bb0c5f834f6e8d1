"""Mails: their headers, their bytes, and that nothing an event says can change either's shape."""

import email
import email.policy
from email.message import EmailMessage
from typing import cast

import pytest
from factories import entry, report
from hypothesis import example, given
from hypothesis import strategies as st

from mentat_reporter.core.model import Entry, MailPlan, Report
from mentat_reporter.errors import MailError
from mentat_reporter.render.message import Answers, Frame, build, subject
from mentat_reporter.render.templates import Rendered

FRAME = Frame(
    sender="abuse@csirt.example",
    reply_to=("abuse@csirt.example",),
    return_path="bounces@csirt.example",
    message_id_domain="csirt.example",
    subject=None,
    test_mode=False,
)
WORDS = Rendered("Low - Notice about possible problems in your network", "Hello\n")

hostile = st.text(max_size=120) | st.sampled_from(
    [
        "a\r\nBcc: victim@example.org",
        "a\nX-Evil: 1\n\nbody",
        "=?utf-8?q?=0D=0ABcc:_victim@example.org?=",
        "\u2028\u2029\x85\x0b\x0c",
        "x" * 5000,
        "\ud800\udfff",
        "\u202egpj.exe",
    ]
)


def parsed(told: Report, rendered: Rendered = WORDS, frame: Frame = FRAME) -> EmailMessage:
    content = build(told, rendered, frame).content
    return email.message_from_bytes(content, policy=email.policy.default)


def hostile_report(text: str) -> Report:
    line: Entry = entry(f"class{text}")
    return report("extra", regular=[line], statistics={"categories": {f"c{text}": 1}, "tlps": {text: 1}})


def test_a_mail_has_the_headers_of_a_report() -> None:
    told = report(
        "extra",
        statistics={"categories": {"Recon.Scanning": 1, "__unknown__": 2}},
        mail=MailPlan(to=("a@x.example",), cc=("b@x.example", "c@x.example"), bcc=("d@x.example",)),
    )

    mail = build(told, WORDS, FRAME, answers=Answers("<summary@csirt.example>", ("<summary@csirt.example>",)))

    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    assert dict(message.items()) == {
        "From": "abuse@csirt.example",
        "Reply-To": "abuse@csirt.example",
        "To": "a@x.example",
        "Cc": "b@x.example, c@x.example",
        "Subject": "[M20260113EL-7QK2F9XA] Low - Notice about possible problems in your network",
        "Date": "Tue, 13 Jan 2026 00:10:07 +0000",
        "Message-ID": mail.message_id,
        "In-Reply-To": "<summary@csirt.example>",
        "References": "<summary@csirt.example>",
        "MIME-Version": "1.0",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "X-Mentat-Report-Class": "events",
        "X-Mentat-Report-Type": "extra",
        "X-Mentat-Report-Id": "M20260113EL-7QK2F9XA",
        "X-Mentat-Report-Parent-Id": "M20260113SL-3MN8B2CD",
        "X-Mentat-Report-Severity": "low",
        "X-Mentat-Report-Event-Count": "1",
        "X-Mentat-Report-Src-IP": "192.0.2.15",
        "X-Mentat-Report-Time-Window": "2026-01-12T00:00:00Z___2026-01-13T00:00:00Z",
        "X-Mentat-Report-Test-Data": "False",
        "X-Mentat-Report-Categories": "Recon.Scanning",
        "X-Mentat-Report-Classes": "recon-scanning",
        "X-Cesnet-Report-Type": "extra",
        "X-Cesnet-Report-Id": "M20260113EL-7QK2F9XA",
        "X-Cesnet-Report-Severity": "low",
        "X-Cesnet-Report-Srcip": "192.0.2.15",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "quoted-printable",
    }
    assert mail.recipients == ("a@x.example", "b@x.example", "c@x.example", "d@x.example")
    assert mail.envelope_sender == "bounces@csirt.example"
    assert b"d@x.example" not in mail.content


def test_a_redirected_mail_goes_to_the_admin_alone_and_names_who_would_have_got_it() -> None:
    plan = MailPlan(to=("a@x.example",), cc=("b@x.example",), redirected_to=("admin@csirt.example",))

    mail = build(report(mail=plan), WORDS, FRAME)

    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    assert mail.recipients == ("admin@csirt.example",)
    assert message["To"] == "admin@csirt.example"
    assert message["Cc"] is None
    assert message["X-Mentat-Report-Original-To"] == "a@x.example, b@x.example"


def test_each_recipient_is_named_once() -> None:
    plan = MailPlan(to=("a@X.example",), cc=("a@x.example", "b@x.example"))

    assert build(report(mail=plan), WORDS, FRAME).recipients == ("a@x.example", "b@x.example")


def test_the_message_id_depends_on_label_and_recipients_but_not_on_their_order() -> None:
    def message_id(*to: str) -> str:
        return build(report(mail=MailPlan(to=to, cc=())), WORDS, FRAME).message_id

    assert message_id("a@x.example", "b@x.example") == message_id("b@x.example", "a@x.example")
    assert message_id("a@x.example") != message_id("b@x.example")
    assert message_id("a@x.example").startswith("<M20260113SL-7QK2F9XA.")
    assert message_id("a@x.example").endswith("@csirt.example>")


@pytest.mark.parametrize(
    "address", ["", "a@x.example, v@y.example", "a@x.example\r\nBcc: v@y.example", "-f@x.example"]
)
def test_a_recipient_that_is_no_address_stops_the_mail(address: str) -> None:
    with pytest.raises(MailError, match="not one mail address"):
        build(report(mail=MailPlan(to=(address,), cc=())), WORDS, FRAME)


def test_a_report_without_a_plan_is_not_mailed() -> None:
    with pytest.raises(MailError, match="not to be mailed"):
        build(report(mail=None), WORDS, FRAME)


@pytest.mark.parametrize(
    ("told", "frame", "expected"),
    [
        (report(), FRAME, "[M20260113SL-7QK2F9XA] Low - x"),
        (report(test_data=True), FRAME, "[TEST] [M20260113SL-7QK2F9XA] Low - x"),
        (report(), FRAME._replace(test_mode=True), "[TEST] [M20260113SL-7QK2F9XA] Low - x"),
        (report(), FRAME._replace(subject="Security"), "[M20260113SL-7QK2F9XA] Security"),
        (
            report(statistics={"tlps": {"GREEN": 9, "TLP:AMBER": 1, "__unknown__": 3, "MAUVE": 1}}),
            FRAME,
            "TLP:AMBER [M20260113SL-7QK2F9XA] Low - x",
        ),
    ],
)
def test_a_subject_says_test_light_label_and_matter(told: Report, frame: Frame, expected: str) -> None:
    assert subject(told, Rendered("Low - x", ""), frame) == expected


@pytest.mark.parametrize(
    ("sender", "written"),
    [
        ("abuse@csirt.example", b"From: abuse@csirt.example\r\n"),
        ("CSIRT Example <abuse@csirt.example>", b"From: CSIRT Example <abuse@csirt.example>\r\n"),
        ('"CSIRT, Inc." <abuse@csirt.example>', b'From: "CSIRT, Inc." <abuse@csirt.example>\r\n'),
        (
            "Bezpe\u010dnost <abuse@csirt.example>",
            b"From: =?utf-8?b?QmV6cGXEjW5vc3Q=?= <abuse@csirt.example>\r\n",
        ),
    ],
)
def test_the_sender_may_have_a_name(sender: str, written: bytes) -> None:
    assert build(report(), WORDS, FRAME._replace(sender=sender)).content.startswith(written)


@given(hostile)
def test_what_events_say_adds_no_header_and_breaks_none(text: str) -> None:
    message = parsed(hostile_report(text))

    usual = parsed(hostile_report(""))
    assert message.keys() == usual.keys()
    assert message.defects == []
    assert all(len(str(value)) <= 250 for value in message.values())


@given(hostile)
def test_any_subject_survives_as_one_line(text: str) -> None:
    printable = " ".join("".join(char if char.isprintable() else " " for char in text).split())

    message = parsed(report(), Rendered(f"Low {text}", ""))

    assert message["Subject"] == f"[M20260113SL-7QK2F9XA] Low {printable}".rstrip()
    assert message.keys() == parsed(report()).keys()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
@example(".\nFrom here\n" + "x" * 76 + "\n" + "= " * 38 + "\n" + 700 * "ž.")
def test_any_text_parses_back(text: str) -> None:
    mail = build(report(), Rendered("Low", text), FRAME)

    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    payload = cast("bytes", message.get_payload(decode=True)).decode()
    assert payload.replace("\r\n", "\n") == text.rstrip("\n") + "\n"


@given(hostile, hostile)
def test_every_line_is_ascii_ends_in_crlf_and_is_short_enough(head: str, body: str) -> None:
    content = build(hostile_report(head), Rendered(head, body), FRAME).content

    lines = content.split(b"\r\n")
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    assert max(map(len, lines)) <= 998
    assert content.isascii()
    assert content.endswith(b"\r\n")
