"""What the commands `import-groups` and `import-events` call."""

from mentat_reporter.store.import_events import EventsImported, import_events
from mentat_reporter.store.import_groups import GroupsImported, import_groups
from mentat_reporter.store.message_files import Source, find_sources
from mentat_reporter.store.resolver import ClassRule, Resolver, read_class_rules

__all__ = [
    "ClassRule",
    "EventsImported",
    "GroupsImported",
    "Resolver",
    "Source",
    "find_sources",
    "import_events",
    "import_groups",
    "read_class_rules",
]
