"""Every kind of mail in every shape passes a strict reader, byte for byte what went in."""

from itertools import product
from typing import Any, get_args

import pytest
from factories import entry, report
from hypothesis import given
from hypothesis import strategies as st
from strictmail import Part, read_entity, read_mail

from mentat_reporter.core.model import MailPlan, ReportType
from mentat_reporter.render.enclosed import Attachment
from mentat_reporter.render.message import Answers, Frame, Mail, Sign, Signature, build
from mentat_reporter.render.mime import file_part, multipart, text_part
from mentat_reporter.render.templates import Rendered

FRAME = Frame(
    sender="Bezpečnost <abuse@csirt.example>",
    reply_to=("help@csirt.example",),
    return_path="bounces@csirt.example",
    message_id_domain="csirt.example",
    subject=None,
    test_mode=False,
)
TEXT = "Good day,\n\nFrom here on:\n.\n..\n   \nžluťoučký = kůň\n"
HTML = "<!doctype html>\n<html lang=en><title>x</title>\n<p class=x>Good day, žluťoučký&nbsp;kůň\n</html>\n"
FILES = (
    Attachment("security-report-M1.json", "application/json", b'[{"a": "\xc4\x8d"}]\n'),
    Attachment("security-report-M1.csv", "text/csv; charset=utf-8", "\ufeffa,b\r\n'=1,č\r\n".encode()),
    Attachment("zpráva.zip", "application/zip", bytes(range(256)) * 40),
    Attachment("empty.json", "application/json", b""),
)
ARMOUR = b"-----BEGIN PGP SIGNATURE-----\n\niHUEABYKAB0=\n=abcd\n-----END PGP SIGNATURE-----\n"

PIECES = (
    ".", "From ", "From", " ", "\t", "=", "é", "\n", "\r", "\r\n", "\0", "\x85", "\u2028", "\ud800",
    "x" * 37, "x" * 71, "x" * 76, "--=_mixed", "--",
)  # fmt: skip
texts = st.text(max_size=400) | st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


def signed(_entity: bytes) -> Signature:
    return Signature(ARMOUR, "pgp-sha512")


def unable(_entity: bytes) -> None:
    return None


def as_sent(text: str) -> str:
    """Return a text as it must arrive: line ends of one kind, one at the end."""
    return (
        text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").encode(errors="replace").decode() + "\n"
    )


def mail_of(
    kind: ReportType = "summary",
    html: str = "",
    files: tuple[Attachment, ...] = (),
    sign: Sign | None = None,
    text: str = TEXT,
    **more: Any,
) -> Mail:
    told = report(
        kind, regular=[entry("scan")], mail=MailPlan(("a@x.example",), ("b@x.example",), ("c@x.example",))
    )
    return build(told, Rendered("Low - x", text, html), FRAME, attachments=files, sign=sign, **more)


@pytest.mark.parametrize(
    ("kind", "html", "files", "sign"),
    [*product(get_args(ReportType), ("", HTML), ((), FILES), (None, signed, unable))],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:9] or "no",
)
def test_every_kind_of_mail_is_strictly_right(
    kind: ReportType, html: str, files: tuple[Attachment, ...], sign: Sign | None
) -> None:
    mail = read_mail(mail_of(kind, html, files, sign).content)

    expected: Any = ("multipart/alternative", "text/plain", "text/html") if html else "text/plain"
    if files:
        types = (file.content_type.partition(";")[0] for file in files)
        expected = ("multipart/mixed", expected, *types)
    if sign is signed:
        expected = ("multipart/signed", expected, "application/pgp-signature")
    assert mail.shape == expected
    leaves = [leaf for leaf in mail.leaves() if leaf.type != "application/pgp-signature"]
    assert [leaf.text for leaf in leaves[: 2 if html else 1]] == [
        as_sent(part) for part in (TEXT, html) if part
    ]
    attached = leaves[2 if html else 1 :]
    assert [(leaf.file_name, leaf.data) for leaf in attached] == [(file.name, file.content) for file in files]


def test_the_headers_are_the_same_in_every_shape() -> None:
    plain = read_mail(mail_of().content)
    rich = read_mail(mail_of(html=HTML, files=FILES, sign=signed).content)

    def without_content(part: Part) -> dict[str, str]:
        return {name: value for name, value in part.headers if not name.startswith("Content-")}

    assert without_content(plain) == without_content(rich)
    assert "Return-Path" not in without_content(rich)


def test_the_same_report_gives_the_same_bytes() -> None:
    first, again = (mail_of(html=HTML, files=FILES, sign=signed) for _ in range(2))

    assert first == again


def test_a_signature_is_of_exactly_the_bytes_that_are_sent() -> None:
    given_to_sign: list[bytes] = []

    def sign(entity: bytes) -> Signature:
        given_to_sign.append(entity)
        return Signature(ARMOUR, "pgp-sha256")

    mail = read_mail(mail_of(html=HTML, files=FILES, sign=sign).content)

    [entity] = given_to_sign
    assert mail.parts[0].raw == entity
    assert mail.parameters["micalg"] == "pgp-sha256"
    assert mail.parameters["protocol"] == "application/pgp-signature"
    assert mail.parts[1].data == ARMOUR.replace(b"\n", b"\r\n")
    assert mail.parts[1].file_name == "signature.asc"


@given(texts, texts)
def test_any_text_and_html_arrive_as_they_are(text: str, html: str) -> None:
    mail = read_mail(mail_of(text=text, html=html + "x").content)

    assert [leaf.text for leaf in mail.leaves()] == [as_sent(text), as_sent(html + "x")]


@given(texts)
def test_any_text_arrives_alone_as_well(text: str) -> None:
    assert read_mail(mail_of(text=text).content).text == as_sent(text)


@given(st.text(min_size=1, max_size=300), st.binary(max_size=400))
def test_any_file_arrives_under_its_name(name: str, content: bytes) -> None:
    part = read_entity(file_part(Attachment(name, "application/zip", content)))

    printable = " ".join("".join(char if char.isprintable() else " " for char in name).split())
    assert part.data == content
    assert (part.file_name or "") == printable
    assert max(map(len, part.raw.split(b"\r\n"))) <= 78


@given(
    st.lists(texts.map(lambda text: text_part("plain", text)), min_size=1, max_size=3), st.text(max_size=30)
)
def test_no_text_can_end_a_part(parts: list[bytes], seed: str) -> None:
    inner = multipart("alternative", seed, parts)

    outer = read_entity(multipart("mixed", seed, (inner, *parts)))

    assert [part.raw for part in outer.parts] == [inner, *parts]
    assert [part.raw for part in outer.parts[0].parts] == parts


def test_a_long_thread_is_folded() -> None:
    ids = tuple(f"<M20260113SL-{number:08}.0123456789ab@csirt.example>" for number in range(20))

    mail = read_mail(mail_of(answers=Answers(ids[-1], ids)).content)

    headers = dict(mail.headers)
    assert headers["In-Reply-To"] == ids[-1]
    assert headers["References"].split() == list(ids)
