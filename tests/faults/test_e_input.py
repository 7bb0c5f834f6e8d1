"""E1, E2 and E3 of docs/reliability.md: whatever a message says, every good event is told in the same run."""

import itertools
import json
import logging
import sys
from datetime import timedelta
from typing import Any, Final

import orjson
import pytest
from faults.helpers_poison import (
    AT,
    GOOD,
    TEN,
    good_are_told,
    named,
    of_alice,
    program,
    quarantine,
    with_message,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    GROUPS,
    START,
    Reporter,
    Stored,
    event,
    group,
    reporter,
    text_of,
)

__all__ = ["reporter"]

MEGABYTE: Final = 2**20


def message(**changes: Any) -> bytes:
    """Return a message of Alice's with these keys changed, and those left out that are `...`."""
    whole = {
        "Format": "IDEA0",
        "ID": "x",
        "DetectTime": AT.isoformat(),
        "Category": ["Recon.Scanning"],
        "Source": [{"IP4": ["192.0.2.1"]}],
        "Node": [{"Name": "org.example.sensor"}],
        **changes,
    }
    return orjson.dumps({key: value for key, value in whole.items() if value is not ...})


def raw(text: str) -> bytes:
    """Return a good message with this JSON text put before its end."""
    return message()[:-1] + b"," + text.encode() + b"}"


# E1

REFUSED: Final[dict[str, tuple[bytes | None, str]]] = {
    "truncated": (message()[:-20], "is no JSON: it ends too early"),
    "empty": (b"", "is no JSON: it ends too early"),
    "not JSON": (b"IDEA0 but not JSON", "is no JSON: Expecting value"),
    "a list": (b"[1, 2]", "is no JSON object but list"),
    "a number": (b"17", "is no JSON object but int"),
    "a string": (b'"IDEA0"', "is no JSON object but str"),
    "null": (b"null", "is no JSON object but NoneType"),
    "no message": (None, "has no message in events_json"),
    "a bad address": (message(Source=[{"IP4": ["300.1.2.3"]}]), "has no usable address: '300.1.2.3'"),
    "Source is a string": (message(Source="192.0.2.1"), "has no usable address: '192.0.2.1'"),
    "Source is a list of strings": (message(Source=["192.0.2.1"]), "has no usable address: '192.0.2.1'"),
    "5,000 digits": (raw('"ConnCount": ' + "9" * 5000), "has a whole number of more than 4,300 digits"),
    "100,000 levels": (raw('"a": ' + "[" * 100_000 + "]" * 100_000), "is nested deeper than 64"),
    "100,000 objects": (raw('"a": ' + '{"a":' * 100_000 + "1" + "}" * 100_000), "is nested deeper than 64"),
    "65 levels": (raw('"a": ' + "[" * 65 + "]" * 65), "is nested deeper than 64"),
}  # fmt: skip
TOLD: Final[dict[str, bytes]] = {
    "bad UTF-8": raw('"Description": "@"').replace(b"@", b"\xff\xfe\xc3"),
    "a byte order mark": b"\xef\xbb\xbf" + message(),
    "DetectTime is a list": message(DetectTime=[AT.isoformat()]),
    "DetectTime is garbage": message(DetectTime="yesterday"),
    "DetectTime is a number": message(DetectTime=1e300),
    "year 0": message(DetectTime="0000-01-01T00:00:00Z"),
    "9999-05:00": message(DetectTime="9999-12-31T23:59:59-05:00"),
    "year 1 east": message(DetectTime="0001-01-01T00:00:00+05:00"),
    "a leap second": message(DetectTime="2016-12-31T23:59:60Z"),
    "no DetectTime": message(DetectTime=...),
    "Category is [1]": message(Category=[1]),
    "no Category": message(Category=...),
    "Category is an object": message(Category={"a": 1}),
    "ID is a number": message(ID=17),
    "Source is an object": message(Source={"IP4": ["192.0.2.1"]}),
    "an address is no list": message(Source=[{"IP4": "192.0.2.1"}]),
    "a bad address among good ones": message(Source=[{"IP4": ["192.0.2.1", "x", 5, None, {}, [[]]]}, "y"]),
    "ConnCount is abc": message(ConnCount="abc"),
    "ConnCount is 1e400": raw('"ConnCount": 1e400'),
    "ConnCount is NaN": raw('"ConnCount": NaN'),
    "ConnCount is -Infinity": raw('"ConnCount": -Infinity'),
    "ConnCount is a list": message(ConnCount=[1]),
    "Port is ssh": message(Target=[{"Port": ["ssh", 22, 1e3, None, True]}]),
    "Node is a string": message(Node="sensor"),
    "a key twice": raw('"Category": ["Other"]'),
    "64 levels": raw('"a": ' + "[" * 62 + "]" * 62),
}
ODD_TIMES: Final = ["9999-05:00", "year 0", "year 1 east"]


