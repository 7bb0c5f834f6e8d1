"""I5: files, against the reports and mails that they belong to."""

import json
import re
import zipfile
from pathlib import Path
from typing import Final

from faults import books
from faults.mailcheck import as_received
from psycopg2.extensions import connection as Connection  # noqa: N812 - the class, named as the type it is

LABEL: Final = re.compile(r"M\d{8}[A-Z]+-[0-9A-Z]+")


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
        if path.is_file():
            named = LABEL.search(path.name)
            label = named[0] if named else ""
            seen.add(label)
            if label not in stored:
                faults.append(f"file {path.name} belongs to no stored report")
            elif wrong := _wrong(path, stored[label]):
                faults.append(f"file {path.name} {wrong}")
    if seen:
        faults.extend(f"report {label} has no file" for label in sorted(stored.keys() - seen))


def _wrong(path: Path, ids: set[str]) -> str | None:
    """Say what is wrong with a file of the report of these events."""
    content = path.read_bytes()
    if path.name.startswith(".") or path.suffix in (".part", ".tmp"):
        return "is left over from a run that was interrupted"
    if path.suffix == ".zip":
        return None if zipfile.is_zipfile(path) and zipfile.ZipFile(path).testzip() is None else "is no ZIP"
    if path.suffix != ".json":
        return None if content.endswith(b"\n") else "ends in the middle of a line"
    try:
        listed = json.loads(content)
    except ValueError as error:
        return f"is no JSON: {error}"
    found = {event.get("ID") for event in listed}
    return None if found == ids else f"tells of {sorted(found ^ ids)} more or less than its report"


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
