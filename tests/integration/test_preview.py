"""`preview`: what a run would send, or stored reports, as files; and that it changes nothing."""

import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as mail_policy
from pathlib import Path
from typing import Any, Final

import pytest
from integration.helpers_run import (
    ADMIN,
    ALICE,
    BOB,
    CAROL,
    DAY,
    GROUPS,
    HOUR,
    LOG,
    MINUTE,
    START,
    Reporter,
    event,
    group,
    reporter,
)

from mentat_reporter.errors import StoreError, UsageError
from mentat_reporter.lock import SimpleFlock
from mentat_reporter.outside import Outside
from mentat_reporter.preview import preview
from mentat_reporter.result import Answer
from mentat_reporter.store.state import try_lock

__all__ = ["reporter"]

AT = START - HOUR


class Preview:
    """What `preview` said and wrote."""

    def __init__(self, shown: Answer, folder: Path) -> None:
        self.said = shown.said
        self.faults = shown.faults
        self.exit_code = shown.exit_code
        self.folder = folder

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def labels(self, ending: str = ".eml") -> list[str]:
        return [name.removesuffix(ending) for name in self.names() if name.endswith(ending)]

    def mails(self) -> list[EmailMessage]:
        return [parsed((self.folder / f"{label}.eml").read_bytes()) for label in self.labels()]

    def mail(self) -> EmailMessage:
        [found] = self.mails()
        return found

    def text(self, label: str) -> str:
        return (self.folder / f"{label}.txt").read_text()


def parsed(content: bytes) -> EmailMessage:
    mail = BytesParser(policy=mail_policy).parsebytes(content)
    assert isinstance(mail, EmailMessage)
    return mail


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def no_mail(*_: object, **__: object) -> Any:
    raise AssertionError("preview opened a connection for mail")


def look(reporter: Reporter, *labels: str, **options: Any) -> Preview:
    """Preview, with a world that takes no mail and keeps no lock."""
    settings = reporter.settings(**options)
    outside = Outside(open_smtp=no_mail, run_program=no_mail)
    shown = preview(settings, labels, LOG, lambda _text: None, outside)
    return Preview(shown, settings.run.preview_dir)


def sent(reporter: Reporter) -> dict[str, bytes]:
    """Return the mails that were made by the labels of their reports."""
    rows = reporter.rows("select report_label, message from mentat_reporter.outbox")
    return {label: bytes(message) for label, message in rows}


# What a run would send


def test_it_writes_the_mails_that_a_run_would_send(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT), event("two", AT, "198.51.100.7"))

    shown = look(reporter, regular=True, time_high=START)
    reporter.run(START)

    mails = sent(reporter)
    assert {label: (shown.folder / f"{label}.eml").read_bytes() for label in shown.labels()} == mails
    assert len(mails) == 2
    assert {label: shown.text(label) for label in mails} == {
        label: text_of(parsed(mail)) for label, mail in mails.items()
    }


def test_it_says_in_a_line_each_what_it_wrote_for_whom_and_where(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))

    shown = look(reporter, regular=True, time_high=START)

    [label] = shown.labels()
    line, count, _ = shown.said
    assert line == f"summary low {ALICE}: 1 event, to {ALICE}: {shown.folder}/{label}.eml"
    assert count == f"1 mail in {shown.folder}"
    assert shown.folder == reporter.home / "preview"
    assert shown.exit_code == 0


@pytest.mark.parametrize(
    "options", [{"regular": True}, {}, {"mail_test_mode": True}, {"regular": True, "test_data": True}]
)
def test_it_changes_nothing(reporter: Reporter, options: dict[str, Any]) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", attachments="all"), *GROUPS[1:])
    reporter.store(
        event("one", AT), event("two", AT, "198.51.100.7"), event("bad", AT, message={"Source": 5}),
        event("test", AT, category="Test"),
    )  # fmt: skip
    reporter.run(START)
    reporter.store(event("more", START + HOUR))
    tables, files, marks = reporter.tables(), reporter.files(), row_versions(reporter)

    shown = look(reporter, time_high=START + DAY, **options)

    assert reporter.tables() == tables
    assert row_versions(reporter) == marks
    assert {name: data for name, data in reporter.files().items() if not name.startswith("preview/")} == files
    assert all(name.startswith("M") for name in shown.names())


def row_versions(reporter: Reporter) -> list[tuple[Any, ...]]:
    """Return which transactions wrote reports, mails and windows: a change and back again shows."""
    return [
        row
        for table in ("reports_events", "mentat_reporter.outbox", "mentat_reporter.run_window", "groups")
        for row in reporter.rows(f"select xmin::text, ctid::text from {table} order by ctid")
    ]


