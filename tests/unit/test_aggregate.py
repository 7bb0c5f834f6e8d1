"""Sightings → the lines of a report and the figures kept with it; only what belongs to the address."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from factories_core import attack, event, finding
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_values, messages, messy_messages

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.aggregate import EXACT, Finding, entries, structured
from mentat_reporter.core.figures import figures
from mentat_reporter.core.idea import clean
from mentat_reporter.core.model import DIRECTIONS, UNKNOWN, Detail, Direction, Entry, Event, Severity
from mentat_reporter.core.restored import lines

HOUR = timedelta(hours=1)
TWO_SECTIONS = [
    {"IP4": ["192.0.2.1", "192.0.2.9"], "Port": [22, 23], "Hostname": ["one.example"], "InFlowCount": 3},
    {"IP4": ["192.0.2.2"], "Port": [80], "Hostname": ["two.example"], "InFlowCount": 5},
]


def lines_of(
    *seen: Event, addresses: tuple[str, ...] = ("192.0.2.1",), direction: Direction = "source"
) -> list[Entry]:
    return entries([finding(one, address, direction) for one in seen for address in addresses], direction)


def statistics(new: list[Finding], recurring: list[Finding], severity: Severity) -> dict[str, Any]:
    return figures(new, recurring, severity, "source", by_address=False).whole


def only(lines: list[Entry]) -> Detail:
    """Return the one detail of the one line."""
    [line] = lines
    [detail] = line.details.values()
    return detail


def data_of(seen: Event, address: str = "192.0.2.1", direction: Direction = "source") -> dict[str, Any]:
    """Return what is stored of an event's one detector."""
    [of_class] = structured(lines_of(seen, addresses=(address,), direction=direction)).values()
    [data] = of_class[address]["detector_data"].values()
    assert isinstance(data, dict)
    return data


# What belongs to an address


def test_only_the_address_s_own_section_is_told() -> None:
    seen = event(Source=TWO_SECTIONS)

    one, two = data_of(seen, "192.0.2.1"), data_of(seen, "192.0.2.2")

    assert one["source_list_data"] | {"Port": [], "Hostname": [], "ips": []} == two["source_list_data"] | {
        "Port": [], "Hostname": [], "ips": [],
    }  # fmt: skip
    assert (one["source_list_data"]["Port"], two["source_list_data"]["Port"]) == (["22", "23"], ["80"])
    assert (one["source_list_data"]["Hostname"], one["source_list_data"]["ips"]) == (
        ["one.example"],
        ["192.0.2.1"],
    )
    assert (two["source_list_data"]["Hostname"], two["source_list_data"]["ips"]) == (
        ["two.example"],
        ["192.0.2.2"],
    )
    assert (one["source_numeric_data"]["InFlowCount"], two["source_numeric_data"]["InFlowCount"]) == (3, 5)


def test_an_address_in_two_sections_has_what_both_say() -> None:
    seen = event(
        Source=[{"IP4": ["192.0.2.1"], "Port": [22], "OutByteCount": 1}] * 2
        + [{"IP4": "192.0.2.1", "Port": 9}]
    )

    data = data_of(seen)

    assert data["source_list_data"]["Port"] == ["22", "9"]
    assert data["source_numeric_data"]["OutByteCount"] == 2


def test_of_the_other_direction_everything_is_told() -> None:
    targets = [{"IP4": ["198.51.100.1"], "Port": [22]}, {"IP6": "2001:db8::1", "Hostname": ["b.example"]}]

    data = data_of(event(Source=TWO_SECTIONS, Target=targets))

    assert data["target_list_data"]["ips"] == ["198.51.100.1", "2001:db8::1"]
    assert data["target_list_data"]["Port"] == ["22"]
    assert data["target_list_data"]["Hostname"] == ["b.example"]
    assert data["target_list_data"]["relevant_ips"] == []


def test_in_the_target_direction_the_sides_change_places() -> None:
    seen = attack(
        Source=TWO_SECTIONS,
        Target=[{"IP4": ["198.51.100.1"], "Port": 22}, {"IP4": ["198.51.100.2"], "Port": 23}],
    )

    data = data_of(seen, "198.51.100.1", "target")

    assert data["source_list_data"]["ips"] == ["192.0.2.1", "192.0.2.2", "192.0.2.9"]
    assert data["source_numeric_data"]["InFlowCount"] == 8
    assert data["target_list_data"]["ips"] == ["198.51.100.1"]
    assert data["target_list_data"]["relevant_ips"] == ["198.51.100.1"]
    assert data["target_list_data"]["Port"] == ["22"]


