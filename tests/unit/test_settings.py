"""Settings: what is taken, what is refused and how it is said, what is worked out from what."""

import json
import re
import string
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyzenkit.zenscript import RUN_INTERVALS

from mentat_reporter import configfile, settings_keys, settings_mentat, settings_values
from mentat_reporter.core.model import URGENT_FIRST
from mentat_reporter.errors import UsageError
from mentat_reporter.settings import Settings, build_settings, check_framework_keys

HOME = Path("/home/of/reporter")
SAMPLE = Path(__file__).parents[2] / "etc" / "mentat-reporter.py.conf"


def settings_of(raw: dict[str, Any] | None = None, **named: Any) -> Settings:
    return build_settings(raw or {}, home=HOME, named=named)[0]


def warnings_of(raw: dict[str, Any]) -> list[str]:
    return build_settings(raw, home=HOME)[1]


def refusal_of(raw: dict[str, Any] | None = None, **named: Any) -> str:
    with pytest.raises(UsageError) as caught:
        settings_of(raw, **named)
    return str(caught.value)


def reporter(**values: Any) -> dict[str, Any]:
    return {"__core__reporter": values}


def test_without_any_configuration_everything_lies_under_the_home() -> None:
    settings, warnings = build_settings({}, home=HOME)

    assert warnings == []
    assert settings.database.main is None
    assert settings.reporter.reports_dir == HOME / "reports"
    assert settings.reporter.lock_file == HOME / "mentat-reporter.lock"
    assert settings.mail.maildir == HOME / "maildir"


def test_without_any_configuration_mail_goes_to_the_local_server() -> None:
    mail = settings_of().mail

    assert (mail.transport, mail.smtp_host, mail.smtp_port, mail.smtp_security) == (
        "smtp",
        "localhost",
        25,
        "none",
    )
    assert (mail.sender, mail.return_path, mail.message_id_domain) == ("reports@localhost",) * 2 + (
        "localhost",
    )
    assert mail.admin == ("root@localhost",)
    assert mail.ambiguous == "resend"


def test_without_any_configuration_a_run_is_ad_hoc_and_covers_everything() -> None:
    run = settings_of().run

    assert not run.regular
    assert run.severities == URGENT_FIRST
    assert run.groups == ()
    assert run.interval == timedelta(minutes=10)
    assert run.max_runtime == timedelta(minutes=20)


def test_the_runtime_is_two_intervals_unless_it_is_said() -> None:
    assert settings_of(interval="hourly").run.max_runtime == timedelta(hours=2)
    assert settings_of(interval="hourly", max_runtime="90min").run.max_runtime == timedelta(minutes=90)


def test_the_command_line_wins_over_the_file() -> None:
    raw = {"mail_from": "file@example.org", **reporter(reports_dir="/from/file")}

    settings = settings_of(raw, mail_from="line@example.org", reports_dir="/from/line")

    assert settings.mail.sender == "line@example.org"
    assert settings.reporter.reports_dir == Path("/from/line")


def test_options_that_were_not_given_change_nothing() -> None:
    assert settings_of({"mail_test_mode": True}, mail_test_mode=None).mail.test_mode


def test_null_in_a_file_means_not_set() -> None:
    assert settings_of({"smtp_host": None, "__core__reporter": None}) == settings_of()


@pytest.mark.parametrize(("security", "port"), [("none", 25), ("starttls", 587), ("tls", 465)])
def test_the_port_follows_the_security(security: str, port: int) -> None:
    assert settings_of({"smtp_security": security}).mail.smtp_port == port
    assert settings_of({"smtp_security": security, "smtp_port": 2525}).mail.smtp_port == 2525


def test_names_of_intervals_are_those_of_pyzenkit() -> None:
    assert {name: found.total_seconds() for name, found in settings_values.INTERVALS.items()} == RUN_INTERVALS


