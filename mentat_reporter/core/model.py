"""The words of the trade as values: events, addresses, groups, windows, thresholds, reports.

Everything here is immutable or owned by one unit of work. Times are aware UTC, durations
`timedelta`, addresses whole numbers with the text that people read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, Protocol

Severity = Literal["info", "low", "medium", "high", "critical"]
Direction = Literal["source", "target"]
ReportType = Literal["summary", "extra", "target"]
Mode = Literal["summary", "extra", "both", "none"]
AttachmentKind = Literal["none", "json", "csv", "all"]
Chain = tuple[str, ...]

SEVERITIES: Final[tuple[Severity, ...]] = ("info", "low", "medium", "high", "critical")
URGENT_FIRST: Final[tuple[Severity, ...]] = tuple(reversed(SEVERITIES))
DIRECTIONS: Final[tuple[Direction, ...]] = ("source", "target")
MODES: Final[tuple[Mode, ...]] = ("summary", "extra", "both", "none")
ATTACHMENT_KINDS: Final[tuple[AttachmentKind, ...]] = ("none", "json", "csv", "all")
MAX_ATTACHMENT_SIZE: Final = 10 * 2**20
"""Bytes that the attachments of a mail may have together: many servers take no more."""

UNKNOWN: Final = "__unknown__"
"""What Mentat writes where an event does not say."""


class Address(NamedTuple):
    """An address, network or range, with both ends included.

    `form` is how the event wrote it: single, cidr or range.
    """

    version: Literal[4, 6]
    first: int
    last: int
    form: Literal["single", "cidr", "range"]
    text: str


class Side(NamedTuple):
    """What an event says of one direction."""

    severity: Severity | None
    event_class: str
    """The class with its subclasses (`class/sub, sub`), or the categories joined by `/`."""
    class_name: str | None
    """The class alone, by which labels and advice are found."""
    shadow: bool
    addresses: tuple[Address, ...]
    invalid: tuple[str, ...] = ()
    """What stands where an address should, but is none."""


class Messages(Protocol):
    """Has the messages of events, each at its place."""

    def __getitem__(self, place: int, /) -> Mapping[str, Any]:
        """Return a message, cleaned."""

    def text(self, place: int, /) -> bytes:
        """Return a message as it is stored."""


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One IDEA message with its two sides."""

    id: str
    storage_time: datetime
    messages: Messages
    """There may be more events than the memory has room for messages."""
    place: int
    source: Side
    target: Side
    first_time: datetime
    """EventTime, else DetectTime."""
    last_time: datetime
    """CeaseTime, else EventTime, else DetectTime."""
    detectors: tuple[str, ...]
    """Every distinct `Node.Name`, in order."""
    oversized: bool = False
    """Too large to be spelled out: told without its details."""
    has_odd_time: bool = False
    """A time outside 1970 to 2100 was put on that edge."""

    @property
    def message(self) -> Mapping[str, Any]:
        """The message, cleaned."""
        return self.messages[self.place]

    def side(self, direction: Direction) -> Side:
        return self.source if direction == "source" else self.target


class Share(NamedTuple):
    """The part of an address that one chain of groups owns; an empty chain: nobody does."""

    text: str
    chain: Chain
    fallbacks: Chain


class Sighting(NamedTuple):
    """One event seen at one address of one chain of groups."""

    event: Event
    direction: Direction
    origins: tuple[Address, ...]
    """The address as the event has it; `address` may be a part of it, or of several."""
    address: str
    chain: Chain
    fallbacks: Chain

    @property
    def owner(self) -> str:
        return self.chain[0]


class Network(NamedTuple):
    """A network of a group; `rank` above zero goes before all others, the highest first."""

    group: str
    version: Literal[4, 6]
    first: int
    last: int
    rank: int = 0
    is_base: bool = False


class Timing(NamedTuple):
    """How often a severity is reported, how long it is held back, and how long before the end of that
    time an event must have been held for the problem to count as relapsed. None: not at all.
    """

    period: timedelta
    threshold: timedelta | None
    relapse: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTiming:
    """A group's own times for one severity; `inherit` marks what it does not say."""

    period: timedelta | None = None
    threshold: timedelta | None = None
    relapse: timedelta | None = None
    has_threshold: bool = False
    has_relapse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """An abuse group and its settings. None: the configured default stands."""

    name: str
    emails: Mapping[Severity, tuple[str, ...]] = field(default_factory=dict)
    mode: Mode | None = None
    locale: str | None = None
    timezone: str | None = None
    template: str | None = None
    attachments: AttachmentKind | None = None
    compress: bool = False
    max_attachment_size: int | None = None
    redirect: bool = False
    mute: bool = False
    timing: Mapping[Severity, OwnTiming] = field(default_factory=dict)


