"""What single readers cannot see: values that contradict each other, or name what does not exist."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mentat_reporter.errors import UsageError
from mentat_reporter.settings_keys import REPORTER, option

_NAMES: Final = (
    ("template", "default", "template"),
    ("locale", "en", "translation for"),
    ("timezone", "UTC", "time zone"),
)


def check_run(values: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    for name in ("abuse_group", "time_low", "severity"):
        if values["regular"] and name in options:
            raise UsageError(
                f"{option(name)} cannot be used with --regular, "
                "it would move the watermark past others; leave --regular out for an ad hoc run"
            )
    low, high = values["time_low"], values["time_high"]
    if low and high and low >= high:
        raise UsageError(f"--time-low {low.isoformat()} must lie before --time-high {high.isoformat()}")
    if values["compare"]:
        if not (low and high):
            raise UsageError("--compare needs the past time, by --time-low and --time-high")
        for name in ("regular", "test_data", "mail_test_mode"):
            if values[name]:
                raise UsageError(f"--compare cannot be had with {option(name)}: it only looks")
    if values["mail_test_mode"] and not values["mail_to"] and not values["mail_admin"]:
        raise UsageError("mail_test_mode has nobody to send to; name somebody by --mail-to or mail_admin")


def check_names(values: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    """Raise UsageError for a template, language or time zone that does not exist."""
    for key, shipped, what in _NAMES:
        for name in (f"force_{key}", f"default_{key}"):
            value = values[name]
            if value not in (None, shipped) and not _exists(key, value, values["templates_dir"]):
                ours = option(name) if name.startswith("force") else f"{REPORTER}.{name}"
                label = labels.get(name, ours)
                raise UsageError(f"{label}: there is no {what} {value!r}")


def _exists(key: str, value: str, site: Path | None) -> bool:
    from mentat_reporter.render import i18n  # noqa: PLC0415 - pytz is not for those who keep the defaults

    if key == "template":
        return i18n.is_template(value, (site,) if site else ())
    return i18n.is_locale(value, site) if key == "locale" else i18n.is_timezone(value)


def missing_folders(values: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[str]:
    for name in ("templates_dir", "event_classes_dir"):
        folder = values[name]
        if folder is None or folder.is_dir():
            continue
        if name in options:
            raise UsageError(f"{option(name)}: there is no folder {folder}")
        yield f"{REPORTER}.{name}: there is no folder {folder}"
