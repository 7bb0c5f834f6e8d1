"""A bad event, rule, group, address or template stops nobody else; it is named, kept, the run exits 3."""

import logging
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import orjson
import psycopg2
import pytest
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    GROUPS,
    MINUTE,
    START,
    Reporter,
    Stored,
    event,
    group,
    reporter,
    text_of,
)

from mentat_reporter import rendering
from mentat_reporter.errors import TemplateError
from mentat_reporter.render.templates import Templates
from mentat_reporter.result import RunResult

__all__ = ["reporter"]

TEN = 10 * MINUTE
AT = START - MINUTE


def quarantine(reporter: Reporter) -> dict[tuple[str, str], str]:
    return {
        (kind, reference): error
        for kind, reference, error in reporter.rows(
            "select kind, reference, error from mentat_reporter.quarantine"
        )
    }


def named(result: RunResult, *words: str) -> bool:
    return result.exit_code == 3 and any(all(word in line for word in words) for line in result.failures)


# Events

TORN = b'{"Format": "IDEA0", "Source": [{"IP4": ["192.0.2.1"'
BAD: dict[str, tuple[bytes | None, str]] = {
    "torn": (TORN, "is no JSON: it ends too early"),
    "empty": (b"", "is no JSON: it ends too early"),
    "not JSON": (b"IDEA0 but not JSON", "is no JSON: Expecting value"),
    "a list": (b"[1, 2]", "is no JSON object but list"),
    "a number": (b"17", "is no JSON object but int"),
    "null": (b"null", "is no JSON object but NoneType"),
    "nested": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested deeper than 64"),
    "nested a little": (b'{"a":' + b"[" * 65 + b"]" * 65 + b"}", "is nested deeper than 64"),
    "digits": (b'{"ConnCount": ' + b"9" * 5000 + b"}", "has a whole number of more than 4,300 digits"),
    "missing": (None, "has no message in events_json"),
    "bad address": (orjson.dumps({"Source": [{"IP4": ["300.1.2.3"]}]}), "has no usable address: '300.1.2.3'"),
}


def bad_event(name: str) -> Stored:
    return event(name, AT)._replace(message=BAD[name][0])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_event_is_kept_with_its_reason_and_the_others_are_told(reporter: Reporter, name: str) -> None:
    reporter.groups()
    reporter.store(event("good", AT, "192.0.2.2"), bad_event(name), event("good too", AT, "198.51.100.1"))

    result = reporter.run(START)

    assert named(result, f"event {name} ", BAD[name][1])
    assert reporter.told() == {ALICE: ["good"], BOB: ["good too"]}
    [(key, error)] = quarantine(reporter).items()
    assert key == ("event", name)
    assert error.startswith(BAD[name][1])
    assert result.counts["low"]["bad"] == 1
    assert result.counts["low"]["events"] == 3


def test_all_bad_events_at_once_leave_a_thousand_good_ones_alone(reporter: Reporter) -> None:
    reporter.groups()
    good = [event(f"good {number:04}", AT, f"198.51.100.{number % 250}") for number in range(1000)]
    reporter.store(*good, *(bad_event(name) for name in BAD))

    result = reporter.run(START)

    assert reporter.told() == {BOB: [found.id for found in good]}
    assert {reference for _, reference in quarantine(reporter)} == set(BAD)
    assert result.counts["low"]["events"] == 1000 + len(BAD)
    again = reporter.run(START + TEN)
    assert (again.exit_code, again.total("events")) == (0, 0)


def test_an_event_that_is_bad_in_the_margin_is_counted_once(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("torn", AT, severity="high")._replace(message=TORN))

    results = [reporter.run(START + number * TEN) for number in range(3)]

    assert [result.total("bad") for result in results] == [1, 0, 0]
    assert [result.exit_code for result in results] == [3, 0, 0]
    assert reporter.value("select count from mentat_reporter.quarantine") == 1


