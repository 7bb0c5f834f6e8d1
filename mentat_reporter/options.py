"""The command line: words, options, help."""

import argparse
import difflib
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Never

from mentat_reporter import __version__
from mentat_reporter.errors import EXIT_USAGE, UsageError
from mentat_reporter.settings_keys import option
from mentat_reporter.settings_values import INTERVALS

PROGRAM: Final = "mentat-reporter.py"
HELP_COLUMN: Final = 38
FILE_COMMANDS: Final = ("import-groups", "import-events")
NOT_DRY: Final = ("init", "demo", "preview", *FILE_COMMANDS)
SELECTING: Final = ("regular", "time_low", "time_high", "severity", "abuse_group", "test_data")
"""What chooses events, and says nothing where a label is given."""

DESCRIPTION: Final = """\
Tells abuse groups by mail what the security events in the database say about their networks:
filtered, never twice, relapses included, each in its reader's language.
"""

COMMANDS: Final = """\
  report               decide, store and mail reports (this is the default)
  preview [LABEL…]     write what report would send, or stored reports, into a folder to look at
  deliver              send mails that are still waiting
  init                 create or update the tables
  import-groups FILE…  take abuse groups, networks, filters and event classes from JSON
  import-events FILE…  take IDEA messages from files, folders or - (standard input)
  demo                 try all of it with sample data, in a place of its own
"""

EPILOG: Final = f"""\
examples:
  see what it does             {PROGRAM} demo
  once, before the first run   {PROGRAM} init
  add or update abuse groups   {PROGRAM} import-groups groups.json
  the line for cron            {PROGRAM} --regular --interval 10_minutes
  rehearse, mail to you alone  {PROGRAM} --mail-test-mode --mail-to admin@example.org
  look at a day, send nothing  {PROGRAM} --dry-run --time-low 2026-03-01 --time-high 2026-03-02
  see a group's mail in Czech  {PROGRAM} preview --abuse-group a@example.org --locale cs

exit codes:
  0 done   1 failed   2 wrong usage or configuration   3 done in part, see the messages
  75 another run holds the lock   130, 143 stopped by SIGINT, SIGTERM

Configuration: /etc/mentat/core/*.json.conf, then /etc/mentat/{PROGRAM}.conf, then options.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        self.exit(EXIT_USAGE, f"mentat-reporter: {message}\nTry {PROGRAM} --help\n")


def build_parser(*, commands: Sequence[str], actions: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of everything. Values are text here; settings.py reads them."""
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [COMMAND] [FILE … | LABEL …] [OPTION …]",
        description=f"{DESCRIPTION}\ncommands:\n{COMMANDS}",
        epilog=EPILOG,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=HELP_COLUMN),
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    _add_what(parser.add_argument_group("what to report"))
    _add_mail(parser.add_argument_group("mail (ADDRESSES: separated by commas, repeatable)"))
    _add_looks(parser.add_argument_group("how reports look, instead of what groups and configuration say"))
    _add_files(parser.add_argument_group("import, preview, files and folders"))
    _add_general(parser.add_argument_group("configuration and messages"))
    _add_rare(parser.add_argument_group("rarely needed"), commands, actions)
    return parser


def parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str], commands: Sequence[str]
) -> dict[str, Any]:
    """Return what was given, None for what was not. The first word is the command, or an option."""
    found, unknown = parser.parse_known_intermixed_args(arguments)
    given = vars(found)
    words: list[str] = given.pop("words")
    for word in unknown:
        known = [option for action in parser._actions for option in action.option_strings]  # noqa: SLF001
        parser.error(f"unknown option {word}{_nearest(word.partition('=')[0], known)}")
    if words and given["command"] is None:
        given["command"] = command = words.pop(0)
        if command not in commands:
            parser.error(f"unknown command {command}{_nearest(command, commands)} ({', '.join(commands)})")
    return {**given, "files": words}


