"""docs/reliability.md and docs/semantics.md: what is read from a message, whatever it holds."""

import copy
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from factories_core import stored, texts
from hypothesis import given
from hypothesis import strategies as st
from strategies import START, json_values, messages, messy_messages, sections

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.idea import (
    MAX_ADDRESSES,
    MAX_CLASS,
    addresses,
    capped,
    clean,
    detectors,
    mentat_fields,
    needs_cleaning,
    own_sections,
    read_event,
    strings,
    view,
)
from mentat_reporter.core.model import Address, Direction, Event
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.core.times import EARLIEST, LATEST, parse_time
from mentat_reporter.errors import MessageError

SECOND = timedelta(seconds=1)
CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")
characters = st.text(
    st.characters(codec=None, categories=["L", "N", "P", "Z", "C"]) | st.sampled_from("\0\n\x85\u2028\ud800")
)
one_line_or_many = st.recursive(
    characters | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Note", "Content", "Description", "No\0te"]) | characters, inner, max_size=3
        )
    ),
    max_leaves=8,
)


def read(message: dict[str, Any], **columns: Any) -> Event:
    return read_event(stored(**columns), message, "low")


# Cleaning


@pytest.mark.parametrize(
    ("written", "one_line", "many_lines"),
    [
        ("plain", "plain", "plain"),
        ("Žluťoučký 🐎 \u00a0", "Žluťoučký 🐎 \u00a0", "Žluťoučký 🐎 \u00a0"),
        ("a\0b", "ab", "ab"),
        ("a\ud800b\udfff", "a\ufffdb\ufffd", "a\ufffdb\ufffd"),
        ("a\r\nb\tc", "a  b c", "a\r\nb\tc"),
        ("a\x7f\x85\x9fb", "a   b", "a\x7f\x85\x9fb"),
        ("a\u2028b\u2029c", "a b c", "a\u2028b\u2029c"),
    ],
)
def test_a_text_is_cleaned_as_its_field_asks(written: str, one_line: str, many_lines: str) -> None:
    message = {"Description": written, "Note": written, "Attach": [{"Content": [written]}]}

    assert clean(message) == {
        "Description": one_line,
        "Note": many_lines,
        "Attach": [{"Content": [many_lines]}],
    }


def test_the_names_of_fields_are_cleaned_too() -> None:
    assert clean({"a\0b\nc": 1, "Note": {"a\nb": "a\nb"}}) == {"ab c": 1, "Note": {"a b": "a b"}}


def test_what_is_no_text_stays() -> None:
    message: dict[str, Any] = {"a": [None, True, 1, 1.5, {}], "b": []}

    assert clean(message) == message


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_message_is_nested_64_deep_at_most() -> None:
    assert clean(nested(64)) == nested(64)
    with pytest.raises(MessageError, match="deeper than 64"):
        clean(nested(65))


def _one_line_texts(value: Any, key: str = "") -> list[str]:
    if isinstance(value, dict):
        inner = [text for name, item in value.items() for text in _one_line_texts(item, name)]
        return [*value, *inner]
    if isinstance(value, list):
        return [text for item in value for text in _one_line_texts(item, key)]
    return [value] if isinstance(value, str) and key not in ("Note", "Content") else []


@given(one_line_or_many)
def test_cleaning_what_is_clean_changes_nothing(value: Any) -> None:
    assert clean(clean(value)) == clean(value)


@given(one_line_or_many)
def test_a_clean_message_can_be_stored_and_its_one_line_fields_are_one_line(value: Any) -> None:
    cleaned = clean(value)

    written = json.dumps(cleaned, ensure_ascii=False).encode()
    assert b"\\u0000" not in written
    assert not any(CONTROL.search(text) for text in _one_line_texts(cleaned))


@given(one_line_or_many, st.booleans())
def test_a_text_of_json_that_needs_no_cleaning_is_clean(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)

    assert needs_cleaning(text) or clean(value) == value


@pytest.mark.parametrize(
    "escaped", [r"\n", r"\t", r"\u0000", r"\u001f", r"\u0085", r"\u2028", r"\ud800", r"\uDFFF"]
)
def test_every_escape_of_a_character_that_is_not_wanted_is_seen(escaped: str) -> None:
    assert needs_cleaning(f'{{"Description": "a{escaped}b"}}')


