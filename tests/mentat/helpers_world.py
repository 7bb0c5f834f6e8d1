"""For tests of whole runs on an installation of Mentat: its two databases, filled by its own writer."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from factories import compiled_catalogues
from integration.helpers_run import ALICE, Reporter, Row, section
from mentat.installation import Installation

from mentat_reporter.store import schema


class MentatReporter(Reporter):
    """A reporter beside Mentat: groups in one database, events in the other."""

    def __init__(self, installation: Installation, place: Path) -> None:
        super().__init__(installation.main, place)
        self.installation = installation
        self.config["__core__database"] = installation.database_section
        schema.initialise(self.connection, None)

    def store_messages(self, *messages: Row) -> None:
        """Store messages that Mentat has inspected, by its own writer."""
        self.installation.ask_mentat("store_events", messages=list(messages))

    def loaded(self) -> list[Row]:
        """Return the stored reports as Mentat's models and data classes have them."""
        found: list[Row] = self.installation.ask_mentat("load_reports")
        return found


def message(
    event_id: str,
    at: datetime,
    *addresses: str,
    targets: tuple[str, ...] = (),
    severity: str | None = "low",
    mentat: Row | None = None,
    **fields: Any,
) -> Row:
    """Return a message stored at that time, as Mentat's inspector and enricher leave it."""
    enriched: Row = {"StorageTime": at.isoformat(), "ShadowReporting": False, "ShadowReportingTarget": False}
    if severity:
        enriched |= {"EventClass": "scan", "EventSeverity": severity, "ResolvedAbuses": [ALICE]}
    return {
        "Format": "IDEA0",
        "ID": event_id,
        "DetectTime": at.isoformat(),
        "Category": ["Recon.Scanning"],
        "Source": section(*(addresses or ("192.0.2.1",))),
        "Target": section(*targets),
        "Node": [{"Name": "org.example.sensor", "SW": ["Sensor"], "Type": ["Flow"]}],
        "_Mentat": {name: value for name, value in (enriched | (mentat or {})).items() if value is not None},
        **fields,
    }


@pytest.fixture
def beside(mentat: Installation, tmp_path: Path) -> Iterator[MentatReporter]:
    """Give a reporter beside an installation of Mentat that has neither groups nor events."""
    compiled_catalogues()
    made = MentatReporter(mentat, tmp_path)
    with closing(made.connection):
        yield made
