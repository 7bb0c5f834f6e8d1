"""D1, the database: what cannot be stored is tried again; no mail of what was not stored, a clear error."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Thread
from typing import Any

import orjson
import psycopg2
import pytest
from faults.helpers_forks import wait_for
from faults.helpers_told import SETTLED, TEN, attack, once, owed, told_or_held
from integration.helpers_run import (
    ADMIN,
    ALICE,
    BOB,
    CAROL,
    MINUTE,
    START,
    Reporter,
    reporter,
)

from mentat_reporter import mails, unit
from mentat_reporter.errors import StoreError
from mentat_reporter.outside import Outside
from mentat_reporter.result import RunResult
from mentat_reporter.store import reports
from mentat_reporter.store.connection import STATE_LIMITS, Connection, connect

__all__ = ["reporter"]

EVCOUNTS = ("rep", "all", "new", "flt", "flt_blk", "det", "det_blk", "thr", "thr_blk", "rlp")
ELSE = {
    "severity": "low", "type": "summary", "dt_from": "2026-05-01T00:00:00", "dt_to": "2026-05-02T00:00:00",
    "delta": 86400, "createtime": "2026-05-02T00:00:00", "flag_testdata": False, "flag_mailed": False,
    "flag_shadow": False, "mail_to": [], "statistics": {"list_ids": []}, "structured_data": {},
    **{f"evcount_{name}": 0 for name in EVCOUNTS},
}  # fmt: skip
"""A report that somebody else stored."""
OWNERS = {"a": ALICE, "b": BOB, "c": CAROL}
ALL = [(name, event_id) for event_id, name in OWNERS.items()]
WRITTEN = (
    "public.reports_events", "public.asoc_groups_reports",
    "mentat_reporter.outbox", "mentat_reporter.outbox_recipient",
)  # fmt: skip
"""Tables that a unit with anything to tell must write."""


@pytest.fixture
def house(reporter: Reporter) -> Reporter:
    """Give a reporter with an event of each of three groups that the run at START has to tell of."""
    reporter.groups()
    reporter.run(START - TEN)
    at = START - 8 * MINUTE
    reporter.store(
        attack("a", at, "192.0.2.1"), attack("b", at, "198.51.100.1"), attack("c", at, "203.0.113.1")
    )
    return reporter


def limited(reporter: Reporter, **limits: str) -> None:
    """Let the runs have other limits than usual."""

    def connect_limited(*arguments: Any, **options: Any) -> Connection:
        if options["what"] == "main":
            options["limits"] = {**STATE_LIMITS, **limits}
        return connect(*arguments, **options)

    reporter.outside = Outside(connect=connect_limited)


def mailed(reporter: Reporter) -> Counter[str]:
    return Counter(to for to in reporter.recipients() if to != ADMIN)


def assert_stored_is_mailed(reporter: Reporter) -> None:
    """No mail without its report, no report without its mail."""
    labels = {report["label"] for report in reporter.reports()}
    enqueued = {label for (label,) in reporter.rows("select report_label from mentat_reporter.outbox")}
    assert {label for label in enqueued if label.startswith("M")} == labels
    assert mailed(reporter) == Counter(name for name, _ in told_or_held(reporter))


def assert_made_good(reporter: Reporter, first: int = 1) -> None:
    """Nothing is lost or told twice once the fault is over."""
    for number in range(first, first + 4):
        reporter.run(START + number * TEN)
    assert told_or_held(reporter) == once(ALL)
    assert owed(reporter) == SETTLED
    assert_stored_is_mailed(reporter)


def named(result: RunResult, *words: str) -> bool:
    return result.exit_code == 3 and any(all(word in line for word in words) for line in result.failures)


# Labels


@pytest.fixture
def rehearsed(house: Reporter) -> list[str]:
    """Give the labels that the run at START chooses: those that it chose before all was put back."""
    tables = [
        table
        for (table,) in house.rows("select tablename from pg_tables where schemaname = 'mentat_reporter'")
        if table != "migration"
    ]
    before = {table: house.rows(f"select t::text from mentat_reporter.{table} t") for table in tables}
    house.run(START)
    labels = [report["label"] for report in house.reports()]
    house.execute("delete from asoc_groups_reports")
    house.execute("delete from reports_events")
    for table in tables:
        house.execute(f"truncate mentat_reporter.{table} cascade")
    for table in tables:
        for (row,) in before[table]:
            house.execute(
                f"insert into mentat_reporter.{table} overriding system value"
                f" select (%s::mentat_reporter.{table}).*", row,
            )  # fmt: skip
    for file in (house.home / "maildir" / "new").iterdir():
        file.unlink()
    assert len(labels) == 3
    return labels


def stand(reporter: Reporter, *labels: str) -> None:
    """Let reports with these labels stand, as if others had chosen them."""
    for label in labels:
        reporter.execute(
            "insert into reports_events select (json_populate_record(null::reports_events, %s::json)).*",
            orjson.dumps({**ELSE, "id": -sum(label.encode()), "label": label}).decode(),
        )


def test_d1_a_label_that_stands_already_is_not_chosen(house: Reporter, rehearsed: list[str]) -> None:
    stand(house, *rehearsed)

    result = house.run(START)

    assert result.exit_code == 0
    house.execute("delete from reports_events where id < 0")
    assert not {report["label"] for report in house.reports()} & set(rehearsed)
    assert_made_good(house)


def test_d1_a_label_that_somebody_takes_in_the_same_moment_is_chosen_anew_by_a_later_run(
    house: Reporter, rehearsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = reports.taken_labels

    def taken(connection: Connection, labels: Sequence[str]) -> set[str]:
        found = real(connection, labels)
        if rehearsed[1] in labels:
            stand(house, rehearsed[1])
        return found

    with monkeypatch.context() as patch:
        patch.setattr("mentat_reporter.store.reports.taken_labels", taken)
        result = house.run(START)

    assert named(result, f"group {BOB}", "will be tried again", "UniqueViolation")
    assert set(house.told()) == {ALICE, CAROL}
    assert mailed(house) == Counter([ALICE, CAROL])
    house.run(START + TEN)
    house.execute("delete from reports_events where id < 0")
    assert_made_good(house, 2)


# Locks


@contextmanager
def locked(reporter: Reporter, table: str) -> Iterator[Connection]:
    with closing(connect(reporter.dsn, what="other session", limits={})) as other:
        with other.cursor() as cursor:
            cursor.execute(f"lock table {table} in exclusive mode")
        yield other


@pytest.mark.parametrize("table", ["reports_events", "asoc_groups_reports"])
def test_d1_units_that_wait_too_long_for_a_lock_are_rolled_back_and_tried_again(
    house: Reporter, table: str
) -> None:
    limited(house, lock_timeout="200ms")

    with locked(house, table):
        result = house.run(START)

    for name in OWNERS.values():
        assert named(result, f"group {name}", "will be tried again", "LockNotAvailable")
    assert house.told() == {}
    assert_stored_is_mailed(house)
    assert_made_good(house)


@pytest.mark.parametrize("table", ["outbox", "outbox_recipient", "run_window", "considered", "unit_done"])
def test_d1_a_lock_on_what_the_run_itself_needs_ends_it_and_the_next_makes_up_for_it(
    house: Reporter, table: str
) -> None:
    limited(house, lock_timeout="200ms")

    with locked(house, f"mentat_reporter.{table}"):
        try:
            said = house.run(START).failures
        except (StoreError, psycopg2.Error) as error:
            said = [str(error)]

    assert any("lock timeout" in line for line in said)
    assert set(mailed(house)) <= set(house.told())
    assert_made_good(house)


RAISE = """
create function fault() returns trigger language plpgsql as $$
begin
    if exists (select from groups where id = new.group_id and name = '{group}') then
        raise exception 'it waits for you and you for it' using errcode = '{code}';
    end if;
    return new;