def test_ordinary_text_needs_no_cleaning() -> None:
    assert not needs_cleaning(r'{"Description": "\"C:/temp\" \u00e1 é", "ConnCount": 1}' + "\n")


# Times


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc] # the zone comes by name


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-03-01T12:30:45Z", at(2026, 3, 1, 12, 30, 45)),
        ("2026-03-01t12:30:45z", at(2026, 3, 1, 12, 30, 45)),
        ("2026-03-01T12:30:45", at(2026, 3, 1, 12, 30, 45)),
        ("2026-03-01T12:30:45.25Z", at(2026, 3, 1, 12, 30, 45, 250000)),
        ("2026-03-01T12:30:45.123456789Z", at(2026, 3, 1, 12, 30, 45, 123456)),
        ("2026-03-01T12:30", at(2026, 3, 1, 12, 30)),
        ("2026-03-01", at(2026, 3, 1)),
        ("20260301T123045Z", at(2026, 3, 1, 12, 30, 45)),
        ("2026-03-01 12:30:45", at(2026, 3, 1, 12, 30, 45)),
        ("  2026-03-01  12:30:45 UTC ", at(2026, 3, 1, 12, 30, 45)),
        ("2026-03-1 1:02:03", at(2026, 3, 1, 1, 2, 3)),
        ("2026-3-1", at(2026, 3, 1)),
        ("2026-03-01T12:30:45+01:00", at(2026, 3, 1, 11, 30, 45)),
        ("2026-03-01T12:30:45+0545", at(2026, 3, 1, 6, 45, 45)),
        ("2026-03-1 12:30:45 +01", at(2026, 3, 1, 11, 30, 45)),
        ("2026-03-01T12:00:00-03:30", at(2026, 3, 1, 15, 30)),
        ("2026-03-1T12:00:00-03:30", at(2026, 3, 1, 15, 30)),
        ("2026-03-1T12:00:00-00:30", at(2026, 3, 1, 12, 30)),
        ("2026-12-31T23:59:60Z", at(2026, 12, 31, 23, 59, 59, 999999)),
        ("2026-12-31T23:59:60.5+01:00", at(2026, 12, 31, 22, 59, 59, 999999)),
        ("2024-02-29T00:00:00Z", at(2024, 2, 29)),
    ],
)
def test_a_time_is_read_as_utc(written: str, read: datetime) -> None:
    assert parse_time(written) == read


@pytest.mark.parametrize(
    ("written", "edge"),
    [
        ("1969-12-31T23:59:59Z", EARLIEST),
        ("1970-01-01T00:00:00+14:00", EARLIEST),
        ("0001-01-01T00:00:00+05:00", EARLIEST),
        ("0000-01-01T00:00:00Z", EARLIEST),
        ("2100-01-01T00:00:01Z", LATEST),
        ("9999-12-31T23:59:59-05:00", LATEST),
        ("9999-12-31T23:59:60-05:00", LATEST),
        ("99991231T235959-0500", LATEST),
    ],
)
def test_a_time_before_1970_or_after_2100_is_put_on_that_edge(written: str, edge: datetime) -> None:
    assert parse_time(written) == edge


@pytest.mark.parametrize(
    "written",
    [
        None, True, 0, 1772366400, ["2026-03-01T12:00:00Z"], {}, "", " ", "soon", "2026", "12:00",
        "2026-02-30", "2026-13-01", "2026-03-01T25:00:00", "2026-03-1T25:00", "2026-03-01T12:00:61",
        "2026-03-1T12:00+25:00", "1772366400", "٢٠٢٦-03-01", "2026-03-01T12:00:00Z; drop", "10000-01-01",
        "-2026-03-01", "9" * 9999,
    ],
)  # fmt: skip
def test_what_is_no_time_is_none(written: Any) -> None:
    assert parse_time(written) is None


time_like = st.from_regex(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}[T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?",
    fullmatch=True,
)


@given(json_values | characters | time_like)
def test_reading_a_time_never_fails_and_stays_within_the_edges(written: Any) -> None:
    read = parse_time(written)

    assert read is None or (EARLIEST <= read <= LATEST and read.utcoffset() == timedelta(0))


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1), timezones=zones),  # noqa: DTZ001 - hypothesis adds zones
    st.sampled_from("T "),
)
def test_a_time_in_any_zone_is_that_moment(moment: datetime, separator: str) -> None:
    written = moment.isoformat(separator)
    loosely = re.sub("-0([0-9])([T ])", r"-\1\2", written)

    assert parse_time(written) == parse_time(loosely) == moment