def check_command(command: str, commands: Sequence[str], given: dict[str, Any]) -> None:
    """Raise UsageError for an unknown command, and for words and options that it does not take."""
    if command not in commands:
        raise UsageError(f"unknown command {command}{_nearest(command, commands)}")
    if command in FILE_COMMANDS and not given["files"]:
        raise UsageError(f"{command} needs at least one FILE")
    if command not in (*FILE_COMMANDS, "preview") and given["files"]:
        raise UsageError(f"{command} takes no files: {' '.join(given['files'])}")
    if given["replace"] and command != "import-groups":
        raise UsageError("--replace belongs to import-groups")
    _check_looking(command, given)
    if command == "preview" and given["files"]:
        for name in SELECTING:
            if given[name]:
                raise UsageError(
                    f"{option(name)} cannot be had with a label, which says which report is meant"
                )


def _check_looking(command: str, given: dict[str, Any]) -> None:
    """Raise UsageError for what only looks, where it does not belong."""
    if given["preview_dir"] and command != "preview":
        raise UsageError("--preview-dir belongs to preview")
    if given["compare"] and command != "report":
        raise UsageError(f"--compare cannot be had with {command}")
    if given["dry_run"] and command in NOT_DRY:
        raise UsageError(f"--dry-run cannot be had with {command}")


