"""What goes with a report's mail, and what lies in its folder (docs/reports.md#attachments)."""

import csv
import io
import json
import zipfile
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from integration.helpers_run import (
    ALICE,
    BOB,
    DAY,
    HOUR,
    MINUTE,
    START,
    Reporter,
    event,
    group,
    reporter,
)
from xarf.schema_validator import SchemaValidator

from mentat_reporter.files import FileSteps
from mentat_reporter.outside import Outside

__all__ = ["reporter"]

TEN = 10 * MINUTE
AT = START - MINUTE
LARGE = 10**6
PREFIX = len("security-report-M20260504SL-7QK2F9XA")
SCAN = {"Source": [{"IP4": ["192.0.2.1"], "Port": [40000], "Proto": ["tcp"]}], "Target": [{"Port": [22]}]}


def filled(reporter: Reporter, **settings: Any) -> None:
    """Give Alice two events at one address and one at another."""
    reporter.groups(group(ALICE, "192.0.2.0/24", **settings))
    reporter.store(
        event("one", AT - HOUR), event("two", AT, "192.0.2.1", "192.0.2.2"),
        event("three", AT, "192.0.2.2", "198.51.100.7", message={"Note": "=1+1"}),
    )  # fmt: skip


def folder(reporter: Reporter) -> dict[str, bytes]:
    """Return the files of reports by the end of their names, after the label."""
    return {path.name[PREFIX:]: path.read_bytes() for path in reports_of(reporter)}


def reports_of(reporter: Reporter) -> list[Path]:
    return sorted((reporter.home / "reports").rglob("security-report-*"))


def attached(mail: EmailMessage) -> dict[str, tuple[str, bytes]]:
    """Return type and content of what is attached, by the end of the name."""
    found = {}
    for part in mail.iter_attachments():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found[str(part.get_filename())[PREFIX:]] = (part.get_content_type(), content)
    return found


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert isinstance(body, EmailMessage)
    return str(body.get_content())


# What is attached


@pytest.mark.parametrize(
    ("kind", "endings"),
    [("none", set()), ("json", {".json"}), ("csv", {".csv"}), ("all", {".json", ".csv"}), (None, set())],
)
def test_a_group_gets_what_it_wants(reporter: Reporter, kind: str | None, endings: set[str]) -> None:
    filled(reporter, attachments=kind)

    reporter.run(START)

    [mail] = reporter.mails()
    files = folder(reporter)
    assert files.keys() == {".json", ".csv", ".html"}
    types = {".json": "application/json", ".csv": "text/csv"}
    assert attached(mail) == {ending: (types[ending], files[ending]) for ending in endings}


def test_the_default_is_for_groups_that_do_not_say(reporter: Reporter) -> None:
    reporter.config["__core__reporter"]["default_attachments"] = "csv"
    filled(reporter)

    reporter.run(START)

    assert attached(reporter.mails()[0]).keys() == {".csv"}


def test_the_command_line_goes_before_the_group(reporter: Reporter) -> None:
    filled(reporter, attachments="all")

    reporter.run(START, force_attachments="json")

    assert attached(reporter.mails()[0]).keys() == {".json"}


def test_the_table_has_a_row_for_each_event_and_own_address(reporter: Reporter) -> None:
    filled(reporter)

    reporter.run(START)

    found = rows(folder(reporter)[".csv"])
    assert [(row["event_id"], row["source_ip"]) for row in found] == [
        ("one", "192.0.2.1"), ("three", "192.0.2.2"), ("two", "192.0.2.1"), ("two", "192.0.2.2"),
    ]  # fmt: skip
    assert {(row["class"], row["severity"]) for row in found} == {("scan", "low")}
    assert [row["note"] for row in found] == ["", "'=1+1", "", ""]
    assert found[0]["detect_time"] == "2026-05-04T10:59:00Z"


