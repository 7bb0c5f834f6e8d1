"""Configuration as Mentat's own programs write it: what means the same here, and what means nothing."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from mentat_reporter import settings_keys as keys

RENAMED: Final = {
    "default_reporting_locale": "default_locale",
    "default_reporting_timezone": "default_timezone",
}
"""Keys of `__core__reporter` under Mentat's names, and ours."""

# Those of older pyzenkit: Mentat's files still hold them.
_IDLE: Final = frozenset(
    {"plugins", "pstate_file", "pstate_dump", "pstate_log", "runlog_dir", "runlog_dump", "runlog_log"}
)
_IDLE_DATABASE: Final = frozenset({"connection", "config", "schema"})
_SQLALCHEMY: Final = re.compile(r"echo(_pool)?|future|max_overflow|(pool|isolation|execution|query)_\w+")
# psycopg's own, and what the reporter sets itself on every connection.
_IDLE_EVENTS: Final = frozenset(
    {
        "autocommit", "prepare_threshold", "application_name", "client_encoding", "connect_timeout",
        "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "options",
        "tcp_user_timeout",
    }
)  # fmt: skip
_LOCAL: Final = re.compile(r"[a-z_][a-z0-9_.-]*", re.ASCII)
"""A mailbox of this machine, as `root`: Mentat's sendmail takes it without a domain."""


class Adapted(NamedTuple):
    """A configuration in our words alone."""

    raw: dict[str, Any]
    labels: Mapping[str, str]
    """How keys are written in the files, by our names: those that Mentat names otherwise."""
    idle: list[str]
    """Mentat's keys that mean nothing here, by their paths."""
    notes: list[str]


def adapted(raw: Mapping[str, Any]) -> Adapted:
    """Take what Mentat's files say in our words. Raise UsageError for a section that is no object.

    What Mentat cannot have meant stays as it is: it is read, or warned of, like everything else.
    """
    idle: list[str] = []
    labels: dict[str, str] = {}
    notes: list[str] = []
    found = {name: value for name, value in raw.items() if not _is_idle(name, value)}
    idle += [name for name in raw if name not in found]
    if keys.section(found, keys.REPORTER):
        found[keys.REPORTER] = _reporter(keys.section(found, keys.REPORTER), labels, notes, idle)
    if keys.section(found, keys.DATABASE):
        found[keys.DATABASE] = _database(found, idle)
    if "mail_admin" in found:
        found["mail_admin"] = _with_domains(found["mail_admin"])
    return Adapted(found, labels, idle, notes)


def notes(raw: Mapping[str, Any]) -> Iterator[str]:
    """Say in lines what of Mentat's is not used here."""
    found = adapted(raw)
    if found.idle:
        yield f"the configuration has keys of Mentat's that mean nothing here: {', '.join(found.idle)}"
    yield from found.notes


def _is_idle(name: str, value: Any) -> bool:
    """Sections of Mentat's other parts are none of our business, unless one looks like ours misspelt.

    An option of single runs that is off changes none of them.
    """
    if name.startswith("__core__"):
        ours = (keys.REPORTER, keys.DATABASE)
        return name not in ours and not difflib.get_close_matches(name, ours, cutoff=0.8)
    single = any(key.name == name for key in keys.COMMAND_LINE_KEYS)
    return name in _IDLE or (single and (value is False or value is None))


def _reporter(
    section: Mapping[str, Any], labels: dict[str, str], notes: list[str], idle: list[str]
) -> dict[str, Any]:
    found = {name: value for name, value in section.items() if name not in RENAMED}
    for theirs, ours in RENAMED.items():
        if section.get(theirs) is None:
            continue
        if found.get(ours) is None:
            found[ours] = section[theirs]
            labels[ours] = f"{keys.REPORTER}.{theirs}"
        else:  # whoever wrote both wrote ours for us
            idle.append(f"{keys.REPORTER}.{theirs}")
    if "fallback" in found:
        found["fallback"] = _with_domains(found["fallback"])
    if isinstance(found.get("templates_dir"), str):
        found["templates_dir"] = _templates(found["templates_dir"], notes)
    return found


def _templates(written: str, notes: list[str]) -> str | None:
    """Return the folder of templates written for us. Mentat may name several, with semicolons between."""
    folders = [folder.strip() for folder in written.split(";") if folder.strip()]
    ours = [folder for folder in folders if not _are_mentats(Path(folder))]
    if folders and not ours:
        notes.append(
            f"{keys.REPORTER}.templates_dir {written} has templates of Mentat's own reporter, "
            "which mean nothing here; those that ship are used"
        )
        return None
    if len(folders) > 1:
        notes.append(f"{keys.REPORTER}.templates_dir {written} names several folders; {ours[0]} is used")
        return ours[0]
    return written


def _are_mentats(folder: Path) -> bool:
    """Mentat's templates lie side by side, each a `.j2`; ours in a folder for each name."""
    try:
        if not any(folder.expanduser().glob("*.j2")):
            return False
        inner = (path for path in folder.expanduser().glob("*/*") if path.is_file())
        return not any(path.suffix in {".txt", ".html"} for path in inner)
    except (OSError, ValueError, RuntimeError):
        return False  # whoever reads the setting says what is wrong with it


def _database(raw: Mapping[str, Any], idle: list[str]) -> dict[str, Any]:
    section = keys.section(raw, keys.DATABASE)
    found = {name: value for name, value in section.items() if name not in _IDLE_DATABASE}
    idle += [f"{keys.DATABASE}.{name}" for name in section if name not in found]
    for part in keys.DATABASE_KEYS:
        inner = keys.section(raw, keys.DATABASE, part)
        useless = [name for name in inner if _is_idle_in(part, name)]
        idle += [f"{keys.DATABASE}.{part}.{name}" for name in useless]
        if useless:
            found[part] = {name: value for name, value in inner.items() if name not in useless}
    return found


def _is_idle_in(part: str, name: str) -> bool:
    return bool(_SQLALCHEMY.fullmatch(name)) if part == "sqlstorage" else name in _IDLE_EVENTS


def _with_domains(value: Any) -> Any:
    """Write mailboxes of this machine as addresses; the rest is left to the reader."""
    if isinstance(value, list):
        return [_with_domains(entry) for entry in value]
    if not isinstance(value, str):
        return value
    words = [word.strip() for word in value.split(",")]
    return ",".join(f"{word}@localhost" if _LOCAL.fullmatch(word) else word for word in words)