ODD: dict[str, dict[str, Any]] = {
    "DetectTime is a list": {"DetectTime": ["2026-05-04T11:00:00Z"]},
    "DetectTime is garbage": {"DetectTime": "yesterday"},
    "year 0": {"DetectTime": "0000-01-01T00:00:00Z"},
    "beyond year 9999": {"DetectTime": "9999-12-31T23:59:59-05:00"},
    "a leap second": {"DetectTime": "2016-12-31T23:59:60Z"},
    "no DetectTime": {"DetectTime": None},
    "Category of numbers": {"Category": [1]},
    "no Category": {"Category": None},
    "a number for ID": {"ID": 17},
    "Source is an object": {"Source": {"IP4": ["192.0.2.1"]}},
    "an address is no list": {"Source": [{"IP4": "192.0.2.1"}]},
    "a bad address among good": {"Source": [{"IP4": ["192.0.2.1", "nonsense", 5, None, {}]}]},
    "ConnCount is a word": {"ConnCount": "abc"},
    "Port is a word": {"Target": [{"Port": ["ssh", 22, 1e3]}]},
    "Node is a string": {"Node": "sensor"},
    "Node names are numbers": {"Node": [{"Name": 5}]},
    "NUL": {"Description": "a\0b", "Note": "\0"},
    "a template": {"Description": "{{ 7*7 }}", "Note": "{% raw %}<script>"},
    "a line break in what is shown": {
        "Source": [{"IP4": ["192.0.2.1"], "Hostname": ["a\r\nBcc: all@example.org"]}]
    },
}
RAW: dict[str, bytes] = {
    "a lone surrogate": b'{"Source": [{"IP4": ["192.0.2.1"]}], "Description": "\\ud800"}',
    "no UTF-8": b'{"Source": [{"IP4": ["192.0.2.1"]}], "Description": "\xff\xfe"}',
    "a byte order mark": b'\xef\xbb\xbf{"Source": [{"IP4": ["192.0.2.1"]}]}',
    "too great a number": b'{"Source": [{"IP4": ["192.0.2.1"]}], "ConnCount": 1e400}',
    "not a number": b'{"Source": [{"IP4": ["192.0.2.1"]}], "ConnCount": NaN}',
    "a control character": b'{"Source": [{"IP4": ["192.0.2.1"]}], "Description": "a\x07b"}',
}


def odd_event(name: str) -> Stored:
    found = event(name, AT)
    if name in RAW:
        return found._replace(message=RAW[name])
    whole = {**orjson.loads(found.message or b""), **ODD[name]}
    return found._replace(
        message=orjson.dumps({key: item for key, item in whole.items() if item is not None})
    )


@pytest.mark.parametrize("names", [[*ODD], *([name] for name in RAW)], ids=["odd", *RAW])
def test_odd_events_are_told_all_the_same(reporter: Reporter, names: list[str]) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"))
    reporter.store(*map(odd_event, names), event("good", AT, "192.0.2.9"))

    result = reporter.run(START)

    assert reporter.told() == {ALICE: sorted([*names, "good"])}
    assert [report["type"] for report in reporter.reports()] == ["summary", "extra", "extra"]
    assert {mail["Bcc"] for mail in reporter.mails()} == {None}
    assert result.exit_code == 0


def test_a_stored_time_that_no_calendar_has_stops_nobody(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("good", AT), event("endless", AT), event("far", AT))
    reporter.execute("update events set storagetime = 'infinity' where id = 'endless'")
    reporter.execute("update events set storagetime = '20000-01-01' where id = 'far'")

    result = reporter.run(START)

    assert reporter.told() == {ALICE: ["good"]}
    assert result.exit_code == 3
    assert named(result, "2 events have a storage time after the year 9000")
    assert reporter.run(START + TEN).exit_code == 3


# Rules


