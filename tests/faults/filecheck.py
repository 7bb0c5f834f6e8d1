"""I5: files, against the reports and mails that they belong to."""

import csv
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Final

from faults import books
from faults.mailcheck import as_received
from psycopg2.extensions import connection as Connection  # noqa: N812 - the class, named as the type it is

LABEL: Final = re.compile(r"M\d{8}[A-Z]+-[0-9A-Z]+")
KINDS: Final = (".json", ".csv", ".html")
"""Every report has a file of each."""
HEADER: Final = [
    "detect_time", "event_time", "cease_time", "create_time", "class", "categories", "severity", "source_ip",
    "source_port", "source_hostname", "target_ip", "target_port", "protocol", "detector", "detector_sw",
    "conn_count", "flow_count", "packet_count", "byte_count", "description", "note", "ref", "event_id",
]  # fmt: skip


def check_reports(faults: list[str], connection: Connection, folder: Path) -> None:
    """Check the files of reports; a folder that is not there has none."""
    stored = {
        label: set(ids)
        for label, ids in books.rows(
            connection,
            "select label, array(select jsonb_array_elements_text(statistics -> 'list_ids'))"
            " from reports_events",
        )
    }
    seen = set()
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        named = LABEL.search(path.name)
        if named is None and path.stem.removeprefix(".") == "index":
            wrong = _wrong_index(path)
        elif named is None or named[0] not in stored:
            wrong = "belongs to no stored report"
        else:
            seen.add((named[0], path.name[named.end() :].removesuffix(".part")))
            wrong = _wrong(path, stored[named[0]])
        if wrong:
            faults.append(f"file {path.name} {wrong}")
    if seen:
        wanted = {(label, kind) for label in stored for kind in KINDS}
        faults.extend(f"report {label} has no file {kind}" for label, kind in sorted(wanted - seen))


def _wrong(path: Path, ids: set[str]) -> str | None:
    """Say what is wrong with a file of the report of these events."""
    if path.name.startswith(".") or path.suffix in (".part", ".tmp"):
        return "is left over from a run that was interrupted"
    if path.suffix == ".zip":
        return _wrong_archive(path)
    content = path.read_bytes()
    if path.suffix == ".html":
        return _wrong_page(content)
    return _wrong_table(content, ids) if path.suffix == ".csv" else _wrong_json(path, content, ids)


def _wrong_json(path: Path, content: bytes, ids: set[str]) -> str | None:
    try:
        listed = json.loads(content)
    except ValueError as error:
        return f"is no JSON: {error}"
    if path.name.endswith(".xarf.json"):
        return None if str(listed.get("xarf_version")).startswith("4.") else "is no XARF document"
    found = {event.get("ID") for event in listed}
    return None if found == ids else f"tells of {sorted(found ^ ids)} more or less than its report"


def _wrong_index(path: Path) -> str | None:
    if path.name.startswith("."):
        return "is left over from a run that was interrupted"
    content = path.read_bytes()
    if path.suffix == ".html":
        return _wrong_page(content)
    try:
        json.loads(content)
    except ValueError as error:
        return f"is no JSON: {error}"
    return None


def _wrong_page(content: bytes) -> str | None:
    return None if content.rstrip().endswith(b"</html>") else "ends in the middle of a page"


def _wrong_table(content: bytes, ids: set[str]) -> str | None:
    if not content.endswith(b"\r\n"):
        return "ends in the middle of a line"
    header, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    if header != HEADER or any(len(row) != len(HEADER) for row in rows):
        return "has other columns than are promised"
    found = [(row[-1], row[HEADER.index("source_ip")], row[HEADER.index("target_ip")]) for row in rows]
    if len(found) != len(set(found)):
        return "tells of an event twice at an address"
    told = {event for event, _, _ in found}
    return None if told == ids else f"tells of {sorted(told ^ ids)} more or less than its report"


def _wrong_archive(path: Path) -> str | None:
    if not zipfile.is_zipfile(path):
        return "is no ZIP"
    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            return "is no ZIP"
        for name in archive.namelist():
            beside = path.with_name(name)
            if Path(name).name != name or not beside.is_file() or archive.read(name) != beside.read_bytes():
                return f"has another {name} than the folder"
    return None


def check_maildir(faults: list[str], connection: Connection, folder: Path) -> None:
    """Check that a maildir has whole mails of the outbox and no drafts."""
    stored = {
        as_received(bytes(content))
        for (content,) in books.rows(connection, "select message from mentat_reporter.outbox")
    }
    faults.extend(f"mail {path.name} is left half written" for path in sorted((folder / "tmp").glob("*")))
    faults.extend(
        f"mail {path.name} is not as any of the outbox"
        for path in sorted((folder / "new").glob("*"))
        if as_received(path.read_bytes()) not in stored
    )
