"""What a stored report says: counters, labels, parents, chains, times; the hits of rules and detectors."""

import re
from datetime import datetime
from typing import Any

import pytest
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    HOUR,
    MINUTE,
    START,
    Reporter,
    Row,
    event,
    group,
    reporter,
)

from mentat_reporter.core.model import SEVERITIES

__all__ = ["reporter"]

TEN = 10 * MINUTE
COUNTERS = ("new", "flt", "flt_blk", "det", "det_blk", "thr", "thr_blk", "rlp", "all", "rep")


def counters(report: Row) -> dict[str, int | None]:
    return {name: report[f"evcount_{name}"] for name in COUNTERS}


def hits(reporter: Reporter) -> dict[str, int]:
    return dict(reporter.rows("select name, hits from filters union all select name, hits from detectors"))


@pytest.fixture
def nested(reporter: Reporter) -> Reporter:
    """Give a reporter where Bob owns a part of Alice's network, and Carol all of it as a base."""
    reporter.groups(
        group(
            ALICE,
            "192.0.2.0/24",
            filters=[{"name": "alice's", "filter": "'alice' in (Description ?? [])"}],
        ),
        group(
            BOB,
            "192.0.2.128/25",
            mode="both",
            filters=[{"name": "bob's", "filter": "'bob' in (Description ?? [])"}],
        ),
        group(
            CAROL,
            {"network": "192.0.0.0/16", "is_base": True},
            filters=[{"name": "carol's", "filter": "'carol' in (Description ?? [])"}],
        ),
        filters=[{"name": "everybody's", "filter": "'all' in (Description ?? [])"}],
        detectors=[{"name": "good", "credibility": 0.9}, {"name": "bad", "credibility": 0.4}],
    )
    return reporter


def test_every_step_is_counted_in_events(nested: Reporter) -> None:
    nested.store(event("first", START - MINUTE, "192.0.2.200", severity="high"))
    nested.run(START)
    at = START + MINUTE
    bad = [{"Name": "bad"}]
    nested.store(
        event("held", at, "192.0.2.200", severity="high"),
        event("three addresses", at, "192.0.2.201", "192.0.2.202", "192.0.2.203", severity="high"),
        event("one of two held", at, "192.0.2.200", "192.0.2.204", severity="high"),
        *(
            event(f"filtered {word}", at, "192.0.2.201", severity="high", message={"Description": [word]})
            for word in ("alice", "bob", "all")
        ),
        event("doubtful", at, "192.0.2.205", severity="high", message={"Node": bad}),
        event(
            "doubtful and filtered",
            at,
            "192.0.2.205",
            severity="high",
            message={"Node": bad, "Description": ["bob"]},
        ),
    )

    result = nested.run(START + TEN)

    summary = next(report for report in nested.reports()[2:] if report["type"] == "summary")
    assert counters(summary) == {
        "new": 8, "flt": 4, "flt_blk": 4, "det": 3, "det_blk": 1, "thr": 2, "thr_blk": 1, "rlp": 0,
        "all": 8, "rep": 2,
    }  # fmt: skip
    assert summary["filtering"] == {"alice's": 1, "bob's": 2, "everybody's": 1}
    assert summary["statistics"]["list_ids"] == ["one of two held", "three addresses"]
    counts = result.counts["high"]
    assert {name: counts[name] for name in ("events", "reported", "held", "filtered", "doubtful")} == {
        "events": 8, "reported": 2, "held": 1, "filtered": 4, "doubtful": 1,
    }  # fmt: skip


