"""How the database finds what a run asks for: by indexes, where tables have grown to a million rows."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import Dsn, temporary_database

from mentat_reporter.core.model import Severity
from mentat_reporter.store import queries
from mentat_reporter.store.connection import Connection, connect, transaction
from mentat_reporter.store.queries import get

Row = dict[str, Any]

END: Final = datetime(2026, 5, 31, tzinfo=UTC)
"""The events of thirty days before are stored; nothing after."""
TEN: Final = timedelta(minutes=10)
DAY: Final = timedelta(days=1)

FILLED: Final = Path(__file__).with_name("million.sql")
"""Tables as they are after years."""
LARGE: Final = (
    "events", "events_json", "mentat_reporter.threshold", "mentat_reporter.thresholded_event",
    "mentat_reporter.considered", "reports_events", "asoc_groups_reports", "mentat_reporter.outbox",
    "mentat_reporter.outbox_recipient",
)  # fmt: skip

MENTATS: Final = """
    drop index reports_events_createtime, reports_events_parent_id, asoc_groups_reports_report_id;
    create index on events using gin (
        category, node_name, protocol, source_port, target_port, source_type, target_type, node_type, node_sw,
        source_hostname, target_hostname, resolvedabuses, targetabuses, inspectionerrors);
"""
"""What makes of our tables those of Mentat: its indexes, and no others."""

UNIT: Final = {"group": "abuse@g3", "severity": "low", "direction": "source"}
NUMBERS: Final = [3 + 200 * step for step in range(500)]
PROBLEMS: Final = {
    "shadows": [False] * len(NUMBERS),
    "classes": ["recon-scanning"] * len(NUMBERS),
    "sources": [f"10.{n // 65536}.{n // 256 % 256}.{n % 256}" for n in NUMBERS],
}
TIMES: Final = {"times": [END] * len(NUMBERS), "ids": [f"new {n}" for n in NUMBERS]}
LABELS: Final = [f"M{n}" for n in range(100_001 - 500, 100_001)]
CLOCK: Final = {"clock": "", "own": [], "severity": "low"}
BEFORE: Final = {"severity": "low", "since": END - TEN, "own": [], "ids": [1], "until": END + TEN}
CLOSED: Final = {"id": 1, "hi": END + TEN, "next_fetch_lo": END - DAY + TEN}
MAIL: Final = {"id": 77, "attempts": 1, "state": "sent"}


def streamed(severity: Severity, lo: datetime, hi: datetime) -> Row:
    return {"severity": severity, "lo": lo, "hi": hi, "test": False}


CASES: Final[dict[str, tuple[str, Row]]] = {
    "the events of ten minutes": ("events.stream", streamed("critical", END - 2 * TEN, END - TEN)),
    "the events of a day": ("events.stream", streamed("low", END - DAY, END)),
    "the events of a week": ("events.stream", streamed("medium", END - 7 * DAY, END)),
    "one event": ("events.by_ids", {"ids": ["c4ca4238a0b923820dcc509a6f75849b"]}),
    "many events": ("events.by_ids", {"ids": [f"c4ca4238a0b923820dcc509a6f75{n:04}" for n in range(1000)]}),
    "events that lie ahead": ("events.ahead", {"hi": END - TEN}),
    "thresholds": ("thresholds.thresholds", UNIT | PROBLEMS),
    "expired thresholds": ("thresholds.expired", UNIT | {"hi": END + TEN}),
    "renewed thresholds": (
        "thresholds.renew",
        UNIT
        | PROBLEMS
        | {"thresholdtime": END, "relapsetime": END, "ttltime": END}
        | {"labels": LABELS, "first_labels": LABELS},
    ),
    "held events": ("thresholds.hold", UNIT | PROBLEMS | TIMES),
    "told events, forgotten": ("thresholds.forget_held", UNIT | PROBLEMS | {"hi": END}),
    "ledger and relapses": ("state.before", BEFORE | {"clocks": [""], "his": [END + TEN]}),
    "ledger and relapses of groups' clocks": (
        "state.before",
        BEFORE
        | {"clocks": ["", "abuse@g3", "abuse@g4"], "his": [END + TEN] * 3, "own": ["abuse@g3", "abuse@g4"]},
    ),
    "the ledger, written": ("state.consider", UNIT | TIMES),
    "a window is closed": ("state.close_window", CLOCK | CLOSED),
    "a window of a group's clock is closed": ("state.close_window", CLOCK | CLOSED | {"clock": "abuse@g3"}),
    "labels that stand": ("reports.taken", {"labels": LABELS}),
    "chains, written": ("reports.link", {"groups": ["abuse@g3"] * 500, "reports": [*range(500)]}),
    "the newest reports": ("reports.newest", {"days": 90, "most": 500}),
    "listed reports": ("reports.listed", {"labels": LABELS, "most": 500, "classes": 20, "addresses": 20}),
    "figures of a day": ("reports.figures", {"labels": LABELS}),
    "mails that told before": ("outbox.told_by", {"labels": LABELS}),
    "mails that are due": ("outbox.due", {"now": END, "only": None}),
    "due mails of this run": ("outbox.due", {"now": END, "only": [*range(500)]}),
    "a mail is sent": ("outbox.mark_data_begun", MAIL | {"commit": "on"}),
    "a mail is settled and the next claimed": (
        "outbox.step",
        MAIL
        | {"next": 78, "next_attempt": None, "code": 250, "text": "", "ambiguous": False, "now": END}
        | {"addresses": ["abuse@example.org"], "states": ["sent"], "codes": [250], "texts": [""]}
        | {"fallback": ["fallback@example.org"]},
    ),
    "a mail as it was left": ("outbox.is_settled", MAIL),
    "a mail given back": ("outbox.release", MAIL),
    "mails of a killed run": ("outbox.recover", {"only": None, "limit": 5, "now": END}),
    "whether a digest is due": ("digest.may_be_due", {"day": END.date()}),
    "refused addresses": ("digest.tell_failed", {"now": END}),
    "held mails": ("digest.held", {}),
    "unusable things": ("digest.tell_unusable", {"now": END, "newest": 5}),
    "recipients of a digest": ("digest.count_as_told", {"now": END, "ids": [77]}),
}

NEEDS_NO_INDEX: Final = {
    "events.snapshot": "reads no table",
    "events.elsewhere": "reads the catalogue",
    "state.told": "asked only when a database was restored or the clock set back",
    "outbox.counts": "no run asks it",
    "outbox.enqueue": "looks nothing up but one Message-ID a mail",
    "reports.insert": "looks nothing up",
    "digest.take_back": "reads addresses only when a digest has failed",
    "digest.given_up": "reads failed units, of which there are few",
    "digest.record": "looks nothing up",
}

ALLOWED: Final = {
    case: {"asoc_groups_reports"} for case in ("listed reports", "refused addresses", "held mails")
}
"""The chains of many reports are read as one set; the rows are narrow, and Mentat has no index by report."""


def nodes(plan: Row) -> Iterator[Row]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def read_through(connection: Connection, query: str, parameters: Row) -> set[str]:
    """Return the large tables that the database would read from one end to the other."""
    cursor = "declare probe cursor for " if query == "events.stream" else ""
    naive = {key: value.replace(tzinfo=None) for key, value in parameters.items() if key in ("lo", "hi")}
    with connection.cursor() as asked:
        given = parameters | naive if query.startswith("events.") else parameters
        asked.execute(f"explain (format json) {cursor}{get(query)}", given)
        [(found,)] = asked.fetchall()
    large = {name.rpartition(".")[2] for name in LARGE}
    scanned = {node["Relation Name"] for node in nodes(found[0]["Plan"]) if node["Node Type"] == "Seq Scan"}
    return scanned & large


def execute(connection: Connection, statements: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statements)


def scans(connection: Connection) -> dict[str, set[str]]:
    return {name: read_through(connection, *case) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def filled(server: Dsn, template: str) -> Iterator[Connection]:
    """Give a database with a million events, thresholds and held events, of which it knows no statistics."""
    with (
        temporary_database(server, template) as dsn,
        closing(connect(dsn, what="test", limits={})) as connection,
    ):
        with transaction(connection):
            for name in LARGE:
                execute(connection, f"alter table {name} set (autovacuum_enabled = false)")
            execute(connection, FILLED.read_text(encoding="utf-8"))
        yield connection


@pytest.fixture(scope="module")
def layouts(filled: Connection) -> dict[str, dict[str, set[str]]]:
    """Give the tables read through in each case: before statistics, with them, and with Mentat's indexes."""
    found = {"just grown": scans(filled)}
    filled.rollback()
    with transaction(filled):
        execute(filled, "analyze")
    found["as init makes them"] = scans(filled)
    execute(filled, MENTATS)
    found["as Mentat makes them"] = scans(filled)
    filled.rollback()
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", ["just grown", "as init makes them", "as Mentat makes them"])
def test_nothing_large_is_read_through(
    layouts: dict[str, dict[str, set[str]]], layout: str, case: str
) -> None:
    assert layouts[layout][case] <= ALLOWED.get(case, set())


