"""What goes with a report's mail: as the message carries it, and as its text speaks of it."""

from collections.abc import Collection
from typing import Final, Literal, NamedTuple


class Attachment(NamedTuple):
    """A finished file of a mail; `content` is bare, the message encodes it."""

    name: str
    """A file name, without folders."""
    content_type: str
    """As a header has it: `text/csv; charset=utf-8`."""
    content: bytes


class LeftOut(NamedTuple):
    """A file that is too large for this reader's mail; `size` in bytes, as it would have been attached."""

    name: str
    size: int


class Enclosed(NamedTuple):
    """The files of one mail, and what its text has to say of them."""

    attachments: tuple[Attachment, ...] = ()
    squeezed: bool = False
    """They were compressed because they would have been too large as they are."""
    left_out: tuple[LeftOut, ...] = ()
    folder: str = ""
    """Where what is left out can be found: the URL of the day's folder, else its path."""
    unmapped: tuple[str, ...] = ()
    """Event classes of which no XARF document can be made, where documents were asked for."""


NOTHING: Final = Enclosed()
XARF: Final = ".xarf.json"
"""How the names of XARF documents end: they tell of a class, not of every event."""


class Choice(NamedTuple):
    """Which files go with a mail."""

    data: Literal["as wanted", "squeezed", "none"]
    documents: bool


def choose(
    limit: int, data: Collection[int], squeezed: Collection[int], documents: Collection[int]
) -> Choice:
    """Choose what fits into `limit` bytes, by sizes: as it is wanted, else compressed, else without the
    documents, else the documents alone, else nothing. No `squeezed`: there is no such file.
    """
    wanted, small, extra = sum(data), sum(squeezed), sum(documents)
    if wanted + extra <= limit:
        return Choice("as wanted", documents=True)
    if squeezed and small + extra <= limit:
        return Choice("squeezed", documents=True)
    if data and wanted <= limit:
        return Choice("as wanted", documents=False)
    if squeezed and small <= limit:
        return Choice("squeezed", documents=False)
    return Choice("none", documents=extra <= limit)
