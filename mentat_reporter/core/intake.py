"""From an event to sightings: own → filter → credit. docs/semantics.md.

Rules are closures over a message as `idea.view` shows it. One that fails on an event is not
applied there; the failure is kept with the rule's name and group.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final, NamedTuple

from mentat_reporter.core.idea import view
from mentat_reporter.core.model import Chain, Direction, Event, Sighting
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.errors import RuleError

CREDIBLE: Final = 0.5
"""An event whose detectors' credibilities multiply to less is not told (docs/semantics.md)."""


class FilterRule(NamedTuple):
    """A compiled rule of a group, or of all when `group` is empty."""

    id: int
    name: str
    group: str
    direction: Direction
    matches: Callable[[Mapping[str, Any]], bool]


@dataclass(slots=True)
class Tally:
    """Ids of the events of one chain at each step, for the counters of its report."""

    new: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    credible: set[str] = field(default_factory=set)
    filtered: dict[str, set[str]] = field(default_factory=dict)
    """By the name of the rule."""


@dataclass(slots=True)
class Intake:
    """What the events of a window come to for one owner and direction."""

    sightings: list[Sighting] = field(default_factory=list)
    tallies: dict[tuple[Chain, bool], Tally] = field(default_factory=dict)
    """By chain and shadow."""
    considered: dict[str, Any] = field(default_factory=dict)
    """Storage times by event id: what the ledger will say was decided."""
    rule_hits: Counter[int] = field(default_factory=Counter)
    detector_hits: Counter[str] = field(default_factory=Counter)

    def tally(self, chain: Chain, shadow: bool) -> Tally:
        return self.tallies.setdefault((chain, shadow), Tally())


class RuleBook:
    """The rules that are enabled and valid now, by direction and group, and how they failed."""

    def __init__(self, rules: Iterable[FilterRule]) -> None:
        self._rules: dict[tuple[Direction, str], list[FilterRule]] = {}
        for rule in rules:
            self._rules.setdefault((rule.direction, rule.group), []).append(rule)
        self.failures: dict[tuple[str, str], tuple[str, int]] = {}
        """The last error and the number of failures, by group and rule."""

    def __bool__(self) -> bool:
        return bool(self._rules)

    def of(self, direction: Direction, groups: Iterable[str]) -> list[FilterRule]:
        return [rule for group in groups for rule in self._rules.get((direction, group), ())]

    def first_match(self, rules: Sequence[FilterRule], message: Mapping[str, Any]) -> FilterRule | None:
        """Return the first rule that matches; those that fail are passed over and counted."""
        for rule in rules:
            try:
                if rule.matches(message):
                    return rule
            except RuleError as error:
                _, count = self.failures.get((rule.group, rule.name), ("", 0))
                self.failures[rule.group, rule.name] = (str(error), count + 1)
        return None


class Sifted(NamedTuple):
    """A sighting after the rules: None with the rule that dropped it, else what remains of it."""

    sighting: Sighting | None
    dropped_by: FilterRule | None
    fallbacks_dropped_by: tuple[FilterRule, ...]


def sift(sighting: Sighting, book: RuleBook) -> Sifted:
    """Apply the rules of the chain, then those of each fallback group, which remove that fallback only."""
    rules = book.of(sighting.direction, ("", *sighting.chain))
    fallback_rules = [(name, book.of(sighting.direction, (name,))) for name in sighting.fallbacks]
    if not rules and not any(found for _, found in fallback_rules):
        return Sifted(sighting, None, ())
    seen = view(sighting.event, sighting.direction, sighting.origins, sighting.address)
    match = book.first_match(rules, seen)
    if match is not None:
        return Sifted(None, match, ())
    removed = {name: book.first_match(found, seen) for name, found in fallback_rules}
    kept = tuple(name for name in sighting.fallbacks if removed[name] is None)
    hits = tuple(rule for rule in removed.values() if rule is not None)
    return Sifted(sighting._replace(fallbacks=kept), None, hits)


def own(event: Event, direction: Direction, ownership: Ownership) -> list[Sighting]:
    """Return the event's sightings, each address once; what nobody owns has an empty chain.

    Two entries of the event may have a part in common: it is one sighting, with the sections of both.
    """
    found: dict[str, Sighting] = {}
    for origin in event.side(direction).addresses:
        for text, chain, fallbacks in ownership.shares(origin):
            known = found.get(text)
            if known is None:
                found[text] = Sighting(event, direction, (origin,), text, chain, fallbacks)
            else:
                found[text] = known._replace(origins=(*known.origins, origin))
    return list(found.values())


def is_credible(event: Event, credibilities: Mapping[str, float]) -> bool:
    """Multiply the credibilities of the event's detectors; unknown ones count as 1."""
    return prod(credibilities.get(name, 1.0) for name in event.detectors) >= CREDIBLE


def doubtful(event: Event, credibilities: Mapping[str, float]) -> list[str]:
    """Name the detectors that took from an event's credibility."""
    return [name for name in event.detectors if credibilities.get(name, 1.0) < 1]


def take_in(
    intake: Intake, sightings: Sequence[Sighting], book: RuleBook, credibilities: Mapping[str, float]
) -> None:
    """Add the sightings that one event has of one owner in one direction."""
    event = sightings[0].event
    shadow = event.side(sightings[0].direction).shadow
    intake.considered[event.id] = event.storage_time
    kept: list[Sighting] = []
    for sighting in sightings:
        tally = intake.tally(sighting.chain, shadow)
        tally.new.add(event.id)
        sifted = sift(sighting, book) if book else Sifted(sighting, None, ())
        for rule in sifted.fallbacks_dropped_by:
            intake.rule_hits[rule.id] += 1
        if sifted.dropped_by is not None:
            intake.rule_hits[sifted.dropped_by.id] += 1
            tally.filtered.setdefault(sifted.dropped_by.name, set()).add(event.id)
        elif sifted.sighting is not None:
            tally.kept.add(event.id)
            kept.append(sifted.sighting)
    if not kept:
        return
    if not is_credible(event, credibilities):
        intake.detector_hits.update(doubtful(event, credibilities))
        return
    for sighting in kept:
        intake.tally(sighting.chain, shadow).credible.add(event.id)
    intake.sightings.extend(kept)
