"""The reader's language and time zone: catalogues, dates, times, numbers, and which names are known.

Babel is imported when a catalogue or a date is first needed: an idle run only checks names.
"""

import re
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytz

from mentat_reporter.errors import TemplateError
from mentat_reporter.render.shipped import shipped_templates

if TYPE_CHECKING:
    from gettext import NullTranslations

SOURCE_LOCALE: Final = "en"
"""The language that templates are written in; it needs no catalogue."""

_LOCALE_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TEMPLATE_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")
_DATES_OF: Final = {"en": "en_150"}
"""English is read all over Europe: `12 Jan 2026`, which nobody takes for December."""
_GROUPED_FROM: Final = {"pl": 10_000}
"""The least number whose digits are grouped, where that is not 1,000."""
_SIZES: Final = ("B", "kB", "MB", "GB")
_SIZES_OF: Final = {"fr": ("o", "ko", "Mo", "Go")}
"""The French count octets."""
_KILO: Final = 1000
_ROUND_FROM: Final = 10
_TO: Final = " – "  # noqa: RUF001  (the dash that people write between two times)


@cache
def known_locales(folder: Path | None = None) -> tuple[str, ...]:
    """Return the locales that have a catalogue in the shipped templates, and English."""
    found = (folder or shipped_templates()).glob("locale/*/LC_MESSAGES/messages.[mp]o")
    return tuple(sorted({SOURCE_LOCALE, *(path.parents[1].name for path in found)}))


def language_of(name: str, folder: Path | None = None) -> str | None:
    """Return the known locale that serves `name`: itself, or its language (`cs` for `cs_CZ`)."""
    if not _LOCALE_NAME.fullmatch(name):
        return None
    plain = name.replace("-", "_")
    return next((found for found in (plain, plain.partition("_")[0]) if found in known_locales(folder)), None)


def is_locale(name: str, site: Path | None = None) -> bool:
    """Whether there are strings for that name, shipped ones or a site's own."""
    return (language_of(name) or (site and language_of(name, site))) is not None


def is_template(name: str, folders: tuple[Path, ...] = ()) -> bool:
    """Whether one of the folders, or the shipped one, has templates of that name."""
    if not _TEMPLATE_NAME.fullmatch(name) or name == "locale":
        return False
    return any((folder / name).is_dir() for folder in (*folders, shipped_templates()))


@lru_cache(maxsize=1024)
def zone(name: str) -> pytz.BaseTzInfo | None:
    try:
        return pytz.timezone(name)
    except pytz.UnknownTimeZoneError:
        return None


def is_timezone(name: str) -> bool:
    return zone(name) is not None


@cache
def translations(locale: str, site: Path | None = None) -> "NullTranslations":
    """Return the shipped catalogue of a locale, with a site's own strings before it."""
    from babel.support import NullTranslations as Empty  # noqa: PLC0415
    from babel.support import Translations  # noqa: PLC0415

    language = language_of(locale) or language_of(locale, site)
    if language is None:
        raise TemplateError(f"locale {locale!r} is not known; there are: {', '.join(known_locales())}")
    shipped = shipped_templates() / "locale" / language / "LC_MESSAGES" / "messages.mo"
    found: NullTranslations = Empty()
    if shipped.is_file():
        with shipped.open("rb") as file:
            found = Translations(file)
    if site:
        found = own_strings(site, language, found)
    if language != SOURCE_LOCALE and not isinstance(found, Translations):
        raise TemplateError(f"the catalogue of locale {language!r} is not compiled: run `make messages`")
    return found


def own_strings(folder: Path, language: str, below: "NullTranslations") -> "NullTranslations":
    """Return a folder's own strings, what they lack from `below`.

    They stand in `locale/<language>/LC_MESSAGES/*.po`; a compiled `.mo` of the same name goes before it.
    Raise TemplateError for a file that cannot be read.
    """
    from babel.support import Translations  # noqa: PLC0415

    place = folder / "locale" / language / "LC_MESSAGES"
    names = {path.stem for path in place.glob("*.[mp]o")}
    for name in sorted(names, reverse=True):
        path = next(path for path in (place / f"{name}.mo", place / f"{name}.po") if path.is_file())
        try:
            above = Translations(_compiled(path, language))
        except Exception as error:  # a broken catalogue fails in many ways
            raise TemplateError(f"catalogue {path} cannot be read: {error}") from error
        above.add_fallback(below)
        below = above
    return below


def _compiled(path: Path, language: str) -> BytesIO:
    from babel.messages.mofile import write_mo  # noqa: PLC0415
    from babel.messages.pofile import read_po  # noqa: PLC0415

    content = BytesIO(path.read_bytes())
    if path.suffix == ".mo":
        return content
    made = BytesIO()
    write_mo(made, read_po(content, locale=language, charset="utf-8", abort_invalid=True))
    made.seek(0)
    return made


@lru_cache(maxsize=4096)
def _day(day: date, locale: str, skeleton: str) -> str:
    from babel.dates import format_skeleton  # noqa: PLC0415

    known = _DATES_OF.get(locale, locale)
    shown = format_skeleton(skeleton, datetime(day.year, day.month, day.day, tzinfo=pytz.utc), locale=known)
    if locale.startswith(SOURCE_LOCALE):
        return shown
    return shown.replace(" ", "\N{NO-BREAK SPACE}")  # their typography lets no line end in `12. 1. 2026`


