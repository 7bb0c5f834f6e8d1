"""The command: pyzenkit's script with our options and commands; only here do errors become exit codes."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Never

import pyzenkit.utils

from mentat_reporter import configfile, console, options, settings_mentat
from mentat_reporter.errors import EXIT_FAILED, EXIT_USAGE, LockBusyError, ReporterError, UsageError
from mentat_reporter.settings import Settings, build_settings, check_framework_keys

# pyzenkit.baseapp calls this on import: a `.env` in whatever folder one happens to stand in would enter the
# environment, PGPASSWORD and MENTAT_REPORTER_HOME included. The imports below find a harmless one.
pyzenkit.utils.load_dotenv_cwd = lambda: None

from pyzenkit.baseapp import ZenAppSetupException  # noqa: E402
from pyzenkit.zenscript import ZenScript  # noqa: E402

if TYPE_CHECKING:
    from mentat_reporter.imports import ImportResult
    from mentat_reporter.result import Answer, RunResult

UMASK: Final = 0o027
EXIT_SIGNAL: Final = 128
"""A shell's way: 128 and the number of the signal."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, taken as an interrupt: whoever cleans up after one cleans up after the other."""


class MentatReporterScript(ZenScript):
    """`mentat-reporter.py`, see `--help`."""

    CORECFG_REPORTER = "__core__reporter"

    CONFIG_REPORTS_DIR = "reports_dir"
    CONFIG_TEMPLATES_DIR = "templates_dir"
    CONFIG_EVENT_CLASSES_DIR = "event_classes_dir"
    CONFIG_TEMPLATE_VARS = "template_vars"
    CONFIG_TEST_DATA = "test_data"
    CONFIG_FORCE_MODE = "force_mode"
    CONFIG_FORCE_ATTACHMENTS = "force_attachments"
    CONFIG_FORCE_TEMPLATE = "force_template"
    CONFIG_FORCE_LOCALE = "force_locale"
    CONFIG_FORCE_TIMEZONE = "force_timezone"
    CONFIG_FORCE_MAXATTACHSIZE = "force_max_attachment_size"

    settings: Settings

    def __init__(self, **kwargs: Any) -> None:
        self._warnings: list[str] = []
        self._notes: list[str] = []
        self._told: set[str] = set()
        self._progress = console.Progress(sys.stderr, wanted=False)
        defaults = {
            "name": options.PROGRAM,
            "description": options.DESCRIPTION,
            # Where Mentat keeps them. The log's place depends on who runs it, see `_configure_postprocess`.
            "path_bin": "/usr/local/bin",
            "path_cfg": "/etc/mentat",
            "path_var": "/var/mentat",
            "path_log": "/var/mentat/log",
            "path_run": "/var/mentat/run",
            "path_tmp": "/var/tmp",  # noqa: S108 - a default that pyzenkit wants, nothing is written there
            "default_config_dir": "/etc/mentat/core",
            "default_log_file": None,
        }
        super().__init__(**{**defaults, **kwargs})

    def get_default_command(self) -> str:
        return "report"

    # Commands

    def cbk_command_report(self) -> None:
        if self.settings.run.compare:
            self._compare()
            return
        from mentat_reporter import run  # noqa: PLC0415 - as in all commands: --help needs none of it

        self._finish_run(run.report(self.settings, self.logger, self._progress))

    def _compare(self) -> None:
        from mentat_reporter.comparing import compare  # noqa: PLC0415

        self._answer(compare(self.settings, self.logger, self._progress))

    def cbk_command_preview(self) -> None:
        from mentat_reporter.preview import preview  # noqa: PLC0415

        self._answer(preview(self.settings, self._config_cli["files"], self.logger, self._progress))

    def cbk_command_deliver(self) -> None:
        from mentat_reporter import run  # noqa: PLC0415

        self._finish_run(run.deliver(self.settings, self.logger, self._progress))

    def cbk_command_init(self) -> None:
        from mentat_reporter import imports  # noqa: PLC0415

        self._say(imports.initialise(self.settings))

    def cbk_command_import_groups(self) -> None:
        from mentat_reporter import imports  # noqa: PLC0415

        replace = bool(self._config_cli["replace"])
        self._finish_import(imports.import_groups(self.settings, self._config_cli["files"], replace=replace))

    def cbk_command_import_events(self) -> None:
        from mentat_reporter import imports  # noqa: PLC0415

        self._finish_import(imports.import_events(self.settings, self._config_cli["files"]))

    def cbk_command_demo(self) -> None:
        from mentat_reporter.demo import run_demo  # noqa: PLC0415

        os.umask(0o022)  # root's PostgreSQL is another user's, who has to get there; the data are a sample
        self.retc = run_demo(self.settings, self.logger, self.p)

    def _answer(self, answer: "Answer") -> None:
        self._complain(answer.faults)
        self._say(answer.said)
        self.retc = answer.exit_code

    def _finish_run(self, result: "RunResult") -> None:
        self._complain(result.failures)
        for line in result.summary_lines():  # in one line it is in the log already
            self.p(line)
        self.retc = result.exit_code

    def _finish_import(self, result: "ImportResult") -> None:
        self._complain(result.faults)
        self._say([*result.noted, *result.said])
        self.retc = result.exit_code

    def _say(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.logger.info("%s", line, extra={"printed": True})
            self.p(line)

    def _complain(self, faults: Sequence[str]) -> None:
        """Name what failed, unless that was done when it happened."""
        self._progress.clear()
        for fault in faults:
            if fault not in self._told:
                self.logger.error("%s", fault)

    # From pyzenkit's stages to ours, in the order in which they are called

    def _init_argparser(self, **_kwargs: Any) -> argparse.ArgumentParser:
        return options.build_parser(
            commands=self._utils_detect_commands(), actions=self._utils_detect_actions()
        )

    def _parse_cli_arguments(self, argparser: argparse.ArgumentParser) -> dict[str, Any]:
        given = options.parse(argparser, sys.argv[1:], self._utils_detect_commands())
        if given[self.CONFIG_DEBUG]:
            ZenScript.FLAG_DEBUG = True
        return given

    def run(self) -> Never:
        """Run the command and exit, whatever happens."""
        signal.signal(signal.SIGTERM, _terminate)
        try:
            super().run()
        except KeyboardInterrupt as error:
            self._interrupted(error)
        sys.exit(self.retc)

    def _stage_setup(self) -> None:
        os.umask(UMASK)
        super()._stage_setup()

    def _configure_from_file(self) -> None:
        with _as_setup_error():
            self._config_file = configfile.load_file(
                Path(self.c(self.CONFIG_CFG_FILE)),
                may_be_missing=not self._config_cli[self.CONFIG_CFG_FILE] or self.c(self.CONFIG_CFG_FILE_S),
            )

    def _configure_from_dir(self) -> None:
        with _as_setup_error():
            self._config_dir = configfile.load_folder(
                Path(self.c(self.CONFIG_CFG_DIR)),
                may_be_missing=not self._config_cli[self.CONFIG_CFG_DIR] or self.c(self.CONFIG_CFG_DIR_S),
            )

    def _configure_merge(self) -> None:
        with _as_setup_error():
            check_framework_keys(self._raw())
        super()._configure_merge()

    def _configure_postprocess(self) -> None:
        super()._configure_postprocess()
        if self.c(self.CONFIG_REGULAR) and not (self._config_cli["quiet"] or self._raw().get("quiet")):
            # pyzenkit is silent under --regular, for cron; a person at a terminal wants to read what it did
            is_looked_at = self._config_cli["dry_run"] or self.c(self.CONFIG_COMMAND) == "preview"
            self.config[self.CONFIG_QUIET] = not (sys.stdout.isatty() or is_looked_at)
        logs = self.config[self.CORE][self.CORE_LOGGING]
        logs[self.CORE_LOGGING_LEVELC] = self._console_level()
        logs[self.CORE_LOGGING_LEVEL] = min(
            logs[self.CORE_LOGGING_LEVELF], logs[self.CORE_LOGGING_LEVELC], key=_number
        )
        if not self.c(self.CONFIG_LOG_FILE):
            self.config[self.CONFIG_LOG_FILE] = str(_home() / f"{self.name}.log")
            if self.c(self.CONFIG_COMMAND) == "demo":  # leaves nothing outside its own place
                logs[self.CORE_LOGGING_TOFILE] = False

    def _configure_check(self) -> None:
        """Build the settings. From then on nobody needs the secrets in the raw configuration."""
        with _as_setup_error():
            options.check_command(
                self.c(self.CONFIG_COMMAND), self._utils_detect_commands(), self._config_cli
            )
            self.settings, self._warnings = build_settings(self._raw(), home=_home(), named=self._config_cli)
            self._notes = list(settings_mentat.notes(self._raw()))
        self.config: dict[str, Any] = configfile.redact(self.config)
        self._config_file = configfile.redact(self._config_file)
        self._config_dir = configfile.redact(self._config_dir)

    def _stage_setup_logging(self) -> None:
        path = Path(self.c(self.CONFIG_LOG_FILE))
        logs = self.cc(self.CORE_LOGGING)
        if self.c(self.CONFIG_COMMAND) != "demo":
            with suppress(
                OSError
            ):  # whoever needs the home says so; perhaps everything is configured elsewhere
                self.settings.home.mkdir(mode=0o750, parents=True, exist_ok=True)
        with _as_setup_error(f"log file {path} cannot be written, name another by --log-file"):
            super()._stage_setup_logging()
        chatty = logs[self.CORE_LOGGING_LEVELC] == "DEBUG" or self.c(self.CONFIG_QUIET)
        self._progress = console.Progress(sys.stderr, wanted=not chatty)
        for handler in self.logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.addFilter(self._before_message)
                if not self.c(self.CONFIG_DEBUG):
                    handler.setFormatter(console.OneLine())

    def _sub_stage_setup(self) -> None:
        for warning in self._warnings:
            self.logger.warning("%s", warning)
        for note in self._notes:
            self.logger.info("%s", note)

    def _sub_stage_process(self) -> None:
        """Run the command. Nothing gets past, since pyzenkit would leave the teardown out."""
        try:
            super()._sub_stage_process()
        except LockBusyError as error:
            self.logger.info("%s", error)
            self.p(f"{console.LABEL}: {error}")
            self.retc = error.exit_code
        except ReporterError as error:
            self.error(error, retc=error.exit_code)
        except KeyboardInterrupt as error:
            self._interrupted(error)
        except Exception as error:  # whatever it was, it is logged, and the run has failed
            self.logger.error("%s: %s", type(error).__name__, error, exc_info=error)  # noqa: TRY400
            self.retc = EXIT_FAILED

    def _sub_stage_teardown(self) -> None:
        self._progress.clear()
        self.logger.debug("Done, exit code %s", self.retc)
        for handler in list(self.logger.handlers):
            self.logger.removeHandler(handler)
            handler.close()

    # Helpers

    def _raw(self) -> dict[str, Any]:
        folder, file = self._config_dir or {}, self._config_file or {}
        return {**folder, **configfile.without_nulls(file)}

    def _console_level(self) -> str:
        if self.c(self.CONFIG_DEBUG):
            return "DEBUG"
        if self.c(self.CONFIG_REGULAR) or self.c(self.CONFIG_QUIET):
            return "WARNING"
        if self._config_cli[self.CONFIG_LOG_LEVEL]:
            return str(self.c(self.CONFIG_LOG_LEVEL)).upper()
        return "INFO" if self.c(self.CONFIG_VERBOSITY) else "WARNING"

    def _before_message(self, record: logging.LogRecord) -> bool:
        self._progress.clear()
        if record.levelno >= logging.WARNING:
            self._told.add(record.getMessage())
        return not hasattr(record, "printed")

    def _interrupted(self, error: KeyboardInterrupt) -> None:
        number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
        self._progress.clear()
        if self.logger:
            self.logger.warning("stopped by %s", number.name)
        self.retc = EXIT_SIGNAL + number

    @staticmethod
    def excout(exception: Exception, retc: int | None = None) -> Never:
        """Say in one line what is wrong with the set-up, and exit."""
        console.complain(getattr(exception, "description", exception))
        sys.exit(EXIT_USAGE if retc is None else retc)


@contextmanager
def _as_setup_error(what: str = "") -> Iterator[None]:
    """Turn our errors, and those of the system, into the one that pyzenkit shows without a traceback."""
    try:
        yield
    except ReporterError as error:
        raise ZenAppSetupException(str(error)) from error
    except OSError as error:
        raise ZenAppSetupException(f"{what}: {error.strerror}" if what else str(error)) from error


def _home() -> Path:
    from mentat_reporter.store.embedded import default_home  # noqa: PLC0415

    try:
        return default_home().absolute()
    except RuntimeError:
        raise UsageError("there is no home folder here; set MENTAT_REPORTER_HOME") from None


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level]


def _terminate(_signal: int, _frame: FrameType | None) -> Never:
    raise Terminated
