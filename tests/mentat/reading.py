"""What every stored report must be like once Mentat's models and data classes have loaded it."""

import re
from datetime import datetime

from integration.helpers_run import Row
from mentat.helpers_world import MentatReporter

LABEL = re.compile(r"M\d{8}(?P<type>[SET])(?P<severity>[ILMHC])-[0-9A-Z]{5,}")
COUNTERS = ("new", "flt", "flt_blk", "det", "det_blk", "thr", "thr_blk", "rlp")


def lines_of(report: Row) -> list[Row]:
    parts = (report["stored"]["regular"], report["stored"]["relapsed"])
    of_class = [line for part in parts for line in part.values()]
    return of_class if report["type"] == "target" else [line for found in of_class for line in found.values()]


def check_whole(beside: MentatReporter) -> list[Row]:
    """Compare every report as Mentat loads it with what is stored; return them."""
    loaded = beside.loaded()
    rows = {row["label"]: row for row in beside.reports()}
    assert sorted(report["label"] for report in loaded) == sorted(rows)
    children: dict[str, list[str]] = {}
    for report in loaded:
        check_report(report, rows[report["label"]])
        if report["parent"]:
            children.setdefault(report["parent"], []).append(report["label"])
    assert {report["label"]: report["children"] for report in loaded if report["children"]} == {
        label: sorted(found) for label, found in children.items()
    }
    return loaded


def check_report(report: Row, row: Row) -> None:
    assert report["structured_data"] == report["stored"] == row["structured_data"]
    assert report["is_old_type"] is False
    assert report["groups"] == row["chain"] != []
    assert report["statistics"] == row["statistics"]
    label = LABEL.fullmatch(report["label"])
    assert label is not None
    assert (label["type"], label["severity"]) == (report["type"][0].upper(), report["severity"][0].upper())
    assert (report["parent"] is None) == (report["type"] != "extra")
    assert (report["filtering"] is None) == (report["type"] == "extra")
    assert all((row[f"evcount_{name}"] is None) == (report["type"] == "extra") for name in COUNTERS)
    assert report["flag_mailed"] == bool(row["mail_dt"])
    assert all(re.fullmatch("(to|cc):[^@]+@[^@]+", entry) for entry in report["mail_to"])
    assert sum(line["event_count"] for line in lines_of(report)) >= report["evcount_rep"] > 0
    assert len(report["statistics"]["list_ids"]) == report["evcount_rep"]
    for line in lines_of(report):
        for name in ("first_time", "last_time"):
            assert datetime.fromisoformat(line[name]).tzinfo is None
