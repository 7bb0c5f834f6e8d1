"""W3: hours that are lost or come twice: the program in other time zones decides as under UTC."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from faults.helpers_told import SEVERITIES, TEN, attack, every
from integration.helpers_run import ALICE, BOB, DAY, HOUR, MINUTE, Reporter, Stored, event, group
from integration.test_script import Caller

ZONES: Final = (
    "Europe/Prague", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Pacific/Chatham",
)  # fmt: skip
"""North and south, by an hour and by half of one, with odd offsets."""
PRIVATE: Final = {
    "run_window": ["opened", "snap_xmin", "own_xid"],
    "settings_reporting": ["timezone", "createtime"],
    "groups": ["createtime", "updated"],
    "networks": ["createtime"],
    "outbox": ["message", "sha256", "settled"],
}
"""Columns that tell when things really happened, or how they look in local time."""


def changes(zone: str) -> list[datetime]:
    """Return when the zone's clocks are set in 2026."""
    hours = list(every(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), HOUR / 2))
    offsets = [moment.astimezone(ZoneInfo(zone)).utcoffset() for moment in hours]
    return [hours[n] for n in range(1, len(hours)) if offsets[n] != offsets[n - 1]]


def crowd(change: datetime) -> list[Stored]:
    """Return events around a change: some addresses come again and are held, the hour itself is dense."""
    times = [*every(change - DAY, change + DAY, HOUR), *every(change - HOUR, change + HOUR, 7 * MINUTE)]
    return [
        (attack if number % 3 == 0 else event)(
            f"{number:03}", at, f"{'192.0.2' if number % 2 else '198.51.100'}.{number % 20 + 1}",
            severity=SEVERITIES[number % 5],
        )
        for number, at in enumerate(times)
    ]  # fmt: skip


def world(dsn: dict[str, str], place: Path, change: datetime, timezone: str) -> Reporter:
    place.mkdir()
    made = Reporter(dsn, place)
    made.groups(
        group(ALICE, "192.0.2.0/24", timezone=timezone, mode="both"),
        group(BOB, "198.51.100.0/24", timezone=timezone, timing={"low": {"period": "2hrs"}}),
    )
    made.store(*crowd(change))
    return made


def times_of(change: datetime) -> list[datetime]:
    return [change - DAY, change - 10 * MINUTE, change + TEN / 2, change + HOUR, change + DAY + HOUR]


@contextmanager
def process_zone(zone: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


def stored(reporter: Reporter, timezone: str) -> dict[str, list[Any]]:
    """Return all rows of all tables, but for what is private to a run, and the time zone's name."""
    tables = reporter.rows(
        "select schemaname, tablename from pg_tables where schemaname in ('public', 'mentat_reporter')"
    )
    return {
        table: [
            json.loads(row.replace(f'"{timezone}"', '"some zone"'))
            for (row,) in reporter.rows(
                f"select (to_jsonb(t) - %s::text[])::text from {schema}.{table} t order by 1",
                PRIVATE.get(table, []),
            )
        ]
        for schema, table in tables
    }


@pytest.mark.parametrize("which", [0, 1], ids=["first change", "second change"])
@pytest.mark.parametrize("zone", ZONES)
def test_w3_a_change_of_summer_time_changes_no_decision(
    make_database: Callable[..., dict[str, str]], tmp_path: Path, zone: str, which: int
) -> None:
    change = changes(zone)[which]
    with closing((local := world(make_database(), tmp_path / "local", change, zone)).connection):
        call = Caller(tmp_path)
        call.home = local.home
        call.configure(local.config)
        for moment in times_of(change):
            with process_zone(zone):  # the program is started with this environment
                done = call("--regular", "--time-high", moment.isoformat())
            assert done.returncode == 0, done.stdout + done.stderr
        found = stored(local, zone)
        told = local.told()
    with closing((plain := world(make_database(), tmp_path / "plain", change, "UTC")).connection):
        with process_zone("UTC"):
            for moment in times_of(change):
                plain.run(moment)
        wanted = stored(plain, "UTC")

    assert found == wanted
    assert sum(len(ids) for ids in told.values()) + len(found["thresholded_event"]) >= 40
