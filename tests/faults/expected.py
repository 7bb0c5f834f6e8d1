"""Whose an event is and what drops it, worked out from the tables alone, apart from the program.

For worlds whose networks, rules and detectors stay as they are, with rules like `'Recon' in Category`.
"""

import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, Final, Literal, NamedTuple

from psycopg2.extensions import connection as Connection  # noqa: N812 - the class, named as the type it is

Direction = Literal["source", "target"]
Chain = tuple[str, ...]
SECTIONS: Final[Mapping[Direction, str]] = {"source": "Source", "target": "Target"}
RULE: Final = re.compile(r"\s*'([^']+)' in Category\s*")
CREDIBLE: Final = 0.5


class Span(NamedTuple):
    """Addresses of one IP version, both ends included."""

    version: int
    first: int
    last: int


class Network(NamedTuple):
    span: Span
    group: str
    rank: int
    is_base: bool


def span_of(text: str) -> Span | None:
    """Read an address, a network or a range `first-last`; None if it is none."""
    first, _, last = text.strip().partition("-")
    try:
        if last:
            low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
            return Span(low.version, int(low), int(high))
        block = ipaddress.ip_network(first, strict=False)
    except ValueError:
        return None
    return Span(block.version, int(block.network_address), int(block.broadcast_address))


def read(message: bytes | None) -> dict[str, Any] | None:
    """Decode a stored message; None if it is no JSON object."""
    try:
        found = json.loads((message or b"").decode())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def spans(message: Mapping[str, Any], direction: Direction) -> set[Span]:
    texts = [
        text
        for part in message.get(SECTIONS[direction], ())
        for version in ("IP4", "IP6")
        for text in part.get(version, ())
    ]
    return {found for text in texts if (found := span_of(text)) is not None}


def chain_of(networks: Iterable[Network]) -> Chain:
    """Order the owners of an address: docs/semantics.md, ownership."""

    def precedence(network: Network) -> tuple[int, int, int, str]:
        span = network.span
        return (-max(network.rank, 0), span.last - span.first, -span.first, network.group)

    ordered = sorted(networks, key=precedence)
    owners = dict.fromkeys(network.group for network in ordered if not network.is_base)
    return tuple(owners) or tuple(dict.fromkeys(network.group for network in ordered))


@dataclass(frozen=True)
class House:
    """Who owns what, which rules there are, whom to believe."""

    networks: list[Network]
    rules: list[tuple[str, Direction, str]]
    """Group (empty: all), direction, category."""
    credibilities: Mapping[str, float]

    def owned(self, message: Mapping[str, Any], direction: Direction) -> dict[Chain, set[Span]]:
        """Return what each chain owns of an event's addresses; what nobody owns is left out."""
        found: dict[Chain, set[Span]] = {}
        for span in spans(message, direction):
            for chain, part in self._cut(span):
                if chain:
                    found.setdefault(chain, set()).add(part)
        return found

    def _cut(self, span: Span) -> Iterator[tuple[Chain, Span]]:
        """Cut a span where the owners change."""
        near = [
            one for one in self.networks
            if one.span.version == span.version
            and one.span.first <= span.last and one.span.last >= span.first
        ]  # fmt: skip
        edges = {span.first, span.last + 1}
        edges |= {one.span.first for one in near} | {one.span.last + 1 for one in near}
        inside = sorted(edge for edge in edges if span.first <= edge <= span.last + 1)
        begun: tuple[Chain, int] | None = None
        for first, following in pairwise(inside):
            chain = chain_of(one for one in near if one.span.first <= first <= one.span.last)
            if begun is None or begun[0] != chain:
                begun = (chain, first)
            if (
                following == inside[-1]
                or chain_of(one for one in near if one.span.first <= following <= one.span.last) != chain
            ):
                yield chain, Span(span.version, begun[1], following - 1)

    def drops(self, message: Mapping[str, Any], direction: Direction, chain: Chain) -> bool:
        """Tell whether a rule or too little credibility keeps an event from a chain."""
        groups = ("", *chain)
        categories = message.get("Category", ())
        if any(
            group in groups and side == direction and category in categories
            for group, side, category in self.rules
        ):
            return True
        names = {node.get("Name") for node in message.get("Node", ())}
        return prod(self.credibilities.get(name, 1.0) for name in names) < CREDIBLE


def load(connection: Connection) -> House:
    """Read the house; raise ValueError for what this module cannot judge."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select n.network::text, g.name, coalesce(n.rank, 0), n.is_base from networks n"
            " join groups g on g.id = n.group_id where g.enabled"
        )
        networks = [Network(_span(row[0]), *row[1:]) for row in cursor]
        cursor.execute(
            "select coalesce(g.name, ''), f.source_based, f.filter, f.valid_from, f.valid_to from filters f"
            " left join groups g on g.id = f.group_id where f.enabled"
        )
        rules = [_rule(*row) for row in cursor]
        cursor.execute("select name, credibility from detectors")
        return House(networks, rules, dict(cursor.fetchall()))


def _span(text: str) -> Span:
    found = span_of(text)
    if found is None:
        raise ValueError(f"the checker cannot judge network {text}")
    return found


def _rule(
    group: str, source_based: bool, text: str, valid_from: object, valid_to: object
) -> tuple[str, Direction, str]:
    simple = RULE.fullmatch(text)
    if simple is None or valid_from is not None or valid_to is not None:
        raise ValueError(f"the checker cannot judge the rule {text!r} of {group or 'all groups'}")
    return group, "source" if source_based else "target", simple[1]
