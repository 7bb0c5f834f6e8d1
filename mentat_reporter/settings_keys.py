"""Every configuration key: its one place. Name, reader, default, and the line that explains it.

`etc/mentat-reporter.py.conf` shows each of them; a test holds the two together.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mentat_reporter import settings_values as values
from mentat_reporter.core.model import ATTACHMENT_KINDS, MAX_ATTACHMENT_SIZE, MODES, URGENT_FIRST
from mentat_reporter.errors import UsageError

TOP: Final = ""
REPORTER: Final = "__core__reporter"
DATABASE: Final = "__core__database"

DATABASE_KEYS: Final = ("sqlstorage", "eventstorage")
SQLSTORAGE_KEYS: Final = ("url",)
SECRETS: Final = frozenset({"smtp_password"})
EVENTSTORAGE_KEYS: Final = (
    "dbname", "user", "password", "host", "port",
    "hostaddr", "service", "passfile", "target_session_attrs", "requirepeer", "channel_binding",
    "sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslcrldir", "sslcompression",
    "sslsni", "ssl_min_protocol_version", "ssl_max_protocol_version", "gssencmode",
    "gsslib", "krbsrvname",
)  # fmt: skip
"""libpq's, but for what the reporter sets itself on every connection."""


_Row = tuple[str, values.Reader, Any, str]


class Key(NamedTuple):
    name: str
    read: values.Reader
    default: Any
    """As one would write it in the file; None: not set, or worked out from others."""
    text: str
    section: str = TOP

    @property
    def label(self) -> str:
        return f"{self.section}.{self.name}" if self.section else self.name


_REPORTER_KEYS: Final[tuple[_Row, ...]] = (
    ("reports_dir", values.path, None, "where report files go; default: reports under the reporter's home"),
    ("reports_url", values.url, None, "public address of reports_dir, for links in reports"),
    ("templates_dir", values.path, None, "your own templates; those that ship are the fallback"),
    ("template_vars", values.variables, {}, "names and values that reach every template"),
    ("event_classes_dir", values.path, None, "a folder for each event class that adds to its reports"),
    ("fallback", values.addresses, [], "who gets reports of groups that have no address"),
    (
        "default_mode",
        values.choice(*MODES),
        "summary",
        "summary, extra, both, none: of groups that do not say",
    ),
    ("default_template", values.template_name, "default", "template of groups that do not say"),
    ("default_locale", values.locale_name, "en", "language of groups that do not say"),
    ("default_timezone", values.timezone_name, "UTC", "time zone of groups that do not say"),
    (
        "default_attachments",
        values.choice(*ATTACHMENT_KINDS),
        "none",
        "none, json, csv, all: what is attached for groups that do not say",
    ),
    (
        "default_max_attachment_size",
        values.number(0, 2**40),
        MAX_ATTACHMENT_SIZE,
        "bytes; more is compressed, else left out, for groups that do not say",
    ),
    ("csv_bom", values.flag, False, "begin CSV files with a byte order mark, for spreadsheets that want it"),
    ("xarf", values.flag, False, "attach XARF documents to extra reports"),
    (
        "filter_language",
        values.choice("ransack", "pynspect"),
        "ransack",
        "ransack, or pynspect (older Mentat)",
    ),
    ("lock_file", values.path, None, "keeps a second run out; default: mentat-reporter.lock under the home"),
    ("late_margin", values.duration, "5min", "how late an event may become visible in the database"),
)

_TOP_KEYS: Final[tuple[_Row, ...]] = (
    (
        "mail_transport",
        values.choice("smtp", "sendmail", "maildir", "null"),
        "smtp",
        "smtp, sendmail, maildir, null",
    ),
    (
        "mail_from",
        values.sender,
        "reports@localhost",
        "From of all reports, a name may stand before the <address>",
    ),
    ("mail_reply_to", values.addresses, [], "where answers go; default: to mail_from"),
    (
        "mail_return_path",
        values.address,
        None,
        "envelope sender, gets the bounces; default: that of mail_from",
    ),
    (
        "mail_admin",
        values.addresses,
        ["root@localhost"],
        "who gets the daily digest, redirected and test mail",
    ),
    ("mail_subject", values.text, None, "replaces the subject that the template writes"),
    ("mail_test_mode", values.flag, False, "send everything to --mail-to or the admin, and move no state"),
    ("mail_dev_mode", values.flag, False, "send by plain SMTP to mail_dev_server and mail_dev_port"),
    ("mail_dev_server", values.text, "localhost", "server of the dev mode"),
    ("mail_dev_port", values.port, 5025, "port of the dev mode"),
    ("mail_to", values.addresses, [], "replaces the recipients of every report"),
    ("mail_cc", values.addresses, [], "replaces the copies of every report"),
    ("mail_bcc", values.addresses, [], "gets a hidden copy of every report"),
    ("message_id_domain", values.domain, None, "right side of Message-ID; default: the domain of mail_from"),
    (
        "pgp_key",
        values.text,
        None,
        "OpenPGP key that signs mails, its fingerprint or address",
    ),
    ("pgp_home", values.path, None, "GnuPG's folder; default: that of whoever runs the reporter"),
    (
        "pgp_passphrase_file",
        values.path,
        None,
        "file that holds the key's passphrase",
    ),
    ("maildir", values.path, None, "folder of the maildir transport; default: maildir under the home"),
    ("smtp_host", values.text, "localhost", "mail server"),
    ("smtp_port", values.port, None, "its port; default: 25, with starttls 587, with tls 465"),
    ("smtp_security", values.choice("none", "starttls", "tls"), "none", "none, starttls or tls"),
    ("smtp_user", values.text, None, "login name, if the server wants one"),
    ("smtp_password_file", values.path, None, "file that holds the password, readable to the reporter alone"),
    ("smtp_password", values.secret, None, "the password itself; a file of its own is safer"),
    (
        "ambiguous",
        values.choice("resend", "hold"),
        "resend",
        "a mail that may or may not have gone: resend or hold",
    ),
    # Options that may stand in the file as well, as pyzenkit has it.
    ("regular", values.flag, False, "--regular: the run of cron"),
    ("interval", values.interval, "10_minutes", "--interval: how often cron calls"),
    ("max_runtime", values.positive_duration, None, "--max-runtime: when to stop; default: two intervals"),
    ("workers", values.number(1, 64), 1, "--workers: how many processes a regular run deals groups to"),
    ("force_mode", values.choice(*MODES), None, "--force-mode: instead of every group's own"),
    ("force_template", values.template_name, None, "--template-id: instead of every group's own"),
    ("force_locale", values.locale_name, None, "--locale: instead of every group's own"),
    ("force_timezone", values.timezone_name, None, "--force-timezone: instead of every group's own"),
    (
        "force_attachments",
        values.choice(*ATTACHMENT_KINDS),
        None,
        "--force-attachments: none, json, csv, all",
    ),
    ("force_max_attachment_size", values.number(0, 2**40), None, "--force-max-attachment-size: in bytes"),
)

