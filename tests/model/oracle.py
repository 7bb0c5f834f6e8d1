"""What a run must store, decided the slow and obvious way: the test oracle of `report --regular`.

Written from the plan's texts alone, without a look at the program; docs/semantics.md and
docs/reliability.md say the same.
Plain integers for addresses, linear scans, no caches. `Model.run` is one cron run; the model
keeps windows, thresholds and held events between runs as the database would.
"""

# AMBIGUITIES: where the text leaves room. Quoted, then the reading chosen, then the others.
#
#  1. "A group with its own period for a severity is due on its own clock": any `period` written
#     in the group's timing makes an own clock, even one equal to the default.
#     Other: only a period that differs. (Seen when the group's first window falls elsewhere.)
#  2. "Durations are `none` or a whole number …": a period of none has no meaning given; refused.
#     Other: never reported; or the default.
#  3. "target threshold / relapse: none … a group's own timing overrides": the import format has only
#     `threshold` and `relapse`, so these are of the source direction; target never thresholds.
#     Other: a group's own threshold applies to both directions.
#  4. "A gap longer than a day is cut from `lo` on into whole days, the remainder last": the remainder
#     is a window even when shorter than the period. Other: it waits until it is due.
#  5. "`resolvedabuses` … names at least one group": a non-empty list, whoever it names.
#     Other: at least one name of an existing or an enabled group.
#  6. "Category `Test` is left out": an event with `Test` anywhere among its categories, exactly so
#     written. Others: only when it is the sole category; `Test.*` too.
#  7. "fewest addresses; ties: higher first address, then name": the name is the group's, ascending.
#     Other: the network's netname.
#  8. "networks with a positive rank come first": the same order holds among base networks when
#     base networks alone make the chain, and among fallback groups. Other: rank is for chains only.
#  9. "networks with a positive `rank`": a group in the chain through two networks stands at the
#     better place. A group with a base and another network over one address is no fallback.
# 10. "neighbouring parts of one chain joined": joined when the chain is equal, their fallback groups
#     united. Other: joined only when the fallback groups are equal, too.
# 11. "an address that is not split keeps its form": one part left after joining = not split, so
#     `a-b` over two networks of one chain stays `a-b`. Other: cut and joined is split, hence CIDR
#     when it is one block.
# 12. "keeps its form (single, CIDR, range), written canonically": `192.0.2.5/24` → `192.0.2.0/24`;
#     `192.0.2.5/32` and `a-a` keep their form. Other: they become `192.0.2.5`.
# 13. "each once an event": by the written form, so `10.0.0.0/24` and `10.0.0.0-10.0.0.255` in one
#     event are two sightings. Other: by what it covers.
# 14. "split at their edges": base networks cut as well, before joining.
# 15. "The rule sees the event with that one address and all its sections": the sections of this
#     direction that hold the address (in which it, or the wider entry it is a part of, stands); other
#     sections of this direction go; the other direction stays whole. Other: all sections stay, their
#     other addresses removed.
# 16. "that one address": of a split entry, the rule sees the part, in the part's form.
# 17. "valid now": now is T itself, not rounded; `valid_from <= now < valid_to`; naive is UTC.
#     Others: the window's hi; `<= valid_to`.
# 18. "matches": the rule's value is true as Python sees it (a non-empty list matches).
#     Other: only the value True.
# 19. "A rule … fails on an event is not applied": for that sighting only; the next rules are still
#     asked. Other: off for the rest of the run (another page of the plan says "filter off").
# 20. "every `Node.Name`": distinct names multiply; a node without a name counts as 1.
# 21. "The stored class, with its subclasses as `class/sub, sub`": in stored order.
#     Other: sorted.
# 22. "All sightings of a window are decided against the state before it", relapses included: a key may
#     be reported as new and as relapsed by one window (held earlier, expired, seen again).
#     Other: the renewal by the new report comes first, and the relapse is not seen.
# 23. "An event was held at or after relapsetime": the comparison is with `createtime`; likewise "held
#     since thresholdtime" is createtime >= thresholdtime.
# 24. "A key without relapse whose ttltime lies below the watermark": without relapse = no relapse was
#     reported in this window, for whatever reason (all filtered today, moved away). ttltime < hi.
#     Others: a key whose relapse period is none; one whose held events were all filtered stays and
#     may relapse when the rule ends.
# 25. "at the key's own address (owned and filtered again …)": the event is owned again, and the sighting
#     whose written address and owner equal the key's is it; none → dropped.
# 26. "Events are counted once": thr counts events with a sighting reported as new, rlp those relapsed;
#     an event may be in both in a catch-up window (two addresses), then rep counts it twice while
#     the list of ids names it once.
# 27. "On an extra: `_rep`": events reported as new plus events relapsed at that address.
# 28. "The first non-empty list is `To`": one group's list of one severity. An address is named once in
#     all; one in `To` is no `Cc`.
# 29. "None: the fallback groups": only when some group wants the report but has no address. Nobody wants
#     it → not mailed at all. (Decided by the team.)
# 30. "the fallback groups whatever their mode … united": in the order of the report's sightings by address
#     (IPv4 before IPv6, numerically), and by specificity within a sighting. Other: by name; by the
#     fallback networks' own specificity.
# 31. "`mute`: … left out of mail as with `none`": a muted fallback group still gets what nobody else
#     does, because fallback groups get it "whatever their mode". Other: never any mail.
# 32. The global fallback list is all `To`. Other: the first To, the rest Cc.
# 33. "`redirect` … original recipients … kept in `mail_to`": `mail_to` holds the originals with `to:` and
#     `cc:` as if there were no redirect.
# 34. "Shadow events make stored, never mailed reports": own reports beside the others of one chain.
# 35. "the first group of the chain": a chain of base networks alone has its sightings owned by their
#     first group, own clock and timing included.
# 36. A summary is "always stored", also when every group of the chain is in `extra` or `none`.
# 37. A threshold or relapse time left out of a group's timing is the default of that severity, even where
#     relapse then exceeds threshold (relapsetime before thresholdtime: every held event relapses).
# 38. The clocks of groups start at the first run as the common one does: lo = hi - own period.
# 39. A category class of an event without categories: the empty string (not generated).
# 40. Unequal results of several filters: any rule drops; no order is observable but in hit counts,
#     which the model leaves out.
# 41. "Rules of fallback groups only remove that fallback": a chain made of base networks alone is a
#     chain; its groups' rules drop the sighting.
# 42. The counters of one report are of its own direction and shadow kind.
# 43. Section 7's "least EventTime …" and all other contents of `structured_data` are left out.