def _nearest(word: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {found[0]}?" if found else ""


def _add_what(group: argparse._ArgumentGroup) -> None:
    either = group.add_mutually_exclusive_group()
    _flag(either, "--regular", "the run of cron: report what is due and remember it; otherwise ad hoc")
    _flag(either, "--shell", "no log file")
    group.add_argument(
        "--interval",
        choices=list(INTERVALS),
        metavar="NAME",
        help="how often cron calls: 5_minutes, 10_minutes (default), 15_minutes, hourly, "
        "2_hourly … daily, weekly",
    )
    group.add_argument("--time-low", metavar="TIME", help="begin of the window, ad hoc only")
    group.add_argument(
        "--time-high", metavar="TIME", help="stands for now, as 2026-03-02T10:00Z; UTC unless it says"
    )
    _many(group, "--severity", "NAME", "only this severity, ad hoc only, repeatable")
    _many(group, "--abuse-group", "NAME", "only this abuse group, ad hoc only, repeatable")
    _flag(group, "--test-data", "report events of category Test, and only those")
    _flag(group, "--dry-run", "write and send nothing, say what would happen")
    _flag(group, "--compare", "say how a past time would have been reported, beside how it was, and why")
    group.add_argument(
        "--max-runtime", metavar="TIME", help="stop in good order after this, as 15min; default 2 intervals"
    )
    group.add_argument("--workers", metavar="N", help="processes a regular run deals groups to; default 1")


def _add_mail(group: argparse._ArgumentGroup) -> None:
    _flag(group, "--mail-test-mode", "send all to --mail-to, or else to the admin, and move no state")
    _many(group, "--mail-to", "ADDRESSES", "instead of the recipients of every report")
    _many(group, "--mail-cc", "ADDRESSES", "instead of their copies")
    _many(group, "--mail-bcc", "ADDRESSES", "hidden copies")
    _text(group, "--mail-from", "SENDER", "From, as 'CSIRT <csirt@example.org>'")
    _many(group, "--mail-reply-to", "ADDRESSES", "where answers go")
    _text(group, "--mail-return-path", "ADDRESS", "where bounces go (default: the address of From)")
    _many(group, "--mail-admin", "ADDRESSES", "who gets the daily digest, redirected and test mail")
    _text(group, "--mail-subject", "TEXT", "instead of the template's subject")
    _text(group, "--mail-transport", "NAME", "smtp (default), sendmail, maildir or null")
    _flag(group, "--mail-dev-mode", "send by plain SMTP to the two below")
    _text(group, "--mail-dev-server", "HOST", "default localhost")
    _text(group, "--mail-dev-port", "PORT", "default 5025")


def _add_looks(group: argparse._ArgumentGroup) -> None:
    _text(group, "--template-id", "ID", "template (also --force-template)", dest="force_template")
    _text(group, "--force-template", "ID", argparse.SUPPRESS)
    _text(group, "--locale", "CODE", "language, as cs (also --force-locale)", dest="force_locale")
    _text(group, "--force-locale", "CODE", argparse.SUPPRESS)
    _text(group, "--force-timezone", "ZONE", "as Europe/Prague")
    _text(group, "--force-mode", "MODE", "summary, extra, both or none")
    _text(group, "--force-attachments", "KIND", "none, json, csv or all")
    _text(
        group,
        "--force-max-attachment-size",
        "BYTES",
        "more than that is compressed, else left out and named",
    )


def _add_files(group: argparse._ArgumentGroup) -> None:
    _flag(group, "--replace", "import-groups: delete what the files do not name")
    _text(group, "--preview-dir", "FOLDER", "preview: where it writes (default preview in the home)")
    _text(group, "--reports-dir", "FOLDER", "where report files go")
    _text(group, "--templates-dir", "FOLDER", "your own templates")
    _text(group, "--event-classes-dir", "FOLDER", "a folder for each event class that adds to its reports")


def _add_general(group: argparse._ArgumentGroup) -> None:
    _text(group, "--config-file", "FILE", f"default /etc/mentat/{PROGRAM}.conf, which may be missing")
    _text(group, "--config-dir", "FOLDER", "default /etc/mentat/core, which may be missing")
    _text(group, "--log-file", "FILE", f"default {PROGRAM}.log in the reporter's home")
    levels = ["debug", "info", "warning", "error", "critical"]
    group.add_argument(
        "--log-level", choices=levels, metavar="LEVEL", help=f"{', '.join(levels)} (default info)"
    )
    either = group.add_mutually_exclusive_group()
    _flag(either, "--quiet", "print nothing but warnings and errors")
    either.add_argument("--verbose", action="count", dest="verbosity", help="print what goes to the log, too")
    _flag(group, "--debug", "print much more, secrets left out")
    group.add_argument("-h", "--help", action="help", help="print this and exit")
    group.add_argument(
        "--version", action="version", version=f"mentat-reporter {__version__}", help="print it and exit"
    )


def _add_rare(group: argparse._ArgumentGroup, commands: Sequence[str], actions: Sequence[str]) -> None:
    group.add_argument(
        "--command", choices=commands, metavar="NAME", help="the command, otherwise the first word"
    )
    _text(group, "--name", "NAME", "name that configuration and log files carry", type=_name)
    _text(group, "--user", "USER", "run as this user")
    _text(group, "--group", "GROUP", "run as this group of the system (abuse groups: --abuse-group)")
    _flag(group, "--config-file-silent", "a named configuration file may be missing")
    _flag(group, "--config-dir-silent", "a named configuration folder may be missing")
    _flag(group, "--adjust-thresholds", "pyzenkit's; windows of --regular are always adjusted")
    group.add_argument("--action", choices=actions, metavar="NAME", help=f"pyzenkit's: {', '.join(actions)}")
    _text(group, "--input", "FILE", "pyzenkit's, of actions")
    _text(group, "--limit", "N", "pyzenkit's, of actions", type=int)


def _flag(group: argparse._ActionsContainer, option: str, text: str) -> None:
    group.add_argument(option, action="store_true", default=None, help=text)


def _text(group: argparse._ActionsContainer, option: str, metavar: str, text: str, **more: Any) -> None:
    group.add_argument(option, metavar=metavar, help=text, **more)


def _many(group: argparse._ActionsContainer, option: str, metavar: str, text: str) -> None:
    group.add_argument(option, metavar=metavar, action="append", help=text)


def _name(text: str) -> str:
    if not text.isascii() or not text.replace(".", "").replace("-", "_").isidentifier() or text[0] in ".-":
        raise argparse.ArgumentTypeError("a letter or _, then letters, digits, dots, - and _")
    return text