@cache
def _thousands(locale: str) -> str:
    from babel.numbers import get_group_symbol  # noqa: PLC0415

    return get_group_symbol(_DATES_OF.get(locale, locale))


@lru_cache(maxsize=4096)
def _decimal(value: float, locale: str) -> str:
    from babel.numbers import format_decimal  # noqa: PLC0415

    return format_decimal(
        value, locale=_DATES_OF.get(locale, locale), group_separator=_grouped(value, locale)
    )


def _grouped(value: float, locale: str) -> bool:
    return abs(value) >= _GROUPED_FROM.get(locale.partition("_")[0], _KILO)


class _Clock(NamedTuple):
    """What a reader's clock shows: every time of a report is told in several forms, in mail and on page."""

    local: datetime
    time: str
    ahead: timedelta
    """Of UTC."""
    offset: str


class Reader:
    """Says times, numbers and sentences as one reader expects them. Times come in as aware UTC."""

    def __init__(self, locale: str, timezone: str, site: Path | None = None) -> None:
        found = zone(timezone)
        if found is None:
            raise TemplateError(f"time zone {timezone!r} is not known")
        catalogue = translations(locale, site)
        self.locale = language_of(locale) or language_of(locale, site) or SOURCE_LOCALE
        self.timezone = timezone
        self._zone = found
        self._babel = locale.replace("-", "_") if _babel_knows(locale) else self.locale
        self.gettext = lru_cache(maxsize=1024)(catalogue.gettext)
        self.ngettext = catalogue.ngettext
        self._clock = lru_cache(maxsize=4096)(self._clocked)
        self.span = lru_cache(maxsize=512)(self._span)
        """Both ends with their offset, once if it is the same."""

    def _clocked(self, moment: datetime) -> _Clock:
        local = moment.astimezone(self._zone)
        ahead = local.utcoffset() or timedelta(0)
        return _Clock(local, local.isoformat(" ", "seconds")[11:19], ahead, _offset(ahead))

    def local(self, moment: datetime) -> datetime:
        """Return the moment in the reader's zone."""
        return self._clock(moment).local

    def offset(self, moment: datetime) -> str:
        """Return the offset of a moment: `UTC+01:00`, or `UTC`."""
        return self._clock(moment).offset

    def date(self, day: date) -> str:
        """Return a day: `12 Jan 2026`."""
        return _day(date(day.year, day.month, day.day), self._babel, "yMMMd")

    def minute(self, moment: datetime) -> str:
        """Return date and time without offset, seconds only when there are any: `12 Jan 2026 06:14`."""
        local, time, *_ = self._clock(moment)
        return f"{self.date(local)} {time}".removesuffix(":00")

    def moment(self, moment: datetime) -> str:
        """Return date, time and offset: `12 Jan 2026 06:14:34 UTC+01:00`."""
        local, time, _, offset = self._clock(moment)
        return f"{self.date(local)} {time} {offset}"

    def short(self, moment: datetime, usual: datetime) -> str:
        """Return a time for a table headed by `usual`: its year and offset only where they differ."""
        local, time, ahead, offset = self._clock(moment)
        there = self._clock(usual)
        day = _day(local.date(), self._babel, "MMMd" if local.year == there.local.year else "yMMMd")
        return f"{day} {time}" if ahead == there.ahead else f"{day} {time} {offset}"

    def _span(self, lo: datetime, hi: datetime) -> str:
        first, last = self.offset(lo), self.offset(hi)
        if first == last:
            return f"{self.minute(lo)}{_TO}{self.minute(hi)} ({last})"
        return f"{self.minute(lo)} ({first}){_TO}{self.minute(hi)} ({last})"

    def size(self, octets: float) -> str:
        """Return a size as people write it: `640 kB`, `1.2 MB`, of 1,000 each."""
        names = _SIZES_OF.get(self.locale, _SIZES)
        units = iter(names)
        unit = next(units)
        while octets >= _KILO and unit != names[-1]:
            octets, unit = octets / _KILO, next(units)
        shown = round(octets, 1) if octets < _ROUND_FROM else round(octets)
        return f"{self.number(shown)}\N{NO-BREAK SPACE}{unit}"

    def number(self, value: float) -> str:
        if type(value) is int and -_KILO < value < _KILO:
            return str(value)
        if value == int(value):
            whole = int(value)
            return (
                f"{whole:,}".replace(",", _thousands(self._babel))
                if _grouped(value, self._babel)
                else str(whole)
            )
        return _decimal(round(value, 2), self._babel)


@cache
def _babel_knows(locale: str) -> bool:
    from babel.localedata import exists  # noqa: PLC0415

    return bool(exists(locale.replace("-", "_")))


@lru_cache(maxsize=256)
def _offset(ahead: timedelta) -> str:
    minutes = int(ahead / timedelta(minutes=1))
    if minutes == 0:
        return "UTC"
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def N_(text: str) -> str:  # noqa: N802  (the name that extraction looks for)
    """Mark a text for translation where it stands; it is translated where it is used."""
    return text