from __future__ import annotations

import ipaddress
import math
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import ipranges
import ransack

Direction = Literal["source", "target"]
ReportType = Literal["summary", "extra", "target"]
Tally = dict[str, dict[str, int]]

SEVERITIES = ("info", "low", "medium", "high", "critical")
COUNTERS = (
    "evcount_new",
    "evcount_flt",
    "evcount_flt_blk",
    "evcount_det",
    "evcount_det_blk",
    "evcount_thr",
    "evcount_thr_blk",
    "evcount_rlp",
    "evcount_all",
    "evcount_rep",
)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CREDIBLE = 0.5


class Timing(NamedTuple):
    period: timedelta
    threshold: timedelta | None
    relapse: timedelta | None


DEFAULT_TIMING = {
    "info": Timing(DAY, timedelta(weeks=4), timedelta(weeks=1)),
    "low": Timing(DAY, timedelta(days=6), timedelta(days=2)),
    "medium": Timing(timedelta(hours=2), timedelta(days=6), timedelta(days=2)),
    "high": Timing(timedelta(minutes=10), DAY, timedelta(hours=12)),
    "critical": Timing(timedelta(minutes=10), timedelta(hours=2), None),
}
UNITS = {"min": "minutes", "hr": "hours", "day": "days", "week": "weeks"}