def test_a_rule_that_does_not_compile_is_not_applied_and_named(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", filters=[{"name": "broken", "filter": "true"}]), *GROUPS[1:])
    reporter.execute("update filters set filter = 'Category ==='")
    reporter.store(event("one", AT), event("two", AT, "198.51.100.1"))

    result = reporter.run(START)

    assert named(result, f"filter 'broken' of {ALICE}", "does not compile and is not applied")
    assert reporter.told() == {ALICE: ["one"], BOB: ["two"]}
    assert ("filter", f"'broken' of {ALICE}") in quarantine(reporter)


def test_a_rule_that_fails_on_an_event_is_not_applied_there_and_counted(reporter: Reporter) -> None:
    reporter.groups(
        group(ALICE, "192.0.2.0/24", filters=[{"name": "counts", "filter": "ConnCount > 10"}]),
        filters=[{"name": "everybody's", "filter": "Nothing.Like == 'this'"}],
    )
    reporter.store(
        event("few", AT, "192.0.2.1", message={"ConnCount": 1}),
        event("many", AT, "192.0.2.2", message={"ConnCount": 100}),
        event("unsaid", AT, "192.0.2.3"),
        event("unsaid too", AT, "192.0.2.4"),
    )

    result = reporter.run(START)

    assert reporter.told() == {ALICE: ["few", "unsaid", "unsaid too"]}
    assert named(result, f"filter 'counts' of {ALICE}", "was not applied where it failed")
    assert named(result, "filter 'everybody's' of (all groups)", "was not applied where it failed")
    kept = dict(reporter.rows("select reference, count from mentat_reporter.quarantine"))
    assert kept[f"'counts' of {ALICE}"] == 2
    assert kept["'everybody's' of (all groups)"] >= 3


def test_a_rule_five_hundred_deep_stops_nobody(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", filters=[{"name": "deep", "filter": "true"}]))
    reporter.execute(
        "update filters set filter = repeat('(', 500) || '''x'' in Category' || repeat(')', 500)"
    )
    reporter.store(event("one", AT))

    result = reporter.run(START)

    assert reporter.told() == {ALICE: ["one"]}
    assert result.exit_code in (0, 3)


def test_a_class_whose_subclassing_is_broken_is_told_without_subclasses(reporter: Reporter) -> None:
    reporter.groups(event_classes=[{"name": "scan", "rule": "'x' in Category", "subclassing": "Target.Port"}])
    reporter.execute("update event_classes set subclassing = '(('")
    reporter.store(event("one", AT, message={"Target": [{"Port": [22]}]}))

    result = reporter.run(START)

    assert list(reporter.reports()[0]["structured_data"]["regular"]) == ["scan"]
    assert named(result, "subclassing of event class scan")


# Groups


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update settings_reporting set locale = 'tlh' where group_id = 1", ["locale 'tlh'"]),
        ("update settings_reporting set locale = '../../etc' where group_id = 1", ["locale '../../etc'"]),
        ("update settings_reporting set timezone = 'Mars/Moon' where group_id = 1", ["timezone 'Mars/Moon'"]),
        ("update settings_reporting set timezone = '/etc/hosts' where group_id = 1", ["'/etc/hosts'"]),
        ("update mentat_reporter.group_settings set template = 'gone'", ["template 'gone'"]),
        ("update mentat_reporter.group_settings set template = '../default'", ["template '../default'"]),
        (
            "update mentat_reporter.group_settings set timing = '{\"low\": {\"period\": \"5 fortnights\"}}'",
            ["timing of low", "the default times are used"],
        ),
        ("update networks set network = '192.0.2.0/99' where group_id = 2", ["the network is left out"]),
        ("update networks set network = 'anywhere' where group_id = 2", ["(network 2)", "is left out"]),
    ],
)  # fmt: skip
def test_what_a_groups_row_says_wrong_is_named_and_the_default_used(
    reporter: Reporter, statement: str, words: list[str]
) -> None:
    reporter.groups()
    reporter.execute(statement)
    reporter.store(event("one", AT), event("three", AT, "203.0.113.1"))

    result = reporter.run(START)

    assert named(result, "group ", *words)
    assert reporter.told() == {ALICE: ["one"], CAROL: ["three"]}
    assert sorted(reporter.recipients()) == [ALICE, CAROL]
    [text] = [text_of(mail) for mail in reporter.mails() if mail["To"] == ALICE]
    assert "possible problems" in text.lower()
    assert any(kind == "group" for kind, _ in quarantine(reporter))


