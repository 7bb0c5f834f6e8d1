"""`init` on an installation whose own reporter has run: the first run goes on where that one ended."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from integration.helpers_run import ALICE, BOB, DAY, HOUR, JIFFY, MINUTE, START
from mentat.helpers_beside import CLASS, beside, message, settle, store
from mentat.installation import Installation

from mentat_reporter.store import mentat as taken
from mentat_reporter.store.connection import Connection

KEYS = (
    "select group_name, severity, direction, shadow, event_class, source from mentat_reporter.threshold"
    " order by 6, 1"
)
FREE, SHARED = "192.0.2.1", "192.0.2.70"
"""An address of Alice alone, and one of Bob's within Alice's."""


def run_mentat(mentat: Installation, hi: datetime) -> None:
    mentat.ask_mentat("report", hi=hi.replace(tzinfo=None).isoformat())


def told_since(reporter: Any, hi: datetime) -> list[str]:
    """Return the ids that reports of windows after `hi` tell, each as often as it is told."""
    found = reporter.dicts(
        "select statistics, type::text from reports_events where dt_to > %s", hi.replace(tzinfo=None)
    )
    return sorted(i for row in found if row["type"] != "extra" for i in row["statistics"]["list_ids"])


@pytest.mark.parametrize("mode", ["summary", "extra", "both"])
def test_what_mentat_told_is_held_and_relapses_when_it_would_have(
    mentat: Installation, tmp_path: Path, mode: str
) -> None:
    settle(mentat, mode)
    store(mentat, message("first", START - HOUR, FREE), message("shared", START - HOUR, SHARED))
    run_mentat(mentat, START)
    store(mentat, *(message(f"held-{n}", START + n * DAY - HOUR, FREE) for n in (1, 5)))
    for day in (1, 2, 3, 4, 5):
        run_mentat(mentat, START + day * DAY)
    last = START + 5 * DAY
    with beside(mentat, tmp_path) as reporter:
        said = reporter.init()
        assert reporter.rows(KEYS) == [
            (ALICE, "low", "source", False, CLASS, FREE),
            (BOB, "low", "source", False, CLASS, SHARED),
        ]
        assert reporter.rows(
            "select event_id, createtime from mentat_reporter.thresholded_event order by 2"
        ) == [
            ("held-1", START + DAY),
            ("held-5", START + 5 * DAY),
        ]
        assert "took over 2 of Mentat's 2 thresholds" in said
        assert (
            reporter.init()[-1]
            == "Mentat's state was taken over before, and Mentat has not run since: nothing to do"
        )

        store(mentat, message("after", last + MINUTE, FREE), message("new", last + MINUTE, "192.0.2.9"))
        reporter.run(last + 23 * HOUR)
        assert told_since(reporter, last) == []
        reporter.run(START + 6 * DAY)

        assert told_since(reporter, last) == ["after", "held-1", "held-5", "new"]
        assert [row["lo"] for row in reporter.windows() if row["severity"] == "low" and row["period"]] == [
            last
        ]


def test_an_event_on_the_edge_is_told_once(mentat: Installation, tmp_path: Path) -> None:
    settle(mentat)
    target = {"Target": [{"IP4": [FREE]}], "Source": []}
    edges: dict[str, timedelta] = {"before": -JIFFY, "edge": timedelta(), "after": JIFFY}
    marks = {"TargetClass": CLASS, "TargetSeverity": "high", "TargetAbuses": [ALICE]}
    for name, offset in edges.items():
        found = message(name, START + offset, severity="high", **target)
        found["_Mentat"] = {"StorageTime": (START + offset).isoformat(), **marks}
        store(mentat, found)
    run_mentat(mentat, START)
    with beside(mentat, tmp_path) as reporter:
        reporter.init()
        for minutes in (10, 20, 30):
            reporter.run(START + minutes * MINUTE)

        assert reporter.told()[ALICE] == ["after", "before", "edge"]


def test_an_event_on_the_edge_that_mentat_did_not_see_is_told(mentat: Installation, tmp_path: Path) -> None:
    settle(mentat)
    run_mentat(mentat, START)
    store(mentat, message("edge", START, FREE))
    with beside(mentat, tmp_path) as reporter:
        reporter.init()
        store(mentat, message("late", START - MINUTE, "192.0.2.2"))
        for day in (1, 2, 3):
            reporter.run(START + day * DAY)

        assert told_since(reporter, START) == ["edge", "late"]


def test_what_was_stored_before_the_mark_is_mentats(mentat: Installation, tmp_path: Path) -> None:
    settle(mentat)
    run_mentat(mentat, START)
    store(mentat, *(message(f"{n}", START - n * MINUTE, f"192.0.2.{n}") for n in (1, 4, 6, 200)))
    with beside(mentat, tmp_path) as reporter:
        reporter.init()
        for day in (1, 2, 3):
            reporter.run(START + day * DAY)

        assert told_since(reporter, START) == []


def test_its_state_is_taken_anew_if_mentat_ran_on_before_the_first_run(
    mentat: Installation, tmp_path: Path
) -> None:
    settle(mentat)
    run_mentat(mentat, START)
    with beside(mentat, tmp_path) as reporter:
        reporter.init()
        store(mentat, message("one", START + HOUR, FREE))
        run_mentat(mentat, START + DAY)

        assert "Mentat has run since its state was taken over: it is taken anew" in reporter.init()
        reporter.run(START + 2 * DAY)
        assert told_since(reporter, START + DAY) == []
        assert reporter.init()[-1] == "Mentat's state is left alone: the reporter has its own, nothing to do"


def test_a_threshold_without_its_report_is_counted_and_left(mentat: Installation, tmp_path: Path) -> None:
    settle(mentat)
    store(mentat, message("one", START - HOUR, FREE))
    run_mentat(mentat, START)
    mentat.execute(mentat.main, "delete from asoc_groups_reports; delete from reports_events")
    with beside(mentat, tmp_path) as reporter:
        said = reporter.init()

        assert reporter.rows(KEYS) == []
        assert "took over 0 of Mentat's 1 thresholds" in said
        assert any(
            line.startswith("left 1 thresholds of which no report says whose they are") for line in said
        )


def test_what_an_older_mentat_lacks_is_said(mentat: Installation, tmp_path: Path) -> None:
    settle(mentat)
    mentat.execute(mentat.main, "drop table state_reporter")
    mentat.execute(mentat.events, "drop table events_thresholded")
    with beside(mentat, tmp_path) as reporter:
        said = reporter.init()

        assert any("this Mentat has no table state_reporter" in line for line in said)
        assert "no thresholds taken over: the events database has no events_thresholded" in said
        assert reporter.run(START).exit_code == 0


def test_keys_are_written_as_they_are_here(mentat: Installation, tmp_path: Path) -> None:
    settle(mentat)
    store(mentat, message("six", START - HOUR, FREE))
    run_mentat(mentat, START)
    [(label,)] = mentat.rows(mentat.main, "select label from reports_events")
    keys = [
        "a+++b/c, d+++2001:0DB8:0:0::1",
        f"{'x' * 300}+++192.0.2.3-192.0.2.5",
        "class+++nonsense",
        "neither",
    ]
    for key in keys:
        mentat.ask_mentat("set_threshold", key=key, label=label, at=START.replace(tzinfo=None).isoformat())
    with beside(mentat, tmp_path) as reporter:
        said = reporter.init()

        found = {row[5]: row[4] for row in reporter.rows(KEYS)}
        assert found.keys() == {FREE, "2001:db8::1", "192.0.2.3-192.0.2.5"}
        assert found["2001:db8::1"] == "a+++b/c, d"
        assert len(found["192.0.2.3-192.0.2.5"]) <= 200
        assert "took over 3 of Mentat's 5 thresholds" in said


def test_a_takeover_that_was_cut_short_left_nothing_and_is_done_by_the_next_init(
    mentat: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(mentat)
    store(mentat, message("one", START - HOUR, FREE))
    run_mentat(mentat, START)
    put = taken.put

    def cut(main: Connection) -> Any:
        put(main)
        raise KeyboardInterrupt

    with beside(mentat, tmp_path) as reporter:
        with monkeypatch.context() as patched:
            patched.setattr(taken, "put", cut)
            with pytest.raises(KeyboardInterrupt):
                reporter.init()
        assert reporter.windows() == []
        assert reporter.rows(KEYS) == []

        assert "took over 1 of Mentat's 1 thresholds" in reporter.init()


def test_what_a_run_of_mentat_told_that_it_could_not_finish_is_not_told_again(
    mentat: Installation, tmp_path: Path
) -> None:
    settle(mentat)
    store(mentat, message("told", START - HOUR, FREE, severity="critical"))
    run_mentat(mentat, START)
    mentat.execute(
        mentat.main,
        "update state_reporter set last_successful_run = last_successful_run - interval '1 day';"
        "update reports_events set dt_from = dt_from - interval '1 day'",
    )
    mentat.execute(mentat.events, "delete from thresholds")
    with beside(mentat, tmp_path) as reporter:
        reporter.init()
        reporter.run(START + 2 * HOUR)

        assert reporter.told().get(ALICE, []).count("told") <= 1


def test_a_watermark_without_an_end_is_none(mentat: Installation, tmp_path: Path) -> None:
    settle(mentat)
    run_mentat(mentat, START)
    mentat.execute(
        mentat.main, "update state_reporter set last_successful_run = 'infinity' where severity = 'low'"
    )
    with beside(mentat, tmp_path) as reporter:
        said = reporter.init()

        assert not [line for line in said if line.startswith("low:")]
        assert [line for line in said if line.startswith("high:")]
        assert reporter.run(START + DAY).exit_code == 0
