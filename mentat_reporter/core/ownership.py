"""Who owns an address: the chain of groups from the most specific network to the widest.

docs/semantics.md. The networks' edges cut the address space into segments that each have one
chain; an address is looked up by bisection and split where segments of different chains meet.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mentat_reporter.core.addresses import span_text
from mentat_reporter.core.model import Address, Chain, Network, Share


def _precedence(network: Network) -> tuple[int, int, int, str]:
    """Order networks: by positive rank, then fewest addresses, higher first address, name."""
    return (-max(network.rank, 0), network.last - network.first, -network.first, network.group)


def chain_of(networks: Iterable[Network]) -> tuple[Chain, Chain]:
    """Return the chain and the fallback groups of an address that lies in all these networks.

    Groups that own it through a base network only are fallback; if there are no others, they are
    the chain.
    """
    ordered = sorted(networks, key=_precedence)
    owners = tuple(dict.fromkeys(network.group for network in ordered if not network.is_base))
    bases = tuple(dict.fromkeys(network.group for network in ordered if network.is_base))
    if not owners:
        return bases, ()
    return owners, tuple(group for group in bases if group not in owners)


class _Segments(NamedTuple):
    """Starts of the segments of one IP version, in order, with the chain and fallbacks of each."""

    starts: list[int]
    owners: list[tuple[Chain, Chain]]


def _segments(networks: Sequence[Network]) -> _Segments:
    opening: dict[int, list[int]] = {}
    closing: dict[int, list[int]] = {}
    for index, network in enumerate(networks):
        opening.setdefault(network.first, []).append(index)
        closing.setdefault(network.last + 1, []).append(index)
    starts: list[int] = []
    owners: list[tuple[Chain, Chain]] = []
    if 0 not in opening:
        starts.append(0)
        owners.append(((), ()))
    active: set[int] = set()
    known: dict[tuple[int, ...], tuple[Chain, Chain]] = {}
    for edge in sorted(opening.keys() | closing.keys()):
        active.difference_update(closing.get(edge, ()))
        active.update(opening.get(edge, ()))
        members = tuple(sorted(active))
        if members not in known:
            known[members] = chain_of(networks[index] for index in members)
        starts.append(edge)
        owners.append(known[members])
    return _Segments(starts, owners)


class Ownership:
    """Looks addresses up in the networks of all enabled groups."""

    def __init__(self, networks: Iterable[Network]) -> None:
        by_version: dict[int, list[Network]] = {4: [], 6: []}
        for network in networks:
            by_version[network.version].append(network)
        self._segments = {version: _segments(found) for version, found in by_version.items()}

    def shares(self, address: Address) -> list[Share]:
        """Return the parts of an address by owning chain, in order; nobody's part has an empty chain.

        Neighbouring parts of one chain are joined, their fallbacks united. An address that is not
        split keeps its text.
        """
        starts, owners = self._segments[address.version]
        index = bisect_right(starts, address.first) - 1
        if index + 1 == len(starts) or starts[index + 1] > address.last:
            return [Share(address.text, *owners[index])]
        return self._split(address, index)

    def _split(self, address: Address, index: int) -> list[Share]:
        starts, owners = self._segments[address.version]
        parts: list[tuple[int, int, Chain, Chain]] = []
        first = address.first
        while first <= address.last:
            end = starts[index + 1] - 1 if index + 1 < len(starts) else address.last
            last = min(end, address.last)
            chain, fallbacks = owners[index]
            if parts and parts[-1][2] == chain:
                united = tuple(dict.fromkeys(parts[-1][3] + fallbacks))
                parts[-1] = (parts[-1][0], last, chain, united)
            else:
                parts.append((first, last, chain, fallbacks))
            first, index = last + 1, index + 1
        if len(parts) == 1:
            return [Share(address.text, parts[0][2], parts[0][3])]
        version = address.version
        return [Share(span_text(version, part[0], part[1]), part[2], part[3]) for part in parts]
