"""Rows and options that nobody should write, and what they do not do to others (docs/reliability.md)."""

import json
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from integration.helpers_run import (
    ADMIN,
    ALICE,
    BOB,
    CAROL,
    DAY,
    GROUPS,
    HOUR,
    LOG,
    MINUTE,
    START,
    Reporter,
    Stored,
    changed,
    event,
    group,
    reporter,
)

from mentat_reporter import run
from mentat_reporter.delivery import transports
from mentat_reporter.delivery.outcomes import Attempt, Ending, Reply
from mentat_reporter.errors import UsageError

__all__ = ["reporter"]

TEN = 10 * MINUTE
FALLBACK = "soc@national.example"


def high(event_id: str, at: datetime = START - MINUTE, address: str = "192.0.2.1") -> Stored:
    return event(event_id, at, address, severity="high")


def go_on(reporter: Reporter, runs: int = 4) -> list[int]:
    return [reporter.run(START + number * TEN).exit_code for number in range(1, runs + 1)]


# Findings 9, 29 to 32 and 12: rows


def long_id() -> str:
    """Return an id that no compression makes short enough for an index."""
    chosen = random.Random(1)  # noqa: S311 - no secret
    return "".join(chr(chosen.randint(0x21, 0x7E)) for _ in range(2684))


@pytest.mark.parametrize("direction", ["source", "target"])
@pytest.mark.parametrize("age", [MINUTE, 8 * MINUTE], ids=["in the margin", "before the margin"])
def test_an_event_with_an_endless_id_is_kept_and_the_others_are_told(
    reporter: Reporter, direction: str, age: Any
) -> None:
    reporter.groups()
    reporter.run(START - TEN)
    sides: dict[str, Any] = (
        {"severity": "high"}
        if direction == "source"
        else {"severity": None, "target_severity": "high", "targets": ("192.0.2.1",)}
    )
    reporter.store(
        event(long_id(), START - age, "192.0.2.1", **sides), high("b", START - age, "198.51.100.1")
    )

    result = reporter.run(START)

    assert result.exit_code == 3
    assert [line for line in result.failures if "has an id of more than" in line] == result.failures
    [(reference, error)] = reporter.rows("select reference, error from mentat_reporter.quarantine")
    assert long_id().startswith(reference[:100])
    assert len(reference) <= 500
    assert "id of more than" in error
    go_on(reporter, 2)
    assert go_on(reporter)[-2:] == [0, 0]
    assert reporter.told() == {BOB: ["b"]}
    assert {window["state"] for window in reporter.windows()} == {"done"}


def test_an_address_list_with_null_is_read_without_it(reporter: Reporter) -> None:
    reporter.groups()
    for severity in ("info", "low", "medium", "high", "critical"):
        reporter.execute(f"update settings_reporting set emails_{severity} = emails_{severity} || '{{NULL}}'")
    reporter.store(high("a"), high("b", address="198.51.100.1"))
    assert reporter.run(START).exit_code == 0
    assert sorted(reporter.recipients()) == [ALICE, BOB]

    reporter.store(high("a again", START + 20 * HOUR))
    reporter.run(START + 20 * HOUR + TEN)
    result = reporter.run(START + DAY)

    assert result.exit_code == 0
    assert result.total("relapsed") == 1
    assert sorted(reporter.recipients()) == [ALICE, ALICE, BOB]


def test_a_group_with_nothing_but_null_for_an_address_is_named_and_the_others_are_told(
    reporter: Reporter,
) -> None:
    reporter.groups()
    reporter.execute(
        "update settings_reporting set emails_info = '{NULL}', emails_high = '{NULL,NULL}'"
        " where group_id = (select id from groups where name = %s)",
        ALICE,
    )
    reporter.store(high("a"), high("b", address="198.51.100.1"))

    result = reporter.run(START)

    assert reporter.recipients() == [BOB]
    assert len(result.failures) == 1
    assert ALICE in result.failures[0]
    assert reporter.told() == {ALICE: ["a"], BOB: ["b"]}


def test_a_network_without_address_is_named_and_the_others_are_owned(reporter: Reporter) -> None:
    reporter.groups()
    reporter.execute("alter table networks alter column network drop not null")
    reporter.execute("update networks set network = null where network = '203.0.113.0/24'")
    reporter.store(high("a"), high("b", address="198.51.100.1"))

    result = reporter.run(START)

    [failure] = result.failures
    assert CAROL in failure
    assert "'' is no address; the network is left out" in failure
    assert reporter.told() == {ALICE: ["a"], BOB: ["b"]}


