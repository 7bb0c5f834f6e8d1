"""What a run asks of the database grows with the groups that have events, not with events or groups."""

from collections import Counter
from functools import partial
from typing import Any, ClassVar

import psycopg2
import pytest
from integration.helpers_run import DAY, HOUR, MINUTE, START, Reporter, event, group, reporter

from mentat_reporter import deal, shelf
from mentat_reporter.render import templates
from mentat_reporter.store import events
from mentat_reporter.store.jsontext import decode

__all__ = ["reporter"]

TEN = 10 * MINUTE
AT = START - MINUTE


class Counted(psycopg2.extensions.cursor):
    """Counts the statements of all cursors by their first words."""

    statements: ClassVar[Counter[str]] = Counter()

    def execute(self, query: Any, parameters: Any = None) -> None:
        self.statements[" ".join(str(query).split()[:3])] += 1
        super().execute(query, parameters)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Give the statements of the run that comes, those that begin and end transactions left out."""
    monkeypatch.setattr(Counted, "statements", Counter())
    counting = partial(psycopg2.connect, cursor_factory=Counted)
    monkeypatch.setattr("mentat_reporter.store.connection.psycopg2.connect", counting)
    return Counted.statements


def many_groups(reporter: Reporter, count: int, **settings: Any) -> None:
    reporter.groups(
        *(group(f"g{number:03}@x.example", f"10.0.{number}.0/24", **settings) for number in range(count))
    )


def total(reporter: Reporter, statements: Counter[str], *now: Any, **options: Any) -> int:
    statements.clear()
    reporter.run(*now, **options)
    return statements.total()


def test_an_idle_run_asks_as_much_with_many_groups_as_with_few(
    reporter: Reporter, statements: Counter[str]
) -> None:
    many_groups(reporter, 2)
    few = total(reporter, statements, START)
    too_soon = total(reporter, statements, START)
    many_groups(reporter, 200)

    assert total(reporter, statements, START) == too_soon
    assert too_soon <= 12
    assert few <= 14 + 7 * 5  # a window of each severity
    due = total(reporter, statements, START + DAY)
    assert due <= 14 + 7 * 5
    assert total(reporter, statements, START + DAY + 2 * TEN) <= 30  # what most runs of cron are


def test_events_cost_no_statements(reporter: Reporter, statements: Counter[str]) -> None:
    many_groups(reporter, 1, mode="none")
    reporter.store(event("one", AT, "10.0.0.1", severity="high"))
    one = total(reporter, statements, START)
    reporter.store(
        *(event(f"{n}", START + MINUTE, f"10.0.0.{n % 250}", severity="high") for n in range(3000))
    )

    many = total(reporter, statements, START + TEN)

    assert many <= one + 2


@pytest.mark.parametrize("units", [1, 10, 40])
def test_a_run_stays_within_its_allowance(reporter: Reporter, statements: Counter[str], units: int) -> None:
    many_groups(reporter, 50, mode="both")
    for prefix, hi in {"first": START - DAY, "held": START - 2 * HOUR}.items():
        reporter.store(
            *(
                event(f"{prefix} {unit} {n}", hi - MINUTE, f"10.0.{unit}.{n}", severity="high")
                for unit in range(units)
                for n in range(5)
            )
        )
        reporter.run(hi)
    reporter.store(
        *(
            event(f"new {unit} {n}", AT, f"10.0.{unit}.{n + 100}", severity="high")
            for unit in range(units)
            for n in range(5)
        )
    )
    statements.clear()

    result = reporter.run(START)

    assert result.total("relapsed") == units * 5
    sent, reports = result.delivered["sent"], result.total("reports")
    assert sent == reports == units * 11
    rounds = len(result.windows)
    allowed = 16 + 7 * rounds + 12 * units + reports // 200 + 3 * sent
    assert statements.total() <= allowed, statements.most_common()


def test_an_event_is_decoded_once_however_many_groups_it_concerns(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_groups(reporter, 30)
    addresses = [f"10.0.{number}.1" for number in range(30)]
    reporter.store(
        event("all", AT, *addresses, targets=tuple(addresses), target_severity="low"),
        event("one", AT, addresses[0]),
    )
    decoded: list[bytes | str] = []

    def counting(text: str | bytes) -> Any:
        decoded.append(text)
        return decode(text)

    monkeypatch.setattr(deal, "decode", counting)

    result = reporter.run(START)

    assert len(decoded) == 2
    assert result.total("reports") == 60
    assert result.counts["low"]["events"] == 2


def test_a_relapsed_event_is_decoded_once_a_unit(reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    many_groups(reporter, 1)
    addresses = [f"10.0.0.{number}" for number in range(20)]
    reporter.store(event("first", AT, *addresses, severity="high"))
    reporter.run(START)
    reporter.store(event("held", START + 20 * HOUR, *addresses, severity="high"))
    reporter.run(START + 20 * HOUR + TEN)
    decoded: list[bytes | str] = []

    def counting(text: str | bytes) -> Any:
        decoded.append(text)
        return decode(text)

    monkeypatch.setattr(deal, "decode", counting)

    result = reporter.run(START + DAY)

    assert result.total("relapsed") == 1
    assert len(decoded) == 1


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[str]:
    """Note each call of a function, by its name."""
    calls: list[str] = []
    begin = getattr(owner, name)

    def counting(*arguments: Any, **more: Any) -> Any:
        calls.append(name)
        return begin(*arguments, **more)

    monkeypatch.setattr(owner, name, counting)
    return calls


def test_an_event_is_read_once_for_what_is_told_of_it_and_for_its_files(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_groups(reporter, 3, mode="both", attachments="all")
    addresses = [f"10.0.{number}.{host}" for number in range(3) for host in range(1, 6)]
    reporter.store(*(event(f"{number}", AT, *addresses) for number in range(20)))
    read, again = counted(monkeypatch, deal, "decode"), counted(monkeypatch, shelf, "decode")

    result = reporter.run(START)

    assert result.total("reports") == 3 * (1 + 5)
    assert (len(read), len(again)) == (20, 0)


def test_without_memory_for_what_was_read_an_event_is_read_again_a_few_times_a_unit(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "DECODED", 0)
    many_groups(reporter, 2, mode="both", attachments="all")
    addresses = [f"10.0.{number}.{host}" for number in range(2) for host in range(1, 40)]
    reporter.store(*(event(f"{number}", AT, *addresses) for number in range(20)))
    again = counted(monkeypatch, shelf, "decode")

    assert reporter.run(START).total("reports") == 2 * (1 + 39)

    assert len(again) <= 4 * 2 * 20


def test_the_events_database_is_asked_once_for_what_is_new(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_groups(reporter, 5, mode="both", attachments="all")
    reporter.store(*(event(f"{number}", AT, f"10.0.{number % 5}.{number}") for number in range(100)))
    streams, by_ids = counted(monkeypatch, events, "stream"), counted(monkeypatch, events, "by_ids")

    result = reporter.run(START)

    assert result.total("reports") == 5 + 100
    assert len(streams) == len(result.windows)
    assert by_ids == []


def test_a_report_is_rendered_three_times_and_looked_at_once(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_groups(reporter, 4, mode="both")
    reporter.store(
        *(event(f"{group} {n}", AT, f"10.0.{group}.{n}") for group in range(4) for n in range(1, 6))
    )
    views = counted(monkeypatch, templates, "view")
    renders = counted(monkeypatch, templates.Templates, "_filled")

    result = reporter.run(START)

    assert result.total("reports") == result.total("mails") == 4 * (1 + 5)
    assert len(renders) == 3 * 24  # text, HTML, and the page
    assert len(views) == 24