def duration(text: str) -> timedelta | None:
    """`none`, or a whole number and a unit."""
    if text == "none":
        return None
    found = re.fullmatch(r"(\d+)\s*(min|hr|day|week)s?", text)
    if found is None:
        raise ValueError(f"no duration: {text!r}")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# --- addresses ------------------------------------------------------------------------------------


class Span(NamedTuple):
    """The addresses `first` to `last` of one family, and how they are written."""

    version: int
    first: int
    last: int
    form: Literal["single", "cidr", "range"]

    def __str__(self) -> str:
        first, last = self.address(self.first), self.address(self.last)
        if self.form == "single":
            return first
        return f"{first}/{self.prefix()}" if self.form == "cidr" else f"{first}-{last}"

    def address(self, number: int) -> str:
        return str(ipaddress.IPv4Address(number) if self.version == 4 else ipaddress.IPv6Address(number))

    def prefix(self) -> int:
        return (32 if self.version == 4 else 128) - (self.last - self.first).bit_length()

    def is_block(self) -> bool:
        size = self.last - self.first + 1
        return size & (size - 1) == 0 and self.first % size == 0

    def part(self, first: int, last: int) -> Span:
        """Given what is left of me, return it written anew; unsplit I keep my form."""
        if (first, last) == (self.first, self.last):
            return self
        if first == last:
            return Span(self.version, first, last, "single")
        cut = Span(self.version, first, last, "cidr")
        return cut if cut.is_block() else cut._replace(form="range")


def span(text: str) -> Span:
    """Read an address, a CIDR or a `first-last` range, in whatever order its ends stand."""
    if "-" in text:
        ends = sorted((ipaddress.ip_address(end.strip()) for end in text.split("-")), key=int)
        return Span(ends[0].version, int(ends[0]), int(ends[1]), "range")
    if "/" in text:
        network = ipaddress.ip_network(text, strict=False)
        return Span(network.version, int(network[0]), int(network[-1]), "cidr")
    address = ipaddress.ip_address(text)
    return Span(address.version, int(address), int(address), "single")


# --- the groups document --------------------------------------------------------------------------


class Network(NamedTuple):
    group: str
    span: Span
    rank: int | None
    is_base: bool

    def covers(self, version: int, number: int) -> bool:
        return self.span.version == version and self.span.first <= number <= self.span.last

    def precedence(self) -> tuple[int, int, int, str]:
        """Sort key: highest positive rank, fewest addresses, higher first address, name."""
        rank = self.rank if self.rank and self.rank > 0 else 0
        return (-rank, self.span.last - self.span.first + 1, -self.span.first, self.group)


@dataclass(frozen=True)
class Rule:
    name: str
    group: str | None
    source_based: bool
    enabled: bool
    valid_from: datetime | None
    valid_to: datetime | None
    tree: Any

    @classmethod
    def read(cls, document: dict[str, Any], group: str | None, parser: ransack.Parser) -> Rule:
        try:
            tree = parser.parse(document["filter"])
        except Exception:  # noqa: BLE001 - whatever the parser throws, the rule is not applied
            tree = None
        return cls(
            document["name"],
            group,
            document.get("source_based", True),
            document.get("enabled", True),
            instant(document["valid_from"]) if document.get("valid_from") else None,
            instant(document["valid_to"]) if document.get("valid_to") else None,
            tree,
        )

    def applies(self, direction: Direction, now: datetime) -> bool:
        return (
            self.enabled
            and self.tree is not None
            and self.source_based == (direction == "source")
            and (self.valid_from is None or self.valid_from <= now)
            and (self.valid_to is None or now < self.valid_to)
        )

    def matches(self, view: dict[str, Any]) -> bool:
        try:
            return bool(ransack.Filter().eval(self.tree, view))
        except Exception:  # noqa: BLE001 - a rule that fails on an event is not applied
            return False


