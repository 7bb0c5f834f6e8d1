"""What `import-groups` takes: the JSON document, checked key by key, every fault named.

A key that stands in the document sets what it names; one that does not leaves it as it is, or at its
default for what is new. So `emails` sets the addresses of all severities, and `{"name": "x", "enabled":
false}` only switches x off. Networks and filters are added or changed; only `--replace` deletes.
"""

import json
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.durations import parse_duration
from mentat_reporter.core.model import MODES, SEVERITIES
from mentat_reporter.errors import InputError
from mentat_reporter.store.checks import (
    Check,
    Faults,
    Repeating,
    choice,
    email,
    fields,
    flag,
    form,
    items,
    line,
    mapping,
    nullable,
    number,
    read,
    shown,
    text,
    time,
)

Entry = dict[str, Any]
_INTEGER: Final = 2**31 - 1
ATTACHMENTS: Final = ("none", "json", "csv", "all")
STATES: Final = ("ENABLED", "SHADOW", "DISABLED")
DISPLAYED: Final = ("main", "source", "target", "attach")


@cache
def _timezones() -> set[str]:
    return zoneinfo.available_timezones()


def _period(written: str) -> str:
    if parse_duration(written) is None:
        raise ValueError("none is no period; leave the key out for the default")
    return written


def _duration(written: str) -> str:
    parse_duration(written)
    return written


def _network(written: str) -> tuple[int, int, int, str]:
    version, first, last, _, canonical = parse_address(written)
    return version, first, last, canonical


_RULE: Final = text(empty=False)
_LANGUAGE: Final = form("[a-zA-Z0-9_-]{1,64}", "a language code, as en or pt_BR")
_WORDS: Final = items(text())
_TIMING: Final = fields({"period": read(_period), "threshold": read(_duration), "relapse": read(_duration)})
_SETTINGS: Final = fields({
    "emails": fields(dict.fromkeys(SEVERITIES, items(read(email)))),
    "mode": nullable(choice(MODES)),
    "locale": nullable(_LANGUAGE),
    "timezone": nullable(choice(_timezones)),
    "redirect": flag,
    "mute": flag,
    "template": nullable(form("[a-z0-9_-]{1,64}", "a template name of small letters, digits, _ and -")),
    "attachments": nullable(choice(ATTACHMENTS)),
    "compress": flag,
    "max_attachment_size": nullable(number(0, 2**63 - 1)),
    "timing": fields(dict.fromkeys(SEVERITIES, _TIMING)),
})  # fmt: skip
_NETWORK: Final = fields(
    {
        "network": read(_network),
        "netname": text(longest=250),
        "rank": nullable(number(-_INTEGER, _INTEGER)),
        "is_base": flag,
    },
    required=["network"],
)
_FILTER: Final = fields(
    {
        "name": line(longest=250),
        "filter": _RULE,
        "source_based": flag,
        "enabled": flag,
        "valid_from": nullable(read(time)),
        "valid_to": nullable(read(time)),
        "description": text(),
    },
    required=["name", "filter"],
)


def _named(check: Check) -> Check:
    return items(check, key=lambda entry: entry["name"], what="name")


_FILTERS: Final = _named(_FILTER)
_GROUP: Final = fields(
    {
        "name": line(longest=100),
        "description": text(),
        "enabled": flag,
        "parent": nullable(line(longest=100)),
        "networks": items(_NETWORK, key=lambda entry: entry["network"][:3], what="addresses"),
        "filters": _FILTERS,
        "settings": _SETTINGS,
    },
    required=["name"],
)
_DETECTOR: Final = fields(
    {"name": line(longest=100), "credibility": number(0, 1, whole=False)}, required=["name"]
)
_EVENT_CLASS: Final = fields(
    {
        "name": line(longest=250),
        "source_based": flag,
        "label": mapping(_LANGUAGE, text()),
        "reference": text(),
        "severity": choice(SEVERITIES),
        "rule": text(),
        "subclassing": text(),
        "priority": number(-_INTEGER, _INTEGER),
        "state": choice(STATES),
        "displayed": fields(dict.fromkeys(DISPLAYED, _WORDS)),
        "advice": mapping(_LANGUAGE, text()),
    },
    required=["name"],
)
_DOCUMENT: Final = fields({
    "groups": _named(_GROUP),
    "filters": _FILTERS,
    "detectors": _named(_DETECTOR),
    "event_classes": _named(_EVENT_CLASS),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Document:
    """A checked document: its lists of entries by section, only what stands there."""

    file: str
    sections: Mapping[str, list[Entry]]

    def rules(self) -> Iterator[tuple[str, str, str]]:
        """Give path, key and text of every rule and subclassing expression that is not empty."""
        for path, entry in self._entries():
            for key in ("filter", "rule", "subclassing"):
                if entry.get(key, "").strip():
                    yield f"{self.file}: {path}.{key}: '{entry['name']}'", key, entry[key]

    def never_valid(self) -> Iterator[str]:
        """Yield the path of each filter whose time is over before it begins."""
        for path, entry in self._entries():
            since, until = entry.get("valid_from"), entry.get("valid_to")
            if since and until and until <= since:
                yield f"{self.file}: {path}"

    def _entries(self) -> Iterator[tuple[str, Entry]]:
        for index, group in enumerate(self.sections.get("groups", ())):
            for number_, entry in enumerate(group.get("filters", ())):
                yield f"groups[{index}].filters[{number_}]", entry
        for section in ("filters", "event_classes"):
            for index, entry in enumerate(self.sections.get(section, ())):
                yield f"{section}[{index}]", entry


def read_documents(documents: Sequence[tuple[str, bytes]]) -> list[Document]:
    """Check documents, each with the name of its file; InputError names every fault of all of them."""
    faults: Faults = []
    made = []
    for file, content in documents:
        found: Faults = []
        made.append(Document(file, _read(content, found)))
        faults += [f"{file}: {fault}" for fault in found]
    refuse(faults)
    return made


def refuse(faults: Faults) -> None:
    """Raise InputError if there are faults."""
    if faults:
        count = "is a fault" if len(faults) == 1 else f"are {len(faults)} faults"
        raise InputError("\n".join([f"nothing was imported, there {count}:", *faults]))


def _read(content: bytes, faults: Faults) -> Entry:
    try:
        written = content.decode("utf-8-sig")
        value = json.loads(written, object_pairs_hook=Repeating.of, parse_constant=_refused)
    except json.JSONDecodeError as error:
        faults.append(f"line {error.lineno}, column {error.colno}: is no JSON: {error.msg}")
    except UnicodeDecodeError as error:
        before = content[: error.start].splitlines()
        faults.append(f"line {max(len(before), 1)}: is no UTF-8")
    except RecursionError:
        faults.append("is nested too deeply")
    except ValueError as error:
        faults.append(f"is no JSON: {shown(str(error))}")
    else:
        return dict(_DOCUMENT(value, "", faults))
    return {}


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number")
