"""All commands one after the other as an operator and cron call them, in processes of their own."""

import json
import re
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from factories import compiled_catalogues
from integration.helpers_run import MINUTE, START, event, group, insert_events
from integration.test_script import Caller

from mentat_reporter import imports
from mentat_reporter.lock import SimpleFlock
from mentat_reporter.settings import build_settings
from mentat_reporter.store.connection import Connection, connect

Completed = subprocess.CompletedProcess[str]


@pytest.fixture
def empty(tmp_path: Path, make_database: Callable[..., dict[str, str]]) -> dict[str, str]:
    compiled_catalogues()
    assert tmp_path
    return make_database(empty=True)


@pytest.fixture
def call(tmp_path: Path, empty: dict[str, str]) -> Caller:
    """Give a caller whose two databases are one, still without tables."""
    caller = Caller(tmp_path)
    query = "&".join(f"{name}={value}" for name, value in empty.items())
    caller.configure(
        {
            "__core__database": {"sqlstorage": {"url": f"postgresql:///?{query}"}},
            "mail_transport": "maildir",
            "mail_from": "reports@reporter.example",
        }
    )
    (tmp_path / "groups.json").write_text(
        json.dumps(
            {
                "groups": [group("abuse@a.example", "192.0.2.0/24")],
                "event_classes": [
                    {"name": "scan", "rule": "'Recon.Scanning' in Category", "severity": "high"}
                ],
            }
        )
    )
    message = {
        "Format": "IDEA0", "ID": "one", "DetectTime": "2026-05-04T11:55:00Z", "Category": ["Recon.Scanning"],
        "Source": [{"IP4": ["192.0.2.1"]}], "_Mentat": {"StorageTime": "2026-05-04T11:59:00Z"},
    }  # fmt: skip
    (tmp_path / "events.ndjson").write_text(json.dumps(message) + "\n")
    return caller


def ready(call: Caller) -> None:
    """Make the tables and import both files, in this process."""
    settings, _ = build_settings(json.loads(call.config.read_text()), home=call.home)
    imports.initialise(settings)
    assert imports.import_groups(settings, [str(call.cwd / "groups.json")], replace=False).faults == []
    assert imports.import_events(settings, [str(call.cwd / "events.ndjson")]).faults == []


def mails(call: Caller) -> list[str]:
    return [path.read_text() for path in (call.home / "maildir/new").glob("*")]


def test_from_an_empty_database_to_a_mail(call: Caller) -> None:
    made = call("init")
    groups = call("import-groups", "groups.json")
    events = call("import-events", "events.ndjson")
    report = call("report", "--regular", "--time-high", "2026-05-04T12:00Z")
    again = call("--regular", "--time-high", "2026-05-04T12:00Z")

    assert [done.returncode for done in (made, groups, events, report, again)] == [0] * 5
    assert "created schema mentat_reporter" in made.stdout
    assert "schema mentat_reporter is at" in call("init").stdout
    assert "1 messages: 1 stored" in events.stdout
    assert (report.stdout, report.stderr) == ("", "")  # cron hears nothing
    [mail] = mails(call)
    assert "To: abuse@a.example\n" in mail
    assert "run summary: 5 windows: events 1, reported 1" in call.log


def test_a_run_at_a_terminal_says_what_it_did(call: Caller) -> None:
    ready(call)

    shown = call("--time-low", "2026-05-04", "--time-high", "2026-05-04T12:00Z")

    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    [header] = [line for line in lines if line.startswith("severity")]
    assert header.split()[3:] == [
        "to", "events", "reported", "held", "relapsed", "filtered", "doubtful", "unowned", "bad", "reports",
        "mails",
    ]  # fmt: skip
    assert [line.split()[:1] + line.split()[5:7] for line in lines if line.startswith("high")] == [
        ["high", "1", "1"]
    ]
    assert "mail: 1 sent" in lines


def test_a_dry_run_prints_its_plan(call: Caller) -> None:
    ready(call)

    shown = call("--dry-run", "--time-low", "2026-05-04", "--time-high", "2026-05-04T12:00Z")

    assert shown.returncode == 0
    assert "summary high abuse@a.example: 1 events, mail to abuse@a.example" in shown.stdout.splitlines()
    assert mails(call) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--mail-test-mode", "--test-data", "--mail-to", "admin@domain.org"],
        ["--template-id", "another", "--locale", "cs"],
        ["--regular", "--interval", "10_minutes"],
    ],
    ids=" ".join,
)
def test_the_usage_lines_find_what_was_just_stored(
    call: Caller, empty: dict[str, str], words: list[str]
) -> None:
    ready(call)
    with closing(connect(empty, what="test", limits={})) as connection:
        store_now(connection, category="Test" if "--test-data" in words else "Recon.Scanning")
    if "--regular" in words:
        soon = datetime.now(UTC) + timedelta(minutes=10)
        words = [*words, "--time-high", soon.isoformat()]

    done = call(*words)

    assert done.returncode == 0, done.stderr
    [mail] = mails(call)
    if "--mail-to" in words:
        assert "To: admin@domain.org\n" in mail
        assert "X-Mentat-Report-Original-To: abuse@a.example\n" in mail
        assert "[TEST]" in mail
    if "cs" in words:
        assert "Kontakt: reports@reporter.example" in mail


def store_now(connection: Connection, category: str) -> None:
    insert_events(connection, (event("now", datetime.now(UTC), severity="high", category=category),))
    connection.commit()


def test_a_run_that_served_only_some_exits_3_and_says_why_once(call: Caller, empty: dict[str, str]) -> None:
    ready(call)
    with closing(connect(empty, what="test", limits={})) as connection:
        insert_events(
            connection, (event("torn", START - MINUTE, severity="high", message=None)._replace(message=b"{"),)
        )
        connection.commit()

    done = call("--regular", "--time-high", START.isoformat())

    assert done.returncode == 3
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert "event torn is no JSON" in line
    subjects = sorted(re.findall(r"^Subject: \[([a-zA-Z]+)", "".join(mails(call)), re.MULTILINE))
    assert subjects == ["M"]


def test_a_second_run_exits_75_and_is_calm(call: Caller) -> None:
    ready(call)

    call.home.mkdir(exist_ok=True)
    with SimpleFlock(call.home / "mentat-reporter.lock"):
        done = call("--regular", "--time-high", START.isoformat())

    assert done.returncode == 75
    assert "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.splitlines() + done.stdout.splitlines()) <= 1
    assert "holds the lock" in call.log
    assert mails(call) == []


def test_without_tables_a_run_says_what_to_do(call: Caller) -> None:
    done = call("--regular")

    assert done.returncode == 1
    assert "run `mentat-reporter.py init`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_bad_message_is_named_by_file_and_line_and_the_rest_is_stored(call: Caller) -> None:
    ready(call)
    (call.cwd / "more.ndjson").write_text('{"torn"\n{"Format": "IDEA0", "ID": "two", "Category": ["x"]}\n')

    done = call("import-events", "more.ndjson")

    assert done.returncode == 3
    assert "more.ndjson, line 1" in done.stderr
    assert "1 stored" in done.stdout


def test_groups_are_imported_all_or_none(call: Caller) -> None:
    ready(call)
    (call.cwd / "bad.json").write_text(
        json.dumps(
            {
                "groups": [
                    group("new@b.example", "198.51.100.0/24"),
                    {"name": "x", "networks": [{"network": "y"}]},
                ]
            }
        )
    )

    done = call("import-groups", "bad.json")

    assert done.returncode == 1
    assert "groups[1].networks[0].network" in done.stderr
    assert "new@b.example" not in call("--dry-run").stdout
