"""Groups, rules, detectors and classes are imported whole or not at all."""

import json
from typing import Any

import pytest

from mentat_reporter.errors import InputError, RuleError
from mentat_reporter.store.connection import Connection, transaction
from mentat_reporter.store.import_groups import GroupsImported, Tally, import_groups

FULL: dict[str, Any] = {
    "groups": [
        {
            "name": "abuse@example.org",
            "description": "The backbone",
            "networks": [
                {"network": "192.0.2.0/24", "netname": "LAN", "rank": 2},
                {"network": "2001:DB8::/32", "is_base": True},
                {"network": "198.51.100.9-198.51.100.5"},
            ],
            "filters": [
                {"name": "quiet", "filter": "Category == 'Test'", "valid_from": "2026-01-01T00:00:00+01:00"},
                {"name": "hosts", "filter": "Source.IP4 == 192.0.2.1"},
            ],
            "settings": {
                "emails": {"low": ["abuse@example.org", "a@bücher.example", "abuse@example.org"]},
                "mode": "both",
                "locale": "cs",
                "timezone": "Europe/Prague",
                "timing": {"low": {"period": "1day", "threshold": "none"}},
                "attachments": "json",
                "max_attachment_size": 1000,
            },
        },
        {"name": "abuse@part.example.org", "parent": "abuse@example.org"},
    ],
    "filters": [{"name": "everywhere", "filter": "Category == 'Recon'"}],
    "detectors": [{"name": "org.example.probe", "credibility": 0.4}],
    "event_classes": [
        {
            "name": "scan",
            "label": {"en": "Scan", "cs": "Sken", "de": "Scannen"},
            "advice": {"en": "Look at it"},
            "displayed": {"source": ["Port"]},
            "rule": "Category == 'Recon.Scanning'",
        }
    ],
}


def store(connection: Connection, *documents: dict[str, Any], replace: bool = False) -> GroupsImported:
    files = [(f"{number}.json", json.dumps(document).encode()) for number, document in enumerate(documents)]
    return import_groups(connection, files, replace=replace)


def ask(connection: Connection, statement: str) -> list[Any]:
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchall() if cursor.description else []
    return [row[0] if len(row) == 1 else row for row in found]


