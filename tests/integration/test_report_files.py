"""Each stored report has its events in a file, which is there before the report is (docs/formats.md)."""

import json
import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from integration.helpers_run import (
    ALICE,
    BOB,
    DAY,
    GROUPS,
    MINUTE,
    START,
    Reporter,
    Stored,
    event,
    group,
    reporter,
)

from mentat_reporter.files import FileSteps
from mentat_reporter.outside import Outside

__all__ = ["reporter"]

TEN = 10 * MINUTE
AT = START - MINUTE


def folder(reporter: Reporter) -> Path:
    return reporter.home / "reports"


def files(reporter: Reporter) -> dict[str, list[Any]]:
    """Return the events of each JSON file by the label in its name."""
    return {
        path.name.removeprefix("security-report-").removesuffix(".json"): json.loads(path.read_bytes())
        for path in folder(reporter).rglob("security-report-*.json")
    }


def ids(messages: list[Any]) -> list[str]:
    return sorted(message["ID"] for message in messages)


def test_every_report_has_a_file_with_the_events_that_it_tells(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"), *GROUPS[1:])
    reporter.store(
        event("one", AT, "192.0.2.1", "192.0.2.2"), event("two", AT, "192.0.2.2"),
        event("three", AT, "198.51.100.1", targets=("192.0.2.9",), target_severity="low"),
    )  # fmt: skip

    reporter.run(START)

    found = files(reporter)
    reports = reporter.reports()
    assert {report["type"] for report in reports} == {"summary", "extra", "target"}
    assert {label: ids(messages) for label, messages in found.items()} == {
        report["label"]: sorted(report["statistics"]["list_ids"]) for report in reports
    }


def test_a_file_lies_under_the_day_that_its_label_names(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", START - 3 * DAY))
    reporter.run(START - 3 * DAY + MINUTE)
    reporter.store(event("two", START - 2 * DAY, "192.0.2.2"))

    reporter.run(START)  # catches up, a day at a time

    [path] = [path for path in folder(reporter).rglob("security-*.json") if b'"two"' in path.read_bytes()]
    assert path.parent.name == path.name.removeprefix("security-report-M")[:8] == "20260503"


def test_messages_are_as_they_are_stored_byte_by_byte(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"))
    message = b'{ "ID" : "one",\n "Source":[{"IP4":["192.0.2.1"]}], "X": 1.50, "Note": "\xc4\x8d\\u010d" }'
    reporter.store(event("one", AT, message=None)._replace(message=message))

    reporter.run(START)

    contents = [path.read_bytes() for path in folder(reporter).rglob("security-*.json")]
    assert contents == [b"[\n" + message + b"\n]\n"] * 2


@pytest.mark.parametrize(
    "message",
    [
        b'\xef\xbb\xbf{"ID": "odd", "Source": [{"IP4": ["192.0.2.1"]}]}',
        b'{"ID": "odd", "Source": [{"IP4": ["192.0.2.1"]}], "Note": "\xff"}',
        b'{"ID": "odd", "Source": [{"IP4": ["192.0.2.1"]}], "ConnCount": NaN, "X": [1e400]}',
        b'{"ID": "odd", "Source": [{"IP4": ["192.0.2.1"]}], "Note": "a\nb", "Y": "\\ud800"}',
        b'{"ID": "odd", "Source": [{"IP4": ["192.0.2.1"]}], "ConnCount": ' + b"9" * 4000 + b"}",
    ],
    ids=["byte order mark", "no UTF-8", "not a number", "control character", "endless number"],
)
def test_what_is_no_strict_json_is_written_as_it_was_understood(reporter: Reporter, message: bytes) -> None:
    reporter.groups()
    reporter.store(event("odd", AT)._replace(message=message), event("good", AT, "192.0.2.2"))

    reporter.run(START)

    [path] = folder(reporter).rglob("security-*.json")

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    assert ids(json.loads(path.read_bytes(), parse_constant=refuse)) == ["good", "odd"]


def test_many_events_are_all_there(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"))
    reporter.store(*(event(f"{number:05}", AT, f"192.0.2.{number % 3}") for number in range(2500)))

    reporter.run(START)

    assert sorted(map(len, files(reporter).values())) == [833, 833, 834, 2500]


def test_a_dry_run_writes_no_file(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))

    reporter.run(START, dry_run=True)

    assert not folder(reporter).exists()


# D1: there is no report without its file


def one_each(reporter: Reporter) -> tuple[Stored, ...]:
    reporter.groups()
    found = event("a", AT, severity="high"), event("b", AT, "198.51.100.1", severity="high")
    reporter.store(*found)
    return found


@pytest.mark.parametrize("step", ["make_folder", "open", "write", "sync", "rename"])
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), PermissionError(13, "Permission denied")]
)
def test_d1_a_file_that_cannot_be_written_puts_its_unit_off(
    reporter: Reporter, step: str, error: OSError
) -> None:
    one_each(reporter)
    faults = iter([error])

    def failing(*arguments: Any) -> Any:
        for fault in faults:
            raise fault
        return real(*arguments)

    real = getattr(FileSteps(), step)
    reporter.outside = Outside(files=FileSteps(**{step: failing}))

    result = reporter.run(START)

    assert result.exit_code == 3
    [failure] = [line for line in result.failures if "will be tried again" in line]
    assert f"report files cannot be written below {reporter.home}/reports: {error.strerror}" in failure
    assert "; make room or allow it, or name another folder (reports_dir" in failure
    assert reporter.told() == {BOB: ["b"]}
    assert reporter.recipients() == [BOB]
    assert len(files(reporter)) == 1

    assert reporter.run(START + TEN).exit_code == 0

    assert reporter.told() == {ALICE: ["a"], BOB: ["b"]}
    assert sorted(reporter.recipients()) == [ALICE, BOB]
    assert files(reporter).keys() == {report["label"] for report in reporter.reports()}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_d1_a_reports_folder_that_is_not_ours_puts_all_units_off(reporter: Reporter) -> None:
    one_each(reporter)
    folder(reporter).mkdir(mode=0o500)

    result = reporter.run(START)

    assert sum("Permission denied" in line for line in result.failures) == 2
    assert (reporter.reports(), reporter.mails()) == ([], [])


