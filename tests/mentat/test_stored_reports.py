"""Mentat's own models, data classes, figures and pages read what the reporter stored."""

import json
from pathlib import Path
from typing import Any

from integration.helpers_run import ALICE, Row
from mentat.helpers_told import DAVE, told
from mentat.helpers_world import MentatReporter, beside
from mentat.reading import LABEL, check_whole, lines_of

__all__ = ["beside", "told"]


def shape(value: Any) -> Any:
    """Return what kind of value each key of an object has."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    return type(value).__name__


def test_every_kind_of_report_loads_as_it_is_stored(told: MentatReporter) -> None:
    loaded = check_whole(told)

    assert {report["type"] for report in loaded} == {"summary", "extra", "target"}
    assert {report["severity"] for report in loaded} == {"info", "low", "medium", "high", "critical"}
    assert any(report["stored"]["relapsed"] for report in loaded)
    assert any(report["flag_shadow"] and not report["flag_mailed"] for report in loaded)
    assert [report["statistics"]["list_ids"] for report in loaded if report["flag_testdata"]] == [["test"]]
    assert [ALICE, DAVE] in [report["groups"] for report in loaded]
    assert {"UTC", "Europe/Prague"} == {report["stored"]["timezone"] for report in loaded}
    assert {"to:noc@bob.example"} <= {entry for report in loaded for entry in report["mail_to"]}
    assert {"scanners": 1} in [report["filtering"] for report in loaded]
    referred = {line["reference"] for report in loaded for line in lines_of(report)} - {None}
    assert referred
    assert referred <= {report["label"] for report in loaded}


def test_figures_are_those_of_mentats_own_code(told: MentatReporter) -> None:
    retold = told.installation.ask_mentat("retell")
    for report in told.loaded():
        own, mentats = dict(report["statistics"]), retold[report["label"]]["statistics"]
        for recurring in ("cnt_recurring", "cnt_unique"):  # Mentat counts what recurs within one report
            own.pop(recurring)
            mentats.pop(recurring)
        assert own == {**mentats, "list_ids": sorted(mentats["list_ids"])}, report["label"]


def test_lines_are_those_of_mentats_own_code(told: MentatReporter) -> None:
    retold = told.installation.ask_mentat("retell")
    compared = 0
    for report in told.loaded():
        stored, mentats = report["stored"], retold[report["label"]]["lines"]
        for name, addresses in stored["regular"].items():
            if report["type"] == "summary" and name == "attempt-login/ssh" and not stored["relapsed"]:
                assert addresses == mentats[name]
                compared += 1
    assert compared > 0


def test_rows_are_like_those_that_mentat_stored(told: MentatReporter, feeds: Path) -> None:
    rows = json.loads((feeds / "mentat-report-rows.json").read_text())["rows"]
    mentats = {row["type"]: {**row, "stored": row["structured_data"]} for row in rows}
    for report in told.loaded():
        row = mentats[report["type"]]
        assert figures_shape(report) == figures_shape(row)
        assert report["stored"].keys() == row["stored"].keys()
        [expected, *_] = lines_of(row)
        for line in lines_of(report):
            assert line_shape(line) == line_shape(expected)


def figures_shape(report: Row) -> Row:
    """Return the kinds of figures, of counted values but the kind of counts."""
    return {
        name: {type(count).__name__ for count in value.values()} if isinstance(value, dict) else shape(value)
        for name, value in report["statistics"].items()
    }


def line_shape(line: Row) -> Row:
    [detail, *others] = (shape(detail) for detail in line["detector_data"].values())
    assert all(other == detail for other in others)
    assert line["reference"] is None or LABEL.fullmatch(line["reference"])
    return {**shape(line), "detector_data": detail, "reference": None}


def test_mentats_own_rows_are_read_by_the_same_loader(told: MentatReporter, feeds: Path) -> None:
    rows = json.loads((feeds / "mentat-report-rows.json").read_text())["rows"]
    for row in rows:
        known = ", ".join(row.keys() - {"id", "parent_id", "groups", "parent_label"})
        told.execute(
            f"insert into reports_events (id, {known})"
            f" select 1000 + %s, {known} from json_populate_record(null::reports_events, %s)",
            row["id"], json.dumps(row),
        )  # fmt: skip
        told.execute(
            "insert into asoc_groups_reports (group_id, report_id) select id, %s from groups where name = %s",
            1000 + row["id"], ALICE,
        )  # fmt: skip

    loaded = {report["label"]: report for report in told.loaded()}

    for row in rows:
        report = loaded[row["label"]]
        assert report["structured_data"] == row["structured_data"]
        assert (report["statistics"], report["is_old_type"]) == (row["statistics"], False)