# Lists and sections


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        ("a", ["a"]),
        (22, ["22"]),
        ([22, "ssh", 1.5], ["22", "ssh", "1.5"]),
        ([True, None, ["a"], {"a": 1}], []),
        (None, []),
        ({}, []),
    ],
)
def test_a_list_of_texts_may_be_a_bare_value(value: Any, expected: list[str]) -> None:
    assert strings(value) == expected


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ([{"IP4": ["192.0.2.1"]}, {"IP6": ["2001:db8::1"]}], ["192.0.2.1", "2001:db8::1"]),
        ({"IP4": ["192.0.2.1"]}, ["192.0.2.1"]),
        ([{"IP4": "192.0.2.1"}, "192.0.2.2", None, 3], ["192.0.2.1"]),
        ("192.0.2.1", []),
        (None, []),
        ([], []),
    ],
)
def test_sections_are_a_list_or_one_alone_and_anything_else_is_none(source: Any, found: list[str]) -> None:
    assert texts(addresses({"Source": source}, "source")[0]) == found


# Addresses


def test_an_address_is_canonical_and_stands_once_however_many_sections_name_it() -> None:
    message = {
        "Source": [
            {"IP4": ["192.0.2.1", "192.0.2.1"], "IP6": ["2001:DB8:0::1"]},
            {"IP4": ["192.0.2.1"], "IP6": ["2001:db8::1", "2001:db8::/64"]},
        ],
        "Target": [{"IP4": ["192.0.2.9"]}],
    }

    assert texts(addresses(message, "source")[0]) == ["192.0.2.1", "2001:db8::1", "2001:db8::/64"]
    assert texts(addresses(message, "target")[0]) == ["192.0.2.9"]


def test_what_is_no_address_is_named_once_and_the_others_are_taken() -> None:
    message = {
        "Source": [{"IP4": ["192.0.2.1", "nowhere", 7, None, ["192.0.2.2"], "nowhere"]}, {"IP6": "x" * 999}]
    }

    found, invalid = addresses(message, "source")

    assert texts(found) == ["192.0.2.1"]
    assert invalid[:4] == ("'nowhere'", "7", "None", "['192.0.2.2']")
    assert len(invalid) == 5
    assert all(len(text) <= MAX_CLASS for text in invalid)


def test_more_than_ten_thousand_addresses_are_joined_into_the_spans_that_they_fill() -> None:
    many = [f"10.0.{number // 256}.{number % 256}" for number in range(MAX_ADDRESSES)]
    at_most = {"Source": [{"IP4": many}]}
    too_many = {"Source": [{"IP4": many}, {"IP4": ["192.0.2.1"]}]}

    assert len(addresses(at_most, "source")[0]) == MAX_ADDRESSES
    assert texts(addresses(too_many, "source")[0]) == ["10.0.0.0-10.0.39.15", "192.0.2.1"]


@given(st.lists(sections))
def test_no_address_is_lost_and_none_is_invented(source: list[dict[str, Any]]) -> None:
    written = {text for section in source for key in ("IP4", "IP6") for text in section.get(key, ())}

    found, invalid = addresses({"Source": source}, "source")

    assert sorted(texts(found)) == sorted(written)
    assert invalid == ()


# What a rule sees


def seen(message: dict[str, Any], direction: Direction, address: str) -> Mapping[str, Any]:
    return view(read(message), direction, (parse_address(address),), address)


def test_a_rule_sees_that_one_address_in_all_its_sections() -> None:
    message = {
        "ID": "one",
        "Source": [
            {"IP4": ["192.0.2.1", "192.0.2.2"], "IP6": ["2001:db8::1"], "Port": [22]},
            {"IP4": ["192.0.2.2"], "Port": [23]},
            {"IP4": ["192.0.2.1"], "Hostname": ["a.example"]},
        ],
        "Target": [{"IP4": ["192.0.2.1", "192.0.2.9"], "IP6": ["2001:db8::1"]}],
    }
    before = copy.deepcopy(message)

    shown = seen(message, "source", "192.0.2.1")

    assert shown == {
        "ID": "one",
        "Source": [{"IP4": ["192.0.2.1"], "Port": [22]}, {"IP4": ["192.0.2.1"], "Hostname": ["a.example"]}],
        "Target": before["Target"],
    }
    assert message == before


