"""The configuration of an installed Mentat is enough: `--config-dir` at its `core`, and mails go out."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from factories import compiled_catalogues
from integration.helpers_run import ADMIN
from integration.test_script import Caller
from mentat.helpers_process import house, message
from mentat.installation import Installation

ALICE: Final = "abuse@alice.example"
NOW: Final = ("--regular", "--time-high", "2026-05-04T12:00Z")


def core(mentat: Installation, templates: Path, **reporter: Any) -> dict[str, str]:
    """Return the files of `core` as Mentat's operators have them, with comments."""
    sections: dict[str, dict[str, Any]] = {
        "__core__database": {
            **mentat.database_section,
            "eventstorage": {"host": "", "port": "", "password": "", **mentat.events},
        },
        "__core__reporter": {
            "templates_dir": str(templates),
            "template_vars": {
                "report_access_url": "https://mentat.example/reports/",
                "organisation": "CSIRT",
            },
            "fallback": ["root"],
            "default_reporting_locale": "cs",
            "default_reporting_timezone": "Europe/Prague",
            **reporter,
        },
        "__core__services": {"dns": {"timeout": 1, "lifetime": 3}, "geoip": {"asndb": "/var/lib/asn.mmdb"}},
        "__core__statistics": {"reports_dir": "/var/mentat/reports/statistician"},
        "__core__informant": {"reports_dir": "/var/mentat/reports/informant"},
    }
    head = f"#{'-' * 70}\n# Core configuration\n"
    return {
        f"{name.removeprefix('__core__')}.json.conf": f"{head}{json.dumps({name: section}, indent=4)}\n"
        for name, section in sections.items()
    }


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """Give templates as Mentat's: side by side, in a language of their own."""
    folder = tmp_path / "reporter"
    folder.mkdir()
    for name in ("default.summary_v2.txt.j2", "default.extra_v2.txt.j2", "default.target_v2.txt.j2"):
        (folder / name).write_text("{{ nobody_knows_this() }}", encoding="utf-8")
    (folder / "translations/cs/LC_MESSAGES").mkdir(parents=True)
    (folder / "translations/cs/LC_MESSAGES/messages.po").touch()
    return folder


@pytest.fixture
def call(tmp_path: Path, mentat: Installation, templates: Path) -> Caller:
    """Give a caller with Mentat's files: those of `core`, and that of its reporter."""
    compiled_catalogues()
    made = Caller(tmp_path)
    for name, text in core(mentat, templates).items():
        (made.folder / name).write_text(text, encoding="utf-8")
    made.configure(
        {
            "debug": False,
            "log_level": "info",
            "interval": "10_minutes",
            "test_data": False,
            "mail_from": "Mentat Reporting <mentat@reporter.example>",
            "mail_admin": "root",
            "mail_reply_to": "abuse@reporter.example, second@reporter.example",
            "mail_return_path": "bounces@reporter.example",
            "mail_bcc": None,
            "mail_test_mode": False,
            "force_mode": None,
            "mail_transport": "maildir",
        }
    )
    mentat.ask_mentat("fill", rows=house(ALICE, "192.0.2.0/24", locale=None, timezone=None))
    mentat.ask_mentat("store_events", messages=[message("one", "192.0.2.1")])
    return made


def mails(call: Caller) -> list[str]:
    return [path.read_text() for path in (call.home / "maildir/new").glob("*")]


def test_mentats_files_are_enough_to_report(call: Caller, mentat: Installation) -> None:
    made = call("init")
    done = call(*NOW)

    assert (made.returncode, done.returncode) == (0, 0), made.stderr + done.stderr
    assert done.stderr == ""
    (mail,) = mails(call)
    assert f"To: {ALICE}" in mail
    assert "Reply-To: abuse@reporter.example, second@reporter.example" in mail
    assert mentat.rows(mentat.main, "select statistics -> 'list_ids' from reports_events") == [(["one"],)]


def test_what_means_nothing_here_is_said_once_in_the_log(call: Caller, templates: Path) -> None:
    call("init")
    before = len(call.log)
    call(*NOW)

    lines = call.log[before:].splitlines()
    (line,) = [line for line in lines if "mean nothing here: " in line]
    assert "INFO" in line
    assert set(line.partition("mean nothing here: ")[2].split(", ")) == {
        "__core__services",
        "__core__statistics",
        "__core__informant",
        "__core__database.sqlstorage.echo",
        "test_data",
    }
    (line,) = [line for line in lines if "templates_dir" in line]
    assert "INFO" in line
    assert str(templates) in line
    assert not [line for line in lines if "WARNING" in line]


def test_a_key_that_nobody_knows_is_warned_of_all_the_same(call: Caller) -> None:
    config = json.loads(call.config.read_text())
    call.configure({**config, "mail_fom": ADMIN, "__core__reportr": {}})

    done = call("init")

    assert "unknown key mail_fom in the configuration is ignored; did you mean mail_from?" in done.stderr
    assert "did you mean __core__reporter?" in done.stderr


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_one_database_may_hold_everything(call: Caller, mentat: Installation, scheme: str) -> None:
    one = {**mentat.database_section, "eventstorage": {"dbname": "", "user": None, "port": ""}}
    one["sqlstorage"]["url"] = one["sqlstorage"]["url"].replace("postgresql+psycopg", scheme)
    (call.folder / "database.json.conf").write_text(json.dumps({"__core__database": one}))
    alone = Installation(mentat.server)
    object.__setattr__(alone, "main", mentat.main)
    object.__setattr__(alone, "events", mentat.main)
    alone.ask_mentat("create_schema")
    alone.ask_mentat("store_events", messages=[message("two", "192.0.2.2")])

    done = [call("init"), call(*NOW)]

    assert [found.returncode for found in done] == [0, 0], done[0].stderr + done[1].stderr
    assert mentat.rows(mentat.main, "select statistics -> 'list_ids' from reports_events") == [(["two"],)]