def test_a_byte_order_mark_where_it_is_configured(reporter: Reporter) -> None:
    reporter.config["__core__reporter"]["csv_bom"] = True
    filled(reporter, mode="both")

    reporter.run(START)

    tables = [path.read_bytes() for path in reports_of(reporter) if path.suffix == ".csv"]
    assert [table.startswith(b"\xef\xbb\xbfdetect_time,") for table in tables] == [True] * 3


def test_an_extra_report_has_the_rows_of_its_address(reporter: Reporter) -> None:
    filled(reporter, mode="extra", attachments="all")

    reporter.run(START)

    found = {str(mail["X-Mentat-Report-Src-IP"]): attached(mail) for mail in reporter.mails()}
    assert {
        address: [(row["event_id"], row["source_ip"]) for row in rows(files[".csv"][1])]
        for address, files in found.items()
    } == {
        "192.0.2.1": [("one", "192.0.2.1"), ("two", "192.0.2.1")],
        "192.0.2.2": [("three", "192.0.2.2"), ("two", "192.0.2.2")],
    }
    assert {
        address: [message["ID"] for message in json.loads(files[".json"][1])]
        for address, files in found.items()
    } == {"192.0.2.1": ["one", "two"], "192.0.2.2": ["three", "two"]}


def test_a_target_report_has_the_rows_of_what_was_attacked(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", attachments="csv"))
    reporter.store(
        event(
            "a", AT, "198.51.100.1", targets=("192.0.2.9", "192.0.2.8"), severity=None, target_severity="low"
        )
    )

    reporter.run(START)

    [mail] = reporter.mails()
    found = rows(attached(mail)[".csv"][1])
    assert sorted((row["target_ip"], row["source_ip"], row["class"]) for row in found) == [
        ("192.0.2.8", "198.51.100.1", "attack"), ("192.0.2.9", "198.51.100.1", "attack"),
    ]  # fmt: skip


def test_what_comes_again_is_in_the_table_too(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", timing={"low": {"threshold": "2days", "relapse": "1day"}}))
    reporter.store(event("first", AT))
    reporter.run(START)
    reporter.store(event("held", START + DAY + HOUR))
    reporter.run(START + DAY + 2 * HOUR)
    reporter.run(START + 2 * DAY)

    reporter.run(START + 3 * DAY)

    tables = [
        [row["event_id"] for row in rows(path.read_bytes())]
        for path in reports_of(reporter)
        if path.suffix == ".csv"
    ]
    assert sorted(tables) == [["first"], ["held"]]


def test_a_shadow_report_has_its_files_too(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT, shadow=True))

    reporter.run(START)

    assert folder(reporter).keys() == {".json", ".csv", ".html"}
    assert reporter.mails() == []


def test_the_part_of_a_network_that_a_group_owns_is_its_address(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/25"), group(BOB, "192.0.2.128/25"))
    reporter.store(event("net", AT, "192.0.2.0/24"))

    reporter.run(START)

    tables = [rows(path.read_bytes()) for path in reports_of(reporter) if path.suffix == ".csv"]
    assert sorted(row["source_ip"] for table in tables for row in table) == ["192.0.2.0/25", "192.0.2.128/25"]


# Compressed


@pytest.mark.parametrize(
    ("kind", "members", "is_attached"),
    [
        ("none", {".json", ".csv"}, False),
        ("json", {".json"}, True),
        ("csv", {".csv"}, True),
        ("all", {".json", ".csv"}, True),
    ],
)
def test_a_group_that_wants_it_compressed_gets_one_archive(
    reporter: Reporter, kind: str, members: set[str], is_attached: bool
) -> None:
    filled(reporter, attachments=kind, compress=True)

    reporter.run(START)

    files = folder(reporter)
    with zipfile.ZipFile(io.BytesIO(files[".zip"])) as archive:
        assert archive.testzip() is None
        found = {name[PREFIX:]: archive.read(name) for name in archive.namelist()}
        assert not [name for name in archive.namelist() if "/" in name]
    assert found == {ending: files[ending] for ending in members}
    expected = {".zip": ("application/zip", files[".zip"])} if is_attached else {}
    assert attached(reporter.mails()[0]) == expected


# Too large


def many(reporter: Reporter, **settings: Any) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", attachments="all", **settings))
    reporter.store(*(event(f"{number:03}", AT) for number in range(200)))


def test_what_is_too_large_is_compressed(reporter: Reporter) -> None:
    many(reporter, max_attachment_size=20_000)

    reporter.run(START)

    files = folder(reporter)
    assert len(files[".json"]) + len(files[".csv"]) > 20_000 > len(files[".zip"])
    assert attached(reporter.mails()[0]) == {".zip": ("application/zip", files[".zip"])}


@pytest.mark.parametrize("limit", [0, 500])
@pytest.mark.parametrize(("compress", "left_out"), [(False, {".json", ".csv"}), (True, {".zip"})])
def test_what_is_still_too_large_is_left_out_and_named(
    reporter: Reporter, limit: int, compress: bool, left_out: set[str]
) -> None:
    many(reporter, max_attachment_size=limit, compress=compress)

    reporter.run(START)

    [mail] = reporter.mails()
    assert attached(mail) == {}
    text = " ".join(text_of(mail).split())
    [label] = [report["label"] for report in reporter.reports()]
    for ending in left_out:
        assert f"security-report-{label}{ending}" in text
    assert str(reporter.home / "reports" / "20260504") in text.replace(" ", "")


def test_where_reports_are_published_a_mail_points_there(reporter: Reporter) -> None:
    reporter.config["__core__reporter"]["reports_url"] = "https://cert.example.org/reports"
    many(reporter, max_attachment_size=0)

    reporter.run(START)

    text = text_of(reporter.mails()[0])
    assert "https://cert.example.org/reports/20260504/" in text
    assert str(reporter.home) not in text


def test_the_limit_of_the_command_line_goes_before_the_group(reporter: Reporter) -> None:
    many(reporter, max_attachment_size=LARGE)

    reporter.run(START, force_max_attachment_size=0)

    assert attached(reporter.mails()[0]) == {}


def test_a_limit_below_zero_is_named_and_the_default_is_used(reporter: Reporter) -> None:
    many(reporter)
    reporter.execute("update mentat_reporter.group_settings set max_attachment_size = -1")

    result = reporter.run(START)

    assert result.failures == [f"group {ALICE}: max_attachment_size -1 is below 0; the default is used"]
    assert attached(reporter.mails()[0]).keys() == {".json", ".csv"}


# XARF


def with_xarf(reporter: Reporter, **settings: Any) -> None:
    reporter.config["__core__reporter"]["xarf"] = True
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both", **settings))
    reporter.store(
        event("one", AT - HOUR, message=SCAN), event("two", AT, message=SCAN),
        event("odd", AT, category="Anomaly.Traffic", event_class="strange"),
    )  # fmt: skip


def test_an_extra_report_has_a_document_for_each_class_that_xarf_knows(reporter: Reporter) -> None:
    with_xarf(reporter)

    reporter.run(START)

    summary, extra = reporter.mails()
    assert attached(summary) == {}
    [(name, (kind, content))] = attached(extra).items()
    found = json.loads(content)
    assert (name, kind) == ("-scan.xarf.json", "application/json")
    assert SchemaValidator().validate(found) == []
    assert (found["source_identifier"], found["source_port"], found["event_count"]) == ("192.0.2.1", 40000, 2)
    assert found["timestamp"] == "2026-05-04T10:59:00Z"
    assert found["reporter"] == {
        "org": "Reporter", "contact": "reports@reporter.example", "domain": "reporter.example",
    }  # fmt: skip
    assert "strange" in text_of(extra)
    assert folder(reporter)["-scan.xarf.json"] == content


def test_documents_count_into_the_limit(reporter: Reporter) -> None:
    with_xarf(reporter, max_attachment_size=10)

    reporter.run(START)

    extra = reporter.mails()[1]
    assert attached(extra) == {}
    assert "-scan.xarf.json" in "".join(text_of(extra).split())


def test_nobody_gets_documents_where_they_are_not_configured(reporter: Reporter) -> None:
    with_xarf(reporter)
    del reporter.config["__core__reporter"]["xarf"]

    reporter.run(START)

    assert [attached(mail) for mail in reporter.mails()] == [{}, {}]


def test_a_class_that_names_its_type_in_its_folder_has_a_document_of_it(reporter: Reporter) -> None:
    folder_of = reporter.home / "classes" / "strange"
    folder_of.mkdir(parents=True)
    (folder_of / "info.json").write_text('{"xarf": "infrastructure/compromised_server"}')
    reporter.config["__core__reporter"]["event_classes_dir"] = str(folder_of.parent)
    with_xarf(reporter)

    reporter.run(START)

    documents = attached(reporter.mails()[1])
    assert documents.keys() == {"-scan.xarf.json", "-strange.xarf.json"}
    found = json.loads(documents["-strange.xarf.json"][1])
    assert (found["category"], found["type"]) == ("infrastructure", "compromised_server")


def test_a_type_that_is_none_is_named(reporter: Reporter) -> None:
    folder_of = reporter.home / "classes" / "scan"
    folder_of.mkdir(parents=True)
    (folder_of / "info.json").write_text('{"xarf": "connection/nonsense"}')
    reporter.config["__core__reporter"]["event_classes_dir"] = str(folder_of.parent)
    with_xarf(reporter)

    result = reporter.run(START)

    assert [failure for failure in result.failures if "'connection/nonsense' is no XARF type" in failure]
    assert attached(reporter.mails()[1]).keys() == {"-scan.xarf.json"}


# Again


@pytest.mark.parametrize("ending", [".json", ".csv", ".zip", ".html", "-scan.xarf.json"])
def test_a_file_that_cannot_be_written_leaves_no_other_and_a_redo_writes_the_same(
    reporter: Reporter, ending: str
) -> None:
    with_xarf(reporter, attachments="all", compress=True)

    def failing(draft: Path, path: Path) -> None:
        if path.name.endswith(ending):
            raise OSError(28, "No space left on device", str(path))
        FileSteps().rename(draft, path)

    reporter.outside = Outside(files=FileSteps(rename=failing))
    assert reporter.run(START).exit_code == 3
    assert reports_of(reporter) == []
    assert list((reporter.home / "reports").rglob("*.part")) == []

    reporter.outside = Outside()
    reporter.run(START + TEN)

    assert len(reporter.reports()) == 2
    first = {path.name: path.read_bytes() for path in reports_of(reporter)}
    assert {name[PREFIX:] for name in first} == {".json", ".csv", ".zip", ".html", "-scan.xarf.json"}


def test_a_redo_writes_the_same_bytes(reporter: Reporter) -> None:
    with_xarf(reporter, attachments="all", compress=True)
    kept: dict[str, bytes] = {}

    def keeping(path: Path) -> None:
        kept[path.name] = path.read_bytes()
        path.unlink()

    reporter.execute("alter table mentat_reporter.outbox add constraint no check (report_label = '')")
    reporter.outside = Outside(files=FileSteps(remove=keeping))
    reporter.run(START)
    assert reports_of(reporter) == []
    reporter.execute("alter table mentat_reporter.outbox drop constraint no")

    reporter.run(START + TEN)

    again = {path.name: path.read_bytes() for path in reports_of(reporter)}
    assert again == {name: content for name, content in kept.items() if name.startswith("security")}


def test_a_dry_run_encloses_nothing(reporter: Reporter) -> None:
    filled(reporter, attachments="all")

    assert reporter.run(START, dry_run=True).exit_code == 0
    assert not (reporter.home / "reports").exists()
