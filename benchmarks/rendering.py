"""What it takes to make the mail and the page of a report, without database and disk.

    python benchmarks/rendering.py [reports]

Prints microseconds of CPU for each step: the view that all are made of, the text and HTML of a mail with
their view, the page with its own, and the finished mail. No two reports are the same, as in a run, so that
what is remembered from one to the next is worth here what it is worth there. First comes what a process
pays to begin: the first report in each language.
"""

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from mentat_reporter.core.model import Counters, Detail, Entry, EventClass, MailPlan, Report
from mentat_reporter.render.message import Frame, build
from mentat_reporter.render.templates import Rendered, Templates
from mentat_reporter.render.view import Limits, view

REPORTS: Final = 300
LOCALES: Final = ("en", "cs", "de", "fr", "pl", "sk")
LIMITS: Final = Limits(20_000, 2_000, 1_000)
"""As `filing/page.py` has them."""
HI: Final = datetime(2026, 5, 4, 12, tzinfo=UTC)
LO: Final = HI - timedelta(days=1)
CLASSES: Final = {
    f"class{number}": EventClass(
        name=f"class{number}",
        labels={"en": f"Trouble of kind {number}", "cs": f"Potíže druhu {number}"},
        advice={"en": "Find out which program does this.", "cs": "Zjistěte, který program to dělá."},
        reference=f"https://classes.example.org/{number}",
    )
    for number in range(12)
}
FRAME: Final = Frame(
    "Reporter <reports@reporter.example>", ("help@reporter.example",), "reports@reporter.example",
    "reporter.example", None, test_mode=False,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("reports", type=int, nargs="?", default=REPORTS)
    reports = parser.parse_args().reports
    gc.disable()
    templates = Templates(None, {}, CLASSES, contact="help@reporter.example", reports_url="https://r.example")
    begin(templates)
    print(f"{'µs':20}{'view':>8}{'mail':>8}{'page':>8}{'build':>8}")
    for locale in ("en", "cs"):
        for name, addresses, few in (("extra", 1, reports), ("summary of 60", 60, reports // 10)):
            told = [report_of(addresses, locale, number) for number in range(few)]
            measure(f"{locale} {name}", told, templates)


def begin(templates: Templates) -> None:
    """Print what the first report in each language takes, in milliseconds."""
    costs = []
    for locale in LOCALES:
        begun = time.process_time()
        for addresses in (60, 1):
            told = report_of(addresses, locale, 0)
            templates.render_page(told, "page.html", LIMITS, files=())
            build(told, templates.render(told), FRAME)
        costs.append(f"{locale} {(time.process_time() - begun) * 1e3:.0f}")
    print(f"ms to begin: {', '.join(costs)}")


def measure(name: str, told: Sequence[Report], templates: Templates) -> None:
    reader = templates.reader(told[0].locale, told[0].timezone)
    rendered: list[Rendered] = []
    costs = (
        cost(lambda report, _: view(report, reader, CLASSES), told),
        cost(lambda report, _: rendered.append(templates.render(report)), told),
        cost(lambda report, _: templates.render_page(report, "page.html", LIMITS, files=()), told),
        cost(lambda report, place: build(report, rendered[place], FRAME), told),
    )
    print(f"{name:20}" + "".join(f"{microseconds:8.0f}" for microseconds in costs))


def cost(work: Callable[[Report, int], object], told: Sequence[Report]) -> float:
    """Return the mean for the cheaper half of the reports: what else the machine does only adds."""
    half = len(told) // 2
    means = []
    for first in (0, half):
        begun = time.process_time()
        for place in range(first, first + half):
            work(told[place], place)
        means.append((time.process_time() - begun) / half)
    return min(means) * 1e6


def report_of(addresses: int, locale: str, number: int) -> Report:
    """Return an extra report of one address, or a summary of more, of one class each.

    Another `number` is another report, of other addresses at other times.
    """
    lines = [entry_of(addresses * number + place) for place in range(addresses)]
    alone = addresses == 1
    unit = number // 50
    return Report(
        label=f"M20260504EL-7QK{number:05}", type="extra" if alone else "summary", severity="low",
        shadow=False, test_data=False, chain=(f"abuse@org{unit}.example",), fallbacks=(), lo=LO, hi=HI,
        created=HI, counters=Counters(rep=2 * addresses, all=2 * addresses), regular=lines, relapsed=[],
        statistics={}, filtering={}, mail=MailPlan(to=(f"abuse@org{unit}.example",), cc=()),
        locale=locale, timezone="Europe/Prague", address=lines[0].address if alone else None,
        parent=f"M20260504SL-3MN{unit:05}" if alone else None,
    )  # fmt: skip


def entry_of(number: int) -> Entry:
    event_class, first = f"class{number % len(CLASSES)}", HI - timedelta(seconds=977 * (number % 86) + 60)
    detail = Detail(
        main_lists={}, main_numbers={"ConnCount": 40 + number},
        source_lists={"Hostname": {f"host{number}.example.org": None}, "Port": {str(1024 + number): None}},
        source_numbers={}, target_lists={"Port": {"22": None}, "Proto": {"tcp": None, "ssh": None}},
        target_numbers={}, attach_lists={},
    )  # fmt: skip
    return Entry(
        event_class=event_class, class_name=event_class, address=f"10.7.{number // 250}.{number % 250 + 1}",
        count=2, first_time=first, last_time=first + timedelta(minutes=40), reference=None,
        details={"org.example.sensor": detail}, hours={first.replace(minute=0, second=0): 2},
    )  # fmt: skip


if __name__ == "__main__":
    main()
