"""The command as people and cron call it: a process, its exit code, what it prints and logs."""

import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from pyzenkit.zenscript import ZenScript

from mentat_reporter import console, options
from mentat_reporter.script import MentatReporterScript

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "bin" / "mentat-reporter.py"
HELP = Path(__file__).with_name("help.txt")
SECRET = "hunter2"

Completed = subprocess.CompletedProcess[str]


class Caller:
    """Calls the program in a place of its own, without the machine's configuration."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.config = place / "mentat-reporter.py.conf"
        self.folder = place / "core"
        self.folder.mkdir()
        self.cwd = place
        self.configure({})

    def configure(self, config: dict[str, Any]) -> None:
        self.config.write_text(json.dumps(config), encoding="utf-8")

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "MENTAT"))}
        return {**kept, "PYTHONPATH": str(ROOT), "MENTAT_REPORTER_HOME": str(self.home), "COLUMNS": "100"}

    def arguments(self, words: Sequence[str]) -> list[str]:
        return [*words, "--config-file", str(self.config), "--config-dir", str(self.folder)]

    def __call__(self, *words: str, bare: bool = False, flags: Sequence[str] = ()) -> Completed:
        command = [sys.executable, *flags, str(PROGRAM), *(words if bare else self.arguments(words))]
        return subprocess.run(
            command,
            cwd=self.cwd,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def start(self, code: str, *words: str) -> subprocess.Popen[str]:
        """Start the program after `code`, which may replace what a command calls."""
        argv = ["mentat-reporter.py", *self.arguments(words)]
        text = (
            f"import sys; sys.argv = {argv!r}\n{code}\n"
            "from mentat_reporter.script import MentatReporterScript\nMentatReporterScript().run()\n"
        )
        return subprocess.Popen(
            [sys.executable, "-c", text],
            cwd=self.cwd,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def with_report(self, code: str, *words: str) -> tuple[int, str, str]:
        """Run a `report` whose body is `code`; return exit code, stdout, stderr."""
        body = "\n".join(f"    {line}" for line in code.splitlines())
        process = self.start(
            "import mentat_reporter.run as run\n"
            "from mentat_reporter import errors\n"
            "from mentat_reporter.result import RunResult\n"
            f"def report(settings, logger, progress):\n{body}\n    return RunResult()\n"
            "run.report = report",
            *words,
        )
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    @property
    def log(self) -> str:
        return (self.home / "mentat-reporter.py.log").read_text(encoding="utf-8")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    return Caller(tmp_path)


@pytest.fixture
def call_with_database(call: Caller, make_database: Callable[..., dict[str, str]]) -> Caller:
    dsn = make_database()
    url = f"postgresql:///?{urlencode({name: value for name, value in dsn.items() if name != 'options'})}"
    call.configure({"__core__database": {"sqlstorage": {"url": url}}, "mail_transport": "maildir"})
    return call


# Help


def test_the_help_is_the_one_on_file(call: Caller) -> None:
    shown = call("--help", bare=True)

    assert shown.returncode == 0
    assert shown.stderr == ""
    assert shown.stdout == HELP.read_text(encoding="utf-8")  # print it with COLUMNS=100 after a change


def test_the_version_is_printed(call: Caller) -> None:
    assert re.fullmatch(r"mentat-reporter \d+\.\d+\.\d+\n", call("--version", bare=True).stdout)


def test_help_loads_nothing_that_it_does_not_need(call: Caller) -> None:
    loaded = {
        line.rpartition("|")[2].strip()
        for line in call("--help", flags=["-X", "importtime"]).stderr.splitlines()
    }

    assert "pyzenkit.zenscript" in loaded
    assert loaded.isdisjoint({"psycopg2", "jinja2", "babel", "pytz", "smtplib", "orjson", "ransack", "lark"})


def test_every_option_is_in_the_help() -> None:
    text = HELP.read_text(encoding="utf-8")
    parser = options.build_parser(commands=["report"], actions=["config-view"])

    assert [word for action in parser._actions for word in action.option_strings if word not in text] == []


def test_the_options_of_pyzenkit_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(ZenScript):  # type: ignore[misc]
        def get_default_command(self) -> str:
            return "nothing"

    monkeypatch.setattr(sys, "argv", ["plain"])
    theirs = {(word, action.dest) for action in Plain().argparser._actions for word in action.option_strings}
    ours = options.build_parser(commands=["report"], actions=["config-view"])

    assert theirs <= {(word, action.dest) for action in ours._actions for word in action.option_strings}


def test_the_public_names_stay() -> None:
    names = {
        "CONFIG_REPORTS_DIR": "reports_dir",
        "CONFIG_TEMPLATES_DIR": "templates_dir",
        "CONFIG_EVENT_CLASSES_DIR": "event_classes_dir",
        "CONFIG_TEMPLATE_VARS": "template_vars",
        "CONFIG_TEST_DATA": "test_data",
        "CONFIG_FORCE_MODE": "force_mode",
        "CONFIG_FORCE_ATTACHMENTS": "force_attachments",
        "CONFIG_FORCE_TEMPLATE": "force_template",
        "CONFIG_FORCE_LOCALE": "force_locale",
        "CONFIG_FORCE_TIMEZONE": "force_timezone",
        "CONFIG_FORCE_MAXATTACHSIZE": "force_max_attachment_size",
        "CORECFG_REPORTER": "__core__reporter",
    }

    assert {name: getattr(MentatReporterScript, name) for name in names} == names
    assert issubclass(MentatReporterScript, ZenScript)
    assert callable(MentatReporterScript.cbk_command_report)


def test_report_is_the_default_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mentat-reporter.py"])

    assert MentatReporterScript().get_default_command() == "report"


# What is refused


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--templat-id", "x"], "unknown option --templat-id, did you mean --template-id?"),
        (["--template=x"], "unknown option --template=x"),
        (["reprot"], "unknown command reprot, did you mean report?"),
        (["--command", "reprot"], "invalid choice: 'reprot'"),
        (["import-groups"], "import-groups needs at least one FILE"),
        (["report", "groups.json"], "report takes no files: groups.json"),
        (["--command", "report", "report"], "report takes no files: report"),
        (["report", "--replace"], "--replace belongs to import-groups"),
        (["init", "--dry-run"], "--dry-run cannot be had with init"),
        (["preview", "--dry-run"], "--dry-run cannot be had with preview"),
        (["report", "--preview-dir", "x"], "--preview-dir belongs to preview"),
        (["preview", "M20260504SL-AAAAA", "--regular"], "--regular cannot be had with a label"),
        (
            ["preview", "M20260504SL-AAAAA", "--time-low", "2026-03-01"],
            "--time-low cannot be had with a label",
        ),
        (["--regular", "--severity", "low"], "--severity cannot be used with --regular"),
        (["--regular", "--abuse-group", "a"], "--abuse-group cannot be used with --regular"),
        (["--regular", "--time-low", "2026-03-01"], "--time-low cannot be used with --regular"),
        (["--regular", "--shell"], "not allowed with argument"),
        (["--time-high", "yesterday"], "--time-high does not take 'yesterday'; it takes a time, as"),
        (["--template-id", "../x"], "--template-id does not take '../x'"),
        (["--locale", "xx"], "--locale: there is no translation for 'xx'"),
        (["--mail-to", "nobody"], "--mail-to does not take"),
        (["--interval", "sometimes"], "invalid choice: 'sometimes'"),
        (["--name", "../x"], "argument --name"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(call: Caller, words: list[str], message: str) -> None:
    refused = call(*words)

    assert refused.returncode == 2
    assert refused.stderr.startswith("mentat-reporter: ")
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not call.home.exists()


@pytest.mark.parametrize(("option", "what"), [("--config-file", "file"), ("--config-dir", "folder")])
def test_a_configuration_that_is_named_must_exist(call: Caller, option: str, what: str) -> None:
    missing = str(call.cwd / "missing")

    refused = call(option, missing, bare=True)

    assert refused.returncode == 2
    assert refused.stderr == f"mentat-reporter: configuration {what} {missing} does not exist\n"


def test_a_configuration_that_is_named_may_be_missing_when_that_is_said(call: Caller) -> None:
    missing = str(call.cwd / "missing")

    assert (
        call(
            "--action", "config-view", "--config-file", missing, "--config-file-silent", bare=True
        ).returncode
        == 0
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            '# a comment\n{\n  "mail_from": "a@example.org"\n  "mail_admin": []\n}\n',
            "line 4: Expecting ',' delimiter",
        ),
        ('{\n  "mail_from": "a@example.org",\n  // the end\n}\n', "a comma after the last entry"),
        ("[]", "must hold one object"),
        ("{" * 100_000, "Expecting property name"),
    ],
)
def test_a_broken_configuration_is_named_with_its_line(call: Caller, text: str, cause: str) -> None:
    call.config.write_text(text)

    refused = call()

    assert refused.returncode == 2
    assert refused.stderr.startswith(f"mentat-reporter: configuration file {call.config}")
    assert cause in refused.stderr


def test_a_broken_file_of_the_configuration_folder_is_named_too(call: Caller) -> None:
    (call.folder / "mail.json.conf").write_text("{\n\n]")

    assert f"{call.folder}/mail.json.conf, line 3: " in call().stderr


def test_a_wrong_value_of_pyzenkits_own_is_refused(call: Caller) -> None:
    call.configure({"log_level": "loud"})

    assert "log_level does not take 'loud'; it takes one of debug, info" in call().stderr


def test_an_unknown_command_in_the_configuration_is_refused(call: Caller) -> None:
    call.configure({"command": "reprot"})

    refused = call()

    assert (refused.returncode, refused.stderr) == (
        2,
        "mentat-reporter: unknown command reprot, did you mean report?\n",
    )


def test_a_log_that_cannot_be_written_is_named(call: Caller) -> None:
    refused = call("--log-file", str(call.cwd / "no" / "such" / "log"))

    assert refused.returncode == 2
    assert refused.stderr == (
        f"mentat-reporter: log file {call.cwd}/no/such/log cannot be written, name another by --log-file: "
        "No such file or directory\n"
    )


# Configuration


def test_an_unknown_key_is_warned_of_on_the_terminal_and_in_the_log(call: Caller) -> None:
    call.configure({"mail_form": "a@example.org"})
    warning = "unknown key mail_form in the configuration is ignored; did you mean mail_from?"

    shown = call("--action", "config-view", "--regular")

    assert shown.returncode == 0
    assert shown.stderr == f"mentat-reporter: warning: {warning}\n"
    assert f"WARNING: {warning}" in call.log


def test_the_file_wins_over_the_folder_and_options_over_both(call: Caller) -> None:
    (call.folder / "a.json.conf").write_text('{"mail_from": "a@example.org", "mail_subject": "a"}')
    (call.folder / "b.json.conf").write_text('{"mail_subject": "b", "mail_dev_port": 1}')
    call.configure({"mail_dev_port": 2})

    code, out, _ = call.with_report(
        "mail = settings.mail\nprint(mail.sender, mail.subject, mail.dev_port)",
        "--mail-from",
        "o@example.org",
    )

    assert (code, out.splitlines()[0]) == (0, "o@example.org b 2")


def test_a_dot_env_of_the_working_directory_is_not_loaded(call: Caller) -> None:
    (call.cwd / ".env").write_text("PGPASSWORD=stray\n")

    code, out, _ = call.with_report("import os\nprint(os.environ.get('PGPASSWORD'))")

    assert (code, out.splitlines()[0]) == (0, "None")


def test_secrets_are_never_shown(call: Caller) -> None:
    call.configure(
        {
            "smtp_user": "u",
            "smtp_password": SECRET,
            "__core__database": {
                "sqlstorage": {"url": f"postgresql://u:{SECRET}@db/x"},
                "eventstorage": {"dbname": "y", "password": SECRET},
            },
        }
    )
    (call.folder / "a.json.conf").write_text(f'{{"smtp_password": "{SECRET}"}}')

    shown = call("--debug", "--log-level", "debug", "--action", "config-view")

    assert shown.returncode == 0
    assert "eventstorage" in shown.stdout
    assert "Final application configurations" in shown.stderr
    assert SECRET not in shown.stdout + shown.stderr + call.log


# Running


def test_home_and_log_are_private_to_user_and_group(call: Caller) -> None:
    call.with_report("pass")

    assert stat.S_IMODE(call.home.stat().st_mode) == 0o750
    assert stat.S_IMODE((call.home / "mentat-reporter.py.log").stat().st_mode) == 0o640


def test_cron_hears_of_warnings_and_errors_alone(call: Caller) -> None:
    code = "logger.info('calm')\nlogger.warning('odd')\nprogress('busy')\nlogger.error('bad')"

    assert call.with_report(code, "--regular")[1:] == (
        "",
        "mentat-reporter: warning: odd\nmentat-reporter: bad\n",
    )
    assert call.with_report(code, "--quiet")[1:] == call.with_report(code, "--regular")[1:]
    assert "INFO: calm" in call.log


@pytest.mark.parametrize(
    "words", [["--verbose"], ["--debug"], ["--log-level", "debug"], ["--log-level", "info"]]
)
def test_there_are_ways_to_hear_more(call: Caller, words: list[str]) -> None:
    assert "calm" in call.with_report("logger.info('calm')", *words)[2]


def test_the_summary_is_printed_and_failures_are_named_once(call: Caller) -> None:
    code = (
        "result = RunResult()\nresult.fail('group a failed')\nresult.fail('group b failed')\n"
        "logger.warning('group a failed')\nreturn result"
    )

    exit_code, out, err = call.with_report(code)

    assert exit_code == 3
    assert out == "nothing was due\n"
    assert err == "mentat-reporter: warning: group a failed\nmentat-reporter: group b failed\n"


def test_progress_is_one_line_that_makes_place_for_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    progress = console.Progress(terminal, wanted=True)

    progress("10 of 200 groups\x1b[31m, a long line")
    progress.clear()
    progress.clear()

    assert terminal.getvalue() == "\r\x1b[K10 of 200 groups[31\r\x1b[K"


def test_without_a_terminal_there_is_no_progress() -> None:
    stream = io.StringIO()

    console.Progress(stream, wanted=True)("busy")

    assert stream.getvalue() == ""


def test_a_busy_lock_is_no_error(call: Caller) -> None:
    assert call.with_report("raise errors.LockBusyError('busy')", "--regular") == (75, "", "")
    assert call.with_report("raise errors.LockBusyError('busy')") == (75, "mentat-reporter: busy\n", "")
    assert "INFO: busy" in call.log


def test_an_expected_error_is_one_line_and_its_exit_code(call: Caller) -> None:
    assert call.with_report("raise errors.StoreError('no database')") == (
        1,
        "",
        "mentat-reporter: no database\n",
    )
    assert call.with_report("raise errors.UsageError('no')")[0] == 2
    assert "Traceback" not in call.log


def test_an_unexpected_error_is_one_line_and_its_traceback_is_in_the_log(call: Caller) -> None:
    exit_code, out, err = call.with_report("1 / 0", "--log-level", "debug", "--regular")

    assert (exit_code, out, err) == (1, "", "mentat-reporter: ZeroDivisionError: division by zero\n")
    assert "Traceback (most recent call last)" in call.log
    assert "Done, exit code 1" in call.log


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_in_good_order(call: Caller, number: signal.Signals, exit_code: int) -> None:
    started = call.cwd / "started"
    process = call.start(
        "import time, pathlib\n"
        "import mentat_reporter.run as run\n"
        f"run.report = lambda *_: (pathlib.Path({str(started)!r}).touch(), time.sleep(60))",
        "--log-level",
        "debug",
        "--regular",
    )
    while not started.exists():
        time.sleep(0.02)

    process.send_signal(number)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (exit_code, "")
    assert err == f"mentat-reporter: warning: stopped by {number.name}\n"
    assert f"Done, exit code {exit_code}" in call.log


# The usage lines of the manual


@pytest.mark.parametrize(
    "words",
    [
        ["--debug"],
        ["--log-level", "debug"],
        ["--mail-test-mode", "--test-data", "--mail-to", "admin@domain.org"],
        ["--template-id", "another", "--locale", "cs"],
        ["--regular"],
        ["--command", "deliver"],
        ["deliver"],
        ["preview"],
        ["preview", "--regular"],
        ["--command=init"],
    ],
    ids=" ".join,
)
def test_the_usage_lines_of_the_manual_run_as_printed(call_with_database: Caller, words: list[str]) -> None:
    done = call_with_database(*words)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_options_may_stand_before_and_behind_the_words(call_with_database: Caller) -> None:
    sample = str(ROOT / "etc" / "sample" / "groups.json")

    assert call_with_database("--quiet", "import-groups", "--replace", sample).returncode == 0
    assert call_with_database("import-groups", sample, "--quiet").returncode == 0
