# ruff: noqa: S704 - each Markup here is made of escaped texts
"""HTML: foreign values that no mail program makes a link of, the few links that there are, small pictures."""

import re
from functools import lru_cache
from itertools import groupby
from typing import Final
from urllib.parse import quote

from markupsafe import Markup, escape

from mentat_reporter.render.addresses import valid_address
from mentat_reporter.render.fields import Field
from mentat_reporter.render.plain import BARE_HOST, REMEMBERED, SHORT
from mentat_reporter.render.rows import Row

_SHADES: Final = (
    "#e4e9ef", "#c6dcf1", "#a3c7e8", "#7fb0df", "#5a98d3", "#3a81c5", "#2170ba", "#0b5cad",
)  # fmt: skip
"""A cell without events, then from few to the most."""
_LINK: Final = "#0b5cad"
"""Stands with each link, for mail programs that drop the style sheet and darken what they show."""
_WEB: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f\"'<>\\]+", re.IGNORECASE)


_escaped = lru_cache(maxsize=REMEMBERED)(escape)


def escaped(value: object) -> Markup:
    """Return the value as `escape` does; most that a page shows was shown by another before."""
    if type(value) is str and len(value) <= SHORT:
        return _escaped(value)
    return value if type(value) is Markup else escape(value)


def value(text: str) -> Markup:
    """Return a foreign value on its own: its direction of writing ends with it, and it is no link.

    Mail programs make links of what looks like a host name; a tag within it keeps them from that.
    """
    shown = escaped(text)
    if "." in shown:
        shown = Markup(BARE_HOST.sub(_split, shown))
    return shown if text.isascii() else Markup(f"<bdi>{shown}</bdi>")


def _split(host: re.Match[str]) -> str:
    return host[0].replace(".", "<span>.</span>")


def values(field: Field) -> Markup:
    """Return what a detail says, its values as foreign ones."""
    plain = ", ".join(field.values)
    if field.text == plain:
        return value(plain) if len(field.values) == 1 else Markup(", ".join(map(value, field.values)))
    before, found, after = field.text.partition(plain)
    if not found:
        return value(field.text)
    return Markup(f"{escape(before)}{', '.join(map(value, field.values))}{escape(after)}")


def link(url: str) -> Markup:
    """Return a link to a configured address on the web; anything else is only text."""
    if not _WEB.fullmatch(url):
        return value(url)
    shown = escape(url)
    return Markup(f'<a href="{shown}" rel="noreferrer" style="color:{_LINK}">{shown}</a>')


def mailto(address: str, label: str) -> Markup:
    """Return a link that begins a mail to the address, with the report's label in its subject."""
    place = _mailbox(address)
    if place is None:
        return value(address)
    subject = quote(f"[{label}]")
    return Markup(f'<a href="mailto:{place}?subject={subject}" style="color:{_LINK}">{escaped(address)}</a>')


@lru_cache(maxsize=64)
def _mailbox(address: str) -> str | None:
    """Return an address as a URL has it, None if it is none; reports differ in their label alone."""
    return None if valid_address(address) is None else quote(address, safe="@")


def picture(row: Row, words: str) -> Markup:
    """Return the small picture of a row as cells, darker where there are more events; `words` say it."""
    return Markup(
        f'<table role="img" aria-label="{escape(words)}" class="picture" width="100%" height="14"'
        f' cellpadding="0" cellspacing="0"><tr>{_cells(row.levels)}</tr></table>'
    )


@lru_cache(maxsize=4096)
def _cells(levels: tuple[int, ...]) -> str:
    """Return the cells of a picture; equal neighbours are one."""
    runs = [(level, len(list(same))) for level, same in groupby(levels)]
    return "".join(
        f'<td bgcolor="{_SHADES[level]}" width="{100 * length / len(levels):.3g}%"></td>'
        for level, length in runs
    )


def undashed(text: str) -> str:
    """Return an item of a list without the dash that stands for its mark in plain text."""
    return text.strip().removeprefix("- ")


def tidy(text: str) -> str:
    """Drop blanks at both ends of lines, and empty lines; nothing but those: nothing."""
    lines = "\n".join(filter(None, map(str.strip, text.split("\n"))))
    return lines + "\n" if lines else ""