@pytest.mark.parametrize("credibility", ["NaN", "Infinity", "-1", "2"])
def test_a_credibility_that_is_none_is_named_and_counts_as_one(reporter: Reporter, credibility: str) -> None:
    reporter.groups(detectors=[{"name": "org.example.sensor", "credibility": 0.1}])
    reporter.execute("update detectors set credibility = %s", credibility)
    reporter.store(high("a"))

    result = reporter.run(START)

    assert reporter.told() == {ALICE: ["a"]}
    [failure] = result.failures
    assert "detector org.example.sensor" in failure
    assert "counts as 1" in failure


@pytest.mark.parametrize("value", [518400, 1.5, True, [], {"days": 6}, "soon", "-1day"])
@pytest.mark.parametrize("key", ["period", "threshold", "relapse"])
def test_a_duration_that_is_none_is_named_and_the_default_times_are_used(
    reporter: Reporter, key: str, value: Any
) -> None:
    reporter.groups()
    reporter.execute(
        "insert into mentat_reporter.group_settings (group_name, timing) values (%s, %s)"
        " on conflict (group_name) do update set timing = excluded.timing",
        ALICE, json.dumps({"high": {key: value}}),
    )  # fmt: skip
    reporter.store(high("a"), high("b", address="198.51.100.1"))

    result = reporter.run(START)

    [failure] = result.failures
    assert failure.startswith(f"group {ALICE}: timing of high: ")
    assert failure.endswith("; the default times are used")
    assert reporter.told() == {ALICE: ["a"], BOB: ["b"]}
    ttl = reporter.rows("select group_name, ttltime from mentat_reporter.threshold order by 1")
    assert ttl == [(ALICE, START + DAY), (BOB, START + DAY)]
    assert {window["clock"] for window in reporter.windows()} == {""}


def test_a_group_without_a_name_takes_neither_the_common_clock_nor_the_common_rules(
    reporter: Reporter,
) -> None:
    rule = {"name": "mine", "filter": "Format == 'IDEA0'"}
    reporter.groups(
        group(ALICE, "192.0.2.0/24", timing={"high": {"period": "2hrs"}}, filters=[rule]), *GROUPS[1:]
    )
    reporter.execute("update groups set name = '' where name = %s", ALICE)
    reporter.execute("update mentat_reporter.group_settings set group_name = '' where group_name = %s", ALICE)
    reporter.run(START - TEN)
    reporter.store(high("a"), high("b", address="198.51.100.1"))

    result = reporter.run(START)

    assert reporter.told() == {BOB: ["b"]}
    assert result.total("unowned") == 1
    high_windows = [window for window in reporter.windows() if window["severity"] == "high"]
    assert [(window["clock"], window["hi"] - window["lo"]) for window in high_windows] == [("", TEN)] * 2
    assert go_on(reporter) == [0] * 4


# Findings 13, 14, 15 and 25: mail


def take(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], Attempt]) -> list[str]:
    """Let a transport answer by the first recipient; return the list of those that it saw."""
    seen: list[str] = []

    class Transport:
        def send(
            self, _sender: str, recipients: tuple[str, ...], _content: bytes, data_begins: Callable[[], None]
        ) -> Attempt:
            seen.append(recipients[0])
            data_begins()
            return answer(recipients[0])

        def close(self) -> None:
            pass

    monkeypatch.setattr(transports, "make_transport", lambda _settings, **_options: Transport())
    return seen


def down(_recipient: str) -> Attempt:
    return Attempt(Ending.UNREACHABLE, Reply(None, "down"))


def refuse(_recipient: str) -> Attempt:
    return Attempt(Ending.ANSWERED, Reply(550, "no such user"))


@pytest.mark.parametrize("options", [{}, {"mail_to": "me@reporter.example"}, {"dry_run": True}])
def test_deliver_has_no_test_mode(reporter: Reporter, options: dict[str, Any]) -> None:
    reporter.groups()
    reporter.store(high("a"))
    with pytest.MonkeyPatch.context() as patch:
        take(patch, down)
        reporter.run(START)
    before = reporter.tables()

    with pytest.raises(UsageError, match="--mail-test-mode"):
        run.deliver(reporter.settings(mail_test_mode=True, **options), LOG, lambda _: None)

    assert reporter.mails() == []
    assert changed(before, reporter.tables()) == set()


