"""From an event to sightings: own → filter → credit. docs/semantics.md.

Rules are closures over a message as `idea.view` shows it. One that fails on an event is not
applied there; the failure is kept with the rule's name and group.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
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
    """How many events of one chain are left after each step, for the counters of its report."""

    new: int = 0
    kept: int = 0
    credible: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    """By the name of the rule: one may remove an event at one of its addresses, and another elsewhere."""

    def join(self, other: "Tally") -> None:
        """Add the counts of other events."""
        self.new += other.new
        self.kept += other.kept
        self.credible += other.credible
        self.filtered.update(other.filtered)


@dataclass(slots=True)
class Intake:
    """What the events of a window come to for one owner and direction."""

    sightings: list[Sighting] = field(default_factory=list)
    tallies: dict[tuple[Chain, bool], Tally] = field(default_factory=dict)
    """By chain and shadow."""
    considered: dict[str, datetime] = field(default_factory=dict)
    """Storage times by event id: what the ledger will say was decided."""
    survived: int = 0
    """Events that the rules left at one address at least."""
    rule_hits: Counter[int] = field(default_factory=Counter)
    detector_hits: Counter[str] = field(default_factory=Counter)

    def tally(self, chain: Chain, shadow: bool) -> Tally:
        found = self.tallies.get((chain, shadow))
        if found is None:
            found = self.tallies[chain, shadow] = Tally()
        return found

    def join(self, other: "Intake") -> None:
        """Add what other events come to."""
        self.sightings += other.sightings
        for key, tally in other.tallies.items():
            self.tally(*key).join(tally)
        self.considered.update(other.considered)
        self.survived += other.survived
        self.rule_hits.update(other.rule_hits)
        self.detector_hits.update(other.detector_hits)


class RuleBook:
    """The rules that are enabled and valid now, by direction and group, and how they failed."""

    def __init__(self, rules: Iterable[FilterRule]) -> None:
        self._rules: dict[tuple[Direction, str], list[FilterRule]] = {}
        for rule in rules:
            self._rules.setdefault((rule.direction, rule.group), []).append(rule)
        self._of: dict[tuple[Direction, Chain], list[FilterRule]] = {}
        self._of_chain: dict[tuple[Direction, Chain], list[FilterRule]] = {}
        self.failures: dict[tuple[str, str], tuple[str, int]] = {}
        """The last error and the number of failures, by group and rule."""

    def __bool__(self) -> bool:
        return bool(self._rules)

    def of(self, direction: Direction, groups: Chain) -> list[FilterRule]:
        """Return the rules of some groups, one after the other; the few chains that there are come again."""
        found = self._of.get((direction, groups))
        if found is None:
            found = [rule for group in groups for rule in self._rules.get((direction, group), ())]
            self._of[direction, groups] = found
        return found

    def of_chain(self, direction: Direction, chain: Chain) -> list[FilterRule]:
        """Return the rules for all groups, and those of a chain."""
        found = self._of_chain.get((direction, chain))
        if found is None:
            found = self._of_chain[direction, chain] = self.of(direction, ("", *chain))
        return found

    def first_match(self, rules: Sequence[FilterRule], message: Mapping[str, Any]) -> FilterRule | None:
        """Return the first rule that matches; those that fail are passed over and counted."""
        for rule in rules:
            try:
                if rule.matches(message):
                    return rule
            except RuleError as error:
                self.add_failures({(rule.group, rule.name): (str(error), 1)})
        return None

    def add_failures(self, failures: Mapping[tuple[str, str], tuple[str, int]]) -> None:
        """Count failures, by group and rule, each with its last error."""
        for rule, (error, count) in failures.items():
            _, known = self.failures.get(rule, ("", 0))
            self.failures[rule] = (error, known + count)


class Sifted(NamedTuple):
    """A sighting after the rules: None with the rule that dropped it, else what remains of it."""

    sighting: Sighting | None
    dropped_by: FilterRule | None
    fallbacks_dropped_by: tuple[FilterRule, ...]


def sift(sighting: Sighting, book: RuleBook) -> Sifted:
    """Apply the rules of the chain, then those of each fallback group, which remove that fallback only."""
    event, direction, origins, address, chain, fallbacks = sighting
    rules = book.of_chain(direction, chain)
    if not rules and not any(book.of(direction, (name,)) for name in fallbacks):
        return Sifted(sighting, None, ())
    seen = view(event, direction, origins, address)
    match = book.first_match(rules, seen)
    if match is not None:
        return Sifted(None, match, ())
    if not fallbacks:
        return Sifted(sighting, None, ())
    removed = {name: book.first_match(book.of(direction, (name,)), seen) for name in fallbacks}
    kept = tuple(name for name in fallbacks if removed[name] is None)
    hits = tuple(rule for rule in removed.values() if rule is not None)
    return Sifted(sighting._replace(fallbacks=kept), None, hits)


def own(event: Event, direction: Direction, ownership: Ownership) -> list[Sighting]:
    """Return the event's sightings, each address once; what nobody owns has an empty chain.

    Two entries of the event may have a part in common: it is one sighting, with the sections of both.
    """
    addresses = event.side(direction).addresses
    if len(addresses) == 1:
        return [
            Sighting(event, direction, addresses, text, chain, fallbacks)
            for text, chain, fallbacks in ownership.shares(addresses[0])
        ]
    found: dict[str, Sighting] = {}
    for origin in addresses:
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
) -> int:
    """Add the sightings that one event has of one owner in one direction; return how many were kept.

    An intake is given an event only once.
    """
    event = sightings[0].event
    shadow = event.side(sightings[0].direction).shadow
    intake.considered[event.id] = event.storage_time
    for chain in {sighting.chain for sighting in sightings}:
        intake.tally(chain, shadow).new += 1
    kept = _sifted(intake, sightings, shadow, book) if book else sightings
    if not kept:
        return 0
    intake.survived += 1
    chains = {sighting.chain for sighting in kept}
    for chain in chains:
        intake.tally(chain, shadow).kept += 1
    if credibilities and not is_credible(event, credibilities):
        intake.detector_hits.update(doubtful(event, credibilities))
        return 0
    for chain in chains:
        intake.tally(chain, shadow).credible += 1
    intake.sightings.extend(kept)
    return len(kept)


def _sifted(intake: Intake, sightings: Sequence[Sighting], shadow: bool, book: RuleBook) -> list[Sighting]:
    """Return what the rules leave of an event's sightings; count what they hit."""
    kept: list[Sighting] = []
    removed: set[tuple[Chain, str]] = set()
    for sighting in sightings:
        sifted = sift(sighting, book)
        for rule in sifted.fallbacks_dropped_by:
            intake.rule_hits[rule.id] += 1
        if sifted.dropped_by is not None:
            intake.rule_hits[sifted.dropped_by.id] += 1
            removed.add((sighting.chain, sifted.dropped_by.name))
        elif sifted.sighting is not None:
            kept.append(sifted.sighting)
    for chain, name in removed:
        intake.tally(chain, shadow).filtered[name] += 1
    return kept
