"""`--compare`: what would have been told in a past time, beside what Mentat's own reporter told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from integration.helpers_run import ALICE, BOB, DAY, HOUR, LOG, MINUTE, START, changed
from mentat.helpers_beside import Beside, beside, message, settle, store
from mentat.installation import Installation

from mentat_reporter import comparing

LO: Final = START - DAY
"""When the window of `low` begins that is compared."""


@pytest.fixture
def both(mentat: Installation, tmp_path: Path) -> Iterator[Beside]:
    settle(mentat)
    with beside(mentat, tmp_path) as made:
        made.init()
        yield made


def told(both: Beside, *messages: Any, hi: Any = START) -> None:
    """Store events, and have Mentat's own reporter tell of them."""
    store(both.mentat, *messages)
    both.mentat.ask_mentat("report", hi=hi.replace(tzinfo=None).isoformat())


def compared(both: Beside, lo: Any = LO, hi: Any = START, **options: Any) -> list[str]:
    settings = both.settings(compare=True, time_low=lo, time_high=hi, **options)
    found = comparing.compare(settings, LOG, lambda _text: None)
    assert found.faults == []
    return found.said


def test_the_same_reports_are_no_difference(both: Beside) -> None:
    told(both, message("one", START - HOUR, "192.0.2.1"), message("two", START - HOUR, "192.0.2.70"))

    said = compared(both)

    assert said[-1] == "no difference"
    assert [line.split() for line in said[2:-1]] == [
        [f"{ALICE},", "low", "2", "2", "2", "2", "2"],
        [f"{BOB},", "low", "1", "1", "1", "1", "1"],
    ]


def causes(said: list[str]) -> list[str]:
    return [line.strip() for line in said if line.startswith("    ")]


def test_what_is_stored_at_the_end_of_a_window_is_the_next_windows_here(both: Beside) -> None:
    told(both, message("edge", START, "192.0.2.1"))

    [cause] = causes(compared(both))
    assert cause.startswith("only Mentat, 1: stored at the end of Mentat's window, which takes both ends")


def test_a_range_beyond_one_network_is_told_here(both: Beside) -> None:
    told(
        both,
        message("one", START - HOUR, "192.0.2.9"),
        message("wide", START - HOUR, "192.0.2.200-192.0.3.9"),
    )

    assert causes(compared(both)) == [
        "only here, 1: an address range that reaches beyond one network: Mentat finds nobody for it (wide)"
    ]


def test_an_address_by_base_networks_alone_is_told_here(both: Beside) -> None:
    both.execute("update networks set is_base = true where masklen(network::text::cidr) = 24")
    told(both, message("one", START - HOUR, "192.0.2.70"), message("base", START - HOUR, "192.0.2.1"))

    [cause] = causes(compared(both))
    assert cause.startswith("only here, 1: the group has the address by a base network alone")
    assert cause.endswith("(base)")


def test_a_low_report_does_not_hold_back_a_high_one_here(both: Beside) -> None:
    told(both, message("low", START - HOUR, "192.0.2.1"))
    later = START + HOUR
    told(
        both,
        message("high", later - MINUTE, "192.0.2.1", severity="high"),
        message("other", later - MINUTE, "192.0.2.2", severity="high"),
        hi=later,
    )
    label = both.value("select label from reports_events where severity = 'low'")

    [cause] = causes(compared(both, later - 10 * MINUTE, later))
    assert cause == (
        "only here, 1: held back by Mentat, whose thresholds are for a class and an address alone: "
        f"{label} told {ALICE} (low) (high)"
    )


def test_a_threshold_that_ends_with_the_window_holds_nothing_here(both: Beside) -> None:
    for minutes in (0, 110, 120):  # a critical problem is held back for two hours
        hi = START + minutes * MINUTE
        at = hi - 5 * MINUTE
        told(
            both,
            message(f"new-{minutes}", at, f"192.0.2.{minutes}", severity="critical"),
            *([message(f"same-{minutes}", at, "192.0.2.1", severity="critical")] if minutes != 110 else []),
            hi=hi,
        )
    first = both.value("select label from reports_events where dt_to = %s", START.replace(tzinfo=None))

    said = causes(compared(both, START + 110 * MINUTE, START + 120 * MINUTE))

    assert said == [
        f"only here, 1: the threshold of {first} ends with the window: Mentat holds back then (same-120)"
    ]


def test_what_both_hold_back_is_no_difference(both: Beside) -> None:
    for day in range(3):
        told(both, message(f"{day}", START + (day - 1) * DAY + HOUR, "192.0.2.1"), hi=START + day * DAY)

    assert compared(both, LO, START + 2 * DAY)[-1] == "no difference"


