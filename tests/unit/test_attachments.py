"""CSV, ZIP, and what fits into a mail (docs/reports.md#attachments)."""

import csv
import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.idea import clean
from mentat_reporter.core.model import Direction, Place
from mentat_reporter.render.attachments import COLUMNS, Member, Sheet, harmless, zipped
from mentat_reporter.render.enclosed import Choice, choose

AT = datetime(2026, 1, 13, 6, tzinfo=UTC)
HEADER = (
    "detect_time,event_time,cease_time,create_time,class,categories,severity,source_ip,source_port,"
    "source_hostname,target_ip,target_port,protocol,detector,detector_sw,conn_count,flow_count,packet_count,"
    "byte_count,description,note,ref,event_id"
)
TEXT = st.text(
    st.characters(codec="utf-8") | st.sampled_from("=+-@\t\r\n\",;'|\0\u2028\x85\x1b "), max_size=12
)
WHOLE = {
    "ID": "one",
    "DetectTime": "2026-01-12T07:14:34.5+01:00",
    "EventTime": "2026-01-12 06:10:00",
    "CeaseTime": "never",
    "Category": ["Recon.Scanning", "Attempt.Login"],
    "Description": "Somebody knocks",
    "Note": "first line\nsecond line",
    "Ref": ["https://a.example/1", "cve:2026-1"],
    "ConnCount": 12,
    "FlowCount": 1.5,
    "PacketCount": "many",
    "ByteCount": 0,
    "Source": [
        {"IP4": ["192.0.2.1"], "Port": [40000, 40001], "Hostname": ["mine.example"], "Proto": ["tcp"]},
        {"IP4": ["192.0.2.2"], "Port": [50000], "Hostname": "other.example"},
    ],
    "Target": [
        {"IP4": ["198.51.100.1"], "IP6": ["2001:db8::1"], "Port": [22], "Proto": ["tcp", "ssh"]},
        {"IP4": ["198.51.100.1", "198.51.100.2"], "Port": [2222]},
    ],
    "Node": [{"Name": "det.one", "SW": ["Kippo"]}, {"Name": "det.two", "SW": "Warden"}],
}


def place(address: str = "192.0.2.1", event_class: str = "scan", *origins: str) -> Place:
    return Place(event_class, address, tuple(map(parse_address, origins or (address,))))


def parsed(content: bytes) -> list[dict[str, str]]:
    """Read a table as a program of somebody else's would."""
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    assert rows[0] == list(COLUMNS)
    assert all(len(row) == len(COLUMNS) for row in rows)
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows[1:]]


def table(
    message: Any,
    places: Sequence[Place] = (place(),),
    direction: Direction = "source",
    *,
    event_id: str = "one",
    oversized: bool = False,
) -> list[dict[str, str]]:
    sheet = Sheet("low", direction)
    rows = sheet.rows(event_id, clean(message), places, oversized=oversized)
    assert len(rows) == len(places)
    return parsed(sheet.head() + b"".join(rows))


# CSV


def test_the_header_is_as_promised() -> None:
    assert Sheet("low", "source").head() == HEADER.encode() + b"\r\n"


def test_a_byte_order_mark_comes_first_where_it_is_wanted() -> None:
    assert Sheet("low", "source", bom=True).head() == b"\xef\xbb\xbf" + HEADER.encode() + b"\r\n"


def test_a_row_says_of_its_own_side_what_stands_with_its_address_and_of_the_other_all() -> None:
    [row] = table(WHOLE, [place("192.0.2.1", "scan/ssh")])

    assert row == {
        "detect_time": "2026-01-12T06:14:34.500000Z",
        "event_time": "2026-01-12T06:10:00Z",
        "cease_time": "",
        "create_time": "",
        "class": "scan/ssh",
        "categories": "Recon.Scanning, Attempt.Login",
        "severity": "low",
        "source_ip": "192.0.2.1",
        "source_port": "40000, 40001",
        "source_hostname": "mine.example",
        "target_ip": "198.51.100.1, 2001:db8::1, 198.51.100.2",
        "target_port": "22, 2222",
        "protocol": "tcp, ssh",
        "detector": "det.one, det.two",
        "detector_sw": "Kippo, Warden",
        "conn_count": "12",
        "flow_count": "1.5",
        "packet_count": "",
        "byte_count": "0",
        "description": "Somebody knocks",
        "note": "first line\nsecond line",
        "ref": "https://a.example/1, cve:2026-1",
        "event_id": "one",
    }