def test_d1_a_file_in_the_folders_place_is_named(reporter: Reporter) -> None:
    one_each(reporter)
    folder(reporter).write_text("not a folder")

    result = reporter.run(START)

    assert sum("will be tried again" in line and "reports" in line for line in result.failures) == 2
    assert (reporter.reports(), reporter.mails()) == ([], [])


def test_d1_a_unit_that_fails_after_its_files_leaves_none(reporter: Reporter) -> None:
    one_each(reporter)
    reporter.execute("alter table mentat_reporter.outbox add check (report_label = '')")

    reporter.run(START)

    assert (reporter.reports(), files(reporter)) == ([], {})


def test_files_are_for_the_owner_and_the_group(reporter: Reporter) -> None:
    one_each(reporter)
    before = os.umask(0)
    try:
        reporter.run(START)
    finally:
        os.umask(before)

    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in folder(reporter).rglob("*")}
    assert modes == {True: 0o750, False: 0o640}


def test_events_that_are_gone_when_the_file_is_written_are_in_it_all_the_same(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT), event("two", AT, "192.0.2.2"))

    def sweeping(path: Path, mode: int) -> None:
        reporter.execute("delete from events_json where id = 'two'")
        path.mkdir(mode)

    reporter.outside = Outside(files=FileSteps(make_folder=sweeping))

    reporter.run(START)

    assert reporter.told() == {ALICE: ["one", "two"]}
    assert [ids(messages) for messages in files(reporter).values()] == [["one", "two"]]


def test_a_report_is_read_as_json_by_others(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))

    reporter.run(START)

    [path] = folder(reporter).rglob("security-*.json")
    assert [message["Format"] for message in orjson.loads(path.read_bytes())] == ["IDEA0"]