def test_a_part_of_a_range_is_told_by_its_own_text_from_the_ranges_section() -> None:
    seen = event(Source=[{"IP4": ["192.0.2.0/23"], "Port": [1]}, {"IP4": ["192.0.2.1"], "Port": [2]}])

    [line] = entries([finding(seen, "192.0.2.0/24", origins=(parse_address("192.0.2.0/23"),))], "source")

    detail = only([line])
    assert line.address == "192.0.2.0/24"
    assert (list(detail.source_lists["Port"]), list(detail.source_lists["ips"])) == (["1"], ["192.0.2.0/24"])


# Lists and numbers


def test_fields_of_the_message_its_sections_and_attachments_are_kept() -> None:
    seen = event(
        Description="scan",
        Ref=["cve:1", "cve:2"],
        Credentials=[{"Username": "root", "Password": "toor"}, {"Username": "pi"}, {"Hash": "x"}],
        ConnCount=7,
        Source=[{"IP4": ["192.0.2.1"], "ServiceName": ["ssh", "http"], "ServiceVersion": "2.0", "MAC": "aa"}],
        Attach=[{"Name": ["b.exe", "a.exe"]}, {"Content": "x"}, {"Name": "c.exe"}],
    )

    data = data_of(seen)

    assert data["main_list_data"] == {
        "Category": ["Recon.Scanning"],
        "Description": ["scan"],
        "Ref": ["cve:1", "cve:2"],
        "UsernameAndPassword": [["pi", ""], ["root", "toor"]],
    }
    assert data["main_numeric_data"]["ConnCount"] == 7
    assert data["source_list_data"]["services"] == [["http", "2.0"], ["ssh", "2.0"]]
    assert data["source_list_data"]["MAC"] == ["aa"]
    assert data["attach_list_data"] == {"Name": ["a.exe", "b.exe", "c.exe"]}


def test_what_is_no_pair_never_stands_where_pairs_do() -> None:
    seen = event(
        UsernameAndPassword="root/root",
        Credentials="root",
        Source=[{"IP4": ["192.0.2.1"], "services": ["ssh"], "ServiceName": "OpenSSH 9"}],
    )

    data = data_of(seen)

    assert data["main_list_data"]["UsernameAndPassword"] == []
    assert data["source_list_data"]["services"] == [["OpenSSH 9", ""]]


def test_pairs_are_read_back_as_they_were_told_also_from_older_rows() -> None:
    section = {"IP4": ["192.0.2.1"], "ServiceName": ["ssh", "web server"], "ServiceVersion": "2 beta"}
    told = lines_of(event(Source=[section], Credentials={"Username": "root"}))
    row = orjson.loads(orjson.dumps(structured(told)))
    older = {"ssh 2.0": None, "http": None}

    [line] = lines(row, told[0].first_time, lambda _: None)
    assert structured([line]) == row
    assert only([line]).source_lists["services"] == only(told).source_lists["services"]

    details = row["scan"]["192.0.2.1"]["detector_data"][UNKNOWN]
    details["source_list_data"]["services"] = list(older)
    assert only(lines(row, told[0].first_time, lambda _: None)).source_lists["services"] == older


def test_the_average_packet_size_is_that_of_all_packets() -> None:
    few = event("a", AvgPacketSize=1000, PacketCount=10)
    many = event("b", AvgPacketSize=100, PacketCount=90)
    unknown = event("c", AvgPacketSize=7)

    numbers = only(lines_of(few, many, unknown)).main_numbers

    assert numbers == {"ByteCountFromAvg": 19000, "PacketCount": 100, "AvgPacketSize": 190}


def test_of_clock_skews_the_largest_is_told_with_its_sign() -> None:
    skews = [event(str(skew), Source=[{"IP4": ["192.0.2.1"], "ClockSkew": skew}]) for skew in (3, -9, 5)]

    assert only(lines_of(*skews)).source_numbers == {"ClockSkew": -9}


