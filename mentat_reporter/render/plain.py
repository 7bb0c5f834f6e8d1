"""Plain text: making foreign values harmless, and setting paragraphs, lists of facts and tables."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

WIDTH: Final = 78
CAP: Final = 200
SHORT: Final = 600
"""The longest text, in characters, of which a result is remembered: that of longer ones would need room."""
REMEMBERED: Final = 2048
"""How many results of short texts are: what several reports of a group and their pages share."""
_WIDEST: Final = 25
"""Columns for addresses in a table: every IPv4 address and most IPv6 ones as people write them."""

_URL: Final = re.compile(r"(?i)([a-z][a-z0-9+.-]{0,30})://([/\\]*[^\s/?#]*)")
_WWW: Final = re.compile(r"(?i)(www)\.")
BARE_HOST: Final = re.compile(r"\b(?:[\w-]+\.)+(?:[^\W\d_]{2,}\b|[^\W\x00-\x7f])")
"""A host name in any script; marks that belong to a letter may end it early."""


def one_line(value: object, cap: int = CAP) -> str:
    """Return the value as one printable line of at most `cap` characters.

    Whatever is not printable (controls, line and paragraph separators, marks that turn the direction of
    writing, lone surrogates) becomes a blank.
    """
    text = str(value)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    if "  " in text or text[:1] == " " or text[-1:] == " ":
        text = " ".join(text.split())
    return text if len(text) <= cap else text[: cap - 1] + "…"


def _defanged_url(match: re.Match[str]) -> str:
    scheme, host = match.groups()
    mark = "[:]//" if "tt" not in scheme.lower() else "://"
    return re.sub("(?i)tt", "xx", scheme) + mark + _bracketed(host)


def inert(value: object) -> str:
    """Return the value as one line in which no mail program finds a link with a scheme."""
    text = one_line(value)
    if "://" in text:
        text = _URL.sub(_defanged_url, text)
    if "." in text and ("w" in text or "W" in text):
        text = _WWW.sub(r"\1[.]", text)
    return text


def defanged(value: object) -> str:
    """Return running text with its URLs and host names defanged."""
    text = inert(value)
    return BARE_HOST.sub(_bare_defanged, text) if "." in text else text


def _bare_defanged(match: re.Match[str]) -> str:
    return match[0].replace(".", "[.]")


def defanged_host(value: object) -> str:
    """Return a host name with each of its dots in brackets; a scheme before it is defanged too.

    >>> defanged_host("www.example.com")
    'www[.]example[.]com'
    """
    return _bracketed(inert(value))


def _bracketed(host: str) -> str:
    return host.replace("[.]", ".").replace(".", "[.]")


def defanged_url(value: object) -> str:
    """Defang the host of a URL, and its scheme; the path stays as it is.

    >>> defanged_url("http://shop.example.com/pay.php?to=1")
    'hxxp://shop[.]example[.]com/pay.php?to=1'
    """
    text = one_line(value)
    if " " in text:  # whatever it is, it is no URL
        return defanged(text)
    if not _URL.match(text):
        bare = text.lstrip("/\\")
        host, slash, path = bare.partition("/")
        text = text[: len(text) - len(bare)] + _bracketed(host) + slash + path
    return _URL.sub(_defanged_url, text)


def wrap(text: str, indent: int = 0, hanging: int | None = None, width: int = WIDTH) -> str:
    """Set each line of a text as a paragraph; no word is broken, a no-break space binds."""
    blank = " " * indent
    rest = blank if hanging is None else " " * hanging
    return "\n".join(_paragraph(line, blank, rest, width) for line in text.strip("\n").split("\n"))


def _paragraph(text: str, first: str, rest: str, width: int) -> str:
    if len(first) + len(text) <= width:
        return (first + text).rstrip(" ")
    lines = []
    begun = first
    while len(begun) + len(text) > width:
        end = text.rfind(" ", 0, max(0, width - len(begun) + 1))
        if end < 0:
            end = text.find(" ")
        if end < 0:
            break
        lines.append(begun + text[:end])
        begun, text = rest, text[end + 1 :]
    lines.append(begun + text)
    return "\n".join(lines)


def facts(pairs: Iterable[Sequence[Any]], indent: int = 2, colon: str = ":") -> str:
    """Set `label: text` lines with the texts aligned; a long one goes on under its own beginning.

    A pair's first item is the label, its last the text; pairs without text are left out.
    """
    known = [(f"{pair[0]}{colon}", str(pair[-1])) for pair in pairs if pair[-1]]
    width = max((len(label) for label, _ in known), default=0) + 2
    blank = " " * indent
    rest = blank + " " * width
    return "\n".join(_paragraph(text, f"{blank}{label:<{width}}", rest, WIDTH) for label, text in known)


def table(rows: Sequence[Any], *columns: tuple[str, str], indent: int = 2) -> str:
    """Set named tuples as a table of `(heading, field)` columns; the second column is numbers."""
    if not rows:
        return ""
    places = [rows[0]._fields.index(name) for _, name in columns]
    lines = [[head for head, _ in columns], *([row[place] for place in places] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    room = WIDTH - indent - sum(width + 2 for width in widths[1:])
    widths[0] = max(0, min(widths[0], _WIDEST, room))
    return "\n".join(_table_line(line, widths, " " * indent) for line in lines)


def _table_line(cells: Sequence[str], widths: Sequence[int], blank: str) -> str:
    """Set a line; an address wider than its column stands on a line of its own, before its numbers."""
    above = ""
    if len(cells[0]) > widths[0]:
        above, cells = f"{blank}{cells[0]}\n", ["", *cells[1:]]
    columns = enumerate(zip(cells, widths, strict=True))
    line = "  ".join(
        text.rjust(width) if column == 1 else text.ljust(width) for column, (text, width) in columns
    )
    return above + (blank + line).rstrip(" ")


def paragraph(text: str, indent: int = 0, hanging: int | None = None) -> str:
    """Wrap what a filter block holds; the line end that the block's own tag swallows is put back."""
    return wrap(text, indent, hanging) + "\n"


def heading(text: str, line: str = "=") -> str:
    """Underline what a filter block holds."""
    text = text.strip()
    return f"{text}\n{line * min(len(text), WIDTH)}\n"


def sentence(text: str) -> str:
    """Begin what a filter block holds with a capital letter, and leave the rest as it is.

    >>> sentence("severity high - Notice")
    'Severity high - Notice'
    """
    text = text.strip()
    return text[:1].upper() + text[1:]  # of markup, markup again


def tidy(text: str) -> str:
    """Drop blanks at the ends of lines, and blank lines beyond two."""
    if " \n" in text or "\t\n" in text or text.endswith((" ", "\t")):
        text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
    while "\n\n\n\n" in text:
        text = text.replace("\n\n\n\n", "\n\n\n")
    return text.strip("\n") + "\n"