def test_a_relapse_that_both_tell_is_no_difference(both: Beside) -> None:
    for day in range(9):
        is_seen = day in (0, 5)
        told(
            both,
            *([message(f"{day}", START + (day - 1) * DAY + HOUR, "192.0.2.1")] if is_seen else []),
            hi=START + day * DAY,
        )
    [relapsed] = both.rows("select evcount_rlp from reports_events where evcount_rlp > 0")
    assert relapsed == (1,)

    assert compared(both, LO, START + 8 * DAY)[-1] == "no difference"


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        (
            "update networks set network = '203.0.113.0/24'",
            "no address of it is in the group's networks today: they are nobody's",
        ),
        (
            "update groups set enabled = false",
            "the group is disabled today, or there is none of that name",
        ),
        (
            """
            insert into filters (createtime, group_id, name, source_based, type, filter, description,
                                 enabled, detectors, categories, event_classes, sources, targets, ip_aggr,
                                 protocols, hits)
            select now(), id, 'scans', true, 'advanced', 'Category in ["Recon.Scanning"]', '', true,
                   '{}', '{}', '{}', '{}', '{}', '{}', '{}', 0 from groups where name = 'abuse@alice.example'
            """,
            "removed by the rule 'scans'",
        ),
        (
            """
            insert into detectors (createtime, name, source, credibility, hits)
            values (now(), 'org.example.sensor', 'manual', 0.2, 0)
            """,
            "its detectors are not credible enough today",
        ),
    ],
)
def test_what_was_changed_since_is_said(both: Beside, statement: str, cause: str) -> None:
    told(both, message("one", START - HOUR, "192.0.2.1"))
    both.execute(statement)

    assert causes(compared(both)) == [f"only Mentat, 1: {cause} (one)"]


def test_an_event_that_is_gone_is_said_to_be_gone(both: Beside) -> None:
    told(both, message("one", START - HOUR, "192.0.2.1"))
    both.mentat.execute(both.mentat.events, "delete from events")

    assert causes(compared(both)) == ["only Mentat, 1: the event is not stored any more (one)"]


def test_a_time_without_a_report_of_mentat_is_said_to_have_none(both: Beside) -> None:
    store(both.mentat, message("one", START - HOUR, "192.0.2.1"))

    [cause] = causes(compared(both))
    assert cause.startswith("only here, 1: no report of Mentat for anybody is of that time")


@pytest.mark.parametrize("name", [ALICE, BOB])
def test_only_the_severities_and_groups_that_were_asked_for_are_shown(both: Beside, name: str) -> None:
    told(both, message("one", START - HOUR, "192.0.2.1"), message("two", START - HOUR, "192.0.2.70"))

    said = compared(both, abuse_group=[name], severity=["low"])

    assert [line.split(",")[0] for line in said[2:-1]] == [name]
    assert said[-1] == "no difference"


def test_reports_of_this_reporters_own_are_named_beside_mentats(both: Beside) -> None:
    told(both, message("one", START - HOUR, "192.0.2.1"))
    both.run(START, regular=False, time_low=LO, severity=["low"], mail_test_mode=True)

    said = compared(both)

    assert said[1] == (
        "1 of the 2 stored reports are this reporter's own, as runs make them with --mail-test-mode"
    )
    assert said[-1] == "no difference"


@pytest.mark.parametrize("value", ["null", "[]", "{}", '"x"', "1"])
def test_a_row_in_which_nothing_is_as_it_should_be_names_no_event(both: Beside, value: str) -> None:
    told(both, message("one", START - HOUR, "192.0.2.1"))
    both.execute(
        "update reports_events set structured_data = jsonb_build_object('regular', %s::jsonb, 'relapsed',"
        " jsonb_build_object('a', %s::jsonb)), statistics = jsonb_build_object('list_ids', %s::jsonb)",
        value, value, value,
    )  # fmt: skip

    [cause] = causes(compared(both))

    assert cause.startswith("only here, 1: the cause is not known")


def test_nothing_is_changed_by_looking(both: Beside) -> None:
    told(both, message("one", START - HOUR, "192.0.2.1"), message("edge", START, "192.0.2.2"))
    before, files = both.tables(), both.files()
    events = both.mentat.rows(both.mentat.events, "select * from events order by id")

    compared(both)

    assert changed(before, both.tables()) == set()
    assert both.mentat.rows(both.mentat.events, "select * from events order by id") == events
    assert both.files() == files
