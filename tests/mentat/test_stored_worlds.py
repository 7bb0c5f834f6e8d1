"""Random worlds and the real messages of other projects' feeds: Mentat reads every report of them."""

import json
from pathlib import Path

import pytest
from integration.helpers_run import MINUTE, START, Row
from mentat.helpers_world import MentatReporter, beside
from mentat.reading import check_whole
from model.worlds import world

from mentat_reporter import imports

__all__ = ["beside"]


@pytest.mark.parametrize("seed", range(3))
def test_mentat_reads_every_report_of_a_random_world(beside: MentatReporter, seed: int) -> None:
    made = world(seed)
    beside.config["__core__reporter"] = {"default_mode": made.default_mode, "fallback": list(made.fallback)}
    document = beside.place / "groups.json"
    document.write_text(json.dumps(made.groups_document))
    imports.import_groups(beside.settings(), [str(document)], replace=False)
    beside.store_messages(*(event.message for event in made.events))

    for now in made.run_times:
        beside.run(now)

    assert check_whole(beside) != []


IMPORTED = """
    select e.id, e.storagetime, e.eventclass, e.targetclass, e.eventseverity, e.targetseverity,
           e.resolvedabuses, e.targetabuses, j.event
    from events e join events_json j using (id)
"""
ENRICHED = ("EventClass", "TargetClass", "EventSeverity", "TargetSeverity", "ResolvedAbuses", "TargetAbuses")


def inspected(beside: MentatReporter, feed: Path) -> list[Row]:
    """Return a feed's messages as Mentat's inspector and enricher leave them, by way of the import.

    What Mentat's writer cannot do without and many lack, a detector and a detect time, is put in.
    """
    done = imports.import_events(beside.settings(time_high=START - MINUTE), [str(feed)])
    assert done.faults == []
    events = beside.installation.events
    found = []
    for event_id, stored, *facts, text in beside.installation.rows(events, IMPORTED):
        enriched = {name: fact for name, fact in zip(ENRICHED, facts, strict=True) if fact}
        defaults = {"Node": [{"Name": "org.example.feed"}], "DetectTime": f"{stored.isoformat()}Z"}
        enriched["StorageTime"] = f"{stored.isoformat()}Z"
        found.append({**defaults, **json.loads(bytes(text)), "ID": event_id, "_Mentat": enriched})
    beside.installation.execute(events, "delete from events_json; delete from events")
    return found


def test_mentat_reads_every_report_of_real_messages(beside: MentatReporter, feeds: Path) -> None:
    beside.config["__core__reporter"]["fallback"] = ["last@reporter.example"]
    groups = str(feeds / "groups-feeds.json")
    assert imports.import_groups(beside.settings(), [groups], replace=False).faults == []
    messages = inspected(beside, feeds / "idea-feeds.ndjson")
    refused = beside.installation.ask_mentat("store_what_fits", messages=messages)
    assert len(refused) < len(messages) / 10, refused

    result = beside.run(START)

    assert result.failures == []
    loaded = check_whole(beside)
    assert sum(report["evcount_rep"] for report in loaded if report["type"] == "summary") > len(messages) / 2