def faults(connection: Connection, document: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        import_groups(connection, [("g.json", json.dumps(document).encode())], replace=False)
    return str(caught.value).splitlines()[1:]


def test_a_full_document_is_stored_in_mentats_columns(connection: Connection) -> None:
    done = store(connection, FULL)

    assert (done.groups, done.networks, done.filters) == (Tally(2), Tally(3), Tally(3))
    assert ask(connection, "select network::text from networks order by id") == [
        "192.0.2.0/24", "2001:db8::/32", "198.51.100.5-198.51.100.9",
    ]  # fmt: skip
    assert ask(
        connection, "select parent.name from groups join groups parent on parent.id = groups.parent_id"
    ) == ["abuse@example.org"]
    assert ask(connection, "select emails_low, mode::text, timezone from settings_reporting") == [
        (["abuse@example.org", "a@xn--bcher-kva.example"], "both", "Europe/Prague")
    ]
    assert ask(connection, "select timing, attachments from mentat_reporter.group_settings") == [
        ({"low": {"period": "1day", "threshold": "none"}}, "json")
    ]
    assert ask(
        connection, "select label_en, label_cz, severity::text, displayed_source from event_classes"
    ) == [("Scan", "Sken", "low", ["Port"])]
    assert ask(connection, "select label, advice from mentat_reporter.event_class_text") == [
        ({"de": "Scannen"}, {"en": "Look at it"})
    ]
    assert ask(connection, "select distinct source from networks") == ["manual"]
    assert ask(connection, "select valid_from::text from filters where name = 'quiet'") == [
        "2025-12-31 23:00:00"
    ]


def test_a_second_time_changes_nothing(connection: Connection) -> None:
    store(connection, FULL)

    done = store(connection, FULL, replace=True)

    assert done.lines() == [
        "groups: 2 unchanged", "networks: 3 unchanged", "filters: 3 unchanged", "settings: 1 unchanged",
        "detectors: 1 unchanged", "event classes: 1 unchanged",
    ]  # fmt: skip


def test_a_key_that_is_left_out_leaves_things_alone(connection: Connection) -> None:
    store(connection, FULL)

    done = store(
        connection, {"groups": [{"name": "abuse@example.org", "enabled": False, "settings": {"mute": True}}]}
    )

    assert done.groups == Tally(changed=1)
    assert ask(connection, "select description, enabled from groups where parent_id is null") == [
        ("The backbone", False)
    ]
    assert ask(connection, "select mute, attachments from mentat_reporter.group_settings") == [(True, "json")]
    assert ask(connection, "select count(*) from networks") == [3]


def test_an_import_adds_and_changes_and_deletes_nothing(connection: Connection) -> None:
    store(connection, FULL)
    more = [{"network": "203.0.113.0/24"}]
    own = [{"name": "quiet", "filter": "Category == 'Other'"}]

    done = store(connection, {"groups": [{"name": "abuse@example.org", "networks": more, "filters": own}]})

    assert done.networks == Tally(created=1)
    assert done.filters == Tally(changed=1)
    assert ask(connection, "select count(*) from networks") == [4]
    assert ask(connection, "select count(*) from filters") == [3]


def test_with_replace_given_lists_are_all_that_a_group_has_and_hits_survive(connection: Connection) -> None:
    store(connection, FULL)
    ask(connection, "update filters set hits = 7")
    own = [{"name": "quiet", "filter": "Category == 'Other'"}]
    child = {"name": "abuse@part.example.org"}

    done = store(
        connection,
        {"groups": [{"name": "abuse@example.org", "networks": [], "filters": own}, child]},
        replace=True,
    )

    assert done.networks == Tally(deleted=3)
    assert done.filters == Tally(changed=1, deleted=1)
    assert ask(connection, "select name, filter, hits from filters order by id") == [
        ("quiet", "Category == 'Other'", 7), ("everywhere", "Category == 'Recon'", 7),
    ]  # fmt: skip


def test_replace_deletes_what_the_given_sections_do_not_name(connection: Connection) -> None:
    store(connection, FULL)

    done = store(connection, {"groups": [{"name": "new"}], "filters": []}, replace=True)

    assert (done.groups, done.filters) == (Tally(created=1, deleted=2), Tally(deleted=1))
    for table in ("networks", "filters", "settings_reporting", "mentat_reporter.group_settings"):
        assert ask(connection, f"select count(*) from {table}") == [0]
    assert ask(connection, "select count(*) from event_classes") == [1]


def test_later_documents_win_key_by_key(connection: Connection) -> None:
    store(connection, FULL, {"groups": [{"name": "abuse@example.org", "settings": {"mode": "none"}}]})

    assert ask(connection, "select mode::text, locale from settings_reporting") == [("none", "cs")]


def test_every_fault_is_named_and_nothing_is_stored(connection: Connection) -> None:
    document = {
        "groups": [
            {
                "name": "a",
                "networks": [{"network": "10.0.0.0/33"}, {"network": "10.0.0.1"}, {"network": "10.0.0.1/32"}],
            },
            {"name": "a", "colour": 1},
            {"nam": "b"},
            {
                "name": "c",
                "settings": {"mode": "bth", "timezone": "Europe/Parg", "locale": "../x", "mute": 1},
            },
            {"name": "d", "settings": {"emails": {"low": ["-oQ/tmp@x", "a@x, v@y", "a\r\n@x", "ok@x"]}}},
            {"name": "e", "settings": {"timing": {"low": {"period": "none", "threshold": "0days"}}}},
            {"name": "f", "filters": [{"name": "x", "filter": ""}]},
            {"name": "g", "parent": "nobody"},
        ],
        "event_classes": [{"name": "k\u0000", "severity": "urgent", "priority": True}],
    }

    found = faults(connection, document)

    assert found[:4] == [
        "g.json: groups[0].networks[0].network: '10.0.0.0/33' has no prefix length from 0 to 32",
        "g.json: groups[0].networks[2]: has the addresses of groups[0].networks[1] again",
        (
            "g.json: groups[1].colour: is no known key; known are name, description, enabled, parent, "
            "networks, filters, settings"
        ),
        "g.json: groups[2].name: is missing",
    ]
    assert found[4] == "g.json: groups[2].nam: is no known key; did you mean name?"
    assert "g.json: groups[3].settings.mode: 'bth' is not known; did you mean both?" in found
    paths = [fault.split(": ")[1] for fault in found]
    assert [path for path in paths if "emails" in path] == [
        f"groups[4].settings.emails.low[{index}]" for index in (0, 1, 2)
    ]
    assert {"groups[5].settings.timing.low.period", "groups[5].settings.timing.low.threshold"} <= set(paths)
    assert {"groups[6].filters[0].filter", "event_classes[0].name", "event_classes[0].severity"} <= set(paths)
    assert ask(connection, "select count(*) from groups") == [0]


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ([], "g.json: the document: must be an object, not []"),
        ({"groups": {}}, "g.json: groups: must be a list, not {}"),
        ({"groups": [{"name": "a"}, {"name": "a"}]}, "g.json: groups[1]: has the name of groups[0] again"),
        ({"groups": [{"name": "a", "parent": "b"}]}, "g.json: groups[0].parent: there is no group 'b'"),
        ({"groups": [{"name": "a", "parent": "a"}]}, "g.json: groups[0].parent: goes in a circle: a → a"),
        ({"detectors": [{"name": "a", "credibility": 2}]},
         "g.json: detectors[0].credibility: must be a number from 0 to 1, not 2"),
    ],
)  # fmt: skip
def test_a_fault_is_named(connection: Connection, document: Any, fault: str) -> None:
    assert faults(connection, document) == [fault]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"groups": [}', "g.json: line 1, column 13: is no JSON: Expecting value"),
        (b'{"groups": [],\n"groups": []}', "g.json: groups: stands there more than once"),
        (b'{"groups": "\xff"}', "g.json: line 1: is no UTF-8"),
        (b"[" * 100_000, "g.json: is nested too deeply"),
        (b'{"groups": NaN}', "g.json: is no JSON: 'NaN is no number'"),
    ],
)
def test_a_damaged_file_is_refused(connection: Connection, content: bytes, fault: str) -> None:
    with pytest.raises(InputError) as caught:
        import_groups(connection, [("g.json", content)], replace=False)

    assert str(caught.value).splitlines() == ["nothing was imported, there is a fault:", fault]


