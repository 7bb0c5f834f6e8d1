"""Abuse groups for the benchmarks, drawn from a seed: nested networks, rules, settings, and their hosts.

Groups stand in trees of eight. The first of a tree is the provider, whose networks hold all others; one
customer has a customer in turn, one a range, and one a network that its rank puts before a narrower one.
The last of all groups owns everything by base networks. Event classes are those of the shipped sample.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

SAMPLE: Final = Path(__file__).parent.parent / "etc/sample/groups.json"
TREE: Final = 8
"""Groups in a tree."""
PROVIDER, HOLDER, HELD, RANGED, FAVOURED = 0, 2, 3, 5, 7
"""Places in a tree: the provider; a customer and the customer's own; one with a range; one by its rank."""
RANKED: Final = 16
"""One host of the favoured in so many stands in the network with a rank."""
BLOCK: Final = 2048
"""IPv4 addresses of a group."""
SKIPPED: Final = 256
"""The first addresses of a block, where no host is."""
SMALL: Final = 8
"""Addresses of a small network: those that a group has many of."""
IPV6: Final = 6
"""One host in so many has an address of version 6."""
SPANS: Final = 96
"""One host in so many, from the middle on, is a network of four addresses."""
RARE: Final = 0.1
"""The share of groups that have something else than most."""
SHADOWS: Final = 25
"""One host in so many is told of in shadow."""
FIRST: Final = int(IPv4Address("10.0.0.0"))
FIRST_SMALL: Final = int(IPv4Address("172.16.0.0"))
SEVERITIES: Final = ("info", "low", "medium", "high", "critical")
LOCALES: Final = ("en", "cs", "de", "fr", "pl", "sk")
ZONES: Final = ("Europe/Prague", "UTC", "America/New_York", "Asia/Tokyo", "Australia/Adelaide")
MIXED: Final = ("both", "extra", "summary") * 8 + ("none",)
ATTACHED: Final = (*["none"] * 13, "json", "csv", "all")
RULES: Final = (
    "'Recon.Scanning' in Category and 8443 in (Target.Port ?? [])",
    "{host} in (Source.IP4 ?? [])",
    "'org.example.tls.survey' in (Node.Name ?? []) and 'CN=expected' in (Source.Note ?? [])",
    "'Vulnerable.Config' in Category and {host} in (Source.IP4 ?? [])",
)
GLOBAL_RULES: Final = (
    "'Abusive.Spam' in Category and 203.0.113.7 in (Source.IP4 ?? [])",
    "'org.example.flow.hscan' in (Node.Name ?? []) and 33434 in (Target.Port ?? [])",
)


class Shape(NamedTuple):
    """How large a world is."""

    groups: int = 200
    hosts: int = 50
    """Of each group; every host has one kind of trouble of one severity."""
    modes: tuple[str, ...] = MIXED
    severities: tuple[str, ...] = SEVERITIES
    kinds: int = 10
    """Of trouble, see `kinds.py`; with the last, groups are attacked."""
    small_networks: int = 0
    """Of each group, in which then half of its hosts are."""


class Host(NamedTuple):
    """An address that events tell of, with the groups that own it, the most specific first."""

    address: str
    owners: tuple[str, ...]
    number: int
    kind: int
    severity: str
    shadow: bool