@pytest.mark.parametrize("regular", [True, False])
def test_a_mail_of_test_mode_that_is_refused_does_not_turn_to_the_fallback(
    reporter: Reporter, regular: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter.config["__core__reporter"]["fallback"] = [FALLBACK]
    reporter.groups()
    reporter.store(high("a"))
    seen = take(monkeypatch, refuse)

    reporter.run(START, regular=regular, mail_test_mode=True, mail_to="me@reporter.example")

    assert set(seen) <= {"me@reporter.example", ADMIN}


@pytest.mark.parametrize("later", [down, refuse])
def test_a_mail_of_test_mode_that_production_drains_does_not_turn_to_the_fallback(
    reporter: Reporter, later: Callable[[str], Attempt], monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter.config["__core__reporter"]["fallback"] = [FALLBACK]
    reporter.groups()
    reporter.store(high("a"))
    take(monkeypatch, down)
    reporter.run(START, mail_test_mode=True, mail_to="me@reporter.example")
    reporter.execute("delete from events")

    seen = take(monkeypatch, later)
    for hours in (1, 24, 24 * 7):
        reporter.run(START + hours * HOUR)

    assert seen
    assert set(seen) <= {"me@reporter.example", ADMIN}


@pytest.mark.parametrize("mail_to", [None, "me@reporter.example"])
def test_a_redirect_without_an_admin_goes_to_nobody_and_is_named(
    reporter: Reporter, mail_to: str | None
) -> None:
    reporter.config["mail_admin"] = []
    reporter.config["__core__reporter"]["fallback"] = [FALLBACK]
    reporter.groups(group(ALICE, "192.0.2.0/24", redirect=True), *GROUPS[1:])
    reporter.store(high("a"), high("b", address="198.51.100.1"))

    result = reporter.run(START, **({"mail_to": mail_to} if mail_to else {}))

    assert reporter.recipients() == [mail_to or BOB]
    [failure] = result.failures
    assert ALICE in failure
    assert reporter.told() == {ALICE: ["a"], BOB: ["b"]}


@pytest.mark.parametrize(
    "options",
    [
        {"regular": False},
        {"mail_test_mode": True},
        {"test_data": True},
        {"dry_run": True},
        {"regular": False, "mail_test_mode": True},
    ],
)
def test_a_run_that_moves_no_state_frees_no_mail_of_production(
    reporter: Reporter, options: dict[str, Any]
) -> None:
    reporter.groups()
    reporter.store(high("a"))
    reporter.run(START)
    reporter.execute("update mentat_reporter.outbox set state = 'sending', data_begun = true, recoveries = 4")
    known = reporter.rows("select * from mentat_reporter.outbox")

    reporter.run(START + TEN, **options)

    assert reporter.rows("select * from mentat_reporter.outbox where id = %s", known[0][0]) == known
    reporter.run(START + TEN)
    assert reporter.value("select state from mentat_reporter.outbox where id = %s", known[0][0]) == "held"


# Findings 26 to 28: options


@pytest.mark.parametrize("name", ["nobody.such", "abuse@alice.exmaple", "", "*"])
def test_an_unknown_group_on_the_command_line_is_refused(reporter: Reporter, name: str) -> None:
    reporter.groups()
    reporter.store(high("a"))
    before = reporter.tables()

    with pytest.raises(UsageError):
        reporter.ad_hoc(START - DAY, START, abuse_group=[ALICE, name])

    assert changed(before, reporter.tables()) == set()
    assert reporter.mails() == []


def test_a_disabled_group_on_the_command_line_is_refused(reporter: Reporter) -> None:
    reporter.groups()
    reporter.execute("update groups set enabled = false where name = %s", ALICE)

    with pytest.raises(UsageError, match=f"--abuse-group {ALICE}: there is no enabled abuse group"):
        reporter.ad_hoc(START - DAY, START, abuse_group=[ALICE])


@pytest.mark.parametrize(
    "low",
    [START + 3000 * DAY, START + MINUTE, START, "1900-01-01", "2010-01-01", "0001-01-01", "9999-12-31"],
)
def test_a_window_that_nobody_means_is_refused(reporter: Reporter, low: Any) -> None:
    reporter.groups()
    reporter.store(high("a"))
    before = reporter.tables()

    with pytest.raises(UsageError, match="--time-low"):
        reporter.run(START, regular=False, time_low=low)

    assert changed(before, reporter.tables()) == set()
    assert reporter.mails() == []


def test_a_window_that_ends_now_must_have_begun(reporter: Reporter) -> None:
    reporter.groups()

    with pytest.raises(UsageError, match="--time-low"):
        reporter.run(None, regular=False, time_low=START + 3000 * DAY)
