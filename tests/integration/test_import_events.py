"""Messages become events: honoured, completed, named, never lost for a neighbour's sake."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.idea import categories
from mentat_reporter.core.model import Network
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.errors import RuleError, StoreError
from mentat_reporter.store.connection import Connection, connect, transaction
from mentat_reporter.store.event_rows import derived_id
from mentat_reporter.store.import_events import EventsImported, _Import, _Message, import_events
from mentat_reporter.store.import_groups import import_groups
from mentat_reporter.store.message_files import Source
from mentat_reporter.store.resolver import Resolver, read_class_rules

NOW = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC)
CLASSES = [
    {"name": "scan", "severity": "high", "rule": "Recon", "priority": 1},
    {"name": "scan-better", "severity": "critical", "rule": "Recon", "priority": 2},
    {"name": "shadow", "severity": "medium", "rule": "Recon", "priority": 9, "state": "SHADOW"},
    {"name": "shadow-alone", "severity": "medium", "rule": "Login", "state": "SHADOW"},
    {"name": "off", "severity": "info", "rule": "Other", "state": "DISABLED"},
    {"name": "empty", "severity": "info", "rule": ""},
    {"name": "attacked", "severity": "medium", "rule": "Recon", "source_based": False},
    {"name": "broken", "severity": "medium", "rule": "broken"},
    {"name": "failing", "severity": "medium", "rule": "Failing"},
]


def compile_word(text: str) -> Callable[[Mapping[str, Any]], bool]:
    """Stand in for the rule languages: a rule is a category."""
    if text == "broken":
        raise RuleError("no rule")

    def matches(message: Mapping[str, Any]) -> bool:
        found = text in categories(message)
        if found and text == "Failing":
            raise RuleError("fails")
        return found

    return matches


def network(group: str, text: str, *, is_base: bool = False) -> Network:
    address = parse_address(text)
    return Network(group, address.version, address.first, address.last, 0, is_base)


OWNERSHIP = Ownership([
    network("wide", "192.0.0.0/16"), network("narrow", "192.0.2.0/24"), network("six", "2001:db8::/32"),
    network("base", "192.0.0.0/8", is_base=True),
])  # fmt: skip


@pytest.fixture
def resolver(connection: Connection) -> Resolver:
    document = json.dumps({"event_classes": CLASSES}).encode()
    import_groups(connection, [("classes.json", document)], replace=False)
    rules, warnings = read_class_rules(connection, compile_word)
    assert warnings == ["event class 'broken': its rule does not compile and matches nothing: no rule"]
    return Resolver(rules, OWNERSHIP)


def text(message: Any) -> bytes:
    return json.dumps(message).encode()


def message(name: str = "m1", **more: Any) -> dict[str, Any]:
    return {"Format": "IDEA0", "ID": name, "DetectTime": "2026-11-22T10:00:00+01:00", "Category": ["Recon"],
            "Source": [{"IP4": ["192.0.2.1"]}], "Node": [{"Name": "org.example.probe"}], **more}  # fmt: skip


def store(connection: Connection, resolver: Resolver, *lines: bytes) -> EventsImported:
    content = b"\n".join(lines)
    source = Source("f.ndjson", lambda: nullcontext(io.BytesIO(content)))
    return import_events(connection, [source], resolver, NOW)


def ask(connection: Connection, statement: str) -> list[Any]:
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchall() if cursor.description else []
    return [row[0] if len(row) == 1 else row for row in found]


def columns(connection: Connection, resolver: Resolver, event: dict[str, Any], names: str) -> Any:
    done = store(connection, resolver, text(event))
    assert (done.stored, done.faults) == (1, [])
    return ask(connection, f"select {names} from events")[0]


def test_a_message_fills_mentats_columns(connection: Connection, resolver: Resolver) -> None:
    event = message(
        Description="A scan",
        TLP="GREEN",
        Category=["Recon", "Recon"],
        Source=[
            {"IP4": ["192.0.2.0/25", "192.0.2.010"], "Port": [22, "80", 70000, -1, "ssh"], "Proto": "tcp"},
            {"IP6": ["2001:DB8::1"], "Hostname": ["a.example"], "Type": "Botnet"},
        ],
        Target=[{"IP4": ["198.51.100.1-198.51.100.9"], "Port": [443], "Proto": ["tcp", "https"]}],
        Node=[{"Name": "x", "Type": ["Sensor"], "SW": ["Probe"]}],
    )

    found = columns(
        connection, resolver, event,
        "tlp, category, description, source_ip, target_ip, source_port, target_port, source_type,"
        " source_hostname, protocol, node_name, node_type, node_sw, detecttime::text, storagetime::text",
    )  # fmt: skip

    assert found == (
        "GREEN", ["Recon"], "A scan", ["192.0.2.0/25", "2001:db8::1"], ["198.51.100.1-198.51.100.9"],
        [22, 80], [443], ["Botnet"], ["a.example"], ["tcp", "https"], ["x"], ["Sensor"], ["Probe"],
        "2026-11-22 09:00:00", "2026-11-22 12:00:00.000005",
    )  # fmt: skip


SIDES = (
    "eventclass, eventseverity, resolvedabuses, shadow_reporting, targetclass, targetseverity, targetabuses"
)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (message(), ("scan-better", "critical", ["base", "narrow", "wide"], False, "attacked", "medium", [])),
        (message(Category=["Login"]),
         ("shadow-alone", "medium", ["base", "narrow", "wide"], True, None, None, [])),
        (message(Category=["Other"]), (None, "low", ["base", "narrow", "wide"], False, None, None, [])),
        (message(Category=["Failing"]), (None, "low", ["base", "narrow", "wide"], False, None, None, [])),
        (message(_Mentat={"EventClass": "scan"}),
         ("scan", "high", ["base", "narrow", "wide"], False, "attacked", "medium", [])),
        (message(_Mentat={"EventClass": "unheard-of", "ResolvedAbuses": ["z", "a"],
                          "TargetSeverity": "info"}),
         ("unheard-of", "low", ["a", "z"], False, "attacked", "info", [])),
        (message(_CESNET={"EventSeverity": "info", "ShadowReporting": True, "TargetClass": "t",
                          "TargetAbuses": ["b"]}),
         ("scan-better", "info", ["base", "narrow", "wide"], True, "t", "low", ["b"])),
        (message(Source=[{"IP6": ["2001:db8::/31"]}], Target=[{"IP4": ["192.0.99.1"]}]),
         ("scan-better", "critical", ["six"], False, "attacked", "medium", ["base", "wide"])),
    ],
)  # fmt: skip
def test_what_a_message_leaves_open_is_filled_in(
    connection: Connection, resolver: Resolver, event: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert columns(connection, resolver, event, SIDES) == expected


def test_a_rule_that_fails_on_a_message_is_noted_once(connection: Connection, resolver: Resolver) -> None:
    done = store(connection, resolver, *(text(message(f"m{n}", Category=["Failing"])) for n in range(3)))

    assert done.notes == ["event class 'failing': its rule fails on some messages: fails"]
    assert done.exit_code == 0


def test_stored_bytes_are_the_messages_own(connection: Connection, resolver: Resolver) -> None:
    odd = b'  {"ID":"x",  "DetectTime" : "2026-11-22T10:00:00Z", "Note": "caf\xe9 \\u0000"}\t'

    store(connection, resolver, odd + b"\r")

    assert [bytes(found) for found in ask(connection, "select event from events_json")] == [odd]


def test_the_same_again_is_skipped_and_other_bytes_are_renamed(
    connection: Connection, resolver: Resolver
) -> None:
    one, other = text(message()), text(message(Note="other"))

    first = store(connection, resolver, one, one, other, other)
    second = store(connection, resolver, one, other)

    assert (first.read, first.stored, first.skipped, first.renamed) == (4, 2, 2, 1)
    assert first.notes == [f"f.ndjson, line 3: its ID m1 is another message's, stored as {derived_id(other)}"]
    assert (second.stored, second.skipped, second.notes) == (0, 2, [])
    assert sorted(ask(connection, "select id from events_json")) == sorted(["m1", derived_id(other)])


@pytest.mark.parametrize("name", [None, 7, "", " ", ["a"], "a\0b", "a\nb", "\ud800", "x" * 201])
def test_without_a_usable_id_it_is_stored_under_one_made_of_its_bytes(
    connection: Connection, resolver: Resolver, name: Any
) -> None:
    line = text(message(name))

    done = store(connection, resolver, line)
    again = store(connection, resolver, line)

    assert done.notes == [f"f.ndjson, line 1: has no usable ID, stored as {derived_id(line)}"]
    assert (done.renamed, again.skipped) == (1, 1)


@pytest.mark.parametrize(
    ("times", "stored", "note"),
    [
        ({"DetectTime": "x", "EventTime": "2026-01-01T00:00:00Z"}, "2026-01-01 00:00:00",
         "has no usable DetectTime, EventTime stands for it"),
        ({"DetectTime": [1]}, "2026-11-22 12:00:00.000005",
         "has no usable DetectTime, the storage time stands for it"),
        ({"DetectTime": None, "_Mentat": {"StorageTime": "2026-02-01T00:00:00Z"}}, "2026-02-01 00:00:00",
         "has no usable DetectTime, the storage time stands for it"),
        ({"_Mentat": {"StorageTime": 5}}, "2026-11-22 09:00:00",
         "its StorageTime is no time, now stands for it"),
    ],
)  # fmt: skip
def test_a_missing_time_is_filled_in_and_named(
    connection: Connection, resolver: Resolver, times: dict[str, Any], stored: str, note: str
) -> None:
    done = store(connection, resolver, text(message(**times)))

    assert ask(connection, "select detecttime::text from events") == [stored]
    assert done.notes == [f"f.ndjson, line 1: {note}"]
    assert done.undated == ("DetectTime" in note)


def test_bad_messages_are_named_and_the_rest_goes_on(connection: Connection, resolver: Resolver) -> None:
    bad = [b'{"ID": "torn', b"[]", b'"text"', b"null", b"12", b"[" * 100_000 + b"]" * 100_000,
           b'{"a": ' + b"9" * 5000 + b"}", b"\x00\xff"]  # fmt: skip
    good = [text(message(f"m{number}")) for number in range(1000)]

    done = store(connection, resolver, good[0], *bad, *good[1:])

    assert (done.read, done.stored, done.bad, done.exit_code) == (1008, 1000, 8, 3)
    assert [fault.split(": ")[0] for fault in done.faults] == [f"f.ndjson, line {n}" for n in range(2, 10)]
    assert done.faults[1] == "f.ndjson, line 3: is no JSON object but a list"


def test_a_row_that_the_database_refuses_costs_no_other(connection: Connection, resolver: Resolver) -> None:
    ask(connection, "alter table events add constraint picky check (description <> 'no')")

    done = store(
        connection, resolver, *(text(message(f"m{n}", Description="no" * (n == 3))) for n in range(9))
    )

    assert (done.stored, done.bad) == (8, 1)
    assert done.faults[0].startswith("f.ndjson, line 4: cannot be stored: ")


def test_a_missing_table_ends_the_import(connection: Connection, resolver: Resolver) -> None:
    ask(connection, "drop table events cascade")

    with pytest.raises(StoreError, match="the events cannot be stored"):
        store(connection, resolver, text(message()))


def test_messages_after_a_torn_element_of_an_array_are_found(
    connection: Connection, resolver: Resolver
) -> None:
    array = b"[\n" + text(message("m1")) + b',\n{"ID": "torn,\n' + text(message("m2")) + b",\n"

    done = store(connection, resolver, array + text(message("m3")) + b"\n]")

    assert sorted(ask(connection, "select id from events_json")) == ["m1", "m2", "m3"]
    assert (done.read, done.stored, done.bad) == (5, 3, 2)
    assert done.faults[1] == "f.ndjson, line 6: the array is not closed: the file is torn or damaged"


def test_what_another_writer_stored_in_the_meantime_is_seen(
    connection: Connection, resolver: Resolver, database: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quicker = [text(message()), text(message("m2", Note="other"))]
    with closing(connect(database, what="events", limits={})) as other:
        choose = _Import._choose

        def overtaken(self: _Import, pending: Sequence[_Message]) -> list[_Message]:
            chosen = choose(self, pending)
            if quicker and self._events is connection:
                lines = [quicker.pop(), quicker.pop()]
                store(other, resolver, *lines)
            return chosen

        monkeypatch.setattr(_Import, "_choose", overtaken)
        done = store(connection, resolver, text(message()), text(message("m2")), text(message("m3")))

    assert (done.stored, done.skipped, done.renamed) == (2, 1, 1)
    assert ask(connection, "select count(*) from events_json") == [4]


def test_storage_times_go_with_a_long_import(
    connection: Connection, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count(step=100)
    monkeypatch.setattr("mentat_reporter.store.import_events.time.monotonic", lambda: next(ticks))

    store(connection, resolver, text(message()))

    assert ask(connection, "select storagetime::text from events") == ["2026-11-22 12:01:00.000005"]


def test_unowned_messages_are_stored_and_counted(connection: Connection, resolver: Resolver) -> None:
    done = store(connection, resolver, text(message(Source=[{"IP4": ["203.0.113.1"]}])), text(message("m2")))

    assert (done.stored, done.unowned) == (2, 1)


def test_columns_that_only_mentat_has_are_filled(connection: Connection, resolver: Resolver) -> None:
    ask(connection, "alter table events add source_ip_aggr_ip4 text, add source_ip_aggr_ip6 text")
    event = message(Source=[{"IP4": ["192.0.2.9", "192.0.2.0/30"], "IP6": ["2001:db8::1"]}])

    found = columns(connection, resolver, event, "source_ip_aggr_ip4, source_ip_aggr_ip6")

    assert found == ("192.0.2.0-192.0.2.9", "2001:db8::1-2001:db8::1")


def test_a_hundred_thousand_addresses_and_a_long_note_are_stored(
    connection: Connection, resolver: Resolver
) -> None:
    many = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(0, 200_000, 2)]

    done = store(connection, resolver, text(message(Source=[{"IP4": many}], Note="x" * 10_000_000)))

    assert (done.stored, done.faults) == (1, [])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([
    "ID", "DetectTime", "EventTime", "Category", "Description", "TLP", "Source", "Target", "Node", "_Mentat",
])  # fmt: skip
INNER = st.sampled_from([
    "IP4", "IP6", "Port", "Proto", "Type", "Hostname", "Name", "SW", "StorageTime", "EventClass",
    "EventSeverity", "ResolvedAbuses", "ShadowReporting", "TargetClass", "InspectionErrors",
])  # fmt: skip
SECTION = st.dictionaries(INNER, VALUES, max_size=4)
ANYTHING = st.dictionaries(KEYS, VALUES | SECTION | st.lists(SECTION, max_size=2), max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ANYTHING, max_size=5))
def test_whatever_a_message_holds_it_is_stored(
    connection: Connection, resolver: Resolver, events: list[dict[str, Any]]
) -> None:
    done = store(connection, resolver, *map(text, events))

    assert done.faults == []
    assert done.read == len(events) == done.stored + done.skipped