def poison(*names: str) -> list[Stored]:
    return [with_message(name, TOLD[name] if name in TOLD else REFUSED[name][0]) for name in names]


@pytest.mark.parametrize("name", REFUSED)
def test_e1_an_event_that_cannot_be_read_is_kept_with_its_reason(reporter: Reporter, name: str) -> None:
    reporter.groups()
    reporter.store(*poison(name), *GOOD)

    result = reporter.run(START)

    assert named(result, f"event {name} {REFUSED[name][1]}")
    assert {key: error[: len(REFUSED[name][1])] for key, error in quarantine(reporter).items()} == {
        ("event", name): REFUSED[name][1]
    }
    assert of_alice(reporter) == []
    assert good_are_told(reporter)


@pytest.mark.parametrize("name", TOLD)
def test_e1_an_event_that_is_merely_odd_is_told(reporter: Reporter, name: str) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"), *GROUPS[1:])
    reporter.store(*poison(name), *GOOD)

    result = reporter.run(START)

    assert (result.failures, quarantine(reporter)) == ([], {})
    assert of_alice(reporter) == [name]
    assert good_are_told(reporter)
    assert reporter.recipients().count(ALICE) == 2


def test_e1_all_of_them_at_once_leave_a_thousand_good_events_alone(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"), *GROUPS[1:])
    mixed = [*poison(*REFUSED, *TOLD), *GOOD]
    reporter.store(*mixed[::2], *mixed[1::2])

    with caplog.at_level(logging.INFO):
        result = reporter.run(START)

    assert of_alice(reporter) == sorted(TOLD)
    assert good_are_told(reporter)
    assert {reference for _, reference in quarantine(reporter)} == set(REFUSED)
    assert (result.total("events"), result.total("bad")) == (len(mixed), len(REFUSED))
    again = reporter.run(START + TEN)
    assert (again.exit_code, again.total("events")) == (0, 0)


def test_e1_times_out_of_this_world_are_put_on_the_edge_and_flagged(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    reporter.groups()
    late = with_message("late", message(CeaseTime="2100-01-01T00:00:00.000001Z"))
    edges = with_message("edges", message(EventTime="1970-01-01T00:00:00Z", CeaseTime="2100-01-01T00:00:00Z"))
    reporter.store(*poison(*TOLD), late, edges, *GOOD)

    with caplog.at_level(logging.INFO):
        result = reporter.run(START)

    of_chain = {report["chain"][0]: report for report in reporter.reports()}
    assert of_chain[ALICE]["statistics"]["odd_times"] == sorted([*ODD_TIMES, "late"])
    assert "odd_times" not in of_chain[BOB]["statistics"]
    lines = [
        line for found in of_chain[ALICE]["structured_data"]["regular"].values() for line in found.values()
    ]
    assert {line["first_time"] for line in lines} >= {"1970-01-01T00:00:00"}
    assert max(line["last_time"] for line in lines) == "2100-01-01T00:00:00"
    assert result.total("odd_times") == len(ODD_TIMES) + 1
    assert f"odd times {len(ODD_TIMES) + 1}" in result.log_line()
    for name in ODD_TIMES:
        assert f"event {name}: has a time outside 1970 to 2100, which is put on that edge" in caplog.messages


# E2

NASTY: Final = st.text(
    st.one_of(
        st.sampled_from("\0\ud800\udfff\udc80\n\r\u2028\u202e\x85\x1b"), st.characters(codec=None)
    ),
    max_size=20,
)  # fmt: skip
STRINGS: Final = st.fixed_dictionaries(
    {"Category": st.lists(NASTY, min_size=1)},
    optional={
        **dict.fromkeys(("Description", "Note", "DetectTime", "ID", "TLP", "Format"), NASTY),
        "Ref": st.lists(NASTY),
        "_Mentat": st.fixed_dictionaries({"EventSubclass": NASTY, "ResolvedAbuses": st.lists(NASTY)}),
        "Node": st.lists(st.fixed_dictionaries({"Name": NASTY, "SW": st.lists(NASTY)})),
        "Attach": st.lists(st.fixed_dictionaries({"Name": st.lists(NASTY), "Content": NASTY})),
        "Target": st.lists(
            st.fixed_dictionaries({"IP4": st.lists(NASTY), "Hostname": st.lists(NASTY), "URL": NASTY})
        ),
    },
)
ROUND: Final = itertools.count()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STRINGS, min_size=1, max_size=12), st.sampled_from(["scan", None]))
def test_e2_nul_and_surrogates_in_any_string_are_stored_and_mailed(
    reporter: Reporter, messages: list[dict[str, Any]], event_class: str | None
) -> None:
    if not reporter.rows("select * from groups"):
        reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"))
    number = next(ROUND)
    hi = START + timedelta(hours=number)
    stored = [
        event(f"{number} {place}", hi - TEN, event_class=event_class)._replace(
            message=json.dumps({**found, "Source": [{"IP4": [f"192.0.2.{place}"]}]}).encode()
        )
        for place, found in enumerate(messages)
    ]
    reporter.store(*stored)
    known = reporter.value("select coalesce(max(id), 0) from reports_events")
    mails = len(reporter.mails())

    result = reporter.ad_hoc(hi - 2 * TEN, hi)

    assert result.failures == []
    summary, *extras = sorted(reporter.reports(known), key=lambda report: str(report["type"]), reverse=True)
    assert summary["statistics"]["list_ids"] == sorted(found.id for found in stored)
    assert len(extras) == len(messages)
    new = reporter.mails()[mails:]
    assert len(new) == 1 + len(messages)
    assert {mail["To"] for mail in new} == {ALICE}
    assert all("\0" not in text_of(mail) for mail in new)


