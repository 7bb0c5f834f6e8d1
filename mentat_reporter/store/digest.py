"""What the admin has not been told of yet, and the mark that it was told."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from mentat_reporter.core.digest import GivenUp, Held, Refusal, Trouble, Undelivered, Unusable
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.outbox import OutgoingMail, enqueue
from mentat_reporter.store.queries import get

NEWEST: Final = 5
"""Rows of quarantine that are named, of each kind."""


def may_be_due(connection: Connection, now: datetime) -> bool:
    """Tell, in one statement, whether it is worth while to look closer."""
    [(found,)] = _rows(connection, "may_be_due", day=now.date())
    return bool(found)


def tell(connection: Connection, now: datetime) -> Trouble:
    """Return what there is to tell; what failed and quarantine count as told, in the caller's transaction.

    What was told by an earlier digest whose mail failed is told anew. Quarantine waits until there is
    something else: a run that met it has said so.
    """
    _rows(connection, "take_back")
    trouble = Trouble(
        undelivered=_undelivered(_rows(connection, "tell_failed", now=now)),
        held=[Held._make(row) for row in _rows(connection, "held")],
        given_up=[GivenUp._make(row) for row in _rows(connection, "given_up")],
        unusable=[],
    )
    if not trouble:
        return trouble
    rows = _rows(connection, "tell_unusable", now=now, newest=NEWEST)
    return trouble._replace(unusable=[Unusable._make(row) for row in rows])


def store(connection: Connection, mail: OutgoingMail, now: datetime) -> list[int]:
    """Put the day's digest into the outbox, in the caller's transaction, and return its id there.

    No id if there is one already: then the caller rolls back what it counted as told.
    """
    if not _rows(connection, "record", day=now.date(), now=now, message_id=mail.message_id):
        return []
    ids = enqueue(connection, [mail], now)
    _rows(connection, "count_as_told", ids=ids, now=now)
    return ids


def _undelivered(rows: Sequence[tuple[Any, ...]]) -> list[Undelivered]:
    found = []
    for _, mail_rows in groupby(rows, key=itemgetter(0)):
        refused = list(mail_rows)
        _, label, message_id, groups, reached, waiting, *_ = refused[0]
        refusals = tuple(Refusal(address, code, text or "") for *_, address, code, text in refused)
        found.append(Undelivered(label, groups, message_id, refusals, reached, waiting))
    return found


def _rows(connection: Connection, query: str, **values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(get(f"digest.{query}"), values)
        return cursor.fetchall() if cursor.description else []