def test_the_key_of_the_other_family_is_missing_and_the_address_stands_under_its_own() -> None:
    message = {"Source": [{"IP4": ["192.0.2.1"], "IP6": "2001:DB8::1"}]}

    assert seen(message, "source", "2001:db8::1")["Source"] == [{"IP6": ["2001:db8::1"]}]
    assert seen({"Target": {"IP6": ["192.0.2.1"]}}, "target", "192.0.2.1")["Target"] == [
        {"IP4": ["192.0.2.1"]}
    ]


def test_of_a_split_range_a_rule_sees_the_part() -> None:
    message = {"Source": [{"IP4": ["192.0.2.0/23"], "Port": [1]}, {"IP4": ["192.0.3.1"], "Port": [2]}]}

    shown = view(read(message), "source", (parse_address("192.0.2.0/23"),), "192.0.2.0/24")

    assert shown["Source"] == [{"IP4": ["192.0.2.0/24"], "Port": [1]}]


def test_of_a_part_that_two_addresses_share_a_rule_sees_the_sections_of_both_in_order() -> None:
    message = {"Source": [{"IP4": ["192.0.2.0/23"], "Port": [1]}, {"IP4": ["192.0.2.0/24"], "Port": [2]}]}
    origins = tuple(parse_address(text) for text in ("192.0.2.0/24", "192.0.2.0/23"))

    shown = view(read(message), "source", origins, "192.0.2.0/24")

    assert [section["Port"] for section in shown["Source"]] == [[1], [2]]


def test_the_sections_of_an_address_joined_from_many_are_those_of_its_parts() -> None:
    message = {
        "Source": [{"IP4": ["192.0.2.0"]}, {"IP4": ["192.0.2.1"]}, {"IP4": ["192.0.2.9"]}, {"IP6": ["::1"]}]
    }

    assert own_sections(read(message), "source", (parse_address("192.0.2.0/31"),)) == message["Source"][:2]


def test_overlapping_addresses_have_their_own_sections_each() -> None:
    message = {"Source": [{"IP4": ["192.0.2.0/24"]}, {"IP4": ["192.0.2.0/31"]}, {"IP4": ["192.0.2.0"]}]}

    assert [
        own_sections(read(message), "source", (parse_address(text),))
        for text in ("192.0.2.0", "192.0.2.0/24", "192.0.2.0/31")
    ] == [message["Source"][2:], message["Source"][:1], message["Source"][1:2]]


def test_thousands_of_sections_are_looked_through_once() -> None:
    numbers = range(MAX_ADDRESSES)
    event = read({"Source": [{"IP4": [f"10.{n // 256}.{n % 256}.1"], "Port": [n]} for n in numbers]})

    ports = [own_sections(event, "source", (address,))[0]["Port"] for address in event.source.addresses]

    assert ports == [[n] for n in numbers]


@given(messages, st.sampled_from(["source", "target"]))
def test_a_view_holds_one_address_and_leaves_the_message_alone(
    message: dict[str, Any], direction: Direction
) -> None:
    before = copy.deepcopy(message)
    key, other = ("Source", "Target") if direction == "source" else ("Target", "Source")

    event = read(message)

    for address in addresses(message, direction)[0]:
        shown = view(event, direction, (address,), address.text)

        assert texts(addresses(shown, direction)[0]) == [address.text]
        assert all("IP4" not in section or "IP6" not in section for section in shown[key])
        assert len(shown[key]) == sum(
            address.text in (*section.get("IP4", ()), *section.get("IP6", ())) for section in message[key]
        )
        assert shown.get(other) == message.get(other)
    assert message == before


# Classes


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "scan"),
        ({"EventSubclass": []}, "scan"),
        ({"EventSubclass": None}, "scan"),
        ({"EventSubclass": ["ssh"]}, "scan/ssh"),
        ({"EventSubclass": "ssh"}, "scan/ssh"),
        ({"EventSubclass": ["ssh", "telnet"]}, "scan/ssh, telnet"),
        ({"TargetSubclass": ["ssh"]}, "scan"),
    ],
)
def test_a_class_has_its_subclasses_behind_it(fields: dict[str, Any], name: str) -> None:
    side = read({"_Mentat": fields, "Category": ["Recon.Scanning"]}).source

    assert (side.event_class, side.class_name) == (name, "scan")


