"""Pages of a real run, the demo's, and mails as files that a browser can open."""

import logging
from datetime import timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as mail_policy
from pathlib import Path

from factories import CLASSES, HI, LO, compiled_catalogues, detail, entry, report

from mentat_reporter.core.model import Entry, Report
from mentat_reporter.demo import run_demo
from mentat_reporter.render.templates import Templates
from mentat_reporter.render.view import File, Limits
from mentat_reporter.settings import build_settings


def make_sample(place: Path) -> dict[str, Path]:
    """Run the demo below `place`, and return pages and mails by what they are.

    `index`, `day`; `summary`, `extra`, `target`; `mail-summary` and so on, the longest of each in English.
    """
    compiled_catalogues()
    settings, _ = build_settings({}, home=place, named={})
    place.chmod(0o755)
    run_demo(settings, logging.getLogger("mentat_reporter.pages"), lambda _line: None)
    reports = place / "demo" / "reports"
    found = {"index": reports / "index.html", "day": next(iter(sorted(reports.glob("*/index.html"))))}
    for name, letter in (("summary", "S"), ("extra", "E"), ("target", "T")):
        pages = [*reports.glob(f"*/security-report-M????????{letter}?-*.html")]
        found[name] = max(pages, key=lambda path: (_weight(path.read_text()), path.name))
    return found | _mails(place)


def _weight(page: str) -> tuple[bool, int]:
    return '<html lang="en"' in page, len(page)


def _mails(place: Path) -> dict[str, Path]:
    longest: dict[str, str] = {}
    for file in sorted((place / "demo" / "maildir" / "new").iterdir()):
        mail = BytesParser(policy=mail_policy).parsebytes(file.read_bytes())
        assert isinstance(mail, EmailMessage)
        body = mail.get_body(("html",))
        name = f"mail-{mail['X-Mentat-Report-Type']}"
        if body is not None:
            longest[name] = max(longest.get(name, ""), str(body.get_content()), key=_weight)
    found = {}
    for name, text in longest.items():
        found[name] = place / f"{name}.html"
        found[name].write_text(text)
    return found


def make_shown(place: Path) -> dict[str, Path]:
    """Return a `page` and a `mail` of a report that has a bit of everything, for pictures."""
    compiled_catalogues()
    variables = {"organisation": "Computer security team of Example University"}
    contact = "csirt@example.edu"
    templates = Templates(
        None, variables, CLASSES, contact=contact, reports_url="https://reports.example.edu"
    )
    label = "M20260113SH-7QK2F9XA"
    files = (File(f"security-report-{label}.json", "86 kB"), File(f"security-report-{label}.csv", "14 kB"))
    shown = _telling(label)
    texts = {
        "page": templates.render_page(shown, "page.html", Limits(), files=files),
        "mail": templates.render(shown).html,
    }
    for name, text in texts.items():
        (place / f"{name}.html").write_text(text)
    return {name: place / f"{name}.html" for name in texts}


def _telling(label: str) -> Report:
    scans = [_line("recon-scanning", f"192.0.2.{host}", every, ["23", "2323"]) for host, every in _SCANNERS]
    logins = [_line("attempt-login-ssh", "192.0.2.44", 2, ["22"])]
    recurring = [_line("attempt-exploit", "192.0.2.80", 5, ["443"], reference="M20260106SH-3MN8B2CD")]
    found = report("summary", label=label, severity="high", regular=[*scans, *logins], relapsed=recurring)
    found.chain = ("abuse@example.edu",)
    found.held_until = HI + timedelta(days=2)
    found.counters.flt_blk, found.counters.thr_blk, found.counters.rlp = 3, 41, recurring[0].count
    return found


_SCANNERS = ((15, 1), (17, 3), (121, 7))
"""Hosts, and the hours between their events."""


def _line(name: str, address: str, every: int, ports: list[str], reference: str | None = None) -> Entry:
    seen = detail(
        numbers={"ConnCount": 4321 // every},
        source={"Hostname": [f"host{address.rpartition('.')[2]}.example.edu"], "Proto": ["tcp"]},
        target={"Port": ports},
    )
    hours = {LO + timedelta(hours=hour): 1 + hour * every % 9 for hour in range(every % 5, 24, every)}
    return entry(name, address, hours=hours, details={"edu.example.sensor": seen}, reference=reference)