@dataclass(frozen=True)
class Group:
    name: str
    enabled: bool
    mode: str
    mute: bool
    emails: dict[str, list[str]]
    timing: dict[str, Timing]
    own_clock: frozenset[str]

    @classmethod
    def read(cls, document: dict[str, Any], default_mode: str) -> Group:
        settings = document.get("settings") or {}
        written = settings.get("timing") or {}
        return cls(
            document["name"],
            document.get("enabled", True),
            settings.get("mode") or default_mode,
            bool(settings.get("mute")),
            settings.get("emails") or {},
            {severity: own_timing(severity, written.get(severity) or {}) for severity in SEVERITIES},
            frozenset(severity for severity, own in written.items() if own.get("period")),
        )

    def stores_extras(self) -> bool:
        return self.mode in {"extra", "both"}

    def wants(self, kind: ReportType) -> bool:
        if self.mute:
            return False
        return self.mode != "none" if kind == "target" else self.mode in {kind, "both"}

    def lists(self, severity: str) -> list[list[str]]:
        """Return the address lists from the severity downward."""
        downward = SEVERITIES[SEVERITIES.index(severity) :: -1]
        return [self.emails.get(name) or [] for name in downward]


def own_timing(severity: str, written: dict[str, str | None]) -> Timing:
    default = DEFAULT_TIMING[severity]

    def own(name: str, otherwise: timedelta | None) -> timedelta | None:
        text = written.get(name)
        return duration(text) if text else otherwise

    period = own("period", default.period)
    if period is None:
        raise ValueError("a period of none says nothing (ambiguity 2)")
    return Timing(period, own("threshold", default.threshold), own("relapse", default.relapse))


# --- events and sightings -------------------------------------------------------------------------


@dataclass(frozen=True)
class StoredEvent:
    id: str
    storage_time: datetime
    message: dict[str, Any]

    def _mentat(self, direction: Direction, source_name: str, target_name: str) -> Any:
        return self.message["_Mentat"].get(source_name if direction == "source" else target_name)

    def severity(self, direction: Direction) -> str | None:
        found: str | None = self._mentat(direction, "EventSeverity", "TargetSeverity")
        return found

    def abuses(self, direction: Direction) -> list[str]:
        return self._mentat(direction, "ResolvedAbuses", "TargetAbuses") or []

    def shadow(self, direction: Direction) -> bool:
        return bool(self._mentat(direction, "ShadowReporting", "ShadowReportingTarget"))

    def event_class(self, direction: Direction) -> str:
        name = self._mentat(direction, "EventClass", "TargetClass")
        subclasses = self._mentat(direction, "EventSubclass", "TargetSubclass") or []
        if not name:
            return "/".join(self.message.get("Category", []))
        return f"{name}/{', '.join(subclasses)}" if subclasses else str(name)

    def sections(self, direction: Direction) -> list[dict[str, Any]]:
        return self.message.get(direction.capitalize()) or []

    def is_test(self) -> bool:
        return "Test" in self.message.get("Category", [])

    def detectors(self) -> set[str]:
        return {node["Name"] for node in self.message.get("Node", []) if node.get("Name")}


class Part(NamedTuple):
    """An address, or the part of a range, that one chain owns."""

    span: Span
    chain: tuple[str, ...]
    fallback: tuple[str, ...]


class Key(NamedTuple):
    group: str
    severity: str
    direction: Direction
    shadow: bool
    event_class: str
    address: str


@dataclass(frozen=True)
class Sighting:
    """One event at one address of one chain."""

    event: StoredEvent
    severity: str
    direction: Direction
    part: Part
    sections: tuple[int, ...]

    @property
    def address(self) -> str:
        return str(self.part.span)

    @property
    def shadow(self) -> bool:
        return self.event.shadow(self.direction)

    @property
    def key(self) -> Key:
        return Key(
            self.part.chain[0],
            self.severity,
            self.direction,
            self.shadow,
            self.event.event_class(self.direction),
            self.address,
        )

    def view(self) -> dict[str, Any]:
        """Show the event as a rule sees it."""
        shown = dict(self.event.message)
        for direction in ("source", "target"):
            name = direction.capitalize()
            if name in shown:
                shown[name] = [with_ranges(section) for section in shown[name]]
        own = self.direction.capitalize()
        shown[own] = [only_address(shown[own][index], self.part.span) for index in self.sections]
        return with_times(shown)