# What is refused, and how


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"mail_transport": "pigeon"},
            "mail_transport does not take 'pigeon'; it takes one of smtp, sendmail, maildir, null",
        ),
        ({"smtp_port": 0}, "smtp_port does not take 0; it takes a whole number from 1 to 65535"),
        ({"smtp_port": True}, "smtp_port does not take True; it takes a whole number from 1 to 65535"),
        ({"mail_test_mode": "yes"}, "mail_test_mode does not take 'yes'; it takes true or false"),
        (
            {"mail_admin": "a@b c@d"},
            "mail_admin does not take 'a@b c@d'; it takes mail addresses, as a list or separated by commas",
        ),
        (
            reporter(default_mode="loud"),
            "default_mode does not take 'loud'; it takes one of summary, extra, both, none",
        ),
        (
            {"mail_from": "x <y>"},
            "mail_from does not take 'x <y>'; it takes "  # noqa: ISC004
            "a mail address, as reports@example.org or Name <reports@example.org>",
        ),
        ({"__core__reporter": []}, '__core__reporter must be an object, as {"key": "value"}'),
        (reporter(default_locale="xx"), "default_locale: there is no translation for 'xx'"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_and_what_is_allowed(raw: dict[str, Any], message: str) -> None:
    assert refusal_of(raw).removeprefix("__core__reporter.") == message


def test_a_wrong_option_is_named_as_it_was_written() -> None:
    assert refusal_of(force_template="../x").startswith("--template-id does not take '../x'")
    assert refusal_of(mail_dev_port="x").startswith("--mail-dev-port does not take 'x'")


def test_a_wrong_password_is_not_told() -> None:
    assert "hunter" not in refusal_of({"smtp_password": ["hunter2"]})


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "Default", "a b", "", "x" * 65, "a\n", "ä"])
def test_a_template_name_cannot_lead_elsewhere(name: str) -> None:
    assert "does not take" in refusal_of(force_template=name)


@pytest.mark.parametrize(
    ("option", "name"),
    [("force_template", "nowhere"), ("force_locale", "xx"), ("force_timezone", "Europe/Nowhere")],
)
def test_what_does_not_exist_is_refused(option: str, name: str) -> None:
    assert f"there is no {'template' if option == 'force_template' else ''}" in refusal_of(
        None, **{option: name}
    )


def test_what_exists_is_taken() -> None:
    found = settings_of(force_template="another", force_locale="cs", force_timezone="Europe/Prague").reporter

    assert (found.force_template, found.force_locale, found.force_timezone) == (
        "another",
        "cs",
        "Europe/Prague",
    )


@pytest.mark.parametrize(
    "options",
    [
        {"abuse_group": ["a"]},
        {"severity": ["low"]},
        {"severity": [*URGENT_FIRST]},
        {"time_low": "2026-03-01"},
    ],
)
def test_a_regular_run_cannot_be_partial(options: dict[str, Any]) -> None:
    assert "cannot be used with --regular" in refusal_of(regular=True, **options)
    assert "cannot be used with --regular" in refusal_of({"regular": True}, **options)


def test_a_regular_run_can_be_of_another_time() -> None:
    settings = settings_of(regular=True, time_high="2026-03-03T00:00Z")

    assert settings.run.time_high == datetime(2026, 3, 3, tzinfo=UTC)
    assert settings.moves_state


@pytest.mark.parametrize("option", ["test_data", "dry_run", "mail_test_mode"])
def test_a_run_that_is_no_real_one_moves_no_state(option: str) -> None:
    assert not settings_of(None, regular=True, **{option: True}).moves_state


def test_a_window_must_not_end_before_it_begins() -> None:
    assert "must lie before" in refusal_of(time_low="2026-03-02T01:00+01:00", time_high="2026-03-02T00:00Z")


def test_the_test_mode_needs_somebody_to_send_to() -> None:
    assert "nobody to send to" in refusal_of({"mail_admin": []}, mail_test_mode=True)
    assert settings_of({"mail_admin": []}, mail_test_mode=True, mail_to=["a@example.org"]).mail.to