end $$;
create trigger fault before insert on asoc_groups_reports for each row execute function fault();
"""
REPAIR = "drop trigger fault on asoc_groups_reports; drop function fault"


@pytest.mark.parametrize("code", ["40P01", "55P03", "40001", "53100", "57014"])
@pytest.mark.parametrize("times", [1, 3])
def test_d1_the_unit_alone_that_meets_an_error_fails_as_often_as_it_does(
    house: Reporter, code: str, times: int
) -> None:
    house.execute(RAISE.format(group=BOB, code=code))

    for number in range(times):
        result = house.run(START + number * TEN)
        assert named(result, f"group {BOB}", "will be tried again", "it waits for you")
        assert len([line for line in result.failures if "failed" in line]) == 1
    assert set(house.told()) == {ALICE, CAROL}
    assert_stored_is_mailed(house)
    house.execute(REPAIR)

    assert_made_good(house, times)


def test_d1_a_deadlock_with_another_session_ends_and_is_made_good(house: Reporter) -> None:
    limited(house, deadlock_timeout="2s", lock_timeout="60s")
    results: list[RunResult] = []
    with locked(house, "mentat_reporter.outbox_recipient") as other:
        with other.cursor() as cursor:
            cursor.execute("set deadlock_timeout = '1h'")  # so that it is the run that gives in
        thread = Thread(target=lambda: results.append(house.run(START)))
        thread.start()
        wait_for(lambda: house.value("select count(*) from pg_locks where not granted"))
        with other.cursor() as cursor:
            cursor.execute("lock table reports_events in exclusive mode")  # which the run has written to
        other.rollback()
        thread.join()

    assert named(results[0], "will be tried again", "DeadlockDetected")
    assert_stored_is_mailed(house)
    assert_made_good(house)


# Tables that are gone


@pytest.mark.parametrize(
    "table",
    [
        "public.events", "public.events_json", "public.groups", "public.networks", "public.reports_events",
        "public.asoc_groups_reports", "mentat_reporter.outbox", "mentat_reporter.run_window",
        "mentat_reporter.threshold", "mentat_reporter.migration",
    ],
)  # fmt: skip
def test_d1_a_table_that_is_missing_is_named_before_anything_is_done(house: Reporter, table: str) -> None:
    schema, _, name = table.partition(".")
    house.execute(f"alter table {table} rename to mislaid")

    with pytest.raises((StoreError, psycopg2.Error)) as caught:
        house.run(START)

    if schema == "public":
        assert isinstance(caught.value, StoreError)
        assert "run `mentat-reporter.py init`" in str(caught.value)
    assert name in str(caught.value) or name == "migration"
    house.execute(f"alter table {schema}.mislaid rename to {name}")
    assert (house.reports(), house.mails()) == ([], [])
    assert_made_good(house, 0)


@pytest.mark.parametrize("table", [*WRITTEN, "mentat_reporter.considered", "mentat_reporter.threshold"])
def test_d1_a_table_that_goes_during_a_run_costs_no_report_and_no_mail_too_many(
    house: Reporter, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema, _, name = table.partition(".")
    seen: list[int] = []

    def mails_of(*arguments: Any) -> Any:
        seen.append(1)
        if len(seen) == 2:  # the first unit is committed
            house.execute(f"alter table {table} rename to mislaid")
        return mails.mails_of(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(unit, "mails_of", mails_of)
        try:
            failures = house.run(START).failures
        except Exception as error:  # noqa: BLE001 - the run may end of it, by name
            failures = [str(error)]
    assert any(name in line for line in failures)
    house.execute(f"alter table {schema}.mislaid rename to {name}")

    assert set(mailed(house)) <= set(house.told())
    assert (len(house.reports()) == 1) == (table in WRITTEN)
    assert_made_good(house)