def test_no_query_of_large_tables_is_left_out() -> None:
    files = {"events", "thresholds", "outbox", "reports", "digest"}
    asked = {query for query, _ in CASES.values()} | set(NEEDS_NO_INDEX)

    assert {name for name in queries.names() if name.partition(".")[0] in files} <= asked


@pytest.mark.parametrize(
    ("without", "table", "case"),
    [
        ("drop index events_storagetime", "events", "the events of ten minutes"),
        ("drop index events_storagetime", "events", "events that lie ahead"),
        ("alter table events_json drop constraint events_json_pkey", "events_json", "one event"),
        (
            "alter table mentat_reporter.threshold drop constraint threshold_pkey",
            "threshold",
            "thresholds",
        ),
        ("drop index mentat_reporter.threshold_ttltime", "threshold", "a window is closed"),
        ("drop index mentat_reporter.considered_storagetime", "considered", "ledger and relapses"),
        ("drop index mentat_reporter.outbox_due", "outbox", "mails that are due"),
        ("drop index mentat_reporter.outbox_report_label", "outbox", "mails that told before"),
    ],
)
def test_without_its_index_a_table_is_read_through(
    filled: Connection, layouts: dict[str, dict[str, set[str]]], without: str, table: str, case: str
) -> None:
    assert layouts["as init makes them"][case] == set()
    try:
        execute(filled, without)

        assert table in read_through(filled, *CASES[case])
    finally:
        filled.rollback()
