"""What a run asks of the database grows with the groups that have events, not with events or groups."""

from collections import Counter
from functools import partial
from typing import Any, ClassVar

import psycopg2
import pytest
from integration.helpers_run import DAY, HOUR, MINUTE, START, Reporter, event, group, reporter

from mentat_reporter import deal
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
    assert too_soon <= 20
    assert few <= 20 + 13 * 5  # a window of each severity
    due = total(reporter, statements, START + DAY)
    assert due <= 20 + 13 * 5


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
    allowed = 30 + 12 * rounds + 12 * units + reports // 200 + 3 * sent
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
