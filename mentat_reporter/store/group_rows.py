"""Checked entries of an import document → columns of their tables."""

from collections.abc import Mapping
from typing import Final

from mentat_reporter.core.model import SEVERITIES
from mentat_reporter.store.documents import DISPLAYED, Entry

NEW: Final[Mapping[str, Entry]] = {
    "groups": {"description": "", "enabled": True},
    "networks": {"netname": "", "rank": None, "is_base": False},
    "filters": {
        "source_based": True, "enabled": True, "valid_from": None, "valid_to": None, "description": "",
    },
    "settings_reporting": {
        **{f"emails_{severity}": [] for severity in SEVERITIES},
        "mode": None, "locale": None, "timezone": None, "redirect": False,
    },
    "group_settings": {
        "timing": {}, "mute": False, "template": None, "attachments": None, "compress": False,
        "max_attachment_size": None,
    },
    "detectors": {"credibility": 1.0},
    "event_classes": {
        "source_based": True, "label_en": "", "label_cz": "", "reference": "", "severity": "low", "rule": "",
        "subclassing": "", "priority": 0, "state": "ENABLED",
        **{f"displayed_{part}": [] for part in DISPLAYED},
    },
    "event_class_text": {"label": {}, "advice": {}},
}  # fmt: skip
"""What a new row holds where the document does not say."""

_REPORTING: Final = ("mode", "locale", "timezone", "redirect")
_LABEL_COLUMNS: Final = {"en": "label_en", "cs": "label_cz"}


def reporting(settings: Entry) -> Entry:
    """Return the part of a group's settings that Mentat has columns for."""
    made: Entry = {key: settings[key] for key in _REPORTING if key in settings}
    if "emails" in settings:
        made |= {
            f"emails_{severity}": list(dict.fromkeys(settings["emails"].get(severity, ())))
            for severity in SEVERITIES
        }
    return made


def own_settings(settings: Entry) -> Entry:
    return {key: settings[key] for key in NEW["group_settings"] if key in settings}


def class_columns(entry: Entry) -> Entry:
    made = dict(entry)
    if "label" in entry:
        made |= {column: entry["label"].get(code, "") for code, column in _LABEL_COLUMNS.items()}
    if "displayed" in entry:
        made |= {f"displayed_{part}": entry["displayed"].get(part, []) for part in DISPLAYED}
    return made


def texts(entry: Entry) -> Entry:
    made: Entry = {}
    if "label" in entry:
        made["label"] = {code: text for code, text in entry["label"].items() if code not in _LABEL_COLUMNS}
    if "advice" in entry:
        made["advice"] = entry["advice"]
    return made