@dataclass(frozen=True)
class World:
    """Groups and hosts of a shape. The same shape and seed give the same world."""

    shape: Shape
    seed: int = 1

    @cached_property
    def hosts(self) -> list[Host]:
        """Return the hosts of all groups, group by group."""
        return [
            self._host(group, number)
            for group in range(self.shape.groups)
            for number in range(self.shape.hosts)
        ]

    def document(self) -> dict[str, Any]:
        """Return what `import-groups` takes."""
        sample = json.loads(SAMPLE.read_text())
        detectors = [*sample["detectors"], {"name": "org.example.flow.old", "credibility": 0.9}]
        return {
            "groups": [self._group(number) for number in range(self.shape.groups)],
            "filters": [{"name": f"all {n}", "filter": text} for n, text in enumerate(GLOBAL_RULES)],
            "detectors": detectors,
            "event_classes": sample["event_classes"],
        }

    def _group(self, number: int) -> dict[str, Any]:
        provider = number - number % TREE
        return {
            "name": name(number),
            "description": f"Unit {number}",
            "parent": name(provider) if number != provider else None,
            "networks": [*networks(number), *self._bases(number), *self._small(number)],
            "filters": self._rules(number),
            "settings": self._settings(number),
        }

    def _settings(self, number: int) -> dict[str, Any]:
        draw = Random(f"{self.seed} settings {number}")  # noqa: S311 - nothing depends on its secrecy
        domain = name(number).partition("@")[2]
        settings: dict[str, Any] = {
            "emails": {"info": [name(number)], "critical": [f"csirt@{domain}", f"oncall@{domain}"]},
            "mode": draw.choice(self.shape.modes),
            "locale": LOCALES[number % len(LOCALES)],
            "timezone": draw.choice(ZONES),
            "template": "another" if draw.random() < RARE else "default",
            "attachments": draw.choice(ATTACHED),
            "compress": draw.random() < RARE,
        }
        if draw.random() < RARE:
            settings["timing"] = {"low": {"threshold": "5days", "relapse": "1day"}}
        return settings

    def _rules(self, number: int) -> list[dict[str, Any]]:
        if number % 3:
            return []
        host = IPv4Address(_block(number) + SKIPPED)
        texts = (RULES[number // 3 % len(RULES)], RULES[(number // 3 + 1) % len(RULES)])
        return [{"name": f"rule {n}", "filter": text.format(host=host)} for n, text in enumerate(texts)]

    def _bases(self, number: int) -> list[dict[str, Any]]:
        if number != self.shape.groups - 1:
            return []
        return [{"network": network, "is_base": True} for network in ("10.0.0.0/8", "2001:db8::/32")]

    def _small(self, number: int) -> Iterator[dict[str, Any]]:
        """Yield a group's small networks: each second lies in one of the group before."""
        for place in range(self.shape.small_networks):
            yield {"network": _small_text(self._small_number(number, place))}

    def _small_number(self, group: int, place: int) -> int:
        return place * self.shape.groups + group

    def _host(self, group: int, number: int) -> Host:
        if number % 2 and self.shape.small_networks:
            address, owners = self._small_host(group, number // 2 % self.shape.small_networks)
        else:
            address, owners = _own_host(group, number)
        severity = self.shape.severities[(group + number) % len(self.shape.severities)]
        shadow = number % SHADOWS == SHADOWS - 1
        return Host(address, tuple(map(name, owners)), number, number % self.shape.kinds, severity, shadow)

    def _small_host(self, group: int, place: int) -> tuple[str, tuple[int, ...]]:
        number = self._small_number(group, place)
        pair, inner = divmod(number, 2)
        owners = (group, (number - 1) % self.shape.groups) if inner else (group,)
        if pair % 2:
            return str(IPv6Address(f"2001:db8:ffff:{pair:x}:{1 - inner}::1")), owners
        return str(IPv4Address(FIRST_SMALL + pair * SMALL + (1 if inner else 5))), owners


def name(number: int) -> str:
    return f"abuse@unit{number:05}.example.org"


def networks(number: int) -> Iterator[dict[str, Any]]:
    """Yield the networks that make the place of a group in its tree."""
    tree, place = divmod(number, TREE)
    first = _block(number)
    if place == PROVIDER:
        yield {"network": f"{IPv4Address(first)}/18", "netname": f"PROVIDER-{tree}"}
        yield {"network": f"2001:db8:{tree:x}::/48", "netname": f"PROVIDER6-{tree}"}
        return
    if place == HOLDER:  # holds the network of the third
        yield {"network": f"{IPv4Address(first)}/20"}
    elif place == RANGED:
        yield {"network": f"{IPv4Address(first)}-{IPv4Address(first + BLOCK - 1)}"}
    else:
        yield {"network": f"{IPv4Address(first)}/21"}
    if place == FAVOURED:  # a part of the sixth's that is the seventh's first of all
        yield {"network": f"{IPv4Address(first - BLOCK)}/24", "rank": 1}
    yield {"network": f"2001:db8:{tree:x}:{place:x}000::/52"}


def _block(number: int) -> int:
    return FIRST + number * BLOCK


def _small_text(number: int) -> str:
    """Return one of the small networks: IPv4 and IPv6 by turns of two, the second inside the first."""
    pair, inner = divmod(number, 2)
    if pair % 2:
        return f"2001:db8:ffff:{pair:x}::/{96 if inner else 64}"
    return f"{IPv4Address(FIRST_SMALL + pair * SMALL)}/{30 if inner else 29}"


def _own_host(group: int, number: int) -> tuple[str, tuple[int, ...]]:
    """Return an address in the networks that make a group's place, and its owners."""
    tree, place = divmod(group, TREE)
    provider = group - place
    above = () if place == PROVIDER else (provider,)
    if number % IPV6 == IPV6 - 1:
        return str(IPv6Address(f"2001:db8:{tree:x}:{place:x}000::{number + 1:x}")), (group, *above)
    if place == FAVOURED and number % RANKED == 0:
        return str(IPv4Address(_block(group) - BLOCK + number // RANKED)), (group, group - 1, *above)
    if place == HELD:
        above = (group - 1, *above)
    first = IPv4Address(_block(group) + SKIPPED + number)
    return (f"{first}/30" if number % SPANS == SPANS // 2 else str(first)), (group, *above)
