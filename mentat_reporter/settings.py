"""Raw configuration (files and command line) → frozen settings; the keys are in settings_keys.py."""

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from mentat_reporter import settings_checks as checks
from mentat_reporter import settings_keys as keys
from mentat_reporter import settings_mentat as mentat
from mentat_reporter import settings_values as read
from mentat_reporter.core.model import AttachmentKind, Mode, Severity
from mentat_reporter.errors import UsageError

Transport = Literal["smtp", "sendmail", "maildir", "null"]


@dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """libpq keywords. None for both: the embedded PostgreSQL. Events left out: the main database."""

    main: Mapping[str, str] | None = field(default=None, repr=False)
    events: Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class MailSettings:
    transport: Transport
    sender: str
    """`mail_from`: the From header, a name may stand before the address."""
    reply_to: tuple[str, ...]
    return_path: str
    """Envelope sender, a bare address; defaults to that of `sender`."""
    admin: tuple[str, ...]
    subject: str | None
    test_mode: bool
    dev_mode: bool
    dev_server: str
    dev_port: int
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    message_id_domain: str
    pgp_key: str | None
    """Fingerprint or address of the key that signs; None: nothing is signed."""
    pgp_home: Path | None
    """GnuPG's folder; None: that of whoever runs the reporter."""
    pgp_passphrase: str | None = field(repr=False)
    maildir: Path
    smtp_host: str
    smtp_port: int
    smtp_security: Literal["none", "starttls", "tls"]
    smtp_user: str | None
    smtp_password: str | None = field(repr=False)
    ambiguous: Literal["resend", "hold"]


@dataclass(frozen=True, kw_only=True)
class ReporterSettings:
    reports_dir: Path
    reports_url: str | None
    templates_dir: Path | None
    """A site's own templates; those that ship are the fallback."""
    template_vars: Mapping[str, Any]
    event_classes_dir: Path | None
    fallback: tuple[str, ...]
    default_mode: Mode
    default_template: str
    default_locale: str
    default_timezone: str
    default_attachments: AttachmentKind
    default_max_attachment_size: int
    """Bytes of all attachments of a mail together."""
    csv_bom: bool
    xarf: bool
    filter_language: Literal["ransack", "pynspect"]
    lock_file: Path
    late_margin: timedelta
    force_mode: Mode | None = None
    force_template: str | None = None
    force_locale: str | None = None
    force_timezone: str | None = None
    force_attachments: AttachmentKind | None = None
    force_max_attachment_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    regular: bool
    interval: timedelta
    """The cron period: `hi` of a regular run is rounded down to it, in UTC."""
    time_low: datetime | None
    time_high: datetime | None
    """Replaces now. None: the database's clock."""
    test_data: bool
    dry_run: bool
    compare: bool
    """Only say how a past time would have been reported, beside how it was."""
    severities: tuple[Severity, ...]
    """To report, most urgent first; all of them unless `--severity` names some."""
    groups: tuple[str, ...]
    """Only these abuse groups; empty: all."""
    max_runtime: timedelta
    workers: int
    preview_dir: Path

    @property
    def moves_state(self) -> bool:
        """Whether windows, ledger, thresholds, held events and rule hits are written; see `Settings`."""
        return self.regular and not self.test_data and not self.dry_run


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a run needs to know, checked."""

    home: Path
    database: DatabaseSettings
    mail: MailSettings
    reporter: ReporterSettings
    run: RunSettings

    @property
    def moves_state(self) -> bool:
        """A regular run that is neither a test nor a dry run moves state; every other leaves it alone."""
        return self.run.moves_state and not self.mail.test_mode


_PORTS: Final = {"none": 25, "starttls": 587, "tls": 465}
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def build_settings(
    raw: Mapping[str, Any], *, home: Path, named: Mapping[str, Any] | None = None
) -> tuple[Settings, list[str]]:
    """Given what the configuration files and the command line (`named`) say, return settings and warnings.

    The command line wins. Unknown keys are warned of; raise UsageError for values that cannot be taken.
    """
    options = {name: value for name, value in (named or {}).items() if value is not None}
    raw, labels = mentat.adapted(raw)[:2]
    warnings = list(keys.unknown_keys(raw))
    values = _read_values(raw, options, labels)
    checks.check_run(values, options)
    checks.check_names(values, labels)
    settings = Settings(
        home=home,
        database=_database(raw),
        mail=_mail(values, home, warnings),
        reporter=_reporter(values, home),
        run=_run(values, home),
    )
    warnings.extend(checks.missing_folders(values, options))
    return settings, warnings


def check_framework_keys(raw: Mapping[str, Any]) -> None:
    """Raise UsageError for values of pyzenkit's keys that it would stumble over."""
    for name, reader in keys.FRAMEWORK_KEYS.items():
        if raw.get(name) is not None:
            keys.take(reader, raw[name], name)


def _read_values(
    raw: Mapping[str, Any], options: Mapping[str, Any], labels: Mapping[str, str]
) -> dict[str, Any]:
    sections = {keys.TOP: raw, keys.REPORTER: keys.section(raw, keys.REPORTER)}
    values = {}
    for key in keys.KEYS:
        written = None if key in keys.COMMAND_LINE_KEYS else sections[key.section].get(key.name)
        if key.name in options:
            values[key.name] = keys.take(key.read, options[key.name], keys.option(key.name))
        elif written is not None:
            values[key.name] = keys.take(key.read, written, labels.get(key.name, key.label))
        else:
            values[key.name] = None if key.default is None else key.read(key.default)
    return values