def test_an_extra_counts_its_own_and_names_its_parent(nested: Reporter) -> None:
    nested.store(
        event("a", START - MINUTE, "192.0.2.201", "192.0.2.202"),
        event("b", START - MINUTE, "192.0.2.201"),
        event("c", START - MINUTE, "192.0.2.203"),
    )

    nested.run(START)

    summary, *extras = nested.reports()
    assert (summary["type"], summary["parent_id"], summary["evcount_rep"]) == ("summary", None, 3)
    assert [
        (extra["type"], extra["parent_id"], extra["evcount_rep"], extra["evcount_all"]) for extra in extras
    ] == [
        ("extra", summary["id"], 2, 3),
        ("extra", summary["id"], 1, 3),
        ("extra", summary["id"], 1, 3),
    ]
    assert [extra["statistics"]["list_ids"] for extra in extras] == [["a", "b"], ["a"], ["c"]]
    assert {counters(extra)["new"] for extra in extras} == {None}
    assert [extra["filtering"] for extra in extras] == [None] * 3
    assert summary["filtering"] == {}


def test_reports_name_exactly_their_chain_extras_too(nested: Reporter) -> None:
    nested.store(
        event("bob's", START - MINUTE, "192.0.2.201"),
        event("alice's", START - MINUTE, "192.0.2.1"),
        event("carol's", START - MINUTE, "192.0.3.1"),
    )

    nested.run(START)

    assert [(report["type"], report["chain"]) for report in nested.reports()] == [
        ("summary", [ALICE]),
        ("summary", [ALICE, BOB]),
        ("extra", [ALICE, BOB]),
        ("summary", [CAROL]),
    ]


