"""The worlds of the benchmarks: the same for the same seed, and read by the program as they are meant."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import pytest

from benchmarks.cases import CASES
from benchmarks.kinds import TROUBLES
from benchmarks.messages import COLUMNS, Batch, Stored, columns, stored
from benchmarks.world import LOCALES, MIXED, SEVERITIES, Shape, World
from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.model import Network
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.filters.compile import compile_rule
from mentat_reporter.store.documents import read_documents
from mentat_reporter.store.event_rows import read_row
from mentat_reporter.store.resolver import Resolver

HI: Final = datetime(2026, 5, 4, 12, tzinfo=UTC)
BATCH: Final = Batch(1000, HI - timedelta(minutes=10), HI)
SHAPES: Final = (Shape(groups=24, hosts=60), Shape(groups=24, hosts=60, small_networks=40), Shape(groups=1))


def events(shape: Shape = SHAPES[0], batch: Batch = BATCH) -> list[Stored]:
    return list(stored(batch, World(shape).hosts))


def ownership(world: World) -> Ownership:
    networks = []
    for group in world.document()["groups"]:
        for entry in group["networks"]:
            span = parse_address(entry["network"])
            network = Network(group["name"], span.version, span.first, span.last)
            networks.append(network._replace(rank=entry.get("rank", 0), is_base=entry.get("is_base", False)))
    return Ownership(networks)


def test_a_seed_gives_the_same_world_and_events_each_time() -> None:
    assert World(SHAPES[0]).document() == World(SHAPES[0]).document()
    assert World(SHAPES[0]).document() != World(SHAPES[0], seed=2).document()
    assert events() == events()
    assert events() != events(batch=BATCH._replace(seed=2))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_host_belongs_to_the_groups_that_the_world_says(shape: Shape) -> None:
    world = World(shape)
    owners = ownership(world)

    for host in world.hosts:
        [share] = owners.shares(parse_address(host.address))
        assert share.chain == host.owners, host

    assert len({host.address for host in world.hosts}) == len(world.hosts)
    assert max(len(host.owners) for host in world.hosts) == (1 if shape.groups == 1 else 3)


@pytest.mark.parametrize("shape", SHAPES)
def test_groups_can_be_imported_and_their_rules_compile(shape: Shape) -> None:
    document = World(shape).document()

    [checked] = read_documents([("world", json.dumps(document).encode())])

    for _path, _key, text in checked.rules():
        if text:
            compile_rule(text, "ransack", HI)


def test_a_world_has_all_there_is_of_settings() -> None:
    settings = [group["settings"] for group in World(Shape()).document()["groups"]]

    assert {found["mode"] for found in settings} == set(MIXED)
    assert {found["locale"] for found in settings} == set(LOCALES)
    assert {found["attachments"] for found in settings} == {"none", "json", "csv", "all"}
    assert {found["template"] for found in settings} == {"default", "another"}
    assert any("timing" in found for found in settings)


def test_the_columns_are_those_that_an_import_of_the_message_fills() -> None:
    resolver = Resolver([], ownership(World(SHAPES[0])))

    for event in events():
        read = read_row(event.message, resolver, HI)
        ours = dict(zip(COLUMNS, columns(orjson.loads(event.message)), strict=True))
        assert (read.id, read.oddities, read.undated, read.owned) == (event.id, [], False, True)
        assert _comparable(ours) == _comparable({name: read.columns.get(name, read.id) for name in COLUMNS})


def test_events_are_of_real_size_and_of_every_kind_and_severity() -> None:
    found = [orjson.loads(event.message) for event in events()]
    sizes = sorted(len(event.message) for event in events())

    assert sizes[len(sizes) // 10] > 500
    assert 700 < sum(sizes) / len(sizes) < 1500
    assert {message["Category"][0] for message in found} == {trouble.category for trouble in TROUBLES}
    severities = Counter(
        message["_Mentat"].get("EventSeverity") or message["_Mentat"]["TargetSeverity"] for message in found
    )
    assert set(severities) == set(SEVERITIES)
    assert any(len(message["Source"][0].get("IP4", ())) > 1 for message in found if "Source" in message)


def test_events_of_several_groups_say_so() -> None:
    assert any(len(event.units) > 1 for event in events())
    assert all(1 <= len(event.units) <= event.addresses for event in events())


def test_every_host_is_told_of_before_any_is_again() -> None:
    world = World(SHAPES[0])
    batch = BATCH._replace(events=len(world.hosts))

    told = {
        address
        for event in stored(batch, world.hosts)
        for section in ("Source", "Target")
        for part in orjson.loads(event.message).get(section, ())
        for address in [*part.get("IP4", ()), *part.get("IP6", ())]
    }

    assert told >= {host.address for host in world.hosts}


def test_cases_are_named_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def _comparable(found: dict[str, Any]) -> dict[str, Any]:
    """Return columns with times as times, and lists in any order."""
    return {
        name: _moment(value) if name.endswith("time") else sorted(value) if isinstance(value, list) else value
        for name, value in found.items()
    }


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
