"""Named SQL: each `sql/*.sql` file holds queries under `-- name: …` lines, with what they are for.

A query is found by `get("events.stream")`: the file, then the name.
"""

from functools import cache
from importlib.resources import files


@cache
def _queries(file: str) -> dict[str, str]:
    text = (files("mentat_reporter.store") / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    parts = text.split("-- name: ")[1:]
    return {name.strip(): body for name, _, body in (part.partition("\n") for part in parts)}


def get(name: str) -> str:
    """Return the text of the query `file.name`; KeyError if there is none."""
    file, _, query = name.partition(".")
    return _queries(file)[query]


def names() -> list[str]:
    """Return every query as `file.name`: a test prepares each against the schema."""
    folder = files("mentat_reporter.store") / "sql"
    stems = sorted(entry.name[:-4] for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [f"{stem}.{query}" for stem in stems for query in _queries(stem)]
