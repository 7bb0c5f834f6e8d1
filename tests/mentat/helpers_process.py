"""A reporter on the two databases of a Mentat installation, and rows as Mentat itself stores them."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from factories import compiled_catalogues
from integration.helpers_run import MINUTE, START, Reporter, Row, section
from mentat.installation import Installation

from mentat_reporter import imports


class MentatReporter(Reporter):
    """A reporter pointed at an installation; whatever it finds there was stored by Mentat's own code."""

    def __init__(self, mentat: Installation, place: Path) -> None:
        super().__init__(mentat.main, place)
        self.mentat = mentat
        self.config["__core__database"] = mentat.database_section
        imports.initialise(self.settings())

    def fill(self, *rows: Row) -> list[str]:
        """Have Mentat store rows; return the rules of all filters."""
        rules: list[str] = self.mentat.ask_mentat("fill", rows=rows)
        return rules

    def events(self, *messages: Row) -> None:
        assert self.mentat.ask_mentat("store_events", messages=messages) == len(messages)


@pytest.fixture
def reporter(mentat: Installation, tmp_path: Path) -> Iterator[MentatReporter]:
    compiled_catalogues()
    made = MentatReporter(mentat, tmp_path)
    with closing(made.connection):
        yield made


def house(name: str, *networks: str | Row, **settings: Any) -> list[Row]:
    """Return a group with its networks and settings, mailed at its own name unless told otherwise.

    `group` replaces columns of the group itself.
    """
    group = {"source": "manual", "description": name, "enabled": True, **settings.pop("group", {})}
    lists: Row = {f"emails_{severity}": [] for severity in ("low", "medium", "high", "critical")}
    return [
        {"model": "GroupModel", "name": name, **group},
        *(
            {
                "model": "NetworkModel",
                "group": name,
                "netname": "NET",
                "source": "manual",
                **({"network": found} if isinstance(found, str) else found),
            }
            for found in networks
        ),
        {
            "model": "SettingsReportingModel",
            "group": name,
            **lists,
            "emails_info": [name],
            "mode": "summary",
            **settings,
        },
    ]


def rule(text: str = "", group: str | None = None, **columns: Any) -> Row:
    """Return a filter that is on: advanced with a text, basic without one."""
    return {
        "model": "FilterModel",
        "name": "a rule",
        "type": "advanced" if text else "basic",
        "filter": text,
        "description": "",
        "enabled": True,
        **({"group": group} if group else {}),
        **columns,
    }


def event_class(name: str, **columns: Any) -> Row:
    return {
        "model": "EventClassModel",
        "name": name,
        "source_based": True,
        "label_en": f"{name} seen",
        "label_cz": f"{name} pozorován",
        "reference": "",
        "rule": "Category in ['Recon.Scanning']",
        "priority": 0,
        "severity": "low",
        "subclassing": "",
        "state": "ENABLED",
        **columns,
    }


def message(
    event_id: str,
    *sources: str,
    targets: tuple[str, ...] = (),
    at: datetime = START - MINUTE,
    mentat: Row | None = None,
    **keys: Any,
) -> Row:
    """Return a message as Mentat's inspector and enricher leave it: low at its sources, owned by somebody."""
    return {
        "Format": "IDEA0",
        "ID": event_id,
        "DetectTime": at.isoformat(),
        "Category": ["Recon.Scanning"],
        "Source": section(*sources),
        "Target": section(*targets),
        "Node": [{"Name": "org.example.sensor", "SW": ["Sensor"], "Type": ["Honeypot"]}],
        "_Mentat": {
            "StorageTime": at.isoformat(),
            "ResolvedAbuses": ["somebody"],
            "EventClass": "scan",
            "EventSeverity": "low",
            **(mentat or {}),
        },
        **keys,
    }