def test_a_folder_that_an_option_names_must_exist(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")

    assert "there is no folder" in refusal_of(templates_dir=missing)
    assert warnings_of(reporter(templates_dir=missing)) == [
        f"__core__reporter.templates_dir: there is no folder {missing}"
    ]


# Keys


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        (
            {"mail_form": "x"},
            "unknown key mail_form in the configuration is ignored; did you mean mail_from?",
        ),
        (reporter(report_dir="x"), "did you mean reports_dir?"),
        ({"reports_dir": "x"}, "it is read as __core__reporter.reports_dir"),
        (
            reporter(mail_from="x"),
            "__core__reporter.mail_from in the configuration is ignored; it is read as mail_from",
        ),
        ({"__core__reporting": {}}, "did you mean __core__reporter?"),
        ({"dry_run": True}, "it is an option of the command line alone, --dry-run"),
        ({"__core__database": {"sqlstore": {}}}, "did you mean sqlstorage?"),
        (
            {
                "__core__database": {
                    "sqlstorage": {"url": "postgresql:///x"},
                    "eventstorage": {"pasword": "s"},
                }
            },
            "__core__database.eventstorage.pasword in the configuration is ignored; did you mean password?",
        ),
        ({"zzz": 1}, "unknown key zzz in the configuration is ignored"),
    ],
)
def test_an_unknown_key_is_warned_of_with_the_nearest_known_one(raw: dict[str, Any], hint: str) -> None:
    (warning,) = warnings_of(raw)

    assert hint in warning


def test_other_parts_of_mentat_have_their_own_sections() -> None:
    assert warnings_of({"__core__services": {}, "__core__inspectors": [], "log_level": "info"}) == []


def test_keys_of_the_framework_are_checked_too() -> None:
    with pytest.raises(UsageError, match="log_level does not take 7"):
        check_framework_keys({"log_level": 7})
    check_framework_keys({"log_level": "INFO", "user": 0, "verbosity": 2})


def test_names_of_keys_are_unique() -> None:
    names = [key.name for key in settings_keys.KEYS]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("key", settings_keys.FILE_KEYS, ids=lambda key: str(key.label))