def test_ports_are_text() -> None:
    data = data_of(event(Source=[{"IP4": ["192.0.2.1"], "Port": [22, "ssh", 80.0, True, None, [1]]}]))

    assert data["source_list_data"]["Port"] == ["22", "80.0", "ssh"]


@pytest.mark.parametrize(
    ("written", "counted"),
    [
        (7, 7),
        (0, 0),
        (-3, -3),
        (2.5, 2.5),
        (float("nan"), 0),
        (float("inf"), 0),
        (float("-inf"), 0),
        (True, 0),
        ("abc", 0),
        ("7", 0),
        ([7], 0),
        ({}, 0),
        (None, 0),
        (10**400, EXACT),
        (-(10**400), -EXACT),
        (1e308, EXACT),
        (EXACT + 1, EXACT),
    ],
)
def test_numbers_are_added_up_as_far_as_they_are_numbers(written: Any, counted: float) -> None:
    once, twice = event("one", ConnCount=written), event("two", ConnCount=written)

    assert only(lines_of(once)).main_numbers == {"ConnCount": counted}
    assert only(lines_of(once, twice)).main_numbers == {"ConnCount": 2 * counted}


# Lines


def test_a_line_has_the_first_and_last_time_and_the_number_of_its_events() -> None:
    early = event("early", DetectTime="2026-03-01T10:59:59Z", EventTime="2026-03-01T10:30:00Z")
    late = event("late", DetectTime="2026-03-01T12:00:00Z", CeaseTime="2026-03-01T15:00:00Z")
    between = event("between", DetectTime="2026-03-01T12:59:59.999999Z")

    [line] = lines_of(between, late, early)

    assert (line.count, line.first_time, line.last_time) == (3, early.first_time, late.last_time)
    ten = early.first_time - HOUR / 2
    assert line.hours == {ten: 1, ten + 2 * HOUR: 2}


def test_lines_stand_by_class_and_address_and_keep_detectors_apart() -> None:
    one = event("one", event_class="b", Node=[{"Name": "org.x"}, {"Name": "org.y"}], ConnCount=1)
    two = event("two", event_class="b", Node=[{"Name": "org.y"}], ConnCount=2)
    three = event("three", event_class="a", ConnCount=4)

    lines = [*lines_of(one, two, three, addresses=("192.0.2.2", "192.0.2.1"))]

    assert [(line.event_class, line.address, line.count) for line in lines] == [
        ("a", "192.0.2.1", 1), ("a", "192.0.2.2", 1), ("b", "192.0.2.1", 2), ("b", "192.0.2.2", 2),
    ]  # fmt: skip
    assert {name: detail.main_numbers for name, detail in lines[2].details.items()} == {
        "org.x": {"ConnCount": 1},
        "org.y": {"ConnCount": 3},
    }
    assert list(lines[0].details) == [UNKNOWN]


def test_an_event_counts_once_in_a_line() -> None:
    seen = event("one", ConnCount=7)

    [line] = lines_of(seen, seen)

    assert (line.count, sum(line.hours.values())) == (1, 1)
    assert only([line]).main_numbers == {"ConnCount": 7}


def test_in_a_line_of_a_whole_class_an_event_with_two_addresses_counts_once_and_so_do_its_numbers() -> None:
    shared = attack("shared", ConnCount=7, Target=[{"IP4": ["192.0.2.1", "192.0.2.2"], "InByteCount": 10}])
    apart = attack(
        "apart",
        ConnCount=100,
        Source=[{"IP4": "203.0.113.5", "OutByteCount": 9}],
        Target=[
            {"IP4": ["192.0.2.1"], "InByteCount": 20},
            {"IP4": ["192.0.2.2"], "InByteCount": 40},
            {"IP4": ["192.0.2.3"], "InByteCount": 80},
        ],
    )
    findings = [finding(one, f"192.0.2.{n}", "target") for n in (1, 2) for one in (shared, apart)]

    [line] = entries(findings, "target", by_address=False)

    detail = only([line])
    assert (line.address, line.count) == ("", 2)
    assert detail.main_numbers == {"ConnCount": 107}
    assert detail.target_numbers == {"InByteCount": 10 + 20 + 40}
    assert detail.source_numbers == {"OutByteCount": 9}
    assert list(detail.target_lists["relevant_ips"]) == ["192.0.2.1", "192.0.2.2"]


