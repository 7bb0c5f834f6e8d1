"""Whole mails and texts, kept under tests/golden/ and read like prose; UPDATE_GOLDEN=1 writes them anew."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from factories import CLASSES, HI, LO, compiled_catalogues, detail, entry, report
from strictmail import read_mail

from mentat_reporter.core.listing import DayFigures, Listed
from mentat_reporter.core.model import Counters, Detail, MailPlan, Report
from mentat_reporter.filing.page import DETAILED, ROWS, VALUES
from mentat_reporter.render.enclosed import NOTHING, Attachment, Enclosed, LeftOut
from mentat_reporter.render.message import Answers, Frame, build
from mentat_reporter.render.pages import index_of
from mentat_reporter.render.templates import Templates
from mentat_reporter.render.view import File, Limits

GOLDEN: Final = Path(__file__).parents[1] / "golden"
LOCALES: Final = ("en", "cs", "de", "fr", "pl", "sk")
FRAME: Final = Frame(
    sender="CSIRT Example <abuse@csirt.example>",
    reply_to=("abuse@csirt.example",),
    return_path="bounces@csirt.example",
    message_id_domain="csirt.example",
    subject=None,
    test_mode=False,
)


@pytest.fixture(scope="module", autouse=True)
def _catalogues() -> None:
    compiled_catalogues()


def in_prague(told: Report, template: str, locale: str) -> Report:
    return replace(told, template=template, locale=locale, timezone="Europe/Prague")


def hours(**events: int) -> dict[datetime, int]:
    """Return events by hour of the day: `h06=3`."""
    return {LO + timedelta(hours=int(hour[1:])): number for hour, number in events.items()}


def scan(port_count: int = 2) -> dict[str, Detail]:
    ports = [str(20 + number) for number in range(port_count)]
    return {
        "org.example.det27": detail(
            source={"Hostname": ["www.org0006.example"], "MAC": ["00:00:5e:00:53:17"], "Proto": ["tcp"]},
            target={"Port": ports},
            numbers={"ConnCount": 14920, "PacketCount": 44760, "ByteCount": 2685600},
        )
    }


def ssh() -> dict[str, Detail]:
    return {
        "org.example.det10": detail(
            source={"Port": ["50685", "10106", "27445"], "Proto": ["tcp", "ssh"]},
            target={"Port": ["22"]},
            numbers={"ConnCount": 52, "FlowCount": 183},
        ),
        "org.example.det16": detail(
            source={"Proto": ["ssh"], "URL": ["http://drop.example.net/x.sh?id=1"]},
            target={"Port": ["22", "2222"]},
            numbers={"ConnCount": 127},
        ),
    }


def summary() -> Report:
    return report(
        regular=[
            entry(address="192.0.2.15", hours=hours(h06=3, h07=9, h08=14, h09=6, h22=2), details=scan(18)),
            entry(address="192.0.2.77", hours=hours(h03=1), details=scan()),
            entry(address="2001:db8:6:1000::2f:61c8:19", hours=hours(h21=1, h22=4, h23=12), details=scan()),
            entry("attempt-login-ssh/password", hours=hours(h14=1, h18=3), details=ssh()),
            entry("backdoor-odd", address="192.0.2.200", hours=hours(h12=1)),
        ],
        relapsed=[
            entry(
                "attempt-exploit",
                address="192.0.2.15",
                hours={datetime(2026, 1, 9, 8, tzinfo=UTC): 2, datetime(2026, 1, 12, 17, tzinfo=UTC): 5},
                reference="M20260106SL-4KD0QW2Z",
            )
        ],
        counters=Counters(
            rep=64, all=1302, new=1295, flt=1293, flt_blk=2, thr=57, thr_blk=1236, rlp=7, det_blk=1
        ),
        held_until=HI + timedelta(days=6),
    )


def extra() -> Report:
    return report(
        "extra",
        regular=[
            entry(hours=hours(h06=3, h07=9, h08=14, h09=6, h22=2), details=scan(18)),
            entry("attempt-login-ssh/password", hours=hours(h14=1, h18=3), details=ssh()),
        ],
        held_until=HI + timedelta(days=6),
    )


def target() -> Report:
    attacked = {
        "org.example.det25": detail(
            source={"Port": ["21293"]},
            target={"Port": ["445"], "Proto": ["tcp"], "Hostname": ["files.org0006.example"]},
        )
    }
    return report(
        "target",
        severity="high",
        regular=[
            entry("attempt-exploit", address="192.0.2.200", hours=hours(h18=1, h19=2), details=attacked),
            entry("attempt-exploit", address="192.0.2.201", hours=hours(h19=1), details=attacked),
        ],
        statistics={"tlps": {"AMBER": 2, "GREEN": 1, "__unknown__": 1}, "categories": {"Attempt.Exploit": 4}},
        mail=MailPlan(to=("abuse@org0006.example",), cc=("noc@org0006.example", "chief@org0010.example")),
    )


KINDS: Final[dict[str, Callable[[], Report]]] = {"summary": summary, "extra": extra, "target": target}


def compare(name: str, found: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8", newline="")
    with path.open(encoding="utf-8", newline="") as file:
        assert found == file.read()


def templates() -> Templates:
    return Templates(
        None,
        {"organisation": "CSIRT Example"},
        CLASSES,
        contact="abuse@csirt.example",
        reports_url="https://reports.csirt.example",
    )


ENCLOSED: Final[dict[str, Enclosed]] = {
    "summary": Enclosed(
        left_out=(LeftOut("security-report-M20260113SL-7QK2F9XA.zip", 14_680_064),),
        folder="https://reports.csirt.example/20260113",
    ),
    "extra": Enclosed(
        attachments=(
            Attachment("security-report-M20260113EL-7QK2F9XA.zip", "application/zip", bytes(1234)),
            Attachment("recon-scanning.xarf.json", "application/json", b'{"xarf_version": "4.2.0"}\n'),
        ),
        squeezed=True,
        unmapped=("attempt-login-ssh/password",),
    ),
    "target": NOTHING,
}
"""What goes with each: something too large, something compressed, and nothing."""
ANSWERS: Final = {
    "summary": Answers("<first@csirt.example>", ("<first@csirt.example>", "<second@csirt.example>")),
    "extra": Answers("<summary@csirt.example>", ("<summary@csirt.example>",)),
    "target": None,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("template", ["default", "another"])
def test_each_kind_reads_as_its_golden_copy(kind: str, locale: str, template: str) -> None:
    rendered = templates().render(in_prague(KINDS[kind](), template, locale), ENCLOSED[kind])

    compare(f"{kind}-{template}-{locale}.txt", f"{rendered.subject}\n\n{rendered.text}")
    compare(f"{kind}-{template}-{locale}.html", rendered.html)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("locale", LOCALES)
def test_each_kind_is_mailed_as_its_golden_copy(kind: str, locale: str) -> None:
    told = in_prague(KINDS[kind](), "another", locale)
    enclosed = ENCLOSED[kind]
    rendered = templates().render(told, enclosed)

    mail = build(told, rendered, FRAME, answers=ANSWERS[kind], attachments=enclosed.attachments)

    compare(f"{kind}-{locale}.eml", mail.content.decode("ascii"))
    read = read_mail(mail.content)
    assert read.leaf("text/plain").text == rendered.text
    assert read.leaf("text/html").text == rendered.html


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("locale", LOCALES)
def test_the_page_of_each_kind_reads_as_its_golden_copy(kind: str, locale: str) -> None:
    told = in_prague(KINDS[kind](), "default", locale)
    files = (File("security-report.json", "12 kB"), File("security-report.csv", "3.4 kB"))

    page = templates().render_page(told, "page.html", Limits(ROWS, DETAILED, VALUES), files=files)

    compare(f"page-{kind}-{locale}.html", page)


@pytest.mark.parametrize("locale", LOCALES)
def test_the_list_of_reports_reads_as_its_golden_copy(locale: str) -> None:
    extra_of = Listed(
        "M20260113EL-7QK2F9XA", "extra", "low", False, False, True, HI, 38,
        ("abuse@org0006.example",), ("recon-scanning", "attempt-login-ssh/password"), 2, ("192.0.2.15",), 1,
    )  # fmt: skip
    attacked = extra_of._replace(
        label="M20260112TH-2ZK3QQ7B", type="target", severity="high", mailed=False, shadow=True,
        created=LO, events=4, classes=("attempt-exploit",), class_count=1,
        addresses=("192.0.2.200", "192.0.2.201"), address_count=1_201,
    )  # fmt: skip
    days = tuple(
        DayFigures(day, 2 * number, {"low": 30 * number, "high": number})
        for number, day in enumerate((date(2026, 1, 10), date(2026, 1, 12), date(2026, 1, 13)))
    )
    reader = templates().reader(locale, "Europe/Prague")

    index = index_of((extra_of, attacked), days, 3, "13 Jan 2026 01:10 UTC+01:00", reader)

    compare(f"index-{locale}.html", templates().render_index(index, "default", locale))