def _database(raw: Mapping[str, Any]) -> DatabaseSettings:
    sql = keys.section(raw, keys.DATABASE, "sqlstorage")
    events = keys.section(raw, keys.DATABASE, "eventstorage")
    url = sql.get("url")
    if url is None:
        if events:
            raise UsageError(
                "__core__database has eventstorage but no sqlstorage.url; set it, as "
                "postgresql://user@host/mentat_main, or leave both out to use the embedded PostgreSQL"
            )
        return DatabaseSettings()
    if not isinstance(url, str):
        raise UsageError("__core__database.sqlstorage.url takes text, as postgresql://user@host/mentat_main")
    # psycopg2 is loaded only when there is a database to talk to.
    from mentat_reporter.store.connection import dsn_from_url  # noqa: PLC0415

    return DatabaseSettings(main=dsn_from_url(url), events=_keywords(events) or None)


def _keywords(events: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name in keys.EVENTSTORAGE_KEYS:
        value = events.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise UsageError(f"__core__database.eventstorage.{name} takes text")
        found[name] = str(value)
    if "port" in found:
        keys.take(read.port, found["port"], "__core__database.eventstorage.port")
    return found


def _mail(values: Mapping[str, Any], home: Path, warnings: list[str]) -> MailSettings:
    bare = read.bare_address(values["mail_from"])
    return MailSettings(
        transport=values["mail_transport"],
        sender=values["mail_from"],
        reply_to=values["mail_reply_to"],
        return_path=values["mail_return_path"] or bare,
        admin=values["mail_admin"],
        subject=values["mail_subject"],
        test_mode=values["mail_test_mode"],
        dev_mode=values["mail_dev_mode"],
        dev_server=values["mail_dev_server"],
        dev_port=values["mail_dev_port"],
        to=values["mail_to"],
        cc=values["mail_cc"],
        bcc=values["mail_bcc"],
        message_id_domain=values["message_id_domain"] or bare.rpartition("@")[2],
        pgp_key=values["pgp_key"],
        pgp_home=values["pgp_home"],
        pgp_passphrase=_passphrase(values, warnings),
        maildir=values["maildir"] or home / "maildir",
        smtp_host=values["smtp_host"],
        smtp_port=values["smtp_port"] or _PORTS[values["smtp_security"]],
        smtp_security=values["smtp_security"],
        smtp_user=values["smtp_user"],
        smtp_password=_password(values, warnings),
        ambiguous=values["ambiguous"],
    )


def _password(values: Mapping[str, Any], warnings: list[str]) -> str | None:
    file: Path | None = values["smtp_password_file"]
    if file and values["smtp_password"]:
        raise UsageError("smtp_password and smtp_password_file are both set; keep one")
    password: str | None = (
        _secret_of("smtp_password_file", file, warnings) if file else values["smtp_password"]
    )
    if bool(password) != bool(values["smtp_user"]):
        raise UsageError("smtp_user and smtp_password_file (or smtp_password) must be set together")
    if password and values["smtp_security"] == "none" and values["smtp_host"] not in _HERE:
        warnings.append("the SMTP password travels unencrypted; set smtp_security to starttls or tls")
    return password


def _passphrase(values: Mapping[str, Any], warnings: list[str]) -> str | None:
    file: Path | None = values["pgp_passphrase_file"]
    if file and not values["pgp_key"]:
        raise UsageError("pgp_passphrase_file is set without pgp_key, which names the key that signs")
    return _secret_of("pgp_passphrase_file", file, warnings) if file else None


def _secret_of(key: str, file: Path, warnings: list[str]) -> str:
    try:
        password = file.read_text(encoding="utf-8").rstrip("\r\n")
        readable = file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"{key} {file} cannot be read: {reason}") from None
    if readable:
        warnings.append(f"{key} {file} is open to everybody; chmod 0600 it")
    try:
        return read.secret(password)
    except ValueError as error:
        raise UsageError(f"{key} {file} must hold {error}") from None


def _reporter(values: Mapping[str, Any], home: Path) -> ReporterSettings:
    own = {key.name: values[key.name] for key in keys.FILE_KEYS if key.section == keys.REPORTER}
    forced = {name: value for name, value in values.items() if name.startswith("force_")}
    own["reports_dir"] = own["reports_dir"] or home / "reports"
    own["lock_file"] = own["lock_file"] or home / "mentat-reporter.lock"
    return ReporterSettings(**own, **forced)


def _run(values: Mapping[str, Any], home: Path) -> RunSettings:
    return RunSettings(
        regular=values["regular"],
        interval=values["interval"],
        time_low=values["time_low"],
        time_high=values["time_high"],
        test_data=values["test_data"],
        dry_run=values["dry_run"] or values["compare"],
        compare=values["compare"],
        severities=values["severity"],
        groups=values["abuse_group"],
        max_runtime=values["max_runtime"] or 2 * values["interval"],
        workers=values["workers"],
        preview_dir=values["preview_dir"] or home / "preview",
    )