def test_parents_in_the_database_count_and_circles_through_it_do_not_pass(connection: Connection) -> None:
    store(connection, FULL)
    store(connection, {"groups": [{"name": "third", "parent": "abuse@part.example.org"}]})

    [fault] = faults(connection, {"groups": [{"name": "abuse@example.org", "parent": "third"}]})

    circle = "abuse@example.org → third → abuse@part.example.org → abuse@example.org"
    assert fault == f"g.json: groups[0].parent: goes in a circle: {circle}"


def test_a_rule_that_does_not_compile_is_a_warning(connection: Connection) -> None:
    def refuse(text: str) -> None:
        if "Recon'" in text:
            raise RuleError("no such thing")

    done = import_groups(
        connection, [("g.json", json.dumps(FULL).encode())], replace=False, compile_rule=refuse
    )

    assert done.warnings == [
        "g.json: filters[0].filter: 'everywhere': does not compile, it will not be applied: no such thing"
    ]
    assert ask(connection, "select count(*) from filters") == [3]


def test_networks_of_type_cidr_take_ranges_as_blocks(connection: Connection) -> None:
    ask(connection, "alter table networks alter column network type cidr using network::cidr")

    store(connection, FULL)
    done = store(connection, FULL)

    assert done.networks == Tally(unchanged=5)
    assert ask(connection, "select network::text from networks where family(network) = 4 order by 1") == [
        "192.0.2.0/24", "198.51.100.5/32", "198.51.100.6/31", "198.51.100.8/31",
    ]  # fmt: skip


def test_a_filter_that_is_never_valid_is_imported_with_a_warning(connection: Connection) -> None:
    rule = {"name": "a", "filter": "b", "valid_from": "2026-01-02", "valid_to": "2026-01-01"}
    document = json.dumps({"filters": [rule]}).encode()

    done = import_groups(connection, [("g.json", document)], replace=False)

    assert done.warnings == ["g.json: filters[0]: is never applied, valid_to does not lie after valid_from"]
