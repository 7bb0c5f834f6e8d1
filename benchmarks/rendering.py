"""What it takes to make the mail and the page of a report, without database and disk.

    python benchmarks/rendering.py [rounds]

Prints microseconds of CPU for each step: the view that all are made of, the text and HTML of a mail with
their view, the page with its own, and the finished mail.
"""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from mentat_reporter.core.model import Counters, Detail, Entry, EventClass, MailPlan, Report
from mentat_reporter.render.message import Frame, build
from mentat_reporter.render.templates import Templates
from mentat_reporter.render.view import Limits, view

ROUNDS: Final = 300
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
    parser.add_argument("rounds", type=int, nargs="?", default=ROUNDS)
    rounds = parser.parse_args().rounds
    templates = Templates(None, {}, CLASSES, contact="help@reporter.example")
    print(f"{'µs':20}{'view':>8}{'mail':>8}{'page':>8}{'build':>8}")
    for locale in ("en", "cs"):
        for name, addresses, few in (("extra", 1, rounds), ("summary of 60", 60, rounds // 10)):
            measure(name, report_of(addresses, locale), templates, few)


def measure(name: str, report: Report, templates: Templates, rounds: int) -> None:
    reader = templates.reader(report.locale, report.timezone)
    rendered = templates.render(report)
    costs = (
        cost(lambda: view(report, reader, CLASSES), rounds),
        cost(lambda: templates.render(report), rounds),
        cost(lambda: templates.render_page(report, "page.html", LIMITS, files=()), rounds),
        cost(lambda: build(report, rendered, FRAME), rounds),
    )
    print(f"{report.locale} {name:17}" + "".join(f"{microseconds:8.0f}" for microseconds in costs))


def cost(work: Callable[[], object], rounds: int) -> float:
    """Return the least of three means: what else the machine does only adds."""
    work()
    means = []
    for _ in range(3):
        begun = time.process_time()
        for _ in range(rounds):
            work()
        means.append((time.process_time() - begun) / rounds)
    return min(means) * 1e6


def report_of(addresses: int, locale: str) -> Report:
    """Return an extra report of one address, or a summary of more, of one class each."""
    lines = [entry_of(number) for number in range(addresses)]
    alone = addresses == 1
    return Report(
        label="M20260504EL-7QK2F9XA", type="extra" if alone else "summary", severity="low", shadow=False,
        test_data=False, chain=("abuse@example.org",), fallbacks=(), lo=LO, hi=HI, created=HI,
        counters=Counters(rep=2 * addresses, all=2 * addresses), regular=lines, relapsed=[], statistics={},
        filtering={}, mail=MailPlan(to=("abuse@example.org",), cc=()), locale=locale,
        timezone="Europe/Prague", address=lines[0].address if alone else None,
        parent="M20260504SL-3MN8B2CD" if alone else None,
    )  # fmt: skip


def entry_of(number: int) -> Entry:
    event_class, first = f"class{number % len(CLASSES)}", HI - timedelta(minutes=50 + 7 * number)
    detail = Detail(
        main_lists={}, main_numbers={"ConnCount": 40 + number},
        source_lists={"Hostname": {f"host{number}.example.org": None}, "Port": {"40123": None}},
        source_numbers={}, target_lists={"Port": {"22": None}, "Proto": {"tcp": None, "ssh": None}},
        target_numbers={}, attach_lists={},
    )  # fmt: skip
    return Entry(
        event_class=event_class, class_name=event_class, address=f"192.0.2.{number + 1}", count=2,
        first_time=first, last_time=first + timedelta(minutes=40), reference=None,
        details={"org.example.sensor": detail}, hours={first.replace(minute=0): 2},
    )  # fmt: skip


if __name__ == "__main__":
    main()