@pytest.mark.parametrize("class_name", [None, ""])
def test_without_a_class_the_categories_name_it(class_name: str | None) -> None:
    message = {"Category": ["Recon.Scanning", "Attempt.Login"], "_Mentat": {"EventSubclass": ["ssh"]}}

    side = read(message, eventclass=class_name).source

    assert (side.event_class, side.class_name) == ("Recon.Scanning/Attempt.Login", None)


@pytest.mark.parametrize(
    ("category", "name"), [([1], "1"), ("Other", "Other"), (None, ""), ({"a": 1}, ""), ([], ""), ([True], "")]
)
def test_odd_categories_make_a_name_too(category: Any, name: str) -> None:
    assert read({"Category": category}, eventclass=None).source.event_class == name
    assert read({}, eventclass=None).source.event_class == ""


def test_what_mentat_added_stands_under_its_older_name_too() -> None:
    assert read({"_CESNET": {"EventSubclass": ["ssh"]}}).source.event_class == "scan/ssh"
    assert mentat_fields({"_Mentat": "?", "_CESNET": {"a": 1}}) == {"a": 1}
    assert mentat_fields({"_Mentat": {"b": 2}, "_CESNET": {"a": 1}}) == {"b": 2}
    assert mentat_fields({"_Mentat": [], "_CESNET": None}) == {}


def test_each_direction_has_its_own_class_and_subclasses() -> None:
    message = {"_Mentat": {"EventSubclass": ["out"], "TargetClass": "attack", "TargetSubclass": ["in"]}}

    both = read(message, targetclass="attack", targetseverity="low")

    assert (both.source.event_class, both.target.event_class) == ("scan/out", "attack/in")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "scan/derived"),
        ({"EventClass": "scan"}, "scan"),
        ({"EventSubclass": ["own"]}, "scan/own"),
        ({"EventClass": "scan", "EventSubclass": ["own"]}, "scan/own"),
    ],
)
def test_subclasses_are_derived_only_for_messages_that_do_not_name_their_class(
    fields: dict[str, Any], name: str
) -> None:
    event = read_event(
        stored(), {"_Mentat": fields}, "low", lambda class_name, _: ["derived"] * (class_name == "scan")
    )

    assert event.source.event_class == name


def test_a_name_is_200_characters_at_most_and_what_differed_still_does() -> None:
    same = "x" * 3000

    assert capped("x" * 200) == "x" * 200
    assert [len(capped(same + end)) for end in "ab"] == [200, 200]
    assert capped(same + "a") != capped(same + "b")
    assert capped(same) == capped(same)
    assert read({"Category": [same]}, eventclass=None).source.event_class == capped(same)
    assert read({"_Mentat": {"EventSubclass": [same]}}).source.event_class == capped(f"scan/{same}")


@given(st.lists(st.text(min_size=190, max_size=210) | st.text(), unique=True))
def test_distinct_names_stay_distinct(names: list[str]) -> None:
    assert len({capped(name) for name in names}) == len(names)
    assert all(len(capped(name)) <= MAX_CLASS for name in names)


def test_a_class_with_plus_signs_or_a_newline_is_one_line() -> None:
    side = read({}, eventclass="a+++b\nc").source

    assert (side.event_class, side.class_name) == ("a+++b c", "a+++b c")


# Events


def test_an_event_has_the_sides_of_the_asked_severity() -> None:
    message = {"Source": [{"IP4": ["192.0.2.1"]}], "Target": [{"IP4": ["192.0.2.9", "?"]}]}
    row = stored(targetclass="attack", targetseverity="high", shadow_target=True)

    low, high = read_event(row, message, "low"), read_event(row, message, "high")

    assert (low.source.severity, texts(low.source.addresses), low.source.shadow) == (
        "low",
        ["192.0.2.1"],
        False,
    )
    assert (low.target.severity, low.target.addresses, low.target.invalid) == ("high", (), ())
    assert (high.source.severity, high.source.addresses) == ("low", ())
    assert (texts(high.target.addresses), high.target.invalid, high.target.shadow) == (
        ["192.0.2.9"],
        ("'?'",),
        True,
    )
    assert (high.side("source"), high.side("target")) == (high.source, high.target)


