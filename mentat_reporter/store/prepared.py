"""Named queries that the server plans once, for what runs thousands of times in a row."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from mentat_reporter.store import queries


class Prepared(NamedTuple):
    """The three statements of a prepared query; `execute` takes the values that the query itself takes."""

    prepare: str
    execute: str
    deallocate: str


def prepared(query: str, types: Mapping[str, str]) -> Prepared:
    """Return the statements for a query, given the SQL type of each of its values."""
    places = {name: f"${number}" for number, name in enumerate(types, 1)}
    name = f"mentat_reporter_{query.replace('.', '_')}"
    body = re.sub(r"%\((\w+)\)s", lambda match: places[match[1]], queries.get(query))
    values = ", ".join(f"%({value})s::{kind}" for value, kind in types.items())
    return Prepared(
        f"prepare {name} ({', '.join(types.values())}) as {body}",
        f"execute {name} ({values})",
        f"deallocate {name}",
    )
