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
            st.integers(0, CORNER_SIZE - 1).map(lambda number: str(IPv4Address(_CORNER[4] + number))), max_size=4
        ),
        "IP6": st.lists(
            st.integers(0, CORNER_SIZE - 1).map(lambda number: str(IPv6Address(_CORNER[6] + number))), max_size=2
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
