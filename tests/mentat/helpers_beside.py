"""A reporter on the two databases of a Mentat installation."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from factories import compiled_catalogues
from integration.helpers_run import ALICE, BOB, Reporter, section
from mentat.installation import Dsn, Installation

from mentat_reporter import imports

CLASS: Final = "recon-scanning"
NETWORKS: Final = {ALICE: "192.0.2.0/24", BOB: "192.0.2.64/26"}
"""Bob's network lies in Alice's: the chain of its addresses is Bob, Alice."""


class Beside(Reporter):
    """`dsn` is the main database, where the reporter's own tables are."""

    def __init__(self, mentat: Installation, place: Path, user: Dsn | None = None) -> None:
        super().__init__(mentat.main | (user or {}), place)
        self.mentat = mentat
        section = mentat.database_section
        if user:
            section["eventstorage"] |= user
            section["sqlstorage"]["url"] += f"&user={user['user']}"
        self.config["__core__database"] = section

    def init(self) -> list[str]:
        return imports.initialise(self.settings())


@contextmanager
def beside(mentat: Installation, place: Path, user: Dsn | None = None) -> Iterator[Beside]:
    compiled_catalogues()
    made = Beside(mentat, place, user)
    with closing(made.connection):
        yield made


def settle(mentat: Installation, mode: str = "summary") -> None:
    """Put two groups into the installation."""
    for name, network in NETWORKS.items():
        mentat.execute(
            mentat.main,
            "with made as (insert into groups (createtime, name, source, description, enabled)"
            " values (now(), %s, 'manual', '', true) returning id), rated as ("
            " insert into settings_reporting (createtime, group_id, emails_info, emails_low, emails_medium,"
            " emails_high, emails_critical, mode, redirect)"
            " select now(), id, array[%s], '{}', '{}', '{}', '{}', %s, false from made)"
            " insert into networks (createtime, group_id, netname, source, network, is_base)"
            " select now(), id, '', 'manual', %s, false from made",
            (name, name, mode, network),
        )


def message(
    event_id: str, at: datetime, *addresses: str, severity: str = "low", **more: Any
) -> dict[str, Any]:
    """Return a message as Mentat's inspectors and enricher leave it."""
    return {
        "Format": "IDEA0",
        "ID": event_id,
        "DetectTime": at.isoformat(),
        "Category": ["Recon.Scanning"],
        "Source": section(*addresses),
        "Node": [{"Name": "org.example.sensor"}],
        "_Mentat": {
            "StorageTime": at.isoformat(),
            "EventClass": CLASS,
            "EventSeverity": severity,
            "ResolvedAbuses": sorted(NETWORKS),
        },
        **more,
    }


def store(mentat: Installation, *messages: dict[str, Any]) -> None:
    """Store messages by Mentat's own writer, each at the storage time that it names."""
    mentat.ask_mentat("store_events", messages=list(messages))
    for found in messages:
        mentat.execute(
            mentat.events,
            "update events set storagetime = %s::timestamptz at time zone 'utc' where id = %s",
            (found["_Mentat"]["StorageTime"], found["ID"]),
        )
