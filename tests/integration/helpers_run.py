"""For tests of whole runs: a reporter with its database, home and mails, filled and run in this process."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as mail_policy
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import orjson
import psycopg2.extras
import pytest
from factories import compiled_catalogues
from psycopg2 import sql

from mentat_reporter import imports, run
from mentat_reporter.outside import REAL
from mentat_reporter.result import RunResult
from mentat_reporter.settings import Settings, build_settings
from mentat_reporter.store.connection import Connection, connect, transaction

LOG: Final = logging.getLogger("mentat_reporter.test")
START: Final = datetime(2026, 5, 4, 12, tzinfo=UTC)
"""When most tests run first."""
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
JIFFY: Final = timedelta(microseconds=1)

ALICE: Final = "abuse@alice.example"
BOB: Final = "abuse@bob.example"
CAROL: Final = "abuse@carol.example"
ADMIN: Final = "admin@reporter.example"

Row = dict[str, Any]


class Stored(NamedTuple):
    """A row of `events` and its message; None: there is no row in `events_json`."""

    id: str
    at: datetime
    category: list[str]
    abuses: list[str]
    target_abuses: list[str]
    event_class: str | None
    target_class: str | None
    severity: str | None
    target_severity: str | None
    shadow: bool
    shadow_target: bool
    message: bytes | None


def section(*addresses: str) -> list[dict[str, list[str]]]:
    """Return a Source or Target of these addresses."""
    found: dict[str, list[str]] = {}
    for address in addresses:
        found.setdefault("IP6" if ":" in address else "IP4", []).append(address)
    return [found] if found else []


def event(
    event_id: str,
    at: datetime,
    *addresses: str,
    targets: tuple[str, ...] = (),
    severity: str | None = "low",
    target_severity: str | None = None,
    category: str = "Recon.Scanning",
    message: Mapping[str, Any] | None = None,
    **columns: Any,
) -> Stored:
    """Return an event by the first address of Alice's, unless told otherwise.

    `message` replaces keys of the message, `columns` whatever is stored.
    """
    whole = {
        "Format": "IDEA0",
        "ID": event_id,
        "DetectTime": at.isoformat(),
        "Category": [category],
        "Source": section(*(addresses or ("192.0.2.1",))),
        "Target": section(*targets),
        "Node": [{"Name": "org.example.sensor"}],
        **(message or {}),
    }
    facts: Row = {
        "id": event_id,
        "at": at,
        "category": [category],
        "abuses": ["somebody"] if severity else [],
        "target_abuses": ["somebody"] if target_severity else [],
        "event_class": "scan" if severity else None,
        "target_class": "attack" if target_severity else None,
        "severity": severity,
        "target_severity": target_severity,
        "shadow": False,
        "shadow_target": False,
        "message": orjson.dumps(whole),
    }
    return Stored(**(facts | columns))


def insert_events(connection: Connection, events: tuple[Stored, ...]) -> None:
    """Store events in the caller's transaction, as whoever fills Mentat's database does."""
    rows = [found._replace(at=found.at.astimezone(UTC).replace(tzinfo=None)) for found in events]
    with connection.cursor() as cursor:
        psycopg2.extras.execute_values(
            cursor,
            "insert into events (id, storagetime, category, resolvedabuses, targetabuses, eventclass,"
            " targetclass, eventseverity, targetseverity, shadow_reporting, shadow_reporting_target,"
            " detecttime, node_name) values %s",
            [(*row[:-1], row.at, []) for row in rows],
            "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::text[])",
        )
        messages = [(row.id, row.message) for row in rows if row.message is not None]
        if messages:
            psycopg2.extras.execute_values(cursor, "insert into events_json values %s", messages)


def group(name: str, *networks: str | Row, **settings: Any) -> Row:
    """Return a group of an import document that is mailed at its own name, unless told otherwise."""
    filters = settings.pop("filters", [])
    more = settings.pop("more", {})
    return {
        "name": name,
        "networks": [{"network": found} if isinstance(found, str) else found for found in networks],
        "filters": filters,
        "settings": {"emails": {"info": [name]}, **settings},
        **more,
    }


GROUPS: Final = (
    group(ALICE, "192.0.2.0/24"),
    group(BOB, "198.51.100.0/24"),
    group(CAROL, "203.0.113.0/24"),
)
"""Three groups that want one summary each."""


class Reporter:
    """A reporter in a place of its own. Mails go to a maildir and, if none is left out, stay there."""

    outside = REAL

    def __init__(self, dsn: Mapping[str, str], place: Path) -> None:
        self.dsn = dsn
        self.home = place / "home"
        self.place = place
        self.config: Row = {
            "__core__database": {"sqlstorage": {"url": f"postgresql:///?{urlencode(dsn)}"}},
            "__core__reporter": {},
            "mail_transport": "maildir",
            "mail_from": "Reporter <reports@reporter.example>",
            "mail_admin": [ADMIN],
        }
        self.home.mkdir()
        self.connection = connect(dsn, what="test", limits={})

    # To fill it

    def groups(self, *groups: Row, replace: bool = False, **rest: Any) -> None:
        file = self.place / "groups.json"
        file.write_text(json.dumps({"groups": groups or GROUPS, **rest}))
        assert imports.import_groups(self.settings(), [str(file)], replace=replace).faults == []

    def store(self, *events: Stored) -> None:
        with transaction(self.connection):
            insert_events(self.connection, events)

    def execute(self, statement: str, *values: Any) -> None:
        with transaction(self.connection), self.connection.cursor() as cursor:
            cursor.execute(statement, values)

    # To run it

    def settings(self, **options: Any) -> Settings:
        given = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in options.items()
        }
        settings, warnings = build_settings(self.config, home=self.home, named=given)
        assert warnings == []
        return settings

    def run(self, now: datetime | None = None, **options: Any) -> RunResult:
        """Run regularly as of `now`, or as the options say."""
        settings = self.settings(**{"regular": True, "time_high": now, **options})
        return run.report(settings, LOG, lambda _text: None, self.outside)

    def ad_hoc(self, low: datetime, high: datetime, **options: Any) -> RunResult:
        return self.run(high, regular=False, time_low=low, **options)

    # To look at it

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with transaction(self.connection), self.connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()

    def dicts(self, query: str, *values: Any) -> list[Row]:
        factory = psycopg2.extras.RealDictCursor
        with transaction(self.connection), self.connection.cursor(cursor_factory=factory) as cursor:
            cursor.execute(query, values)
            return [dict(row) for row in cursor]

    def value(self, query: str, *values: Any) -> Any:
        [(found,)] = self.rows(query, *values)
        return found

    def reports(self, since: int = 0) -> list[Row]:
        """Return the reports stored after the one with the id `since`, each with its `chain`."""
        return self.dicts(
            "select r.*, array(select g.name::text from asoc_groups_reports a join groups g"
            " on g.id = a.group_id where a.report_id = r.id order by 1) as chain"
            " from reports_events r where r.id > %s order by id",
            since,
        )

    def told(self) -> dict[str, list[str]]:
        """Return the ids of all events told, by the names of the chain: those that are told twice twice."""
        found: dict[str, list[str]] = {}
        for report in self.reports():
            if report["type"] != "extra":
                found.setdefault(" ".join(report["chain"]), []).extend(report["statistics"]["list_ids"])
        return {name: sorted(ids) for name, ids in found.items()}

    def windows(self) -> list[Row]:
        return self.dicts("select * from mentat_reporter.run_window order by id")

    def mails(self) -> list[EmailMessage]:
        """Return the mails of reports in the maildir, oldest first: all but the admin's digests."""
        files = sorted((self.home / "maildir" / "new").glob("*"), key=lambda path: path.stat().st_mtime_ns)
        parser = BytesParser(policy=mail_policy)
        found = [parser.parsebytes(file.read_bytes()) for file in files]
        known = [mail for mail in found if isinstance(mail, EmailMessage)]
        return [mail for mail in known if mail["X-Mentat-Report-Class"] != "digest"]

    def recipients(self) -> list[str]:
        return [str(mail["To"]) for mail in self.mails()]

    def tables(self) -> dict[str, list[str]]:
        """Return every row of every table as text, by table."""
        names = self.rows(
            "select schemaname, tablename from pg_tables where schemaname in ('public', 'mentat_reporter')"
        )
        return {
            table: [text for (text,) in self.rows(_dump(schema, table).as_string(self.connection))]
            for schema, table in names
        }

    def files(self) -> dict[str, bytes]:
        """Return every file of the home by its name."""
        return {
            str(path.relative_to(self.home)): path.read_bytes()
            for path in sorted(self.home.rglob("*"))
            if path.is_file()
        }


def text_of(mail: EmailMessage) -> str:
    """Return what a mail says as plain text, with line feeds alone."""
    return _body(mail, "plain")


def html_of(mail: EmailMessage) -> str:
    return _body(mail, "html")


def _body(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None, f"the mail has no {kind} part"
    return str(body.get_content()).replace("\r\n", "\n")


def _dump(schema: str, table: str) -> sql.Composable:
    return sql.SQL("select t::text from {} t order by 1").format(sql.Identifier(schema, table))


def changed(before: Mapping[str, list[str]], after: Mapping[str, list[str]]) -> set[str]:
    """Return the names of the tables that differ."""
    return {table for table, rows in after.items() if rows != before[table]}


@pytest.fixture
def reporter(database: dict[str, str], tmp_path: Path) -> Iterator[Reporter]:
    """Give a reporter with an initialised, empty database."""
    compiled_catalogues()
    made = Reporter(database, tmp_path)
    with closing(made.connection):
        yield made