def test_the_sample_configuration_explains_every_key_and_shows_a_value_that_is_taken(
    key: settings_keys.Key,
) -> None:
    lines = [line.lstrip(" #") for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    (at,) = [number for number, line in enumerate(lines) if line.startswith(f'"{key.name}": ')]
    shown = json.loads(f"{{{lines[at].rstrip(',')}}}")[key.name]

    assert lines[at - 1] == key.text
    assert key.read(shown) == key.read(shown if key.default is None else key.default)


def test_the_sample_configuration_can_be_used_as_it_is_and_with_everything_in_it_set() -> None:
    assert build_settings(configfile.load_file(SAMPLE, may_be_missing=False), home=HOME) == (
        settings_of(),
        [],
    )

    everything = re.sub(r"^ *#[ #]*(?=[\"}])", "", SAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    raw = json.loads("\n".join(line for line in everything.splitlines() if not line.lstrip().startswith("#")))

    assert set(raw) == {"__core__database", "__core__reporter"} | {
        key.name for key in settings_keys.FILE_KEYS if key.section == settings_keys.TOP
    }


# Databases


def test_databases_are_understood_as_mentat_writes_them() -> None:
    found = settings_of(
        {
            "__core__database": {
                "sqlstorage": {
                    "url": "postgresql+psycopg2://mentat:se%40cret@db:5433/mentat_main",
                    "echo": False,
                },
                "eventstorage": {"dbname": "mentat_events", "user": "mentat", "password": "x", "port": 5432},
            }
        }
    ).database

    assert found.main == {
        "dbname": "mentat_main", "user": "mentat", "password": "se@cret", "host": "db", "port": "5433",
    }  # fmt: skip
    assert found.events == {"dbname": "mentat_events", "user": "mentat", "password": "x", "port": "5432"}


def test_events_alone_are_no_configuration() -> None:
    assert "no sqlstorage.url" in refusal_of({"__core__database": {"eventstorage": {"dbname": "x"}}})


def test_secrets_do_not_show_in_what_is_printed_of_settings() -> None:
    settings = settings_of(
        {
            "smtp_user": "u",
            "smtp_password": "hunter2",
            "__core__database": {
                "sqlstorage": {"url": "postgresql://u:hunter2@h/x"},
                "eventstorage": {"password": "hunter2"},
            },
        }
    )

    assert settings.mail.smtp_password == "hunter2"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    "raw",
    [
        {"smtp_password": "hunter2"},
        {"a": [{"Password": "hunter2"}]},
        {"url": "postgresql+psycopg2://u:hun@ter2/hunter2@h:1/x?sslmode=require"},
        {"url": "postgresql://h/x?password=hunter2&a=b"},
        {"dbname": "host=h password=hunter2 user=u"},
    ],
)
def test_secrets_are_hidden_in_what_is_dumped_of_a_configuration(raw: dict[str, Any]) -> None:
    shown = json.dumps(configfile.redact(raw))

    assert "hunter2" not in shown
    assert "ter2" not in shown
    assert configfile.HIDDEN in shown


def test_what_is_no_secret_is_shown() -> None:
    raw = {"smtp_password_file": "/etc/pw", "url": "postgresql://u@h/x", "n": [1, None, True]}

    assert configfile.redact(raw) == raw


# The password file


def test_the_password_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "pw"
    file.write_text("hunter2\n")
    file.chmod(0o600)

    settings, warnings = build_settings({"smtp_user": "u", "smtp_password_file": str(file)}, home=HOME)

    assert settings.mail.smtp_password == "hunter2"
    assert warnings == []


def test_a_password_file_that_everybody_may_read_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "pw"
    file.write_text("hunter2")
    file.chmod(0o644)

    assert warnings_of({"smtp_user": "u", "smtp_password_file": str(file)}) == [
        f"smtp_password_file {file} is open to everybody; chmod 0600 it"
    ]


@pytest.mark.parametrize("content", [None, b"", b"\n", b"a\nb", b"\xff"])
def test_a_password_file_without_a_password_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "pw"
    if content is not None:
        file.write_bytes(content)

    assert str(file) in refusal_of({"smtp_user": "u", "smtp_password_file": str(file)})


def test_a_user_without_a_password_is_refused() -> None:
    assert "must be set together" in refusal_of({"smtp_user": "u"})
    assert "must be set together" in refusal_of({"smtp_password": "u"})


def test_an_unencrypted_password_is_warned_of() -> None:
    raw = {"smtp_user": "u", "smtp_password": "p", "smtp_host": "mail.example.org"}

    assert "unencrypted" in warnings_of(raw)[0]
    assert warnings_of({**raw, "smtp_security": "tls"}) == []


# Addresses


@pytest.mark.parametrize(
    "value",
    [
        "a@example.org,b@example.org",
        ["a@example.org", "b@example.org"],
        [" a@example.org , b@example.org,a@example.org"],
    ],
)
def test_addresses_come_as_lists_and_comma_lists(value: Any) -> None:
    assert settings_of({"mail_to": value}).mail.to == ("a@example.org", "b@example.org")


@pytest.mark.parametrize(
    "value",
    [
        "-oQ/tmp@example.org",
        "a@x\r\nBcc: b@x",
        "a",
        "@x",
        "a@",
        "a@-x",
        "a b@x",
        "a@x y",
        "<a@x>",
        "a@x@",
        "a..b@x",
        1,
        [1],
    ],
)
def test_what_is_no_address_is_refused(value: Any) -> None:
    assert "mail_to does not take" in refusal_of({"mail_to": value})


@pytest.mark.parametrize(
    ("written", "kept", "path"),
    [
        ("a@example.org", "a@example.org", "a@example.org"),
        ("CSIRT <a@example.org>", "CSIRT <a@example.org>", "a@example.org"),
        (
            "Žluťoučký tým <a@bücher.example>",
            "Žluťoučký tým <a@xn--bcher-kva.example>",
            "a@xn--bcher-kva.example",
        ),
        ('"CSIRT, Example" <a@example.org>', '"CSIRT, Example" <a@example.org>', "a@example.org"),
        ("CSIRT, Example <a@example.org>", '"CSIRT, Example" <a@example.org>', "a@example.org"),
        ("<a@example.org>", "a@example.org", "a@example.org"),
    ],
)
def test_a_name_may_stand_before_the_sender(written: str, kept: str, path: str) -> None:
    mail = settings_of({"mail_from": written}).mail

    assert mail.sender == kept
    assert mail.return_path == path
    assert mail.message_id_domain == path.partition("@")[2]


@given(st.text(max_size=40))
def test_nothing_that_is_taken_for_an_address_can_inject_anything(text: str) -> None:
    try:
        found = settings_values.addresses(f"{text}@example.org")
    except ValueError:
        return

    for address in found:
        assert re.fullmatch(r"[^-\s<>,;:\"()\[\]\\@][^\s<>,;:\"()\[\]\\@]*@[a-z0-9.-]+", address)
        assert address.isascii()


# Durations and times


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (300, 300),
        ("300", 300),
        ("5min", 300),
        ("5 mins", 300),
        ("2hrs", 7200),
        ("1day", 86400),
        ("2weeks", 1209600),
        (0, 0),
    ],
)
def test_a_duration_is_seconds_or_has_a_unit(written: Any, seconds: int) -> None:
    assert settings_of(reporter(late_margin=written)).reporter.late_margin == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "written", [-1, "-5min", "5 parsecs", "", "min", "1e9days", "999999999weeks", True, float("nan")]
)
def test_what_is_no_duration_is_refused(written: Any) -> None:
    assert "late_margin does not take" in refusal_of(reporter(late_margin=written))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-03-02T10:00:00Z", datetime(2026, 3, 2, 10, tzinfo=UTC)),
        ("2026-03-02 10:00:00", datetime(2026, 3, 2, 10, tzinfo=UTC)),
        ("2026-03-02t10:00z", datetime(2026, 3, 2, 10, tzinfo=UTC)),
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=UTC)),
        ("2026-03-02T10:00:00+01:00", datetime(2026, 3, 2, 9, tzinfo=UTC)),
        ("2026-03-02T10:00:00-03:30", datetime(2026, 3, 2, 13, 30, tzinfo=UTC)),
        ("2026-03-02T10:00:00+0545", datetime(2026, 3, 2, 4, 15, tzinfo=UTC)),
        ("2026-03-02T10:00:00.5Z", datetime(2026, 3, 2, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-03-02T10:00:00.123456789Z", datetime(2026, 3, 2, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("1772445600", datetime(2026, 3, 2, 10, tzinfo=UTC)),
        ("1772445600.25", datetime(2026, 3, 2, 10, 0, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_utc(written: str, meant: datetime) -> None:
    found = settings_of(time_high=written).run.time_high

    assert found == meant
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "written",
    [
        "", "now", "20260302", "2026-02-30", "2026-03-02T24:00", "2026-03-02T10:61", "2026-03-02T10:00:61Z",
        "2026-03-02T10:00+25:00", "2026-03-02T10:00+01:99", "0001-01-01T00:00+01:00",
        "9999-12-31T23:59-05:00", "٢٠٢٦-03-02", "999999999999",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(written: str) -> None:
    assert refusal_of(time_high=written).startswith("--time-high does not take")


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - the zone is drawn below
    st.integers(-1439, 1439),
    st.sampled_from("Tt "),
)
def test_every_offset_is_read_right(clock: datetime, minutes: int, between: str) -> None:
    meant = clock.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert settings_values.time(meant.isoformat(sep=between)) == meant


@given(st.text(alphabet=string.printable, max_size=30))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    try:
        assert settings_values.time(text).tzinfo is UTC
    except ValueError as error:
        assert "it" not in str(error).split() and "a time, as" in str(error)  # noqa: PT017, PT018


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(settings_keys.FILE_KEYS), json_values)
def test_any_json_value_of_any_key_is_taken_or_refused_by_name(key: settings_keys.Key, value: Any) -> None:
    raw = {key.section: {key.name: value}} if key.section else {key.name: value}
    try:
        build_settings(raw, home=HOME)
    except UsageError as error:
        assert key.name.removeprefix("smtp_").partition("_")[0] in str(error)  # noqa: PT017


# What Mentat writes


def notes_of(raw: dict[str, Any]) -> list[str]:
    assert warnings_of(raw) == []
    return list(settings_mentat.notes(raw))


def test_what_mentat_names_otherwise_is_taken() -> None:
    found = settings_of(reporter(default_reporting_locale="cs", default_reporting_timezone="Europe/Prague"))

    assert (found.reporter.default_locale, found.reporter.default_timezone) == ("cs", "Europe/Prague")


def test_our_names_win_over_those_of_mentat() -> None:
    raw = reporter(default_reporting_locale="cs", default_locale="de")

    assert settings_of(raw).reporter.default_locale == "de"
    (note,) = notes_of(raw)
    assert note.endswith("mean nothing here: __core__reporter.default_reporting_locale")


@pytest.mark.parametrize("value", ["xx", 7])
def test_a_wrong_value_is_refused_under_the_name_that_was_written(value: Any) -> None:
    assert refusal_of(reporter(default_reporting_locale=value)).startswith(
        "__core__reporter.default_reporting_locale"
    )


def test_what_mentat_writes_and_nobody_needs_is_listed_in_one_line() -> None:
    raw = {
        "__core__services": {"dns": {}},
        "__core__database": {
            "sqlstorage": {"url": "postgresql+psycopg://u@h/d", "echo": False, "pool_recycle": 60},
            "eventstorage": {"dbname": "e", "sslmode": "require", "prepare_threshold": 5, "host": ""},
        },
        "runlog_dir": "/var/mentat/run",
        "test_data": False,
    }

    (note,) = notes_of(raw)

    assert note.partition("here: ")[2].split(", ") == [
        "__core__services",
        "runlog_dir",
        "test_data",
        "__core__database.sqlstorage.echo",
        "__core__database.sqlstorage.pool_recycle",
        "__core__database.eventstorage.prepare_threshold",
    ]
    assert settings_of(raw).database.events == {"dbname": "e", "sslmode": "require"}


def test_an_option_of_single_runs_that_is_on_is_warned_of() -> None:
    (warning,) = warnings_of({"test_data": True})

    assert "--test-data" in warning


def test_mailboxes_of_this_machine_need_no_domain() -> None:
    settings = settings_of(
        {"mail_admin": "root, a@example.org", **reporter(fallback=["mentat", "b@example.org"])}
    )

    assert settings.mail.admin == ("root@localhost", "a@example.org")
    assert settings.reporter.fallback == ("mentat@localhost", "b@example.org")


def test_templates_of_mentats_are_left_alone_and_ours_are_used(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    (theirs / "default.summary_v2.txt.j2").touch()
    (ours / "short").mkdir(parents=True)
    (ours / "short" / "summary.txt").touch()

    def used(written: str) -> tuple[Path | None, int]:
        raw = reporter(templates_dir=written)
        return settings_of(raw).reporter.templates_dir, len(notes_of(raw))

    assert used(str(theirs)) == (None, 1)
    assert used(f"{theirs};{theirs}") == (None, 1)
    assert used(f"{theirs};{ours}") == (ours, 1)
    assert used(str(ours)) == (ours, 0)


@given(
    st.dictionaries(st.sampled_from(["__core__reporter", "__core__database", "mail_admin", "x"]), json_values)
)
def test_whatever_a_file_holds_mentats_keys_are_told_or_it_is_refused(raw: dict[str, Any]) -> None:
    try:
        assert all(isinstance(note, str) for note in settings_mentat.notes(raw))
    except UsageError as error:
        assert "__core__" in str(error)  # noqa: PT017
