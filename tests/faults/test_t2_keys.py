"""T2 of docs/reliability.md: what is held back is held by six separate things."""

from typing import Any, Final

import pytest
from faults.helpers_poison import TEN
from integration.helpers_run import ALICE, BOB, GROUPS, MINUTE, START, Reporter, event, reporter

__all__ = ["reporter"]

ADDRESS: Final = "192.0.2.1"
LONG: Final = "x" * 2999


def keys(reporter: Reporter) -> list[tuple[Any, ...]]:
    return reporter.rows(
        "select group_name, severity, direction, shadow, event_class, source from mentat_reporter.threshold"
    )


def in_turn(reporter: Reporter, *columns: dict[str, Any]) -> list[str]:
    """Run once for each event, all at one address; return the ids of those that were told."""
    for number, more in enumerate(columns):
        hi = START + number * TEN
        reporter.store(event(str(number), hi - MINUTE, **({"severity": "high"} | more)))
        assert reporter.run(hi).failures == []
    return sorted(event_id for ids in reporter.told().values() for event_id in ids)


CLASSES: Final = {
    "plusses": [
        "scan",
        "scan+++",
        "scan+++192.0.2.1",
        "scan+++192.0.2.1+++abuse@alice.example",
        "+++",
        "+++scan",
    ],
    "a newline": ["scan", "scan\nscan", "scan\r\n", "scan\n", "\nscan\n\n"],
    "3,000 characters": [LONG + "a", LONG + "b", LONG, LONG[:200], LONG[:199], "y" + LONG],
    "case and blanks": ["scan", "Scan", "SCAN", "scan/", "scan/scan", "scan, scan"],
    "signs of SQL": [
        "scan'",
        "scan''",
        "scan\\",
        "scan\\\\",
        "{scan}",
        "(scan,)",
        '"scan"',
        "%s",
        "NULL",
        "null",
    ],
}


@pytest.mark.parametrize("name", CLASSES)
def test_t2_classes_that_look_alike_hold_nothing_of_each_other_back(reporter: Reporter, name: str) -> None:
    reporter.groups()
    classes = CLASSES[name]

    told = in_turn(reporter, *({"event_class": found} for found in classes))

    assert told == [str(number) for number in range(len(classes))]
    assert len({row[4] for row in keys(reporter)}) == len(classes)


@pytest.mark.parametrize("name", CLASSES)
def test_t2_each_of_them_is_held_back_by_itself(reporter: Reporter, name: str) -> None:
    reporter.groups()
    columns: list[dict[str, Any]] = [{"event_class": found} for found in CLASSES[name]]

    told = in_turn(reporter, *columns, *columns)

    assert told == [str(number) for number in range(len(columns))]


def test_t2_low_then_critical_of_one_class_at_one_address_are_both_told(reporter: Reporter) -> None:
    reporter.groups()

    told = in_turn(reporter, {"severity": "low"}, {"severity": "critical"}, {"severity": "critical"})

    assert told == ["0", "1"]
    assert sorted(row[1] for row in keys(reporter)) == ["critical", "low"]


def test_t2_both_directions_and_a_shadow_are_told_beside_each_other(reporter: Reporter) -> None:
    reporter.groups()
    attack = {"severity": None, "target_severity": "high", "targets": (ADDRESS,), "event_class": None}

    told = in_turn(
        reporter, {"event_class": "same"}, {"event_class": "same", "shadow": True},
        {**attack, "target_class": "same"},
    )  # fmt: skip

    assert told == ["0", "1", "2"]


def test_t2_addresses_that_look_alike_hold_nothing_of_each_other_back(reporter: Reporter) -> None:
    reporter.groups()
    written = [ADDRESS, "192.0.2.0/31", "192.0.2.1-192.0.2.2", "192.0.2.10", "192.0.2.1-192.0.2.3"]

    told = in_turn(reporter, *({"message": {"Source": [{"IP4": [found]}]}} for found in written))

    assert told == [str(number) for number in range(len(written))]
    assert len({row[5] for row in keys(reporter)}) == len(written)


def test_t2_a_network_that_moves_within_the_ttl_is_told_to_its_new_group(reporter: Reporter) -> None:
    reporter.groups(*GROUPS)
    reporter.store(event("at alice's", START - MINUTE, severity="high"))
    reporter.run(START)
    reporter.execute(
        "update networks set group_id = (select id from groups where name = %s) where network = %s",
        BOB, "192.0.2.0/24",
    )  # fmt: skip
    reporter.store(event("at bob's", START + MINUTE, severity="high"))
    reporter.run(START + TEN)
    reporter.execute(
        "update networks set group_id = (select id from groups where name = %s) where network = %s",
        ALICE, "192.0.2.0/24",
    )  # fmt: skip
    reporter.store(event("back at alice's", START + TEN + MINUTE, severity="high"))

    result = reporter.run(START + 2 * TEN)

    assert result.failures == []
    assert reporter.told() == {ALICE: ["at alice's"], BOB: ["at bob's"]}
    assert sorted(row[0] for row in keys(reporter)) == [ALICE, BOB]
    held = reporter.rows("select group_name, event_id from mentat_reporter.thresholded_event")
    assert (ALICE, "back at alice's") in held  # Alice knows of it, and nobody else's report did that