def test_an_address_list_with_garbage_gives_what_is_usable(reporter: Reporter) -> None:
    reporter.groups()
    garbage = [
        "a@x.example, v@y.example",
        "",
        "-oQ/tmp@x.example",
        "good@alice.example",
        "two@b.example\r\nBcc: c@d.example",
    ]
    reporter.execute("update settings_reporting set emails_low = %s where group_id = 1", garbage)
    reporter.execute("update settings_reporting set emails_info = '{nonsense}' where group_id = 2")
    reporter.store(event("one", AT), event("two", AT, "198.51.100.1"))
    reporter.config["__core__reporter"]["fallback"] = ["last@reporter.example"]

    result = reporter.run(START)

    assert {mail["To"]: mail["Cc"] for mail in reporter.mails()} == {
        "good@alice.example": ALICE,
        "last@reporter.example": None,
    }
    assert sum("is no address, it is left out" in line for line in result.failures) == 4
    assert result.exit_code == 3


def test_a_group_that_nobody_can_be_found_for_is_stored_and_named(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", emails={}), *GROUPS[1:])
    reporter.store(event("one", AT), event("two", AT, "198.51.100.1"))

    result = reporter.run(START)

    assert named(result, f"for {ALICE} have no recipient", "fallback")
    assert reporter.told() == {ALICE: ["one"], BOB: ["two"]}
    assert {report["chain"][0]: report["flag_mailed"] for report in reporter.reports()} == {
        ALICE: False,
        BOB: True,
    }
    assert reporter.recipients() == [BOB]


def test_a_group_without_settings_row_or_network_or_anything_is_no_trouble(reporter: Reporter) -> None:
    reporter.groups()
    reporter.execute("delete from settings_reporting where group_id = 1")
    reporter.execute("delete from mentat_reporter.group_settings")
    reporter.execute("insert into groups (name, source, description, enabled) values (null, 'x', '', true)")
    reporter.execute(
        "insert into networks (group_id, netname, source, network) select id, '', 'x', '0.0.0.0/0'"
        " from groups where name is null"
    )
    reporter.execute(
        "insert into networks (group_id, netname, source, network) values (2, '', 'x', '198.51.100.0/24')"
    )
    reporter.config["__core__reporter"]["fallback"] = ["last@reporter.example"]
    reporter.store(event("one", AT), event("two", AT, "198.51.100.1"))

    result = reporter.run(START)

    assert (result.exit_code, result.failures) == (0, [])
    assert reporter.told() == {ALICE: ["one"], BOB: ["two"]}
    assert sorted(reporter.recipients()) == [BOB, "last@reporter.example"]


def test_networks_as_wide_as_the_world_are_owned(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "0.0.0.0/0", "::/0"), group(BOB, "198.51.100.0/24"))
    reporter.store(
        event("four", AT, "8.8.8.8"), event("six", AT, "2001:db8::1"), event("wide", AT, "198.51.0.0/16"),
        event("reversed", AT, "198.51.101.5-198.51.100.250"),
    )  # fmt: skip

    reporter.run(START)

    assert reporter.told() == {
        ALICE: ["four", "reversed", "six", "wide"],
        f"{ALICE} {BOB}": ["reversed", "wide"],
    }


# Templates


def site(reporter: Reporter, text: str, name: str = "summary.txt", folder: str = "default") -> Path:
    """Give the reporter a folder of templates of its own, with one that says `text`."""
    place = reporter.place / "templates"
    (place / folder).mkdir(parents=True, exist_ok=True)
    (place / folder / name).write_text(text)
    reporter.config["__core__reporter"]["templates_dir"] = str(place)
    return place


