"""F1 of docs/reliability.md: a rule that cannot be used is off and named; it suppresses nothing."""

import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from faults.helpers_poison import AT, GOOD, TEN, good_are_told, named, of_alice, quarantine
from integration.helpers_run import (
    ALICE,
    DAY,
    GROUPS,
    HOUR,
    MINUTE,
    START,
    Reporter,
    event,
    group,
    reporter,
)

from mentat_reporter.filters import patience
from mentat_reporter.filters.compile import compile_rule, compile_values

__all__ = ["reporter"]

CATASTROPHE = "Note like '(a+)+$'"
BAIT = {"Note": "a" * 60 + "b"}
"""What the pattern takes years to find out."""
QUADRATIC = "Source.Port = Target.Port"
PORTS = {
    "Source": [{"IP4": ["192.0.2.1"], "Port": [*range(0, 16000, 2)]}],
    "Target": [{"Port": [*range(1, 16000, 2)]}],
}


def alice_filters(reporter: Reporter, *texts: str) -> None:
    """Give Alice rules, named by their place, whatever they say."""
    rules: list[Any] = [{"name": f"rule {place}", "filter": "true"} for place in range(len(texts))]
    reporter.groups(group(ALICE, "192.0.2.0/24", filters=rules), *GROUPS[1:])
    for place, text in enumerate(texts):
        reporter.execute("update filters set filter = %s where name = %s", text, f"rule {place}")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rules ended after a fifth of a second of computing; the parsers, built once, do not count."""
    for language, text in (("ransack", "true"), ("pynspect", "Note")):
        compile_rule(text, language, START)  # type: ignore[arg-type] # the two languages
    monkeypatch.setattr(patience, "PATIENCE", 0.2)


BROKEN = {
    "syntax": ("ransack", "Category ===", "does not compile and is not applied"),
    "an unknown function": ("ransack", "later() > DetectTime", "there is no function later()"),
    "types": ("ransack", "Category > 5", "was not applied where it failed"),
    "what the event does not have": ("ransack", "Nothing.Like == 'this'", "the event has no Nothing.Like"),
    "five hundred deep": ("ransack", "(" * 500 + "'x' in Category" + ")" * 499, "does not compile"),
    "emptiness": ("ransack", " ", "is empty"),
    "syntax of the other language": ("pynspect", "Category ===", "does not compile and is not applied"),
    "a bad pattern": ("pynspect", "Note like '(('", "is not a regular expression"),
    "types of the other language": ("pynspect", "Category > 5", "was not applied where it failed"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_f1_a_rule_that_cannot_be_used_is_off_and_named_and_suppresses_nothing(
    reporter: Reporter, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    language, text, words = BROKEN[fault]
    alice_filters(reporter, text)
    reporter.config["__core__reporter"]["filter_language"] = language
    reporter.store(event("one", AT, message={"Note": "x"}), *GOOD)

    with caplog.at_level(logging.WARNING):
        result = reporter.run(START)

    assert named(result, f"filter 'rule 0' of {ALICE}", words)
    assert any(f"filter 'rule 0' of {ALICE}" in line for line in caplog.messages)
    assert words in quarantine(reporter)["filter", f"'rule 0' of {ALICE}"]
    assert of_alice(reporter) == ["one"]
    assert good_are_told(reporter)
    assert not reporter.rows("select * from mentat_reporter.unit_retry")


@pytest.mark.parametrize(("language", "equals"), [("ransack", "="), ("pynspect", "==")])
def test_f1_a_rule_five_hundred_deep_is_either_applied_or_named(
    reporter: Reporter, language: str, equals: str
) -> None:
    alice_filters(reporter, "(" * 500 + f'Category {equals} "Recon.Scanning"' + ")" * 500)
    reporter.config["__core__reporter"]["filter_language"] = language
    reporter.store(event("scan", AT), event("other", AT, category="Other"), *GOOD)

    result = reporter.run(START)

    applied = of_alice(reporter) == ["other"] and result.exit_code == 0
    assert applied or (of_alice(reporter) == ["other", "scan"] and named(result, "'rule 0'"))
    assert good_are_told(reporter)


@pytest.mark.usefixtures("short")
def test_f1_a_rule_that_takes_too_long_is_off_for_the_rest_of_the_run(reporter: Reporter) -> None:
    alice_filters(reporter, CATASTROPHE, 'Description == "noise"')
    reporter.config["__core__reporter"]["filter_language"] = "pynspect"
    reporter.store(
        *(event(f"bait {number}", AT, f"192.0.2.{number}", message=BAIT) for number in range(100)),
        event("noise", AT, message={**BAIT, "Description": "noise"}),
        *GOOD,
    )
    before = patience.WATCH.turn

    result = reporter.run(START)

    assert len(of_alice(reporter)) == 100
    assert "noise" not in of_alice(reporter)
    assert good_are_told(reporter)
    words = "takes longer than 0.2 s and is off for the rest of the run"
    assert named(result, f"filter 'rule 0' of {ALICE}", words)
    assert words in quarantine(reporter)["filter", f"'rule 0' of {ALICE}"]
    assert len(result.failures) == 1
    # two are compiled, the slow one is asked once and the other each time
    assert patience.WATCH.turn - before == 2 + 1 + 101


@pytest.mark.usefixtures("short")
def test_f1_a_rule_that_a_message_makes_slow_is_off(reporter: Reporter) -> None:
    alice_filters(reporter, QUADRATIC)
    reporter.store(event("one", AT, message=PORTS), event("two", AT), *GOOD)

    result = reporter.run(START)

    assert of_alice(reporter) == ["one", "two"]
    assert good_are_told(reporter)
    assert named(result, f"filter 'rule 0' of {ALICE}", "takes longer than 0.2 s")


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("language", ["ransack", "pynspect"])
def test_f1_a_rule_that_takes_too_long_to_compile_is_not_applied(reporter: Reporter, language: str) -> None:
    alice_filters(reporter, " or ".join(["Category == 'x'"] * 40_000))
    reporter.config["__core__reporter"]["filter_language"] = language
    reporter.store(event("one", AT), *GOOD)

    result = reporter.run(START)

    assert named(result, f"filter 'rule 0' of {ALICE}", "not applied", "takes longer than 0.2 s")
    assert of_alice(reporter) == ["one"]
    assert good_are_told(reporter)


@pytest.mark.usefixtures("short")
def test_f1_a_subclassing_that_takes_too_long_leaves_the_class(reporter: Reporter) -> None:
    scan = {"name": "scan", "rule": "Category", "subclassing": "Category"}
    reporter.groups(*GROUPS, event_classes=[scan])
    reporter.execute("update event_classes set subclassing = %s", CATASTROPHE)
    reporter.config["__core__reporter"]["filter_language"] = "pynspect"
    reporter.store(
        *(event(f"bait {number}", AT, f"192.0.2.{number}", message=BAIT) for number in range(100)), *GOOD
    )

    result = reporter.run(START)

    assert len(of_alice(reporter)) == 100
    assert good_are_told(reporter)
    assert len(result.failures) == 1
    assert named(result, "subclassing of event class scan", "takes longer than 0.2 s")
    error = quarantine(reporter)["filter", "subclassing of event class scan"]
    assert "takes longer than 0.2 s and is off for the rest of the run" in error


@pytest.mark.usefixtures("short")
def test_f1_a_relapsed_event_is_told_although_a_rule_takes_too_long(reporter: Reporter) -> None:
    reporter.groups()
    reporter.config["__core__reporter"]["filter_language"] = "pynspect"
    reporter.store(event("first", AT, severity="high"))
    reporter.run(START)
    reporter.store(event("held", START + 20 * HOUR, severity="high", message=BAIT))
    reporter.run(START + 20 * HOUR + TEN)
    alice_filters(reporter, CATASTROPHE)

    result = reporter.run(START + DAY)

    assert reporter.reports()[-1]["statistics"]["list_ids"] == ["held"]
    assert named(result, f"filter 'rule 0' of {ALICE}", "takes longer than 0.2 s")


@pytest.mark.usefixtures("short")
def test_f1_a_rule_that_took_too_long_is_asked_again_by_the_next_run(reporter: Reporter) -> None:
    alice_filters(reporter, CATASTROPHE)
    reporter.config["__core__reporter"]["filter_language"] = "pynspect"
    reporter.store(event("bait", AT, message=BAIT, severity="high"))
    reporter.run(START)
    reporter.store(
        *(event(f"fine {number}", START, f"192.0.2.{number}", severity="high") for number in range(250)),
        event("more bait", START, "192.0.2.250", message=BAIT, severity="high"),
    )

    result = reporter.run(START + TEN)

    assert len(of_alice(reporter)) == 251  # 192.0.2.1 was told before
    assert reporter.value("select count from mentat_reporter.quarantine where kind = 'filter'") == 2
    assert named(result, f"filter 'rule 0' of {ALICE}")


def test_f1_many_quick_evaluations_are_no_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.05)
    rule = compile_rule("'x' in Category", "ransack", START)
    with patience.limited():
        assert not any(rule({"Category": ["y"]}) for _ in range(500_000))


def test_f1_rules_take_the_runs_time_for_the_present(reporter: Reporter) -> None:
    alice_filters(reporter, "DetectTime < now() - 01:00:00")
    old = event("old", AT, message={"DetectTime": (START - HOUR - MINUTE).isoformat()})
    reporter.store(old, event("new", AT, message={"DetectTime": (START - HOUR + MINUTE).isoformat()}))

    reporter.run(START)

    assert of_alice(reporter) == ["new"]


@pytest.mark.parametrize("clock", ["utcnow()", "time()"])
def test_f1_rules_of_the_other_language_take_the_runs_time_too(clock: str) -> None:
    long_ago = datetime(1999, 1, 1, tzinfo=UTC)
    [value] = compile_values(clock, "pynspect", long_ago)({})

    assert value in ("1999-01-01T00:00:00", str(long_ago.timestamp()))