def range_object(address: Span) -> Any:
    return ipranges.from_str(str(address))


def with_ranges(section: dict[str, Any]) -> dict[str, Any]:
    return section | {
        family: [range_object(span(text)) for text in section[family]]
        for family in ("IP4", "IP6")
        if family in section
    }


def only_address(section: dict[str, Any], address: Span) -> dict[str, Any]:
    rest = {name: value for name, value in section.items() if name not in {"IP4", "IP6"}}
    return rest | {f"IP{address.version}": [range_object(address)]}


def with_times(message: dict[str, Any]) -> dict[str, Any]:
    names = ("DetectTime", "EventTime", "CeaseTime", "CreateTime", "WinStartTime", "WinEndTime")
    mentat = dict(message["_Mentat"])
    mentat["StorageTime"] = instant(mentat["StorageTime"])
    times = {name: instant(message[name]) for name in names if name in message}
    return message | times | {"_Mentat": mentat}


# --- reports --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExpectedReport:
    """A row of `reports_events` that the run must store."""

    type: ReportType
    severity: str
    shadow: bool
    chain: tuple[str, ...]
    lo: datetime
    hi: datetime
    address: str | None
    event_ids: set[str]
    counters: dict[str, int | None]
    regular: Tally  # class → address → events
    relapsed: Tally
    regular_events: dict[str, int]  # class → events, each once: what a target report shows
    relapsed_events: dict[str, int]
    mail_to: list[str] = field(default_factory=list)

    @property
    def identity(self) -> tuple[str, str, bool, tuple[str, ...], datetime, datetime, str]:
        return (self.type, self.severity, self.shadow, self.chain, self.lo, self.hi, self.address or "")


class Window(NamedTuple):
    clock: str  # a group's name, empty for the common one
    severity: str
    lo: datetime
    hi: datetime
    catching_up: bool


@dataclass(frozen=True)
class Threshold:
    set_at: datetime
    relapses_from: datetime | None
    expires: datetime


@dataclass
class Decided:
    """The sightings of one window, by how far each came."""

    fetched: list[Sighting] = field(default_factory=list)
    kept: list[Sighting] = field(default_factory=list)
    credible: list[Sighting] = field(default_factory=list)
    new: list[Sighting] = field(default_factory=list)
    held: list[Sighting] = field(default_factory=list)
    relapsed: list[Sighting] = field(default_factory=list)

    def only(self, direction: Direction, shadow: bool, chain: tuple[str, ...]) -> Decided:
        wanted = (direction, shadow, chain)

        def pick(sightings: list[Sighting]) -> list[Sighting]:
            return [s for s in sightings if (s.direction, s.shadow, s.part.chain) == wanted]

        return Decided(
            pick(self.fetched),
            pick(self.kept),
            pick(self.credible),
            pick(self.new),
            pick(self.held),
            pick(self.relapsed),
        )

    def at(self, address: str) -> Decided:
        return Decided(
            new=[s for s in self.new if s.address == address],
            relapsed=[s for s in self.relapsed if s.address == address],
        )

    def reported(self) -> list[Sighting]:
        return self.new + self.relapsed

    def counters(self) -> dict[str, int | None]:
        new, flt, det = count(self.fetched), count(self.kept), count(self.credible)
        thr, rlp = count(self.new), count(self.relapsed)
        values = (new, flt, new - flt, det, flt - det, thr, det - thr, rlp, new + rlp, thr + rlp)
        return dict(zip(COUNTERS, values, strict=True))


def ids(sightings: list[Sighting]) -> set[str]:
    return {s.event.id for s in sightings}


def count(sightings: list[Sighting]) -> int:
    return len(ids(sightings))