def test_the_window_is_stored_as_naive_utc(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", timezone="Europe/Prague"))
    seen = datetime.fromisoformat("2026-05-04T13:30:00.5+02:00")
    reporter.store(event("one", START - MINUTE, message={"DetectTime": seen.isoformat()}))

    reporter.run(START)

    [report] = reporter.reports()
    naive = START.replace(tzinfo=None)
    assert (report["dt_from"], report["dt_to"], report["delta"]) == (naive - DAY, naive, 86400)
    assert report["createtime"] == report["mail_dt"] == naive
    line = report["structured_data"]["regular"]["scan"]["192.0.2.1"]
    assert line["first_time"] == line["last_time"] == "2026-05-04T11:30:00.500000"
    assert report["structured_data"]["timezone"] == "Europe/Prague"


def test_first_and_last_time_are_the_least_and_the_greatest(reporter: Reporter) -> None:
    reporter.groups()
    times: list[Row] = [
        {"DetectTime": "2026-05-04T09:00:00Z"},
        {"DetectTime": "2026-05-04T09:30:00Z", "EventTime": "2026-05-04T08:00:00Z"},
        {
            "DetectTime": "2026-05-04T09:10:00Z",
            "EventTime": "2026-05-04T08:10:00Z",
            "CeaseTime": "2026-05-04T10:00:00Z",
        },
    ]
    reporter.store(*(event(str(number), START - MINUTE, message=found) for number, found in enumerate(times)))

    reporter.run(START)

    line = reporter.reports()[0]["structured_data"]["regular"]["scan"]["192.0.2.1"]
    assert (line["first_time"], line["last_time"]) == ("2026-05-04T08:00:00", "2026-05-04T10:00:00")
    assert line["event_count"] == 3


def test_labels_tell_date_type_and_severity(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"))
    reporter.store(
        *(event(severity, START - MINUTE, severity=severity) for severity in SEVERITIES),
        event("target", START - MINUTE, severity=None, targets=("192.0.2.1",), target_severity="info"),
    )

    reporter.run(START)

    labels = [str(report["label"]) for report in reporter.reports()]
    assert all(re.fullmatch("M20260504[SET][ILMHC]-[A-Z2-7]{8}", label) for label in labels)
    kinds = [label[9:11] for label in labels]
    assert kinds == ["SC", "EC", "SH", "EH", "SM", "EM", "SL", "EL", "SI", "EI", "TI"]


def test_a_label_that_stands_already_is_not_used_again(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", START - MINUTE))
    reporter.run(START)
    [label] = [report["label"] for report in reporter.reports()]
    for table in ("run_window", "threshold", "considered", "outbox"):
        reporter.execute(f"delete from mentat_reporter.{table}")

    reporter.run(START)

    assert [report["label"] == label for report in reporter.reports()] == [True, False]
    assert reporter.run(START).exit_code == 0


def test_who_is_mailed_is_stored_when_the_mail_is_enqueued(reporter: Reporter) -> None:
    reporter.groups(
        group(ALICE, "192.0.2.0/24", emails={"low": ["low@alice.example"], "high": ["high@alice.example"]}),
        group(BOB, "192.0.2.128/25", emails={"info": ["info@bob.example", "second@bob.example"]}),
        group(CAROL, "203.0.113.0/24", mode="none"),
    )
    reporter.store(
        event("mailed", START - MINUTE, "192.0.2.200", severity="high"),
        event("not mailed", START - MINUTE, "203.0.113.1", severity="high"),
        event("shadow", START - MINUTE, "192.0.2.1", severity="high", shadow=True),
    )

    reporter.run(START)

    found = {tuple(report["chain"]): report for report in reporter.reports()}
    mailed = found[ALICE, BOB]
    assert mailed["flag_mailed"]
    assert mailed["mail_to"] == [
        "to:info@bob.example", "to:second@bob.example", "cc:high@alice.example", "cc:low@alice.example",
    ]  # fmt: skip
    for name in (ALICE, CAROL):
        assert (found[name,]["flag_mailed"], found[name,]["mail_to"], found[name,]["mail_dt"]) == (
            False,
            [],
            None,
        )
    assert found[ALICE,]["flag_shadow"]
    [mail] = reporter.mails()
    assert (mail["To"], mail["Cc"]) == (
        "info@bob.example, second@bob.example",
        "high@alice.example, low@alice.example",
    )


def test_a_relapse_refers_to_the_report_that_told_of_it(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"))
    reporter.store(
        event("one", START - MINUTE, "192.0.2.1", severity="high"),
        event("two", START - MINUTE, "192.0.2.2", severity="high"),
    )
    reporter.run(START)
    first = {report["label"]: report for report in reporter.reports()}
    reporter.store(event("held", START + 20 * HOUR, "192.0.2.2", severity="high"))
    reporter.run(START + 20 * HOUR + TEN)

    reporter.run(START + DAY)

    summary, extra = reporter.reports()[-2:]
    for report in (summary, extra):
        [line] = report["structured_data"]["relapsed"]["scan"].values()
        told = first[line["reference"]]
        assert told["type"] == "extra"
        assert list(told["structured_data"]["regular"]["scan"]) == ["192.0.2.2"]
    assert reporter.rows("select report_label from mentat_reporter.threshold where source = '192.0.2.2'") == [
        (extra["label"],)
    ]


def test_every_threshold_names_a_stored_report(nested: Reporter) -> None:
    nested.store(
        *(
            event(f"{n}", START - MINUTE, f"192.0.2.{n}", event_class=f"c{n % 3}", shadow=n % 2 == 0)
            for n in range(120, 140)
        )
    )
    nested.run(START)

    labels = {report["label"] for report in nested.reports()}
    named = {label for (label,) in nested.rows("select report_label from mentat_reporter.threshold")}
    assert named <= labels
    assert nested.value("select count(*) from mentat_reporter.threshold") == 20


# Hits


def test_hits_are_counted_once_a_run(nested: Reporter) -> None:
    words = ["alice", "alice", "bob", "all"]
    nested.store(
        *(
            event(
                str(number), START - MINUTE, "192.0.2.200", severity="high", message={"Description": [word]}
            )
            for number, word in enumerate(words)
        ),
        event(
            "doubtful", START - MINUTE, "192.0.2.200", severity="high", message={"Node": [{"Name": "bad"}]}
        ),
    )

    nested.run(START)

    assert hits(nested) == {"alice's": 2, "bob's": 1, "carol's": 0, "everybody's": 1, "bad": 1, "good": 0}
    naive = START.replace(tzinfo=None)
    assert dict(nested.rows("select name, last_hit from filters")) == {
        "alice's": naive, "bob's": naive, "carol's": None, "everybody's": naive,
    }  # fmt: skip
    nested.run(START + TEN)
    nested.ad_hoc(START - HOUR, START)
    assert hits(nested)["alice's"] == 2


def test_a_fallbacks_rule_removes_the_fallback_alone(reporter: Reporter) -> None:
    reporter.groups(
        group(ALICE, "192.0.2.0/24", emails={}),
        group(
            CAROL,
            {"network": "192.0.0.0/16", "is_base": True},
            filters=[{"name": "c", "filter": "'x' in Category"}],
        ),
    )
    reporter.config["__core__reporter"]["fallback"] = ["last@reporter.example"]
    reporter.store(
        event("x", START - MINUTE, category="x"), event("y", START - MINUTE, "192.0.2.2", severity="high")
    )

    reporter.run(START)

    assert {mail["X-Mentat-Report-Severity"]: mail["To"] for mail in reporter.mails()} == {
        "low": "last@reporter.example",
        "high": CAROL,
    }
    assert hits(reporter) == {"c": 1}


def test_rules_see_one_address_at_a_time(reporter: Reporter) -> None:
    reporter.groups(
        group(ALICE, "192.0.2.0/24", filters=[{"name": "own", "filter": "192.0.2.2 in Source.IP4"}])
    )
    reporter.store(event("three", START - MINUTE, "192.0.2.1", "192.0.2.2", "192.0.2.3"))

    reporter.run(START)

    [report] = reporter.reports()
    assert list(report["structured_data"]["regular"]["scan"]) == ["192.0.2.1", "192.0.2.3"]
    assert (report["evcount_new"], report["evcount_flt"], report["evcount_flt_blk"]) == (1, 1, 0)
    assert report["filtering"] == {"own": 1}
    assert hits(reporter) == {"own": 1}


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ([{"name": "off", "filter": "'x' in Category", "enabled": False}], True),
        ([{"name": "later", "filter": "'x' in Category", "valid_from": "2026-05-04T12:00:01Z"}], True),
        ([{"name": "over", "filter": "'x' in Category", "valid_to": "2026-05-04T12:00:00Z"}], True),
        ([{"name": "of targets", "filter": "'x' in Category", "source_based": False}], True),
        ([{"name": "from now", "filter": "'x' in Category", "valid_from": "2026-05-04T12:00:00Z"}], False),
    ],
    ids=lambda value: value[0]["name"] if isinstance(value, list) else str(value),
)
def test_only_rules_that_are_on_and_valid_now_apply(
    reporter: Reporter, filters: list[Row], kept: bool
) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", filters=filters))
    reporter.store(event("x", START - MINUTE, category="x"))

    reporter.run(START)

    assert bool(reporter.reports()) is kept


def test_rules_in_pynspect_are_understood_where_they_are_configured(reporter: Reporter) -> None:
    pytest.importorskip("pynspect")
    reporter.config["__core__reporter"]["filter_language"] = "pynspect"
    reporter.groups(
        group(
            ALICE,
            "192.0.2.0/24",
            filters=[{"name": "own", "filter": "Source.IP4 == 192.0.2.2 and Category == 'x'"}],
        )
    )
    reporter.store(
        event("a", START - MINUTE, "192.0.2.2", category="x"),
        event("b", START - MINUTE, "192.0.2.3", category="x"),
    )

    reporter.run(START)

    assert reporter.told() == {ALICE: ["b"]}


def test_an_event_of_two_chains_counts_in_both_and_once_in_each(nested: Reporter) -> None:
    nested.store(event("one", START - MINUTE, "192.0.2.1", "192.0.2.2", "192.0.2.200", "192.0.3.1"))

    result = nested.run(START)

    found: dict[str, Any] = {
        " ".join(report["chain"]): (report["evcount_new"], report["evcount_rep"])
        for report in nested.reports()
        if report["type"] == "summary"
    }
    assert found == {ALICE: (1, 1), f"{ALICE} {BOB}": (1, 1), CAROL: (1, 1)}
    assert result.total("events") == 1
