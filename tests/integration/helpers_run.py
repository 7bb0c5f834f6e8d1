"""For tests of whole runs: a reporter with its database, home and mails, filled and run in this process."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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

from mentat_reporter import imports, run
from mentat_reporter.result import RunResult
from mentat_reporter.settings import Settings, build_settings
from mentat_reporter.store.connection import Connection, connect

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
STATE_TABLES: Final = ("run_window", "unit_done", "considered", "threshold", "thresholded_event", "unit_retry")
"""What an ad hoc run leaves alone, beside hit counts (SEMANTICS section 1)."""

Row = dict[str, Any]


class Stored(NamedTuple):
    """A row of `events` and its message; None: there is no row in `events_json`."""

    id: str
    at: datetime
    severity: str | None
    event_class: str | None
    target_severity: str | None
    target_class: str | None
    shadow: bool
    shadow_target: bool
    category: list[str]
    message: bytes | None
    abuses: list[str]
    target_abuses: list[str]


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
    severity: str | None = "low",
    event_class: str | None = "scan",
    targets: tuple[str, ...] = (),
    target_severity: str | None = None,
    target_class: str | None = None,
    category: str = "Recon.Scanning",
    message: Mapping[str, Any] | bytes | None = None,
    **columns: Any,
) -> Stored:
    """Return an event by one address of Alice's, unless told otherwise.

    A mapping replaces keys of its message, bytes all of it.
    """
    if not isinstance(message, bytes):
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
        message = orjson.dumps({key: value for key, value in whole.items() if value is not None})
    facts: Row = {
        "id": event_id,
        "at": at,
        "severity": severity,
        "event_class": event_class,
        "target_severity": target_severity,
        "target_class": target_class,
        "shadow": False,
        "shadow_target": False,
        "category": [category],
        "message": message,
        "abuses": ["somebody"] if severity else [],
        "target_abuses": ["somebody"] if target_severity else [],
    }
    return Stored(**(facts | columns))


def insert_events(connection: Connection, *events: Stored) -> None:
    """Store events in the caller's transaction, as whoever fills Mentat's database would."""
    with connection.cursor() as cursor:
        psycopg2.extras.execute_values(
            cursor,
            "insert into events (id, detecttime, category, node_name, storagetime, resolvedabuses, targetabuses,"
            " eventclass, targetclass, eventseverity, targetseverity, shadow_reporting, shadow_reporting_target)"
            " values %s",
            [
                (
                    found.id, *2 * (naive(found.at),), found.category, found.abuses, found.target_abuses,
                    found.event_class, found.target_class, found.severity, found.target_severity,
                    found.shadow, found.shadow_target,
                )
                for found in events
            ],
            "(%s, %s, %s, '{}', %s, %s, %s, %s, %s, %s, %s, %s, %s)".replace("%s, %s, %s, '{}', %s", ORDER),
        )  # fmt: skip
