"""`--compare` finds a cause by looking, also where Mentat stored no report that would show it."""

from typing import Any

from integration.helpers_run import ALICE, DAY, HOUR, MINUTE, START
from mentat.helpers_beside import CLASS, Beside, message, store
from mentat.test_compare import both, causes, compared

__all__ = ["both"]


def mentat_reports(both: Beside, *ends: Any) -> None:
    for end in ends:
        both.mentat.ask_mentat("report", hi=end.replace(tzinfo=None).isoformat())


def test_what_was_held_in_a_window_without_any_report_is_said_to_be_held(both: Beside) -> None:
    later = message("critical", START + HOUR, "192.0.2.1", severity="critical")
    store(both.mentat, message("low", START - HOUR, "192.0.2.1"), later)
    mentat_reports(both, START, START + HOUR + 10 * MINUTE)
    [low] = both.reports()

    [cause] = causes(compared(both, START - DAY, START + 2 * HOUR))

    assert cause.startswith("only here, 1: held back by Mentat, whose thresholds are for a class and")
    assert cause.endswith(f"{low['label']} told {ALICE} (low) (critical)")


def test_a_threshold_that_ends_with_a_window_without_any_report_is_named(both: Beside) -> None:
    moments = {"first": START - MINUTE, "second": START + 2 * HOUR - MINUTE}
    store(both.mentat, *(message(i, at, "192.0.2.3", severity="critical") for i, at in moments.items()))
    mentat_reports(both, *(START + number * 10 * MINUTE for number in range(14)))
    [first] = both.reports()

    [cause] = causes(compared(both, START - HOUR, START + 130 * MINUTE))

    assert cause.startswith("only here, 1: held back by Mentat until 2026-05-04 14:00 and its window's end: ")
    assert first["label"] in cause
    assert cause.endswith("(second)")


def test_a_target_report_is_held_by_mentat_for_a_source_report(both: Beside) -> None:
    attacked = message("attacked", START + HOUR, Source=[], Target=[{"IP4": ["192.0.2.1"]}])
    attacked["_Mentat"] = {
        "StorageTime": attacked["_Mentat"]["StorageTime"],
        "TargetClass": CLASS,
        "TargetSeverity": "high",
        "TargetAbuses": [ALICE],
    }
    store(both.mentat, message("attacks", START - HOUR, "192.0.2.1"), attacked)
    mentat_reports(both, START, START + 2 * HOUR)

    found = causes(compared(both, START - DAY, START + 2 * HOUR))

    assert len(found) == 1
    assert all("held back by Mentat" in cause for cause in found)


def test_a_test_event_in_a_shadow_report_of_mentats_is_said_to_be_one(both: Beside) -> None:
    shadows = [message(name, START - HOUR, f"192.0.2.{n}") for n, name in enumerate(("real", "test"), 1)]
    for found in shadows:
        found["_Mentat"]["ShadowReporting"] = True
    shadows[1]["Category"] = ["Recon.Scanning", "Test"]
    store(both.mentat, *shadows)
    mentat_reports(both, START)

    [cause] = causes(compared(both))

    assert cause == "only Mentat, 1: of category Test: Mentat's shadow reports take these too (test)"


def test_a_network_that_moved_stayed_muted_in_mentat(both: Beside) -> None:
    store(both.mentat, message("first", START - HOUR, "192.0.2.1"))
    mentat_reports(both, START)
    both.execute("update networks set network = '192.0.2.0/26' where network = '192.0.2.64/26'")
    store(both.mentat, message("moved", START + HOUR, "192.0.2.1"))
    mentat_reports(both, START + DAY)

    found = causes(compared(both, START, START + DAY))

    assert found
    assert all("whose thresholds are for a class and an address alone" in line for line in found)
    assert all(line.endswith("(moved)") for line in found)
