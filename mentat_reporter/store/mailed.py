"""Which mail told of a report, for the mails that answer it."""

from collections.abc import Iterable
from typing import NamedTuple

from mentat_reporter.store.connection import Connection
from mentat_reporter.store.queries import get


class ToldBy(NamedTuple):
    """How a report was mailed: by a mail of its own, by its summary's, or by both.

    Each with its id in the outbox; one of the two there is.
    """

    own: tuple[int, str] | None
    summary: tuple[int, str] | None
    """Of an extra report."""

    def like(self, extra: bool) -> tuple[int, str]:
        """Return id and Message-ID of the mail that is of a kind with a report: extra, or not."""
        like_first = (self.own, self.summary) if extra else (self.summary, self.own)
        return next(mail for mail in like_first if mail is not None)


def told_by(connection: Connection, labels: Iterable[str]) -> dict[str, ToldBy]:
    """Return how reports were mailed, by label; those of which there is no mail are left out."""
    with connection.cursor() as cursor:
        cursor.execute(get("outbox.told_by"), {"labels": list(labels)})
        return {
            label: ToldBy(
                (own_id, own) if own else None,
                (summary_id, summary) if summary else None,
            )
            for label, own_id, own, summary_id, summary in cursor
        }
