"""Reports and their parts for tests: sensible unless told otherwise."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from mentat_reporter.core.model import Counters, Detail, Entry, EventClass, MailPlan, Report, ReportType
from mentat_reporter.render.catalogues import compile_catalogues
from mentat_reporter.render.shipped import shipped_templates

LO: Final = datetime(2026, 1, 12, tzinfo=UTC)
HI: Final = datetime(2026, 1, 13, tzinfo=UTC)
GROUP: Final = "abuse@org0006.example"

CLASSES: Final = {
    "recon-scanning": EventClass(
        name="recon-scanning",
        labels={
            "en": "Port scanning",
            "cs": "Skenování portů",
            "de": "Portscans",
            "fr": "Balayage de ports",
            "pl": "Skanowanie portów",
            "sk": "Skenovanie portov",
        },
        advice={
            "en": "Find out which program scans, and why; a scanner of your own should be announced to us.",
            "cs": "Zjistěte, který program skenuje a proč; o vlastním skeneru nám prosím dejte vědět.",
            "de": "Stellen Sie fest, welches Programm scannt und warum; eigene Scanner melden Sie uns bitte.",
            "fr": "Cherchez quel programme balaye. Merci de nous annoncer vos propres outils de balayage.",
            "pl": "Prosimy ustalić, jaki program skanuje i dlaczego; własny skaner prosimy nam zgłosić.",
            "sk": "Zistite, ktorý program skenuje a prečo; o vlastnom skeneri nám, prosím, dajte vedieť.",
        },
        reference="https://classes.example.org/recon-scanning",
    ),
    "attempt-login-ssh": EventClass(
        name="attempt-login-ssh",
        labels={
            "en": "SSH login attempts",
            "cs": "Pokusy o přihlášení přes SSH",
            "de": "Anmeldeversuche über SSH",
            "fr": "Tentatives de connexion SSH",
            "pl": "Próby logowania przez SSH",
            "sk": "Pokusy o prihlásenie cez SSH",
        },
        advice={},
        reference="https://classes.example.org/attempt-login-ssh",
    ),
    "attempt-exploit": EventClass(
        name="attempt-exploit",
        labels={
            "en": "Exploit attempts",
            "cs": "Pokusy o zneužití zranitelnosti",
            "de": "Versuche, Schwachstellen auszunutzen",
            "fr": "Tentatives pour exploiter des failles",
            "pl": "Próby wykorzystania podatności",
            "sk": "Pokusy o zneužitie zraniteľnosti",
        },
        advice={},
        reference="https://classes.example.org/attempt-exploit",
    ),
}


@cache
def compiled_catalogues() -> None:
    """Compile the shipped catalogues, once a session, where they are missing or outdated."""
    for source in shipped_templates().glob("locale/*/LC_MESSAGES/messages.po"):
        product = source.with_suffix(".mo")
        if not product.is_file() or product.stat().st_mtime < source.stat().st_mtime:
            compile_catalogues(shipped_templates())
            return


def listed(**lists: list[str]) -> dict[str, dict[str, None]]:
    """Return lists of values as details keep them: ordered sets, by field."""
    return {name: dict.fromkeys(values) for name, values in lists.items()}


def detail(
    *,
    main: Mapping[str, list[str]] | None = None,
    numbers: Mapping[str, float] | None = None,
    source: Mapping[str, list[str]] | None = None,
    target: Mapping[str, list[str]] | None = None,
    attach: Mapping[str, list[str]] | None = None,
) -> Detail:
    return Detail(
        main_lists=listed(**(main or {})),
        main_numbers=dict(numbers or {}),
        source_lists=listed(**(source or {})),
        source_numbers={},
        target_lists=listed(**(target or {})),
        target_numbers={},
        attach_lists=listed(**(attach or {})),
    )


def entry(
    event_class: str = "recon-scanning",
    address: str = "192.0.2.15",
    **changes: Any,
) -> Entry:
    """Return a line of a report: one event at six in the morning unless `hours` tells of more."""
    hours: dict[datetime, int] = changes.pop("hours", {LO + timedelta(hours=6): 1})
    facts: dict[str, Any] = {
        "event_class": event_class,
        "class_name": event_class.partition("/")[0],
        "address": address,
        "count": sum(hours.values()),
        "first_time": min(hours) + timedelta(minutes=14, seconds=34),
        "last_time": max(hours) + timedelta(minutes=41, seconds=2),
        "reference": None,
        "details": {"org.example.det27": detail(target={"Port": ["22"]}, source={"Proto": ["tcp"]})},
        "hours": hours,
    }
    return Entry(**(facts | changes))


def report(kind: ReportType = "summary", **changes: Any) -> Report:
    """Return a report of one day that nobody is mailed yet except its first group."""
    regular = changes.pop("regular", None)
    regular = [entry()] if regular is None else regular
    relapsed = changes.pop("relapsed", [])
    events = sum(line.count for line in (*regular, *relapsed))
    facts: dict[str, Any] = {
        "label": f"M20260113{kind[0].upper()}L-7QK2F9XA",
        "type": kind,
        "severity": "low",
        "shadow": False,
        "test_data": False,
        "chain": (GROUP,),
        "fallbacks": (),
        "lo": LO,
        "hi": HI,
        "created": HI + timedelta(minutes=10, seconds=7),
        "counters": Counters(rep=events, all=events),
        "regular": regular,
        "relapsed": relapsed,
        "statistics": {"tlps": {"__unknown__": events}, "categories": {}, "classes": {}},
        "filtering": {},
        "mail": MailPlan(to=(GROUP,), cc=()),
    }
    if kind == "extra":
        facts |= {"address": "192.0.2.15", "parent": "M20260113SL-3MN8B2CD"}
    return Report(**(facts | changes))