class EventClass(NamedTuple):
    """What reports say of a class: labels and advice by language, where to read on."""

    name: str
    labels: Mapping[str, str]
    advice: Mapping[str, str]
    reference: str
    subclassing: str = ""
    displayed: Mapping[str, tuple[str, ...]] = {}
    xarf: str = ""
    """The XARF type of its events, `connection/port_scan`; empty: what their categories say."""


class Window(NamedTuple):
    """The storage times `[lo, hi)` that one clock covers for one severity.

    `clock` is the name of a group with a period of its own, or empty for the common clock. Events are
    fetched from `fetch_lo` on, which is earlier than `lo` by what may have become visible late.
    """

    clock: str
    severity: Severity
    lo: datetime
    hi: datetime
    fetch_lo: datetime
    period: timedelta

    @property
    def catch_up(self) -> bool:
        """Longer than the period: storage times stand for `hi` (docs/semantics.md)."""
        return self.hi - self.lo > self.period


class Problem(NamedTuple):
    """What is held back: one class at one address of one group (severity and direction are the unit's)."""

    shadow: bool
    event_class: str
    address: str


class ThresholdTimes(NamedTuple):
    """When a problem was told, from when on an event held counts as a relapse, when it is told again."""

    thresholdtime: datetime
    relapsetime: datetime
    ttltime: datetime


class Threshold(NamedTuple):
    """When a problem was last reported and until when it is held back."""

    thresholdtime: datetime
    relapsetime: datetime
    ttltime: datetime
    report_label: str
    first_label: str = ""
    """The report with which its mails begin: relapses answer that."""


class Held(NamedTuple):
    """An event that was held back under a problem; `createtime` is the `hi` that it was held at."""

    event_id: str
    createtime: datetime


@dataclass(slots=True, kw_only=True)
class Counters:
    """Events, not sightings: each once, however many of its addresses are a chain's."""

    rep: int
    all: int
    new: int | None = None
    flt: int | None = None
    flt_blk: int | None = None
    det: int | None = None
    det_blk: int | None = None
    thr: int | None = None
    thr_blk: int | None = None
    rlp: int | None = None

    def items(self) -> Iterator[tuple[str, int | None]]:
        """Yield name and value, in the order of the steps."""
        return ((name, getattr(self, name)) for name in self.__slots__)


@dataclass(slots=True)
class Detail:
    """What one detector saw of one class at one address, in the groups of fields that Mentat stores."""

    main_lists: dict[str, dict[str, None]]
    main_numbers: dict[str, float]
    source_lists: dict[str, dict[str, None]]
    source_numbers: dict[str, float]
    target_lists: dict[str, dict[str, None]]
    target_numbers: dict[str, float]
    attach_lists: dict[str, dict[str, None]]


@dataclass(slots=True)
class Entry:
    """One line of a report: an event class at an address."""

    event_class: str
    class_name: str | None
    address: str
    count: int
    first_time: datetime
    last_time: datetime
    reference: str | None
    """The label of the report that told of this problem before, if it relapsed."""
    details: dict[str, Detail]
    """By detector."""
    hours: dict[datetime, int]
    """Events by the full hour of their first time, for the small picture of a window."""


class Place(NamedTuple):
    """Where a report tells an event: under which class, at which address.

    `origins` are the addresses as the event has them.
    """

    event_class: str
    address: str
    origins: tuple[Address, ...]


@dataclass(slots=True, kw_only=True)
class Report:
    """All that is stored and told of one chain in one window."""

    label: str
    type: ReportType
    severity: Severity
    shadow: bool
    test_data: bool
    chain: Chain
    fallbacks: Chain
    lo: datetime
    hi: datetime
    created: datetime
    counters: Counters
    regular: list[Entry]
    relapsed: list[Entry]
    statistics: dict[str, Any]
    filtering: dict[str, int]
    """Events removed by each rule, by its name."""
    address: str | None = None
    """Of an extra report."""
    parent: str | None = None
    """Label of an extra report's summary."""
    regular_by_class: list[Entry] = field(default_factory=list)
    """Of a target report: lines of a whole class, as they are stored."""
    relapsed_by_class: list[Entry] = field(default_factory=list)
    places: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)
    """By event, the first to the last, where it is told; each address once."""
    events: Mapping[str, Event] = field(default_factory=dict)
    """The same events."""
    held_until: datetime | None = None
    """The earliest time at which what this report tells may be told again."""
    mail: "MailPlan | None" = None
    """None: stored, not mailed."""
    timezone: str = "UTC"
    locale: str = "en"
    template: str = "default"
    attachments: AttachmentKind = "none"
    compress: bool = False
    max_attachment_size: int = MAX_ATTACHMENT_SIZE
    """Bytes of all attachments together."""

    @property
    def direction(self) -> Direction:
        return "target" if self.type == "target" else "source"


class MailPlan(NamedTuple):
    """Who gets a report. `to` and `cc` are stored; `redirected_to` receives in their stead when it is set."""

    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...] = ()
    redirected_to: tuple[str, ...] = ()
    fallback: Literal["", "groups", "global"] = ""
