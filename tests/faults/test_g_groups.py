"""G1 and G2 of docs/reliability.md: whatever a group's rows say, it is served somehow, the others as ever."""

import logging
from typing import Final

import pytest
from faults.helpers_poison import (
    AT,
    GOOD,
    TEN,
    good_are_told,
    named,
    of_alice,
    of_good,
    quarantine,
    to_groups,
)
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    GROUPS,
    START,
    Reporter,
    event,
    group,
    reporter,
    text_of,
)

__all__ = ["reporter"]

FALLBACK: Final = "last@reporter.example"
RENAMED: Final = "soc@bob.example"


@pytest.fixture
def house(reporter: Reporter) -> Reporter:
    """Give a reporter with the usual groups, an event of Alice and a thousand of the others."""
    reporter.groups()
    reporter.config["__core__reporter"]["fallback"] = [FALLBACK]
    reporter.store(event("one", AT), *GOOD)
    return reporter


def alice(reporter: Reporter, statement: str) -> None:
    reporter.execute(statement + " where group_id = (select id from groups where name = %s)", ALICE)


# G1, what is missing


def test_g1_a_group_without_settings_is_told_at_the_fallback(house: Reporter) -> None:
    alice(house, "delete from settings_reporting")
    house.execute("delete from mentat_reporter.group_settings")

    result = house.run(START)

    assert result.failures == []
    assert of_alice(house) == ["one"]
    assert good_are_told(house)
    assert to_groups(house) == [BOB, CAROL, FALLBACK]


def test_g1_a_group_without_addresses_is_told_at_the_fallback(house: Reporter) -> None:
    alice(house, "update settings_reporting set emails_info = '{}'")

    result = house.run(START)

    assert result.failures == []
    assert good_are_told(house)
    assert to_groups(house) == [BOB, CAROL, FALLBACK]