def test_the_databases_are_open_for_reading_alone(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    asked: list[str] = []
    real = Outside().connect

    def connect(*values: Any, **more: Any) -> Any:
        connection = real(*values, **more)
        with connection, connection.cursor() as cursor:
            cursor.execute("show default_transaction_read_only")
            asked.append(cursor.fetchall()[0][0])
        return connection

    preview(
        reporter.settings(time_high=START), [], LOG, lambda _text: None, replace(Outside(), connect=connect)
    )

    assert asked == ["on", "on"]


def test_where_there_is_no_database_yet_it_makes_none(reporter: Reporter) -> None:
    del reporter.config["__core__database"]

    for look_around in (lambda: look(reporter), lambda: reporter.run(START, dry_run=True)):
        with pytest.raises(StoreError, match=r"there is no embedded one in .*run `mentat-reporter.py init`"):
            look_around()

    assert not (reporter.home / "postgres").exists()


def test_it_waits_for_no_lock(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    assert try_lock(reporter.connection)

    with SimpleFlock(reporter.settings().reporter.lock_file, timeout=0):
        assert len(look(reporter, time_high=START).labels()) == 1


def test_the_same_preview_writes_the_same_files_again(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))

    first = look(reporter, time_low=START - DAY, time_high=START)
    before = {name: (first.folder / name).read_bytes() for name in first.names()}
    again = look(reporter, time_low=START - DAY, time_high=START)

    assert {name: (again.folder / name).read_bytes() for name in again.names()} == before


def test_the_folder_and_its_files_are_for_the_group_of_their_owner(
    reporter: Reporter, tmp_path: Path
) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    folder = tmp_path / "new" / "folder"

    shown = look(reporter, time_high=START, preview_dir=str(folder))

    assert shown.folder == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o640}


def test_a_folder_that_cannot_be_written_is_named(reporter: Reporter, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    with pytest.raises(UsageError, match=f"{file}/folder cannot be written: .*--preview-dir"):
        look(reporter, preview_dir=str(file / "folder"))


def test_language_zone_and_template_can_be_tried_out(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))

    def text(**options: str) -> str:
        shown = look(reporter, time_low=START - DAY, time_high=START, **options)
        return shown.text(shown.labels()[0])

    assert "Nové problémy" in text(force_locale="cs")
    assert "+02:00" in text(force_timezone="Europe/Prague")
    assert len(text(force_template="another")) < len(text())


def test_only_the_groups_that_were_asked_for_are_shown(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT), event("two", AT, "198.51.100.7"))

    assert str(look(reporter, time_high=START, abuse_group=[BOB]).mail()["To"]) == BOB

    with pytest.raises(UsageError, match="did you mean"):
        look(reporter, abuse_group=["abuse@bobo.example"])


def test_a_report_that_nobody_gets_by_mail_is_shown_as_text(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="none"), *GROUPS[1:])
    reporter.store(event("one", AT), event("two", AT, "198.51.100.7", shadow=True))

    shown = look(reporter, time_high=START)

    assert shown.labels() == []
    assert len(shown.labels(".txt")) == 2
    assert any("a shadow report, not mailed" in line for line in shown.said)
    assert f"0 mails and 2 reports that nobody gets by mail in {shown.folder}" in shown.said


