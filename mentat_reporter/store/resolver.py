"""What a message does not say itself: its class, its severity and whose it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mentat_reporter.core import idea
from mentat_reporter.core.model import DIRECTIONS, SEVERITIES, Address, Direction, Severity
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.errors import RuleError
from mentat_reporter.store.connection import Connection, transaction
from mentat_reporter.store.queries import get

Rule = Callable[[Mapping[str, Any]], bool]
DEFAULT_SEVERITY: Severity = "low"


class ClassRule(NamedTuple):
    """An event class as far as it decides; `matches` None: it has no rule that works."""

    name: str
    direction: Direction
    severity: Severity
    state: Literal["ENABLED", "SHADOW", "DISABLED"]
    matches: Rule | None


class Verdict(NamedTuple):
    """What is stored of one direction of a message."""

    class_name: str | None
    severity: Severity | None
    abuses: list[str]
    shadow: bool


def read_class_rules(
    connection: Connection, compile_rule: Callable[[str], Rule]
) -> tuple[list[ClassRule], list[str]]:
    """Return the event classes in the order in which they are tried, and warnings for rules that do not
    compile. Classes without a usable rule still give their severity to messages that name them.
    """
    with transaction(connection), connection.cursor() as cursor:
        cursor.execute(get("importing.class_rules"))
        rows = cursor.fetchall()
    rules, warnings = [], []
    for name, source_based, severity, state, text in rows:
        matches = None
        try:
            matches = compile_rule(text) if text.strip() and state != "DISABLED" else None
        except RuleError as error:
            warnings.append(f"event class '{name}': its rule does not compile and matches nothing: {error}")
        rules.append(ClassRule(name, "source" if source_based else "target", severity, state, matches))
    return rules, warnings


class Resolver:
    """Fills in what a message leaves open, each direction for itself."""

    def __init__(self, rules: Sequence[ClassRule], ownership: Ownership) -> None:
        """Take the classes in the order in which their rules are tried: ENABLED before SHADOW ones."""
        self._ownership = ownership
        self._rules = {
            direction: [rule for rule in rules if rule.direction == direction and rule.matches is not None]
            for direction in DIRECTIONS
        }
        self._severities = {rule.name: rule.severity for rule in rules}
        self.failures: dict[str, str] = {}
        """By class: why its rule failed on an event, the first time."""

    def judge(
        self, message: Mapping[str, Any], direction: Direction, addresses: Iterable[Address]
    ) -> Verdict:
        """Return what the message says of a direction, completed."""
        fields = idea.mentat_fields(message)
        class_key, severity_key, abuses_key, shadow_key = _KEYS[direction]
        name, severity, shadow = fields.get(class_key), fields.get(severity_key), fields.get(shadow_key)
        class_name = name if isinstance(name, str) and name else None
        if class_name is None and (rule := self._matching(message, direction)) is not None:
            class_name = rule.name
            shadow = rule.state == "SHADOW" if shadow is None else shadow
        if severity not in SEVERITIES:
            severity = self._severity(class_name, direction)
        abuses = fields.get(abuses_key)
        owners = set(idea.strings(abuses)) if isinstance(abuses, list | str) else self._owners(addresses)
        return Verdict(class_name, severity, sorted(owners), shadow is True)

    def _severity(self, class_name: str | None, direction: Direction) -> Severity | None:
        if class_name is None and direction == "target":
            return None
        return self._severities.get(class_name or "", DEFAULT_SEVERITY)

    def _matching(self, message: Mapping[str, Any], direction: Direction) -> ClassRule | None:
        for rule in self._rules[direction]:
            try:
                if rule.matches is not None and rule.matches(message):
                    return rule
            except RuleError as error:
                self.failures.setdefault(rule.name, str(error))
        return None

    def _owners(self, addresses: Iterable[Address]) -> set[str]:
        return {
            owner
            for address in addresses
            for share in self._ownership.shares(address)
            for owner in share.chain + share.fallbacks
        }


_KEYS: Mapping[Direction, tuple[str, str, str, str]] = {
    "source": ("EventClass", "EventSeverity", "ResolvedAbuses", "ShadowReporting"),
    "target": ("TargetClass", "TargetSeverity", "TargetAbuses", "ShadowReportingTarget"),
}