def test_g1_a_group_without_addresses_or_fallback_is_stored_and_named(
    house: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    alice(house, "update settings_reporting set emails_info = '{}'")
    house.config["__core__reporter"]["fallback"] = []

    with caplog.at_level(logging.WARNING):
        result = house.run(START)

    assert named(result, f"reports for {ALICE} have no recipient")
    assert any(f"reports for {ALICE} have no recipient" in line for line in caplog.messages)
    assert of_alice(house) == ["one"]
    assert good_are_told(house)
    assert to_groups(house) == [BOB, CAROL]


def test_g1_what_a_group_without_networks_would_own_is_counted_as_nobodys(house: Reporter) -> None:
    alice(house, "delete from networks")

    result = house.run(START)

    assert (result.failures, result.total("unowned")) == ([], 1)
    assert good_are_told(house)


def test_g1_a_group_of_nothing_but_its_row_is_no_trouble(house: Reporter) -> None:
    house.execute(
        "insert into groups (name, source, description, enabled) values ('bare', 'x', '', true),"
        " ('', 'x', '', true), (null, 'x', '', true)"
    )

    assert house.run(START).failures == []
    assert of_alice(house) == ["one"]
    assert good_are_told(house)


# G1, while the run is under way

MIDWAY: Final = """
create function midway() returns trigger language plpgsql as $$
begin
    if exists (select from groups where id = new.group_id and name = 'abuse@alice.example') then
        {change};
    end if;
    return new;
end $$;
create trigger midway after insert on asoc_groups_reports for each row execute function midway();
"""
"""Changes something when Alice's report is stored: after the groups were read, before Bob is told."""


def test_g1_a_group_that_is_disabled_midway_is_told_what_it_owned_when_the_run_began(house: Reporter) -> None:
    house.execute(MIDWAY.format(change=f"update groups set enabled = false where name = '{BOB}'"))

    assert house.run(START).failures == []
    assert of_alice(house) == ["one"]
    assert good_are_told(house)
    assert to_groups(house) == [ALICE, BOB, CAROL]
    again = house.run(START + TEN)
    assert (again.failures, again.total("events")) == ([], 0)


def test_g1_a_group_that_is_renamed_midway_is_told_once_under_its_new_name(house: Reporter) -> None:
    house.execute(MIDWAY.format(change=f"update groups set name = '{RENAMED}' where name = '{BOB}'"))

    result = house.run(START)

    assert named(result, f"group {BOB}, low source failed and will be tried again", "was renamed or deleted")
    assert to_groups(house) == [ALICE, CAROL]
    again = house.run(START + TEN)
    assert again.failures == []
    told = house.told()
    assert set(told) == {ALICE, RENAMED, CAROL}
    assert (told[RENAMED], told[CAROL]) == (of_good(BOB), of_good(CAROL))
    assert not house.rows("select * from mentat_reporter.unit_retry")


def test_g1_what_a_group_that_is_deleted_midway_is_owed_is_counted_as_nobodys(house: Reporter) -> None:
    bob = f"(select id from groups where name = '{BOB}')"
    house.execute(
        MIDWAY.format(
            change=f"delete from networks where group_id = {bob};"
            f" delete from settings_reporting where group_id = {bob}; delete from groups where name = '{BOB}'"
        )
    )

    result = house.run(START)

    assert named(result, f"group {BOB}, low source failed and will be tried again", "was renamed or deleted")
    again = house.run(START + TEN)
    assert (again.failures, again.total("unowned")) == ([], 500)
    assert set(house.told()) == {ALICE, CAROL}
    assert not house.rows("select * from mentat_reporter.unit_retry")


def test_g1_every_stored_report_belongs_to_its_groups(house: Reporter) -> None:
    house.execute(MIDWAY.format(change=f"update groups set name = '{RENAMED}' where name = '{BOB}'"))

    house.run(START)
    house.run(START + TEN)

    assert all(report["chain"] for report in house.reports())


# G1, networks


def test_g1_the_same_network_twice_is_owned_once(house: Reporter) -> None:
    house.execute(
        "insert into networks (group_id, netname, source, network) select group_id, 'again', 'x', network"
        " from networks"
    )

    assert house.run(START).failures == []
    assert of_alice(house) == ["one"]
    assert good_are_told(house)


def test_g1_a_network_of_two_groups_is_told_to_both_in_one_report(house: Reporter) -> None:
    house.execute(
        "insert into networks (group_id, netname, source, network) select id, '', 'x', '192.0.2.0/24'"
        " from groups where name = %s",
        CAROL,
    )

    assert house.run(START).failures == []
    assert house.told()[f"{ALICE} {CAROL}"] == ["one"]
    assert good_are_told(house)


@pytest.mark.parametrize(
    "written", ["anywhere", "192.0.2.0/99", "192.0.2.0/255.255.255.0", "", "-", "::1%eth0"]
)
def test_g1_a_network_that_is_none_is_left_out_and_named(
    house: Reporter, caplog: pytest.LogCaptureFixture, written: str
) -> None:
    house.execute("alter table networks alter column network type text using network::text")
    alice(house, "update networks set network = '" + written.replace("%", "%%") + "'")

    with caplog.at_level(logging.WARNING):
        result = house.run(START)

    assert named(result, f"group {ALICE}", "is left out")
    assert any(ALICE in line and "is left out" in line for line in caplog.messages)
    assert result.total("unowned") == 1
    assert good_are_told(house)


# G2

SETTING: Final = {
    "locale": ("settings_reporting set locale = 'tlh'", "locale 'tlh' is not known; the default is used"),
    "locale path": ("settings_reporting set locale = '../../etc'", "locale '../../etc' is not known"),
    "zone": ("settings_reporting set timezone = 'Mars/Moon'", "timezone 'Mars/Moon' is not known"),
    "zone path": ("settings_reporting set timezone = '../../../etc/localtime'", "is not known; the default"),
    "mode": ("settings_reporting set mode = 'weekly'", "mode 'weekly' is not known; the default is used"),
    "template": ("mentat_reporter.group_settings set template = 'gone'", "template 'gone' is not known"),
    "template path": (
        "mentat_reporter.group_settings set template = '../default'",
        "template '../default' is not known",
    ),
    "template root": (
        "mentat_reporter.group_settings set template = '/etc'",
        "template '/etc' is not known",
    ),
}


@pytest.mark.parametrize("name", SETTING)
def test_g2_a_setting_that_nobody_knows_is_named_and_the_default_used(
    house: Reporter, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    house.execute("alter type reporting_modes add value 'weekly'")
    statement, words = SETTING[name]
    key = (
        "group_name = %s"
        if "mentat_reporter." in statement
        else "group_id in (select id from groups where name = %s)"
    )
    house.execute(f"update {statement} where {key}", ALICE)

    with caplog.at_level(logging.WARNING):
        result = house.run(START)

    assert named(result, f"group {ALICE}: ", words)
    assert any(f"group {ALICE}" in line and words in line for line in caplog.messages)
    assert words in quarantine(house)["group", ALICE]
    assert of_alice(house) == ["one"]
    assert good_are_told(house)
    [text] = [text_of(mail) for mail in house.mails() if mail["To"] == ALICE]
    assert "Dear administrators" in text
    assert to_groups(house) == [ALICE, BOB, CAROL]


def test_g2_everything_wrong_at_once_is_told_by_the_defaults(house: Reporter) -> None:
    house.groups(group(ALICE, "192.0.2.0/24"), *GROUPS[1:])
    for statement, _ in SETTING.values():
        if "weekly" not in statement:
            house.execute(f"update {statement}")

    result = house.run(START)

    assert all(any(name in line for line in result.failures) for name in (ALICE, BOB, CAROL))
    assert of_alice(house) == ["one"]
    assert good_are_told(house)
    assert to_groups(house) == [ALICE, BOB, CAROL]