def test_files_of_a_mail_that_is_not_sent_any_more_do_not_stay(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    span = {"time_low": START - DAY, "time_high": START}
    look(reporter, **span)

    assert look(reporter, **span, force_mode="none").labels() == []


def test_what_a_run_would_attach_is_in_the_mail(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", attachments="all"))
    reporter.store(event("one", AT))

    shown = look(reporter, time_high=START)

    files = {part.get_filename(): part.get_content() for part in shown.mail().iter_attachments()}
    [label] = shown.labels()
    assert set(files) == {f"security-report-{label}.json", f"security-report-{label}.csv"}
    assert json.loads(files[f"security-report-{label}.json"])[0]["ID"] == "one"
    assert {path.suffix for path in shown.folder.iterdir()} <= {".eml", ".txt", ".html"}


def test_in_test_mode_it_shows_who_would_get_the_test(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))

    mail = look(reporter, time_high=START, mail_test_mode=True).mail()

    assert (str(mail["To"]), str(mail["X-Mentat-Report-Original-To"])) == (ADMIN, ALICE)


def test_a_template_that_fails_is_named_with_file_and_line(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    folder = reporter.place / "templates" / "mine"
    folder.mkdir(parents=True)
    (folder / "summary.txt").write_text("a subject\n{{ report.nothing.at.all }}\n")
    reporter.config["__core__reporter"]["templates_dir"] = str(folder.parent)

    shown = look(reporter, time_high=START, force_template="mine")

    assert shown.exit_code == 3
    assert any(f"{folder}/summary.txt:2" in fault for fault in shown.faults)
    assert len(shown.labels()) == 1


def test_thresholds_are_read_when_the_next_run_of_cron_is_asked_for(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    reporter.run(START)
    reporter.store(event("again", START + HOUR))

    held = look(reporter, regular=True, time_high=START + DAY)

    assert held.labels() == []
    assert held.said == ["nothing would be reported"]
    assert len(look(reporter, time_high=START + DAY).labels()) == 1


def test_a_severity_that_is_not_due_yet_is_said(reporter: Reporter) -> None:
    reporter.groups()
    reporter.run(START)

    shown = look(reporter, regular=True, time_high=START + MINUTE)

    assert "low: nothing is due before 2026-05-05 12:00 UTC" in shown.said


# Nothing to report: what was stored last


def test_without_events_the_newest_stored_reports_of_the_group_are_shown(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"), *GROUPS[1:])
    reporter.store(event("one", AT), event("two", AT, "198.51.100.7"))
    reporter.run(START)
    reporter.store(event("later", AT + DAY, "192.0.2.9"))
    reporter.run(START + DAY)

    shown = look(reporter, abuse_group=[ALICE])

    newest = {row["label"] for row in reporter.reports() if row["dt_to"].day == 5}
    assert set(shown.labels()) == newest
    assert len(newest) == 2
    assert "the newest stored reports" in shown.said[0]


def test_each_group_without_events_is_shown_by_what_was_stored(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT, "198.51.100.7"))
    reporter.run(START)
    [stored] = sent(reporter)
    now = reporter.value("select now() at time zone 'utc'").replace(tzinfo=UTC)
    reporter.store(event("fresh", now - MINUTE))

    shown = look(reporter, abuse_group=[ALICE, BOB])

    assert sorted(str(mail["To"]) for mail in shown.mails()) == [ALICE, BOB]
    assert stored in shown.labels()


def test_where_nothing_is_stored_either_it_says_how_to_find_something(reporter: Reporter) -> None:
    reporter.groups()

    shown = look(reporter, abuse_group=[CAROL])

    [line] = shown.said
    assert line.startswith(f"a run would report nothing for {CAROL} now, and no such report is stored; name")
    assert shown.exit_code == 0


# Stored reports


def relapse(reporter: Reporter) -> None:
    """Make a report of a problem, and a later one that says that it is still there."""
    reporter.groups(*GROUPS)
    reporter.store(event("first", AT), event("other", AT, "192.0.2.8"))
    reporter.run(START)
    reporter.store(event("held", START + 5 * DAY, message={"ConnCount": 7}))
    reporter.run(START + 5 * DAY + HOUR)
    reporter.store(event("anew", START + 6 * DAY + MINUTE, "192.0.2.1", "192.0.2.30"))
    reporter.run(START + 7 * DAY)
    assert any(
        "Recurring" in text_of(parsed(mail)) and "New" in text_of(parsed(mail))
        for mail in sent(reporter).values()
    )


def extras(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"))
    reporter.store(event("one", AT, "192.0.2.1", "192.0.2.2"), event("two", AT + MINUTE, "192.0.2.2"))
    reporter.run(START)


def targets(reporter: Reporter) -> None:
    reporter.groups(*GROUPS)
    attacked: dict[str, Any] = {"severity": None, "target_severity": "low"}
    reporter.store(
        event("one", AT, "233.252.0.1", targets=("192.0.2.1", "192.0.2.2", "198.51.100.1"), **attacked),
        event("two", AT + MINUTE, "233.252.0.2", targets=("192.0.2.2",), **attacked),
    )
    reporter.run(START)


def subclasses(reporter: Reporter) -> None:
    classes = [
        {
            "name": "scan",
            "rule": "'Recon.Scanning' in Category",
            "label": {"en": "The machine scanned others", "cs": "Stroj skenoval jiné"},
            "reference": "https://classes.example.org/scan",
        }
    ]
    reporter.groups(
        group(ALICE, "192.0.2.0/24", locale="cs", timezone="Europe/Prague"), event_classes=classes
    )
    mark = {"EventClass": "scan", "EventSubclass": ["ssh", "rdp"]}
    reporter.store(
        event("one", AT, message={"_Mentat": mark}),
        event("two", AT - HOUR, event_class=None, category="Other"),
        event("three", AT, "192.0.2.0/25", message={"Node": [{"Name": "b"}, {"Name": "a"}]}),
    )
    reporter.run(START)


def filtered(reporter: Reporter) -> None:
    rule = {"name": "not this one", "filter": "Source.IP4 == 192.0.2.1 and ConnCount == 3"}
    reporter.groups(group(ALICE, "192.0.2.0/24", filters=[rule]), *GROUPS[1:])
    reporter.store(
        event("one", AT, "192.0.2.1", "192.0.2.2", message={"ConnCount": 3}),
        event("two", AT + MINUTE, "192.0.2.1", "198.51.100.3"),
    )
    reporter.run(START)


def ad_hoc(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    reporter.ad_hoc(START - DAY, START)


def redirected(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", redirect=True))
    reporter.store(event("one", AT))
    reporter.run(START)


WORLDS = [relapse, extras, targets, subclasses, filtered, ad_hoc, redirected]


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
def test_a_stored_report_is_the_mail_that_was_sent(
    reporter: Reporter, world: Callable[[Reporter], None]
) -> None:
    reporter.config["__core__reporter"] |= {"default_attachments": "all", "xarf": True}
    world(reporter)
    mails = sent(reporter)

    shown = look(reporter, *mails)

    assert mails
    assert {label: shown.text(label) for label in mails} == {
        label: text_of(parsed(mail)) for label, mail in mails.items()
    }
    assert {label: (shown.folder / f"{label}.eml").read_bytes() for label in mails} == mails
    assert shown.exit_code == 0


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
def test_events_that_are_gone_are_said_and_stop_nothing(
    reporter: Reporter, world: Callable[[Reporter], None], caplog: pytest.LogCaptureFixture
) -> None:
    world(reporter)
    mails = sent(reporter)
    reporter.execute("delete from events")
    reporter.execute("delete from events_json")

    shown = look(reporter, *mails)

    assert set(shown.labels()) == set(mails)
    for label, mail in mails.items():
        assert f"report {label}: " in caplog.text
        assert addresses_in(text_of(parsed(mail))) <= addresses_in(shown.text(label))
    assert shown.exit_code == 0


def addresses_in(text: str) -> set[str]:
    return set(re.findall(r"192\.0\.2\.[0-9/]+", text))


def test_a_report_of_long_ago_still_says_until_when_it_is_held(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    reporter.run(START)
    mails = sent(reporter)
    reporter.execute("delete from mentat_reporter.threshold")

    shown = look(reporter, *mails)

    assert [shown.text(label) for label in mails] == [text_of(parsed(mail)) for mail in mails.values()]


def test_a_stored_report_can_be_tried_in_another_language(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    reporter.run(START)
    [label] = sent(reporter)

    shown = look(reporter, f"[{label}]", force_locale="cs", force_timezone="Asia/Tokyo")

    assert "Nové problémy" in shown.text(label)
    assert "+09:00" in shown.text(label)


def test_a_report_whose_groups_are_gone_is_still_shown(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    reporter.run(START)
    [label] = sent(reporter)
    reporter.execute("delete from groups where name = %s", ALICE)

    shown = look(reporter, label)

    assert str(shown.mail()["To"]) == ALICE
    assert "192.0.2.1" in shown.text(label)


def test_a_stored_report_without_mail_is_shown_and_can_be_asked_for_as_mail(reporter: Reporter) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="none"))
    reporter.store(event("one", AT))
    reporter.run(START)
    [label] = [row["label"] for row in reporter.reports()]

    assert look(reporter, label).names() == [f"{label}.html", f"{label}.txt"]
    assert str(look(reporter, label, force_mode="summary").mail()["To"]) == ALICE


def test_a_stored_report_can_be_shown_as_a_test_would_send_it(reporter: Reporter) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    reporter.run(START)
    [label] = sent(reporter)
    reporter.execute("update reports_events set mail_to = '{to:somebody@else.example}'")

    mail = look(reporter, label).mail()
    test = look(reporter, label, mail_test_mode=True).mail()

    assert str(mail["To"]) == "somebody@else.example"
    assert (str(test["To"]), str(test["X-Mentat-Report-Original-To"])) == (ADMIN, "somebody@else.example")


@pytest.mark.parametrize(
    "label",
    ["../x", "/etc/passwd", "M20260504SL-AAAAA/../../x", "M20260504SL-LFAF5OIV\n", "", "M2026\0", "x" * 9999],
)
def test_what_is_no_label_gets_no_further(reporter: Reporter, label: str) -> None:
    with pytest.raises(UsageError, match="is no label of a report"):
        look(reporter, f"{label}x" if label.endswith("\n") else label)


def test_for_a_label_that_is_not_stored_the_nearest_are_named_and_nothing_is_written(
    reporter: Reporter,
) -> None:
    reporter.groups()
    reporter.store(event("one", AT))
    reporter.run(START)
    [label] = sent(reporter)

    with pytest.raises(UsageError, match=f"there is no stored report {label[:-1]}2; the nearest are {label}"):
        look(reporter, label, f"{label[:-1]}2")

    assert list((reporter.home / "preview").iterdir()) == []


# Rows that Mentat stored

FEEDS: Final = os.environ.get("MENTAT_REPORTER_FEEDS", "")


def store_mentats(reporter: Reporter) -> list[dict[str, Any]]:
    """Store rows as Mentat 2.15.4 left them; return them."""
    rows: list[dict[str, Any]] = json.loads((Path(FEEDS) / "mentat-report-rows.json").read_text())["rows"]
    names = sorted({name for row in rows for name in row["groups"]})
    reporter.groups(*(group(name, f"10.{number}.0.0/16") for number, name in enumerate(names)))
    columns = [name for name in rows[0] if name not in ("groups", "parent_id", "parent_label")]
    for row in rows:
        values = [
            json.dumps(row[name])
            if name in ("statistics", "structured_data", "filtering") and row[name] is not None
            else row[name]
            for name in columns
        ]
        places = ", ".join(["%s"] * len(columns))
        reporter.execute(
            f"insert into reports_events ({', '.join(columns)}) values ({places})",
            *values,
        )
        reporter.execute(
            "insert into asoc_groups_reports select id, %s from groups where name = any(%s)",
            row["id"], row["groups"],
        )  # fmt: skip
    return rows


@pytest.mark.skipif(not FEEDS, reason="MENTAT_REPORTER_FEEDS names no folder")
def test_reports_that_mentat_stored_can_be_shown(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    rows = store_mentats(reporter)

    shown = look(reporter, *(row["label"] for row in rows))

    assert set(shown.labels()) == {row["label"] for row in rows}
    assert shown.exit_code == 0
    for row in rows:
        text = shown.text(row["label"])
        addresses = told_addresses(row)
        assert addresses
        assert all(address in text for address in addresses)
        assert all(name in text for name in row["structured_data"]["regular"])
        assert f"report {row['label']}: " in caplog.text
        recipients = [entry.partition(":")[2] for entry in row["mail_to"]]
        [mail] = [mail for mail in shown.mails() if mail["X-Mentat-Report-Id"] == row["label"]]
        assert ", ".join(filter(None, (mail["To"], mail["Cc"]))) == ", ".join(recipients)


def told_addresses(row: dict[str, Any]) -> set[str]:
    if row["type"] != "target":
        return {address for part in row["structured_data"]["regular"].values() for address in part}
    lines = row["structured_data"]["regular"].values()
    return {
        address
        for line in lines
        for seen in line["detector_data"].values()
        for address in seen["target_list_data"].get("relevant_ips", [])
    }


@pytest.mark.parametrize(
    "damage",
    [
        "structured_data = null",
        "structured_data = '[]'",
        "structured_data = '{\"regular\": 5}'",
        'structured_data = \'{"regular": {"scan": {"192.0.2.1": {"event_count": "many"}}}}\'',
        'structured_data = \'{"regular": {"scan": {"<b>": null}}, "timezone": "Nowhere"}\'',
        "statistics = null",
        'statistics = \'{"list_ids": "one"}\'',
        "mail_to = '{to:nobody at all}'",
    ],
)
def test_a_damaged_row_costs_only_itself(reporter: Reporter, damage: str) -> None:
    reporter.groups()
    reporter.store(event("one", AT), event("two", AT, "198.51.100.7"))
    reporter.run(START)
    bad, good = sent(reporter)
    reporter.execute(f"update reports_events set {damage} where label = %s", bad)

    shown = look(reporter, bad, good)

    assert good in shown.labels()
    assert bad in shown.labels() or (shown.exit_code == 3 and bad in shown.faults[0])
