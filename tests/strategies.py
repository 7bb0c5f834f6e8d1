"""One vocabulary of random values for the properties of the core."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from hypothesis import strategies as st

from mentat_reporter.core.addresses import parse_address, span_text
from mentat_reporter.core.model import Address, Network

START = datetime(2026, 3, 2, tzinfo=UTC)

# A small corner of each address space, so that networks meet.
_CORNER = {4: int(IPv4Address("192.0.2.0")), 6: int(IPv6Address("2001:db8::"))}
CORNER_SIZE = 64

versions = st.sampled_from([4, 6])
group_names = st.sampled_from([f"abuse@{name}.example" for name in "abcdef"])
moments = st.integers(0, 30 * 86400).map(lambda seconds: START + timedelta(seconds=seconds))


@st.composite
def spans(draw: st.DrawFn, version: int | None = None) -> tuple[int, int, int]:
    """Version, first and last of a stretch of the corner."""
    version = version or draw(versions)
    one, other = draw(st.integers(0, CORNER_SIZE - 1)), draw(st.integers(0, CORNER_SIZE - 1))
    base = _CORNER[version]
    return version, base + min(one, other), base + max(one, other)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    version, first, last = draw(spans())
    return Network(
        draw(group_names),
        version,  # type: ignore[arg-type] # 4 or 6
        first,
        last,
        draw(st.sampled_from([0, 0, 0, -1, 1, 2])),
        draw(st.booleans()),
    )


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    return parse_address(span_text(*draw(spans())))


sections: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "IP4": st.lists(
            st.integers(0, CORNER_SIZE - 1).map(lambda number: str(IPv4Address(_CORNER[4] + number))),
            max_size=4,
        ),
        "IP6": st.lists(
            st.integers(0, CORNER_SIZE - 1).map(lambda number: str(IPv6Address(_CORNER[6] + number))),
            max_size=2,
        ),
        "Port": st.lists(st.integers(0, 65535), max_size=3),
        "Proto": st.lists(st.sampled_from(["tcp", "ssh"]), max_size=2),
    },
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, categories=["L", "N", "P", "Z", "C"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

# Messages as senders mean them, and as they come.

times = st.sampled_from(
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01 13:00:00",
        "2026-03-01T23:59:60+01:00",
        "2026-03-1T9:05",
        "soon",
        "0000-01-01",
    ]
)
numbers = st.integers(0, 10**6)

messages: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "Category": st.lists(
            st.sampled_from(["Recon.Scanning", "Attempt.Login"]), min_size=1, max_size=2, unique=True
        )
    },
    optional={
        "DetectTime": times,
        "EventTime": times,
        "CeaseTime": times,
        "ConnCount": numbers,
        "Description": st.sampled_from(["scan", "login"]),
        "Ref": st.lists(st.just("cve:CVE-2026-0001"), max_size=2),
        "Source": st.lists(sections, max_size=3),
        "Target": st.lists(sections, max_size=3),
        "Node": st.lists(
            st.fixed_dictionaries(
                {"Name": st.sampled_from(["org.a", "org.b"])}, optional={"SW": st.just(["Nemea"])}
            ),
            max_size=3,
        ),
        "Attach": st.lists(st.just({"Name": ["sample.exe"]}), max_size=1),
        "_Mentat": st.fixed_dictionaries(
            {},
            optional={"ResolvedAbuses": st.lists(group_names, max_size=3), "EventSubclass": st.just(["ssh"])},
        ),
    },
)


def _places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to everything inside a message."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in items for path in ((*here, key), *_places(item, (*here, key)))]


def planted(message: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of a message with a value at a path."""
    if not path:
        return value
    copy = dict(message) if isinstance(message, dict) else list(message)
    copy[path[0]] = planted(copy[path[0]], path[1:], value)
    return copy


@st.composite
def messy_messages(draw: st.DrawFn) -> dict[str, Any]:
    """Messages with anything that JSON allows at some of their places."""
    message = draw(messages)
    for _ in range(draw(st.integers(1, 3))):
        if places := _places(message):
            message = planted(message, draw(st.sampled_from(places)), draw(json_values))
    return message
