"""`import-groups`: checked documents → rows, in one transaction.

Rows are found again by name (networks by what they span), so that ids, hits and reports survive. What
differs is written, set by set; `--replace` deletes what the given sections no longer name, and with a
group its networks, rules, settings and its part in old reports.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import psycopg2

from mentat_reporter.core.addresses import blocks, parse_address
from mentat_reporter.errors import RuleError, StoreError
from mentat_reporter.store.connection import Connection, transaction
from mentat_reporter.store.documents import Document, Entry, read_documents, refuse
from mentat_reporter.store.group_rows import NEW, class_columns, own_settings, reporting, texts
from mentat_reporter.store.queries import get

Compile = Callable[[str], object]
"""Compiles a rule or raises RuleError."""


class Tally(NamedTuple):
    """Rows of one kind."""

    created: int = 0
    changed: int = 0
    deleted: int = 0
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class GroupsImported:
    """What an import of groups did. `filters` counts the rules of groups and the global ones."""

    groups: Tally
    networks: Tally
    filters: Tally
    settings: Tally
    detectors: Tally
    event_classes: Tally
    warnings: list[str] = field(default_factory=list)
    """Rules that do not compile; they are stored, and not applied."""

    def lines(self) -> list[str]:
        """Say it in words, a line for each kind that the documents name."""
        return [
            f"{kind.replace('_', ' ')}: "
            + ", ".join(f"{count} {deed}" for deed, count in tally._asdict().items() if count)
            for kind in ("groups", "networks", "filters", "settings", "detectors", "event_classes")
            if any(tally := getattr(self, kind))
        ]


def import_groups(
    connection: Connection,
    documents: Sequence[tuple[str, bytes]],
    *,
    replace: bool,
    compile_rule: Compile | None = None,
    compile_values: Compile | None = None,
) -> GroupsImported:
    """Store documents, given as file name and content, all of them or none; later ones win.

    Raises InputError naming every fault, StoreError if the database refuses. With the functions that
    compile rules and subclassing expressions, those that do not compile are named in `warnings`.
    """
    checked = read_documents(documents)
    compilers = {"filter": compile_rule, "rule": compile_rule, "subclassing": compile_values}
    warnings = [
        f"{path}: does not compile, it will not be applied: {error}"
        for document in checked
        for path, key, text in document.rules()
        if (error := _refusal(compilers[key], text))
    ]
    warnings += [
        f"{path}: is never applied, valid_to does not lie after valid_from"
        for document in checked
        for path in document.never_valid()
    ]
    try:
        with transaction(connection), connection.cursor() as cursor:
            tallies = _Import(cursor, checked, replace=replace).run()
    except psycopg2.Error as error:
        raise StoreError(f"the groups cannot be stored: {str(error).strip()}") from error
    return GroupsImported(**tallies, warnings=warnings)


def _refusal(compiler: Compile | None, text: str) -> str | None:
    try:
        if compiler is not None:
            compiler(text)
    except RuleError as error:
        return str(error)
    return None


def _merged(documents: Iterable[Document], section: str) -> dict[str, Entry]:
    """Join a section of all documents by name, key by key; settings too."""
    found: dict[str, Entry] = {}
    for document in documents:
        for entry in document.sections.get(section, ()):
            before = found.get(entry["name"], {})
            found[entry["name"]] = {**before, **entry}
            if "settings" in before and "settings" in entry:
                found[entry["name"]]["settings"] = {**before["settings"], **entry["settings"]}
    return found


class _Import:
    """One import, inside its transaction."""

    def __init__(self, cursor: Any, documents: Sequence[Document], *, replace: bool) -> None:
        self._cursor = cursor
        self._documents = documents
        given = {section for document in documents for section in document.sections}
        self._replaced = given if replace else set()
        self._groups = _merged(documents, "groups")
        self._ids: dict[str, int] = {}

    def run(self) -> dict[str, Tally]:
        self._execute("lock")
        before = {row["name"]: row for row in self._rows("read_groups")}
        self._check_parents({name: row["parent"] for name, row in before.items()})
        tallies = {"groups": self._write_groups(before)}
        tallies["networks"] = self._write_networks()
        tallies["filters"] = self._write_filters()
        tallies["settings"] = self._write_settings()
        tallies["detectors"] = self._write_named("detectors", _merged(self._documents, "detectors"))
        tallies["event_classes"] = self._write_classes()
        return tallies

    def _execute(self, query: str, **parameters: Any) -> None:
        self._cursor.execute(get(f"importing.{query}"), parameters)

    def _rows(self, query: str) -> list[Entry]:
        self._execute(query)
        columns = [column.name for column in self._cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in self._cursor]

    def _check_parents(self, parents: dict[str, str | None]) -> None:
        if "groups" in self._replaced:
            parents = {name: parent for name, parent in parents.items() if name in self._groups}
        given = {name: entry["parent"] for name, entry in self._groups.items() if "parent" in entry}
        parents = {**dict.fromkeys(self._groups), **parents, **given}
        refuse([
            f"{document.file}: groups[{index}].parent: {fault}"
            for document in self._documents
            for index, entry in enumerate(document.sections.get("groups", ()))
            if entry.get("parent") and (fault := _parent_fault(entry["name"], parents))
        ])  # fmt: skip

    def _write_groups(self, before: Mapping[str, Entry]) -> Tally:
        tally = self._write_named("groups", self._groups)
        self._ids = {row["name"]: row["id"] for row in self._rows("read_groups")}
        moved = [
            {"id": self._ids[name], "parent": entry["parent"]}
            for name, entry in self._groups.items()
            if "parent" in entry and entry["parent"] != before.get(name, {}).get("parent")
        ]
        self._execute("set_parents", rows=_json(moved))
        gone = [name for name in before if name not in self._groups] if "groups" in self._replaced else []
        self._execute("delete_group_settings", names=gone)
        return tally

    def _write_networks(self) -> Tally:
        self._execute("network_type")
        only_blocks = self._cursor.fetchone()[0] in ("cidr", "inet")
        wanted: dict[Hashable, Entry] = {}
        owners = set()
        for name, entry in self._groups.items():
            if "networks" not in entry:
                continue
            owners.add(self._ids[name])
            for network in entry["networks"]:
                text = network["network"][3]
                for part in blocks(parse_address(text)) if only_blocks else [text]:
                    row = {**NEW["networks"], **network, "network": part, "group_id": self._ids[name]}
                    wanted[_network_key(row)] = row
        existing = [row for row in self._rows("read_networks") if row["group_id"] in owners]
        exact = "groups" in self._replaced
        return self._write("networks", wanted, existing, _network_key, ignored=("network",), exact=exact)

    def _write_filters(self) -> Tally:
        existing = self._rows("read_filters")
        wanted = {
            (self._ids[name], entry["name"]): {**NEW["filters"], **entry, "group_id": self._ids[name]}
            for name, group in self._groups.items()
            for entry in group.get("filters", ())
        }
        owners = {self._ids[name] for name, group in self._groups.items() if "filters" in group}
        own = [row for row in existing if row["group_id"] in owners]
        tally = self._write("filters", wanted, own, _filter_key, exact="groups" in self._replaced)
        common = {
            (None, name): {"group_id": None, **entry}
            for name, entry in _merged(self._documents, "filters").items()
        }
        shared = [row for row in existing if row["group_id"] is None]
        other = self._write("filters", common, shared, _filter_key, exact="filters" in self._replaced)
        return Tally(*map(sum, zip(tally, other, strict=True)))

    def _write_settings(self) -> Tally:
        given = {name: group["settings"] for name, group in self._groups.items() if "settings" in group}
        ids = {name: self._ids[name] for name in given}
        main = {ids[name]: {"group_id": ids[name], **reporting(entry)} for name, entry in given.items()}
        own = {name: {"group_name": name, **own_settings(entry)} for name, entry in given.items()}
        tally = self._write(
            "settings_reporting", main, self._rows("read_settings_reporting"), lambda row: row["group_id"]
        )
        other = self._write(
            "group_settings", own, self._rows("read_group_settings"), lambda row: row["group_name"]
        )
        return _united(tally, other)

    def _write_classes(self) -> Tally:
        entries = _merged(self._documents, "event_classes")
        tally = self._write_named(
            "event_classes", {name: class_columns(entry) for name, entry in entries.items()}
        )
        rows_of_texts = {name: {"class_name": name, **texts(entry)} for name, entry in entries.items()}
        rows = self._rows("read_event_class_text")
        other = self._write("event_class_text", rows_of_texts, rows, lambda row: row["class_name"])
        if "event_classes" in self._replaced:
            gone = [row["class_name"] for row in rows if row["class_name"] not in entries]
            self._execute("delete_event_class_text", names=gone)
        return _united(tally, other)

    def _write_named(self, kind: str, entries: Mapping[str, Entry]) -> Tally:
        columns = {*NEW[kind], "name"}
        wanted = {
            name: {key: value for key, value in entry.items() if key in columns}
            for name, entry in entries.items()
        }
        existing = self._rows(f"read_{kind}")
        return self._write(kind, wanted, existing, lambda row: row["name"], exact=kind in self._replaced)

    def _write(
        self,
        kind: str,
        wanted: Mapping[Any, Entry],
        existing: Sequence[Entry],
        key: Callable[[Entry], Hashable],
        *,
        ignored: Sequence[str] = (),
        exact: bool = False,
    ) -> Tally:
        """Bring rows to what is wanted; `exact`: others, and doubles of one key, are deleted."""
        rows = {key(row): row for row in existing}
        created = [{**NEW[kind], **entry} for name, entry in wanted.items() if name not in rows]
        known = [(rows[name], entry) for name, entry in wanted.items() if name in rows]
        changed = [
            {**row, **entry}
            for row, entry in known
            if any(row[column] != value for column, value in entry.items() if column not in ignored)
        ]
        kept = {rows[name]["id"] for name in wanted if name in rows}
        gone = [row["id"] for row in existing if row["id"] not in kept] if exact else []
        if gone:
            self._execute(f"delete_{kind}", ids=gone)
        if changed:
            self._execute(f"update_{kind}", rows=_json(changed))
        if created:
            self._execute(f"insert_{kind}", rows=_json(created))
        return Tally(len(created), len(changed), len(gone), len(known) - len(changed))


def _json(rows: Sequence[Entry]) -> str:
    return orjson.dumps(rows).decode()


def _united(one: Tally, other: Tally) -> Tally:
    """Count what stands in two tables, for each of its names a row in either, once."""
    created, changed = max(one.created, other.created), max(one.changed, other.changed)
    total = one.created + one.changed + one.unchanged
    return Tally(created, changed, one.deleted, max(total - created - changed, 0))


def _parent_fault(name: str, parents: Mapping[str, str | None]) -> str | None:
    path = [name]
    while (parent := parents[path[-1]]) is not None:
        if parent not in parents:
            return f"there is no group '{parent}'" if len(path) == 1 else None
        if parent == name:
            return f"goes in a circle: {' → '.join([*path, name])}"
        if parent in path:
            return None
        path.append(parent)
    return None


def _network_key(row: Entry) -> Hashable:
    try:
        return row["group_id"], *parse_address(row["network"])[:3]
    except ValueError:
        return row["group_id"], row["network"]


def _filter_key(row: Entry) -> Hashable:
    return row["group_id"], row["name"]