@pytest.mark.parametrize(
    "text",
    [
        "{{ 1 / 0 }}",
        "{{ report.nothing_like_this }}",
        "{{ unknown }}",
        "{% for %}",
        "{% include 'summary.txt' %}",
        "{% extends 'gone.txt' %}",
        "{{ report.__class__.__mro__ }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_a_sites_template_that_fails_is_named_and_the_shipped_one_used(reporter: Reporter, text: str) -> None:
    reporter.groups()
    reporter.store(event("one", AT), event("two", AT, "198.51.100.1"))
    reporter.run(START, mail_test_mode=True)
    shipped = {mail["X-Mentat-Report-Original-To"]: _body(mail) for mail in reporter.mails()}
    site(reporter, text)

    result = reporter.run(START)

    assert named(result, "template default:", "the shipped default is used")
    assert {mail["To"]: _body(mail) for mail in reporter.mails()[2:]} == shipped
    assert shipped.keys() == {ALICE, BOB}
    assert ("template", "default/summary") in quarantine(reporter)


def _body(mail: EmailMessage) -> list[str]:
    """Return a mail's words, but for those that have its label."""
    return [word for word in text_of(mail).split() if "M2026" not in word]


def test_a_template_that_takes_too_long_is_named_and_not_asked_again(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "PATIENCE", 0.3)
    reporter.groups()
    site(reporter, "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
    reporter.store(event("one", AT), event("two", AT, "198.51.100.1"), event("three", AT, "203.0.113.1"))
    begun = time.monotonic()

    result = reporter.run(START)

    assert named(result, "template default:", "takes longer than")
    assert sorted(reporter.recipients()) == [ALICE, BOB, CAROL]
    assert time.monotonic() - begun < 3


def test_a_unit_whose_shipped_template_fails_as_well_is_tried_again(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter.groups()
    reporter.store(event("one", AT, severity="high"))
    with monkeypatch.context() as patch:
        for name in ("render", "render_shipped"):
            patch.setattr(Templates, name, lambda *_, **__: (_ for _ in ()).throw(TemplateError("no")))
        result = reporter.run(START)
    assert named(result, f"group {ALICE}, high source failed and will be tried again", "no")
    assert (reporter.reports(), reporter.mails()) == ([], [])

    reporter.run(START + TEN)

    assert reporter.told() == {ALICE: ["one"]}
    assert reporter.recipients() == [ALICE]


def test_a_template_that_works_is_used(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    reporter.config["__core__reporter"]["template_vars"] = {"team": "Red Team"}
    site(reporter, "Of {{ team }}\n\n{{ report.events }} events {{ 7 * 7 }}")

    result = reporter.run(START)

    [mail] = reporter.mails()
    assert result.exit_code == 0
    assert str(mail["Subject"]).endswith("] Of Red Team")
    assert text_of(mail).strip() == "1 events 49"


def test_only_the_groups_with_the_bad_template_are_concerned(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", template="ours"), *GROUPS[1:])
    site(reporter, "{{ unknown }}", folder="ours")
    reporter.store(event("one", AT), event("two", AT, "198.51.100.1"))

    result = reporter.run(START)

    assert len(result.failures) == 1
    assert named(result, "template ours:")
    assert sorted(reporter.recipients()) == [ALICE, BOB]


# Failures outside


def test_a_failure_is_named_once_however_often_it_happens(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"), *GROUPS[1:])
    site(reporter, "{{ unknown }}", "extra.txt")
    reporter.store(*(event(str(number), AT, f"192.0.2.{number}") for number in range(20)))

    with caplog.at_level(logging.WARNING):
        result = reporter.run(START)

    assert len(result.failures) == 1
    assert len([line for line in caplog.messages if line.startswith("template default")]) == 1
    assert reporter.value("select count from mentat_reporter.quarantine where kind = 'template'") == 20


def test_a_table_that_is_gone_is_said_before_anything_is_done(reporter: Reporter) -> None:
    reporter.groups()
    reporter.execute("drop table mentat_reporter.thresholded_event")

    with pytest.raises((psycopg2.Error, Exception)) as error:
        reporter.run(START)

    assert "thresholded_event" in str(error.value)
    assert reporter.mails() == []