def test_each_address_has_a_row_of_its_own() -> None:
    rows = table(WHOLE, [place("192.0.2.1"), place("192.0.2.2")])

    assert [(row["source_ip"], row["source_port"], row["source_hostname"]) for row in rows] == [
        ("192.0.2.1", "40000, 40001", "mine.example"),
        ("192.0.2.2", "50000", "other.example"),
    ]


def test_in_a_target_report_the_attacked_address_is_the_rows_own() -> None:
    [row] = table(WHOLE, [place("2001:db8::1")], "target")

    assert (row["target_ip"], row["target_port"]) == ("2001:db8::1", "22")
    assert (row["source_ip"], row["source_port"]) == ("192.0.2.1, 192.0.2.2", "40000, 40001, 50000")
    assert row["source_hostname"] == "mine.example, other.example"


def test_the_address_is_the_part_that_the_report_is_about() -> None:
    message = {
        **WHOLE,
        "Source": [{"IP4": ["192.0.2.0/24"], "Port": [1]}, {"IP4": ["10.0.0.1"], "Port": [2]}],
    }

    [row] = table(message, [place("192.0.2.0/25", "scan", "192.0.2.0/24")])

    assert (row["source_ip"], row["source_port"]) == ("192.0.2.0/25", "1")


def test_a_row_of_an_oversized_event_has_no_lists() -> None:
    [row] = table({**WHOLE, "Category": ["x" * 300] * 1000}, oversized=True)

    assert {name for name, value in row.items() if value} == {
        "detect_time", "event_time", "class", "categories", "severity", "source_ip", "detector", "conn_count",
        "flow_count", "byte_count", "event_id",
    }  # fmt: skip
    assert len(row["categories"]) < 100 * 210


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1", "\tx"]
)
def test_what_could_be_a_formula_is_text(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"
    [row] = table({**WHOLE, "Note": cell, "Source": [{"Hostname": [cell, "b"], "IP4": ["192.0.2.1"]}]})
    assert row["note"] == f"'{cell}"
    assert row["source_hostname"] == harmless(f"{clean(cell)}, b")


@pytest.mark.parametrize("number", [-5, -0.5, float("-inf")])
def test_a_number_below_zero_is_no_formula_either(number: float) -> None:
    [row] = table({**WHOLE, "ConnCount": number})

    assert row["conn_count"] in (f"'{number}", "")


@pytest.mark.parametrize("value", [None, 5, "x", [], {}, [[]], [{"IP4": {}}], True])
def test_what_is_not_as_the_specification_asks_is_left_out(value: Any) -> None:
    message = dict.fromkeys(WHOLE, value)

    [row] = table(message)

    assert (row["source_ip"], row["event_id"]) == ("192.0.2.1", "one")


@given(
    st.fixed_dictionaries({}, optional={key: TEXT | st.lists(TEXT, max_size=3) for key in WHOLE}),
    st.lists(TEXT, max_size=3),
    TEXT,
)
def test_any_text_is_read_back_as_it_went_in_and_begins_no_formula(
    message: dict[str, Any], hosts: list[str], event_class: str
) -> None:
    message = {**message, "Source": [{"IP4": ["192.0.2.1"], "Hostname": hosts}]}

    [row] = table(message, [place("192.0.2.1", event_class)], event_id="i")

    def bare(name: str) -> str:
        return row[name].removeprefix("'")

    cleaned = clean(message)
    note, ref = cleaned.get("Note", ""), cleaned.get("Ref", [])
    assert bare("note") == (note if isinstance(note, str) else ", ".join(dict.fromkeys(note))).removeprefix(
        "'"
    )
    assert bare("ref") == (ref if isinstance(ref, str) else ", ".join(dict.fromkeys(ref))).removeprefix("'")
    assert bare("source_hostname") == ", ".join(dict.fromkeys(cleaned["Source"][0]["Hostname"])).removeprefix(
        "'"
    )
    assert bare("class") == event_class.removeprefix("'")
    assert not [cell for cell in row.values() if cell.lstrip(" ")[:1] in tuple("=+-@\t\r")]


@given(st.lists(st.integers(0, 255), min_size=1, max_size=5, unique=True))
def test_there_is_a_row_for_each_event_and_address(last: list[int]) -> None:
    addresses = [f"192.0.2.{number}" for number in last]
    message = {**WHOLE, "Source": [{"IP4": addresses[:2]}, {"IP4": addresses[1:]}]}

    rows = table(message, [place(address) for address in addresses])

    assert [row["source_ip"] for row in rows] == addresses


# ZIP


def archive(*members: Member) -> bytes:
    return b"".join(zipped(members, AT))


@given(
    st.dictionaries(st.sampled_from(["a.json", "b.csv", "c"]), st.lists(st.binary(max_size=99), max_size=3))
)
def test_an_archive_holds_what_was_put_into_it(members: dict[str, list[bytes]]) -> None:
    content = archive(*(Member(name, 0, parts) for name, parts in members.items()))

    with zipfile.ZipFile(io.BytesIO(content)) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == {
            name: b"".join(parts) for name, parts in members.items()
        }


def test_the_same_members_give_the_same_archive() -> None:
    once, again = (archive(Member("a.json", 3, [b"[", b"]\n"])) for _ in range(2))

    assert once == again
    with zipfile.ZipFile(io.BytesIO(once)) as found:
        [facts] = found.infolist()
        assert (facts.date_time, facts.external_attr >> 16) == ((2026, 1, 13, 6, 0, 0), 0o640)


def test_an_archive_of_a_time_before_there_were_archives_has_their_first_date() -> None:
    content = b"".join(zipped([Member("a", 1, [b"x"])], AT.replace(year=1975)))

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_an_archive_comes_a_piece_at_a_time() -> None:
    taken = 0

    def parts() -> Any:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield bytes((number * byte * byte) % 251 for byte in range(10_000))

    pieces = zipped([Member("a", 10**6, parts())], AT)
    assert next(pieces)
    assert taken < 10
    assert sum(map(len, pieces))


# What fits


@pytest.mark.parametrize(
    ("limit", "data", "squeezed", "documents", "chosen"),
    [
        (10, [4, 6], [], [], Choice("as wanted", documents=True)),
        (10, [4, 7], [5], [], Choice("squeezed", documents=True)),
        (10, [4, 7], [11], [], Choice("none", documents=True)),
        (10, [4], [3], [7], Choice("squeezed", documents=True)),
        (10, [4], [4], [7], Choice("as wanted", documents=False)),
        (10, [12], [4], [7], Choice("squeezed", documents=False)),
        (10, [12], [11], [7], Choice("none", documents=True)),
        (10, [12], [11], [11], Choice("none", documents=False)),
        (0, [1], [], [], Choice("none", documents=True)),
        (0, [], [], [], Choice("as wanted", documents=True)),
        (0, [], [], [1], Choice("none", documents=False)),
    ],
)
def test_what_is_too_large_is_compressed_and_then_left_out(
    limit: int, data: list[int], squeezed: list[int], documents: list[int], chosen: Choice
) -> None:
    assert choose(limit, data, squeezed, documents) == chosen


@given(st.integers(0, 50), *(st.lists(st.integers(1, 40), max_size=3) for _ in range(3)))
def test_what_is_chosen_never_exceeds_the_limit(
    limit: int, data: list[int], squeezed: list[int], documents: list[int]
) -> None:
    chosen = choose(limit, data, squeezed, documents)

    carried = {"as wanted": data, "squeezed": squeezed, "none": []}[chosen.data]
    assert sum(carried) + sum(documents if chosen.documents else []) <= limit