def tally(sightings: list[Sighting]) -> Tally:
    found: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for sighting in sightings:
        found[sighting.key.event_class][sighting.address].add(sighting.event.id)
    return {name: {address: len(seen) for address, seen in by.items()} for name, by in found.items()}


def events_of_class(sightings: list[Sighting]) -> dict[str, int]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for sighting in sightings:
        found[sighting.key.event_class].add(sighting.event.id)
    return {name: len(seen) for name, seen in found.items()}


def distinct(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))


# --- the model ------------------------------------------------------------------------------------


class Model:
    """The reporter's decisions and its memory."""

    def __init__(
        self,
        groups_document: dict[str, Any],
        *,
        fallback: tuple[str, ...] = (),
        default_mode: str = "summary",
        interval: timedelta = timedelta(minutes=10),
    ) -> None:
        self.fallback = list(fallback)
        self.default_mode = default_mode
        self.interval = interval
        self.watermarks: dict[tuple[str, str], datetime] = {}
        self.thresholds: dict[Key, Threshold] = {}
        self.held: dict[Key, list[tuple[datetime, StoredEvent]]] = {}
        self.unowned: set[tuple[str, str]] = set()  # event id, address: never reported
        self.read_groups(groups_document)

    def read_groups(self, document: dict[str, Any]) -> None:
        """Take a document as today's groups, networks and rules; what was remembered stays."""
        parser = ransack.Parser()
        described = document.get("groups", [])
        self.groups = {group["name"]: Group.read(group, self.default_mode) for group in described}
        self.networks = [
            Network(group["name"], span(row["network"]), row.get("rank"), row.get("is_base", False))
            for group in described
            if self.groups[group["name"]].enabled
            for row in group.get("networks", [])
        ]
        self.rules = [Rule.read(row, None, parser) for row in document.get("filters", [])]
        for group in described:
            self.rules += [Rule.read(row, group["name"], parser) for row in group.get("filters", [])]
        self.credibility = {row["name"]: row.get("credibility", 1.0) for row in document.get("detectors", [])}

    def run(self, events: list[StoredEvent], hi_now: datetime) -> list[ExpectedReport]:
        """One `report --regular --time-high hi_now` over the events stored so far."""
        reports: list[ExpectedReport] = []
        for window in self.windows(hi_now - (hi_now - EPOCH) % self.interval):
            decided = self.decide(window, events, hi_now)
            self.remember(window, decided)
            reports += self.reports(window, decided)
            self.watermarks[window.clock, window.severity] = window.hi
        return reports

    # 1. Windows

    def clocks(self) -> list[tuple[str, str, timedelta]]:
        common = [("", severity, DEFAULT_TIMING[severity].period) for severity in reversed(SEVERITIES)]
        own = [
            (group.name, severity, group.timing[severity].period)
            for group in self.groups.values()
            for severity in group.own_clock
        ]
        return common + own

    def windows(self, hi: datetime) -> list[Window]:
        due: list[Window] = []
        for clock, severity, period in self.clocks():
            lo = self.watermarks.get((clock, severity), hi - period)
            if lo + period > hi:
                continue
            step = max(DAY, period)
            while lo < hi:
                end = min(lo + step, hi)
                due.append(Window(clock, severity, lo, end, end - lo > period))
                lo = end
        return due

    def clock_of(self, group: str, severity: str) -> str:
        return group if severity in self.groups[group].own_clock else ""

    # 2. Selection, 3. Ownership

    def decide(self, window: Window, events: list[StoredEvent], now: datetime) -> Decided:
        decided = Decided()
        for event in events:
            if window.lo <= event.storage_time < window.hi and not event.is_test():
                for direction in ("source", "target"):
                    if event.severity(direction) == window.severity and event.abuses(direction):
                        decided.fetched += self.sightings(event, direction)
        decided.fetched = [
            s for s in decided.fetched if self.clock_of(s.part.chain[0], window.severity) == window.clock
        ]
        decided.kept = [kept for s in decided.fetched if (kept := self.filtered(s, now))]
        decided.credible = [s for s in decided.kept if self.is_credible(s.event)]
        for sighting in decided.credible:
            held = self.is_held(sighting, window)
            (decided.held if held else decided.new).append(sighting)
        decided.relapsed = self.relapses(window, decided.held, now)
        return decided

    def sightings(self, event: StoredEvent, direction: Direction) -> list[Sighting]:
        severity = event.severity(direction) or ""
        found: dict[str, tuple[Part, list[int]]] = {}
        for index, section in enumerate(event.sections(direction)):
            for text in section.get("IP4", []) + section.get("IP6", []):
                parts = self.owned(span(text))
                if not parts:
                    self.unowned.add((event.id, text))
                for part in parts:
                    found.setdefault(str(part.span), (part, []))[1].append(index)
        return [
            Sighting(event, severity, direction, part, tuple(sorted(set(sections))))
            for part, sections in found.values()
        ]

    def owned(self, address: Span) -> list[Part]:
        """Cut at every network's edge, look up each piece, join neighbours of one chain."""
        edges = {address.first, address.last + 1}
        for network in self.networks:
            if network.span.version == address.version:
                edges |= {network.span.first, network.span.last + 1}
        cuts = sorted(edge for edge in edges if address.first <= edge <= address.last + 1)
        pieces: list[tuple[int, int, tuple[str, ...], tuple[str, ...]]] = []
        for first, end in pairwise(cuts):
            chain, fallback = self.owners(address.version, first)
            if pieces and pieces[-1][2] == chain:
                begun = pieces.pop()
                first, fallback = begun[0], tuple(distinct([*begun[3], *fallback]))  # noqa: PLW2901
            pieces.append((first, end - 1, chain, fallback))
        return [
            Part(address.part(first, last), chain, fallback)
            for first, last, chain, fallback in pieces
            if chain
        ]

    def owners(self, version: int, number: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the chain and the fallback groups of one single address."""
        covering = sorted(
            (network for network in self.networks if network.covers(version, number)),
            key=Network.precedence,
        )
        chain = distinct([network.group for network in covering if not network.is_base])
        base = distinct([network.group for network in covering if network.is_base])
        if not chain:
            return tuple(base), ()
        return tuple(chain), tuple(name for name in base if name not in chain)

    # 4. Filters, 5. Credibility

    def filtered(self, sighting: Sighting, now: datetime) -> Sighting | None:
        """Return the sighting less the fallback groups that do not want it; nothing if it is dropped."""
        view = sighting.view()
        matching = {
            rule.group for rule in self.rules if rule.applies(sighting.direction, now) and rule.matches(view)
        }
        if matching & {None, *sighting.part.chain}:
            return None
        left = tuple(name for name in sighting.part.fallback if name not in matching)
        return replace(sighting, part=sighting.part._replace(fallback=left))

    def is_credible(self, event: StoredEvent) -> bool:
        product: float = math.prod(self.credibility.get(name, 1.0) for name in event.detectors())
        return product >= CREDIBLE

    # 6. Threshold and relapse

    def timing(self, key: Key) -> Timing:
        timing = self.groups[key.group].timing[key.severity]
        return timing if key.direction == "source" else Timing(timing.period, None, None)

    def is_held(self, sighting: Sighting, window: Window) -> bool:
        threshold = self.thresholds.get(sighting.key)
        moment = sighting.event.storage_time if window.catching_up else window.hi
        return threshold is not None and moment < threshold.expires

    def keys_of(self, window: Window) -> list[Key]:
        return [
            key
            for key in self.thresholds
            if key.severity == window.severity and self.clock_of(key.group, key.severity) == window.clock
        ]

    def relapses(self, window: Window, held_now: list[Sighting], now: datetime) -> list[Sighting]:
        self.hold(window, held_now)
        found: list[Sighting] = []
        for key in self.keys_of(window):
            threshold = self.thresholds[key]
            held = self.held.get(key, [])
            if window.hi < threshold.expires or self.timing(key).relapse is None:
                continue
            if any(at >= (threshold.relapses_from or at) for at, _ in held):
                since = [event for at, event in held if at >= threshold.set_at]
                found += [s for event in since if (s := self.seen_again(key, event, now))]
        return found

    def seen_again(self, key: Key, event: StoredEvent, now: datetime) -> Sighting | None:
        for sighting in self.sightings(event, key.direction):
            if sighting.part.chain[0] == key.group and sighting.address == key.address:
                return self.filtered(sighting, now)
        return None

    def hold(self, window: Window, sightings: list[Sighting]) -> None:
        for sighting in sightings:
            moment = sighting.event.storage_time if window.catching_up else window.hi
            self.held.setdefault(sighting.key, []).append((moment, sighting.event))

    def remember(self, window: Window, decided: Decided) -> None:
        """Set and renew the thresholds of what is reported, then delete those that are over."""
        for key in {s.key for s in decided.reported()}:
            timing = self.timing(key)
            if timing.threshold is not None:
                expires = window.hi + timing.threshold
                relapses_from = expires - timing.relapse if timing.relapse is not None else None
                self.thresholds[key] = Threshold(window.hi, relapses_from, expires)
                self.held.pop(key, None)
        for key in self.keys_of(window):
            if self.thresholds[key].expires < window.hi:
                del self.thresholds[key]
                self.held.pop(key, None)

    # 7. Reports

    def reports(self, window: Window, decided: Decided) -> list[ExpectedReport]:
        found: list[ExpectedReport] = []
        kinds = {(s.direction, s.shadow, s.part.chain) for s in decided.reported()}
        for direction, shadow, chain in sorted(kinds):
            mine = decided.only(direction, shadow, chain)
            kind: ReportType = "target" if direction == "target" else "summary"
            found.append(self.report(kind, window, mine, mine.counters()))
            extras = kind == "summary" and any(self.groups[name].stores_extras() for name in chain)
            for address in sorted({s.address for s in mine.reported()} if extras else ()):
                at = mine.at(address)
                counters: dict[str, int | None] = dict.fromkeys(COUNTERS)
                counters["evcount_rep"] = count(at.new) + count(at.relapsed)
                counters["evcount_all"] = found_rep(mine)
                found.append(self.report("extra", window, at, counters, address))
        return found

    def report(
        self,
        kind: ReportType,
        window: Window,
        decided: Decided,
        counters: dict[str, int | None],
        address: str | None = None,
    ) -> ExpectedReport:
        first = decided.reported()[0]
        return ExpectedReport(
            kind,
            window.severity,
            first.shadow,
            first.part.chain,
            window.lo,
            window.hi,
            address,
            ids(decided.reported()),
            counters,
            tally(decided.new),
            tally(decided.relapsed),
            events_of_class(decided.new),
            events_of_class(decided.relapsed),
            [] if first.shadow else self.recipients(kind, window.severity, decided.reported()),
        )

    def recipients(self, kind: ReportType, severity: str, sightings: list[Sighting]) -> list[str]:
        wanting = [name for name in sightings[0].part.chain if self.groups[name].wants(kind)]
        if not wanting:
            return []
        ordered = sorted(sightings, key=lambda s: s.part.span)
        fallback = distinct([name for sighting in ordered for name in sighting.part.fallback])
        candidates = [
            [addresses for name in wanting for addresses in self.groups[name].lists(severity)],
            [addresses for name in fallback for addresses in self.groups[name].lists(severity)],
            [self.fallback],
        ]
        for lists in candidates:
            if filled := [addresses for addresses in lists if addresses]:
                to = distinct(filled[0])
                rest = distinct([address for addresses in filled[1:] for address in addresses])
                return [f"to:{a}" for a in to] + [f"cc:{a}" for a in rest if a not in to]
        return []


def found_rep(decided: Decided) -> int:
    return count(decided.new) + count(decided.relapsed)