def test_a_recurring_line_names_the_report_that_told_of_it() -> None:
    [line] = entries([finding(event(), reference="M20260301SL-AAAAAAAA")], "source")

    assert structured([line])["scan"]["192.0.2.1"]["reference"] == "M20260301SL-AAAAAAAA"


# The stored shape


def stored_rows(feeds: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((feeds / "mentat-report-rows.json").read_text())["rows"]
    return found


def shape(data: Any) -> Any:
    """Return the keys of what is stored, with kinds in the place of values."""
    if isinstance(data, dict):
        return {key: shape(value) for key, value in data.items()}
    return "list" if isinstance(data, list) else "number" if isinstance(data, int | float) else "text or none"


def test_lines_are_stored_as_mentat_stores_them(feeds: Path) -> None:
    seen = event("one", Node=[{"Name": "org.a"}], Source=[{"IP4": ["192.0.2.1"]}])
    ours = structured(lines_of(seen))["scan"]["192.0.2.1"]

    rows = [row for row in stored_rows(feeds) if row["type"] in ("summary", "extra")]

    assert {row["type"] for row in rows} == {"summary", "extra"}
    for row in rows:
        told = row["structured_data"]
        theirs = [
            line for part in ("regular", "relapsed") for of in told[part].values() for line in of.values()
        ]
        assert theirs
        for line in theirs:
            detectors = line.pop("detector_data")
            assert shape(line) == shape({key: value for key, value in ours.items() if key != "detector_data"})
            for data in detectors.values():
                assert shape(data) == shape(ours["detector_data"]["org.a"])


def test_lines_of_target_reports_are_stored_by_class_alone(feeds: Path) -> None:
    seen = attack("one", Node=[{"Name": "org.a"}], Target=[{"IP4": ["192.0.2.1"]}])
    lines = entries([finding(seen, direction="target")], "target", by_address=False)
    ours = structured(lines)["attack"]

    [row] = [row for row in stored_rows(feeds) if row["type"] == "target"]

    for line in row["structured_data"]["regular"].values():
        assert set(line) == set(ours)
        for data in line["detector_data"].values():
            assert shape(data) == shape(ours["detector_data"]["org.a"])


def test_times_are_stored_naive_in_utc() -> None:
    seen = event(DetectTime="2026-03-01T12:00:00.5+01:00", CeaseTime="2026-03-01T12:00:01Z")

    line = structured(lines_of(seen))["scan"]["192.0.2.1"]

    assert (line["first_time"], line["last_time"]) == ("2026-03-01T11:00:00.500000", "2026-03-01T12:00:01")


def test_figures_have_mentats_names(feeds: Path) -> None:
    ours = statistics([finding(event())], [], "low")

    for row in stored_rows(feeds):
        assert set(row["statistics"]) == set(ours)
        assert shape({**row["statistics"], **ours}) == shape(ours)


# Figures

FULL: dict[str, Any] = {
    "Category": ["Recon.Scanning", "Attempt.Login", "Recon.Scanning"],
    "TLP": ["GREEN", "GREEN"],
    "Node": [{"Name": ["org.a"], "SW": ["Nemea", "Nemea"]}, {"Name": "org.a", "SW": "Nemea"}],
    "Source": [
        {"IP4": ["192.0.2.1"], "Hostname": ["a.example"]},
        {"IP4": "192.0.2.1", "IP6": ["2001:db8::1"]},
    ],
    "Target": [{"IP4": ["198.51.100.1"], "Hostname": "t.example"}],
    "_Mentat": {
        "ResolvedAbuses": ["abuse@a.example", "abuse@a.example"],
        "SourceResolvedASN": [64496, 64496],
        "SourceResolvedCountry": ["CZ", "CZ"],
        "InspectionErrors": ["odd", "odd"],
    },
}


def test_each_figure_counts_events_by_its_values_a_value_once_an_event() -> None:
    figures = statistics([finding(event("b", **FULL)), finding(event("a"))], [], "low")

    assert figures == {
        "abuses": {UNKNOWN: 1, "abuse@a.example": 1},
        "analyzers": {"Nemea": 1, UNKNOWN: 1},
        "asns": {"64496": 1, UNKNOWN: 1},
        "categories": {"Attempt.Login": 1, "Recon.Scanning": 2},
        "category_sets": {"Recon.Scanning": 1, "Recon.Scanning/Attempt.Login/Recon.Scanning": 1},
        "classes": {"scan": 2},
        "countries": {"CZ": 1, UNKNOWN: 1},
        "detectors": {"org.a": 1, UNKNOWN: 1},
        "inspectionerrors": {"odd": 1, UNKNOWN: 1},
        "source_hostnames": {"a.example": 1, UNKNOWN: 1},
        "sources": {"192.0.2.1": 1, "2001:db8::1": 1, UNKNOWN: 1},
        "target_hostnames": {"t.example": 1, UNKNOWN: 1},
        "targets": {"198.51.100.1": 1, UNKNOWN: 1},
        "tlps": {"GREEN": 1, UNKNOWN: 1},
        "severities": {"low": 2},
        "cnt_alerts": 2,
        "cnt_events": 2,
        "cnt_recurring": 0,
        "cnt_unique": 2,
        "list_ids": ["a", "b"],
    }


def test_figures_count_an_event_once_however_many_addresses_it_has_and_recurring_ones_apart() -> None:
    new, old = event("new"), event("old")

    figures = statistics(
        [finding(new), finding(new, "192.0.2.2")], [finding(old), finding(new, "192.0.2.3")], "high"
    )

    assert [figures[name] for name in ("cnt_events", "cnt_unique", "cnt_recurring")] == [2, 1, 1]
    assert figures["severities"] == {"high": 2}
    assert figures["list_ids"] == ["new", "old"]


# Properties


@st.composite
def findings(draw: st.DrawFn, kind: st.SearchStrategy[dict[str, Any]], direction: Direction) -> list[Finding]:
    found = []
    for number, message in enumerate(draw(st.lists(kind, max_size=5))):
        make = event if direction == "source" else attack
        seen = make(str(number), **clean(message))
        found += [finding(seen, address.text, direction) for address in seen.side(direction).addresses]
    return found


both: st.SearchStrategy[Direction] = st.sampled_from(DIRECTIONS)
told = both.flatmap(lambda direction: st.tuples(st.just(direction), findings(messages, direction)))
told_of_anything = both.flatmap(
    lambda direction: st.tuples(st.just(direction), findings(messy_messages(), direction))
)


@given(told_of_anything, st.booleans())
def test_whatever_a_message_holds_can_be_stored(
    told: tuple[Direction, list[Finding]], by_address: bool
) -> None:
    direction, seen = told

    lines = entries(seen, direction, by_address=by_address)

    for data in (structured(lines), statistics(seen, seen[:1], "low")):
        written = orjson.dumps(data)
        assert b"\\u0000" not in written
        assert orjson.loads(written) == data


@given(json_values)
def test_any_value_in_any_field_can_be_stored(value: Any) -> None:
    fields = ("Port", "Hostname", "InByteCount", "ServiceName", "ServiceVersion", "Ref")
    section = {"IP4": ["192.0.2.1"], **dict.fromkeys(fields, value)}
    whole = {
        "Source": [section],
        "Target": [section, value],
        "Attach": [{"Name": value}, value],
        "_Mentat": value,
    }
    top = dict.fromkeys(("Category", "TLP", "ConnCount", "Description", "Node", "DetectTime"), value)
    seen = event(**clean({**whole, **top}))

    orjson.dumps([structured(lines_of(seen)), statistics([finding(seen)], [], "low")])


@given(told, st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_findings_does_not_matter(
    told: tuple[Direction, list[Finding]], random: Any, by_address: bool
) -> None:
    direction, seen = told
    shuffled = list(seen)
    random.shuffle(shuffled)

    assert entries(shuffled, direction, by_address=by_address) == entries(
        seen, direction, by_address=by_address
    )
    assert statistics(shuffled, [], "low") == statistics(seen, [], "low")


@given(told)
def test_every_event_is_counted_once_in_each_line_of_its_own(told: tuple[Direction, list[Finding]]) -> None:
    direction, seen = told

    by_address = entries(seen, direction)
    by_class = entries(seen, direction, by_address=False)

    assert sum(line.count for line in by_address) == len(seen)
    assert sum(line.count for line in by_class) == len({one.event.id for one in seen})
    assert all(sum(line.hours.values()) == line.count for line in (*by_address, *by_class))