def test_an_event_may_have_both_sides() -> None:
    message = {"Source": [{"IP4": ["192.0.2.1"]}], "Target": [{"IP4": ["192.0.2.9"]}]}

    both = read(message, targetclass="attack", targetseverity="low")

    assert texts(both.source.addresses + both.target.addresses) == ["192.0.2.1", "192.0.2.9"]


DETECT, EVENT, CEASE = "2026-03-01T03:00:00Z", "2026-03-01T01:00:00Z", "2026-03-01T02:00:00Z"


@pytest.mark.parametrize(
    ("times", "first", "last"),
    [
        (
            {"DetectTime": DETECT, "EventTime": EVENT, "CeaseTime": CEASE},
            at(2026, 3, 1, 1),
            at(2026, 3, 1, 2),
        ),
        ({"DetectTime": DETECT, "EventTime": EVENT}, at(2026, 3, 1, 1), at(2026, 3, 1, 1)),
        ({"DetectTime": DETECT, "CeaseTime": CEASE}, at(2026, 3, 1, 3), at(2026, 3, 1, 2)),
        ({"DetectTime": DETECT}, at(2026, 3, 1, 3), at(2026, 3, 1, 3)),
        (
            {"DetectTime": DETECT, "EventTime": [EVENT], "CeaseTime": "?"},
            at(2026, 3, 1, 3),
            at(2026, 3, 1, 3),
        ),
        ({"DetectTime": ["garbage"]}, START, START),
        ({}, START, START),
    ],
)
def test_first_and_last_time_are_the_best_that_the_message_says(
    times: dict[str, Any], first: datetime, last: datetime
) -> None:
    event = read(times)

    assert (event.first_time, event.last_time) == (first, last)


def test_detectors_are_the_distinct_names_of_all_nodes_in_order() -> None:
    nodes = [
        {"Name": "org.b"},
        {"Name": ["org.a", "org.b"]},
        {"SW": ["Nemea"]},
        {"Name": None},
        {"Name": 7},
        "org.c",
    ]

    assert detectors({"Node": nodes}) == ("org.b", "org.a", "7")
    assert detectors({"Node": {"Name": "org.a"}}) == ("org.a",)
    assert detectors({}) == ()


@pytest.mark.parametrize("message", [None, [], "text", 7, True, [{"ID": "one"}]])
def test_what_is_no_object_is_no_message(message: Any) -> None:
    with pytest.raises(MessageError, match="no JSON object"):
        read_event(stored(), message, "low")


@given(
    messy_messages()
    | st.dictionaries(st.sampled_from(["Source", "Node", "Category", "_Mentat"]), json_values)
)
def test_any_object_is_read(message: dict[str, Any]) -> None:
    both = read(clean(message), targetseverity="low")

    assert EARLIEST <= both.first_time <= LATEST
    assert EARLIEST <= both.last_time <= LATEST
    for side in (both.source, both.target):
        assert len(side.event_class) <= MAX_CLASS
        assert not CONTROL.search(side.event_class)
        assert len(set(texts(side.addresses))) == len(side.addresses)


# E3: wide and reversed ranges reach ownership as they are


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("0.0.0.0/0", Address(4, 0, 2**32 - 1, "cidr", "0.0.0.0/0")),
        ("192.0.2.9-192.0.2.1", Address(4, 3221225985, 3221225993, "range", "192.0.2.1-192.0.2.9")),
        ("::/0", Address(6, 0, 2**128 - 1, "cidr", "::/0")),
    ],
)
def test_wide_and_reversed_ranges_are_addresses(written: str, address: Address) -> None:
    found, invalid = addresses({"Source": [{"IP4": [written]}]}, "source")

    assert (found, invalid) == ((address,), ())
    assert [share.chain for share in Ownership([]).shares(found[0])] == [()]


@given(messy_messages(), st.sampled_from(["Note", "Content", 'x"Content', "Notes"]), st.text(max_size=8))
def test_what_needs_no_cleaning_is_not_changed_by_it(message: Any, key: str, text: str) -> None:
    whole = {"Message": message, key: f"{text}\n", "Attach": [{"Content": f'"Content":"{text}\n"'}]}

    for written in (json.dumps(whole), json.dumps(whole, ensure_ascii=False)):
        if not needs_cleaning(written):
            assert clean(json.loads(written)) == json.loads(written)