MEASURE: Final = (
    "import resource, subprocess, sys;"
    "code = subprocess.run(sys.argv[1:]).returncode;"
    "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)
"""Starts a program from a small process: a child begins with the peak of the one that it was made from."""


def run_program(reporter: Reporter) -> tuple[int, int]:
    """Run the program as cron does, as of START; return its exit code and its peak of memory in bytes."""
    done = program(
        reporter, "--regular", "--time-high", START.isoformat(), python=("-c", MEASURE, sys.executable)
    )
    code, peak = done.stdout.splitlines()[-1].split()
    return int(code), int(peak) * 1024


def scattered(number: int, prefix: str = "10") -> list[str]:
    """Return addresses of which no two touch."""
    return [
        f"{prefix}.{place * 2 >> 16 & 255}.{place * 2 >> 8 & 255}.{place * 2 & 255}"
        for place in range(number)
    ]


LARGE: Final[dict[str, bytes]] = {
    "a note of 10 MB": message(Note="many words " * MEGABYTE),
    "a note of 10 MB in other letters": message(Note="řečí\n" * 2 * MEGABYTE),
    "a description of 10 MB": message(Description="many words " * MEGABYTE),
    "100,000 addresses in a row": message(
        Source=[{"IP4": [f"10.{place >> 16}.{place >> 8 & 255}.{place & 255}" for place in range(100_000)]}]
    ),
    "100,000 addresses": message(Source=[{"IP4": ["192.0.2.1", *scattered(100_000)]}]),
    "100,000 sections": message(Source=[{"IP4": [found], "Port": [22]} for found in scattered(100_000)]),
    "2,000 sources and 2,000 targets": message(
        Source=[{"IP4": scattered(2000)}], Target=[{"IP4": scattered(2000, "11")}]
    ),
    "10,000 sources and 10,000 targets": message(
        Source=[{"IP4": scattered(10_000)}], Target=[{"IP4": scattered(10_000, "11"), "Hostname": ["h"]}]
    ),
    "500 sources and a long name": message(
        Source=[{"IP4": scattered(500)}], Target=[{"Hostname": ["h" * 900_000], "IP4": scattered(500)}]
    ),
}


@pytest.mark.parametrize(
    ("name", "mode"),
    [*((name, "summary") for name in LARGE), ("500 sources and a long name", "both")],
)
def test_e2_a_large_event_is_stored_and_mailed_in_little_memory(
    reporter: Reporter, name: str, mode: str, record_property: Any
) -> None:
    reporter.groups(group(ALICE, "10.0.0.0/8", "192.0.2.0/24", mode=mode), *GROUPS[1:])
    reporter.store(with_message(name, LARGE[name]), *GOOD)

    code, peak = run_program(reporter)

    record_property("peak", peak)
    assert code == 0
    assert of_alice(reporter) == [name]
    assert good_are_told(reporter)
    assert ALICE in reporter.recipients()
    assert peak < 512 * MEGABYTE


def test_e2_an_oversized_event_is_listed_counted_and_told_without_its_details(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", locale="cs"), *GROUPS[1:])
    hosts = [{"Hostname": ["small.example"], "Port": [4711]}]
    large = [{"Hostname": ["large.example"], "Port": [4712]}]
    reporter.store(
        with_message("large", message(Target=large, Note="x" * MEGABYTE)),
        with_message("small", message(Target=hosts)),
        *GOOD,
    )

    with caplog.at_level(logging.INFO):
        result = reporter.run(START)

    of_chain = {report["chain"][0]: report for report in reporter.reports()}
    assert of_chain[ALICE]["statistics"]["oversized"] == ["large"]
    assert "oversized" not in of_chain[CAROL]["statistics"]
    stored = json.dumps(of_chain[ALICE]["structured_data"])
    assert "small.example" in stored
    assert "large.example" not in stored
    assert result.total("oversized") == 1
    assert "oversized 1" in result.log_line()
    assert "event large: is too large, it is told without its details" in caplog.messages
    texts = {mail["To"]: text_of(mail) for mail in reporter.mails()}
    assert "Podrobnosti 1 velmi rozsáhlé události jsou vynechány" in " ".join(texts[ALICE].split())
    assert "4711" in texts[ALICE]
    assert "4712" not in texts[ALICE]
    assert "very large" not in texts[BOB]


def test_e2_a_mail_says_how_many_events_are_left_without_details(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(*(with_message(name, message(Note="x" * MEGABYTE)) for name in ("one", "two")))

    reporter.run(START)

    [mail] = reporter.mails()
    text = " ".join(text_of(mail).split())
    assert "The details of 2 very large events are left out; ask us for them." in text


def test_e2_a_message_of_just_a_mebibyte_is_not_oversized(reporter: Reporter) -> None:
    reporter.groups()
    empty = len(message(Note=""))
    reporter.store(
        with_message("just", message(Note="x" * (MEGABYTE - empty))),
        with_message("over", message(Note="x" * (MEGABYTE - empty + 1))),
    )

    reporter.run(START)

    assert reporter.reports()[0]["statistics"]["oversized"] == ["over"]


# E3


def test_e3_owners_get_their_parts(reporter: Reporter) -> None:
    reporter.groups(
        group(ALICE, "192.0.2.0/24"), group(BOB, "198.51.100.0/24"), group(CAROL, "198.51.101.0/24")
    )
    reporter.store(
        event("everything", AT, "0.0.0.0/0"),
        event("two halves", AT, "198.51.100.0/23"),
        event("reversed", AT, "198.51.101.5-198.51.100.250"),
        event("turned", AT, "192.0.2.9-192.0.2.3"),
        event("host bits", AT, "198.51.100.77/23"),
    )

    result = reporter.run(START)

    told = {
        report["chain"][0]: dict(report["structured_data"]["regular"]["scan"])
        for report in reporter.reports()
    }
    assert result.failures == []
    assert {name: set(lines) for name, lines in told.items()} == {
        ALICE: {"192.0.2.0/24", "192.0.2.3-192.0.2.9"},
        BOB: {"198.51.100.0/24", "198.51.100.250-198.51.100.255"},
        CAROL: {"198.51.101.0/24", "198.51.101.0-198.51.101.5"},
    }
    assert told[BOB]["198.51.100.0/24"]["event_count"] == 3
    assert result.total("unowned_addresses") > 0  # the rest of everything
    assert reporter.told() == {
        ALICE: ["everything", "turned"],
        BOB: ["everything", "host bits", "reversed", "two halves"],
        CAROL: ["everything", "host bits", "reversed", "two halves"],
    }