_COMMAND_LINE: Final[tuple[_Row, ...]] = (
    ("test_data", values.flag, False, "take events of category Test, and only them"),
    ("dry_run", values.flag, False, "write and send nothing, say what would happen"),
    ("compare", values.flag, False, "say how a past time would have been reported, beside how it was"),
    ("time_low", values.time, None, "begin of an ad hoc window"),
    ("time_high", values.time, None, "stands for now"),
    ("severity", values.choices(*URGENT_FIRST), list(URGENT_FIRST), "only these severities"),
    ("abuse_group", values.names, [], "only these groups"),
    ("preview_dir", values.path, None, "where preview writes; default: preview under the reporter's home"),
)

COMMAND_LINE_KEYS: Final = tuple(Key(*row) for row in _COMMAND_LINE)
"""What concerns one run only. In a file each of them would silently change every run of cron."""

FILE_KEYS: Final = (
    *(Key(*row, REPORTER) for row in _REPORTER_KEYS),
    *(Key(*row) for row in _TOP_KEYS),
)
KEYS: Final = (*FILE_KEYS, *COMMAND_LINE_KEYS)

FRAMEWORK_KEYS: Final[dict[str, values.Reader]] = {
    "name": values.text,
    "debug": values.flag,
    "quiet": values.flag,
    "verbosity": values.number(0, 9),
    "user": values.account,
    "group": values.account,
    "config_file": values.text,
    "config_dir": values.text,
    "config_file_silent": values.flag,
    "config_dir_silent": values.flag,
    "log_file": values.text,
    "log_level": values.level,
    "pid_file": values.text,
    "action": values.text,
    "input": values.text,
    "limit": values.number(0, 2**31),
    "shell": values.flag,
    "command": values.text,
    "adjust_thresholds": values.flag,
}
"""pyzenkit's own, checked because it takes them without looking."""


def option(name: str) -> str:
    """Return the option that sets a key, as people write it."""
    return {"force_template": "--template-id", "force_locale": "--locale"}.get(
        name, f"--{name.replace('_', '-')}"
    )


def take(reader: values.Reader, value: Any, label: str) -> Any:
    try:
        return reader(value)
    except ValueError as error:
        shown = "this value" if label in SECRETS else repr(value)
        raise UsageError(f"{label} does not take {shown}; it takes {error}") from None


def section(raw: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    found: Any = raw
    for name in path:
        found = found.get(name)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise UsageError(f'{".".join(path)} must be an object, as {{"key": "value"}}')
    return {str(name): value for name, value in found.items()}


def unknown_keys(raw: Mapping[str, Any]) -> Iterator[str]:
    """Warn of what nobody knows. Mentat's own keys are gone by then, see `settings_mentat.adapted`."""
    core = (REPORTER, DATABASE)
    top = [key.name for key in FILE_KEYS if key.section == TOP]
    known = {*top, *FRAMEWORK_KEYS, *core}
    for name in raw:
        if name not in known:
            yield _unknown(name, name, [*top, *core, *FRAMEWORK_KEYS])
    inner = [key.name for key in FILE_KEYS if key.section == REPORTER]
    for path, allowed in (
        ((REPORTER,), inner),
        ((DATABASE,), DATABASE_KEYS),
        ((DATABASE, "sqlstorage"), SQLSTORAGE_KEYS),
        ((DATABASE, "eventstorage"), EVENTSTORAGE_KEYS),
    ):
        for name in section(raw, *path):
            if name not in allowed:
                yield _unknown(".".join((*path, name)), name, allowed)


def _unknown(label: str, name: str, near: Sequence[str]) -> str:
    elsewhere = [key.label for key in FILE_KEYS if key.name == name]
    if elsewhere:
        hint = f"; it is read as {elsewhere[0]}"
    elif any(key.name == name for key in COMMAND_LINE_KEYS):
        hint = f"; it is an option of the command line alone, {option(name)}"
    elif found := difflib.get_close_matches(name, near, n=1):
        hint = f"; did you mean {found[0]}?"
    else:
        hint = ""
    return f"unknown key {label} in the configuration is ignored{hint}"
